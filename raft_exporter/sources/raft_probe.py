"""The native probe: one harmless question, asked over and over on one connection.

The rules that keep it harmless (docs/hashicorp-raft.md): it sends :data:`~raft_exporter.wire.PROBE` and
nothing else; one persistent connection and one outstanding request a member; while a request is
unanswered nothing more is sent and no connection is opened or closed, however long that takes,
because every abandoned one costs a stuck node a file descriptor, a goroutine and a buffer.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import socket
from collections.abc import Callable
from typing import Final, cast

from msgspec import Struct

from raft_exporter.errors import WireError
from raft_exporter.logs import event
from raft_exporter.model.evidence import Outcome, ProbeKind, ProbeResult
from raft_exporter.sources.connection import connect, host_silence, outcome_of
from raft_exporter.wire import PROBE, Answer, AnswerReader

_log = logging.getLogger(__name__)

_JITTER: Final = 0.2
"""Intervals vary by a fifth, so that the probes of many sidecars do not fall into step."""


_NAP: Final = 1.0
"""Seconds after which a resting prober looks whether its timing still holds."""


class Timing(Struct, frozen=True):
    """When to probe, in seconds."""

    interval: float
    """From the start of one probe to the start of the next, before jitter."""
    timeout: float
    """A probe unanswered for so long counts as failed; it goes on waiting, and fails again each time."""
    retry: float
    """The wait after a first refusal: long enough that three of them confirm it (half of H).

    Also while a member comes back, so that its return is told as soon as it has lasted long enough.
    """

    @classmethod
    def of(cls, heartbeat_timeout: float, interval: float | None, timeout: float | None) -> Timing:
        """Give the timing for H seconds: every H/2 by default, and never slower than H.

        Slower than H, a member would be stale before it is asked again.
        """
        every = min(interval or heartbeat_timeout / 2, heartbeat_timeout / (1 + _JITTER))
        return cls(
            interval=every,
            timeout=min(timeout or every, heartbeat_timeout),
            retry=min(heartbeat_timeout / 4, every),
        )

    @property
    def gone_for(self) -> float:
        """A member that failed for so long (2 H) comes back when it answers, and does not just go on."""
        return 4 * self.interval

    @property
    def return_takes(self) -> float:
        """For how long a return is followed closely (4 H)."""
        return 8 * self.interval

    @property
    def dead_after(self) -> float:
        """How long a HOST may acknowledge nothing before the kernel gives the connection up."""
        return max(8 * self.interval, 3.0)


class Reply(Struct, frozen=True):
    """An answer and its round trip in seconds."""

    answer: Answer
    round_trip: float


class RaftConnection(asyncio.Protocol):
    """One connection to a Raft port, with at most one outstanding request."""

    _transport: asyncio.Transport

    def __init__(self, sock: socket.socket) -> None:
        self.closed = asyncio.Event()
        self.opened_at = asyncio.get_running_loop().time()
        self._sock = sock
        self._reader = AnswerReader()
        self._waiting: asyncio.Future[Reply] | None = None
        self._asked_at = 0.0

    @classmethod
    async def open(cls, host: str, port: int, timing: Timing) -> RaftConnection:
        """Connect within ``timing.timeout`` seconds, or raise OSError (TimeoutError when it took longer)."""
        sock = await connect(host, port, dead_after=timing.dead_after, patience=timing.timeout)
        _, connection = await asyncio.get_running_loop().create_connection(lambda: cls(sock), sock=sock)
        return connection

    def ask(self) -> asyncio.Future[Reply]:
        """Send the probe; the future gives the reply, or WireError for a bad or missing one."""
        if self._waiting is not None and not self._waiting.done():
            raise RuntimeError("one outstanding request a member")
        loop = asyncio.get_running_loop()
        self._waiting = loop.create_future()
        if self.closed.is_set():
            self._fail(WireError("expected an answer, the connection was closed"))
        else:
            self._asked_at = loop.time()
            self._transport.write(PROBE)
        return self._waiting

    @property
    def waiting(self) -> float:
        """Seconds since the last request was sent."""
        return asyncio.get_running_loop().time() - self._asked_at

    def host_silence(self) -> float | None:
        """Seconds since the host acknowledged anything; None when the connection is gone."""
        return None if self.closed.is_set() else host_silence(self._sock)

    async def close(self, patience: float = 0.0) -> None:
        """Close, after waiting ``patience`` seconds for an outstanding answer.

        A node that finds its answer unread logs an error: that is the node's peace, not ours.
        """
        if self._waiting is not None and not self._waiting.done() and patience > 0:
            await asyncio.wait([self._waiting], timeout=patience)
        self._transport.close()
        await self.closed.wait()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport (asyncio.Protocol)."""
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        """Read answers; anything but the one awaited ends the connection (asyncio.Protocol)."""
        took = self.waiting
        try:
            answers = self._reader.feed(data)
        except WireError as error:
            self._give_up(error)
            return
        awaited = self._waiting is not None and not self._waiting.done()
        if len(answers) > awaited:
            self._give_up(WireError("expected one answer to one request, got more"))
        elif answers and self._waiting is not None:
            self._waiting.set_result(Reply(answer=answers[0], round_trip=took))

    def connection_lost(self, exc: Exception | None) -> None:
        """Wake who waits (asyncio.Protocol)."""
        self.closed.set()
        if isinstance(exc, TimeoutError):
            self._fail(exc)
        else:
            self._fail(WireError("expected an answer, the connection was closed"))

    def _give_up(self, error: WireError) -> None:
        self._fail(error)
        self._transport.abort()

    def _fail(self, error: Exception) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_exception(error)
            self._waiting.exception()  # it may be that nobody waits any more


class RaftProber:
    """Probes one member for ever and reports every outcome as evidence.

    ``peer`` is the member's server id; an answer in another id's name is a bad answer.
    """

    def __init__(
        self,
        peer: str,
        address: tuple[str, int],
        timing: Timing,
        report: Callable[[ProbeResult], None],
        rng: random.Random,
    ) -> None:
        self.peer = peer
        self.address = address
        self.timing = timing
        self._report = report
        self._rng = rng
        self._connection: RaftConnection | None = None
        self._refusals = 0
        self._closed = 0
        self._failing_since: float | None = None
        self._returned_at = float("-inf")

    async def run(self) -> None:
        """Probe until cancelled; then the connection is closed with no unread answer, if that can be had."""
        try:
            while True:
                began = asyncio.get_running_loop().time()
                try:
                    again_at_once = await self._probe()
                except Exception as error:
                    # Whatever it is, it is a fault of ours and never the member's.
                    event(_log, logging.ERROR, "probe failed", peer=self.peer, error=repr(error))
                    await self._disconnect()
                    self._tell(Outcome.LOCAL_ERROR)
                    again_at_once = False
                if not again_at_once:
                    await self._rest(began)
        finally:
            if self._connection is not None:
                await self._connection.close(patience=self.timing.timeout)

    async def _probe(self) -> bool:
        """Probe once and report. True: the connection was found closed, so that a new one is due now."""
        connection, fresh = self._connection, False
        if connection is None:
            connection = await self._connect()
            if connection is None:
                return False
            fresh = True
        waiting = connection.ask()
        while not (await asyncio.wait([waiting], timeout=self.timing.timeout))[0]:
            self._tell(Outcome.TIMEOUT, host_age=connection.host_silence(), waiting=connection.waiting)
        try:
            reply = waiting.result()
        except WireError:
            # A node that went away closes the connection it had: only a new one can tell whether it is back.
            await self._disconnect()
            if fresh:
                self._closed += 1
                self._tell(Outcome.BAD_ANSWER, host_age=0.0)
            return not fresh
        except TimeoutError:
            await self._disconnect()
            self._tell(Outcome.TIMEOUT)
            return False
        await self._take(reply)
        return False

    async def _connect(self) -> RaftConnection | None:
        try:
            self._connection = await RaftConnection.open(*self.address, self.timing)
        except OSError as error:
            outcome = outcome_of(error)
            self._tell(outcome, host_age=0.0 if outcome is Outcome.REFUSED else None)
            self._refusals = self._refusals + 1 if outcome is Outcome.REFUSED else 0
            self._closed = 0
            return None
        self._refusals = 0
        return self._connection

    async def _take(self, reply: Reply) -> None:
        answer = reply.answer
        self._closed = 0
        if answer.id and answer.id != self.peer:
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

    async def _disconnect(self) -> None:
        if self._connection is not None:
            await self._connection.close()
            self._connection = None

    async def _rest(self, began: float) -> None:
        """Wait for the next turn, an interval after this one ``began``.

        A connection that the other end closes meanwhile cuts it short, if it had lived for a while: one that
        closes every new connection must not be asked without end. So does another timing.
        """
        loop, timing, delay = asyncio.get_running_loop(), self.timing, self._delay()
        due = max(began + delay, loop.time() + delay / 5)
        while self.timing == timing and (left := due - loop.time()) > 0:
            if self._connection is None:
                await asyncio.sleep(min(left, _NAP))
                continue
            with contextlib.suppress(TimeoutError):
                # Not wait_for, which may swallow a cancellation before Python 3.12.
                async with asyncio.timeout(min(left, _NAP)):
                    await self._connection.closed.wait()
                lived = loop.time() - self._connection.opened_at
                self._connection = None
                if lived >= timing.retry:
                    return

    def _delay(self) -> float:
        if self._refusals in {1, 2}:
            return self.timing.retry * self._rng.uniform(1, 1 + _JITTER)
        if self._closed == 1:
            return self.timing.retry / 5  # a node that ends may accept once more before its port is closed
        returns = asyncio.get_running_loop().time() - self._returned_at < self.timing.return_takes
        every = self.timing.retry if returns else self.timing.interval
        return every * self._rng.uniform(1 - _JITTER, 1 + _JITTER)

    def _tell(
        self,
        outcome: Outcome,
        *,
        round_trip: float | None = None,
        host_age: float | None = None,
        waiting: float | None = None,
        term: int | None = None,
        last_log_index: int | None = None,
    ) -> None:
        now = asyncio.get_running_loop().time()
        if outcome is not Outcome.OK:
            self._failing_since = now if self._failing_since is None else self._failing_since
        elif self._failing_since is not None:
            if now - self._failing_since >= self.timing.gone_for:
                self._returned_at = now
            self._failing_since = None
        self._report(
            ProbeResult(
                peer=self.peer,
                kind=ProbeKind.RAFT,
                outcome=outcome,
                round_trip=round_trip,
                host_age=host_age,
                waiting=waiting,
                term=term,
                last_log_index=last_log_index,
            )
        )


async def ask_once(host: str, port: int, patience: float) -> Reply:
    """Probe one Raft port once, with ``patience`` seconds for each of connecting and answering.

    OSError (TimeoutError) when it can't be reached in time, WireError for a bad answer.
    """
    timing = Timing(interval=patience, timeout=patience, retry=patience)
    connection = await RaftConnection.open(host, port, timing)
    try:
        async with asyncio.timeout(patience):
            return await connection.ask()
    finally:
        await connection.close()


async def identify(address: tuple[str, int], timing: Timing) -> Answer:
    """Ask the node at ``address`` who it is, until it answers; before v1.3.7 it answers without an id."""
    while True:
        with contextlib.suppress(OSError, WireError):
            connection = await RaftConnection.open(*address, timing)
            try:
                return (await connection.ask()).answer
            finally:
                await connection.close(patience=timing.timeout)
        await asyncio.sleep(timing.interval)
