"""What the node tells of itself with no change to its code: its API, and its telemetry."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from functools import partial
from typing import Final, Generic, TypeVar

import aiohttp
from msgspec.structs import replace

from raft_exporter.change import Change, Ready
from raft_exporter.config import Config
from raft_exporter.errors import NodeError, StartError
from raft_exporter.file_state import state_of
from raft_exporter.model.evidence import Evidence, NodeStatus, Role, StatusLost
from raft_exporter.model.table import Table
from raft_exporter.per_member import Worker
from raft_exporter.schema import ApiConfig, Kind, PrometheusConfig
from raft_exporter.sources.node import SOURCE as API
from raft_exporter.sources.node import ApiTiming, NodeSource
from raft_exporter.sources.node_api import TokenFile
from raft_exporter.sources.nodes import headers_of
from raft_exporter.sources.observer import SOURCE as OBSERVER
from raft_exporter.sources.prometheus_telemetry import PrometheusTelemetry
from raft_exporter.sources.reports import open_session
from raft_exporter.sources.statsd import StatsdSource
from raft_exporter.sources.telemetry import SOURCE as TELEMETRY
from raft_exporter.sources.telemetry import Telemetry
from raft_exporter.sources.tls import tls_context

_S = TypeVar("_S", bound=Worker)

_TURN: Final = 0.1
"""Seconds from one handing out of what telemetry told to the next, as its sink flushes."""


class NodeSources:
    """Starts and stops them. One source of the node's state speaks at a time: observer, API, telemetry."""

    def __init__(self, table: Table, take: Callable[[Evidence], None], now: Callable[[], float]) -> None:
        self._table = table
        self._take = take
        self._now = now
        self._session: aiohttp.ClientSession | None = None
        self._api = _Asked[NodeSource]()
        self._prometheus = _Asked[PrometheusTelemetry]()
        self._telemetry = Telemetry(
            self._take_from_telemetry,
            lambda: self._table.members,
            lambda: not self._up(OBSERVER) and not self._up(API),
            table.intake,
        )
        self._statsd: StatsdSource | None = None
        self._turning: asyncio.Task[None] | None = None

    async def prepare(self, config: Config) -> Change:
        """Get ready to ask and to listen; StartError when an address can't be had, or a file of TLS."""
        api, telemetry = config.node.api, config.telemetry
        if any(url is not None and url.startswith("https:") for url in (api.url, telemetry.prometheus.url)):
            try:
                # It reads all of the system's certificates, which takes a while.
                await asyncio.to_thread(tls_context, api.tls)
            except NodeError as error:
                raise StartError(f"node.api.tls: {error}") from error
        if self._statsd is None and telemetry.listen:
            self._statsd = StatsdSource(self._telemetry, self._table.intake, self._now)
        if self._statsd is None:
            return Ready(partial(self._turn_to, config))
        packets = await self._statsd.prepare(telemetry.listen, telemetry.relay)

        async def turn() -> None:
            await packets.commit()
            await self._turn_to(config)

        return Ready(turn, packets.discard)

    async def close(self) -> None:
        """Stop asking and listening."""
        await self._api.stop()
        await self._prometheus.stop()
        if self._turning is not None:
            self._turning.cancel()
            await asyncio.wait([self._turning])
        if self._statsd is not None:
            self._statsd.close()
        if self._session is not None:
            await self._session.close()

    @property
    def kind(self) -> Kind | None:
        """Which system the node is; None while that is not known, or it has no API that is asked."""
        return None if self._api.source is None else self._api.source.kind

    @property
    def hints(self) -> Mapping[str, str]:
        """What could be seen with more permission or another setting, by endpoint."""
        return {
            endpoint: hint
            for source in (self._api.source, self._prometheus.source)
            if source is not None
            for endpoint, hint in source.hints.items()
        }

    async def _turn_to(self, config: Config) -> None:
        """Ask what is configured: who is asked the same as before goes on, the others begin or end."""
        api, prometheus = config.node.api, config.telemetry.prometheus
        files = state_of(api.tls.files)
        if await self._api.leave((api, files)) and self._table.intake.up.pop(API, None):
            self._take_from_api(StatusLost())
        if await self._prometheus.leave((prometheus, api, files)):
            self._table.intake.up.pop(TELEMETRY, None)
        if self._session is None and (api.url is not None or prometheus.url is not None):
            self._session = open_session()
        if self._session is not None:
            self._begin_to_ask(self._session, api, prometheus)
        listens = self._statsd is not None and self._statsd.listens
        if listens:
            self._table.intake.up.setdefault(TELEMETRY, False)
        elif self._prometheus.source is None:
            self._table.intake.up.pop(TELEMETRY, None)
        if self._turning is None and (listens or self._prometheus.source is not None):
            self._turning = asyncio.create_task(self._turn())

    def _begin_to_ask(
        self, session: aiohttp.ClientSession, api: ApiConfig, prometheus: PrometheusConfig
    ) -> None:
        if api.url is not None and self._api.source is None:
            self._api.begin(
                NodeSource(
                    api,
                    session,
                    timing=lambda: ApiTiming.of(self._table.policy.heartbeat_timeout, api),
                    take=self._take_from_api,
                    intake=self._table.intake,
                )
            )
        if prometheus.url is not None and self._prometheus.source is None:
            token = TokenFile(api.token_file)
            self._prometheus.begin(
                PrometheusTelemetry(
                    prometheus.url,
                    session,
                    self._telemetry,
                    self._table.intake,
                    tls=api.tls,
                    headers=lambda: headers_of(self.kind or api.kind, token.read()),
                    interval=lambda: prometheus.interval or self._table.policy.heartbeat_timeout / 2,
                    clock=self._now,
                )
            )

    async def _turn(self) -> None:
        while True:
            now = self._now()
            self._telemetry.turn(now)
            if self._statsd is not None and self._statsd.listens:
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


class _Asked(Generic[_S]):
    """A source that asks by itself, for as long as what it was made for stays the same."""

    def __init__(self) -> None:
        self.source: _S | None = None
        self._made_for: object = None
        self._task: asyncio.Task[None] | None = None

    async def leave(self, wanted: object) -> bool:
        """End it if it was made for anything but ``wanted``; give whether that ended one."""
        if wanted == self._made_for:
            return False
        self._made_for = wanted
        ended = self.source is not None
        await self.stop()
        return ended

    def begin(self, source: _S) -> None:
        self.source = source
        self._task = asyncio.create_task(source.run())

    async def stop(self) -> None:
        self.source = None
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
            self._task = None
