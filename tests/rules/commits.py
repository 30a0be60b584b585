"""RaftCommitStalled: where it begins, where it ends, and what it does between."""

from __future__ import annotations

from tests.rules.cluster import Cluster
from tests.rules.scenario import LET_GO, SETTLED, Alert, Story

COMMIT_STALLED = Alert(
    labels={"cluster": "orders", "severity": "warning"},
    summary="Entries come in, but none is committed.",
    description="Cluster orders: entries have waited in the leader's log for a minute, and none was "
    "committed. Too few followers acknowledge what is written.",
)


def write(
    cluster: Cluster, last: int, commit: int, *, grows: int = 0, committed: int = 0, by: tuple[str, ...] = ()
) -> None:
    """Have logs end at ``last`` and grow by ``grows`` entries a second; no member is behind."""
    cluster.export("raft_node_last_log_index", last, grows, by)
    cluster.export("raft_node_commit_index", commit, committed, by)
    for peer in cluster.sidecars:
        cluster.export("raft_peer_last_log_index", last, grows, by, peer=peer)


def nothing_is_committed() -> Story:
    story = Story("RaftCommitStalled begins with an entry that waits for a minute, and ends when none waits")
    cluster = story.cluster("orders")
    write(cluster, 100, 100, grows=10, committed=10)
    story.wait(SETTLED)
    write(cluster, 800, 800, grows=10)
    story.wait(55)
    story.silent("RaftCommitStalled")
    story.wait(20)
    story.fires("RaftCommitStalled", COMMIT_STALLED)
    write(cluster, 1550, 1549)
    story.wait(LET_GO)
    story.fires("RaftCommitStalled", COMMIT_STALLED)
    write(cluster, 1550, 1550)
    story.wait(LET_GO)
    story.silent("RaftCommitStalled")
    write(cluster, 1551, 1550)
    story.wait(30)
    write(cluster, 1551, 1551)
    story.wait(60)
    story.silent("RaftCommitStalled")
    story.has_fired("RaftCommitStalled", cluster="orders")
    return story


def commits_crawl() -> Story:
    story = Story("RaftCommitStalled is not for commits that crawl")
    cluster = story.cluster("orders")
    for commit in range(100, 105):
        write(cluster, 200 + 50 * commit, commit, grows=1)
        story.wait(50)
        story.silent("RaftCommitStalled")
    story.has_fired()
    return story


def the_next_leader_commits_nothing_either() -> Story:
    story = Story("RaftCommitStalled looks at leaders of a minute, and goes on with those that follow")
    cluster = story.cluster("orders")
    write(cluster, 100, 100, grows=10)
    write(cluster, 100, 100, grows=10, committed=10, by=("n1",))
    story.wait(SETTLED)
    cluster.lead("n2", 3)
    story.wait(55)
    story.silent("RaftCommitStalled")
    story.wait(20)
    story.fires("RaftCommitStalled", COMMIT_STALLED)
    for leader, term in (("n3", 4), ("n2", 5), ("n3", 6), ("n2", 7)):
        cluster.lead(leader, term)
        story.wait(50)
    story.fires("RaftCommitStalled", COMMIT_STALLED)
    return story


def the_sidecar_of_a_busy_leader_starts() -> Story:
    story = Story("RaftCommitStalled waits for a minute of what a new sidecar tells")
    cluster = story.cluster("orders")
    write(cluster, 100, 90, grows=10)
    story.wait(55)
    story.silent("RaftCommitStalled")
    story.has_fired()
    return story


STORIES = (
    nothing_is_committed,
    commits_crawl,
    the_next_leader_commits_nothing_either,
    the_sidecar_of_a_busy_leader_starts,
)
