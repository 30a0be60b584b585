"""Asks the node's own API for ever, through the adapter of its kind, and hands on its word as evidence."""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Callable, Mapping
from typing import Final

import aiohttp
from msgspec import Struct

from raft_exporter.errors import NodeError
from raft_exporter.logs import event
from raft_exporter.model.evidence import Evidence, StatusLost
from raft_exporter.model.intake import Intake
from raft_exporter.schema import ApiConfig, Kind
from raft_exporter.sources.node_api import REASONS, Api, TokenFile, without_query
from raft_exporter.sources.nodes import adapter_of
from raft_exporter.sources.nodes.adapter import Adapter
from raft_exporter.sources.nodes.detection import detect
from raft_exporter.sources.tls import tls_context

_log = logging.getLogger(__name__)

SOURCE: Final = "node"
_LONGEST: Final = 1.0
"""Seconds: the node's word is news for three of them at most."""
_SHARE: Final = 0.8
"""An answer takes less than the interval, so that one question ends before the next."""
_LOST_AFTER: Final = 3
"""Failures in a row that end what it said; a refused connection does so at once."""


class ApiTiming(Struct, frozen=True):
    """When to ask, and how long all answers of one turn may take, in seconds."""

    interval: float
    timeout: float

    @classmethod
    def of(cls, heartbeat_timeout: float, config: ApiConfig) -> ApiTiming:
        """Give the timing for H seconds: every H, at most a second, and 0.8 of that for the answers."""
        longest = min(heartbeat_timeout, _LONGEST)
        interval = min(config.interval or longest, longest)
        return cls(interval, min(config.timeout or _SHARE * interval, _SHARE * interval))


class NodeSource:
    """Asks one node until cancelled; ``url`` is in the configuration, or there is no such source.

    ``timing`` is asked for each turn. Every failure is counted under ``source="node"``, none ends the source.
    """

    def __init__(
        self,
        config: ApiConfig,
        session: aiohttp.ClientSession,
        *,
        timing: Callable[[], ApiTiming],
        take: Callable[[Evidence], None],
        intake: Intake,
    ) -> None:
        self._config = config
        self._session = session
        self._timing = timing
        self._take = take
        self._intake = intake
        self._token = TokenFile(config.token_file)
        self._adapter: Adapter | None = None
        self._failures = 0
        self._told: dict[str, str] = {}
        self._said = ""
        self._context: ssl.SSLContext | None = None
        intake.up[SOURCE] = False
        for reason in REASONS:
            intake.rejected[SOURCE, reason] = 0

    @property
    def kind(self) -> Kind | None:
        """Which system the node is; None while it is not known."""
        return self._config.kind if self._adapter is None else self._adapter.kind

    @property
    def hints(self) -> Mapping[str, str]:
        """What could be seen with more permission or another setting, by endpoint."""
        return {} if self._adapter is None else self._adapter.hints

    async def run(self) -> None:
        """Ask until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            due = loop.time() + self._timing().interval
            try:
                await self.ask()
            except Exception as error:
                # Whatever it is, it is a fault of ours and never the node's.
                self._say(logging.ERROR, "asking the node failed", repr(error))
            await asyncio.sleep(max(due - loop.time(), 0.0))

    async def ask(self) -> None:
        """Ask once, and hand on what it says."""
        timing = self._timing()
        try:
            async with asyncio.timeout(timing.timeout):
                evidence = await self._turn(timing)
        except TimeoutError:
            self._failed(NodeError("timeout", f"no whole answer within {timing.timeout:g} s"))
        except NodeError as error:
            self._failed(error)
        else:
            self._failures = 0
            if not self._intake.up[SOURCE]:
                self._intake.up[SOURCE] = True
                where = without_query(self._config.url or "")
                self._say(logging.INFO, "the node answers", f"{self.kind} at {where}")
            for each in evidence:
                self._take(each)
            self._tell_hints()

    async def _turn(self, timing: ApiTiming) -> list[Evidence]:
        token = self._token.read()
        if self._adapter is None:
            kind = self._config.kind or await detect(await self._api(timing, {}))
            self._adapter = adapter_of(kind, self._config)
        return list(await self._adapter.ask(await self._api(timing, self._adapter.headers(token))))

    async def _api(self, timing: ApiTiming, headers: dict[str, str]) -> Api:
        url = self._config.url or ""
        if self._context is None and url.startswith("https:"):
            # It reads all of the system's certificates, which takes a while.
            self._context = await asyncio.to_thread(tls_context, self._config.tls)
        return Api(
            self._session, url, timing.timeout, headers=headers, tls=self._config.tls, context=self._context
        )

    def _failed(self, error: NodeError) -> None:
        self._intake.rejected[SOURCE, error.reason] += 1
        self._failures += 1
        if error.reason == "tls":
            self._context = None  # its files may be others the next time
        if self._intake.up[SOURCE] and (error.refused or self._failures >= _LOST_AFTER):
            self._intake.up[SOURCE] = False
            self._take(StatusLost())
        if not self._intake.up[SOURCE]:
            self._say(logging.WARNING, "the node does not answer", str(error))

    def _tell_hints(self) -> None:
        for path, words in self.hints.items():
            if self._told.get(path) != words:
                self._told[path] = words
                event(_log, logging.INFO, "more could be seen of the node", endpoint=path, hint=words)

    def _say(self, level: int, what: str, detail: str) -> None:
        """Log it, once for as long as it stays the same."""
        if self._said != what + detail:
            self._said = what + detail
            event(_log, level, what, detail=detail)
