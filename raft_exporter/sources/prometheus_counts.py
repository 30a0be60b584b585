"""What counts of heartbeats say, scrape by scrape: those that rise are heartbeats, those at rest silence.

A scrape says how many heartbeats there were since the one before, not when. All of them are taken as heard
when the scrape was asked for: so nobody seems heard later than it was by more than the time between two
scrapes that came through, nor earlier than it was by more than an answer takes. Of their round trips the sum
is known: all of an interval are counted in the bucket of their mean, which hides the slowest of them.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Mapping
from typing import Final

from raft_exporter.model.evidence import Role
from raft_exporter.model.histogram import BOUNDS
from raft_exporter.sources.prometheus_text import MAX_LINES, Heartbeats, Scrape, Series
from raft_exporter.sources.telemetry import Form, Telemetry

_MAX_SERIES: Final = 4 * MAX_LINES
"""Series that are remembered; more have gone and come again under other names."""


class Counts:
    """Tells the counts of a scrape from those of the one before, and what that says to ``telemetry``.

    Invariant: only a count that is above, or below, its last known value says anything. One that is below
    counts anew, since its process started, and so does a series that comes for the first time, but for the
    first scrape. One that rests, or has expired, is silence; its last value is kept.
    """

    def __init__(self, telemetry: Telemetry) -> None:
        self._telemetry = telemetry
        self._begun = False
        self._heartbeats: dict[Series, Heartbeats] = {}
        self._legacy: set[Series] = set()
        self._heard: dict[Series, int] = {}
        self._entered: dict[Series, int] = {}
        self._rising: dict[Series, int] = {}
        """What rose in the last scrape, as it stood then."""

    def take(self, scrape: Scrape, at: float) -> None:
        """Take a scrape with series of Raft that was asked for at ``at``, in seconds of the turns' clock."""
        told = self._told(scrape)
        present = {series: each.count for series, each in scrape.heartbeats.items()} | scrape.heard
        # Nothing expires right after it rose: the process began anew, and with it its states.
        if any(present.get(series, -1) < count for series, count in self._rising.items()):
            self._entered.clear()
        answered = {series: self._answered(series, each) for series, each in told.items()}
        heard = {series: _increase(self._heard, series, count) for series, count in scrape.heard.items()}
        entered = {
            role
            for series, (role, count) in scrape.entered.items()
            if _increase(self._entered, series, count)
        }
        if self._begun:
            self._tell(told, answered, at)
            if entered:
                self._telemetry.state(_last(entered), at)
            if any(heard.values()):
                self._telemetry.leader_heard(at)
            rises = heard | {series: count for series, (count, _) in answered.items()}
            self._rising = {series: present[series] for series, count in rises.items() if count}
        self._telemetry.heard(at)
        self._begun = True
        self._remember(scrape, told)

    def _told(self, scrape: Scrape) -> dict[Series, Heartbeats]:
        """Give each heartbeat's series once: what a labelled one counts, its legacy one counts again."""
        self._legacy.update(each.legacy for each in scrape.heartbeats.values() if each.legacy is not None)
        return {series: each for series, each in scrape.heartbeats.items() if series not in self._legacy}

    def _answered(self, series: Series, now: Heartbeats) -> tuple[int, float | None]:
        """Tell how many heartbeats were answered since the last scrape, and their sum in seconds."""
        before = self._heartbeats.get(series)
        if before is None and now.legacy is not None:
            before = self._heartbeats.get(now.legacy)
        if before is None or now.count < before.count:
            return now.count, now.total
        if now.total is None or before.total is None or now.total < before.total:
            return now.count - before.count, None
        return now.count - before.count, now.total - before.total

    def _tell(
        self, told: dict[Series, Heartbeats], answered: dict[Series, tuple[int, float | None]], at: float
    ) -> None:
        for series, (count, total) in answered.items():
            if not count:
                continue
            each = told[series]
            form = Form.PROMETHEUS if each.legacy is None else Form.EXACT
            buckets = () if total is None else _in_bucket_of_mean(count, total)
            self._telemetry.heartbeats(each.peer, count, total or 0.0, buckets, at, form=form)

    def _remember(self, scrape: Scrape, told: dict[Series, Heartbeats]) -> None:
        if len(self._heartbeats) + len(self._legacy) + len(self._heard) > _MAX_SERIES:
            for each in (self._heartbeats, self._legacy, self._heard):
                each.clear()
        self._heartbeats.update(told)
        self._heard.update(scrape.heard)
        # A state is entered so seldom that its counter expires in between, and begins anew at 1.
        self._entered = {series: count for series, (_, count) in scrape.entered.items()}


def _increase(known: Mapping[Series, int], series: Series, count: int) -> int:
    before = known.get(series, 0)
    return count if count < before else count - before


def _last(entered: Iterable[Role]) -> Role:
    """Tell which of the states that were entered since the last scrape is the present one.

    Only a candidate becomes leader, and only a follower candidate; a leader becomes follower. Where that
    leaves it open the lesser claim is made, which the next heartbeat corrects: a false leader would blame
    its peers for a silence of its own.
    """
    roles = set(entered)
    if Role.LEADER in roles:
        return Role.FOLLOWER if Role.FOLLOWER in roles else Role.LEADER
    return Role.CANDIDATE if Role.CANDIDATE in roles else Role.FOLLOWER


def _in_bucket_of_mean(count: int, total: float) -> tuple[int, ...]:
    bucket = bisect_left(BOUNDS, total / count)
    return tuple(count if each == bucket else 0 for each in range(len(BOUNDS) + 1))
