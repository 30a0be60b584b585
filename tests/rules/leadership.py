"""Who leads: RaftNoLeader, RaftSplitBrain, RaftStaleLeader and RaftLeaderStalled."""

from __future__ import annotations

import math

from raft_exporter.model.judge import State
from tests.rules.scenario import LET_GO, SETTLED, Alert, Story


def no_leader_for_longer_than_an_election() -> Story:
    story = Story("RaftNoLeader begins above gone_after, and ends below suspect_after")
    cluster = story.cluster("orders")
    story.wait(SETTLED)
    cluster.export("raft_node_leader_silence_seconds", 5.4)
    story.wait(60)
    story.silent("RaftNoLeader")
    cluster.lose_leader()
    story.wait(15)
    story.silent("RaftNoLeader")
    story.wait(5)
    story.fires("RaftNoLeader", no_leader("20s"))
    cluster.lead("n2", 3)
    cluster.export("raft_node_leader_silence_seconds", 2.1)
    story.wait(LET_GO)
    story.fires("RaftNoLeader", no_leader("2.1s"))
    cluster.export("raft_node_leader_silence_seconds", 2)
    story.wait(LET_GO)
    story.silent("RaftNoLeader")
    cluster.export("raft_node_leader_silence_seconds", 5.4)
    story.wait(60)
    story.silent("RaftNoLeader")
    story.has_fired("RaftNoLeader", cluster="orders")
    return story


def no_leader(since: str) -> Alert:
    return Alert(
        labels={"cluster": "orders", "severity": "critical"},
        summary="The cluster has no leader, and nothing can be written.",
        description="Cluster orders: no sidecar that reaches a majority knows a leader that proved itself "
        f"lately; the last proof is {since} old.",
    )


def no_leader_ever() -> Story:
    story = Story("RaftNoLeader where none ever led")
    cluster = story.cluster()
    cluster.judge("n3", State.UNKNOWN)
    cluster.lose_leader()
    cluster.export("raft_node_leader_silence_seconds", math.nan)
    story.wait(65)
    story.silent("RaftNoLeader")
    story.wait(5)
    story.fires(
        "RaftNoLeader",
        Alert(
            labels={"severity": "critical"},
            summary="The cluster has no leader, and nothing can be written.",
            description="no sidecar that reaches a majority knows a leader that proved itself lately.",
        ),
    )
    return story


def nobody_can_tell_whether_there_is_a_leader() -> Story:
    story = Story("RaftNoLeader takes no status for no word")
    cluster = story.cluster()
    cluster.export("raft_node_has_leader", math.nan)
    cluster.export("raft_node_leader_silence_seconds", math.nan)
    story.wait(180)
    story.silent("RaftNoLeader")
    return story


def one_credible_reporter_hears_the_leader() -> Story:
    story = Story("RaftNoLeader is not for those that alone do not hear the leader")
    cluster = story.cluster("orders")
    story.wait(SETTLED)
    cluster.lose_leader(by=["n2", "n3"])
    story.wait(60)
    story.silent("RaftNoLeader")
    cluster.isolate("n1")
    story.wait(15)
    story.fires("RaftNoLeader", no_leader("1m 15s"))
    return story


def two_lead_in_one_term() -> Story:
    story = Story("RaftSplitBrain is for one term; two leaders in two terms are RaftStaleLeader")
    cluster = story.cluster("orders", size=5)
    story.wait(SETTLED)
    cluster.lead("n4", 3, by=["n3", "n4", "n5"])
    story.wait(60)
    story.silent("RaftSplitBrain")
    cluster.lead("n1", 3, by=["n1", "n2"])
    story.wait(5)
    split = Alert(
        labels={"cluster": "orders", "severity": "critical"},
        summary="Two nodes say that they lead in the same term.",
        description="Cluster orders: n1 leads in term 3; n4 leads in term 3; "
        "Raft allows one leader in a term.",
    )
    story.fires("RaftSplitBrain", split)
    cluster.lead("n4", 4)
    story.wait(LET_GO)
    story.silent("RaftSplitBrain")
    story.has_fired("RaftSplitBrain", "RaftStaleLeader", cluster="orders")
    return story


def an_old_leader_stays() -> Story:
    story = Story("RaftStaleLeader is for 30 seconds of two leaders in two terms")
    cluster = story.cluster("orders", size=5)
    story.wait(SETTLED)
    cluster.lead("n4", 3, by=["n3", "n4", "n5"])
    story.wait(30)
    story.silent("RaftStaleLeader")
    story.wait(5)
    story.fires(
        "RaftStaleLeader",
        Alert(
            labels={"cluster": "orders", "peer": "n1", "severity": "warning"},
            summary="A second node says that it leads, in an older term.",
            description="Cluster orders: n1 still says that it leads, though another node leads in a later "
            "term. It may serve stale reads.",
        ),
    )
    cluster.stop("n1")
    story.wait(LET_GO)
    story.fires("RaftStaleLeader", story.firing[-1].alerts[0])
    cluster.start("n1")
    cluster.lead("n4", 3)
    story.wait(LET_GO)
    story.silent("RaftStaleLeader")
    return story


def an_old_leader_steps_down_soon() -> Story:
    story = Story("RaftStaleLeader is not for the time that a leader takes to step down")
    cluster = story.cluster("orders")
    story.wait(SETTLED)
    cluster.lead("n2", 3, by=["n2", "n3"])
    story.wait(30)
    cluster.lead("n2", 3)
    story.wait(60)
    story.silent("RaftStaleLeader")
    story.has_fired()
    return story


STALLED = Alert(
    labels={"cluster": "orders", "peer": "n1", "severity": "critical"},
    summary="The leader hangs and no other takes over, so that nothing can be written.",
    description="Cluster orders: n1 leads by its heartbeats, but its main loop does not answer since 12s. "
    "There is no fail-over as long as that process runs.",
)


def the_leader_hangs() -> Story:
    story = Story("RaftLeaderStalled begins with half of those that know a leader, and ends with a quarter")
    cluster = story.cluster("orders", size=5)
    cluster.export("raft_node_main_loop_silence_seconds", 12, by=["n1"])
    story.wait(SETTLED)
    cluster.export("raft_node_has_leader", math.nan, by=["n1"])
    cluster.judge("n1", State.STALLED, by=["n2", "n3"])
    story.wait(60)
    story.silent("RaftLeaderStalled")
    cluster.judge("n1", State.STALLED, by=["n4"])
    story.wait(5)
    story.fires("RaftLeaderStalled", STALLED)
    cluster.judge("n1", State.ONLINE, by=["n2"])
    story.wait(LET_GO)
    story.fires("RaftLeaderStalled", STALLED)
    cluster.judge("n1", State.ONLINE, by=["n3"])
    story.wait(LET_GO)
    story.silent("RaftLeaderStalled")
    cluster.judge("n1", State.STALLED, by=["n2"])
    story.wait(60)
    story.silent("RaftLeaderStalled")
    return story


def a_frozen_leader_is_replaced() -> Story:
    story = Story("RaftLeaderStalled is not for one that others have replaced, nor for a follower")
    cluster = story.cluster("orders", size=5)
    story.wait(SETTLED)
    cluster.lead("n2", 3, by=["n2", "n3", "n4", "n5"])
    cluster.judge("n1", State.STALLED)
    story.wait(60)
    story.silent("RaftLeaderStalled")
    return story


def a_leader_just_called_stalled_may_be_about_to_be_replaced() -> Story:
    story = Story("RaftLeaderStalled waits for as long as a frozen leader's followers may take to notice")
    cluster = story.cluster("orders")
    cluster.export("raft_node_main_loop_silence_seconds", 12, by=["n1"])
    story.wait(SETTLED)
    cluster.judge("n1", State.STALLED)
    for age in (0.9, 1.1):
        for each in ("n1", "n2", "n3"):
            cluster.export("raft_peer_judged_state_age_seconds", age, by=[each], peer="n1")
        story.wait(10)
        if age < 1:
            story.silent("RaftLeaderStalled")
    story.fires("RaftLeaderStalled", STALLED)
    return story


def the_leader_hangs_and_an_operator_knows() -> Story:
    story = Story("RaftLeaderStalled is silenced by an override of its member, and of no other")
    cluster = story.cluster("orders")
    cluster.export("raft_node_main_loop_silence_seconds", 12, by=["n1"])
    story.wait(SETTLED)
    cluster.override("n1", "ignore")
    cluster.judge("n1", State.STALLED)
    story.wait(60)
    story.silent("RaftLeaderStalled")
    cluster.override("n1", "")
    cluster.override("n2", "ignore")
    story.wait(5)
    story.fires("RaftLeaderStalled", STALLED)
    return story


STORIES = (
    no_leader_for_longer_than_an_election,
    no_leader_ever,
    nobody_can_tell_whether_there_is_a_leader,
    one_credible_reporter_hears_the_leader,
    two_lead_in_one_term,
    an_old_leader_stays,
    an_old_leader_steps_down_soon,
    the_leader_hangs,
    a_frozen_leader_is_replaced,
    a_leader_just_called_stalled_may_be_about_to_be_replaced,
    the_leader_hangs_and_an_operator_knows,
)
