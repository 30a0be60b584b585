"""What the node tells of itself with no change to its code: its API, and its telemetry."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Final

import aiohttp
from msgspec.structs import replace

from raft_exporter.config import Config
from raft_exporter.model.evidence import Evidence, NodeStatus, Role
from raft_exporter.model.table import Table
from raft_exporter.schema import Kind
from raft_exporter.sources.node import SOURCE as API
from raft_exporter.sources.node import ApiTiming, NodeSource
from raft_exporter.sources.node_api import TokenFile
from raft_exporter.sources.nodes import headers_of
from raft_exporter.sources.observer import SOURCE as OBSERVER
from raft_exporter.sources.prometheus_telemetry import PrometheusTelemetry
from raft_exporter.sources.reports import open_session
from raft_exporter.sources.statsd import StatsdSource
from raft_exporter.sources.telemetry import Telemetry

_TURN: Final = 0.1
"""Seconds from one handing out of what telemetry told to the next, as its sink flushes."""


class NodeSources:
    """Starts and stops them. One source of the node's state speaks at a time: observer, API, telemetry."""

    def __init__(
        self, config: Config, table: Table, take: Callable[[Evidence], None], now: Callable[[], float]
    ) -> None:
        self._config = config
        self._table = table
        self._take = take
        self._now = now
        self._session: aiohttp.ClientSession | None = None
        self._api: NodeSource | None = None
        self._telemetry = Telemetry(
            self._take_from_telemetry,
            lambda: self._table.members,
            lambda: not self._up(OBSERVER) and not self._up(API),
            table.intake,
        )
        self._statsd: StatsdSource | None = None
        self._prometheus: PrometheusTelemetry | None = None
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Begin to ask and to listen; StartError when an address can't be listened on."""
        api, telemetry = self._config.node.api, self._config.telemetry
        if telemetry.listen:
            self._statsd = StatsdSource(self._telemetry, self._table.intake, self._now)
            for where in telemetry.listen:
                await self._statsd.listen(where)
            if telemetry.relay is not None:
                await self._statsd.relay(telemetry.relay)
        if api.url is not None or telemetry.prometheus.url is not None:
            self._session = open_session()
            self._begin_to_ask(self._session)
        if self._statsd is not None or self._prometheus is not None:
            self._tasks.append(asyncio.create_task(self._turn()))

    async def close(self) -> None:
        """Stop asking and listening."""
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        if self._statsd is not None:
            await self._statsd.close()
        if self._session is not None:
            await self._session.close()

    @property
    def kind(self) -> Kind | None:
        """Which system the node is; None while that is not known, or it has no API that is asked."""
        return None if self._api is None else self._api.kind

    @property
    def hints(self) -> Mapping[str, str]:
        """What could be seen with more permission or another setting, by endpoint."""
        return {
            endpoint: hint
            for source in (self._api, self._prometheus)
            if source is not None
            for endpoint, hint in source.hints.items()
        }

    def _begin_to_ask(self, session: aiohttp.ClientSession) -> None:
        api, prometheus = self._config.node.api, self._config.telemetry.prometheus
        if api.url is not None:
            self._api = NodeSource(
                api,
                session,
                timing=lambda: ApiTiming.of(self._table.policy.heartbeat_timeout, api),
                take=self._take_from_api,
                intake=self._table.intake,
            )
            self._tasks.append(asyncio.create_task(self._api.run()))
        if prometheus.url is not None:
            token = TokenFile(api.token_file)
            self._prometheus = PrometheusTelemetry(
                prometheus.url,
                session,
                self._telemetry,
                self._table.intake,
                tls=api.tls,
                headers=lambda: headers_of(self.kind or api.kind, token.read()),
                interval=lambda: prometheus.interval or self._table.policy.heartbeat_timeout / 2,
                clock=self._now,
            )
            self._tasks.append(asyncio.create_task(self._prometheus.run()))

    async def _turn(self) -> None:
        while True:
            now = self._now()
            self._telemetry.turn(now)
            if self._statsd is not None:
                self._statsd.turn(now, self._table.policy.suspect_after)
            await asyncio.sleep(_TURN)

    def _take_from_api(self, evidence: Evidence) -> None:
        if self._up(OBSERVER):
            return
        if isinstance(evidence, NodeStatus) and evidence.role is Role.UNKNOWN:
            # What the API can't tell, its telemetry may prove.
            evidence = replace(evidence, role=self._telemetry.role(self._now()))
        self._take(evidence)

    def _take_from_telemetry(self, evidence: Evidence) -> None:
        # The observer tells the same heartbeats: none of them is to be counted twice.
        if not self._up(OBSERVER):
            self._take(evidence)

    def _up(self, source: str) -> bool:
        return bool(self._table.intake.up.get(source))
