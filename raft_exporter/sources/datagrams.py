"""Datagram sockets for telemetry: those of one address that is listened on, and one that packets go on to."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import socket
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final, TypeAlias

from msgspec import Struct

from raft_exporter.errors import StartError, system_reason
from raft_exporter.notation import parse_telemetry_listen

Address: TypeAlias = tuple[Any, ...] | str

SO_RXQ_OVFL: Final = 40
SO_RCVBUFFORCE: Final = 33
"""Linux (asm-generic/socket.h); the socket module names neither."""
_RECEIVE_BUFFER: Final = 4 * 1024 * 1024


class Place(Struct, frozen=True):
    """The sockets of one configured address, and the path of a Unix one."""

    where: str
    sockets: tuple[socket.socket, ...]
    path: Path | None = None

    def close(self) -> None:
        """Close them, and take the path away."""
        for sock in self.sockets:
            sock.close()
        if self.path is not None:
            self.path.unlink(missing_ok=True)


class Relay:
    """Sends packets on to one address, and waits for nobody."""

    def __init__(self, sock: socket.socket, to: Address) -> None:
        self._sock = sock
        self.to = to
        sock.setblocking(False)
        if sock.family != socket.AF_UNIX:
            sock.connect(to)

    def send(self, data: bytes) -> bool:
        """Send one packet; False when one was lost, now or, as the host says only later, before."""
        if isinstance(self.to, str):
            # Not connected: who comes anew at the same path is found.
            return self._try(lambda: self._sock.sendto(data, self.to))
        try:
            self._sock.send(data)
        except ConnectionRefusedError:  # the one before was refused, and this one is not sent yet
            self._try(lambda: self._sock.send(data))
            return False
        except OSError:
            return False
        return True

    def reaches(self, own: Address) -> bool:
        """Whether what is sent comes back to ``own``, an address that is listened on."""
        if isinstance(own, str) or isinstance(self.to, str):
            return own == self.to
        to = ipaddress.ip_address(self.to[0].partition("%")[0])
        # The kernel sends from the very address that it sends to when that is this host's own.
        here = to.is_loopback or self._sock.getsockname()[0] == self.to[0]
        every = ipaddress.ip_address(own[0].partition("%")[0]).is_unspecified
        return bool(own[1] == self.to[1] and (own[0] == self.to[0] or (every and here)))

    def close(self) -> None:
        """Close the socket."""
        self._sock.close()

    @staticmethod
    def _try(send: Callable[[], int]) -> bool:
        try:
            send()
        except OSError:
            return False
        return True


async def place_at(where: str) -> Place:
    """Bind ``udp:host:port`` or ``unixgram:/path``; StartError when that can't be had."""
    address = parse_telemetry_listen(where)
    try:
        if isinstance(address, Path):
            return Place(where, (_bind_path(address),), address)
        return Place(where, tuple(await _bind_udp(*address)))
    except OSError as error:
        raise StartError(f"telemetry.listen: can't listen on {where}: {system_reason(error)}") from error


async def relay_to(where: str, taken: Sequence[Place]) -> Relay:
    """Give what sends to ``where``; StartError when there is no such place, or it is one of ``taken``."""
    address = parse_telemetry_listen(where)
    try:
        if isinstance(address, Path):
            relay = Relay(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM), str(address))
        else:
            family, _, _, _, to = (await _resolve(*address))[0]
            relay = Relay(socket.socket(family, socket.SOCK_DGRAM), to)
    except OSError as error:
        raise StartError(f"telemetry.relay: can't send to {where}: {system_reason(error)}") from error
    if any(relay.reaches(sock.getsockname()) for place in taken for sock in place.sockets):
        relay.close()
        raise StartError(f"telemetry.relay: expected another address than telemetry.listen, got {where}")
    return relay


def _bind_path(path: Path) -> socket.socket:
    """Make the socket; one that nobody reads any more is replaced."""
    path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    try:
        if path.is_socket():
            _replace(path)
        sock.bind(str(path))
        path.chmod(0o660)  # the node may run as another user of the same group
    except OSError:
        sock.close()
        raise
    return sock


def _replace(path: Path) -> None:
    """Take away a socket that nobody reads any more."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        if sock.connect_ex(str(path)) == 0:
            raise OSError(None, "another process listens there")
    path.unlink()


async def _resolve(host: str, port: int) -> Sequence[tuple[int, int, int, str, tuple[Any, ...]]]:
    loop = asyncio.get_running_loop()
    try:
        return await loop.getaddrinfo(host or None, port, type=socket.SOCK_DGRAM, flags=socket.AI_PASSIVE)
    except UnicodeError:  # a part of the name is too long
        raise OSError(None, "no such host name") from None


async def _bind_udp(host: str, port: int) -> list[socket.socket]:
    """Bind every address of ``host`` that this machine has; OSError when there is none."""
    bound: list[socket.socket] = []
    fault: OSError | None = None
    for family, kind, protocol, _, address in await _resolve(host, port):
        try:
            sock = socket.socket(family, kind, protocol)
        except OSError as error:
            fault = error
            continue
        try:
            if family == socket.AF_INET6:
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            sock.bind(address)
        except OSError as error:
            sock.close()
            fault = error
            continue
        bound.append(sock)
    if not bound and fault is not None:
        raise fault
    return bound


def make_ready(sock: socket.socket) -> int:
    """Make the socket ready for bursts; give the bytes of its receive buffer, which the kernel may limit."""
    sock.setblocking(False)
    try:
        sock.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, _RECEIVE_BUFFER)
    except OSError:
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER)
    with contextlib.suppress(OSError):
        sock.setsockopt(socket.SOL_SOCKET, SO_RXQ_OVFL, 1)
    return sock.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)
