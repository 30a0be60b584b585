"""rqlite: ``/status``, which tells everything at once and needs the permission ``status``."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Annotated, ClassVar, Final

from msgspec import Meta, Struct
from msgspec.json import Decoder

from raft_exporter.errors import NodeError
from raft_exporter.model.evidence import Evidence, NodeIdentity, Server
from raft_exporter.schema import Kind
from raft_exporter.secret import Secret
from raft_exporter.sources.node_api import Api
from raft_exporter.sources.nodes.reading import Turns, address_of, configuration, id_at, read
from raft_exporter.sources.raft_stats import SUFFRAGES, Address, GoDuration, Id, RaftStats, duration

STATUS: Final = "/status"

_LEAST, _MOST = 0.005, 600.0
"""Seconds: what a HeartbeatTimeout can be; hashicorp/raft takes none below five milliseconds."""


class _Leader(Struct, frozen=True):
    node_id: Address = ""
    addr: Address = ""


class _Node(Struct, frozen=True):
    id: Id
    addr: Address
    suffrage: Annotated[str, Meta(pattern=r"\A(?:Voter|Nonvoter|Staging)\Z")]


class _Config(Struct, frozen=True, rename="pascal"):
    heartbeat_timeout: Annotated[int, Meta(ge=0, le=2**63 - 1)] | None = None


class _Raft(RaftStats, frozen=True, kw_only=True):
    config: _Config = _Config()


class _Store(Struct, frozen=True):
    open: bool
    node_id: Id | None = None
    addr: Address = ""
    leader: _Leader | None = None
    raft: _Raft | None = None
    nodes: list[_Node] | None = None
    heartbeat_timeout: GoDuration | None = None


class _Status(Struct, frozen=True):
    store: _Store


_STATUS: Final = Decoder(_Status)


class RqliteAdapter:
    """Asks a rqlite node."""

    kind: ClassVar[Kind] = "rqlite"

    def __init__(self) -> None:
        self.hints: dict[str, str] = {}
        self._turns = Turns()

    @staticmethod
    def headers(token: Secret | None) -> dict[str, str]:
        """Give user and password; NodeError when the token is not both of them."""
        if token is None:
            return {}
        if ":" not in token.reveal():
            raise NodeError("token_file", "the token of a rqlite node: expected 'user:password'")
        return {"Authorization": "Basic " + base64.b64encode(token.reveal().encode()).decode()}

    async def ask(self, api: Api) -> Sequence[Evidence]:
        """Ask once; NodeError when the node does not speak, or its store is not open."""
        self._turns.begin()
        try:
            store = (await read(api, STATUS, _STATUS)).store
        except NodeError as error:
            if error.reason != "permission":
                raise
            raise NodeError("permission", f"{error}; it needs a user with the permission 'status'") from None
        if not store.open:
            raise NodeError("status", f"{STATUS}: expected an open store, got one that is not open (yet)")
        if store.raft is None:
            raise NodeError("malformed", f"{STATUS}: expected store.raft of an open store")
        members, servers = None, list[Server]()
        if store.nodes is not None:
            servers = [Server(each.id, each.addr, SUFFRAGES[each.suffrage]) for each in store.nodes]
            members = configuration(STATUS, servers)
        leader_id, leader_address = _leader(store.leader, servers)
        identity = None
        if store.node_id is not None:
            identity = NodeIdentity(store.node_id, store.addr, _heartbeat_timeout(store))
        status = store.raft.status(leader_id, leader_address)
        return [*self._turns.news(identity, members), status]


def _leader(leader: _Leader | None, servers: Sequence[Server]) -> tuple[str | None, str]:
    if leader is None:
        return None, ""
    address = leader.addr or address_of(leader.node_id, servers)
    return leader.node_id or id_at(leader.addr, servers), address


def _heartbeat_timeout(store: _Store) -> float | None:
    """In seconds; NodeError when it can't be one."""
    in_ns = None if store.raft is None else store.raft.config.heartbeat_timeout
    if in_ns is not None:
        seconds: float | None = in_ns / 1e9
    else:
        seconds = None if store.heartbeat_timeout is None else duration(store.heartbeat_timeout)
    if seconds is not None and not _LEAST <= seconds <= _MOST:
        expected = f"expected a HeartbeatTimeout of {_LEAST:g} to {_MOST:g} s"
        raise NodeError("malformed", f"{STATUS}: {expected}, got {seconds:g} s")
    return seconds
