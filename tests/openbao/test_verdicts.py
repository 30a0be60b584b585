"""The same verdicts, and true ones, by statsd, dogstatsd and the Prometheus endpoint each alone.

Beside each server of one real cluster stand three sidecars, one for each way of telemetry. Those of
different ways know nothing of each other. The tests share the cluster, and each gives it back whole.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from raft_exporter.client import SidecarClient
from raft_exporter.demo.cluster import SidecarProcess, until
from raft_exporter.demo.openbao import OpenBaoCluster, OpenBaoNode
from raft_exporter.model.evidence import Role, Suffrage
from raft_exporter.model.judge import Reason, State
from tests.integration.conftest import Home
from tests.integration.scrape import Scrape, scrape
from tests.openbao.ways import (
    NODES,
    WAYS,
    H,
    Sidecars,
    Ways,
    accused,
    beside,
    is_whole,
    member,
    since,
    until_each,
    until_sealed,
    until_silent,
    until_state,
    until_whole,
)

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give the directory of the sidecars."""
    return tmp_path_factory.mktemp("sidecars")


@pytest.fixture(scope="module")
def ways(path: Path) -> Ways:
    return Ways(path)


@pytest.fixture(scope="module")
def cluster(openbao: Path, ways: Ways, tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenBaoCluster]:
    """Give three servers that tell their telemetry in all three ways at once."""
    stanzas = {each: ways.stanza(each) for each in NODES}
    with OpenBaoCluster(tmp_path_factory.mktemp("openbao"), telemetry=stanzas) as running:
        yield running


@pytest.fixture(scope="module")
def token_file(path: Path, token: str) -> Path:
    file = path / "token"
    file.write_text(token)
    return file


@pytest.fixture(scope="module")
def home(path: Path, cluster: OpenBaoCluster) -> Iterator[Home]:
    """Give the home of the sidecars; none of them may have logged an error in the end."""
    made = Home(path)
    try:
        yield made
    finally:
        made.close()


@pytest.fixture(scope="module")
def sidecars(cluster: OpenBaoCluster, ways: Ways, token_file: Path, home: Home) -> Sidecars:
    """Give nine running sidecars."""
    made = {
        (way, each): ways.sidecar((way, each), node, token_file)
        for way in WAYS
        for each, node in cluster.nodes.items()
    }
    for sidecar in made.values():
        home.run(sidecar)
    return made


@pytest.fixture
def whole(cluster: OpenBaoCluster, sidecars: Sidecars) -> None:
    """Begin with a cluster that is whole, in the eyes of all."""
    until_whole(cluster, sidecars)


def autopilot(leader: OpenBaoNode, node: OpenBaoNode) -> dict[str, Any]:
    """What the active node's autopilot says of one server."""
    state = leader.call("GET", "sys/storage/raft/autopilot/state")
    found: dict[str, Any] = state["data"]["servers"][node.id]
    return found


def sees_all(sidecar: SidecarProcess) -> bool:
    """Whether its checkup finds API, telemetry and every Raft port to be well."""
    found = {check.name: check.ok for check in SidecarClient(sidecar.url).checkup().checks}
    return all(found[name] for name in ("API", "telemetry", *(f"Raft port of {each}" for each in NODES)))


@pytest.mark.usefixtures("whole")
def test_all_are_online_each_in_its_role_and_the_leader_hears_its_followers_by_each_way(
    cluster: OpenBaoCluster, sidecars: Sidecars
) -> None:
    leader = cluster.leader()
    views = until_whole(cluster, sidecars)
    for (way, each), view in views.items():
        assert (view.node.id, view.node.address) == (each, cluster.nodes[each].address), way
        assert view.node.leader_address == leader.address
        assert {one.id: (one.address, one.suffrage) for one in view.members} == {
            one.id: (one.address, Suffrage.VOTER) for one in cluster.nodes.values()
        }
        sidecar = sidecars[way, each]
        assert scrape(sidecar).value("raft_node_has_leader") == 1, (way, each)
        until(f"both sources and all Raft ports well by {way} beside {each}", partial(sees_all, sidecar))


@pytest.mark.usefixtures("whole")
def test_the_leader_counts_as_many_heartbeats_by_each_way(
    cluster: OpenBaoCluster, sidecars: Sidecars
) -> None:
    leader, (peer, _) = cluster.leader(), cluster.followers()
    own = beside(sidecars, leader)

    def counted() -> dict[str, float]:
        return {
            way: scrape(sidecar).value("raft_peer_heartbeats_total", peer=peer.id)
            for (way, _), sidecar in own.items()
        }

    before = counted()

    def enough() -> dict[str, float] | None:
        more = {way: count - before[way] for way, count in counted().items()}
        return more if min(more.values()) >= 30 else None

    more = until("30 heartbeats by each way", enough)
    # A scrape every H/2 is some five heartbeats behind, who counts each twice thirty ahead.
    assert max(more.values()) < 45, more


@pytest.mark.usefixtures("whole")
def test_a_frozen_follower_is_told_by_its_heartbeats_alone_while_the_api_calls_it_alive(
    cluster: OpenBaoCluster, sidecars: Sidecars, ways: Ways, token_file: Path, home: Home
) -> None:
    leader, (frozen, other) = cluster.leader(), cluster.followers()
    deaf = {key: ways.by_heartbeats_alone(key, leader, token_file) for key in beside(sidecars, leader)}
    for sidecar in deaf.values():
        home.run(sidecar)
    until_each("a whole cluster by heartbeats", deaf, lambda view: is_whole(view, leader.id))
    everybody = sidecars | {(f"{way} alone", each): sidecar for (way, each), sidecar in deaf.items()}
    before = accused(everybody, leader, other)
    frozen_at = time.monotonic()
    frozen.freeze()
    try:
        views = until_state(deaf, frozen, State.SUSPECT, Reason.SILENT)
        took = {key: time.monotonic() - frozen_at - since(sidecar, frozen) for key, sidecar in deaf.items()}
        assert max(took.values()) < 3 * H, took
        for key, view in views.items():
            silence = {each.id: each.silence_seconds.heartbeat or 0.0 for each in view.members}
            assert silence[other.id] < H <= silence[frozen.id], (key, silence)
            assert member(view, other).state is State.ONLINE, key
        until_state(beside(sidecars, leader, other), frozen, State.STALLED, Reason.PROCESS_SILENT)
        said = autopilot(leader, frozen)
        assert (said["node_status"], said["healthy"]) == ("alive", True)
        until_silent(beside(sidecars, frozen))
    finally:
        frozen.thaw()
    until_whole(cluster, everybody)
    assert accused(everybody, leader, other) == before
    for sidecar in deaf.values():
        sidecar.stop()


@pytest.mark.usefixtures("whole")
def test_a_killed_follower_is_offline_by_refusals_and_comes_back(
    cluster: OpenBaoCluster, sidecars: Sidecars
) -> None:
    leader, (killed, other) = cluster.leader(), cluster.followers()
    before = accused(sidecars, leader, other)
    killed.kill()
    try:
        for key, view in until_state(
            beside(sidecars, leader, other), killed, State.OFFLINE, Reason.REFUSED, Reason.PROCESS_GONE
        ).items():
            assert view.quorum.failure_tolerance == 0, key
            assert {each.id for each in view.members if each.state is State.ONLINE} == {leader.id, other.id}
        for key, sidecar in beside(sidecars, leader).items():
            failures = scrape(sidecar).by(
                "reason", "raft_peer_probe_failures_total", peer=killed.id, probe="tls"
            )
            assert failures["refused"] >= 2, key
        until_silent(beside(sidecars, killed))
    finally:
        killed.start()
    try:
        until_sealed(beside(sidecars, killed))
        for key, sidecar in sidecars.items():  # its process is there again, its Raft is not
            assert member(sidecar.cluster(), killed).state is State.OFFLINE, key
    finally:
        killed.unseal()
    until_whole(cluster, sidecars)
    assert accused(sidecars, leader, other) == before


@pytest.mark.usefixtures("whole")
def test_a_sealed_node_takes_no_part_though_its_process_answers(
    cluster: OpenBaoCluster, sidecars: Sidecars
) -> None:
    leader, (other, sealed) = cluster.leader(), cluster.followers()
    before = accused(sidecars, leader, other)
    sealed.seal()
    try:
        until_sealed(beside(sidecars, sealed))
        until_silent(beside(sidecars, sealed))
        reasons = Reason.REFUSED, Reason.PROCESS_GONE, Reason.SILENT_FOR_ALL
        for key, view in until_state(sidecars, sealed, State.OFFLINE, *reasons).items():
            assert view.quorum.failure_tolerance == 0, key
            assert {each.id for each in view.members if each.state is State.ONLINE} == {leader.id, other.id}
        assert sealed.running
    finally:
        sealed.unseal()
    until_whole(cluster, sidecars)
    assert accused(sidecars, leader, other) == before


@pytest.mark.usefixtures("whole")
def test_a_frozen_leader_is_stalled_and_its_successor_hears_the_other_one(
    cluster: OpenBaoCluster, sidecars: Sidecars
) -> None:
    frozen, others = cluster.leader(), cluster.followers()
    before = accused(sidecars, *others)
    frozen.freeze()
    try:
        until_state(beside(sidecars, *others), frozen, State.STALLED, Reason.PROCESS_SILENT)
        leaders = {
            view.node.leader
            for view in until_each(
                "another leader",
                beside(sidecars, *others),
                lambda view: view.node.leader in {each.id for each in others},
                together=True,
            ).values()
        }
        assert len(leaders) == 1
        (successor,) = [each for each in others if each.id in leaders]
        (other,) = [each for each in others if each is not successor]
        for key, view in until_each(
            f"{other.id} heard by its new leader",
            beside(sidecars, successor),
            lambda view: (
                view.node.role is Role.LEADER and (member(view, other).silence_seconds.heartbeat or H) < H
            ),
        ).items():
            assert member(view, other).state is State.ONLINE, key
            assert member(view, frozen).state in {State.STALLED, State.OFFLINE}, key
        until_silent(beside(sidecars, frozen))
    finally:
        frozen.thaw()
    until_whole(cluster, sidecars)
    assert accused(sidecars, *others) == before


@pytest.mark.usefixtures("whole")
def test_without_a_quorum_no_leader_is_named_while_the_api_names_the_dead_one(
    cluster: OpenBaoCluster, sidecars: Sidecars
) -> None:
    leader, (frozen, survivor) = cluster.leader(), cluster.followers()
    own = beside(sidecars, survivor)
    before = accused(sidecars, survivor)
    frozen.freeze()
    leader.freeze()
    try:
        until_each(
            "a candidate without a leader",
            own,
            lambda view: view.node.role is Role.CANDIDATE and view.node.leader is None,
        )
        for dead in (leader, frozen):
            until_state(own, dead, State.STALLED, Reason.PROCESS_SILENT)

        def leaderless(one: Scrape) -> bool:
            return (
                one.value("raft_node_has_leader") == 0
                and one.leader == ""
                and one.value("raft_node_leader_silence_seconds") > 4 * H
            )

        until("no leader in any metrics", lambda: all(leaderless(scrape(each)) for each in own.values()))
        for key, sidecar in own.items():
            view = sidecar.cluster()
            assert view.quorum.voters_online == 1, key
            assert member(view, survivor).state is State.ONLINE, key
        named = survivor.call("GET", "sys/leader")["leader_cluster_address"]
        assert named == f"https://{leader.address}"
        for key, sidecar in own.items():  # and not for a moment only
            assert leaderless(scrape(sidecar)), key
    finally:
        leader.thaw()
        frozen.thaw()
    until_whole(cluster, sidecars)
    assert accused(sidecars, survivor) == before


@pytest.mark.usefixtures("whole")
def test_a_removed_node_is_no_member_until_it_has_joined_again(
    cluster: OpenBaoCluster, sidecars: Sidecars
) -> None:
    leader, (removed, other) = cluster.leader(), cluster.followers()
    before = accused(sidecars, leader, other)
    cluster.remove_peer(removed)
    try:
        left = {leader.id, other.id}
        until_each(
            f"{removed.id} is no member",
            sidecars,
            lambda view: {each.id for each in view.members} == left and view.quorum.voters == 2,
        )
        for key, sidecar in beside(sidecars, removed).items():
            assert scrape(sidecar).value("raft_node_in_configuration") == 0, key
        until_each("no leader for it", beside(sidecars, removed), lambda view: view.node.leader is None)
        for key, sidecar in sidecars.items():
            assert {each.state for each in sidecar.cluster().members} == {State.ONLINE}, key
    finally:
        removed.stop()
        removed.wipe()
        removed.start()
        removed.unseal()
    until_whole(cluster, sidecars)
    assert accused(sidecars, leader, other) == before
