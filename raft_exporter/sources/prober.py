"""Asking one member over and over: what is asked is the matter of each prober.

The rules that keep it harmless (docs/hashicorp-raft.md): one connection and one outstanding request a
member; while a request is unanswered nothing more is sent and no connection is opened or closed, however
long that takes, because every abandoned one costs a stuck node a file descriptor, a goroutine and a buffer.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import ClassVar, Final, Generic

from msgspec import Struct

from raft_exporter.errors import TlsError, WireError
from raft_exporter.logs import event
from raft_exporter.model.evidence import Outcome, ProbeKind, ProbeResult
from raft_exporter.sources.connection import outcome_of
from raft_exporter.sources.exchange import Exchange, R

_log = logging.getLogger(__name__)

_JITTER: Final = 0.2
"""Intervals vary by a fifth, so that the probes of many sidecars do not fall into step."""

_NAP: Final = 1.0
"""Seconds after which a resting prober looks whether its timing still holds."""

_EXPLAINED_AFTER: Final = 3
"""Bad answers on new connections in a row, after which it is no node that just ends."""


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


class Prober(ABC, Generic[R]):
    """Probes one member for ever and reports every outcome as evidence.

    ``peer`` is the member's server id, ``address`` where it is asked.
    """

    kind: ClassVar[ProbeKind]

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
        self._connection: Exchange[R] | None = None
        self._refusals = 0
        self._closed = 0
        self._explained: set[str] = set()
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

    @abstractmethod
    async def _open(self) -> Exchange[R]:
        """Open a new connection, or raise OSError."""

    @abstractmethod
    async def _take(self, reply: R) -> None:
        """Tell what a reply comes to."""

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
        except WireError as error:
            # A node that went away closes the connection it had: only a new one can tell whether it is back.
            await self._disconnect()
            if fresh:
                await self._refuse(error)
            return not fresh
        except TimeoutError:
            await self._disconnect()
            self._tell(Outcome.TIMEOUT)
            return False
        self._closed = 0
        await self._take(reply)
        return False

    async def _connect(self) -> Exchange[R] | None:
        try:
            self._connection = await self._open()
        except OSError as error:
            outcome = outcome_of(error)
            self._tell(outcome, host_age=0.0 if outcome is Outcome.REFUSED else None)
            self._refusals = self._refusals + 1 if outcome is Outcome.REFUSED else 0
            self._closed = 0
            return None
        self._refusals = 0
        return self._connection

    async def _refuse(self, error: WireError) -> None:
        """Tell that a new connection brought no answer, and log why where an operator may mend it."""
        self._closed += 1
        if isinstance(error, TlsError) or self._closed == _EXPLAINED_AFTER:
            self._explain(error)
        self._tell(Outcome.BAD_ANSWER, host_age=0.0)

    def _explain(self, why: object) -> None:
        """Log why answers are bad: each reason once, until there is a good one."""
        if str(why) not in self._explained:
            self._explained.add(str(why))
            where = "{}:{}".format(*self.address)
            event(_log, logging.WARNING, "bad answer", peer=self.peer, address=where, why=why)

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
        else:
            self._explained.clear()
        if outcome is Outcome.OK and self._failing_since is not None:
            if now - self._failing_since >= self.timing.gone_for:
                self._returned_at = now
            self._failing_since = None
        self._report(
            ProbeResult(
                peer=self.peer,
                kind=self.kind,
                outcome=outcome,
                round_trip=round_trip,
                host_age=host_age,
                waiting=waiting,
                term=term,
                last_log_index=last_log_index,
            )
        )
