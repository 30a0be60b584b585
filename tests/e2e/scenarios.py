"""What happens to a cluster, and what its people are to be told: nothing else, and each of it once."""

from __future__ import annotations

import threading
import time
from typing import Final

from raft_exporter.client import SidecarClient
from raft_exporter.demo.cluster import Node, Settings
from tests.e2e.ledger import Told
from tests.e2e.site import SPEED, Ground, Scenario

AT_RISK: Final = Told("pager", "RaftQuorumAtRisk")
QUORUM_LOST: Final = Told("pager", "RaftQuorumLost")

_LOOP: Final = 300.0
"""Seconds that a crash loop lasts, before they are divided like those of the rules."""
_UP, _DOWN = 2.5, 0.5
"""Seconds that its process lives and is dead: 15 H and 3 H."""


def offline(node: Node) -> Told:
    """The ticket about a member that is gone."""
    return Told("ticket", "RaftPeerOffline", node.id)


def kill_of_a_follower(ground: Ground) -> set[Told]:
    """One of three is gone: the next one loses the quorum."""
    victim = ground.cluster.followers()[0]
    ground.strike()
    victim.kill()
    wanted = {AT_RISK, offline(victim)}
    ground.until_told(*wanted)
    victim.start()
    ground.until_over()
    return wanted


def frozen_leader(ground: Ground) -> set[Told]:
    """Another one leads soon; the frozen one is first stalled and then offline, which is told once."""
    victim = ground.cluster.leader()
    ground.strike()
    victim.freeze()
    wanted = {AT_RISK, offline(victim)}
    ground.until_told(*wanted)
    victim.thaw()
    ground.until_over()
    return wanted


def stalled_leader_store(ground: Ground) -> set[Told]:
    """The leader keeps its office and commits nothing."""
    leader = ground.cluster.leader()
    ground.strike()
    leader.fault("log", "stall")
    assert not leader.put("key", "value"), "written with a stalled store"
    told = Told("pager", "RaftLeaderStalled", leader.id)
    ground.until_told(told)
    leader.fault("log", "release")
    ground.until_over()
    return {told}


def loss_of_quorum(ground: Ground) -> set[Told]:
    """Two of three are gone: one page, whatever else follows from it."""
    victims = ground.cluster.followers()
    ground.strike()
    for victim in victims:
        victim.kill()
    ground.until_told(QUORUM_LOST)
    others = [each for each in ground.cluster.nodes if each not in {victim.id for victim in victims}]
    ground.until_state("offline", *victims, by=others)
    ground.until_firing("RaftQuorumAtRisk", "RaftPeerOffline")
    for victim in victims:
        victim.start()
    ground.until_over()
    return {QUORUM_LOST}


def crash_loop(ground: Ground) -> set[Told]:
    """Five minutes of it, of a follower: one ticket about it, not one for each crash."""
    victim = ground.cluster.followers()[0]
    ground.strike()
    pace = threading.Event()
    end = time.monotonic() + _LOOP / SPEED
    while time.monotonic() < end:
        victim.kill()
        pace.wait(_DOWN)
        victim.start()
        pace.wait(_UP)
    wanted = {AT_RISK, Told("ticket", "RaftPeerFlapping", victim.id)}
    ground.until_told(*wanted)
    ground.until_over()
    return wanted


def rolling_restart(ground: Ground) -> set[Told]:
    """Node and sidecar of one member after the other: nobody is told anything."""
    ground.strike()
    for each, node in ground.cluster.nodes.items():
        sidecar = ground.cluster.sidecars[each]
        sidecar.stop()
        sidecar.start()
        node.stop()
        ground.until_state("offline", node, by=[other for other in ground.cluster.nodes if other != each])
        node.start()
        ground.until_whole()
    return set()


def override_during_a_fault(ground: Ground) -> set[Told]:
    """An operator takes over: what was announced is taken back, though the member is still gone."""
    victim = ground.cluster.followers()[0]
    ground.strike()
    victim.kill()
    wanted = {AT_RISK, offline(victim)}
    ground.until_told(*wanted)
    desk = SidecarClient(ground.cluster.sidecars[ground.cluster.leader().id].url)
    desk.set_override(victim.id, "ignore", 3600.0, "eve", "disk swap")
    ground.until_over()
    assert not victim.running
    victim.start()
    ground.until_whole()
    desk.clear_override(victim.id, "eve", "done")
    return wanted


SCENARIOS: Final = (
    Scenario("", kill_of_a_follower),
    Scenario("frozen", frozen_leader),
    Scenario("stalled", stalled_leader_store),
    Scenario("lost", loss_of_quorum),
    Scenario(
        "crashing",
        crash_loop,
        settings=Settings("167ms", "167ms", "83ms", store="bolt"),
    ),
    Scenario("rolling", rolling_restart, size=5, settings=Settings("500ms", "500ms", "250ms", store="bolt")),
    Scenario("override", override_during_a_fault),
)
