"""Three witnesses of one fault: the sidecars' verdicts, a bare native probe, hashicorp/raft's observations.

Every moment is a time of day in seconds: sidecars, nodes and benchmark share one machine's clock.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import re
import threading
import time
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Final

from msgspec import Struct

from raft_exporter.demo.cluster import Node, SidecarProcess, until
from raft_exporter.model.evidence import Outcome, ProbeResult
from raft_exporter.model.judge import State
from raft_exporter.notation import parse_address
from raft_exporter.sources.prober import Timing
from raft_exporter.sources.raft_probe import RaftProber

_CHANGED: Final = re.compile(
    r'^ts=(\S+) .*msg="member state changed".* peer=(\S+).* after=(\S+)', re.MULTILINE
)
_SAYS: Final = {"failed_heartbeat", "leader", "state"}


class Word(Struct, frozen=True):
    """A sidecar's log says that it judges ``peer`` to be in ``state`` from the moment ``at`` on."""

    at: float
    peer: str
    state: State


def words(log: str) -> Iterator[Word]:
    """Read the changes of state out of a sidecar's log in logfmt; a last line without its end is left out."""
    for changed in _CHANGED.finditer(log[: log.rfind("\n") + 1]):
        at = datetime.fromisoformat(changed[1]).timestamp()
        yield Word(at=at, peer=changed[2], state=State(changed[3]))


class SidecarWords:
    """What one sidecar has said since this object was made."""

    def __init__(self, sidecar: SidecarProcess) -> None:
        self._log = sidecar.log
        self._from = self._log.stat().st_size

    def read(self) -> list[Word]:
        """Give all of it so far, in order."""
        with self._log.open("rb") as log:
            log.seek(self._from)
            return list(words(log.read().decode()))


class RaftWords:
    """What hashicorp/raft itself observes on the given nodes from now on."""

    def __init__(self, nodes: Iterable[Node]) -> None:
        self._from = [(node, self._next(node)) for node in nodes]

    @staticmethod
    def _next(node: Node) -> int:
        answer = node.ask("/observations?since=1000000000")
        return int(answer["next"]) if answer else 1

    def first_of(self, peer: str, since: float) -> float | None:
        """Give when any of them first saw a heartbeat to ``peer`` fail, or any change of leader or state."""
        return min((at for at in self._seen(peer) if at >= since), default=None)

    def _seen(self, peer: str) -> Iterator[float]:
        for node, since in self._from:
            answer = node.ask(f"/observations?since={since}")
            for event in answer["events"] if answer else ():
                if event["kind"] in _SAYS and event.get("peer", peer) == peer:
                    yield event["unix_ms"] / 1000


class BareProbe:
    """What a native probe of one member met with: no table and no judge."""

    def __init__(self) -> None:
        self._outcomes: list[tuple[float, Outcome]] = []

    def take(self, result: ProbeResult) -> None:
        """Take one outcome, now."""
        self._outcomes.append((time.time(), result.outcome))

    def answered(self) -> bool:
        """Whether the member has ever answered."""
        return any(outcome is Outcome.OK for _, outcome in self._outcomes)

    def first_failure(self, since: float) -> float | None:
        """Give when the probe first failed at or after ``since``."""
        failures = (at for at, outcome in self._outcomes if outcome is not Outcome.OK and at >= since)
        return min(failures, default=None)


@contextlib.contextmanager
def bare_probe(node: Node, rng: random.Random) -> Iterator[BareProbe]:
    """Probe ``node`` as its peers' sidecars do, with their timing, in a thread; it has answered already."""
    probe = BareProbe()
    timing = Timing.of(heartbeat_timeout=1.0, interval=None, timeout=None)
    prober = RaftProber(node.id, parse_address(node.address), timing, probe.take, rng)
    loop = asyncio.new_event_loop()
    task = loop.create_task(prober.run())

    def run() -> None:
        with contextlib.suppress(asyncio.CancelledError):
            loop.run_until_complete(task)

    thread = threading.Thread(target=run, name="bare probe")
    thread.start()
    try:
        until("an answer to the native probe", probe.answered)
        yield probe
    finally:
        loop.call_soon_threadsafe(task.cancel)
        thread.join()
        loop.close()
