"""A connection to a Raft port: the native probe's request and answer, through what stands before them."""

from __future__ import annotations

import asyncio
import socket
from typing import Self

from msgspec import Struct

from raft_exporter.errors import WireError
from raft_exporter.sources.connection import connect
from raft_exporter.sources.exchange import Exchange
from raft_exporter.sources.prober import Timing
from raft_exporter.sources.raft_port import PLAIN, Front
from raft_exporter.sources.tls import TlsLayer
from raft_exporter.wire import PROBE, Answer, AnswerReader


class Reply(Struct, frozen=True):
    """An answer and its round trip in seconds."""

    answer: Answer
    round_trip: float


class RaftConnection(Exchange[Reply]):
    """One connection to a Raft port.

    A request goes out when the TLS handshake is through, where there is one: until then it is the handshake
    that is unanswered, and is waited for as long.
    """

    def __init__(self, sock: socket.socket, front: Front, tls: TlsLayer | None) -> None:
        super().__init__(sock)
        self._before, self._prefix = front.before, front.prefix
        self._tls = tls
        self._reader = AnswerReader()

    @classmethod
    async def open(cls, host: str, port: int, timing: Timing, front: Front = PLAIN) -> Self:
        """Connect within ``timing.timeout`` seconds, or raise OSError (TimeoutError when it took longer)."""
        tls = front.layer(host)
        sock = await connect(host, port, dead_after=timing.dead_after, patience=timing.timeout)
        loop = asyncio.get_running_loop()
        _, connection = await loop.create_connection(lambda: cls(sock, front, tls), sock=sock)
        return connection

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin with what stands before the protocol (asyncio.Protocol)."""
        super().connection_made(transport)
        if self._tls is not None:
            self._transport.write(self._before + self._tls.outgoing())

    def data_received(self, data: bytes) -> None:
        """Read answers; anything but the one awaited ends the connection (asyncio.Protocol)."""
        took = self.waiting
        try:
            answers = self._reader.feed(data if self._tls is None else self._inside(self._tls, data))
        except WireError as error:
            self._give_up(error)
            return
        if len(answers) > self.outstanding:
            self._give_up(WireError("expected one answer to one request, got more"))
        elif answers:
            self._answer(Reply(answer=answers[0], round_trip=took))

    def _inside(self, tls: TlsLayer, data: bytes) -> bytes:
        established = tls.established
        try:
            inside = tls.received(data)
        finally:
            self._transport.write(tls.outgoing())
        if tls.ended:
            self._transport.close()
        elif tls.established and not established and self.outstanding:
            self._send()
        return inside

    def _send(self) -> None:
        if self._tls is not None and not self._tls.established:
            return
        request, self._prefix = self._prefix + PROBE, b""
        self._asked_at = asyncio.get_running_loop().time()
        if self._tls is not None:
            self._tls.send(request)
            request = self._tls.outgoing()
        self._transport.write(request)

    def _end(self) -> None:
        if self._tls is not None:
            self._tls.end()
            self._transport.write(self._tls.outgoing())
