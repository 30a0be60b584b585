"""Members that come and go by configuration: their series come and go with them."""

from __future__ import annotations

from pathlib import Path

import pytest

from raft_exporter.demo.cluster import Cluster, Node, until
from raft_exporter.metrics import METRICS
from tests.integration.conftest import Home
from tests.integration.kernel import connections_of
from tests.integration.scrape import PATIENCE, scrape, until_healthy, until_state

pytestmark = pytest.mark.integration

PEER_METRICS = {metric.name for metric in METRICS if "peer" in metric.labels}


@pytest.fixture
def cluster(home: Home, raftnodes: Path) -> Cluster:
    cluster = home.cluster()
    until_healthy(cluster)
    return cluster


def remove(cluster: Cluster, node: str) -> None:
    """Have the leader take a node out of the configuration, and wait until no other sidecar names it."""
    others = dict(cluster.others(cluster.nodes[node]))
    cluster.leader().post("/remove", {"id": node})
    until(
        f"{node} in no metric of {', '.join(others)}",
        lambda: all(node not in scrape(sidecar).text for sidecar in others.values()),
        PATIENCE,
    )


def probers(cluster: Cluster, node: Node) -> dict[str, str]:
    """The other sidecars that have a connection to the Raft port of a node, and its address at their end."""
    return {
        each: connection.local
        for each, sidecar in cluster.others(node)
        for connection in connections_of(sidecar.pid)
        if connection.remote == node.address
    }


def test_a_voter_that_joins_has_every_series_and_none_once_it_is_removed(cluster: Cluster) -> None:
    node = cluster.join("n4")
    for one in until_healthy(cluster).values():
        named = {
            name.removesuffix("_bucket").removesuffix("_sum").removesuffix("_count")
            for name in one.names_with("n4")
        }
        assert named >= PEER_METRICS
        assert one.by("suffrage", "raft_cluster_members") == {"voter": 4, "nonvoter": 0, "staging": 0}
        assert one.value("raft_cluster_quorum") == 3
        assert one.value("raft_cluster_voters_online") == 4
        assert one.value("raft_cluster_failure_tolerance") == 1

    ours = probers(cluster, node)
    assert set(ours) == {"n1", "n2", "n3"}
    remove(cluster, "n4")
    until("no sidecar to be connected to n4", lambda: not probers(cluster, node), PATIENCE)
    # The leader may hang up on an answer that it has not read; a sidecar never does.
    errors = [line for line in node.log.read_text().splitlines() if "[ERROR]" in line]
    assert not [line for line in errors if any(f"->{end}:" in line for end in ours.values())]
    for each in ("n1", "n2", "n3"):
        one = scrape(cluster.sidecars[each])
        assert one.states == {"n1": "online", "n2": "online", "n3": "online"}
        assert one.by("suffrage", "raft_cluster_members")["voter"] == 3
        assert one.value("raft_cluster_quorum") == 2
        assert set(one.accusations(["n1", "n2", "n3"]).values()) == {0}
        assert 'msg="member left" peer=n4' in cluster.sidecars[each].log.read_text()


def test_a_non_voter_is_judged_but_does_not_count_in_the_quorum(cluster: Cluster) -> None:
    node = cluster.join("n4", voter=False)
    for each, one in until_healthy(cluster).items():
        assert one.value("raft_peer_info", peer="n4", address=node.address, suffrage="nonvoter") == 1
        assert one.by("suffrage", "raft_cluster_members") == {"voter": 3, "nonvoter": 1, "staging": 0}
        assert one.value("raft_cluster_quorum") == 2
        assert one.value("raft_cluster_voters_online") == 3
        assert one.value("raft_node_voter") == (each != "n4")
        assert one.value("raft_node_in_configuration") == 1

    node.kill()
    for one in until_state(dict(cluster.others(node)), "n4", "offline").values():
        assert one.value("raft_cluster_voters_online") == 3
        assert one.value("raft_cluster_failure_tolerance") == 1

    remove(cluster, "n4")
    one = scrape(cluster.sidecars["n1"])
    assert one.by("suffrage", "raft_cluster_members") == {"voter": 3, "nonvoter": 0, "staging": 0}
