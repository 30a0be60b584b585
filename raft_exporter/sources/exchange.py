"""One connection to a member, and the one request on it that may be unanswered."""

from __future__ import annotations

import asyncio
import socket
from abc import ABC, abstractmethod
from typing import Generic, TypeVar, cast

from raft_exporter.errors import WireError
from raft_exporter.sources.connection import host_silence

R = TypeVar("R")


class Exchange(ABC, asyncio.Protocol, Generic[R]):
    """A connection with at most one outstanding request; ``R`` is what a reply to it is.

    What is sent, and what comes of the bytes that return, is the matter of each protocol.
    """

    _transport: asyncio.Transport

    def __init__(self, sock: socket.socket) -> None:
        self.closed = asyncio.Event()
        self.opened_at = asyncio.get_running_loop().time()
        self._sock = sock
        self._waiting: asyncio.Future[R] | None = None
        self._asked_at = 0.0
        self._why_closed: Exception = WireError("expected an answer, the connection was closed")

    def ask(self) -> asyncio.Future[R]:
        """Send a request; the future gives the reply, or WireError for a bad or missing one.

        TimeoutError when the kernel gave the connection up, because the host acknowledged nothing.
        """
        if self.outstanding:
            raise RuntimeError("one outstanding request a member")
        loop = asyncio.get_running_loop()
        self._waiting = loop.create_future()
        if self.closed.is_set():
            self._fail(self._why_closed)
        else:
            self._asked_at = loop.time()
            try:
                self._send()
            except WireError as error:
                self._give_up(error)
        return self._waiting

    @property
    def outstanding(self) -> bool:
        """Whether a request is unanswered."""
        return self._waiting is not None and not self._waiting.done()

    @property
    def waiting(self) -> float:
        """Seconds since the last request was sent."""
        return asyncio.get_running_loop().time() - self._asked_at

    def host_silence(self) -> float | None:
        """Seconds since the host acknowledged anything; None when the connection is gone."""
        return None if self.closed.is_set() else host_silence(self._sock)

    async def close(self, patience: float = 0.0) -> None:
        """Close, after waiting ``patience`` seconds for an outstanding answer.

        A node that finds its answer unread logs an error: that is the node's peace, not ours.
        """
        if self._waiting is not None and self.outstanding and patience > 0:
            await asyncio.wait([self._waiting], timeout=patience)
        if not self.closed.is_set():
            self._end()
        self._transport.close()
        await self.closed.wait()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport (asyncio.Protocol)."""
        self._transport = cast(asyncio.Transport, transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """Wake who waits (asyncio.Protocol)."""
        self.closed.set()
        self._fail(exc if isinstance(exc, TimeoutError) else self._why_closed)

    @abstractmethod
    def _send(self) -> None:
        """Send the request."""

    def _end(self) -> None:
        """Send what ends the connection."""

    def _answer(self, reply: R) -> None:
        if self._waiting is not None:
            self._waiting.set_result(reply)

    def _give_up(self, error: WireError) -> None:
        self._why_closed = error
        self._fail(error)
        self._transport.abort()

    def _fail(self, error: Exception) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_exception(error)
            self._waiting.exception()  # it may be that nobody waits any more
