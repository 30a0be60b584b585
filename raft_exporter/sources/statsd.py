"""The node's statsd or dogstatsd packets: sockets that take them, and where they go on to."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import logging
import socket
import struct
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final, TypeAlias

from raft_exporter.errors import StartError, system_reason
from raft_exporter.logs import event
from raft_exporter.model.intake import Intake
from raft_exporter.model.judge import NEVER
from raft_exporter.notation import parse_telemetry_listen
from raft_exporter.sources import telemetry_lines
from raft_exporter.sources.telemetry import SOURCE, Telemetry

_log = logging.getLogger(__name__)

_Address: TypeAlias = tuple[Any, ...] | str

REASONS: Final = (*telemetry_lines.REASONS, "unreadable", "dropped_by_kernel", "not_relayed")
"""Every reason for which a packet, or a line of it, went no further."""
_GAP: Final = 3.0
"""Seconds: three of the ticks in which an idle node tells how busy its main loop is."""
_RECEIVE_BUFFER: Final = 4 * 1024 * 1024
_LONGEST: Final = 256 * 1024
"""Bytes of a packet: above UDP's 64 KiB and above what a Unix socket takes by default."""
_PACKETS_A_TURN: Final = 64
_BYTES_A_TURN: Final = 128 * 1024
"""What is read before the event loop does its other work, whatever the speed at which packets come."""
_SO_RCVBUFFORCE: Final = 33
_SO_RXQ_OVFL: Final = 40
"""Linux (asm-generic/socket.h); the socket module names neither."""
_DROPS: Final = struct.Struct("=I")


class StatsdSource:
    """Takes packets on the given addresses, tells :class:`Telemetry`, and relays every one unchanged.

    Whoever reaches a listen address is believed: an address that is not loopback's is the operator's
    choice. Nothing that arrives ends the source, and nothing of a packet is written to the log.
    ``now`` is the clock of the evidence.
    """

    def __init__(self, telemetry: Telemetry, intake: Intake, now: Callable[[], float]) -> None:
        self._telemetry = telemetry
        self._intake = intake
        self._now = now
        self._once = telemetry_lines.Once()
        self._heard_at = NEVER
        self._sockets: dict[socket.socket, int] = {}
        self._paths: list[Path] = []
        self._relay: _Relay | None = None
        self._told: set[str] = set()
        self._buffer = bytearray(_LONGEST)
        for reason in REASONS:
            intake.rejected.setdefault((SOURCE, reason), 0)

    @property
    def addresses(self) -> list[_Address]:
        """The addresses that are listened on, as the sockets have them."""
        return [sock.getsockname() for sock in self._sockets]

    async def listen(self, where: str) -> None:
        """Listen on ``udp:host:port`` or ``unixgram:/path``; StartError when that can't be had."""
        address = parse_telemetry_listen(where)
        try:
            sockets = [self._bind_path(address)] if isinstance(address, Path) else await _bind_udp(*address)
        except OSError as error:
            raise StartError(f"telemetry.listen: can't listen on {where}: {system_reason(error)}") from error
        loop = asyncio.get_running_loop()
        for sock in sockets:
            granted = _prepare(sock)
            self._sockets[sock] = 0
            loop.add_reader(sock, self._readable, sock)
            event(_log, logging.INFO, "waiting for telemetry", address=where, receive_buffer=granted)
        self._intake.up.setdefault(SOURCE, False)

    async def relay(self, where: str) -> None:
        """Send every packet on to ``where``; StartError when there is no such place, or it is our own.

        To be called after the last ``listen``. That nobody reads there is no error: he may come, and go.
        """
        address = parse_telemetry_listen(where)
        try:
            if isinstance(address, Path):
                relay = _Relay(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM), str(address))
            else:
                family, _, _, _, to = (await _resolve(*address))[0]
                relay = _Relay(socket.socket(family, socket.SOCK_DGRAM), to)
        except OSError as error:
            raise StartError(f"telemetry.relay: can't send to {where}: {system_reason(error)}") from error
        if any(relay.reaches(own) for own in self.addresses):
            relay.close()
            raise StartError(f"telemetry.relay: expected another address than telemetry.listen, got {where}")
        self._relay = relay

    def turn(self, now: float, suspect_after: float) -> None:
        """Say whether Raft's lines come: the last one within ``suspect_after`` seconds, at least three."""
        up = now - self._heard_at < max(suspect_after, _GAP)
        if up != self._intake.up.get(SOURCE):
            self._intake.up[SOURCE] = up
            level = logging.INFO if up else logging.WARNING
            event(_log, level, "telemetry heard" if up else "telemetry fell silent")

    async def close(self) -> None:
        """Stop listening and relaying."""
        loop = asyncio.get_running_loop()
        for sock in self._sockets:
            loop.remove_reader(sock)
            sock.close()
        self._sockets.clear()
        for path in self._paths:
            path.unlink(missing_ok=True)
        if self._relay is not None:
            self._relay.close()
            self._relay = None

    def take(self, data: bytes, at: float, *, cut: bool = False) -> None:
        """Take one packet that came ``at``; ``cut``: it was longer than what is here."""
        packet = telemetry_lines.read(data, cut=cut)
        for reason in packet.faults:
            self._reject(reason)
        if not packet.raft:
            return
        self._heard_at = at
        self._telemetry.heard(at)
        if not packet.lines:
            return
        # Heartbeats first: those of a packet were answered before the node stopped being the leader.
        for heartbeat in self._once.take(packet.lines, at):
            self._telemetry.heartbeat(heartbeat.peer, heartbeat.seconds, at)
        for line in packet.lines:
            if isinstance(line, telemetry_lines.Entered):
                self._telemetry.state(line.role, at)
            elif isinstance(line, telemetry_lines.LeaderSpoke):
                self._telemetry.leader_heard(at)

    def _readable(self, sock: socket.socket) -> None:
        at = self._now()
        left = _BYTES_A_TURN
        for _ in range(_PACKETS_A_TURN):
            try:
                size, ancillary, flags, _ = sock.recvmsg_into([self._buffer], socket.CMSG_SPACE(_DROPS.size))
            except (BlockingIOError, InterruptedError):
                return
            except OSError:
                self._reject("unreadable")
                return
            for level, kind, value in ancillary:
                if (level, kind) == (socket.SOL_SOCKET, _SO_RXQ_OVFL) and len(value) == _DROPS.size:
                    self._count_drops(sock, *_DROPS.unpack(value))
            cut = bool(flags & socket.MSG_TRUNC)
            data = bytes(memoryview(self._buffer)[:size])
            if self._relay is not None and (cut or not self._relay.send(data)):
                self._reject("not_relayed")
            self.take(data, at, cut=cut)
            left -= size
            if left <= 0:
                return

    def _count_drops(self, sock: socket.socket, total: int) -> None:
        """Count what the kernel dropped since it last said so: its number is the socket's own, of 32 bits."""
        new = (total - self._sockets[sock]) % 2**32
        self._sockets[sock] = total
        if new:
            self._reject("dropped_by_kernel", new)

    def _reject(self, reason: str, count: int = 1) -> None:
        """Count it, and say so the first time: one reason may come with every packet."""
        self._intake.rejected[SOURCE, reason] += count
        if reason not in self._told:
            self._told.add(reason)
            event(_log, logging.WARNING, "telemetry went no further", reason=reason)

    def _bind_path(self, path: Path) -> socket.socket:
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
        self._paths.append(path)
        return sock


class _Relay:
    """Sends packets on to one address, and waits for nobody."""

    def __init__(self, sock: socket.socket, to: _Address) -> None:
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

    def reaches(self, own: _Address) -> bool:
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


def _prepare(sock: socket.socket) -> int:
    """Make the socket ready for bursts; give the bytes of its receive buffer, which the kernel may limit."""
    sock.setblocking(False)
    try:
        sock.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _RECEIVE_BUFFER)
    except OSError:
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER)
    with contextlib.suppress(OSError):
        sock.setsockopt(socket.SOL_SOCKET, _SO_RXQ_OVFL, 1)
    return sock.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)
