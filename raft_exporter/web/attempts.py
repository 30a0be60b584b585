"""How often something may be tried: token buckets, of one client and of all together."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Final

CLIENT_BURST: Final = 10
"""Logins of one client that may fail at once: a person mistypes less often."""
CLIENT_INTERVAL: Final = 6.0
"""Seconds until one more may fail: 14,400 guesses a day are none for a password that is worth its name."""
ALL_BURST: Final = 20
"""Logins of all clients that may fail at once; at a bcrypt cost of 10 they take a second."""
ALL_INTERVAL: Final = 0.5
"""Seconds until one more may: at a cost of 10, an attack from everywhere costs a tenth of a processor."""
MAX_CLIENTS: Final = 1024
"""Clients that are told apart; of more, those are forgotten that failed longest ago."""

_ROUNDING: Final = 1e-6


class Bucket:
    """Holds ``burst`` tokens at most, and gets one each ``interval`` seconds."""

    __slots__ = ("_at", "_burst", "_interval", "_level")

    def __init__(self, interval: float, burst: int, now: float) -> None:
        self._interval = interval
        self._burst = burst
        self._level = float(burst)
        self._at = now

    def wait(self, now: float) -> float:
        """Give the seconds until there is a token; 0: there is one."""
        self._level = min(self._level + max(now - self._at, 0.0) / self._interval, self._burst)
        self._at = now
        return 0.0 if self._level > 1 - _ROUNDING else (1 - self._level) * self._interval

    def take(self, now: float) -> float:
        """Take a token and give 0, or give the seconds until there is one."""
        wait = self.wait(now)
        if not wait:
            self._level = max(self._level - 1, 0.0)
        return wait


class FailedLogins:
    """The logins that failed, of each client and of all; ``clock`` gives seconds."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._all = Bucket(ALL_INTERVAL, ALL_BURST, clock())
        self._clients: OrderedDict[str, Bucket] = OrderedDict()

    def wait(self, client: str) -> float:
        """Give the seconds until another login of this client may fail; 0: it may now."""
        bucket = self._clients.get(client)
        return bucket.wait(self._clock()) if bucket is not None else 0.0

    def wait_for_all(self) -> float:
        """Give the seconds until another login of anybody may fail; 0: it may now."""
        return self._all.wait(self._clock())

    def failed(self, client: str) -> None:
        """Note that a login of this client failed."""
        now = self._clock()
        self._all.take(now)
        bucket = self._clients.pop(client, None) or Bucket(CLIENT_INTERVAL, CLIENT_BURST, now)
        bucket.take(now)
        self._clients[client] = bucket
        while len(self._clients) > MAX_CLIENTS:
            self._clients.popitem(last=False)
