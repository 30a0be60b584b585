"""The alerts of the group raft.peers that say of a member that it is offline, or stalled."""

from __future__ import annotations

from raft_exporter.model.evidence import Suffrage
from raft_exporter.model.judge import State
from tests.rules.scenario import LET_GO, SETTLED, Alert, Story


def offline_for_all_others() -> Story:
    story = Story("RaftPeerOffline: offline for longer than join_grace, until it is back")
    cluster = story.cluster("orders", size=5)
    story.wait(SETTLED)
    cluster.stop("n5")
    cluster.judge("n5", State.OFFLINE)
    story.wait(15)
    story.silent("RaftPeerOffline")
    story.wait(5)
    story.fires(
        "RaftPeerOffline",
        Alert(
            labels={"cluster": "orders", "peer": "n5", "severity": "warning"},
            summary="A member is offline.",
            description="Cluster orders: n5 is offline for 4 of 4 sidecars that reach a majority, and longer "
            "than a restart takes.",
        ),
    )
    cluster.start("n5")
    cluster.judge("n5", State.ONLINE)
    story.wait(LET_GO)
    story.silent("RaftPeerOffline")
    story.has_fired("RaftPeerOffline", cluster="orders")
    return story


def offline_for_a_restart() -> Story:
    story = Story("RaftPeerOffline: a restart within join_grace is none")
    cluster = story.cluster("orders")
    story.wait(SETTLED)
    cluster.judge("n3", State.OFFLINE)
    story.wait(15)
    cluster.judge("n3", State.ONLINE)
    story.wait(LET_GO)
    story.silent("RaftPeerOffline")
    story.has_fired()
    return story


def offline_between_the_thresholds() -> Story:
    story = Story("RaftPeerOffline: most begin it, no more than a quarter end it")
    cluster = story.cluster("orders", size=5)
    story.wait(SETTLED)
    cluster.judge("n5", State.OFFLINE, by=["n1", "n2"])
    story.wait(LET_GO)
    story.silent("RaftPeerOffline")
    cluster.judge("n5", State.OFFLINE, by=["n3"])
    story.wait(20)
    story.fires("RaftPeerOffline", _offline("n5", 3, 5))
    cluster.judge("n5", State.ONLINE, by=["n1"])
    story.wait(LET_GO)
    story.fires("RaftPeerOffline", _offline("n5", 2, 5))
    # What keeps it up needs no age: who comes and goes for everybody is no better off.
    cluster.judge("n5", State.ONLINE, by=["n2", "n3"])
    cluster.judge("n5", State.OFFLINE, by=["n1", "n4"])
    story.wait(5)
    story.fires("RaftPeerOffline", _offline("n5", 2, 5))
    cluster.judge("n5", State.ONLINE, by=["n4"])
    story.wait(LET_GO)
    story.silent("RaftPeerOffline")
    cluster.judge("n5", State.OFFLINE, by=["n4"])
    story.wait(LET_GO)
    story.silent("RaftPeerOffline")
    return story


def offline_for_one_of_four() -> Story:
    story = Story("RaftPeerOffline: from four members on it takes two votes")
    cluster = story.cluster("orders", size=4)
    story.wait(SETTLED)
    cluster.stop("n2", "n3", "n4")
    cluster.judge("n4", State.OFFLINE)
    story.wait(60)
    story.silent("RaftPeerOffline")
    cluster.start("n2")
    story.wait(5)
    story.fires("RaftPeerOffline", _offline("n4", 2, 2))
    return story


def offline_for_one_of_three() -> Story:
    story = Story("RaftPeerOffline: of three members one vote is enough where no more are left")
    cluster = story.cluster("orders")
    story.wait(SETTLED)
    cluster.judge("n3", State.OFFLINE, by=["n1"])
    story.wait(60)
    story.silent("RaftPeerOffline")
    cluster.stop("n2", "n3")
    story.wait(5)
    story.fires("RaftPeerOffline", _offline("n3", 1, 1))
    return story


def offline_without_a_vote() -> Story:
    story = Story("RaftPeerOffline: a non-voter that is offline puts no quorum at risk, a voter does")
    cluster = story.cluster("orders")
    for _ in range(2):
        # Once more after the start: a new sidecar takes every member for a voter.
        cluster.join("n4", suffrage=Suffrage.NONVOTER)
        cluster.start("n4")
    story.wait(SETTLED)
    cluster.stop("n4")
    cluster.judge("n4", State.OFFLINE)
    story.wait(40)
    story.fires("RaftPeerOffline", _offline("n4", 3, 3))
    story.silent("RaftQuorumAtRisk")
    story.has_fired("RaftPeerOffline", cluster="orders")
    cluster.judge("n3", State.OFFLINE)
    story.wait(20)
    story.has_fired("RaftPeerOffline", "RaftQuorumAtRisk", cluster="orders")
    return story


def offline_and_removed() -> Story:
    story = Story("RaftPeerOffline: lets go of a member that leaves the configuration")
    cluster = story.cluster("orders")
    story.wait(SETTLED)
    cluster.stop("n3")
    cluster.judge("n3", State.OFFLINE)
    story.wait(20)
    story.fires("RaftPeerOffline", _offline("n3", 2, 2))
    cluster.leave("n3")
    story.wait(LET_GO)
    story.silent("RaftPeerOffline")
    return story


def stalled() -> Story:
    story = Story("RaftNodeStalled: heard, and stalled for longer than stall_after, until it answers")
    cluster = story.cluster("orders")
    story.wait(SETTLED)
    cluster.judge("n3", State.STALLED)
    story.wait(10)
    story.silent("RaftNodeStalled")
    story.wait(5)
    story.fires(
        "RaftNodeStalled",
        Alert(
            labels={"cluster": "orders", "peer": "n3", "severity": "warning"},
            summary="A node runs, but its Raft main loop hangs.",
            description="Cluster orders: n3 is heard, but its main loop does not answer, say 3 of 3 "
            "sidecars. Often it is a disk that hangs.",
        ),
    )
    story.silent("RaftLeaderStalled")
    cluster.judge("n3", State.ONLINE)
    story.wait(LET_GO)
    story.silent("RaftNodeStalled")
    return story


def stalled_and_then_offline() -> Story:
    story = Story("RaftNodeStalled: a silent process that is offline after stall_after is none")
    cluster = story.cluster("orders", size=5)
    story.wait(SETTLED)
    cluster.judge("n5", State.STALLED)
    story.wait(10)
    cluster.judge("n5", State.OFFLINE)
    story.wait(20)
    story.fires("RaftPeerOffline", _offline("n5", 5, 5))
    story.silent("RaftNodeStalled")
    story.has_fired("RaftPeerOffline", cluster="orders")
    return story


def stalled_between_the_thresholds() -> Story:
    story = Story("RaftNodeStalled: most begin it, no more than a quarter end it")
    cluster = story.cluster("orders", size=5)
    story.wait(SETTLED)
    cluster.judge("n5", State.STALLED, by=["n1", "n2"])
    story.wait(LET_GO)
    story.silent("RaftNodeStalled")
    cluster.judge("n5", State.STALLED, by=["n3"])
    story.wait(15)
    story.fires("RaftNodeStalled", _stalled("n5", 3, 5))
    cluster.judge("n5", State.ONLINE, by=["n1"])
    story.wait(LET_GO)
    story.fires("RaftNodeStalled", _stalled("n5", 2, 5))
    cluster.judge("n5", State.ONLINE, by=["n2"])
    story.wait(LET_GO)
    story.silent("RaftNodeStalled")
    cluster.judge("n5", State.STALLED, by=["n2"])
    story.wait(LET_GO)
    story.silent("RaftNodeStalled")
    return story


def stalled_and_removed() -> Story:
    story = Story("RaftNodeStalled: lets go of a member that leaves the configuration")
    cluster = story.cluster("orders")
    story.wait(SETTLED)
    cluster.judge("n3", State.STALLED)
    story.wait(15)
    story.fires("RaftNodeStalled", _stalled("n3", 3, 3))
    cluster.leave("n3")
    story.wait(LET_GO)
    story.silent("RaftNodeStalled")
    return story


def _offline(peer: str, votes: int, reporters: int) -> Alert:
    return Alert(
        labels={"cluster": "orders", "peer": peer, "severity": "warning"},
        summary="A member is offline.",
        description=f"Cluster orders: {peer} is offline for {votes} of {reporters} sidecars that reach a "
        "majority, and longer than a restart takes.",
    )


def _stalled(peer: str, votes: int, reporters: int) -> Alert:
    return Alert(
        labels={"cluster": "orders", "peer": peer, "severity": "warning"},
        summary="A node runs, but its Raft main loop hangs.",
        description=f"Cluster orders: {peer} is heard, but its main loop does not answer, say {votes} of "
        f"{reporters} sidecars. Often it is a disk that hangs.",
    )


STORIES = (
    offline_for_all_others,
    offline_for_a_restart,
    offline_between_the_thresholds,
    offline_for_one_of_four,
    offline_for_one_of_three,
    offline_without_a_vote,
    offline_and_removed,
    stalled,
    stalled_and_then_offline,
    stalled_between_the_thresholds,
    stalled_and_removed,
)
