"""A Raft port of a test's own: what stands before the protocol, then whatever a handler does."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from tests.serving import Handler


class FrontServer:
    """Reads ``before`` in plain, then has TLS with a ``context``, then reads ``prefix`` inside.

    ``opened`` are the connections so far, ``faults`` what else was read than expected, or what TLS said.
    """

    def __init__(
        self, before: bytes, prefix: bytes, context: ssl.SSLContext | None, handler: Handler
    ) -> None:
        self.opened = 0
        self.faults: list[object] = []
        self._before = before
        self._prefix = prefix
        self._context = context
        self._handler = handler
        self._tasks: set[asyncio.Task[None]] = set()

    async def accept(self, listening: socket.socket) -> None:
        """Accept for ever."""
        loop = asyncio.get_running_loop()
        try:
            while True:
                sock, _ = await loop.sock_accept(listening)
                self.opened += 1
                task = asyncio.create_task(self._serve(sock))
                self._tasks.add(task)
        finally:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, sock: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        sock.setblocking(False)
        reader = asyncio.StreamReader()
        protocol = asyncio.StreamReaderProtocol(reader)
        try:
            if self._before and (got := await loop.sock_recv(sock, len(self._before))) != self._before:
                self.faults.append(got)
                sock.close()
                return
            transport, _ = await loop.connect_accepted_socket(lambda: protocol, sock, ssl=self._context)
        except (OSError, asyncio.CancelledError) as error:
            self.faults.append(error)
            sock.close()
            return
        writer = asyncio.StreamWriter(transport, protocol, reader, loop)
        try:
            got = await reader.readexactly(len(self._prefix))
            if got == self._prefix:
                await self._handler(reader, writer)
            else:
                self.faults.append(got)
        except (OSError, asyncio.IncompleteReadError) as error:
            self.faults.append(error)
        finally:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()


@asynccontextmanager
async def fronting(
    handler: Handler, before: bytes = b"", prefix: bytes = b"", context: ssl.SSLContext | None = None
) -> AsyncIterator[tuple[int, FrontServer]]:
    """Such a port on loopback; gives its number and the server."""
    server = FrontServer(before, prefix, context, handler)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.setblocking(False)
        task = asyncio.create_task(server.accept(listening))
        try:
            yield listening.getsockname()[1], server
        finally:
            task.cancel()
            await asyncio.wait([task])
