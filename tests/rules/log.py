"""The alerts of the group raft.peers that stand on a member's log and term."""

from __future__ import annotations

from raft_exporter.model.judge import State
from tests.rules.cluster import Cluster
from tests.rules.scenario import LET_GO, SETTLED, Alert, Story


def falls_behind() -> Story:
    story = Story("RaftFollowerLagging: behind by more than alone_after, for a minute, until it caught up")
    cluster = _written(story, 10)
    # 15 s of the log are 150 entries: passed at 90 s.
    _follow(cluster, "n3", 0, 0)
    story.wait(75)
    story.silent("RaftFollowerLagging")
    story.wait(10)
    story.fires(
        "RaftFollowerLagging",
        Alert(
            labels={"cluster": "orders", "peer": "n3", "severity": "warning"},
            summary="A member falls behind the leader's log and does not catch up.",
            description="Cluster orders: n3 is 850 entries behind the leader, and the gap does not close.",
        ),
    )
    _follow(cluster, "n3", 0, 10)
    story.wait(LET_GO)
    story.silent("RaftFollowerLagging")
    story.has_fired("RaftFollowerLagging", cluster="orders")
    return story


def behind_between_the_thresholds() -> Story:
    story = Story("RaftFollowerLagging: alone_after begins it, gone_after ends it")
    cluster = _written(story, 10)
    _follow(cluster, "n3", 100, 10)
    story.wait(LET_GO)
    story.silent("RaftFollowerLagging")
    _follow(cluster, "n3", 200, 10)
    story.wait(70)
    story.fires("RaftFollowerLagging", _lagging("n3", "200"))
    _follow(cluster, "n3", 100, 10)
    story.wait(LET_GO)
    story.fires("RaftFollowerLagging", _lagging("n3", "100"))
    _follow(cluster, "n3", 50, 10)
    story.wait(LET_GO)
    story.silent("RaftFollowerLagging")
    _follow(cluster, "n3", 100, 10)
    story.wait(LET_GO)
    story.silent("RaftFollowerLagging")
    return story


def catches_up() -> Story:
    story = Story("RaftFollowerLagging: a new member that catches up is none")
    cluster = _written(story, 10)
    _follow(cluster, "n3", 10_000, 15)
    story.wait(600)
    story.has_fired()
    return story


def nothing_is_written() -> Story:
    story = Story("RaftFollowerLagging: without writes equal logs are none, a gap that stays is one")
    cluster = _written(story, 0)
    story.wait(LET_GO)
    story.silent("RaftFollowerLagging")
    _follow(cluster, "n3", 1, 0)
    story.wait(70)
    story.fires("RaftFollowerLagging", _lagging("n3", "1"))
    return story


def little_is_written() -> Story:
    story = Story("RaftFollowerLagging: one entry a minute that takes a scrape to be told is none")
    cluster = _written(story, 0)
    for number in range(1, 6):
        cluster.export("raft_node_last_log_index", 100 + number)
        cluster.export("raft_node_commit_index", 100 + number)
        story.wait(5)
        for peer in ("n1", "n2", "n3"):
            _follow(cluster, peer, 0, 0)
        story.wait(55)
    story.has_fired()
    return story


def much_is_written() -> Story:
    story = Story("RaftFollowerLagging: many entries are little where many are written")
    cluster = _written(story, 10_000)
    _follow(cluster, "n3", 100_000, 10_000)
    story.wait(LET_GO)
    story.has_fired()
    _follow(cluster, "n3", 200_000, 10_000)
    story.wait(70)
    story.fires("RaftFollowerLagging", _lagging("n3", "200k"))
    return story


def behind_and_down() -> Story:
    story = Story("RaftFollowerLagging: not for a member that is down, nor while it catches up after that")
    cluster = _written(story, 10)
    cluster.judge("n3", State.OFFLINE)
    _follow(cluster, "n3", 0, 0)
    story.wait(LET_GO)
    cluster.judge("n3", State.ONLINE)
    _follow(cluster, "n3", 10 * LET_GO, 20)
    story.wait(LET_GO)
    story.has_fired("RaftPeerOffline", "RaftQuorumAtRisk", cluster="orders")
    return story


def behind_and_removed() -> Story:
    story = Story("RaftFollowerLagging: lets go of a member that leaves the configuration")
    cluster = _written(story, 10)
    _follow(cluster, "n3", 0, 0)
    story.wait(100)
    story.fires("RaftFollowerLagging", _lagging("n3", "1k"))
    cluster.leave("n3")
    story.wait(LET_GO)
    story.silent("RaftFollowerLagging")
    return story


def term_runs_away() -> Story:
    story = Story("RaftTermRunaway: above the leader's term for 30 s, until the leader's is as high")
    cluster = story.cluster("orders")
    story.wait(SETTLED)
    cluster.export("raft_peer_term", 41, by=["n2"], peer="n3")
    story.wait(30)
    story.silent("RaftTermRunaway")
    story.wait(5)
    story.fires(
        "RaftTermRunaway",
        Alert(
            labels={"cluster": "orders", "peer": "n3", "severity": "warning"},
            summary="A member's term is above the leader's.",
            description="Cluster orders: n3 is in term 41, above the leader's. When it is heard again, the "
            "leader has to step down.",
        ),
    )
    cluster.lead("n2", 42)
    for peer in ("n1", "n2", "n3"):
        cluster.export("raft_peer_term", 42, peer=peer)
    story.wait(LET_GO)
    story.silent("RaftTermRunaway")
    story.has_fired("RaftTermRunaway", cluster="orders")
    return story


def term_of_an_election() -> Story:
    story = Story("RaftTermRunaway: an election is none, nor the leader's own term")
    cluster = story.cluster("orders")
    story.wait(SETTLED)
    for peer in ("n2", "n3"):
        cluster.export("raft_peer_term", 3, peer=peer)
    story.wait(30)
    cluster.lead("n2", 3)
    story.wait(LET_GO)
    story.has_fired()
    return story


def term_of_a_removed_member() -> Story:
    story = Story("RaftTermRunaway: lets go of a member that leaves the configuration")
    cluster = story.cluster("orders")
    story.wait(SETTLED)
    cluster.export("raft_peer_term", 41, peer="n3")
    story.wait(LET_GO)
    story.fires("RaftTermRunaway", _runaway("n3", 41))
    cluster.leave("n3")
    story.wait(LET_GO)
    story.silent("RaftTermRunaway")
    return story


def _written(story: Story, per_second: int) -> Cluster:
    """Give a settled cluster whose leader appends so many entries a second, and all follow."""
    cluster = story.cluster("orders")
    cluster.export("raft_node_last_log_index", 100, per_second)
    cluster.export("raft_node_commit_index", 100, per_second)
    for peer in ("n1", "n2", "n3"):
        _follow(cluster, peer, 0, per_second)
    story.wait(SETTLED)
    return cluster


def _follow(cluster: Cluster, peer: str, lag: int, per_second: int) -> None:
    """Have a member be ``lag`` entries behind the leader from now on, and append so many a second."""
    now = cluster.clock()
    last = cluster.sidecars["n1"].series["raft_node_last_log_index", ()].at(now)
    cluster.export("raft_peer_last_log_index", last - lag, per_second, peer=peer)


def _lagging(peer: str, entries: str) -> Alert:
    return Alert(
        labels={"cluster": "orders", "peer": peer, "severity": "warning"},
        summary="A member falls behind the leader's log and does not catch up.",
        description=f"Cluster orders: {peer} is {entries} entries behind the leader, and the gap does not "
        "close.",
    )


def _runaway(peer: str, term: int) -> Alert:
    return Alert(
        labels={"cluster": "orders", "peer": peer, "severity": "warning"},
        summary="A member's term is above the leader's.",
        description=f"Cluster orders: {peer} is in term {term}, above the leader's. When it is heard again, "
        "the leader has to step down.",
    )


STORIES = (
    falls_behind,
    behind_between_the_thresholds,
    catches_up,
    nothing_is_written,
    little_is_written,
    much_is_written,
    behind_and_down,
    behind_and_removed,
    term_runs_away,
    term_of_an_election,
    term_of_a_removed_member,
)
