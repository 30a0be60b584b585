"""The native probe: one harmless question, asked over and over on one connection.

It sends :data:`~raft_exporter.wire.PROBE` and nothing else, behind whatever stands before the protocol on
the member's Raft port; :mod:`~raft_exporter.sources.prober` has the rules that keep it harmless.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable

from raft_exporter.errors import ConfigError, TlsError, WireError
from raft_exporter.logs import event
from raft_exporter.model.evidence import Outcome, ProbeKind, ProbeResult
from raft_exporter.notation import parse_address
from raft_exporter.sources.prober import Prober, Timing
from raft_exporter.sources.raft_connection import RaftConnection, Reply
from raft_exporter.sources.raft_port import PLAIN, Front
from raft_exporter.wire import Answer

_log = logging.getLogger(__name__)


class RaftProber(Prober[Reply]):
    """Probes the main loop of one member, behind ``front``.

    An answer in another id's name than ``peer`` is a bad answer, but where that is no id: a configuration
    that tells only addresses names its members by them.
    """

    kind = ProbeKind.RAFT

    def __init__(
        self,
        peer: str,
        address: tuple[str, int],
        timing: Timing,
        report: Callable[[ProbeResult], None],
        rng: random.Random,
        *,
        front: Front = PLAIN,
    ) -> None:
        super().__init__(peer, address, timing, report, rng)
        self._front = front
        self._named_by_address = _is_address(peer, address)

    async def _open(self) -> RaftConnection:
        return await RaftConnection.open(*self.address, self.timing, self._front)

    async def _take(self, reply: Reply) -> None:
        answer = reply.answer
        if answer.id not in {"", self.peer} and not self._named_by_address:
            await self._disconnect()
            self._tell(Outcome.BAD_ANSWER, host_age=0.0)
            return
        self._tell(
            Outcome.OK,
            round_trip=reply.round_trip,
            host_age=0.0,
            term=answer.term,
            last_log_index=answer.last_log_index,
        )


def _is_address(peer: str, address: tuple[str, int]) -> bool:
    try:
        return parse_address(peer) == address
    except ConfigError:
        return False


async def ask_once(host: str, port: int, patience: float, front: Front = PLAIN) -> Reply:
    """Probe one Raft port once, with ``patience`` seconds for each of connecting and answering.

    OSError (TimeoutError) when it can't be reached in time, WireError for a bad answer.
    """
    timing = Timing(interval=patience, timeout=patience, retry=patience)
    connection = await RaftConnection.open(host, port, timing, front)
    try:
        async with asyncio.timeout(patience):
            return await connection.ask()
    finally:
        await connection.close()


async def identify(address: tuple[str, int], timing: Timing, front: Front = PLAIN) -> Answer:
    """Ask the node at ``address`` who it is, until it answers; before v1.3.7 it answers without an id."""
    logged = set[str]()
    while True:
        try:
            connection = await RaftConnection.open(*address, timing, front)
            try:
                return (await connection.ask()).answer
            finally:
                await connection.close(patience=timing.timeout)
        except TlsError as error:
            if str(error) not in logged:
                logged.add(str(error))
                where = "{}:{}".format(*address)
                event(_log, logging.WARNING, "the node can't be asked for its id", address=where, why=error)
        except (OSError, WireError):
            pass  # it is not up yet
        await asyncio.sleep(timing.interval)
