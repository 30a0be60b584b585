"""What each fault of one node looks like in every sidecar's metrics (facts: kill, freeze, stuck disk)."""

from __future__ import annotations

from pathlib import Path

import pytest

from raft_exporter.demo.cluster import Cluster, Node, SidecarProcess, until
from tests.integration.conftest import Home
from tests.integration.scrape import PATIENCE, Scrape, scrape, until_healthy, until_probed, until_state

pytestmark = pytest.mark.integration


@pytest.fixture
def cluster(home: Home, raftnodes: Path) -> Cluster:
    cluster = home.cluster()
    until_healthy(cluster)
    return cluster


def until_reason(sidecar: SidecarProcess, peer: str, state: str, why: str) -> None:
    def told() -> bool:
        return any(
            member.id == peer and member.state == state and member.reason == why
            for member in sidecar.cluster().members
        )

    until(f"{peer} {state} for {why} at the {sidecar.name}", told, PATIENCE)


def test_a_killed_follower_is_offline_at_the_others_and_online_after_its_restart(cluster: Cluster) -> None:
    victim = cluster.followers()[0]
    others = dict(cluster.others(victim))
    victim.kill()
    for each, one in until_state(others, victim.id, "offline").items():
        assert one.states == dict.fromkeys(cluster.nodes, "online") | {victim.id: "offline"}
        until_reason(others[each], victim.id, "offline", "refused")
        assert one.value("raft_cluster_voters_online") == 2
        assert one.value("raft_cluster_failure_tolerance") == 0
        assert (
            one.value("raft_peer_probe_failures_total", peer=victim.id, probe="raft", reason="refused") >= 2
        )
    own = until_state({victim.id: cluster.sidecars[victim.id]}, victim.id, "offline")[victim.id]
    assert own.value("raft_up") == 0
    assert own.role == "unknown"
    victim.start()
    for one in until_healthy(cluster).values():
        assert one.value("raft_peer_transitions_total", peer=victim.id, to="offline") == 1
        assert one.value("raft_cluster_failure_tolerance") == 1


def test_a_frozen_follower_is_stalled_then_offline_and_online_once_thawed(cluster: Cluster) -> None:
    victim = cluster.followers()[0]
    victim.freeze()
    for one in until_state(cluster.sidecars, victim.id, "stalled").values():
        stall_after = one.value("raft_exporter_threshold_seconds", threshold="stall_after")
        assert stall_after == 5
        assert one.value("raft_peer_silence_seconds", peer=victim.id, source="any") < stall_after
    for sidecar in cluster.sidecars.values():
        until_reason(sidecar, victim.id, "stalled", "process_silent")
    for one in until_state(cluster.sidecars, victim.id, "offline").values():
        assert one.value("raft_peer_silence_seconds", peer=victim.id, source="any") >= stall_after
        assert one.value("raft_cluster_failure_tolerance") == 0
    victim.thaw()
    for one in until_healthy(cluster).values():
        assert one.value("raft_peer_transitions_total", peer=victim.id, to="stalled") == 1
        assert one.value("raft_peer_transitions_total", peer=victim.id, to="offline") == 1
        assert (
            one.value("raft_peer_probe_failures_total", peer=victim.id, probe="raft", reason="refused") == 0
        )
        assert set(one.accusations(set(cluster.nodes) - {victim.id}).values()) == {0}


def test_a_follower_with_a_stuck_disk_is_stalled_though_it_answers_heartbeats(cluster: Cluster) -> None:
    leader, victim = cluster.leader(), cluster.followers()[0]
    at_leader = cluster.sidecars[leader.id]
    victim.fault("log", "stall")
    assert leader.put("key", "value")  # with the other follower: the cluster goes on

    first = until_state(cluster.sidecars, victim.id, "stalled")[leader.id]
    until_reason(at_leader, victim.id, "stalled", "main_loop_silent")
    until_reason(cluster.sidecars[victim.id], victim.id, "stalled", "main_loop_silent")
    suspect_after = first.value("raft_exporter_threshold_seconds", threshold="suspect_after")

    def heartbeats_pass(each: str, one: Scrape) -> None:
        if each == leader.id:
            assert one.states[victim.id] == "stalled"
            assert one.value("raft_peer_silence_seconds", peer=victim.id, source="heartbeat") < suspect_after
            assert one.value("raft_peer_silence_seconds", peer=victim.id, source="raft") >= suspect_after
            assert one.role == "leader"

    # Past stall_after of ten timeouts: the others, whom no heartbeat tells, call it offline by then.
    until_probed(cluster.sidecars, [victim.id], 20, heartbeats_pass)
    last = scrape(at_leader)
    beaten = last.value("raft_peer_heartbeats_total", peer=victim.id)
    assert beaten >= first.value("raft_peer_heartbeats_total", peer=victim.id) + 10
    assert last.value("raft_peer_heartbeat_failures_total", peer=victim.id) == 0

    victim.fault("log", "release")
    for one in until_healthy(cluster).values():
        assert set(one.accusations(set(cluster.nodes) - {victim.id}).values()) == {0}
    assert not [o for o in leader.observations() if o["kind"] == "failed_heartbeat"]


def test_a_leader_with_a_stuck_disk_is_stalled_everywhere_while_raft_calls_it_leader(
    cluster: Cluster,
) -> None:
    leader = cluster.leader()
    followers = {node.id for node in cluster.followers()}
    leader.fault("log", "stall")
    assert not leader.put("key", "value")

    before = until_state(cluster.sidecars, leader.id, "stalled")
    for sidecar in cluster.sidecars.values():
        until_reason(sidecar, leader.id, "stalled", "main_loop_silent")

    def no_fail_over(each: str, one: Scrape) -> None:
        assert one.states[leader.id] == "stalled"
        assert one.leader == leader.id
        assert one.role == ("leader" if each == leader.id else "follower")

    until_probed(cluster.sidecars, [leader.id], 16, no_fail_over)
    stats, said = leader.ask("/stats"), leader.ask("/leader")
    assert stats is not None
    assert said is not None
    assert stats["state"] == "Leader"
    assert said["is_leader"]
    own = scrape(cluster.sidecars[leader.id])
    assert own.value("raft_up") == 1
    for silence in ("raft_node_main_loop_silence_seconds", "raft_node_leader_silence_seconds"):
        assert own.value(silence) > before[leader.id].value(silence) >= 1
    assert own.value("raft_cluster_voters_online") == 2

    leader.fault("log", "release")
    for each, one in until_healthy(cluster).items():
        assert one.leader == leader.id
        assert one.value("raft_node_term") == before[each].value("raft_node_term")
        assert one.value("raft_node_leader_changes_total") == before[each].value(
            "raft_node_leader_changes_total"
        )
        assert set(one.accusations(followers).values()) == {0}
        assert one.value("raft_peer_transitions_total", peer=leader.id, to="offline") == 0


def test_a_short_pause_of_node_and_sidecar_together_accuses_nobody(cluster: Cluster) -> None:
    """As when a virtual machine is moved: the sidecar's own pause does not age its peers."""
    paused: Node = cluster.followers()[0]
    sidecar = cluster.sidecars[paused.id]
    others = dict(cluster.others(paused))
    sidecar.freeze()
    paused.freeze()
    until_state(others, paused.id, "stalled")
    paused.thaw()
    sidecar.thaw()
    until_healthy(cluster)
    after = until_probed({paused.id: sidecar}, cluster.nodes, 4)[paused.id]
    assert set(after.accusations(set(cluster.nodes) - {paused.id}).values()) == {0}
