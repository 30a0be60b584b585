"""The faults of the detection benchmark, each made and healed on real nodes.

A fault is a context: it strikes at its beginning, tells at what time of day, and heals at its end.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Final

from msgspec import Struct

from raft_exporter.demo.cluster import Cluster, Node
from raft_exporter.model.judge import State

_WRITE_EVERY: Final = 0.05


@contextlib.contextmanager
def kill(_cluster: Cluster, victim: Node) -> Iterator[float]:
    """``kill -9``; healed by a new start."""
    at = time.time()
    victim.kill()
    try:
        yield at
    finally:
        victim.start()


@contextlib.contextmanager
def freeze(_cluster: Cluster, victim: Node) -> Iterator[float]:
    """``kill -STOP``; healed by ``kill -CONT``."""
    at = time.time()
    victim.freeze()
    try:
        yield at
    finally:
        victim.thaw()


@contextlib.contextmanager
def stall_follower(cluster: Cluster, victim: Node) -> Iterator[float]:
    """The victim's log store hangs while the leader takes twenty writes a second."""
    with _writes(cluster.leader()), _stalled(victim) as at:
        yield at


@contextlib.contextmanager
def stall_leader(_cluster: Cluster, victim: Node) -> Iterator[float]:
    """The victim's log store hangs, and so does the one write that it takes next."""
    write = threading.Thread(target=victim.put, args=("bench", "hangs"))
    with _stalled(victim) as at:
        write.start()
        yield at
    write.join()


@contextlib.contextmanager
def _stalled(victim: Node) -> Iterator[float]:
    at = time.time()
    victim.fault("log", "stall")
    try:
        yield at
    finally:
        victim.fault("log", "release")


@contextlib.contextmanager
def _writes(leader: Node) -> Iterator[None]:
    stop = threading.Event()

    def write() -> None:
        while not stop.wait(_WRITE_EVERY):
            leader.put("bench", "goes on")

    thread = threading.Thread(target=write, name="writes")
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


class Fault(Struct, frozen=True):
    """One kind of fault, and what a detector has to say of it."""

    text: str
    strike: Callable[[Cluster, Node], AbstractContextManager[float]]
    word: State
    """The true word; others that a later moment makes true are in ``later``."""
    cutoff: float
    """Seconds after which a detector that said nothing has missed it."""
    later: frozenset[State] = frozenset()
    on_leader: bool = False
    transport_timeout: str = "10s"
    answers: bool = True
    """The victim's own HTTP interface goes on answering, so that its observations can be read."""


FAULTS: Final[dict[str, Fault]] = {
    "kill": Fault("kill -9 of a follower", kill, State.OFFLINE, cutoff=6.0, answers=False),
    "freeze-10s": Fault(
        "SIGSTOP of a follower, transport timeout 10 s",
        freeze,
        State.STALLED,
        cutoff=12.0,
        later=frozenset({State.OFFLINE}),
        answers=False,
    ),
    "freeze-1s": Fault(
        "SIGSTOP of a follower, transport timeout 1 s",
        freeze,
        State.STALLED,
        cutoff=6.0,
        transport_timeout="1s",
        answers=False,
    ),
    "stall-follower": Fault(
        "a follower's log store hangs, with writes", stall_follower, State.STALLED, cutoff=6.0
    ),
    "stall-leader": Fault(
        "the leader's log store hangs, with a write", stall_leader, State.STALLED, cutoff=6.0, on_leader=True
    ),
}
