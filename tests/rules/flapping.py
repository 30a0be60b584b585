"""RaftPeerFlapping: who comes and goes."""

from __future__ import annotations

from tests.rules.cluster import Cluster
from tests.rules.scenario import LET_GO, SETTLED, Alert, Story


def goes_and_comes() -> Story:
    story = Story("RaftPeerFlapping: three times offline in 15 minutes begin it, none in 15 minutes ends it")
    cluster = story.cluster("orders")
    story.wait(SETTLED)
    # Offline for the first time at 75 s, at 375 s, and at 675 s.
    for times in (1, 2, 3):
        _went_offline(cluster, "n3", times)
        story.wait(295)
        if times < 3:
            story.silent("RaftPeerFlapping")
        story.wait(5)
    story.fires(
        "RaftPeerFlapping",
        Alert(
            labels={"cluster": "orders", "peer": "n3", "severity": "warning"},
            summary="A member goes and comes again and again.",
            description="Cluster orders: n3 went offline 3 times in the last 15 minutes.",
        ),
    )
    story.wait(590)
    story.fires("RaftPeerFlapping", _flapping("n3", 1))
    story.wait(10 + LET_GO)
    story.silent("RaftPeerFlapping")
    # Once more is no reason to begin, though it would have been one to go on.
    _went_offline(cluster, "n3", 4)
    story.wait(60)
    story.silent("RaftPeerFlapping")
    return story


def goes_twice() -> Story:
    story = Story("RaftPeerFlapping: two times are none, nor are more that one sidecar alone has seen")
    cluster = story.cluster("orders")
    story.wait(SETTLED)
    for times in (1, 2):
        _went_offline(cluster, "n3", times)
        story.wait(60)
    cluster.export("raft_peer_transitions_total", 9, by=["n1"], peer="n3", to="offline")
    story.wait(60)
    story.silent("RaftPeerFlapping")
    story.has_fired()
    return story


def goes_for_good() -> Story:
    story = Story("RaftPeerFlapping: lets go of a member that leaves the configuration")
    cluster = story.cluster("orders")
    story.wait(SETTLED)
    for times in (1, 2, 3):
        _went_offline(cluster, "n3", times)
        story.wait(30)
    story.fires("RaftPeerFlapping", _flapping("n3", 3))
    cluster.leave("n3")
    story.wait(LET_GO)
    story.silent("RaftPeerFlapping")
    return story


def _went_offline(cluster: Cluster, peer: str, times: int) -> None:
    cluster.export("raft_peer_transitions_total", times, peer=peer, to="offline")


def _flapping(peer: str, times: int) -> Alert:
    return Alert(
        labels={"cluster": "orders", "peer": peer, "severity": "warning"},
        summary="A member goes and comes again and again.",
        description=f"Cluster orders: {peer} went offline {times} times in the last 15 minutes.",
    )


STORIES = (
    goes_and_comes,
    goes_twice,
    goes_for_good,
)
