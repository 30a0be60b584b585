"""The observer's stream breaks and comes back: in whichever order node and sidecar start and stop."""

from __future__ import annotations

from pathlib import Path

import pytest

from raft_exporter.demo.cluster import until
from tests.integration.conftest import Home
from tests.integration.scrape import PATIENCE, scrape, until_healthy, until_probed

pytestmark = pytest.mark.integration


def test_sidecars_that_start_after_their_nodes_learn_all(home: Home, raftnodes: Path) -> None:
    cluster = home.idle_cluster()
    for node in cluster.nodes.values():
        node.start()
    cluster.leader()
    for sidecar in cluster.sidecars.values():
        sidecar.start()
    for one in until_healthy(cluster).values():
        assert one.leader == cluster.leader().id


@pytest.mark.parametrize("kill", [False, True], ids=["stopped", "killed"])
def test_a_sidecar_that_was_restarted_knows_all_again(home: Home, raftnodes: Path, kill: bool) -> None:
    cluster = home.cluster()
    until_healthy(cluster)
    leader = cluster.leader()
    sidecar = cluster.sidecars[leader.id]
    others = dict(cluster.others(leader))
    socket = leader.observer_socket
    if kill:
        sidecar.kill()
        assert socket.exists()  # left behind, and replaced at the next start
    else:
        assert sidecar.stop() == 0
        assert not socket.exists()
    until_probed(others, cluster.nodes, 4)
    sidecar.start()
    for each, one in until_healthy(cluster).items():
        assert one.leader == leader.id
        assert one.role == ("leader" if each == leader.id else "follower")
        assert set(one.accusations(cluster.nodes).values()) == {0}  # a sidecar's end says nothing of its node
    until(
        "heartbeats are told again",
        lambda: sum(scrape(sidecar).by("peer", "raft_peer_heartbeats_total").values()) > 0,
        PATIENCE,
    )


def test_a_node_that_was_restarted_is_known_again_to_its_sidecar(home: Home, raftnodes: Path) -> None:
    cluster = home.cluster()
    until_healthy(cluster)
    node = cluster.followers()[0]
    sidecar = cluster.sidecars[node.id]
    assert node.stop() == 0

    def gone() -> bool:
        one = scrape(sidecar)
        return (
            one.value("raft_exporter_source_up", source="observer") == 0
            and one.value("raft_up") == 0
            and one.role == "unknown"
            and one.leader == ""
            and one.states[node.id] == "offline"
        )

    until("the sidecar knows that its node is gone", gone, PATIENCE)
    others = [each for each in cluster.nodes if each != node.id]
    assert {scrape(sidecar).states[each] for each in others} == {"online"}
    node.start()
    until_healthy(cluster)
