"""The requests of one connection: aiohttp's protocol, which tells how it fares and refuses in our words."""

from __future__ import annotations

import asyncio
import fcntl
import socket
import struct
import termios
from contextlib import suppress
from typing import Any, Final, cast

import msgspec
from aiohttp import StreamReader, web
from aiohttp.http_exceptions import HttpProcessingError

from raft_exporter.web.connections import Connection, Connections

IDLE_SECONDS: Final = 75.0
"""How long a connection is kept without a request: longer than a minute, the longest usual interval."""

_OPTIONS: Final[dict[str, Any]] = {
    "access_log": None,
    "keepalive_timeout": IDLE_SECONDS,
    # The rest of a body that nobody wants is read for a moment, so that its sender gets to read the answer.
    "lingering_time": 0.5,
    "max_line_size": 8190,
    "max_field_size": 8190,
    "max_headers": 128,
    # What a sidecar is told is small: a packed body is refused as one that is no JSON, and never unpacked.
    "auto_decompress": False,
}
_TOO_LONG: Final = (
    b"HTTP/1.1 431 Request Header Fields Too Large\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
)
_RESET: Final = struct.pack("ii", 1, 0)
"""SO_LINGER: what waits to be sent is thrown away, and the kernel keeps nothing."""


class Requests(web.RequestHandler):
    """The protocol of one connection, and the means to end it (``connections.Link``)."""

    __slots__ = ("_body", "_connections", "_link", "_sock", "connection")

    connection: Connection
    """Its place among the others."""

    def __init__(self, server: web.Server, sock: socket.socket, connections: Connections) -> None:
        super().__init__(server, loop=asyncio.get_running_loop(), **_OPTIONS)
        self._sock = sock
        self._connections = connections
        self._link: asyncio.Transport | None = None
        self._body: StreamReader | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self._link = cast("asyncio.Transport", transport)
        super().connection_made(transport)

    def connection_lost(self, exc: BaseException | None) -> None:
        """End."""
        self._link = None
        self._connections.gone(self.connection)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Read on; bytes between requests are the header of the next, or the rest of a body."""
        if self._body is not None:
            super().data_received(data)
            if self._body.is_eof():
                self._body = None
        elif data and not self.connection.read(len(data)):
            self._connections.rejected("header")
            if self._link is not None:
                self._link.write(_TOO_LONG)
            self.force_close()
        else:
            super().data_received(data)

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        """Write the answer."""
        if self.connection.leaving and not resp.prepared:
            resp.force_close()
        self.connection.answering()
        try:
            return await super().finish_response(request, resp, start_time)
        finally:
            self._body = None if request.content.is_eof() else request.content
            self.connection.answered()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Answer what is no HTTP; it is counted, and no log of ours can be filled with it."""
        if not isinstance(exc, HttpProcessingError):
            return super().handle_error(request, status, exc, message)
        self._connections.rejected("malformed")
        return refusal("expected an HTTP request, got something else")

    def log_exception(self, *args: Any, **kw: Any) -> None:
        """Log what is a fault of ours: a body that breaks is none, nor is an end that comes early."""
        if not isinstance(kw.get("exc_info"), web.RequestPayloadError | ConnectionError):
            super().log_exception(*args, **kw)

    def abort(self) -> None:
        """End it at once, whatever waits to be sent."""
        with suppress(OSError):
            if self.unsent():
                self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            if self._link is None:
                self._sock.shutdown(socket.SHUT_RDWR)  # its TLS handshake finds the end
        if self._link is not None:
            self._link.abort()

    def hang_up(self) -> None:
        """End it when all is sent."""
        if self._link is not None:
            self._link.close()

    def unsent(self) -> int:
        """Give how many bytes the kernel holds that the other end did not take."""
        if self._sock.fileno() < 0:
            return 0
        (size,) = struct.unpack("i", fcntl.ioctl(self._sock, termios.TIOCOUTQ, bytes(4)))
        return int(size)


def refusal(reason: str) -> web.Response:
    """Give the answer to what can't be a request to a sidecar; the connection ends with it."""
    response = web.Response(
        status=400, body=msgspec.json.encode({"error": reason}), content_type="application/json"
    )
    response.force_close()
    return response
