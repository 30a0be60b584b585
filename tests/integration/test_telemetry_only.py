"""No observer and no API: the node's statsd packets, the native probe and the reports, and nothing else."""

from __future__ import annotations

import socket
from pathlib import Path

import msgspec
import pytest

from raft_exporter.demo.cluster import Cluster, Node, SidecarProcess, free_ports, until
from raft_exporter.errors import ClientError
from raft_exporter.view import ClusterView
from tests.integration.conftest import QUICK, Home
from tests.integration.scrape import PATIENCE, scrape, until_state

pytestmark = pytest.mark.integration

EXAMPLE = Path(__file__).parents[2] / "deploy" / "examples" / "go-metrics" / "raft-exporter.yml"

QUICK_H = 0.5
TELEMETRY = msgspec.structs.replace(QUICK, telemetry=True, store="bolt")


@pytest.fixture(scope="module")
def running(module_home: Home, raftnodes: Path) -> Cluster:
    return module_home.cluster(TELEMETRY)


@pytest.fixture
def cluster(running: Cluster) -> Cluster:
    """The cluster, whole: each sidecar knows by telemetry what its node is."""
    until_whole(running)
    return running


def views(cluster: Cluster) -> dict[str, ClusterView]:
    found = {}
    for each, sidecar in cluster.sidecars.items():
        try:
            found[each] = sidecar.cluster()
        except ClientError:
            return {}
    return found


def until_whole(cluster: Cluster) -> dict[str, ClusterView]:
    """Wait until all are online everywhere, and each node is called what it is."""

    def ask() -> dict[str, ClusterView] | None:
        leader = cluster.leader()
        wanted = {each: "leader" if each == leader.id else "follower" for each in cluster.nodes}
        found = views(cluster)
        online = all(str(member.state) == "online" for view in found.values() for member in view.members)
        roles = {each: str(view.node.role) for each, view in found.items()}
        return found if online and roles == wanted else None

    return until("all online, and every role told", ask, PATIENCE)


def heard_by_heartbeat(cluster: Cluster, node: Node) -> set[str]:
    silences = scrape(cluster.sidecars[node.id]).by("peer", "raft_peer_silence_seconds", source="heartbeat")
    return {peer for peer, silence in silences.items() if silence < QUICK_H}


def test_the_leader_hears_its_followers_and_knows_itself_and_a_follower_that_there_is_a_leader(
    cluster: Cluster,
) -> None:
    leader = cluster.leader()
    found = until_whole(cluster)
    assert found[leader.id].node.leader == leader.id
    assert heard_by_heartbeat(cluster, leader) == set(cluster.nodes) - {leader.id}
    for node in cluster.followers():
        view = found[node.id]
        assert view.node.leader is None  # its name is not in the telemetry of a follower
        assert view.node.leader_silence_seconds is not None
        one = scrape(cluster.sidecars[node.id])
        assert one.value("raft_node_has_leader") == 1
        assert one.value("raft_node_leader_silence_seconds") < 2 * QUICK_H
        assert heard_by_heartbeat(cluster, node) == set()
    one = scrape(cluster.sidecars[leader.id])
    for node in cluster.followers():
        assert one.value("raft_peer_heartbeats_total", peer=node.id) > 0
        assert one.value("raft_peer_heartbeat_duration_seconds_count", peer=node.id) > 0


def test_a_killed_follower_is_offline_and_comes_back(cluster: Cluster) -> None:
    victim = cluster.followers()[0]
    victim.kill()
    for one in until_state(dict(cluster.others(victim)), victim.id, "offline").values():
        assert one.value("raft_cluster_failure_tolerance") == 0
        assert one.states == dict.fromkeys(cluster.nodes, "online") | {victim.id: "offline"}
    victim.start()
    until_whole(cluster)


def test_a_frozen_follower_is_stalled_and_its_leader_misses_its_heartbeats(cluster: Cluster) -> None:
    leader, victim = cluster.leader(), cluster.followers()[0]
    victim.freeze()
    try:
        until_state(dict(cluster.others(victim)), victim.id, "stalled")
        assert victim.id not in heard_by_heartbeat(cluster, leader)
    finally:
        victim.thaw()
    until_whole(cluster)


def test_a_frozen_leader_is_stalled_and_another_takes_over(cluster: Cluster) -> None:
    victim = cluster.leader()
    victim.freeze()
    try:
        others = dict(cluster.others(victim))
        for one in until_state(others, victim.id, "stalled").values():
            assert one.states == dict.fromkeys(cluster.nodes, "online") | {victim.id: "stalled"}

        def led() -> bool:
            return any(str(sidecar.cluster().node.role) == "leader" for sidecar in others.values())

        until("another leads", led, PATIENCE)
    finally:
        victim.thaw()
    until_whole(cluster)


def test_a_leader_whose_store_hangs_is_stalled_though_its_heartbeats_pass(cluster: Cluster) -> None:
    victim = cluster.leader()
    victim.fault("log", "stall")
    try:
        victim.put("key", "value", timeout=0.2)
        until_state(cluster.sidecars, victim.id, "stalled")
        assert heard_by_heartbeat(cluster, victim) == set(cluster.nodes) - {victim.id}
    finally:
        victim.fault("log", "release")
    until_whole(cluster)


def test_telemetry_that_stops_accuses_nobody(cluster: Cluster) -> None:
    leader = cluster.leader()
    sidecar = cluster.sidecars[leader.id]
    before = scrape(sidecar).accusations(set(cluster.nodes))
    leader.kill()
    until_state(dict(cluster.others(leader)), leader.id, "offline")
    after = scrape(sidecar).accusations(set(cluster.nodes) - {leader.id})
    assert after == {each: count for each, count in before.items() if each in after}
    leader.start()
    until_whole(cluster)


def test_the_example_for_any_service_runs_beside_a_node(cluster: Cluster, tmp_path: Path) -> None:
    """Its packets are the test's own: the node's go to the sidecar that is there already."""
    own, *others = cluster.nodes.values()
    port = free_ports(1)[0]
    real = {
        "10.0.0.1:7000": own.address,
        "10.0.0.2:7000": others[0].address,
        "10.0.0.3:7000": others[1].address,
        "127.0.0.1:8125": f"127.0.0.1:{port}",
        "127.0.0.1:8126": f"127.0.0.1:{free_ports(1)[0]}",
        "/var/lib/raft-exporter/raft-exporter.db": str(tmp_path / "raft-exporter.db"),
    }
    text = EXAMPLE.read_text()
    for example, here in real.items():
        assert example in text
        text = text.replace(example, here)
    config = tmp_path / "raft-exporter.yml"
    config.write_text(text)
    sidecar = SidecarProcess(own.id, free_ports(1)[0], ["--config", str(config)], tmp_path)
    sidecar.start()
    try:

        def told() -> bool:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
                sock.sendto(b"app.raft.rpc.processHeartbeat:0.020000|ms\n", ("127.0.0.1", port))
            try:
                view = sidecar.cluster()
            except ClientError:
                return False
            online = [str(member.state) for member in view.members] == ["online"] * 3
            return online and (view.node.id, str(view.node.role)) == (own.id, "follower")

        until("all online, and a follower", told, PATIENCE)
    finally:
        sidecar.stop()
