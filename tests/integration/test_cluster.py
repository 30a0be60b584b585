"""A healthy cluster, as every sidecar's metrics show it."""

from __future__ import annotations

from pathlib import Path

import pytest

from raft_exporter.demo.cluster import Cluster, Settings, until
from tests.integration.conftest import Home
from tests.integration.scrape import PATIENCE, Scrape, scrape, until_healthy, until_probed

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def cluster(module_home: Home, raftnodes: Path) -> Cluster:
    """Three nodes with the default timeouts of hashicorp/raft."""
    cluster = module_home.cluster(Settings())
    until_healthy(cluster)
    return cluster


def test_one_leader_two_followers_and_everybody_online(cluster: Cluster) -> None:
    scrapes = until_healthy(cluster)
    leader = cluster.leader()
    assert {each: one.role for each, one in scrapes.items()} == {
        each: "leader" if each == leader.id else "follower" for each in cluster.nodes
    }
    for each, one in scrapes.items():
        assert one.leader == leader.id
        assert one.value("raft_node_leader_info", leader=leader.id, address=leader.address) == 1
        assert one.states == {"n1": "online", "n2": "online", "n3": "online"}
        assert one.by("id", "raft_node_info") == {each: 1}
        assert one.by("suffrage", "raft_cluster_members") == {"voter": 3, "nonvoter": 0, "staging": 0}
        assert one.value("raft_cluster_quorum") == 2
        assert one.value("raft_cluster_voters_online") == 3
        assert one.value("raft_cluster_failure_tolerance") == 1
        assert one.value("raft_exporter_threshold_seconds", threshold="heartbeat_timeout") == 1


def test_what_the_node_says_is_what_the_metrics_say(cluster: Cluster) -> None:
    assert cluster.leader().put("key", "value")

    def told() -> bool:
        pairs = [(node.ask("/stats"), scrape(cluster.sidecars[each])) for each, node in cluster.nodes.items()]
        return all(
            stats is not None and now.value(f"raft_node_{name}") == float(stats[name])
            for stats, now in pairs
            for name in ("term", "last_log_index", "commit_index", "applied_index", "fsm_pending")
        )

    until("the metrics of every node to agree with its /stats", told, PATIENCE)


def test_heartbeats_are_counted_at_the_leader_of_its_peers_alone(cluster: Cluster) -> None:
    leader = cluster.leader().id
    peers = set(cluster.nodes) - {leader}

    def counts(now: Scrape) -> dict[str, float]:
        for peer, total in now.by("peer", "raft_peer_heartbeats_total").items():
            assert now.value("raft_peer_heartbeat_duration_seconds_count", peer=peer) == total
        return now.by("peer", "raft_peer_heartbeats_total")

    before = counts(scrape(cluster.sidecars[leader]))
    until(
        "ten more heartbeats of each follower at the leader's sidecar",
        lambda: all(counts(scrape(cluster.sidecars[leader]))[peer] >= before[peer] + 10 for peer in peers),
    )
    after = scrape(cluster.sidecars[leader])
    assert counts(after)[leader] == 0
    assert all(0 < after.value("raft_peer_heartbeat_duration_seconds_sum", peer=peer) < 60 for peer in peers)
    for follower in peers:
        assert counts(scrape(cluster.sidecars[follower])) == dict.fromkeys(cluster.nodes, 0)


def test_heartbeat_silence_is_told_only_of_whom_heartbeats_speak(cluster: Cluster) -> None:
    leader = cluster.leader().id
    for each, one in until_healthy(cluster).items():
        assert one.heard_by("heartbeat") == (set(cluster.nodes) - {leader} if each == leader else {leader})


def test_every_member_is_probed_the_own_node_included(cluster: Cluster) -> None:
    for one in until_probed(cluster.sidecars, cluster.nodes, 4).values():
        for peer in cluster.nodes:
            answered = one.value("raft_peer_probe_duration_seconds_count", peer=peer, probe="raft")
            assert answered == one.value("raft_peer_probes_total", peer=peer, probe="raft")


def test_a_healthy_cluster_is_not_accused_of_anything(cluster: Cluster) -> None:
    for one in until_probed(cluster.sidecars, cluster.nodes, 4).values():
        assert set(one.accusations(cluster.nodes).values()) == {0}
        assert one.by("peer", "raft_peer_transitions_total", to="online") == dict.fromkeys(cluster.nodes, 1)
