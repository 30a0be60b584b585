"""The alerts of the group raft.quorum: where each begins, where it ends, and what it does between."""

from __future__ import annotations

from raft_exporter.model.evidence import Suffrage
from raft_exporter.model.judge import State
from tests.rules.alerts import at_risk, quorum_lost
from tests.rules.scenario import LET_GO, SETTLED, Alert, Story

QUORUM_LOST = quorum_lost(
    "1 voters are online for most of the sidecars that reach a majority; a quorum takes 2."
)
NOBODY_REACHES_A_MAJORITY = Alert(
    labels={"severity": "critical"},
    summary="The cluster has lost its quorum, and nothing can be written.",
    description="fewer voters are left than a quorum. No sidecar that answers reaches a majority.",
)


def quorum_is_lost_by_proof_and_back_when_a_quorum_is_online() -> Story:
    story = Story("RaftQuorumLost begins with proof, and ends when a quorum is online")
    cluster = story.cluster("orders")
    story.wait(SETTLED)
    cluster.judge("n3", State.OFFLINE)
    cluster.judge("n2", State.SUSPECT)
    story.wait(60)
    story.silent("RaftQuorumLost")
    cluster.judge("n2", State.OFFLINE)
    story.wait(5)
    story.fires("RaftQuorumLost", QUORUM_LOST)
    cluster.judge("n2", State.SUSPECT)
    story.wait(LET_GO)
    story.fires("RaftQuorumLost", QUORUM_LOST)
    cluster.judge("n2", State.ONLINE)
    story.wait(LET_GO)
    story.silent("RaftQuorumLost")
    cluster.judge("n2", State.SUSPECT)
    story.wait(60)
    story.silent("RaftQuorumLost")
    return story


def quorum_is_lost_to_stalled_voters_of_five_for_most() -> Story:
    story = Story("RaftQuorumLost takes the word of most, and a voter that hangs is no voter")
    cluster = story.cluster("orders", size=5)
    cluster.join("n6", suffrage=Suffrage.NONVOTER)
    story.wait(SETTLED)
    cluster.judge("n4", State.OFFLINE)
    cluster.judge("n5", State.STALLED)
    cluster.judge("n6", State.OFFLINE)
    cluster.judge("n3", State.STALLED, by=["n1", "n2"])
    story.wait(60)
    story.silent("RaftQuorumLost")
    cluster.judge("n3", State.STALLED, by=["n4"])
    story.wait(5)
    story.fires(
        "RaftQuorumLost",
        quorum_lost("2 voters are online for most of the sidecars that reach a majority; a quorum takes 3."),
    )
    return story


def the_hosts_of_two_of_three_are_gone() -> Story:
    story = Story("RaftQuorumLost when all who answer are isolated, for more than two scrapes")
    cluster = story.cluster()
    story.wait(SETTLED)
    cluster.stop("n2", "n3")
    cluster.isolate("n1")
    story.wait(10)
    story.silent("RaftQuorumLost")
    story.wait(5)
    story.fires("RaftQuorumLost", NOBODY_REACHES_A_MAJORITY)
    cluster.start("n2", "n3")
    cluster.rejoin("n1")
    story.wait(LET_GO)
    story.silent("RaftQuorumLost")
    story.has_fired("RaftQuorumLost", "RaftNoLeader")
    return story


def one_of_three_is_cut_off() -> Story:
    story = Story("RaftQuorumLost is not for a minority that is cut off")
    cluster = story.cluster()
    story.wait(SETTLED)
    cluster.isolate("n3")
    cluster.judge("n3", State.OFFLINE, by=["n1", "n2"])
    story.wait(60)
    story.silent("RaftQuorumLost", "RaftNoLeader")
    return story


def an_override_says_online() -> Story:
    story = Story("RaftQuorumLost believes an operator, and 'ignore' is no word about a state")
    cluster = story.cluster("orders")
    story.wait(SETTLED)
    cluster.override("n2", State.ONLINE)
    cluster.judge("n2", State.OFFLINE)
    cluster.judge("n3", State.OFFLINE)
    story.wait(60)
    story.silent("RaftQuorumLost")
    cluster.override("n2", "ignore")
    story.wait(5)
    story.fires("RaftQuorumLost", QUORUM_LOST)
    return story


def the_margin_is_gone() -> Story:
    story = Story("RaftQuorumAtRisk begins with a voter lost, and ends with it online")
    cluster = story.cluster("orders")
    story.wait(SETTLED)
    cluster.judge("n3", State.OFFLINE)
    story.wait(15)
    story.silent("RaftQuorumAtRisk")
    story.wait(5)
    story.fires("RaftQuorumAtRisk", at_risk("2 of 3 voters are online, ", "n3"))
    cluster.judge("n3", State.SUSPECT)
    story.wait(LET_GO)
    story.fires("RaftQuorumAtRisk", at_risk("2 of 3 voters are online, "))
    cluster.judge("n3", State.ONLINE)
    story.wait(LET_GO)
    story.silent("RaftQuorumAtRisk")
    cluster.judge("n3", State.SUSPECT)
    story.wait(60)
    story.silent("RaftQuorumAtRisk")
    return story


def the_margin_of_five() -> Story:
    story = Story("RaftQuorumAtRisk counts two of five, and what an operator took out only beside a loss")
    cluster = story.cluster("orders", size=5)
    cluster.join("n6", suffrage=Suffrage.NONVOTER)
    story.wait(SETTLED)
    cluster.judge("n6", State.OFFLINE)
    cluster.judge("n5", State.OFFLINE)
    story.wait(60)
    story.silent("RaftQuorumAtRisk")
    cluster.override("n4", State.OFFLINE)
    story.wait(5)
    story.fires("RaftQuorumAtRisk", at_risk("3 of 5 voters are online, ", "n5"))
    cluster.judge("n5", State.ONLINE)
    cluster.override("n3", State.OFFLINE)
    story.wait(LET_GO)
    story.silent("RaftQuorumAtRisk")
    return story


def a_cluster_that_never_had_a_margin() -> Story:
    story = Story("RaftQuorumAtRisk is not for a cluster of two, or of one that grows to three")
    pair = story.cluster("pair", size=2)
    grown = story.cluster("grown", size=1)
    story.wait(SETTLED)
    pair.judge("n2", State.OFFLINE)
    for node in ("n2", "n3"):
        grown.start(node)
        grown.join(node)
        story.wait(70)
        story.silent("RaftQuorumAtRisk")
    return story


def no_sidecar_answers() -> Story:
    story = Story("RaftNoReporters is for all of them, for a minute")
    cluster = story.cluster("orders")
    story.wait(SETTLED)
    cluster.stop("n1", "n2")
    story.wait(120)
    story.silent("RaftNoReporters")
    cluster.stop("n3")
    story.wait(60)
    story.silent("RaftNoReporters")
    story.wait(5)
    story.fires(
        "RaftNoReporters",
        Alert(
            labels={"cluster": "orders", "severity": "critical"},
            summary="No sidecar of the cluster answers, and nothing is known of it.",
            description="Cluster orders: none of its 3 sidecars answers Prometheus.",
        ),
    )
    cluster.start("n1")
    story.wait(LET_GO)
    story.silent("RaftNoReporters")
    story.has_fired("RaftNoReporters", "RaftExporterDown", cluster="orders")
    return story


STORIES = (
    quorum_is_lost_by_proof_and_back_when_a_quorum_is_online,
    quorum_is_lost_to_stalled_voters_of_five_for_most,
    the_hosts_of_two_of_three_are_gone,
    one_of_three_is_cut_off,
    an_override_says_online,
    the_margin_is_gone,
    the_margin_of_five,
    a_cluster_that_never_had_a_margin,
    no_sidecar_answers,
)
