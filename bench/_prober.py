"""The native prober as raft_exporter/sources/raft_probe.py has it, in simulated time.

It is a small machine driven by events; what becomes of a request is asked of the world.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Final, Protocol

from bench._script import NEVER, H, Kind, Service
from bench._world import World
from raft_exporter.model.evidence import Outcome, ProbeKind, ProbeResult
from raft_exporter.sources.prober import Timing

TIMING: Final = Timing.of(H, None, None)

_JITTER: Final = 0.2
_KEEPALIVE: Final = 1.0
"""Seconds after which the kernel asks a quiet host (raft_exporter/sources/connection.py)."""
_LONG: Final = 60.0


NEVER_BEFORE: Final = float("-inf")
Call = Callable[[float], None]
"""What is called, with the time at which it is called."""

Take = Callable[[ProbeResult, float], None]
"""Takes a result of a probe as evidence, at a time."""


class Schedule(Protocol):
    """Has something called at a time, unless the sidecar ends before; a frozen one is called later."""

    def __call__(self, at: float, call: Call, *, timer: bool = False) -> None:
        """Call ``call`` at ``at``. Of one moment, data goes before timers."""


class Connection:
    """One open connection: when its host last acknowledged, and when it is found closed."""

    __slots__ = (
        "_asks_host_at",
        "_world",
        "acknowledged",
        "answers_at",
        "asked_at",
        "closes_at",
        "epoch",
        "heard_at",
        "opened_at",
        "resets_at",
        "way",
    )

    def __init__(self, world: World, way: tuple[str, str], now: float) -> None:
        self._world = world
        self.way = way
        self.opened_at = self.heard_at = now
        self.epoch = world.epoch(way[1], Service.RAFT, now)
        self.closes_at = world.closes(*way, Service.RAFT, now, Kind.PROBE)
        self.asked_at = self.answers_at = self.resets_at = self.acknowledged = NEVER
        self._asks_host_at = now + _KEEPALIVE

    def ask(self, now: float) -> None:
        """Send the question; the fields then tell what comes of it."""
        reply = self._world.request(
            *self.way, Service.RAFT, now, Kind.PROBE, epoch=self.epoch, until=now + _LONG
        )
        self.asked_at = now
        self.answers_at = reply.answered
        self.resets_at = min(reply.reset, self.closes_at)
        self.acknowledged = reply.acknowledged

    def host_heard_at(self, now: float) -> float:
        """Give when the other host last acknowledged anything: the question, or a keepalive after it."""
        if self.acknowledged > now:
            return self.heard_at
        if self.acknowledged > self.heard_at:
            self.heard_at = self.acknowledged
            self._asks_host_at = self.heard_at + _KEEPALIVE
        source, target = self.way
        while self._asks_host_at < now:
            there = self._world.packet(source, target, self._asks_host_at, Kind.KEEPALIVE)
            back = self._world.packet(target, source, there, Kind.KEEPALIVE + 20) if there < NEVER else NEVER
            if back > now and back < NEVER:
                break
            if back < NEVER:
                self.heard_at = back
            self._asks_host_at = (back if back < NEVER else self._asks_host_at) + _KEEPALIVE
        return self.heard_at

    def given_up_at(self, now: float) -> float:
        """Give when the kernel gives it up, if nothing more is acknowledged (TCP_USER_TIMEOUT)."""
        heard_at = self.host_heard_at(now)
        return (heard_at if self.acknowledged <= now else self.asked_at) + TIMING.dead_after


class Prober:
    """Asks one member over and over, as ``RaftProber`` does: one connection, one outstanding request."""

    def __init__(
        self, world: World, way: tuple[str, str], *, at: Schedule, take: Take, rng: random.Random
    ) -> None:
        self._world, self._way, self._at, self._take, self._rng = world, way, at, take, rng
        self._connection: Connection | None = None
        self._began = 0.0
        self._fresh = False
        self._refusals = self._closed = 0
        self._failing_since: float | None = None
        self._returned_at = NEVER_BEFORE

    def begin(self, now: float) -> None:
        """Start one probe."""
        self._began = now
        if self._connection is not None:
            self._fresh = False
            self._ask(now)
            return
        opened = self._world.connect(*self._way, Service.RAFT, now, TIMING.timeout)
        if opened.open:
            self._at(opened.at, self._connected)
        elif opened.refused:
            self._at(opened.at, self._refused)
        else:
            self._at(opened.at, self._not_connected, timer=True)

    def _connected(self, now: float) -> None:
        self._refusals = 0
        self._connection = Connection(self._world, self._way, now)
        self._fresh = True
        self._ask(now)

    def _refused(self, now: float) -> None:
        self._tell(Outcome.REFUSED, now, host_age=0.0)
        self._refusals, self._closed = self._refusals + 1, 0
        self._rest(now)

    def _not_connected(self, now: float) -> None:
        self._tell(Outcome.TIMEOUT, now)
        self._refusals = self._closed = 0
        self._rest(now)

    def _ask(self, now: float) -> None:
        assert self._connection is not None
        self._connection.ask(now)
        self._wait(now, now + TIMING.timeout)

    def _wait(self, now: float, fails_at: float) -> None:
        """Wait for what comes first: the answer, the end of the connection, or the timeout."""
        connection = self._connection
        assert connection is not None
        ends = min(connection.answers_at, connection.resets_at)
        gives_up = connection.given_up_at(now)
        if ends <= min(fails_at, gives_up):
            self._at(ends, lambda now: self._look(now, fails_at))
        else:
            self._at(min(fails_at, gives_up), lambda now: self._look(now, fails_at), timer=True)

    def _look(self, now: float, fails_at: float) -> None:
        connection = self._connection
        assert connection is not None
        if connection.answers_at <= min(now, connection.resets_at):
            self._closed = 0
            trip = now - connection.asked_at
            connection.heard_at = max(connection.heard_at, connection.answers_at)
            connection.acknowledged = min(connection.acknowledged, connection.answers_at)
            self._tell(Outcome.OK, now, host_age=0.0, round_trip=trip)
            self._rest(now)
        elif connection.resets_at <= now:
            self._connection = None
            if not self._fresh:
                self.begin(now)
                return
            self._closed += 1
            self._tell(Outcome.BAD_ANSWER, now, host_age=0.0)
            self._rest(now)
        elif connection.given_up_at(now) <= now:
            self._connection = None
            self._tell(Outcome.TIMEOUT, now)
            self._rest(now)
        else:
            if now >= fails_at:
                age = now - connection.host_heard_at(now)
                self._tell(Outcome.TIMEOUT, now, host_age=age, waiting=now - connection.asked_at)
                fails_at = now + TIMING.timeout
            self._wait(now, fails_at)

    def _rest(self, now: float) -> None:
        delay = self._delay(now)
        due = max(self._began + delay, now + delay / 5)
        connection = self._connection
        if connection is not None and connection.closes_at <= due:
            self._at(max(connection.closes_at, now), lambda now: self._lost(now, due))
        else:
            self._at(due, self.begin, timer=True)

    def _lost(self, now: float, due: float) -> None:
        """The other end closed while nothing was asked: ask anew at once, if it had lived for a while."""
        connection = self._connection
        assert connection is not None
        self._connection = None
        if now - connection.opened_at >= TIMING.retry:
            self.begin(now)
        else:
            self._at(max(due, now), self.begin, timer=True)

    def _delay(self, now: float) -> float:
        if self._refusals in {1, 2}:
            return TIMING.retry * self._rng.uniform(1, 1 + _JITTER)
        if self._closed == 1:
            return TIMING.retry / 5
        returns = now - self._returned_at < TIMING.return_takes
        every = TIMING.retry if returns else TIMING.interval
        return every * self._rng.uniform(1 - _JITTER, 1 + _JITTER)

    def _tell(
        self,
        outcome: Outcome,
        now: float,
        *,
        host_age: float | None = None,
        round_trip: float | None = None,
        waiting: float | None = None,
    ) -> None:
        if outcome is not Outcome.OK:
            self._failing_since = now if self._failing_since is None else self._failing_since
        elif self._failing_since is not None:
            if now - self._failing_since >= TIMING.gone_for:
                self._returned_at = now
            self._failing_since = None
        self._take(
            ProbeResult(
                peer=self._way[1],
                kind=ProbeKind.RAFT,
                outcome=outcome,
                round_trip=round_trip,
                host_age=host_age,
                waiting=waiting,
            ),
            now,
        )
