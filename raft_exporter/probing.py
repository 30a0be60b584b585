"""Whom this sidecar probes at which address, and by what way through to hashicorp/raft's protocol."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Mapping
from typing import Final

from msgspec import Struct

from raft_exporter.change import Change, Ready
from raft_exporter.config import Config, NodeConfig
from raft_exporter.errors import ConfigError, NodeError, StartError
from raft_exporter.file_state import FileState, state_of
from raft_exporter.logs import event
from raft_exporter.model.evidence import Evidence, NodeIdentity
from raft_exporter.model.table import Table
from raft_exporter.notation import parse_address
from raft_exporter.per_member import PerMember
from raft_exporter.schema import Kind, Port, TlsConfig
from raft_exporter.sources.prober import Timing
from raft_exporter.sources.raft_port import RAFT_PORTS, Front, RaftPort
from raft_exporter.sources.raft_probe import RaftProber, identify
from raft_exporter.sources.tls_probe import TlsProber

_log = logging.getLogger(__name__)

_LIMITED: Final = {"consul", "nomad"}
"""Systems whose servers limit the connections from one address."""


class _Way(Struct, frozen=True):
    """Where a member is probed, and by which way; an equal one needs no other prober."""

    address: tuple[str, int]
    port: Port
    front: Front | None


class Probing:
    """One prober a member, for as long as it is one. ``kind`` gives which system the node is, once known."""

    def __init__(
        self,
        table: Table,
        take: Callable[[Evidence], None],
        kind: Callable[[], Kind | None],
        rng: random.Random,
    ) -> None:
        self._table = table
        self._take = take
        self._kind = kind
        self._rng = rng
        self._config = Config()
        self._dial: dict[str, str] = {}
        self._probers: PerMember[_Way, RaftProber | TlsProber] = PerMember(self._prober)
        self._fronts: Mapping[RaftPort, Front] = {port: Front.of(port, None) for port in RAFT_PORTS}
        self._made_for: tuple[TlsConfig | None, FileState] = None, ()
        self._identifying: asyncio.Task[None] | None = None
        self._asked: tuple[str, int] | None = None

    async def prepare(self, config: Config) -> Change:
        """Get ready to probe as ``config`` says; StartError when a file of ``probe.tls`` can't be used."""
        tls, fronts = config.probe.tls, self._fronts
        made_for = tls, state_of(tls.files if tls is not None else ())
        if made_for != self._made_for:
            try:
                fronts = {port: Front.of(port, tls) for port in RAFT_PORTS}
            except NodeError as error:
                raise StartError(f"probe.tls: {error}") from error

        async def begin() -> None:
            """Probe so: who is probed there and so already goes on."""
            before, self._config = self._config.node, config
            self._fronts, self._made_for = fronts, made_for
            self._dial = {peer.id: peer.address for peer in config.peers}
            if (config.node.id, config.node.raft) != (before.id, before.raft):
                self._introduce(config.node)
            self._ask_for_id()
            self.turn()

        return Ready(begin)

    def turn(self) -> None:
        """Have one prober a member, at its present address."""
        places = {peer: self._address_of(peer) for peer in self._table.members} if self.enabled else {}
        port = self._port()
        front = None if port == "vault" else self._fronts[port]
        self._probers.assign(
            {
                peer: _Way(place, port, front)
                for peer, place in places.items()
                if place is not None and place != self._asked
            }
        )
        timing = self._timing()
        for prober in self._probers.workers():
            prober.timing = timing

    def stop(self) -> set[asyncio.Task[None]]:
        """Stop, and give the tasks that still wait for an answer, so that none is left unread at a node."""
        leaving = self._probers.stop()
        if self._identifying is not None:
            self._identifying.cancel()
            leaving.add(self._identifying)
        return leaving

    @property
    def enabled(self) -> bool:
        """Whether members are probed: servers that limit connections only where ``probe.port`` says so."""
        probe, url = self._config.probe, self._config.node.api.url
        if probe.enabled is not None:
            return probe.enabled
        kind = self._kind()
        return (url is None or kind is not None) and (kind not in _LIMITED or probe.port is not None)

    def _prober(self, peer: str, way: _Way) -> RaftProber | TlsProber:
        if way.front is None:
            return TlsProber(peer, way.address, self._timing(), self._take, self._rng)
        return RaftProber(peer, way.address, self._timing(), self._take, self._rng, front=way.front)

    def _port(self) -> Port:
        """What stands before the protocol: as the operator says, else as the node's system has it."""
        kind = self._kind()
        return self._config.probe.port or (kind if kind is not None and kind != "json" else "plain")

    def _introduce(self, node: NodeConfig) -> None:
        """Take the own node's id from the configuration, if it is there."""
        if self._identifying is not None:
            self._identifying.cancel()
            self._identifying = self._asked = None
        if node.id is not None:
            self._take(NodeIdentity(id=node.id, address=node.raft or ""))

    def _ask_for_id(self) -> None:
        """Ask the own node for its id where nothing else tells it."""
        node = self._config.node
        unknown = self._table.node.id is None and self._identifying is None and node.api.url is None
        if unknown and node.raft is not None and self.enabled and self._port() != "vault":
            self._identifying = asyncio.create_task(self._identify(node.raft))

    async def _identify(self, address: str) -> None:
        """Learn the own node's id from its own answer, where nothing else tells it."""
        self._asked = parse_address(address)
        port = self._port()
        front = self._fronts["plain" if port == "vault" else port]
        answer = await identify(self._asked, self._timing(), front)
        self._asked = None  # from here on the own node is probed like any other
        if not answer.id:
            event(_log, logging.WARNING, "the node does not tell its id: set node.id", address=address)
        elif self._table.node.id is None:
            self._take(NodeIdentity(id=answer.id, address=address))

    def _timing(self) -> Timing:
        probe = self._config.probe
        return Timing.of(self._table.policy.heartbeat_timeout, probe.interval, probe.timeout)

    def _address_of(self, peer: str) -> tuple[str, int] | None:
        """Where to probe a member: where the operator says, else where its configuration says."""
        try:
            return parse_address(self._dial.get(peer, self._table.members[peer].server.address))
        except ConfigError:
            return None
