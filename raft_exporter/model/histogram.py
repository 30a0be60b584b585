"""A histogram of round trips, with the same buckets for heartbeats and probes."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from itertools import accumulate

BOUNDS: tuple[float, ...] = (
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
)  # fmt: skip
"""Upper bounds in seconds: from a loopback probe (0.1 ms) to a transport timeout (10 s)."""


class Histogram:
    """Counts by upper bound. ``total`` is the sum of what was observed, in seconds."""

    __slots__ = ("buckets", "total")

    def __init__(self) -> None:
        self.buckets: list[int] = [0] * (len(BOUNDS) + 1)
        self.total = 0.0

    def observe(self, seconds: float) -> None:
        """Count one value."""
        self.buckets[bisect_left(BOUNDS, seconds)] += 1
        self.total += seconds

    def merge(self, buckets: Sequence[int], total: float) -> None:
        """Add counts made elsewhere with the same bounds, one more bucket than bounds."""
        for i, count in enumerate(buckets):
            self.buckets[i] += count
        self.total += total

    def cumulative(self) -> list[tuple[float, int]]:
        """Each upper bound (the last is infinite) and how many values were not above it."""
        return list(zip((*BOUNDS, float("inf")), accumulate(self.buckets), strict=True))
