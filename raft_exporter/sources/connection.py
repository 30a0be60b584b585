"""One TCP connection to a member, and what the kernel knows of the host at its other end."""

from __future__ import annotations

import asyncio
import errno
import socket
import struct
from collections.abc import Sequence
from typing import Any, Final, TypeAlias

from raft_exporter.model.evidence import Outcome

_AddressInfo: TypeAlias = tuple[int, int, int, str, tuple[Any, ...]]

_KEEPALIVE_S: Final = 1
"""The kernel asks the host, not the process, once a second: the fastest that it can."""

_TICK_S: Final = 0.01

_TELLING: Final = (Outcome.REFUSED, Outcome.TIMEOUT, Outcome.LOCAL_ERROR)

_LAST_ACK_RECV: Final = struct.Struct("@8x48xI")
"""tcp_info of linux/tcp.h: eight bytes of state, then 32-bit words; the 13th is tcpi_last_ack_recv."""

_OUR_FAULT: Final = frozenset(
    {
        errno.EACCES,
        errno.EADDRNOTAVAIL,
        errno.EAFNOSUPPORT,
        errno.EINVAL,
        errno.EMFILE,
        errno.ENETDOWN,
        errno.ENETUNREACH,
        errno.ENFILE,
        errno.ENOBUFS,
        errno.ENOMEM,
        errno.EPERM,
    }
)


async def connect(host: str, port: int, *, dead_after: float, patience: float) -> socket.socket:
    """Connect to ``host`` within ``patience`` seconds and give the non-blocking socket.

    Each address of the host has its share of the patience. OSError when none answers: the error that says
    most, a refusal before a silence before a fault of our own. A name that is not found in time is our own.

    The kernel ends the connection with ETIMEDOUT when the HOST has acknowledged nothing for
    ``dead_after`` seconds; a process that does not answer on a living host does not end it.
    """
    addresses = await _look_up(host, port, patience)
    errors: list[OSError] = [OSError(errno.EADDRNOTAVAIL, f"no address for {host}")]
    for family, kind, proto, _, address in addresses:
        try:
            async with asyncio.timeout(patience / len(addresses)):
                return await _connect(family, kind, proto, address, dead_after)
        except OSError as error:
            errors.append(error)
    raise min(errors, key=lambda error: _TELLING.index(outcome_of(error)))


async def _connect(
    family: int, kind: int, proto: int, address: tuple[Any, ...], dead_after: float
) -> socket.socket:
    sock = socket.socket(family, kind, proto)
    try:
        sock.setblocking(False)
        _watch_host(sock, dead_after)
        await asyncio.get_running_loop().sock_connect(sock, address)
    except BaseException:
        sock.close()
        raise
    return sock


def outcome_of(error: OSError) -> Outcome:
    """Class the error of a connection attempt. Whatever may be our own fault accuses nobody."""
    if isinstance(error, socket.gaierror) or error.errno in _OUR_FAULT:
        return Outcome.LOCAL_ERROR
    if isinstance(error, ConnectionRefusedError):
        return Outcome.REFUSED
    return Outcome.TIMEOUT


def host_silence(sock: socket.socket) -> float | None:
    """Seconds since the other end's kernel last acknowledged anything; None: the system can't tell.

    The kernel counts in ticks of at most 10 ms; one is taken off, so that no host seems more silent than
    it is.
    """
    try:
        info = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _LAST_ACK_RECV.size)
    except OSError:
        return None
    milliseconds: int = _LAST_ACK_RECV.unpack(info)[0]
    return max(milliseconds / 1000 - _TICK_S, 0.0)


async def _look_up(host: str, port: int, patience: float) -> Sequence[_AddressInfo]:
    """Addresses of a host. One that is written as a number needs no thread, which a slow name might hold."""
    try:
        return socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
    except socket.gaierror:
        pass
    except UnicodeError as error:
        raise socket.gaierror(socket.EAI_NONAME, f"{host!r} is no host name: {error}") from error
    try:
        async with asyncio.timeout(patience):
            return await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except TimeoutError as error:
        raise socket.gaierror(socket.EAI_AGAIN, f"{host!r} was not found in time") from error


def _watch_host(sock: socket.socket, dead_after: float) -> None:
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, _KEEPALIVE_S)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, _KEEPALIVE_S)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, round(dead_after * 1000))
