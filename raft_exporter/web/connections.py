"""Who is connected: how many at once, from where, and for how long without a request or an answer read.

It knows no socket and reads no clock of its own: :class:`Link` is what it closes, ``clock`` gives the time.
"""

from __future__ import annotations

import asyncio
import resource
from collections.abc import Callable, Hashable
from typing import Final, Protocol

CONNECTION_REASONS: Final = ("address", "full", "handshake", "header", "malformed", "shed", "unread")
"""Why a connection was refused or closed: its address has its share, all are busy, no TLS handshake, a header
that was too long or not there in time, no HTTP, room made for a newcomer, an answer not read."""

MAX_OPEN: Final = 1024
"""Open connections: a scrape, a page and a report from each of a hundred members come to a third of it."""
MAX_OPEN_TLS: Final = 256
"""The same with TLS, where each takes some 300 KB, most of it asyncio's buffer: these are 80 MB."""
ONE_ADDRESS: Final = 4
"""One address has at most one in so many of them, so one host alone can't crowd out the others."""
DESCRIPTORS: Final = 2
"""They take at most one in so many file descriptors: probes, sources and the store have the others."""
HEADER_SECONDS: Final = 5.0
"""From the first byte of a request to the end of its header."""
MAX_HEADER: Final = 96 * 1024
"""Bytes read without a whole header. A body's first bytes can be among them, which is 64 KiB at most."""
UNREAD_SECONDS: Final = 30.0
"""How long an answer may wait with not one byte taken: a scrape has given up after 10."""
SLOW_SECONDS: Final = 5.0
"""An answer that is not read by then does not keep its connection when others need the room."""
LEAVE_SECONDS: Final = 5.0
"""How long a connection may stay whose address or TLS is no longer configured; a request takes no longer."""


class Link(Protocol):
    """The connection itself."""

    def abort(self) -> None:
        """End it at once, whatever waits to be sent."""

    def hang_up(self) -> None:
        """End it when all is sent."""

    def unsent(self) -> int:
        """Give how many bytes the kernel holds that the other end did not take."""


class _Share:
    """What is open within one limit. Both orders are by time: the first is the longest there."""

    def __init__(self) -> None:
        self.open: set[Connection] = set()
        self.waiting: dict[Connection, None] = {}
        self.answering: dict[Connection, float] = {}

    def dispensable(self, now: float) -> Connection | None:
        """Give the one longest without a whole request, else the one whose answer is not read for longest."""
        for connection in self.waiting:
            return connection
        for connection, since in self.answering.items():
            return connection if now - since >= SLOW_SECONDS else None
        return None


class Connection:
    """One connection. It waits for a request, is handled, is answered, and waits again."""

    def __init__(
        self,
        link: Link,
        way: Hashable,
        origin: str | None,
        shares: tuple[_Share, ...],
        clock: Callable[[], float],
    ) -> None:
        self.link = link
        self.way = way
        self.origin = origin
        self.shares = shares
        self.header_since: float | None = None
        self.leave_at: float | None = None
        self.unsent = 0
        self.moved_at = 0.0
        self._header = 0
        self._clock = clock
        for share in shares:
            share.open.add(self)
            share.waiting[self] = None

    @property
    def leaving(self) -> bool:
        """Whether this is to be its last request."""
        return self.leave_at is not None

    def read(self, size: int) -> bool:
        """Note that so many bytes came; False when that is too long for a header."""
        if self not in self.shares[0].waiting:
            return True
        if self.header_since is None:
            self.header_since = self._clock()
        if self._header > MAX_HEADER:
            return False
        self._header += size
        return True

    def handled(self) -> None:
        """Note that a whole header came, and its request is being handled."""
        self.header_since, self._header = None, 0
        for share in self.shares:
            share.waiting.pop(self, None)

    def answering(self) -> None:
        """Note that the answer is made, and to be read by the other end."""
        self.handled()
        now = self._clock()
        for share in self.shares:
            share.answering[self] = now

    def answered(self) -> None:
        """Note that the answer is written: the next request may come."""
        for share in self.shares:
            share.answering.pop(self, None)
            if self in share.open:
                share.waiting[self] = None

    def gone(self) -> bool:
        """Note that it is no more; whether it still was."""
        was = self in self.shares[0].open
        for share in self.shares:
            share.open.discard(self)
            share.waiting.pop(self, None)
            share.answering.pop(self, None)
        return was


class Connections:
    """All open connections, within limits.

    Invariant: there are never more than ``limit``, and never more than a quarter of it from one address. The
    newcomer gets the place of whoever is longest without a whole request; a request that is being handled, as
    an open stream of events is, keeps its place.
    """

    def __init__(self, rejected: Callable[[str], None], clock: Callable[[], float], limit: int) -> None:
        self.limit = limit
        self.empty = asyncio.Event()
        self.empty.set()
        self.rejected = rejected
        self._clock = clock
        self._all = _Share()
        self._from: dict[str, _Share] = {}

    def __len__(self) -> int:
        return len(self._all.open)

    def admit(self, origin: str | None, link: Link, way: Hashable) -> Connection | None:
        """Take a newcomer in, or give None: ``origin`` is None where no address has a share.

        ``way`` is what it came by; :meth:`leave` sends away those of a way that is closed.
        """
        limits = [(self._all, self.limit, "full")]
        if origin is not None:
            own = self._from.get(origin, _Share())
            limits.insert(0, (own, max(self.limit // ONE_ADDRESS, 1), "address"))
        for share, limit, reason in limits:
            while len(share.open) >= limit:
                other = share.dispensable(self._clock())
                if other is None:
                    self.rejected(reason)
                    return None
                self._drop(other, "shed")
        if origin is not None:
            self._from[origin] = own
        self.empty.clear()
        return Connection(link, way, origin, tuple(share for share, _, _ in limits), self._clock)

    def gone(self, connection: Connection) -> bool:
        """Note that a connection has ended; whether it was open until now."""
        was = connection.gone()
        if was and connection.origin is not None and not connection.shares[0].open:
            self._from.pop(connection.origin, None)
        if not self._all.open:
            self.empty.set()
        return was

    def leave(self, stays: Callable[[Hashable], bool]) -> None:
        """Have those whose way does not stay finish their request, and go within some seconds."""
        due = self._clock() + LEAVE_SECONDS
        for connection in self._all.open:
            if not connection.leaving and not stays(connection.way):
                connection.leave_at = due

    def sweep(self) -> None:
        """Close whatever is out of time; to be called about once a second."""
        now = self._clock()
        for connection in tuple(self._all.open):
            if connection.header_since is not None and now - connection.header_since >= HEADER_SECONDS:
                self._drop(connection, "header")
            elif self._stuck(connection, now):
                self._drop(connection, "unread")
            elif connection.leave_at is not None and now >= connection.leave_at:
                connection.link.hang_up()

    def abort(self) -> None:
        """End all."""
        for connection in tuple(self._all.open):
            self._drop(connection)

    def _stuck(self, connection: Connection, now: float) -> bool:
        unsent = connection.link.unsent()
        if not unsent or unsent != connection.unsent:
            connection.unsent, connection.moved_at = unsent, now
        return now - connection.moved_at >= UNREAD_SECONDS

    def _drop(self, connection: Connection, reason: str | None = None) -> None:
        if reason is not None:
            self.rejected(reason)
        self.gone(connection)
        connection.link.abort()


def most_open(*, tls: bool) -> int:
    """Give how many connections may be open, by what they cost and by this process's file descriptors."""
    most = MAX_OPEN_TLS if tls else MAX_OPEN
    descriptors, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return most if descriptors == resource.RLIM_INFINITY else max(min(most, descriptors // DESCRIPTORS), 1)
