"""Vault and OpenBao with integrated storage. What was measured was measured on OpenBao 2.7.2.

``sys/leader`` goes on naming a leader that is dead, and ``sys/health`` called a node active for ten seconds
and more after it had lost its quorum. So role and leader are taken from Raft's own word alone: from the
configuration that the node itself knows, and from how often it entered each state.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import ClassVar, Final, TypeVar

from msgspec.structs import replace

from raft_exporter.errors import NodeError
from raft_exporter.model.evidence import Evidence, NodeIdentity, NodeStatus, Role
from raft_exporter.schema import Kind
from raft_exporter.secret import Secret
from raft_exporter.sources.node_api import Api
from raft_exporter.sources.nodes.reading import Turns
from raft_exporter.sources.nodes.vault_answers import (
    CONFIGURATION,
    LEADER,
    METRICS,
    SEAL_STATUS,
    Health,
    Leader,
    RaftServer,
    Servers,
    ask_health,
    ask_leader,
    ask_metrics,
    ask_servers,
    is_on_raft,
)
from raft_exporter.sources.nodes.vault_metrics import Metrics, StateEntries

_SHARE: Final = 0.5
"""Of a turn's time: so long may what is asked beside the health take. ``sys/leader`` and the metrics hang for
a second and more while a node becomes the active one."""

_T = TypeVar("_T")


class VaultAdapter:
    """Asks one node; see :class:`~raft_exporter.sources.nodes.adapter.Adapter`."""

    kind: ClassVar[Kind] = "vault"

    def __init__(self) -> None:
        self.hints: dict[str, str] = {}
        self._turns = Turns()
        self._entries = StateEntries()
        self._on_raft = False
        self._address = ""

    @staticmethod
    def headers(token: Secret | None) -> dict[str, str]:
        """Give the token, and the wish that no other node answers."""
        shown = {} if token is None else {"X-Vault-Token": token.reveal()}
        return {"X-Vault-No-Request-Forwarding": "true"} | shown

    async def ask(self, api: Api) -> Sequence[Evidence]:
        """Ask once; NodeError when the node does not speak, is sealed, or keeps its data elsewhere."""
        loop = asyncio.get_running_loop()
        asked_at = loop.time()
        self._turns.begin()
        try:
            health = await ask_health(api)
        except NodeError:
            self._entries = StateEntries()  # it may be another process that answers next
            raise
        leader, servers, metrics = await asyncio.gather(
            self._told(LEADER, ask_leader, api),
            self._told(CONFIGURATION, ask_servers, api),
            self._told(METRICS, ask_metrics, api),
        )
        await self._check_storage(api, leader)
        metrics = metrics or Metrics()
        own = _own(servers, metrics.node_id, leader)
        status = self._status(health, leader, servers, metrics, own)
        configuration = None if servers is None else servers.configuration
        return [
            *self._turns.news(self._identity(metrics, leader, own), configuration),
            replace(status, age=loop.time() - asked_at),
        ]

    async def _told(self, path: str, question: Callable[[Api], Awaitable[_T]], api: Api) -> _T | None:
        """Give what one endpoint says; None where it says nothing in time, with a hint if that will last."""
        try:
            async with asyncio.timeout(_SHARE * api.timeout):
                told = await question(api)
        except TimeoutError:
            return None
        except NodeError as error:
            if hint := _hint(path, error):
                self.hints[path] = hint
            return None
        self.hints.pop(path, None)
        return told

    async def _check_storage(self, api: Api, leader: Leader | None) -> None:
        if self._on_raft:
            return
        told = leader is not None and leader.raft_committed_index > 0  # with another storage there is none
        if not told and not await is_on_raft(api):
            raise NodeError("not_found", f"{SEAL_STATUS}: expected the storage_type 'raft'")
        self._on_raft = True

    def _identity(
        self, metrics: Metrics, leader: Leader | None, own: RaftServer | None
    ) -> NodeIdentity | None:
        address = own.address if own is not None else _own_address(leader)
        self._address = address or self._address
        own_id = metrics.node_id if own is None else own.node_id
        return None if own_id is None else NodeIdentity(id=own_id, address=self._address)

    def _status(
        self,
        health: Health,
        leader: Leader | None,
        servers: Servers | None,
        metrics: Metrics,
        own: RaftServer | None,
    ) -> NodeStatus:
        named = None if servers is None else servers.leader
        entered = self._entries.last(metrics.entered)
        if servers is not None and named is None and entered is Role.LEADER:
            entered = None  # they were not asked at one time, and contradict each other
        role = _role(
            metrics.node_id if own is None else own.node_id,
            named,
            entered,
            other_active=leader.active if leader is not None and health.standby else "",
        )
        no_leader = None if servers is None and role is not Role.CANDIDATE else ""
        return NodeStatus(
            role=role,
            term=metrics.term,
            last_log_index=None,
            commit_index=None if leader is None else leader.raft_committed_index or None,
            applied_index=None if leader is None else leader.raft_applied_index or None,
            snapshot_index=None,
            fsm_pending=metrics.fsm_pending,
            protocol_version=None if own is None else int(own.protocol_version or 0) or None,
            leader_id=no_leader if named is None else named.node_id,
            leader_address="" if named is None else named.address,
            last_contact=None,
            heartbeats=False,
        )


def _role(own_id: str | None, named: RaftServer | None, entered: Role | None, *, other_active: str) -> Role:
    """Tell the role that is proved: a candidate is a standby too, and who is active may have lost its office.

    ``named`` is whom Raft takes for the leader: nobody but the leader and its followers knows one.
    ``entered`` is the state that was entered last, ``other_active`` where another node is the active one.
    """
    if named is None:
        return entered or Role.UNKNOWN
    if own_id is not None:
        return Role.LEADER if named.node_id == own_id else Role.FOLLOWER
    return Role.FOLLOWER if other_active and named.address == other_active else Role.UNKNOWN


def _own_address(leader: Leader | None) -> str:
    """Give the node's own Raft address, which it tells while it is the active one."""
    return leader.active if leader is not None and leader.is_self else ""


def _own(servers: Servers | None, own_id: str | None, leader: Leader | None) -> RaftServer | None:
    """Find the node itself: by the id in its metrics, else by its address."""
    address = _own_address(leader)
    for each in () if servers is None else servers.servers:
        if each.node_id == own_id or (own_id is None and address and each.address == address):
            return each
    return None


def _hint(path: str, error: NodeError) -> str:
    """Say what would help; empty where the next turn may well be better."""
    needs = f"needs a token (node.api.token_file) whose policy has read on {path.removeprefix('/v1/')}"
    match error.reason:
        case "permission":
            return needs
        case "redirect":
            return f"{needs}; without it a standby sends away who asks, and one of Vault may do so always"
        case "not_found" | "content_type" | "malformed" | "too_large":
            return str(error)
        case _:
            return ""
