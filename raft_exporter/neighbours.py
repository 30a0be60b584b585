"""The other sidecars: whom this one asks for reports, and what it tells them itself."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Final

import aiohttp
from msgspec import Struct

from raft_exporter.change import Change, Ready
from raft_exporter.config import Config, ReportsConfig
from raft_exporter.model.evidence import ProbeResult, Report
from raft_exporter.model.override import Override
from raft_exporter.model.table import Table
from raft_exporter.per_member import PerMember
from raft_exporter.report import Message, encode
from raft_exporter.report_proof import Secrets
from raft_exporter.sources.no_report import REJECTIONS
from raft_exporter.sources.report_trust import ReportTrust
from raft_exporter.sources.reports import FetchTiming, ReportFetcher, Told, open_session
from raft_exporter.sources.sidecar_urls import SidecarPlace, SidecarUrls

SOURCE: Final = "report"
"""The ``source`` of what is rejected in ``raft_exporter_rejected_total``."""

REASONS: Final = ("not_a_member", "another_cluster", *REJECTIONS)


class _Way(Struct, frozen=True):
    """Where a member's sidecar is asked, and with what; an equal one needs no other fetcher."""

    place: SidecarPlace
    trust: ReportTrust


class Neighbours:
    """Fetches the reports of all other members, and gives the own one, as was last prepared for.

    ``take`` takes evidence, ``overrides`` what another sidecar says that operators set.
    """

    def __init__(
        self,
        table: Table,
        take: Callable[[ProbeResult | Report], None],
        overrides: Callable[[Sequence[Override]], None],
        rng: random.Random,
    ) -> None:
        self._config = ReportsConfig()
        self._trust = ReportTrust()
        self._table = table
        self._take = take
        self._overrides = overrides
        self._rng = rng
        self._urls = SidecarUrls({})
        self._session: aiohttp.ClientSession | None = None
        self._fetchers = PerMember(self._fetcher)
        self.clocks: dict[str, float] = {}
        """By how many seconds the clock of each member's sidecar is ahead of this one's."""
        for reason in REASONS:
            table.intake.rejected[SOURCE, reason] = 0

    async def prepare(self, config: Config) -> Change:
        """Get ready to ask as ``config`` says; StartError when a file of ``reports`` can't be used."""
        # Another thread: the system's certificates take a while to read.
        trust = await asyncio.to_thread(ReportTrust.of, config.reports, self._trust)

        async def turn() -> None:
            self._turn_to(config.reports, trust)

        return Ready(turn)

    def watch(self) -> None:
        """Have one fetcher for each member whose sidecar's place is known."""
        if not self._config.enabled:
            self._fetchers.assign({})
            return
        if self._session is None:
            self._session = open_session()
        for peer in self.clocks.keys() - self._table.members.keys():
            del self.clocks[peer]
        places = self._urls.places(self._addresses(), self._table.node.id)
        self._fetchers.assign(
            {peer: _Way(place, self._trust.at(place.url)) for peer, place in places.items()}
        )
        timing = self._timing()
        for fetcher in self._fetchers.workers():
            fetcher.timing = timing

    def report(self, now: float, overrides: Sequence[Override]) -> bytes | None:
        """Give the body of the own report at the observed time ``now``; None while the node has no name."""
        table = self._table
        report = table.report(now)
        if report is None:
            return None
        return encode(
            Message(
                report=report,
                address=table.node.address,
                role=table.role(now),
                term=table.own.term if table.own else None,
                overrides=tuple(overrides),
                sidecars=self._urls.telling(table.node.id),
            )
        )

    def known(self) -> frozenset[str]:
        """The members whose sidecar's address is known."""
        return frozenset(fetcher.peer for fetcher in self._fetchers.workers())

    def secrets(self) -> Secrets | None:
        """What who asks for the own report must prove to have; None: nothing is asked of them."""
        return None if self._trust.secrets is None else self._trust.secrets.get()

    def places(self) -> Mapping[str, str]:
        """The base URL of each member's sidecar that is known, the own one included."""
        return self._urls.of_all(self._addresses(), self._table.node.id)

    def hints(self) -> Mapping[str, str]:
        """By member: why its sidecar's last answer was no report, and what could be done about it."""
        return {fetcher.peer: fetcher.hint for fetcher in self._fetchers.workers() if fetcher.hint}

    async def close(self) -> None:
        """Stop asking."""
        if leaving := self._fetchers.stop():
            await asyncio.wait(leaving)
        if self._session is not None:
            await self._session.close()

    def _turn_to(self, config: ReportsConfig, trust: ReportTrust) -> None:
        """Ask as ``config`` says: who is asked there and so already goes on being asked."""
        self._config, self._trust = config, trust
        self._urls.configure(
            {sidecar.id: sidecar.url for sidecar in config.sidecars}, config.url, config.advertise
        )
        if self._session is not None:
            self.watch()

    def _addresses(self) -> dict[str, str]:
        return {peer: member.server.address for peer, member in self._table.members.items()}

    def _timing(self) -> FetchTiming:
        h = self._table.policy.heartbeat_timeout
        return FetchTiming.of(h, self._config.interval, self._config.timeout)

    def _fetcher(self, peer: str, way: _Way) -> ReportFetcher:
        assert self._session is not None  # noqa: S101 - watch() opens it first
        return ReportFetcher(
            peer,
            way.place,
            self._timing(),
            session=self._session,
            urls=self._urls,
            told=Told(
                evidence=self._take,
                message=self._message,
                rejected=self._rejected,
                clock=partial(self.clocks.__setitem__, peer),
            ),
            rng=self._rng,
            trust=way.trust,
        )

    def _message(self, message: Message) -> None:
        if self._table.is_foreign(message.report):
            return  # nor are its overrides and URLs ours
        self._urls.told(message.sidecars, self._table.members)
        self._overrides(message.overrides)

    def _rejected(self, reason: str) -> None:
        self._table.intake.rejected[SOURCE, reason] += 1
