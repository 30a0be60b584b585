"""The sidecar: owns the table, the clock, the sources, the web server and their tasks."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Callable, Collection, Sequence
from typing import Final

from prometheus_client import disable_created_metrics

from raft_exporter.change import Change, Ready
from raft_exporter.checkup import Checkup, Surroundings, checkup
from raft_exporter.chronicle import Chronicle
from raft_exporter.config import Config
from raft_exporter.discovery import TargetGroup, target_groups
from raft_exporter.exposition import TableCollector, registry_of
from raft_exporter.face import Face
from raft_exporter.journal import Entry, EntryKind, Journal
from raft_exporter.keeper import JOURNAL, Keeper
from raft_exporter.logs import event, setup
from raft_exporter.model.evidence import Evidence, NodeIdentity, Server, Suffrage
from raft_exporter.model.observed_clock import ObservedClock
from raft_exporter.model.override import Override
from raft_exporter.model.policy import Policy
from raft_exporter.model.table import Table
from raft_exporter.neighbours import Neighbours
from raft_exporter.node_sources import NodeSources
from raft_exporter.override_desk import OverrideDesk
from raft_exporter.probing import Probing
from raft_exporter.reloader import Reloader
from raft_exporter.secret import Secret
from raft_exporter.sources.observer import ObserverSource
from raft_exporter.store import Stored
from raft_exporter.view import ClusterView, cluster_view
from raft_exporter.web.access import HTTP_REASONS, Access
from raft_exporter.web.app import make_app
from raft_exporter.web.connections import CONNECTION_REASONS

_log = logging.getLogger(__name__)

_HTTP: Final = "http"
"""The ``source`` of what the HTTP server refused, in ``raft_exporter_rejected_total``."""

_FOREIGN: Final = "the stored state is of another node"

_DRAIN: Final = 0.8
"""Seconds that probes may wait for their answer when the sidecar stops."""


class Sidecar:
    """One sidecar: :meth:`start`, :meth:`judge_until`, :meth:`stop`, all in one event loop.

    ``token`` is that of the environment, which goes before that of the configuration; ``load`` reads the
    configuration again. Invariant: only this event loop touches the table, so there are no locks.
    """

    def __init__(
        self,
        config: Config,
        rng: random.Random,
        token: Secret | None = None,
        load: Callable[[], Config] | None = None,
    ) -> None:
        loop = asyncio.get_running_loop()
        policy = Policy.of(config.node.heartbeat_timeout, config.policy)
        self._config = config
        self._real = loop.time
        self._wall = time.time
        self._clock = ObservedClock(self._real(), limit=policy.heartbeat_timeout)
        self._lag = 0.0
        self.table = Table(policy, _static_members(config), now=self._now())
        self._observer = ObserverSource(self._take, self.table.intake)
        self._keeper = Keeper(config.store, self.table, self._wall, self._take_up_late)
        self._stored_node: str | None = None
        self._chronicle = Chronicle(Journal(JOURNAL), self._wall, self._keeper.append)
        self._desk = OverrideDesk(self.table, self._chronicle, self._wall)
        self._neighbours = Neighbours(self.table, self._take, self._overridden_elsewhere, rng)
        self._node = NodeSources(self.table, self._take, self._now)
        self._probing = Probing(self.table, self._take, lambda: self._node.kind, rng)
        self._face = self._make_face(token)
        parts = (
            self._prepare,
            self._face.prepare,
            self._observer.prepare,
            self._node.prepare,
            self._neighbours.prepare,
            self._probing.prepare,
            self._prepare_store,
        )
        self._reloader = Reloader(config, load or (lambda: config), parts, self._wall)
        self._following: asyncio.Task[None] | None = None

    async def start(self) -> list[str]:
        """Take up what is stored, listen, begin to probe; give the base URLs served.

        StartError or ConfigError when that can't be done.
        """
        self._take_up(await self._keeper.open(_static_members(self._config)))
        await self._reloader.begin()
        self._following = asyncio.create_task(self._reloader.follow(self._face.prepare, self._face.changed))
        event(_log, logging.INFO, "serving", urls=" ".join(self._face.urls))
        self._chronicle.happened(EntryKind.STARTED)
        return self._face.urls

    async def reload(self) -> None:
        """Read the configuration again and take it up whole; ConfigError or StartError: all is as before."""
        await self._reloader.reload()

    async def judge_until(self, stop: asyncio.Event, alive: Callable[[], None] = lambda: None) -> None:
        """Judge all members ten times in a HeartbeatTimeout, and each second, until ``stop`` is set.

        ``alive`` is called each time.
        """
        due = self._real()
        while not stop.is_set():
            due = max(due + self._tick(), self._real())
            try:
                async with asyncio.timeout_at(due):
                    await stop.wait()
            except TimeoutError:
                self._lag = max(self._real() - due, 0.0)
                self._judge()
                alive()

    async def stop(self) -> None:
        """Close everything: no unread answer is left at a node that answers."""
        if self._following is not None:
            self._following.cancel()
        leaving = self._probing.stop()
        await self._observer.close()
        await self._node.close()
        await self._neighbours.close()
        # Each of them may take most of the second that all of it may take.
        probes = [asyncio.wait(leaving, timeout=_DRAIN)] if leaving else []
        await asyncio.gather(self._face.close(), self._keeper.close(self._now()), *probes)

    def view(self) -> ClusterView:
        """The cluster as it is judged now."""
        return cluster_view(self.table, self._now(), self._wall())

    def report(self) -> bytes | None:
        """The body of this node's report to the other sidecars; None while the node has no name."""
        return self._neighbours.report(self._now(), self._desk.entries())

    def events(self, after: int, limit: int, peer: str | None) -> Sequence[Entry]:
        """The latest ``limit`` journal entries after the one numbered ``after``, oldest first."""
        return self._chronicle.journal.after(after, limit, peer)

    def overrides(self) -> Sequence[Override]:
        """The overrides that stand."""
        return list(self.table.overrides.values())

    def members(self) -> Collection[str]:
        """The ids of the members."""
        return self.table.members.keys()

    def targets(self, asked_at: str) -> Sequence[TargetGroup] | None:
        """The sidecars of all members, the own one at ``asked_at`` where nobody said where it is."""
        return target_groups(self.table, self._neighbours.places(), asked_at, self._now())

    async def set_override(
        self, peer: str, state: str, seconds: float, author: str, reason: str
    ) -> tuple[Override, bool]:
        """Set an override; give it, and whether it is stored."""
        override = self._desk.set(peer, state, seconds, author, reason)
        return override, await self._keeper.keep(self._desk.entries())

    async def clear_override(self, peer: str, author: str, reason: str) -> bool | None:
        """Clear a member's override; give whether that is stored, None when none stood."""
        override = self._desk.clear(peer, author, reason)
        return None if override is None else await self._keeper.keep(self._desk.entries())

    def checkup(self) -> Checkup:
        """What this sidecar can see, and what it lacks."""
        config = self._config
        asked = {
            "observer": bool(config.observer.listen),
            "node": config.node.api.url is not None,
            "telemetry": bool(config.telemetry.listen) or config.telemetry.prometheus.url is not None,
        }
        around = Surroundings(
            kind=self._node.kind,
            hints=self._node.hints,
            sources=tuple(source for source, wanted in asked.items() if wanted),
            probes=self._probing.enabled,
            sidecars=self._neighbours.known(),
            clocks=self._neighbours.clocks,
            silent_sidecars=self._neighbours.hints(),
            store=config.store.path,
            store_errors=self._keeper.errors,
            lag=self._lag,
        )
        return checkup(self.table, around, self._now())

    def ready(self) -> bool:
        """Whether there is evidence to judge by, or has been time enough for it."""
        return self.table.intake.heard or self._now() - self.table.started_at > self.table.policy.stall_after

    def _now(self) -> float:
        return self._clock.read(self._real())

    def _tick(self) -> float:
        # At least once a second: a HeartbeatTimeout told by mistake must not put the judging to sleep.
        return min(self.table.policy.heartbeat_timeout / 10, 1.0)

    def _take(self, evidence: Evidence) -> None:
        if isinstance(evidence, NodeIdentity):
            self._check_stored_node(evidence.id)
        now = self._now()
        self._keeper.took(evidence, now)
        self.table.take(evidence, now)

    def _judge(self) -> None:
        now = self._clock.tick(self._real())
        # After the tick: a smaller limit than was read under would turn the clock back.
        self._clock.limit = self.table.policy.heartbeat_timeout
        isolated = self.table.isolated
        transitions = self.table.judge(now)
        self._keeper.judged(now, changed=bool(transitions))
        self._chronicle.moved(transitions, now)
        if self.table.isolated is not isolated:
            self._chronicle.happened(EntryKind.REJOINED if isolated else EntryKind.ISOLATED)
        if self._desk.turn(members_known=self.table.configuration is not None):
            self._keeper.replace(self._desk.entries())
        self._probing.turn()
        self._neighbours.watch()

    def _take_up(self, stored: Stored) -> None:
        """Take up what was stored before a restart: seeds, never proof."""
        self._chronicle.journal.restore(stored.journal)
        told = stored.memory.node if stored.memory is not None else None
        if None not in {told, self.table.node.id} and told != self.table.node.id:
            event(_log, logging.WARNING, _FOREIGN, stored=told, node=self.table.node.id)
            return
        self._desk.restore(stored.overrides)
        if stored.memory is None:
            return
        self._stored_node = told
        age = self._wall() - stored.memory_at
        now = self._now()
        self._keeper.restored(stored.memory, age, now)
        used = self.table.restore(stored.memory, age, now)
        event(_log, logging.INFO, "stored state", used=used, age=f"{age:.0f}s", node=stored.memory.node)

    def _take_up_late(self, stored: Stored) -> None:
        """Take up what could not be read at the start; nothing that was set since is lost by it."""
        self._take_up(stored)
        self._keeper.replace(self._desk.entries())

    def _check_stored_node(self, node: str) -> None:
        """Let go of another node's overrides; of its members the table does by itself."""
        stored, self._stored_node = self._stored_node, None
        if stored is not None and stored != node:
            event(_log, logging.WARNING, _FOREIGN, stored=stored, node=node)
            self._desk.forget()
            self._keeper.replace(())

    def _overridden_elsewhere(self, entries: Sequence[Override]) -> None:
        if self._desk.take(entries):
            self._keeper.replace(self._desk.entries())

    def _make_face(self, token: Secret | None) -> Face:
        collector = TableCollector(
            self.table,
            now=self._now,
            perf=time.perf_counter,
            wall=self._wall,
            lag=lambda: self._lag,
            store_errors=lambda: self._keeper.errors,
            kind=lambda: self._node.kind,
            reloads=lambda: self._reloader.reloads,
        )
        disable_created_metrics()
        for reason in (*HTTP_REASONS, *CONNECTION_REASONS):
            self.table.intake.rejected[_HTTP, reason] = 0
        access = Access(self._rejected)
        app = make_app(registry_of(collector), self.view, self.ready, self, access)
        return Face(app, access, token, self._neighbours.secrets, self._rejected)

    def _rejected(self, reason: str) -> None:
        self.table.intake.rejected[_HTTP, reason] += 1

    async def _prepare(self, config: Config) -> Change:
        async def adopt() -> None:
            """Judge and log as it says from now on."""
            before, self._config = self._config, config
            thresholds = config.node.heartbeat_timeout, config.policy
            if thresholds != (before.node.heartbeat_timeout, before.policy) or config.peers != before.peers:
                static, now = _static_members(config), self._now()
                self.table.adopt(Policy.of(*thresholds), static, now)
                self._keeper.adopted(static, now)
            if config.log != before.log:
                setup(config.log.level, config.log.format)

        return Ready(adopt)

    async def _prepare_store(self, config: Config) -> Change:
        async def move() -> None:
            """Keep everything as it says from now on."""
            stored = await self._keeper.move(config.store, _static_members(config), self._now())
            if stored is None:
                return
            # What this sidecar knows by itself is newer: of another file only the overrides are news.
            self._chronicle.journal.restore(stored.journal)
            if stored.memory is None or stored.memory.node in {None, self.table.node.id}:
                self._desk.restore(stored.overrides)
            self._keeper.replace(self._desk.entries())

        return Ready(move)


def _static_members(config: Config) -> list[Server]:
    return [
        Server(id=peer.id, address=peer.address, suffrage=Suffrage(peer.suffrage)) for peer in config.peers
    ]
