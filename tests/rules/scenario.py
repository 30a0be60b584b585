"""Scenarios for the alert rules: what the sidecars of a cluster export, told in steps, and what fires then.

A module of this package that has ``STORIES``, a tuple of functions that give a :class:`Story` each, becomes
``rules/tests/<module>.test.yml`` by ``python -m tests.rules.generate``. How a story is told:

- ``Story(name)``, then ``cluster()`` for each cluster. Members are n1, n2, ...; all run, all are online for
  all, n1 leads in term 2, and each has a sidecar. H is one second, and so are the thresholds' multiples.
- ``wait(seconds)`` lets time pass; Prometheus scrapes and judges every 5 s, and every expectation stands at
  such a moment. What is changed between two waits is seen by the next scrape, older by the time in between.
- Nothing begins in a cluster's first minute, so that most stories begin with ``wait(SETTLED)``.
- A verb speaks for all sidecars of its cluster unless ``by`` names some. Verbs say what sidecars *judge* and
  export, not what is broken: what they make of a fault is held by the tests of the judge.
- Anything else is ``export(metric, value, per_second, by=..., **labels)``.
- ``fires`` and ``silent`` hold what stands at the moment, ``has_fired`` what fired at any time so far.
  Expected labels and annotations are written by hand, in full: that is what people read.

Only what the rules read is exported; of a set of states only those that a rule names.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Final

from tests.rules.cluster import Cluster, Labels, Series

SCRAPE: Final = 5
"""Seconds between two scrapes, and between two evaluations of the rules."""

SETTLED: Final = 70
"""Seconds after which a cluster that Prometheus just came to know can have alerts."""

LET_GO: Final = 210
"""Seconds after which no keep_firing_for holds an alert any more: what fires then is held by its rule."""


@dataclass(frozen=True)
class Alert:
    """An alert as it is sent: all its labels but the name, and its annotations but for the runbook's."""

    labels: Mapping[str, str]
    summary: str
    description: str


@dataclass(frozen=True)
class Firing:
    """What of one name fires at ``at``: exactly these."""

    at: int
    name: str
    alerts: tuple[Alert, ...]


@dataclass(frozen=True)
class Fired:
    """Which alerts, and in which cluster, fired up to ``at``: exactly these (info is not looked at)."""

    at: int
    names: tuple[tuple[str, str], ...]


class Story:
    """A timeline: what was scraped ``every`` so many seconds, and what is expected to fire."""

    def __init__(self, name: str, *, every: int = SCRAPE) -> None:
        self.name = name
        self.every = every
        self.now = 0
        self.scraped: dict[Series, dict[int, float]] = {}
        """Each series with its samples, by the number of the scrape."""
        self.scrapes = 0
        self.left: list[Series] = []
        self.firing: list[Firing] = []
        self.fired: list[Fired] = []
        self._clusters: list[Cluster] = []

    def cluster(self, name: str | None = None, *, size: int = 3) -> Cluster:
        """Begin with a cluster of ``size`` voters that is well; ``name`` is its label, None for no label."""
        cluster = Cluster(name, lambda: self.now)
        cluster.found(size)
        self._clusters.append(cluster)
        return cluster

    def wait(self, seconds: int) -> None:
        """Let time pass, and Prometheus scrape what there is meanwhile."""
        self.now += seconds
        while self.scrapes * self.every <= self.now:
            for cluster in self._clusters:
                self._scrape(cluster)
            self.scrapes += 1

    def fires(self, name: str, *alerts: Alert) -> None:
        """Expect that exactly these alerts of one name fire now."""
        self._expect(name, alerts)

    def silent(self, *names: str) -> None:
        """Expect that no alert of these names fires now."""
        for name in names:
            self._expect(name, ())

    def has_fired(self, *names: str, cluster: str = "") -> None:
        """Expect that exactly these, in that cluster, fired since the story began (info is not looked at)."""
        self._check_moment()
        self.fired.append(Fired(self.now, tuple((name, cluster) for name in names)))

    def found(self, metric: str, **labels: str) -> None:
        """Have a rule's result of 1 stand when the story begins: what a Prometheus that restarts finds."""
        self.left.append((metric, tuple(sorted(labels.items()))))

    def _expect(self, name: str, alerts: tuple[Alert, ...]) -> None:
        self._check_moment()
        self.firing.append(Firing(self.now, name, alerts))

    def _check_moment(self) -> None:
        if self.now % self.every:
            raise ValueError(f"{self.name}: the rules are not evaluated at {self.now} s")

    def _scrape(self, cluster: Cluster) -> None:
        for target, series in cluster.scrape(self.scrapes * self.every):
            for (metric, labels), value in series.items():
                self.scraped.setdefault((metric, _full(labels, target)), {})[self.scrapes] = value


@cache
def _full(labels: Labels, target: Labels) -> Labels:
    """Give a series' labels with its target's, as Prometheus does: an empty one is none."""
    return tuple(sorted((key, text) for key, text in (*labels, *target) if text))
