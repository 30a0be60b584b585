"""A follower that receives a snapshot is busy, and its own sidecar knows it."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec.structs import replace

from raft_exporter.demo.cluster import SidecarProcess, until
from raft_exporter.view import MemberView
from tests.integration.conftest import QUICK, Home
from tests.integration.scrape import PATIENCE, until_healthy, until_probed

pytestmark = pytest.mark.integration

ENTRIES = 8


def member(sidecar: SidecarProcess, peer: str) -> MemberView:
    (found,) = [each for each in sidecar.cluster().members if each.id == peer]
    return found


def test_a_snapshot_being_installed_explains_a_silent_main_loop_to_the_own_sidecar(
    home: Home, raftnodes: Path
) -> None:
    cluster = home.cluster(replace(QUICK, store="bolt", snapshot_threshold=ENTRIES))
    until_healthy(cluster)
    leader, (victim, other) = cluster.leader(), cluster.followers()
    assert victim.stop() == 0
    for number in range(4 * ENTRIES):
        assert leader.put(f"key-{number}", "value")

    def behind_a_snapshot() -> bool:
        stats = leader.ask("/stats")
        return stats is not None and int(stats["last_snapshot_index"]) > 3 * ENTRIES

    until("the leader to have a snapshot in place of its log", behind_a_snapshot, PATIENCE)
    leader.freeze()
    other.freeze()  # nobody sends the snapshot before its reader hangs
    victim.start()
    until("the victim to answer", lambda: victim.ask("/healthz"), PATIENCE)
    victim.fault("fsm", "stall")
    leader.thaw()
    other.thaw()

    own = cluster.sidecars[victim.id]
    until("the snapshot to be told", lambda: member(own, victim.id).reason == "installing_snapshot", PATIENCE)

    def busy(_: str, __: object) -> None:
        seen = member(own, victim.id)
        assert (seen.state, seen.reason) == ("online", "installing_snapshot")
        assert seen.silence_seconds.raft is not None
        assert seen.silence_seconds.raft >= 1

    until_probed({victim.id: own}, [victim.id], 10, busy)
    others = dict(cluster.others(victim)).values()

    def known() -> bool:
        return {member(sidecar, victim.id).reason for sidecar in others} == {"installing_snapshot"}

    until("the snapshot to be known at the others", known, PATIENCE)

    victim.fault("fsm", "release")
    until_healthy(cluster)
    until("the snapshot's keys", lambda: victim.ask(f"/kv/key-{4 * ENTRIES - 1}"), PATIENCE)
