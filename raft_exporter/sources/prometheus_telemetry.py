"""The node's go-metrics, scraped from its Prometheus endpoint."""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Callable, Mapping
from typing import Final
from urllib.parse import urlsplit

import aiohttp

from raft_exporter.errors import NodeError
from raft_exporter.logs import event
from raft_exporter.model.intake import Intake
from raft_exporter.schema import TlsConfig
from raft_exporter.sources import prometheus_text as text
from raft_exporter.sources.node_api import Answer, Api, without_query
from raft_exporter.sources.prometheus_counts import Counts
from raft_exporter.sources.prometheus_text import Scrape
from raft_exporter.sources.telemetry import SOURCE, Telemetry
from raft_exporter.sources.tls import tls_context

_log = logging.getLogger(__name__)

REASONS: Final = (
    *("refused", "unreachable", "timeout", "broken", "tls", "redirect", "too_large", "content_type"),
    *("status", "permission", "not_found", "token_file", "disabled", "no_raft"),
    *text.REASONS,
)
"""Why a scrape, or a line of it, was no use."""

_LONGEST: Final = 1.0
"""Seconds from one scrape to the next, at most: nothing is heard in between."""
_SHARE: Final = 0.8
"""An answer takes less than the interval, so that one scrape ends before the next."""
_DOWN_AFTER: Final = 3
"""Failures in a row until the endpoint counts as down."""
_TYPES: Final = {"text/plain", "application/openmetrics-text"}
_CONSUL, _NOMAD, _VAULT = "/v1/agent/metrics", "/v1/metrics", "/v1/sys/metrics"
# OpenBao 2.7: its words with status 400, the second on a standby for any token that does not do.
_OFF, _STANDBY = b"prometheus is not enabled", b"cannot forward local-only request"

_DISABLED: Final = {
    _CONSUL: "set telemetry.prometheus_retention_time above 0 in Consul's configuration",
    _NOMAD: "set telemetry.prometheus_metrics = true in Nomad's configuration",
    _VAULT: "set telemetry.prometheus_retention_time above 0 in the server's configuration",
}
_FORBIDDEN: Final = {
    _CONSUL: "the token needs agent:read for this node",
    _NOMAD: "Nomad asks for no token here: see what stands before it",
    _VAULT: "the token needs read on sys/metrics, or the listener unauthenticated_metrics_access = true",
}


class PrometheusTelemetry:
    """Scrapes the node's own endpoint at ``url`` until cancelled, and tells ``telemetry``.

    ``headers`` gives what each question bears, the token included; ``interval`` is asked for at each scrape,
    in seconds, and one second at most is taken. ``clock`` is the clock of the telemetry's turns.
    Every failure is counted under ``source="telemetry"``, none ends the source.
    """

    def __init__(
        self,
        url: str,
        session: aiohttp.ClientSession,
        telemetry: Telemetry,
        intake: Intake,
        *,
        tls: TlsConfig,
        headers: Callable[[], Mapping[str, str]],
        interval: Callable[[], float],
        clock: Callable[[], float],
    ) -> None:
        parts = urlsplit(url)
        self._base = f"{parts.scheme}://{parts.netloc}"
        self._path = url.removeprefix(self._base)
        self._where = without_query(self._path)
        self._endpoint = parts.path.rstrip("/")
        self._session = session
        self._telemetry = telemetry
        self._intake = intake
        self._tls = tls
        self._headers = headers
        self._interval = interval
        self._clock = clock
        self._counts = Counts(telemetry)
        self._failures = 0
        self._context: ssl.SSLContext | None = None
        self._hint: str | None = None
        self._said = ""
        intake.up[SOURCE] = False
        for reason in REASONS:
            intake.rejected.setdefault((SOURCE, reason), 0)

    @property
    def hints(self) -> Mapping[str, str]:
        """Which setting or permission is missing, by endpoint, in one line."""
        return {} if self._hint is None else {self._where: self._hint}

    async def run(self) -> None:
        """Scrape until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            due = loop.time() + min(self._interval(), _LONGEST)
            try:
                await self.scrape()
            except Exception as error:
                # Whatever it is, it is a fault of ours and never the node's.
                self._say(logging.ERROR, "scraping the node failed", repr(error))
            await asyncio.sleep(max(due - loop.time(), 0.0))

    async def scrape(self) -> None:
        """Ask once, and tell what it says."""
        at = self._clock()
        try:
            scrape = await self._ask()
        except NodeError as error:
            self._failed(error)
            return
        self._counts.take(scrape, at)
        self._failures = 0
        self._intake.up[SOURCE] = True
        self._say(logging.INFO, "the node's Prometheus endpoint tells of Raft", self._where)

    async def _ask(self) -> Scrape:
        api = await self._api()
        answer = await api.get(self._path)
        self._hint = None
        self._check(answer)
        scrape = text.read(answer.body)
        for reason, count in scrape.rejected.items():
            self._intake.rejected[SOURCE, reason] += count
        if not scrape.raft:
            self._hint = "no series of Raft: this must be a server, with no filter on its telemetry"
            raise NodeError("no_raft", f"{self._where}: expected series of Raft, found none")
        return scrape

    async def _api(self) -> Api:
        if self._context is None and self._base.startswith("https:"):
            # Reading all certificates that the system trusts takes too long for the event loop.
            self._context = await asyncio.to_thread(tls_context, self._tls)
        return Api(
            self._session,
            self._base,
            _SHARE * min(self._interval(), _LONGEST),
            headers=dict(self._headers()),
            tls=self._tls,
            context=self._context,
        )

    def _check(self, answer: Answer) -> None:
        """NodeError, and a hint where one is known, when an answer is no body of metrics."""
        status, found = answer.status, f"{self._where}: expected status 200, got {answer.status}"
        if status == 415 or (status == 400 and _OFF in answer.body[:1024]):
            self._hint = _DISABLED.get(self._endpoint, "switch the service's Prometheus sink on")
            raise NodeError("disabled", found)
        if status in {401, 403} or (status == 400 and _STANDBY in answer.body[:1024]):
            self._hint = _FORBIDDEN.get(self._endpoint, "the token is not taken here")
            raise NodeError("permission", found)
        if status == 404:
            self._hint = "nothing is at this path: see telemetry.prometheus.url"
            raise NodeError("not_found", found)
        if status != 200:
            raise NodeError("status", found)
        if answer.content_type not in _TYPES:
            self._hint = (
                "this is not Prometheus' text form: add ?format=prometheus to telemetry.prometheus.url"
            )
            raise NodeError("content_type", f"{self._where}: expected text/plain, got another type")

    def _failed(self, error: NodeError) -> None:
        self._intake.rejected[SOURCE, error.reason] += 1
        if error.reason == "tls":
            self._context = None  # its files may be others by now
        self._failures += 1
        if self._failures >= _DOWN_AFTER:
            self._intake.up[SOURCE] = False
        if not self._intake.up[SOURCE]:
            detail = str(error) if self._hint is None else f"{error}; {self._hint}"
            self._say(logging.WARNING, "the node's Prometheus endpoint is no use", detail)

    def _say(self, level: int, what: str, detail: str) -> None:
        """Log it, once for as long as it stays the same."""
        if self._said != what + detail:
            self._said = what + detail
            event(_log, level, what, detail=detail)
