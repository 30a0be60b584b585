"""The stats of a real node of hashicorp/raft, as ``raftnode`` passes them on over HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import msgspec
import pytest

from raft_exporter.demo.cluster import Node, free_ports, raftnode, until
from raft_exporter.model.evidence import Configuration, NodeStatus, Role, Server
from raft_exporter.schema import JsonFieldsConfig, TlsConfig
from raft_exporter.sources.node_api import Api
from raft_exporter.sources.nodes.json_api import JsonAdapter
from raft_exporter.sources.raft_stats import RaftStats
from tests.conftest import Need
from tests.nodes.fake import PATIENCE

pytestmark = pytest.mark.integration

FIELDS = JsonFieldsConfig(
    role="state",
    term="term",
    last_log_index="last_log_index",
    commit_index="commit_index",
    applied_index="applied_index",
    leader_id="leader_id",
    leader_address="leader_address",
    last_contact="last_contact",
)


@pytest.fixture
def leader(need: Need, tmp_path: Path) -> Iterator[Node]:
    """Give the leader of two voters."""
    need("raftnode", raftnode)
    ports = free_ports(6)
    others = [f"n{n}=127.0.0.1:{ports[3 * n - 3]}" for n in (1, 2)]
    flags = ["-bootstrap", "-peer", others[0], "-peer", others[1]]
    nodes = [Node(f"n{n}", ports[3 * n - 3 : 3 * n], flags, tmp_path) for n in (1, 2)]
    for node in nodes:
        node.start()
    try:
        yield until("a leader", lambda: next((each for each in nodes if leads(each)), None))
    finally:
        for node in nodes:
            node.stop()


def leads(node: Node) -> bool:
    stats = node.ask("/stats") or {}
    return stats.get("state") == "Leader" and bool(stats.get("leader_id"))


def test_what_a_real_node_prints_is_read(leader: Node) -> None:
    async def ask() -> tuple[RaftStats, object]:
        async with aiohttp.ClientSession() as session:
            url = f"{leader.url}/stats"
            api = Api(session, url, PATIENCE, headers={}, tls=TlsConfig(), context=None)
            (told,) = await JsonAdapter(FIELDS).ask(api)
            return msgspec.json.decode((await api.get("")).body, type=RaftStats), told

    stats, told = asyncio.run(ask())
    known = leader.ask("/configuration") or {}
    servers = tuple(Server(each["id"], each["address"]) for each in known["servers"])
    assert len(servers) == 2
    assert stats.configuration() == Configuration(servers)
    printed = stats.status(leader.id, leader.address)
    assert (printed.role, printed.protocol_version, printed.last_contact) == (Role.LEADER, 3, None)
    assert isinstance(told, NodeStatus)
    assert (told.role, told.leader_id, told.leader_address) == (Role.LEADER, leader.id, leader.address)
    assert told.term == printed.term
    assert None not in {told.last_log_index, told.commit_index, told.applied_index}
