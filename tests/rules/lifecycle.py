"""What happens to a cluster, to its sidecars and to Prometheus while alerts fire, or should not."""

from __future__ import annotations

import math

from raft_exporter.model.judge import State
from tests.rules.alerts import at_risk, offline, quorum_lost
from tests.rules.scenario import LET_GO, SETTLED, Alert, Story


def the_witnesses_die() -> Story:
    story = Story("What fires goes on while no sidecar answers, and ends when one says that all is well")
    cluster = story.cluster("orders")
    story.wait(SETTLED)
    cluster.judge("n2", State.OFFLINE)
    cluster.judge("n3", State.OFFLINE)
    story.wait(20)
    cluster.stop()
    for _ in range(2):
        story.wait(LET_GO)
        story.fires("RaftQuorumLost", quorum_lost("No sidecar that answers reaches a majority."))
        story.fires("RaftPeerOffline", offline("n2", ""), offline("n3", ""))
        story.fires("RaftQuorumAtRisk", at_risk(""))
    cluster.start("n1")
    cluster.judge("n2", State.ONLINE)
    cluster.judge("n3", State.ONLINE)
    story.wait(LET_GO)
    story.silent("RaftQuorumLost", "RaftPeerOffline", "RaftQuorumAtRisk")
    return story


def the_witnesses_come_back_and_say_the_same() -> Story:
    story = Story("What fires does not end with the sidecars' return where the fault stays")
    cluster = story.cluster("orders")
    story.wait(SETTLED)
    cluster.judge("n2", State.OFFLINE)
    cluster.judge("n3", State.OFFLINE)
    story.wait(20)
    cluster.stop()
    story.wait(60)
    cluster.start()
    story.wait(LET_GO)
    says = "1 voters are online for most of the sidecars that reach a majority; a quorum takes 2."
    story.fires("RaftQuorumLost", quorum_lost(says))
    by = " for 3 of 3 sidecars that reach a majority"
    story.fires("RaftPeerOffline", offline("n2", by), offline("n3", by))
    story.fires("RaftQuorumAtRisk", at_risk("1 of 3 voters are online, ", lost="n2 n3"))
    return story


def the_witnesses_of_a_bad_leader_die() -> Story:
    story = Story("What is said of the leader goes on while no sidecar answers, and ends with their return")
    clusters = [story.cluster(name) for name in ("silent", "split", "stalled", "commit")]
    silent, split, stalled, commit = clusters
    commit.export("raft_node_last_log_index", 101)
    for peer in commit.sidecars:
        commit.export("raft_peer_last_log_index", 101, peer=peer)
    story.wait(SETTLED)
    silent.lose_leader()
    split.lead("n2", 2, by=["n2"])
    stalled.judge("n1", State.STALLED)
    story.wait(20)
    for cluster in clusters:
        cluster.stop()
    story.wait(LET_GO)
    for name, alert in BLIND:
        story.fires(name, alert)
    for cluster in clusters:
        cluster.start("n1")
        cluster.lead("n1", 2)
        cluster.judge("n1", State.ONLINE)
        cluster.export("raft_node_commit_index", 101)
    story.wait(LET_GO)
    story.silent(*(name for name, _ in BLIND))
    return story


BLIND = (
    (
        "RaftNoLeader",
        Alert(
            labels={"cluster": "silent", "severity": "critical"},
            summary="The cluster has no leader, and nothing can be written.",
            description="Cluster silent: no sidecar that reaches a majority knows a leader that proved "
            "itself lately.",
        ),
    ),
    (
        "RaftSplitBrain",
        Alert(
            labels={"cluster": "split", "severity": "critical"},
            summary="Two nodes say that they lead in the same term.",
            description="Cluster split: Raft allows one leader in a term.",
        ),
    ),
    (
        "RaftLeaderStalled",
        Alert(
            labels={"cluster": "stalled", "peer": "n1", "severity": "critical"},
            summary="The leader hangs and no other takes over, so that nothing can be written.",
            description="Cluster stalled: n1 leads by its heartbeats, but its main loop does not answer. "
            "There is no fail-over as long as that process runs.",
        ),
    ),
    (
        "RaftCommitStalled",
        Alert(
            labels={"cluster": "commit", "severity": "warning"},
            summary="Entries come in, but none is committed.",
            description="Cluster commit: entries have waited in the leader's log for a minute, and none was "
            "committed. Too few followers acknowledge what is written.",
        ),
    ),
)


def the_peer_leaves() -> Story:
    story = Story("A member that leaves the configuration takes its alerts with it")
    cluster = story.cluster("orders", size=5)
    story.wait(SETTLED)
    cluster.stop("n5")
    cluster.judge("n5", State.OFFLINE)
    story.wait(20)
    by = " for 4 of 4 sidecars that reach a majority"
    story.fires("RaftPeerOffline", offline("n5", by))
    cluster.leave("n5", by=["n1", "n2", "n3", "n4"])
    story.wait(LET_GO)
    story.silent("RaftPeerOffline")
    story.has_fired("RaftPeerOffline", "RaftExporterDown", cluster="orders")
    return story


BETWEEN = (
    (
        "RaftQuorumLost",
        quorum_lost(
            "1 voters are online for most of the sidecars that reach a majority; a quorum takes 2.", "quorum"
        ),
    ),
    (
        "RaftNoLeader",
        Alert(
            labels={"cluster": "leader", "severity": "critical"},
            summary="The cluster has no leader, and nothing can be written.",
            description="Cluster leader: no sidecar that reaches a majority knows a leader that proved "
            "itself lately; the last proof is 5s old.",
        ),
    ),
    (
        "RaftLeaderStalled",
        Alert(
            labels={"cluster": "stalled", "peer": "n1", "severity": "critical"},
            summary="The leader hangs and no other takes over, so that nothing can be written.",
            description="Cluster stalled: n1 leads by its heartbeats, but its main loop does not answer "
            "since 0s. There is no fail-over as long as that process runs.",
        ),
    ),
    ("RaftQuorumAtRisk", at_risk("2 of 3 voters are online, ", cluster="risk")),
    ("RaftPeerOffline", offline("n3", " for 1 of 3 sidecars that reach a majority", "peer")),
)


def between_the_thresholds(story: Story) -> None:
    """Begin with a cluster for each alert, named after it, that neither begins nor ends it."""
    quorum = story.cluster("quorum")
    quorum.judge("n2", State.SUSPECT)
    quorum.judge("n3", State.SUSPECT)
    story.cluster("leader").export("raft_node_leader_silence_seconds", 5)
    story.cluster("stalled").judge("n1", State.STALLED, by=["n2"])
    story.cluster("risk").judge("n3", State.SUSPECT)
    story.cluster("peer").judge("n3", State.OFFLINE, by=["n1"])


def prometheus_restarts_between_the_thresholds() -> Story:
    story = Story("Between its thresholds an alert goes on over a restart of Prometheus")
    between_the_thresholds(story)
    for name, alert in BETWEEN:
        story.found("ALERTS", alertname=name, alertstate="firing", **alert.labels)
    for seconds in (5, 595):
        story.wait(seconds)
        for name, alert in BETWEEN:
            if name != "RaftNoLeader" or story.now > 10:
                story.fires(name, alert)
    return story


def nothing_fired_before_the_restart() -> Story:
    story = Story("Between its thresholds an alert that did not fire keeps silent")
    between_the_thresholds(story)
    story.wait(600)
    story.silent(*(name for name, _ in BETWEEN))
    return story


def prometheus_restarts_and_no_sidecar_answers() -> Story:
    story = Story("Where no sidecar answers, an alert goes on over a restart of Prometheus, and none begins")
    for name in ("orders", "quiet"):
        cluster = story.cluster(name)
        cluster.stop()
        for node in cluster.sidecars:
            story.found(
                "instance:raft_sidecar:last", cluster=name, instance=f"{node}:9106", job="raft", peer=node
            )
    story.found(
        "ALERTS", alertname="RaftQuorumLost", alertstate="firing", cluster="orders", severity="critical"
    )
    story.wait(30)
    story.has_fired("RaftQuorumLost", cluster="orders")
    story.wait(600)
    story.fires("RaftQuorumLost", quorum_lost("No sidecar that answers reaches a majority."))
    return story


def everything_starts() -> Story:
    story = Story("Sidecars whose nodes take 50 seconds to start are no reason for an alert")
    cluster = story.cluster("orders", size=5)
    for node in cluster.sidecars:
        cluster.judge(node, State.UNKNOWN)
    cluster.lose_leader()
    cluster.export("raft_node_leader_silence_seconds", math.nan)
    cluster.export("raft_up", 0)
    cluster.export("raft_node_has_leader", math.nan)
    cluster.stop("n3", "n4", "n5")
    story.wait(10)
    cluster.start()
    story.wait(10)
    for node in cluster.sidecars:
        cluster.judge(node, State.OFFLINE)
    story.wait(30)
    cluster.export("raft_up", 1)
    cluster.export("raft_node_has_leader", 0)
    for node in cluster.sidecars:
        cluster.judge(node, State.ONLINE)
    story.wait(5)
    cluster.lead("n1", 2)
    story.wait(LET_GO)
    story.has_fired()
    return story


STORIES = (
    the_witnesses_die,
    the_witnesses_come_back_and_say_the_same,
    the_witnesses_of_a_bad_leader_die,
    the_peer_leaves,
    prometheus_restarts_between_the_thresholds,
    nothing_fired_before_the_restart,
    prometheus_restarts_and_no_sidecar_answers,
    everything_starts,
)
