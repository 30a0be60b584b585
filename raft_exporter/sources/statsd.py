"""The node's statsd or dogstatsd packets: sockets that take them, and where they go on to."""

from __future__ import annotations

import asyncio
import logging
import socket
import struct
from collections.abc import Callable, Collection, Sequence
from typing import Final

from raft_exporter.change import Change, Ready
from raft_exporter.errors import StartError
from raft_exporter.logs import event
from raft_exporter.model.intake import Intake
from raft_exporter.model.judge import NEVER
from raft_exporter.sources import telemetry_lines
from raft_exporter.sources.datagrams import SO_RXQ_OVFL, Address, Place, Relay, make_ready, place_at, relay_to
from raft_exporter.sources.telemetry import SOURCE, Telemetry

_log = logging.getLogger(__name__)

REASONS: Final = (*telemetry_lines.REASONS, "unreadable", "dropped_by_kernel", "not_relayed")
"""Every reason for which a packet, or a line of it, went no further."""
_GAP: Final = 3.0
"""Seconds: three of the ticks in which an idle node tells how busy its main loop is."""
_LONGEST: Final = 256 * 1024
"""Bytes of a packet: above UDP's 64 KiB and above what a Unix socket takes by default."""
_PACKETS_A_TURN: Final = 64
_BYTES_A_TURN: Final = 128 * 1024
"""What is read before the event loop does its other work, whatever the speed at which packets come."""
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
        self._places: dict[str, Place] = {}
        """By the text of its address."""
        self._dropped: dict[socket.socket, int] = {}
        """How many packets the kernel dropped of each socket since it was made."""
        self._relay: Relay | None = None
        self._told: set[str] = set()
        self._buffer = bytearray(_LONGEST)
        for reason in REASONS:
            intake.rejected.setdefault((SOURCE, reason), 0)

    @property
    def addresses(self) -> list[Address]:
        """The addresses that are listened on, as the sockets have them."""
        return [sock.getsockname() for place in self._places.values() for sock in place.sockets]

    @property
    def listens(self) -> bool:
        """Whether there is an address at all."""
        return bool(self._places)

    async def prepare(self, listen: Sequence[str], relay: str | None) -> Change:
        """Get ready to take packets on these addresses, and to send every one on to ``relay``.

        StartError when an address can't be listened on, or there is no such relay, or it is our own. That
        nobody reads there is no error: he may come, and go.
        """
        new: list[Place] = []
        try:
            for where in listen:
                if where not in self._places:
                    new += [await place_at(where)]
            taken = [each for where, each in self._places.items() if where in listen] + new
            to = None if relay is None else await relay_to(relay, taken)
        except StartError:
            for place in new:
                place.close()
            raise

        async def take_on() -> None:
            self._take_on(new, listen, to)

        async def close() -> None:
            for place in new:
                place.close()
            if to is not None:
                to.close()

        return Ready(take_on, close)

    def turn(self, now: float, suspect_after: float) -> None:
        """Say whether Raft's lines come: the last one within ``suspect_after`` seconds, at least three."""
        up = now - self._heard_at < max(suspect_after, _GAP)
        if up != self._intake.up.get(SOURCE):
            self._intake.up[SOURCE] = up
            level = logging.INFO if up else logging.WARNING
            event(_log, level, "telemetry heard" if up else "telemetry fell silent")

    def close(self) -> None:
        """Stop listening and relaying."""
        self._take_on((), (), None)

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
                if (level, kind) == (socket.SOL_SOCKET, SO_RXQ_OVFL) and len(value) == _DROPS.size:
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
        new = (total - self._dropped[sock]) % 2**32
        self._dropped[sock] = total
        if new:
            self._reject("dropped_by_kernel", new)

    def _reject(self, reason: str, count: int = 1) -> None:
        """Count it, and say so the first time: one reason may come with every packet."""
        self._intake.rejected[SOURCE, reason] += count
        if reason not in self._told:
            self._told.add(reason)
            event(_log, logging.WARNING, "telemetry went no further", reason=reason)

    def _take_on(self, new: Sequence[Place], wanted: Collection[str], relay: Relay | None) -> None:
        """Take packets on the ``wanted`` addresses, of which ``new`` are ready, and on no others."""
        loop = asyncio.get_running_loop()
        for where in [where for where in self._places if where not in wanted]:
            self._close(self._places.pop(where))
        for place in new:
            self._places[place.where] = place
            for sock in place.sockets:
                granted = make_ready(sock)
                self._dropped[sock] = 0
                loop.add_reader(sock, self._readable, sock)
                event(
                    _log, logging.INFO, "waiting for telemetry", address=place.where, receive_buffer=granted
                )
        if self._relay is not None:
            self._relay.close()
        self._relay = relay

    def _close(self, place: Place) -> None:
        for sock in place.sockets:
            asyncio.get_running_loop().remove_reader(sock)
            del self._dropped[sock]
        place.close()
