"""A sidecar with flags alone: no observer, no configuration file, only the native probe."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from raft_exporter.demo.cluster import Cluster, SidecarProcess, free_ports, until
from tests.integration.conftest import Home
from tests.integration.scrape import PATIENCE, Scrape, try_scrape, until_state

pytestmark = pytest.mark.integration


@pytest.fixture
def cluster(home: Home, raftnodes: Path) -> Cluster:
    """Three nodes whose sidecars are told addresses, and no id of their own."""

    def flags_alone(cluster: Cluster) -> None:
        for node, port in zip(cluster.nodes.values(), free_ports(3), strict=True):
            peers = [f"{other.id}={other.address}" for other in cluster.nodes.values() if other is not node]
            flags = ["--raft", node.address, *(part for peer in peers for part in ("--peer", peer))]
            cluster.sidecars[node.id] = SidecarProcess(node.id, port, flags, home.path)

    return home.cluster(prepare=flags_alone)


def until_all_online(cluster: Cluster) -> dict[str, Scrape]:
    def ask() -> dict[str, Scrape] | None:
        now = {each: try_scrape(sidecar) for each, sidecar in cluster.sidecars.items()}
        online = dict.fromkeys(cluster.nodes, "online")
        good = {each: one for each, one in now.items() if one is not None and one.states == online}
        return good if len(good) == len(now) else None

    return until("every member online at every sidecar", ask, PATIENCE)


def test_flags_alone_give_the_own_id_and_everybody_s_state(cluster: Cluster) -> None:
    for each, one in until_all_online(cluster).items():
        info = one.rows("raft_node_info", id=each, address=cluster.nodes[each].address)
        assert [row.value for row in info] == [1]
        assert one.value("raft_cluster_quorum") == 2
        assert one.value("raft_cluster_voters_online") == 3
        assert one.value("raft_node_main_loop_silence_seconds") < 2
        assert one.by("peer", "raft_peer_term") == dict.fromkeys(cluster.nodes, one.value("raft_node_term"))
        # What only the observer could tell is not known, and not made up.
        assert one.value("raft_up") == 1
        assert one.role == "unknown"
        assert one.leader == ""
        assert math.isnan(one.value("raft_node_commit_index"))
        assert math.isnan(one.value("raft_node_voter"))


def test_a_killed_member_is_offline_and_online_after_its_restart(cluster: Cluster) -> None:
    until_all_online(cluster)
    victim = cluster.followers()[0]
    victim.kill()
    for one in until_state(cluster.sidecars, victim.id, "offline").values():
        assert one.value("raft_cluster_voters_online") == 2
        assert one.value("raft_cluster_failure_tolerance") == 0
        assert one.states == dict.fromkeys(cluster.nodes, "online") | {victim.id: "offline"}
    victim.start()
    until_all_online(cluster)


def test_a_killed_leader_accuses_no_survivor(cluster: Cluster) -> None:
    until_all_online(cluster)
    victim = cluster.leader()
    victim.kill()
    living = set(cluster.nodes) - {victim.id}
    for one in until_state(cluster.sidecars, victim.id, "offline").values():
        assert set(one.accusations(living).values()) == {0}
    cluster.leader()
    for one in until_state(cluster.sidecars, victim.id, "offline").values():
        assert set(one.accusations(living).values()) == {0}
