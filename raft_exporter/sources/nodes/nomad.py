"""Nomad: its agent's local endpoints, of which the stats need ``agent:read``."""

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


class _Tags(Struct, frozen=True):
    id: Id | None = None


class _Member(Struct, frozen=True, rename="pascal"):
    tags: _Tags | None = None


class _Nomad(Struct, frozen=True):
    server: str
    leader_addr: Address | None = None


class _Stats(Struct, frozen=True):
    nomad: _Nomad | None = None
    raft: RaftStats | None = None


class _Self(Struct, frozen=True):
    stats: _Stats
    member: _Member = _Member()


_SELF: Final = Decoder(_Self)


class NomadAdapter(Agent):
    """Asks a Nomad agent, which has to be a server."""

    kind: ClassVar[Kind] = "nomad"
    header = "X-Nomad-Token"
    configuration_needs = "a management token"

    async def _own(self, api: Api) -> Own:
        found = await read(api, SELF, _SELF)
        nomad, raft = found.stats.nomad, found.stats.raft
        if nomad is None or nomad.server != "true":
            raise NodeError("status", f"{SELF}: expected a server, got a client agent, which has no Raft")
        if raft is None:
            raise NodeError("malformed", f"{SELF}: expected stats.raft of a server")
        return Own(None if found.member.tags is None else found.member.tags.id, nomad.leader_addr, raft)
