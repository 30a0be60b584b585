"""Consul: its agent's local endpoints, of which the stats need ``agent:read``."""

from __future__ import annotations

from typing import ClassVar, Final

from msgspec import Struct
from msgspec.json import Decoder

from raft_exporter.errors import NodeError
from raft_exporter.schema import Kind
from raft_exporter.sources.node_api import Api
from raft_exporter.sources.nodes.agent import SELF, Agent, Own
from raft_exporter.sources.nodes.reading import read
from raft_exporter.sources.raft_stats import Address, Id, RaftStats


class _Config(Struct, frozen=True, rename={"node_id": "NodeID", "server": "Server"}):
    server: bool
    node_id: Id


class _Consul(Struct, frozen=True):
    leader_addr: Address | None = None


class _Stats(Struct, frozen=True):
    consul: _Consul = _Consul()
    raft: RaftStats | None = None


class _Self(Struct, frozen=True, rename="pascal"):
    config: _Config
    stats: _Stats


_SELF: Final = Decoder(_Self)


class ConsulAdapter(Agent):
    """Asks a Consul agent, which has to be a server."""

    kind: ClassVar[Kind] = "consul"
    header = "X-Consul-Token"
    configuration_needs = "operator:read"

    async def _own(self, api: Api) -> Own:
        found = await read(api, SELF, _SELF)
        if not found.config.server:
            raise NodeError("status", f"{SELF}: expected a server, got a client agent, which has no Raft")
        if found.stats.raft is None:
            raise NodeError("malformed", f"{SELF}: expected Stats.raft of a server")
        return Own(found.config.node_id, found.stats.consul.leader_addr, found.stats.raft)
