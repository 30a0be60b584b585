"""How good a detector was: the measures of Chen, Toueg and Aguilera (IEEE ToC 51(5), 2002).

A detector says of each member offline, online, or neither. What is true is in
:meth:`bench._world.World.offline`; what is said while the observer does not run does not count.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Final

from msgspec import Struct

from bench._spans import Spans
from bench._summary import percentile

GRACE: Final = 0.25
"""Seconds after a true end of an outage in which saying offline is still no mistake: what was seen of it
is on its way (a tick of the judge, and a round trip)."""

Pair = tuple[str, str]
"""Observer and target."""


class Say(Enum):
    """What a detector says of a member."""

    ONLINE = "online"
    OFFLINE = "offline"
    NEITHER = "neither"


Words = Sequence[tuple[float, Say]]
"""What an observer said of a target, each from its time in seconds on; before the first: neither."""


class Interval(Struct, frozen=True):
    """Where the true value is, with 95 % confidence; None: infinite, or not known."""

    low: float | None
    high: float | None


class Measures(Struct, frozen=True):
    """The measures of one detector in one scenario. Times in seconds, rates per pair and hour.

    ``outages`` are the true ones, each once for every observer that could tell; percentiles are of all
    of them, an undetected one being later than any: None where they fall on such a one. ``pair_hours``
    is how long somebody could have been wrong. Recovery is counted where an outage had been detected.
    """

    outages: int
    detected: float | None
    td_p50: float | None
    td_p50_ci: Interval
    td_p99: float | None
    mistakes: int
    pair_hours: float
    mistakes_per_pair_hour: float
    mistakes_ci: Interval
    mistake_duration: float | None
    query_accuracy: float
    recoveries: int
    recovery_p50: float | None
    recovery_p50_ci: Interval
    recovery_p99: float | None
    flips: int
    flips_per_pair_hour: float
    named: dict[str, float | None] = {}
    """The median time to the states isolated, asymmetric and stalled, of a detector that has them."""
    setting: str = ""


@dataclass(slots=True)
class Tally:
    """What was counted, over many pairs and plays."""

    delays: list[float | None] = field(default_factory=list)
    mistakes: list[float] = field(default_factory=list)
    """Their durations in seconds."""
    recoveries: list[float | None] = field(default_factory=list)
    flips: int = 0
    up: float = 0.0
    """Seconds in which saying offline was, or would have been, a mistake."""
    spoken: float = 0.0
    named: dict[str, list[float | None]] = field(default_factory=dict)

    def add(self, words: Words, offline: Spans, speaking: Spans, until: float) -> None:
        """Count one pair of one play that lasted until ``until``."""
        said = spans_of(words, Say.OFFLINE, until)
        self.spoken += speaking.total()
        self.flips += _flips(said, speaking)
        self._count_outages(words, said, offline, speaking, until)
        blameless = Spans((start, end + GRACE) for start, end in offline)
        recovering: list[tuple[float, float]] = []
        for start, end in said:
            # What was a mistake is none any more once it has come true, nor while it is taken back.
            comes_true = start if start in blameless else min(blameless.next_start(start), end)
            recovering.append((comes_true, end))
            wrong = Spans([(start, comes_true)]).common(speaking).total()
            if wrong > 0:
                self.mistakes.append(wrong)
        self.up += speaking.without(blameless).without(Spans(recovering)).total()

    def _count_outages(
        self, words: Words, said: Spans, offline: Spans, speaking: Spans, until: float
    ) -> None:
        for start, end in offline:
            if end > until or start not in speaking or end not in speaking:
                continue
            last = (
                said.starts[said.begun(math.nextafter(end, 0)) - 1]
                if math.nextafter(end, 0) in said
                else None
            )
            self.delays.append(None if last is None else max(last - start, 0.0))
            if last is None:
                continue
            again = offline.next_start(end)
            first = bisect_left(words, end, key=lambda word: word[0])
            back = next((at for at, say in words[first:] if say is Say.ONLINE), math.inf)
            if back < min(again, until):
                self.recoveries.append(back - end)
            elif min(again, until) - end >= 20.0:
                self.recoveries.append(None)

    def measures(self, setting: str = "") -> Measures:
        """Sum up."""
        hours, spoken = self.up / 3600, self.spoken / 3600
        delays, recoveries = _ordered(self.delays), _ordered(self.recoveries)
        wrong = sum(self.mistakes)
        return Measures(
            outages=len(delays),
            detected=_share(sum(each < math.inf for each in delays), len(delays)),
            td_p50=percentile(delays, 0.5),
            td_p50_ci=median_interval(delays),
            td_p99=percentile(delays, 0.99),
            mistakes=len(self.mistakes),
            pair_hours=round(hours, 4),
            mistakes_per_pair_hour=_rate(len(self.mistakes), hours),
            mistakes_ci=poisson_interval(len(self.mistakes), hours),
            mistake_duration=round(wrong / len(self.mistakes), 3) if self.mistakes else None,
            query_accuracy=round(1 - wrong / self.up, 6) if self.up else 1.0,
            recoveries=len(recoveries),
            recovery_p50=percentile(recoveries, 0.5),
            recovery_p50_ci=median_interval(recoveries),
            recovery_p99=percentile(recoveries, 0.99),
            flips=self.flips,
            flips_per_pair_hour=_rate(self.flips, spoken),
            named={state: percentile(_ordered(times), 0.5) for state, times in sorted(self.named.items())},
            setting=setting,
        )


def spans_of(words: Words, say: Say, until: float) -> Spans:
    """Give when something was said."""
    ends = [at for at, _ in words[1:]] + [until]
    return Spans((at, end) for (at, said), end in zip(words, ends, strict=False) if said is say)


def poisson_interval(count: int, exposure: float) -> Interval:
    """Give the exact (Garwood) interval of a rate: ``count`` events in ``exposure`` hours."""
    if exposure <= 0:
        return Interval(None, None)
    low = _solve(lambda mean: 1 - _poisson_below(count, mean), 0.025, count) if count else 0.0
    high = _solve(lambda mean: 1 - _poisson_below(count + 1, mean), 0.975, count)
    return Interval(round(low / exposure, 4), round(high / exposure, 4))


def median_interval(ordered: Sequence[float]) -> Interval:
    """Give the interval of a median from order statistics: exact whatever the distribution is.

    The ranks are the outermost pair between which the median lies with at least 95 %; with fewer than
    six values there is none.
    """
    n = len(ordered)
    below, rank = 0.0, 0
    while rank < n / 2:
        below += math.comb(n, rank) / 2**n
        if below > 0.025:
            break
        rank += 1
    if rank == 0:
        return Interval(None, None)
    return Interval(_finite(ordered[rank - 1]), _finite(ordered[n - rank]))


def dominates(one: Measures, other: Measures) -> bool:
    """Whether ``one`` is no worse in mistakes, detection, recovery and flips, and better in at least one.

    Who has no word about some of the outages is worse, however fast it is about the rest.
    """
    return no_worse(one, other) and _merits(one) != _merits(other)


def no_worse(one: Measures, other: Measures) -> bool:
    """Whether ``one`` is no worse than ``other`` in any of that."""
    return all(a <= b for a, b in zip(_merits(one), _merits(other), strict=True))


def _merits(measures: Measures) -> tuple[float, ...]:
    """The less the better. What was not to be detected by anybody counts alike for all."""
    td = _or_never(measures.td_p99) if measures.outages else 0.0
    recovery = _or_never(measures.recovery_p50) if measures.outages else 0.0
    return (
        -measures.outages,
        measures.mistakes_per_pair_hour,
        td,
        recovery,
        measures.flips_per_pair_hour,
    )


def _or_never(value: float | None) -> float:
    return math.inf if value is None else value


def _flips(said: Spans, speaking: Spans) -> int:
    """Changes between offline and not, seen while the observer speaks or when it speaks again."""
    heard = [start in said for start, _ in speaking]
    inside = sum(edge in speaking and edge not in speaking.starts for span in said for edge in span)
    return inside + _changes(heard, said, speaking)


def _changes(heard: Sequence[bool], said: Spans, speaking: Spans) -> int:
    before = [math.nextafter(end, 0) in said for end in speaking.ends]
    return sum(a is not b for a, b in zip(before, heard[1:], strict=False))


def _ordered(times: Sequence[float | None]) -> list[float]:
    return sorted(math.inf if each is None else each for each in times)


def _share(part: int, whole: int) -> float | None:
    return round(part / whole, 4) if whole else None


def _rate(count: int, hours: float) -> float:
    return round(count / hours, 3) if hours > 0 else 0.0


def _finite(value: float) -> float | None:
    return None if math.isinf(value) else round(value, 4)


def _poisson_below(count: int, mean: float) -> float:
    """The chance of fewer than ``count`` events."""
    if mean <= 0:
        return 1.0
    return math.fsum(math.exp(k * math.log(mean) - mean - math.lgamma(k + 1)) for k in range(count))


def _solve(rising: Callable[[float], float], wanted: float, count: int) -> float:
    low, high = 0.0, count + 10.0 * math.sqrt(count + 1) + 10.0
    for _ in range(100):
        middle = (low + high) / 2
        low, high = (middle, high) if rising(middle) < wanted else (low, middle)
    return (low + high) / 2
