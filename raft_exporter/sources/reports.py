"""The other sidecars' reports, one fetcher a member: what they say, and that their host lives.

The report proves the host of a member, never its Raft process. An answer that is no report of this member
is refused and counted.

Where the others have to prove who they are, by the cluster's secret or by TLS, an answer that does not is
nobody's word: it proves not even the host, or whoever has taken a dead node's address could have it look
alive. A refused connection still does: it is the word of a host's kernel, which knows no secret, just as it
is for the probes of the Raft port, and what it can feign, a stalled node, is judged offline in the end.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import ssl
import time
from collections.abc import Callable
from email.utils import parsedate_to_datetime
from functools import partial
from typing import Final

import aiohttp
from msgspec import Struct
from msgspec.structs import replace

from raft_exporter.errors import ReportError
from raft_exporter.logs import event
from raft_exporter.model.evidence import Outcome, ProbeKind, ProbeResult, Report
from raft_exporter.report import MAX_BODY, Message, decode
from raft_exporter.report_proof import HEADER, Question
from raft_exporter.sources.no_report import HINTS, NoReportError, no_report
from raft_exporter.sources.report_trust import ReportTrust
from raft_exporter.sources.sidecar_urls import SidecarPlace, SidecarUrls

_log = logging.getLogger(__name__)

PATH: Final = "/api/v1/report"

_JITTER: Final = 0.2
"""Intervals vary by a fifth, so that the requests of many sidecars do not fall into step."""
_LOGGED_AFTER: Final = 3
"""Failures in a row that are worth a line; a lost packet is none."""
_HEADERS: Final = {"Accept": "application/json", "Accept-Encoding": "identity"}
_JSON: Final = "application/json"
_REFUSALS: Final = {401: "unauthorized", 429: "too_many_requests"}
_TRUSTING: Final = ReportTrust()


class FetchTiming(Struct, frozen=True):
    """When to ask for a report, in seconds."""

    interval: float
    """From the start of one request to the start of the next, before jitter."""
    timeout: float
    """A report that takes longer is given up."""
    connect: float
    """Connecting is begun anew after so long: the kernel repeats a lost SYN only after a second."""

    @classmethod
    def of(cls, heartbeat_timeout: float, interval: float | None, timeout: float | None) -> FetchTiming:
        """Give the timing for H seconds: every H/2, within 0.8 H or half a second.

        A report is believed for 2 H. At H/2 (0.6 H with jitter) the next but one is there within that even
        if one takes all of its time in vain. A lost packet costs TCP 200 ms and more, but for the first of
        a connection, which costs a second: so connecting is begun anew. 0.8 H is measured: with
        30 % loss it leaves the fewest reporters unheard (docs/quality.md).
        """
        longest = max(0.8 * heartbeat_timeout, 0.5)
        limit = min(timeout or longest, longest)
        return cls(
            interval=min(interval or heartbeat_timeout / 2, heartbeat_timeout / (1 + _JITTER)),
            timeout=limit,
            connect=min(max(limit / 4, 0.25), limit),
        )


class Told(Struct, frozen=True):
    """Where a fetcher takes what it learns.

    ``evidence`` takes probe results and reports, ``message`` what else a report says (its overrides), and
    ``rejected`` the word for each thing that was refused, one of ``no_report.REJECTIONS``.
    """

    evidence: Callable[[ProbeResult | Report], None]
    message: Callable[[Message], None]
    rejected: Callable[[str], None]
    clock: Callable[[float], None]
    """Takes by how many seconds the other's clock is ahead, to half a second."""


def open_session() -> aiohttp.ClientSession:
    """Make the session that all fetchers share: no proxy, no cookies, and nothing is unpacked."""
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0),
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
        trust_env=False,
    )


class ReportFetcher:
    """Asks the sidecar of one member for its report, for ever; one outstanding request.

    ``peer`` is the member's server id; a report in another id's name is a bad answer. ``trust`` is by what
    the two sides know each other.
    """

    def __init__(
        self,
        peer: str,
        place: SidecarPlace,
        timing: FetchTiming,
        *,
        session: aiohttp.ClientSession,
        urls: SidecarUrls,
        told: Told,
        rng: random.Random,
        trust: ReportTrust = _TRUSTING,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self.peer = peer
        self.place = place
        self._timing = timing
        self._retimed = asyncio.Event()
        self._session = session
        self._urls = urls
        self._told = told
        self._rng = rng
        self._trust = trust
        self._proof_demanded = trust.demands_proof_at(place.url)
        self.hint = ""
        """What could be done about the last failure; empty when there was none, or nothing is known."""
        self._wall = wall
        self._proved = False
        """The member's own report came from this place: whatever it answers comes from the member's host."""
        self._failures = 0
        self._fault = ""
        self._logged: bool | None = None
        """Whether the last line said that reports come."""

    @property
    def timing(self) -> FetchTiming:
        """When it asks; another timing ends the present rest."""
        return self._timing

    @timing.setter
    def timing(self, timing: FetchTiming) -> None:
        if timing != self._timing:
            self._timing = timing
            self._retimed.set()

    async def run(self) -> None:
        """Ask until cancelled."""
        while True:
            began = asyncio.get_running_loop().time()
            try:
                await self._ask()
            except Exception as error:
                # Whatever it is, it is a fault of ours and never the member's.
                if repr(error) != self._fault:
                    self._fault = repr(error)
                    event(_log, logging.ERROR, "fetching a report failed", peer=self.peer, error=self._fault)
            await self._rest(began)

    async def _ask(self) -> None:
        loop = asyncio.get_running_loop()
        began = loop.time()
        try:
            body = await self._fetch()
            took = loop.time() - began
            message = self._read(body)
        except NoReportError as error:
            self._failed(error)
            return
        self._proved, self.hint = True, ""
        self._urls.succeeded(self.peer, self.place.url)
        self._tell(Outcome.OK, round_trip=took, host_age=0.0)
        for reason in message.refused:
            self._told.rejected(reason)
        # The report may have been made at any moment of the way: the earliest one flatters nobody.
        self._told.evidence(replace(message.report, age=took))
        self._told.message(message)
        self._failures = 0
        if self._logged is not True:
            self._logged = True
            event(_log, logging.INFO, "reports come", peer=self.peer, url=self.place.url)

    async def _fetch(self) -> bytes:
        """Give the body of the report; connecting is begun anew until the time is over."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self.timing.timeout
        while True:
            try:
                return await self._fetch_once(deadline - loop.time())
            except (aiohttp.ClientError, OSError, ValueError) as error:
                if not isinstance(error, aiohttp.ConnectionTimeoutError) or loop.time() >= deadline:
                    raise no_report(error) from error

    async def _fetch_once(self, patience: float) -> bytes:
        question = self._question()
        async with self._session.get(
            self.place.url + PATH,
            headers=_HEADERS if question is None else _HEADERS | {"Authorization": question.authorization},
            allow_redirects=False,
            timeout=aiohttp.ClientTimeout(total=patience, sock_connect=self.timing.connect),
            ssl=self._context(),
            server_hostname=self._trust.tls.server_name,
        ) as response:
            if response.status != 200:
                reason = _REFUSALS.get(response.status, "status")
                raise NoReportError(Outcome.BAD_ANSWER, reason, response.status)
            if response.content_type != _JSON:
                raise NoReportError(Outcome.BAD_ANSWER, "content_type", response.content_type)
            proof = response.headers.get(HEADER)
            if question is not None and proof is None:
                raise NoReportError(Outcome.BAD_ANSWER, "unproved")
            body = await _read_bounded(response)
            if question is not None and not question.is_answered_by(proof or "", response.status, body):
                raise NoReportError(Outcome.BAD_ANSWER, "wrong_proof")
            if (date := _date(response)) is not None:
                self._told.clock(date - self._wall())
            return body

    def _question(self) -> Question | None:
        if self._trust.secrets is None:
            return None
        return Question(self.peer, self._trust.secrets.get(partial(self._told.rejected, "token_file")))

    def _context(self) -> ssl.SSLContext | bool:
        if self._trust.context is None:
            return True
        return self._trust.context.get(partial(self._told.rejected, "tls"))

    def _read(self, body: bytes) -> Message:
        try:
            message = decode(body, self._wall())
        except ReportError as error:
            raise NoReportError(Outcome.BAD_ANSWER, error.reason, error) from error
        reporter = message.report.reporter
        if reporter != self.peer:
            raise NoReportError(Outcome.BAD_ANSWER, "wrong_node", f"the report of {reporter}")
        return message

    def _failed(self, error: NoReportError) -> None:
        if error.reason == "wrong_node":
            self._proved = False
            self._urls.belongs_to_another(self.peer, self.place.url)
        else:
            self._urls.failed(self.peer, self.place.url)
        answered = error.outcome is Outcome.REFUSED or (
            error.outcome is Outcome.BAD_ANSWER and not self._proof_demanded
        )
        known = self.place.on_host or self._proved
        self._tell(error.outcome, host_age=0.0 if answered and known else None)
        self.hint = HINTS.get(error.reason or "", "")
        if error.reason is not None:
            self._told.rejected(error.reason)
        self._failures += 1
        expected = self._logged or (self._logged is None and not self.place.told)
        if self._failures == _LOGGED_AFTER and expected:
            self._logged = False
            event(
                _log,
                logging.WARNING,
                "no reports come",
                peer=self.peer,
                url=self.place.url,
                outcome=error.outcome,
                reason=error.reason,
                detail=error.detail,
                hint=self.hint,
            )

    async def _rest(self, began: float) -> None:
        """Wait for the next turn, an interval after this one ``began``; another timing ends it early."""
        delay = self.timing.interval * self._rng.uniform(1 - _JITTER, 1 + _JITTER)
        due = max(began + delay, asyncio.get_running_loop().time() + delay / 5)
        self._retimed.clear()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout_at(due):
                await self._retimed.wait()

    def _tell(
        self, outcome: Outcome, *, round_trip: float | None = None, host_age: float | None = None
    ) -> None:
        self._told.evidence(
            ProbeResult(
                peer=self.peer,
                kind=ProbeKind.SIDECAR,
                outcome=outcome,
                round_trip=round_trip,
                host_age=host_age,
            )
        )


def _date(response: aiohttp.ClientResponse) -> float | None:
    """Give the Unix time at which it was answered, by the middle of the second that its header names."""
    try:
        return parsedate_to_datetime(response.headers["Date"]).timestamp() + 0.5
    except (KeyError, ValueError, TypeError, OverflowError):
        return None


async def _read_bounded(response: aiohttp.ClientResponse) -> bytes:
    body = bytearray()
    async for piece in response.content.iter_chunked(64 * 1024):
        body += piece
        if len(body) > MAX_BODY:
            raise NoReportError(Outcome.BAD_ANSWER, "too_large", f"more than {MAX_BODY} bytes")
    return bytes(body)
