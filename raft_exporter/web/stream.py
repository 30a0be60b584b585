"""What an open page is told, as server-sent events (docs/api.md).

https://html.spec.whatwg.org/multipage/server-sent-events.html
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Final, Literal, Protocol

import msgspec
from aiohttp import web
from msgspec import Struct

from raft_exporter import __version__
from raft_exporter.answers import Event, Events
from raft_exporter.journal import Entry
from raft_exporter.model.judge import Reason
from raft_exporter.model.override import FORCED
from raft_exporter.view import ClusterView
from raft_exporter.web.access import Rights
from raft_exporter.wording import REASONS

MAX_STREAMS: Final = 64
"""Open pages: each costs a connection, and nobody looks at more."""
SHOWN_EVENTS: Final = 100
"""The latest entries of the journal that a page begins with."""

_INTERVAL: Final = 1.0
"""Seconds from one state of the cluster to the next."""
_PATIENCE: Final = 10.0
"""Seconds that a page may leave what it is sent unread."""
_HEADERS: Final = {"Content-Type": "text/event-stream; charset=utf-8", "X-Accel-Buffering": "no"}


class Hello(Struct, frozen=True):
    """What a page has to know once: the words for reasons, what can be forced, and who may do it."""

    version: str
    changes: Literal["token", "local"]
    """Whether a changing call must bear the token, or come from the sidecar's own machine."""
    forced: tuple[str, ...]
    reasons: dict[Reason, str]


class Pace(Protocol):
    """When the next state of the cluster is due."""

    async def wait(self) -> bool:
        """Wait until then; False when the sidecar stops."""

    def turn(self) -> int:
        """Give the number of the present turn: all pages of one turn are told the same."""


class Seconds:
    """A turn a second, at the same moment for all pages, until :meth:`stop`."""

    def __init__(self, interval: float = _INTERVAL) -> None:
        self._interval = interval
        self._stopped = asyncio.Event()

    async def wait(self) -> bool:
        """Wait for the next turn; False when the sidecar stops."""
        due = (self.turn() + 1) * self._interval
        try:
            async with asyncio.timeout_at(due):
                await self._stopped.wait()
        except TimeoutError:
            return True
        return False

    def turn(self) -> int:
        """Give the number of the present turn."""
        return int(asyncio.get_running_loop().time() / self._interval)

    def stop(self) -> None:
        """Let all pages go."""
        self._stopped.set()


class PageStream:
    """Tells every open page the cluster once a turn, and the journal as it grows.

    Invariant: what is sent to all is made once a turn, and nothing is made while no page is open.
    """

    def __init__(
        self,
        view: Callable[[], ClusterView],
        events: Callable[[int, int, str | None], Sequence[Entry]],
        pace: Pace,
        rights: Callable[[], Rights],
    ) -> None:
        self._view = view
        self._events = events
        self._pace = pace
        self._open = 0
        self._made: tuple[int, bytes] = (-1, b"")
        self._rights = rights

    async def serve(self, request: web.Request) -> web.StreamResponse:
        """Answer with events until the page goes away, does not read, or who may come changes."""
        if request.method == "HEAD":  # an event in its answer would be read as the next one's beginning
            return web.Response(headers=_HEADERS)
        if self._open >= MAX_STREAMS:
            raise web.HTTPServiceUnavailable(reason=f"expected at most {MAX_STREAMS} open pages, got another")
        rights = self._rights()
        journal, last = self._since(0)
        first = _hello(rights) + _message("journal", journal) + self._cluster()
        response = web.StreamResponse(headers=_HEADERS)
        self._open += 1
        try:
            await response.prepare(request)
            await _write(response, first)
            while await self._pace.wait() and self._rights() is rights:  # with others it has to come again
                news, last = self._since(last)
                more = _message("news", news) if news.entries else b""
                await _write(response, more + self._cluster())
        except ConnectionError:
            pass  # the page was closed
        except TimeoutError:
            if request.transport is not None:
                request.transport.abort()
        finally:
            self._open -= 1
        return response

    def _cluster(self) -> bytes:
        turn = self._pace.turn()
        if self._made[0] != turn:
            self._made = (turn, _message("cluster", self._view()))
        return self._made[1]

    def _since(self, last: int) -> tuple[Events, int]:
        entries = self._events(last, SHOWN_EVENTS, None)
        latest = entries[-1].id if entries else last
        return Events(tuple(map(Event.of, entries)), latest), latest


async def _write(response: web.StreamResponse, message: bytes) -> None:
    async with asyncio.timeout(_PATIENCE):
        await response.write(message)


def _hello(rights: Rights) -> bytes:
    return _message("hello", Hello(__version__, "token" if rights.with_token else "local", FORCED, REASONS))


def _message(kind: str, content: Struct) -> bytes:
    # JSON has no line breaks of its own: one line of data is all of it.
    return b"event: %b\ndata: %b\n\n" % (kind.encode(), msgspec.json.encode(content))
