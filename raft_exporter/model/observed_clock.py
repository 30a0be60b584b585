"""Time as the sidecar lived it: its own pause must not age its peers."""

from __future__ import annotations


class ObservedClock:
    """A monotonic clock that gains at most ``limit`` seconds between two ticks.

    A sidecar that was frozen, or whose machine was, saw nothing meanwhile: that silence is its own.
    Invariant: the observed time never runs backwards and never faster than the real one.
    """

    __slots__ = ("_observed", "_ticked_at", "limit")

    def __init__(self, real: float, limit: float) -> None:
        self._ticked_at = real
        self._observed = 0.0
        self.limit = limit

    def read(self, real: float) -> float:
        """Give the observed time, in seconds since the start, at the monotonic time ``real``."""
        return self._observed + min(max(real - self._ticked_at, 0.0), self.limit)

    def tick(self, real: float) -> float:
        """Advance to ``real`` and give the observed time."""
        self._observed = self.read(real)
        self._ticked_at = max(real, self._ticked_at)
        return self._observed
