"""The alerts of the group raft.peers that say of a way that it is broken, or that the sidecars disagree."""

from __future__ import annotations

from typing import Final

from raft_exporter.model.judge import State
from tests.rules.scenario import LET_GO, SETTLED, Alert, Story

N3_IS_ISOLATED: Final = Alert(
    labels={"cluster": "orders", "peer": "n3", "severity": "warning"},
    summary="A node reaches no majority of the voters.",
    description="Cluster orders: n3 runs, but is cut off from most voters. It is the network that is broken, "
    "or the majority that is gone.",
)
N1_MISSES_N3: Final = Alert(
    labels={"cluster": "orders", "peer": "n3", "reporter": "n1", "severity": "warning"},
    summary="One node does not reach another that others reach.",
    description="Cluster orders: n1 does not reach n3, which others hear. The way between these two is "
    "broken.",
)
LEADS_IN_THE_PAST: Final = Alert(
    labels={"cluster": "orders", "peer": "n3", "severity": "warning"},
    summary="A second node says that it leads, in an older term.",
    description="Cluster orders: n3 still says that it leads, though another node leads in a later term. It "
    "may serve stale reads.",
)


def isolated() -> Story:
    story = Story("RaftNodeIsolated: after 15 s, until it reaches a majority again")
    cluster = story.cluster("orders")
    story.wait(SETTLED)
    cluster.isolate("n3")
    story.wait(15)
    story.silent("RaftNodeIsolated")
    story.wait(5)
    story.fires("RaftNodeIsolated", N3_IS_ISOLATED)
    cluster.rejoin("n3")
    story.wait(LET_GO)
    story.silent("RaftNodeIsolated")
    story.has_fired("RaftNodeIsolated", cluster="orders")
    return story


def isolated_for_a_moment() -> Story:
    story = Story("RaftNodeIsolated: not for a moment, nor in the first minute")
    cluster = story.cluster("orders")
    cluster.judge("n3", State.OFFLINE)
    cluster.isolate("n3")
    story.wait(55)
    cluster.rejoin("n3")
    cluster.judge("n3", State.ONLINE)
    story.wait(SETTLED)
    cluster.isolate("n3")
    story.wait(15)
    cluster.rejoin("n3")
    story.wait(LET_GO)
    story.has_fired()
    return story


def isolated_and_silent() -> Story:
    story = Story(
        "RaftNodeIsolated: goes on while its sidecar does not answer, ends when it is back and well"
    )
    cluster = story.cluster("orders")
    story.wait(SETTLED)
    cluster.isolate("n3")
    story.wait(20)
    cluster.stop("n3")
    story.wait(LET_GO)
    story.fires("RaftNodeIsolated", N3_IS_ISOLATED)
    cluster.start("n3")
    story.wait(LET_GO)
    story.fires("RaftNodeIsolated", N3_IS_ISOLATED)
    cluster.stop("n3")
    story.wait(LET_GO)
    cluster.rejoin("n3")
    cluster.start("n3")
    story.wait(LET_GO)
    story.silent("RaftNodeIsolated")
    return story


def isolated_and_no_target() -> Story:
    story = Story("RaftNodeIsolated: lets go of a sidecar that is no target any more")
    cluster = story.cluster("orders")
    story.wait(SETTLED)
    cluster.isolate("n3")
    story.wait(20)
    cluster.stop("n3")
    story.wait(LET_GO)
    story.fires("RaftNodeIsolated", N3_IS_ISOLATED)
    cluster.forget("n3")
    story.wait(LET_GO)
    story.silent("RaftNodeIsolated")
    return story


def partial_partition() -> Story:
    story = Story("RaftPartialPartition: after gone_after, until it is reached again")
    cluster = story.cluster("orders")
    story.wait(SETTLED)
    cluster.judge("n3", State.ASYMMETRIC, by=["n1"])
    story.wait(5)
    story.silent("RaftPartialPartition")
    story.wait(5)
    story.fires("RaftPartialPartition", N1_MISSES_N3)
    cluster.judge("n3", State.ONLINE, by=["n1"])
    story.wait(LET_GO)
    story.silent("RaftPartialPartition")
    story.has_fired("RaftPartialPartition", cluster="orders")
    return story


def partial_partition_of_a_moment() -> Story:
    story = Story("RaftPartialPartition: not for a moment, nor for a member that nobody reaches")
    cluster = story.cluster("orders", size=5)
    story.wait(SETTLED)
    cluster.judge("n3", State.ASYMMETRIC, by=["n1"])
    story.wait(5)
    cluster.judge("n3", State.ONLINE, by=["n1"])
    cluster.judge("n4", State.OFFLINE)
    story.wait(60)
    story.has_fired("RaftPeerOffline", cluster="orders")
    return story


def partial_partition_of_a_silent_sidecar() -> Story:
    story = Story(
        "RaftPartialPartition: goes on while its reporter is silent, ends when that is back and well"
    )
    cluster = story.cluster("orders")
    story.wait(SETTLED)
    cluster.judge("n3", State.ASYMMETRIC, by=["n1"])
    story.wait(10)
    cluster.stop("n1")
    story.wait(LET_GO)
    story.fires("RaftPartialPartition", N1_MISSES_N3)
    cluster.judge("n3", State.ONLINE, by=["n1"])
    cluster.start("n1")
    story.wait(LET_GO)
    story.silent("RaftPartialPartition")
    return story


def partial_partition_and_no_target() -> Story:
    story = Story("RaftPartialPartition: lets go of a reporter that is no target, of a member that left")
    cluster = story.cluster("orders", size=5)
    story.wait(SETTLED)
    cluster.judge("n3", State.ASYMMETRIC, by=["n1", "n2"])
    story.wait(10)
    cluster.stop("n2")
    story.wait(LET_GO)
    n2_misses_n3 = Alert(
        labels={**N1_MISSES_N3.labels, "reporter": "n2"},
        summary=N1_MISSES_N3.summary,
        description="Cluster orders: n2 does not reach n3, which others hear. The way between these two is "
        "broken.",
    )
    story.fires("RaftPartialPartition", N1_MISSES_N3, n2_misses_n3)
    cluster.forget("n2")
    story.wait(LET_GO)
    story.fires("RaftPartialPartition", N1_MISSES_N3)
    cluster.leave("n3")
    story.wait(LET_GO)
    story.silent("RaftPartialPartition")
    return story


def disagreement() -> Story:
    story = Story("RaftReportersDisagree: more than a quarter on each side, for a minute")
    cluster = story.cluster("orders", size=5)
    story.wait(SETTLED)
    cluster.judge("n5", State.OFFLINE, by=["n1", "n2"])
    story.wait(60)
    story.silent("RaftReportersDisagree")
    story.wait(5)
    story.fires(
        "RaftReportersDisagree",
        Alert(
            labels={"cluster": "orders", "peer": "n5", "severity": "info"},
            summary="The sidecars disagree about a member.",
            description="Cluster orders: 2 sidecars say that n5 is offline, others that it is online.",
        ),
    )
    story.has_fired()
    cluster.judge("n5", State.ONLINE)
    story.wait(LET_GO)
    story.silent("RaftReportersDisagree")
    return story


def one_of_another_mind() -> Story:
    story = Story("RaftReportersDisagree: not for one of five, an isolated one, or where nobody says online")
    cluster = story.cluster("orders", size=5)
    story.wait(SETTLED)
    cluster.judge("n5", State.OFFLINE, by=["n1"])
    cluster.isolate("n4")
    cluster.judge("n5", State.OFFLINE, by=["n4"])
    cluster.judge("n3", State.OFFLINE, by=["n1", "n2"])
    cluster.judge("n3", State.SUSPECT, by=["n3", "n5"])
    story.wait(LET_GO)
    story.silent("RaftReportersDisagree")
    return story


def stale_leader_and_down() -> Story:
    story = Story(
        "RaftStaleLeader: goes on while its sidecar does not answer, ends when it is back and follows"
    )
    cluster = story.cluster("orders")
    story.wait(SETTLED)
    cluster.lead("n3", 2, by=["n3"])
    cluster.lead("n1", 3, by=["n1", "n2"])
    story.wait(35)
    story.fires("RaftStaleLeader", LEADS_IN_THE_PAST)
    cluster.stop("n3")
    story.wait(LET_GO)
    story.fires("RaftStaleLeader", LEADS_IN_THE_PAST)
    cluster.lead("n1", 3)
    cluster.start("n3")
    story.wait(LET_GO)
    story.silent("RaftStaleLeader")
    return story


def stale_leader_and_no_target() -> Story:
    story = Story("RaftStaleLeader: lets go of a sidecar that is no target any more")
    cluster = story.cluster("orders")
    story.wait(SETTLED)
    cluster.lead("n3", 2, by=["n3"])
    cluster.lead("n1", 3, by=["n1", "n2"])
    story.wait(35)
    cluster.stop("n3")
    story.wait(LET_GO)
    story.fires("RaftStaleLeader", LEADS_IN_THE_PAST)
    cluster.forget("n3")
    story.wait(LET_GO)
    story.silent("RaftStaleLeader")
    return story


STORIES = (
    isolated,
    isolated_for_a_moment,
    isolated_and_silent,
    isolated_and_no_target,
    partial_partition,
    partial_partition_of_a_moment,
    partial_partition_of_a_silent_sidecar,
    partial_partition_and_no_target,
    disagreement,
    one_of_another_mind,
    stale_leader_and_down,
    stale_leader_and_no_target,
)
