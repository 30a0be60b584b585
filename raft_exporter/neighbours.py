"""The other sidecars: whom this one asks for reports, and what it tells them itself."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

import aiohttp

from raft_exporter.config import Config
from raft_exporter.model.evidence import ProbeResult, Report
from raft_exporter.model.override import Override
from raft_exporter.model.table import Table
from raft_exporter.per_member import PerMember
from raft_exporter.report import Message, encode
from raft_exporter.sources.reports import REJECTIONS, FetchTiming, ReportFetcher, Told, open_session
from raft_exporter.sources.sidecar_urls import SidecarPlace, SidecarUrls

SOURCE: Final = "report"
"""The ``source`` of what is rejected in ``raft_exporter_rejected_total``."""

REASONS: Final = ("not_a_member", "another_cluster", *REJECTIONS)


class Neighbours:
    """Fetches the reports of all other members, and gives the own one.

    ``take`` takes evidence, ``overrides`` what another sidecar says that operators set.
    """

    def __init__(
        self,
        config: Config,
        table: Table,
        take: Callable[[ProbeResult | Report], None],
        overrides: Callable[[Sequence[Override]], None],
        rng: random.Random,
    ) -> None:
        self._config = config.reports
        self._table = table
        self._take = take
        self._overrides = overrides
        self._rng = rng
        self._urls = SidecarUrls(
            {sidecar.id: sidecar.url for sidecar in self._config.sidecars},
            self._config.url,
            self._config.advertise,
        )
        self._session: aiohttp.ClientSession | None = None
        self._fetchers = PerMember(self._fetcher)
        self.clocks: dict[str, float] = {}
        """By how many seconds the clock of each member's sidecar is ahead of this one's."""
        for reason in REASONS:
            table.intake.rejected[SOURCE, reason] = 0

    def watch(self) -> None:
        """Have one fetcher for each member whose sidecar's place is known."""
        if not self._config.enabled:
            return
        if self._session is None:
            self._session = open_session()
        for peer in self.clocks.keys() - self._table.members.keys():
            del self.clocks[peer]
        addresses = {peer: member.server.address for peer, member in self._table.members.items()}
        self._fetchers.assign(self._urls.places(addresses, self._table.node.id))
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

    async def close(self) -> None:
        """Stop asking."""
        if leaving := self._fetchers.stop():
            await asyncio.wait(leaving)
        if self._session is not None:
            await self._session.close()

    def _timing(self) -> FetchTiming:
        h = self._table.policy.heartbeat_timeout
        return FetchTiming.of(h, self._config.interval, self._config.timeout)

    def _fetcher(self, peer: str, place: SidecarPlace) -> ReportFetcher:
        assert self._session is not None  # noqa: S101 - watch() opens it first
        return ReportFetcher(
            peer,
            place,
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
        )

    def _message(self, message: Message) -> None:
        if self._table.is_foreign(message.report):
            return  # nor are its overrides and URLs ours
        self._urls.told(message.sidecars, self._table.members)
        self._overrides(message.overrides)

    def _rejected(self, reason: str) -> None:
        self._table.intake.rejected[SOURCE, reason] += 1
