"""The adapter alone, beside each server of a real OpenBao cluster that is broken in every way.

The tests share one cluster, and each gives it back whole.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import aiohttp
import pytest

from raft_exporter.client import SidecarClient
from raft_exporter.demo.cluster import SidecarProcess, free_ports, until
from raft_exporter.demo.openbao import OpenBaoCluster, OpenBaoNode
from raft_exporter.errors import ClientError, NodeError
from raft_exporter.model.evidence import Configuration, NodeIdentity, NodeStatus, Role, Suffrage
from raft_exporter.schema import TlsConfig
from raft_exporter.secret import Secret
from raft_exporter.sources.node_api import Api
from raft_exporter.sources.nodes.detection import detect
from raft_exporter.sources.nodes.vault import VaultAdapter
from tests.openbao.conftest import EXAMPLE

pytestmark = pytest.mark.integration

_TURN = 0.8
"""Seconds for a turn, as beside a node with a HeartbeatTimeout of a second."""


class Beside:
    """An adapter beside one server, and what it told last."""

    def __init__(self, node: OpenBaoNode, token: str | None) -> None:
        self.node = node
        self.adapter = VaultAdapter()
        self.identity: NodeIdentity | None = None
        self.configuration: Configuration | None = None
        self.error: NodeError | None = None
        self._headers = self.adapter.headers(None if token is None else Secret(token))

    async def ask(self) -> NodeStatus | None:
        """Ask once, as the loop does; None, and the error is kept, where that fails."""
        self.error = None
        async with aiohttp.ClientSession() as session:
            api = Api(session, self.node.url, _TURN, headers=self._headers, tls=TlsConfig(), context=None)
            try:
                evidence = await self.adapter.ask(api)
            except NodeError as error:
                self.error = error
                return None
        for each in evidence:
            if isinstance(each, NodeIdentity):
                self.identity = each
            elif isinstance(each, Configuration):
                self.configuration = each
        (status,) = [each for each in evidence if isinstance(each, NodeStatus)]
        return status

    async def kind(self) -> str:
        async with aiohttp.ClientSession() as session:
            api = Api(session, self.node.url, _TURN, headers={}, tls=TlsConfig(), context=None)
            return await detect(api)

    async def until(self, what: str, holds: Callable[[NodeStatus | None], bool], within: float) -> None:
        """Ask four times a second until it holds."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + within
        while not holds(status := await self.ask()):
            assert loop.time() < deadline, f"{self.node.id}: {what}: {status}, {self.error}"
            await asyncio.sleep(0.25)

    async def until_it_is(self, role: Role, leader_id: str, within: float) -> None:
        await self.until(
            f"expected {role} of {leader_id or 'nobody'}",
            lambda status: status is not None and (status.role, status.leader_id) == (role, leader_id),
            within,
        )

    async def until_it_knows(self, members: set[str]) -> None:
        await self.until(
            f"expected the members {sorted(members)}",
            lambda _: {each.id for each in (self.configuration or Configuration(())).servers} == members,
            10,
        )

    async def until_error(self, reason: str, within: float) -> None:
        await self.until(
            f"expected {reason}", lambda _: self.error is not None and self.error.reason == reason, within
        )


@pytest.fixture(scope="module")
def sidecars(cluster: OpenBaoCluster, token: str) -> dict[str, Beside]:
    return {each: Beside(node, token) for each, node in cluster.nodes.items()}


async def whole(cluster: OpenBaoCluster, sidecars: dict[str, Beside]) -> tuple[Beside, list[Beside]]:
    """Wait until one leads and all others say that they follow it; give the leader and the others."""
    leader = cluster.leader().id
    for each, sidecar in sidecars.items():
        await sidecar.until_it_is(Role.LEADER if each == leader else Role.FOLLOWER, leader, 20)
    return sidecars[leader], [sidecar for each, sidecar in sidecars.items() if each != leader]


async def test_each_says_who_it_is_what_it_does_and_who_the_members_are(
    cluster: OpenBaoCluster, sidecars: dict[str, Beside]
) -> None:
    await whole(cluster, sidecars)
    terms = set()
    for node_id, sidecar in sidecars.items():
        await sidecar.until("a term", lambda status: status is not None and status.term is not None, 5)
        status = await sidecar.ask()
        assert status is not None
        terms.add(status.term)
        assert status.commit_index is not None
        assert status.applied_index is not None
        assert 0 < status.applied_index <= status.commit_index
        assert (status.fsm_pending, status.protocol_version, status.heartbeats) == (0, 3, False)
        assert sidecar.identity == NodeIdentity(node_id, sidecar.node.address)
        assert sidecar.configuration is not None
        servers = {each.id: (each.address, each.suffrage) for each in sidecar.configuration.servers}
        assert servers == {each.id: (each.address, Suffrage.VOTER) for each in cluster.nodes.values()}
        assert sidecar.adapter.hints == {}
        assert await sidecar.kind() == "vault"
    assert len(terms) == 1


async def test_what_is_written_is_committed_and_applied_on_each(
    cluster: OpenBaoCluster, sidecars: dict[str, Beside]
) -> None:
    leader, _ = await whole(cluster, sidecars)
    status = await leader.ask()
    assert status is not None
    assert status.commit_index is not None
    before = status.commit_index
    assert leader.node.put("key", "value")
    for sidecar in sidecars.values():
        await sidecar.until(
            f"expected more than index {before} to be applied",
            lambda status: status is not None and (status.applied_index or 0) > before,
            5,
        )


async def test_without_a_token_it_says_what_is_missing_and_guesses_nothing(cluster: OpenBaoCluster) -> None:
    for node in cluster.nodes.values():
        for token in (None, "s.nonsense"):
            sidecar = Beside(node, token)
            status = await sidecar.ask()
            assert status is not None
            assert (status.role, status.leader_id, status.term) == (Role.UNKNOWN, None, None)
            assert status.commit_index is not None
            assert (sidecar.identity, sidecar.configuration) == (None, None)
            needed = {path: "needs a token" in hint for path, hint in sidecar.adapter.hints.items()}
            assert needed == {"/v1/sys/storage/raft/configuration": True, "/v1/sys/metrics": True}


async def test_a_killed_one_refuses_a_sealed_one_says_so_and_both_come_back(
    cluster: OpenBaoCluster, sidecars: dict[str, Beside]
) -> None:
    _, (killed, sealed) = await whole(cluster, sidecars)
    killed.node.kill()
    await killed.until_error("refused", 1)
    killed.node.start()
    await killed.until_error("sealed", 10)
    killed.node.unseal()
    await whole(cluster, sidecars)
    sealed.node.seal()
    await sealed.until_error("sealed", 1)
    sealed.node.unseal()
    await whole(cluster, sidecars)


async def test_a_frozen_leader_is_not_named_once_raft_has_given_it_up(
    cluster: OpenBaoCluster, sidecars: dict[str, Beside]
) -> None:
    leader, (frozen, survivor) = await whole(cluster, sidecars)
    frozen.node.freeze()
    leader.node.freeze()
    await survivor.until_it_is(Role.CANDIDATE, "", 5)
    for each in (frozen, leader):
        await each.until_error("timeout", 2)
    for _ in range(8):  # no election can be won, and a candidate does not become anything else
        status = await survivor.ask()
        assert status is not None
        assert (status.role, status.leader_id, status.leader_address) == (Role.CANDIDATE, "", "")
    assert (
        survivor.node.call("GET", "sys/leader")["leader_cluster_address"] == f"https://{leader.node.address}"
    )
    assert survivor.node.status("sys/health") == 429
    leader.node.thaw()
    frozen.node.thaw()
    await whole(cluster, sidecars)


async def test_when_the_leader_is_killed_the_next_one_is_named_by_all(
    cluster: OpenBaoCluster, sidecars: dict[str, Beside]
) -> None:
    leader, others = await whole(cluster, sidecars)
    leader.node.kill()
    for sidecar in others:
        await sidecar.until(
            "expected another leader",
            lambda status: status is not None and status.leader_id not in {"", None, leader.node.id},
            10,
        )
    leader.node.start()
    leader.node.unseal()
    await whole(cluster, sidecars)


async def test_a_removed_one_does_not_find_itself_until_it_has_joined_again(
    cluster: OpenBaoCluster, sidecars: dict[str, Beside]
) -> None:
    _, (removed, other) = await whole(cluster, sidecars)
    cluster.remove_peer(removed.node)
    for sidecar in (removed, other):
        await sidecar.until_it_knows({each for each in sidecars if each != removed.node.id})
    await removed.until_it_is(Role.FOLLOWER, "", 5)
    assert removed.identity == NodeIdentity(removed.node.id, removed.node.address)
    removed.node.stop()
    removed.node.wipe()
    removed.node.start()
    removed.node.unseal()
    await whole(cluster, sidecars)
    await other.until_it_knows(set(sidecars))
    assert removed.identity == NodeIdentity(removed.node.id, removed.node.address)


async def test_an_active_one_that_lost_its_quorum_is_no_leader(
    cluster: OpenBaoCluster, sidecars: dict[str, Beside]
) -> None:
    leader, others = await whole(cluster, sidecars)
    for sidecar in others:
        sidecar.node.kill()
    await leader.until(
        "expected no leader",
        lambda status: status is not None and status.role in {Role.FOLLOWER, Role.CANDIDATE},
        5,
    )
    for sidecar in others:
        sidecar.node.start()
        sidecar.node.unseal()
    await whole(cluster, sidecars)


def test_the_example_runs_beside_a_server_and_lacks_nothing(
    cluster: OpenBaoCluster, token: str, tmp_path: Path
) -> None:
    node = cluster.leader()
    secret = tmp_path / "openbao.token"
    secret.write_text(token)
    real = {
        "http://127.0.0.1:8200": node.url,
        "/etc/raft-exporter/openbao.token": str(secret),
        "/var/lib/raft-exporter/raft-exporter.db": str(tmp_path / "raft-exporter.db"),
    }
    text = (EXAMPLE / "raft-exporter.yml").read_text()
    for example, here in real.items():
        assert example in text
        text = text.replace(example, here)
    config = tmp_path / "raft-exporter.yml"
    config.write_text(text)
    sidecar = SidecarProcess(node.id, free_ports(1)[0], ["--config", str(config)], tmp_path)
    sidecar.start()
    try:

        def lacking() -> dict[str, bool | None]:
            """What fails of it; there are no sidecars of others here."""
            checks = SidecarClient(sidecar.url).checkup().checks
            return {
                check.name: check.ok
                for check in checks
                if not check.name.startswith("sidecar of") and check.name != "observer"
            }

        def well() -> bool:
            try:
                return set(lacking().values()) == {True}
            except ClientError:
                return False

        until("nothing is lacking", well, 30.0)
        view = sidecar.cluster()
        assert (view.node.id, view.node.role, view.node.leader) == (node.id, Role.LEADER, node.id)
        assert [member.id for member in view.members] == ["n1", "n2", "n3"]
    finally:
        sidecar.stop()
