"""Raft ports of the test's own: each is one node as one sidecar reaches it."""

from __future__ import annotations

import asyncio
import socket
from enum import Enum
from typing import Final

import msgpack

from raft_exporter.demo.cluster import free_ports
from raft_exporter.wire import PROBE

_HOST: Final = "127.0.0.1"


class Way(Enum):
    """What comes of a probe."""

    OPEN = "open"
    """It is answered."""
    SILENT = "silent"
    """The host takes it, and nobody answers until the way is open again."""
    CLOSED = "closed"
    """Connections are refused."""
    LOST = "lost"
    """Nothing comes back, not even from the host."""


class RaftPort:
    """A port that answers probes as ``node``, and stays the same whatever way there is to it."""

    def __init__(self, node: str) -> None:
        self.address = f"{_HOST}:{free_ports(1)[0]}"
        self._body = {"ID": node.encode(), "Addr": b"", "Term": 3, "LastLog": 7}
        self._open = asyncio.Event()
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._full: list[socket.socket] = []

    async def turn(self, way: Way) -> None:
        """Answer from now on as ``way`` says."""
        place = (_HOST, int(self.address.rpartition(":")[2]))
        if way in {Way.CLOSED, Way.LOST}:
            await self.close()
            self._full = _full_queue(place) if way is Way.LOST else []
            return
        if self._server is None:
            await self.close()
            self._server = await asyncio.start_server(self._serve, *place)
        if way is Way.SILENT:
            self._open.clear()
        else:
            self._open.set()

    async def close(self) -> None:
        """Close the port and every connection."""
        for each in self._full:
            each.close()
        self._full = []
        for writer in self._writers:
            writer.transport.abort()
        self._open.set()
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()
            self._server = None

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            while await reader.read(len(PROBE)):
                await self._open.wait()
                writer.write(b"\xa0" + msgpack.packb(self._body, use_bin_type=False))
        except ConnectionError:
            pass
        finally:
            self._writers.discard(writer)
            writer.close()


def _full_queue(place: tuple[str, int]) -> list[socket.socket]:
    """Listen and accept nothing, with the queue full: the kernel drops who comes."""
    listener = socket.create_server(place, backlog=0)
    waiting = [socket.socket() for _ in range(4)]
    for each in waiting:
        each.setblocking(False)
        each.connect_ex(place)
    return [listener, *waiting]
