"""What outlives the sidecar: kill -9 at any moment, and what the next one knows."""

from __future__ import annotations

import os
import random
import sqlite3
import time
from contextlib import closing
from pathlib import Path
from typing import Final

import msgspec
import pytest

from raft_exporter.client import SidecarClient
from raft_exporter.demo.cluster import Cluster, SidecarProcess, until
from raft_exporter.errors import ClientError
from tests.integration.conftest import Home
from tests.integration.scrape import PATIENCE, scrape, until_healthy, until_state

pytestmark = pytest.mark.integration

KILLS: Final = 100 if os.environ.get("RAFT_EXPORTER_CHAOS") == "long" else 12
SEED: Final = 1


@pytest.fixture
def cluster(home: Home, raftnodes: Path) -> Cluster:
    cluster = home.cluster()
    until_healthy(cluster)
    return cluster


def client(sidecar: SidecarProcess) -> SidecarClient:
    return SidecarClient(sidecar.url)


def until_it_serves(sidecar: SidecarProcess) -> None:
    def serves() -> bool:
        try:
            client(sidecar).cluster()
        except ClientError:
            return False
        return True

    until(f"the {sidecar.name} to serve", serves, PATIENCE)


def committed(database: Path) -> dict[int, bytes]:
    """The journal as another process reads it: what stands there is committed."""
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
        return dict(connection.execute("SELECT id, CAST(value AS BLOB) FROM journal"))


def standing(sidecar: SidecarProcess) -> dict[str, str]:
    return {each.peer: each.reason for each in client(sidecar).overrides().overrides}


def test_kill_9_at_any_moment_loses_no_override_and_no_committed_entry_and_blames_nobody(
    cluster: Cluster,
) -> None:
    rng = random.Random(SEED)
    node = cluster.followers()[0].id
    sidecar, database = cluster.sidecars[node], cluster.home / f"{node}.db"
    wanted: dict[str, str] = {}
    before: dict[int, bytes] = {}
    for kill in range(KILLS):
        peer = rng.choice(sorted(cluster.nodes))
        if rng.random() < 0.7:
            answer = client(sidecar).set_override(peer, "ignore", 3600.0, "test", f"kill {kill}")
            assert answer.stored
            wanted[peer] = f"kill {kill}"
        elif peer in wanted:
            assert client(sidecar).clear_override(peer, "test", "done").stored
            del wanted[peer]
        time.sleep(rng.uniform(0, 0.4))  # the moment of the kill is what is random here
        before |= committed(database)
        sidecar.kill()
        sidecar.start()
        until_it_serves(sidecar)
        assert standing(sidecar) == wanted
        after = committed(database)
        assert before.items() <= after.items()
    until_state(cluster.sidecars, node, "online")
    until_healthy(cluster)
    told = [msgspec.json.decode(each) for each in committed(database).values()]
    assert sum(each["kind"] == "started" for each in told) == KILLS + 1
    assert {each.get("after") for each in told} <= {None, "online", "unknown"}
    for each in cluster.sidecars.values():
        assert set(scrape(each).accusations(cluster.nodes).values()) == {0}


def test_offline_stays_offline_over_a_restart_and_online_has_to_be_heard_again(cluster: Cluster) -> None:
    victim, other = cluster.followers()
    sidecar = cluster.sidecars[other.id]
    victim.kill()
    until_state({other.id: sidecar}, victim.id, "offline")
    since = next(each for each in sidecar.cluster().members if each.id == victim.id).since_seconds
    sidecar.kill()
    sidecar.start()
    until_it_serves(sidecar)
    until_state({other.id: sidecar}, victim.id, "offline")
    member = next(each for each in sidecar.cluster().members if each.id == victim.id)
    assert member.since_seconds > since
    assert scrape(sidecar).value("raft_peer_transitions_total", peer=victim.id, to="offline") == 0
    victim.start()
    until_healthy(cluster)


def test_the_members_are_known_after_a_restart_beside_a_node_that_is_down(cluster: Cluster) -> None:
    victim = cluster.followers()[0]
    sidecar = cluster.sidecars[victim.id]
    victim.kill()
    until_state({victim.id: sidecar}, victim.id, "offline")
    sidecar.kill()
    sidecar.start()
    until_it_serves(sidecar)
    wanted = dict.fromkeys(cluster.nodes, "online") | {victim.id: "offline"}
    until("all members known again", lambda: sidecar.states() == wanted, PATIENCE)
    victim.start()
    until_healthy(cluster)


def test_an_override_reaches_every_sidecar_and_so_does_its_end(cluster: Cluster) -> None:
    first, second, third = cluster.sidecars.values()
    client(first).set_override("n1", "offline", 3600.0, "eve", "disk swap")
    everywhere = [{"n1": "disk swap"}] * 3
    until(
        "the override", lambda: [standing(each) for each in cluster.sidecars.values()] == everywhere, PATIENCE
    )
    for sidecar in cluster.sidecars.values():
        one = scrape(sidecar)
        assert one.states["n1"] == "offline"
        assert one.the_one("state", "raft_peer_judged_state", peer="n1") == "online"
        assert one.value("raft_peer_override", peer="n1", state="offline") == 1
        assert one.value("raft_cluster_voters_online") == 2
    # Two operators on two sidecars at once.
    client(second).set_override("n2", "ignore", 3600.0, "eve", "by one")
    client(third).set_override("n2", "ignore", 3600.0, "eve", "by another")
    client(third).clear_override("n1", "eve", "done")

    def settled() -> bool:
        found = [standing(sidecar) for sidecar in cluster.sidecars.values()]
        return found[0] == found[1] == found[2] and found[0].keys() == {"n2"}

    until("the same everywhere", settled, PATIENCE)
    kinds = [entry.kind for entry in client(first).events(0, 100, "n1").entries]
    assert kinds[-2:] == ["override_set", "override_cleared"]
