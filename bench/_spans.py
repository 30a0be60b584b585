"""Spans of time, in seconds: when something was down, frozen, cut or speaking."""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator

Span = tuple[float, float]
"""From the first moment to the one at which it is over, seconds."""


class Spans:
    """Disjoint spans in order, each from its start to just before its end.

    Spans that touch or overlap are joined; empty ones are left out.
    """

    __slots__ = ("ends", "starts")

    def __init__(self, spans: Iterable[Span] = ()) -> None:
        self.starts: list[float] = []
        self.ends: list[float] = []
        for start, end in sorted(spans):
            if end <= start:
                continue
            if self.ends and start <= self.ends[-1]:
                self.ends[-1] = max(self.ends[-1], end)
            else:
                self.starts.append(start)
                self.ends.append(end)

    def __bool__(self) -> bool:
        return bool(self.starts)

    def __iter__(self) -> Iterator[Span]:
        return iter(zip(self.starts, self.ends, strict=True))

    def __contains__(self, at: float) -> bool:
        i = bisect_right(self.starts, at) - 1
        return i >= 0 and at < self.ends[i]

    def over(self, at: float) -> float:
        """Give the end of the span that holds ``at``; ``at`` itself where there is none."""
        i = bisect_right(self.starts, at) - 1
        return self.ends[i] if i >= 0 and at < self.ends[i] else at

    def next_start(self, at: float) -> float:
        """Give the first start that is not before ``at``; infinity where there is none."""
        i = bisect_left(self.starts, at)
        return self.starts[i] if i < len(self.starts) else math.inf

    def begun(self, at: float) -> int:
        """How many spans began until ``at``."""
        return bisect_right(self.starts, at)

    def total(self) -> float:
        """The length of all of them, in seconds."""
        return sum(self.ends) - sum(self.starts)

    def joined(self, other: Spans) -> Spans:
        """What is in either."""
        return Spans([*self, *other]) if other else self

    def common(self, other: Spans) -> Spans:
        """What is in both."""
        return Spans((max(a, c), min(b, d)) for a, b in self for c, d in other if max(a, c) < min(b, d))

    def gaps(self, until: float) -> Spans:
        """What is in neither of them, from 0 to ``until``."""
        edges = [0.0, *(edge for span in self for edge in span), until]
        return Spans((a, min(b, until)) for a, b in zip(edges[::2], edges[1::2], strict=True))

    def without(self, other: Spans) -> Spans:
        """What is in this one and not in the other."""
        return self.common(other.gaps(math.inf)) if other else self
