"""What Vault and OpenBao tell without credentials: whether the process runs and takes part in Raft.

Their cluster port opens to members alone. But how it turns away a TLS hello that names Raft's protocol and
no server tells what stands behind it, and only a process that runs turns anybody away
(docs/hashicorp-raft.md).
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from functools import cache
from typing import Final, Self

from msgspec import Struct

from raft_exporter.errors import WireError
from raft_exporter.model.evidence import Outcome, ProbeKind
from raft_exporter.sources.connection import connect
from raft_exporter.sources.exchange import Exchange
from raft_exporter.sources.prober import Prober, Timing
from raft_exporter.sources.tls import TlsLayer

SERVES_RAFT: Final = 112
"""unrecognized_name: the Raft protocol is served, to members alone."""

_INTERNAL_ERROR: Final = 80
_ALPN: Final = "raft_storage_v1"
_ALERT_RECORD: Final = 21
_ALERT_BYTES: Final = 7
"""RFC 8446: a record's type, its version and length (two bytes each), the alert's level and description."""
_FATAL: Final = 2


class Alert(Struct, frozen=True):
    """The TLS alert that a hello was turned away with, and its round trip in seconds."""

    number: int
    round_trip: float

    @property
    def serves_raft(self) -> bool:
        """Whether the process runs, is unsealed, and takes part in Raft."""
        return self.number == SERVES_RAFT

    @property
    def meaning(self) -> str:
        """What it says of the node."""
        if self.serves_raft:
            return "the process runs and serves Raft"
        if self.number == _INTERNAL_ERROR:
            return "sealed or not started"
        return f"TLS alert {self.number}: not the cluster port of Vault or OpenBao"


class HelloConnection(Exchange[Alert]):
    """One connection to a cluster port, good for one hello."""

    def __init__(self, sock: socket.socket) -> None:
        super().__init__(sock)
        self._received = b""

    @classmethod
    async def open(cls, host: str, port: int, timing: Timing) -> Self:
        """Connect within ``timing.timeout`` seconds, or raise OSError (TimeoutError when it took longer)."""
        sock = await connect(host, port, dead_after=timing.dead_after, patience=timing.timeout)
        _, connection = await asyncio.get_running_loop().create_connection(lambda: cls(sock), sock=sock)
        return connection

    def data_received(self, data: bytes) -> None:
        """Read the alert; anything else ends the connection (asyncio.Protocol)."""
        took = self.waiting
        self._received += data[:_ALERT_BYTES]
        if not self.outstanding:
            self._give_up(WireError("expected one alert to one hello, got more"))
        elif self._received[0] != _ALERT_RECORD:
            self._give_up(WireError(f"expected a TLS alert, got a byte {self._received[0]}"))
        elif len(self._received) >= _ALERT_BYTES:
            level, number = self._received[5:_ALERT_BYTES]
            if level == _FATAL:
                self._answer(Alert(number=number, round_trip=took))
            else:
                self._give_up(WireError(f"expected a fatal TLS alert, got alert {number} of level {level}"))

    def _send(self) -> None:
        self._transport.write(_hello())


class TlsProber(Prober[Alert]):
    """Probes one member's process by TLS; no answer says who it is, or that its main loop turns."""

    kind = ProbeKind.TLS

    async def _open(self) -> HelloConnection:
        return await HelloConnection.open(*self.address, self.timing)

    async def _take(self, reply: Alert) -> None:
        await self._disconnect()
        if reply.serves_raft:
            self._tell(Outcome.OK, round_trip=reply.round_trip, host_age=0.0)
        else:
            self._explain(reply.meaning)
            self._tell(Outcome.BAD_ANSWER, host_age=0.0)


async def greet_once(host: str, port: int, patience: float) -> Alert:
    """Greet one cluster port once, with ``patience`` seconds for each of connecting and answering.

    OSError (TimeoutError) when it can't be reached in time, WireError for another answer than an alert.
    """
    timing = Timing(interval=patience, timeout=patience, retry=patience)
    connection = await HelloConnection.open(host, port, timing)
    try:
        async with asyncio.timeout(patience):
            return await connection.ask()
    finally:
        await connection.close()


@cache
def _context() -> ssl.SSLContext:
    """Nothing is checked, for nothing is ever told to the other end: it turns the hello away."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols([_ALPN])
    return context


def _hello() -> bytes:
    layer = TlsLayer(_context(), server_name=None)
    layer.begin()
    return layer.outgoing()
