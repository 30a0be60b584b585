"""A leader that goes takes its evidence with it: nobody is accused by the word of a leader of the past."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest
from msgspec.structs import replace

from raft_exporter.demo.cluster import Cluster, Node, Settings, SidecarProcess, until
from tests.integration.conftest import QUICK, Home
from tests.integration.kernel import connections, connections_of
from tests.integration.observer_lines import hello, observation
from tests.integration.scrape import PATIENCE, scrape, try_scrape, until_healthy, until_probed, until_state

pytestmark = pytest.mark.integration


def accusations(cluster: Cluster, living: set[str]) -> dict[str, dict[tuple[str, str], float]]:
    """By sidecar, how often it accused each of ``living`` so far: a counter misses nothing."""
    return {each: scrape(sidecar).accusations(living) for each, sidecar in cluster.sidecars.items()}


def until_heartbeats_tell(cluster: Cluster, leader: Node) -> None:
    """Wait until the leader's sidecar has heartbeat evidence of the others, for that is what must go."""
    living = set(cluster.nodes) - {leader.id}
    sidecar = cluster.sidecars[leader.id]
    until("heartbeats of both followers", lambda: scrape(sidecar).heard_by("heartbeat") == living, PATIENCE)


def stale_failure(sidecar: SidecarProcess, node: Node, peer: str) -> None:
    """Tell a sidecar of a failed heartbeat that its node sent as leader of the past.

    A thawed leader says so itself in one of three cases, by the race of an answer with its deadline. Its
    observer loses its connection by this, and comes back.
    """

    def failures() -> float:
        return scrape(sidecar).value("raft_peer_heartbeat_failures_total", peer=peer)

    before = failures()
    with socket.socket(socket.AF_UNIX) as stream:
        stream.connect(str(node.observer_socket))
        stream.sendall(hello(node_id=node.id, address=node.address, heartbeat_timeout_ms=500))
        stream.sendall(observation("failed_heartbeat", peer=peer, last_contact_age_ms=1300))
        until("the failed heartbeat to be counted", lambda: failures() > before, PATIENCE)


def until_new_leader(sidecars: dict[str, SidecarProcess], old: str) -> str:
    """Wait until the sidecars agree on another leader, which says so itself; give its id."""

    def ask() -> str | None:
        now = {each: try_scrape(sidecar) for each, sidecar in sidecars.items()}
        known = {one.leader if one else "" for one in now.values()}
        leader = known.pop()
        one = now.get(leader)
        agreed = not known and leader not in {"", old} and one is not None and one.role == "leader"
        return leader if agreed else None

    return until("a new leader in the survivors' metrics", ask, PATIENCE)


def test_after_a_leader_is_killed_no_survivor_is_accused(home: Home, raftnodes: Path) -> None:
    cluster = home.cluster(Settings())
    until_healthy(cluster)
    old = cluster.leader()
    until_heartbeats_tell(cluster, old)
    living = set(cluster.nodes) - {old.id}
    before = accusations(cluster, living)
    terms = {each: scrape(cluster.sidecars[each]).value("raft_node_term") for each in living}
    old.kill()

    new = until_new_leader(dict(cluster.others(old)), old.id)
    until_state(cluster.sidecars, old.id, "offline")
    after = until_probed(cluster.sidecars, living, 10)  # five seconds and more
    assert accusations(cluster, living) == before
    for each in living:
        assert after[each].leader == new
        assert after[each].value("raft_node_term") > terms[each]
        assert after[each].value("raft_node_leader_changes_total") >= 1
        assert after[each].value("raft_cluster_voters_online") == 2
        assert not after[each].heard_by("heartbeat") & {each, old.id}
    assert after[old.id].states == dict.fromkeys(living, "online") | {old.id: "offline"}

    other = (living - {new}).pop()
    beats = after[new].by("peer", "raft_peer_heartbeats_total")
    until(
        "the new leader's heartbeats are counted in its own sidecar",
        lambda: (
            scrape(cluster.sidecars[new]).by("peer", "raft_peer_heartbeats_total")[other] > beats[other] > 0
        ),
    )
    assert scrape(cluster.sidecars[other]).by("peer", "raft_peer_heartbeats_total") == dict.fromkeys(
        cluster.nodes, 0
    )


def unanswered(asker: Node, asked: Node) -> bool:
    """Whether bytes that ``asker`` sent to the Raft port of ``asked`` wait there to be read."""
    from_asker = {each.local for each in connections_of(asker.pid) if each.remote == asked.address}
    return any(
        each.unread and each.local == asked.address and each.remote in from_asker for each in connections()
    )


@pytest.mark.parametrize("in_flight", [False, True], ids=["between heartbeats", "with a heartbeat in flight"])
def test_a_frozen_leader_that_is_thawed_accuses_nobody(home: Home, raftnodes: Path, in_flight: bool) -> None:
    cluster = home.cluster(replace(QUICK, transport_timeout="1s"))
    until_healthy(cluster)
    old = cluster.leader()
    until_heartbeats_tell(cluster, old)
    living = set(cluster.nodes) - {old.id}
    before = accusations(cluster, living)
    if in_flight:  # a follower that stands still for a moment leaves the leader with an unanswered request
        late = cluster.followers()[0]
        late.freeze()
        until("an unanswered request of the leader", lambda: unanswered(old, late))
        old.freeze()
        late.thaw()
    else:
        old.freeze()

    new = until_new_leader(dict(cluster.others(old)), old.id)
    until_state(dict(cluster.others(old)), old.id, "stalled")
    old.thaw()
    until(
        "the old leader follows the new one",
        lambda: (one := scrape(cluster.sidecars[old.id])).role == "follower" and one.leader == new,
        PATIENCE,
    )
    stale_failure(cluster.sidecars[old.id], old, (living - {new}).pop())
    until_healthy(cluster)
    until_probed(cluster.sidecars, living, 12)  # longer than a stale failure can take: a transport timeout
    assert accusations(cluster, living) == before
    assert scrape(cluster.sidecars[old.id]).heard_by("heartbeat") == {new}
