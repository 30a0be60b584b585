"""Listening sockets: bound before anybody is turned away, closed with nobody left waiting in them."""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, TypeAlias

from raft_exporter.errors import StartError, system_reason
from raft_exporter.logs import event
from raft_exporter.notation import parse_listen_address

_log = logging.getLogger(__name__)

Place: TypeAlias = tuple[socket.AddressFamily, Any]
"""A family, and the address of a socket in it."""
Take: TypeAlias = Callable[[socket.socket, Any, "Listener"], None]

_BACKLOG: Final = 4096
"""Connections that the kernel holds ready, as many as Linux allows by default: one that finds no room there
is tried again after a second, and a scrape is late by that."""
_AT_ONCE: Final = 32
"""Connections taken in one turn of the event loop, which has other things to do."""
_RECEIVE: Final = 32 * 1024
"""Bytes for which the kernel has room in each connection: no request is larger by much."""
_NOT_HERE: Final = (errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL)
_PAUSE: Final = 1.0
"""Seconds without accepting when no descriptor is left: they would be asked for in each turn of the loop."""


class Listener:
    """A bound socket; ``take`` gets each connection, its address, and this."""

    def __init__(self, sock: socket.socket, asked: Place, take: Take) -> None:
        self.asked = asked
        self.family = sock.family
        self.address: Any = sock.getsockname()
        self.sock = sock
        self._take = take
        self._loop = asyncio.get_running_loop()
        self._paused: asyncio.TimerHandle | None = None

    def serve(self) -> None:
        """Take connections from now on."""
        self._paused = None
        self._loop.add_reader(self.sock, self._accept, _AT_ONCE)

    def close(self, *, last: bool = False) -> None:
        """Close it; with ``last`` those are still taken that wait in it."""
        if last:
            self._accept(_BACKLOG)
        self._loop.remove_reader(self.sock)
        if self._paused is not None:
            self._paused.cancel()
        self.sock.close()

    def _accept(self, most: int) -> None:
        for _ in range(most):
            try:
                sock, address = self.sock.accept()
            except (BlockingIOError, InterruptedError):
                return
            except ConnectionAbortedError:
                continue
            except OSError as error:
                event(_log, logging.WARNING, "can't accept a connection", error=system_reason(error))
                self._loop.remove_reader(self.sock)
                self._paused = self._loop.call_later(_PAUSE, self.serve)
                return
            sock.setblocking(False)
            self._take(sock, address, self)


async def places(listen: Sequence[str]) -> dict[Place, str]:
    """Give every place that the addresses stand for, and the address that each was written as."""
    loop = asyncio.get_running_loop()
    found: dict[Place, str] = {}
    for text in listen:
        host, port = parse_listen_address(text)
        try:
            infos = await loop.getaddrinfo(
                host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
            )
        except OSError as error:
            raise _cannot(text, error) from error
        for family, _, _, _, address in infos:
            found.setdefault((family, address), text)
    return found


def bind(
    wanted: Mapping[Place, str], standing: Iterable[str], leaving: Sequence[Listener], take: Take
) -> list[Listener]:
    """Listen at every place, or at none and StartError.

    A place that this machine has not, as often ``[::1]``, is left out when its text stands for another that
    is had; ``standing`` are the texts that are listened to already. ``leaving`` are the listeners that will
    be closed: see :func:`_bound`.
    """
    opened: list[Listener] = []
    heard = set(standing)
    missing: dict[str, OSError] = {}
    try:
        for place, text in wanted.items():
            try:
                opened.append(Listener(_bound(place, leaving), place, take))
                heard.add(text)
            except OSError as error:
                if error.errno not in _NOT_HERE:
                    raise _cannot(text, error) from error
                missing.setdefault(text, error)
        for text, cause in missing.items():
            if text not in heard:
                raise _cannot(text, cause) from cause
    except StartError:
        for each in opened:
            each.close()
        raise
    return opened


def _bound(place: Place, leaving: Sequence[Listener]) -> socket.socket:
    """Give a listening socket.

    Of a socket that will be closed the port can be had at another address, as in a change from all addresses
    to one. The kernel allows that to sockets with SO_REUSEPORT, which is on for this moment alone: otherwise
    a second sidecar could take the port too, and get a part of the scrapes.
    """
    family, address = place
    sharing = [each.sock for each in leaving if each.family == family and each.address[1] == address[1]]
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        if sharing:
            sharing.append(sock)
        _share_port(sharing, on=True)
        sock.bind(address)
        sock.listen(_BACKLOG)
    except BaseException:
        sock.close()
        raise
    finally:
        _share_port(sharing, on=False)
    return sock


def _share_port(sockets: Iterable[socket.socket], *, on: bool) -> None:
    for sock in sockets:
        if sock.fileno() >= 0:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, on)


def _cannot(text: str, error: OSError) -> StartError:
    return StartError(f"web.listen: can't listen on {text}: {system_reason(error)}")
