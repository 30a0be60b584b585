"""The fetcher of reports as raft_exporter/sources/reports.py has it, in simulated time."""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import partial
from typing import Final

from msgspec.structs import replace

from bench._prober import Call, Schedule
from bench._script import NEVER, H, Kind, Service
from bench._world import World
from raft_exporter.model.evidence import Outcome, ProbeKind, ProbeResult, Report
from raft_exporter.sources.reports import FetchTiming

FETCHING: Final = FetchTiming.of(H, None, None)

_JITTER: Final = 0.2


class Fetcher:
    """Asks the sidecar of one member for its report, for ever; one outstanding request.

    ``ask`` has the other sidecar make its report, which ``serve_at`` schedules; ``take`` takes what comes.
    """

    def __init__(
        self,
        world: World,
        way: tuple[str, str],
        *,
        at: Schedule,
        serve_at: Callable[[float, Call], None],
        ask: Callable[[str, float], Report | None],
        take: Callable[[ProbeResult | Report, float], None],
        rng: random.Random,
    ) -> None:
        self._world, self._way, self._at, self._rng = world, way, at, rng
        self._serve_at, self._ask, self._take = serve_at, ask, take
        self._began = 0.0
        self._epoch: int | None = None
        """Of the process that the open connection is to; None: there is none."""

    def begin(self, now: float) -> None:
        """Start one request."""
        self._began = now
        deadline = now + FETCHING.timeout
        world, way = self._world, self._way
        if self._epoch != world.epoch(way[1], Service.SIDECAR, now):
            opened = world.connect(*way, Service.SIDECAR, now, FETCHING.connect)
            while not (opened.open or opened.refused) and opened.at < deadline:
                patience = min(FETCHING.connect, deadline - opened.at)
                opened = world.connect(*way, Service.SIDECAR, opened.at, patience)
            if not opened.open:
                self._at(
                    opened.at, partial(self._fail, Outcome.REFUSED if opened.refused else Outcome.TIMEOUT)
                )
                return
            now = opened.at
            self._epoch = world.epoch(way[1], Service.SIDECAR, now)
        arrives = world.send(*way, now, Kind.REPORT, deadline).arrives
        done, answers = (NEVER, False)
        if arrives < NEVER:
            done, answers = world.handled(way[1], Service.SIDECAR, arrives)
        if answers and done <= deadline:
            self._serve_at(done, partial(self._serve, deadline))
        else:
            self._at(deadline, partial(self._fail, Outcome.TIMEOUT))

    def _serve(self, deadline: float, now: float) -> None:
        """The other sidecar makes its report."""
        report = self._ask(self._way[1], now)
        back = self._world.send(*self._way[::-1], now, Kind.REPORT + 10, deadline).arrives
        if back <= deadline and report is not None:
            self._at(back, partial(self._took, report, deadline))
        else:
            self._at(deadline, partial(self._fail, Outcome.TIMEOUT))

    def _took(self, report: Report, deadline: float, now: float) -> None:
        if now > deadline:  # frozen meanwhile: the timeout has passed as well
            self._fail(Outcome.TIMEOUT, now)
            return
        trip = now - self._began
        self._tell(Outcome.OK, now, round_trip=trip, host_age=0.0)
        self._take(replace(report, age=trip), now)
        self._rest(now)

    def _fail(self, outcome: Outcome, now: float) -> None:
        self._epoch = None
        self._tell(outcome, now, host_age=0.0 if outcome is Outcome.REFUSED else None)
        self._rest(now)

    def _tell(
        self, outcome: Outcome, now: float, *, host_age: float | None, round_trip: float | None = None
    ) -> None:
        result = ProbeResult(
            peer=self._way[1],
            kind=ProbeKind.SIDECAR,
            outcome=outcome,
            host_age=host_age,
            round_trip=round_trip,
        )
        self._take(result, now)

    def _rest(self, now: float) -> None:
        delay = FETCHING.interval * self._rng.uniform(1 - _JITTER, 1 + _JITTER)
        self._at(max(self._began + delay, now + delay / 5), self.begin, timer=True)
