"""What would have been judged under other thresholds: recorded evidence, judged again.

The same table and judge as in the sidecar, the same evidence at the same observed times, the same judging
ticks: the policy is the only difference.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final

import msgspec
from msgspec import Struct

from raft_exporter.errors import StoreError
from raft_exporter.evidence_log import Adopted, Began, Judged, Record, Restored, Took
from raft_exporter.model.evidence import NodeIdentity
from raft_exporter.model.judge import State, Verdict
from raft_exporter.model.policy import Multiples, Policy
from raft_exporter.model.table import Table

_KNOWN: Final = frozenset(State) - {State.UNKNOWN}


class Change(Struct, frozen=True):
    """What is different from the recorded policy: thresholds by name, and H in seconds."""

    thresholds: dict[str, float] = {}
    heartbeat_timeout: float | None = None

    def of(self, heartbeat_timeout: float, multiples: Multiples) -> Policy:
        """Give the policy that comes of a recorded one."""
        changed = msgspec.structs.replace(multiples, **self.thresholds)
        told = self.heartbeat_timeout
        return Policy.of(heartbeat_timeout if told is None else told, changed)


AS_RECORDED: Final = Change()


class Said(Struct, frozen=True):
    """One verdict on one member that differs from the one before it.

    ``session`` counts the tables, ``at`` is the observed and ``wall`` the Unix time, in seconds. ``before``
    None: it joined, or was restored as offline. ``verdict`` None: it left. ``silent_for`` is the seconds
    since its last success, None: never.
    """

    session: int
    at: float
    wall: float
    peer: str
    before: Verdict | None
    verdict: Verdict | None
    silent_for: float | None


class Replay:
    """One table after the other, told what was recorded; ``said`` is what it said."""

    def __init__(self, change: Change = AS_RECORDED) -> None:
        self.said: list[Said] = []
        self.begins: list[float] = []
        """By session, the Unix time at which its evidence begins."""
        self.ends: list[float] = []
        """By session, the Unix time of its last judging."""
        self._change = change
        self._table: Table | None = None
        self._at = 0.0
        self._restored: set[str] = set()

    def feed(self, record: Record) -> None:
        """Tell the table one record; StoreError for one that no sidecar can have made."""
        try:
            self._feed(record)
        except (ArithmeticError, LookupError, TypeError, ValueError) as error:
            raise StoreError(
                "damaged", f"expected evidence that a sidecar recorded, got other: {error}"
            ) from error

    def _feed(self, record: Record) -> None:
        if isinstance(record, Began):
            policy = self._change.of(record.heartbeat_timeout, record.multiples)
            self._table = Table(policy, record.static, record.at)
            self.begins.append(record.wall)
            self.ends.append(record.wall)
            self._restored.clear()
            self._at = record.at
            return
        table = self._table
        if table is None or record.at < self._at:
            raise StoreError(
                "damaged", "expected evidence in the order of time, from the beginning of a table"
            )
        self._at = record.at
        match record:
            case Took(at, evidence):
                if isinstance(evidence, NodeIdentity) and self._change.heartbeat_timeout is not None:
                    evidence = msgspec.structs.replace(evidence, heartbeat_timeout=None)
                table.take(evidence, at)
            case Judged(at, wall):
                self._judge(table, at, wall)
            case Restored(at, memory, age):
                table.restore(memory, age, at)
            case Adopted(at, heartbeat_timeout, multiples, static):
                table.adopt(self._change.of(heartbeat_timeout, multiples), static, at)

    def _judge(self, table: Table, at: float, wall: float) -> None:
        self.ends[-1] = wall
        session = len(self.ends) - 1
        for peer, member in table.members.items():
            if member.verdict.restored and peer not in self._restored:
                self._restored.add(peer)
                restored = Said(session, at, wall, peer, None, member.verdict, member.contact_age(at))
                self.said.append(restored)
        for moved in table.judge(at):
            if moved.before is None and moved.after is not None and moved.after.restored:
                continue  # who joins with what was remembered of it was said above
            known = table.members.get(moved.peer)
            silent_for = None if known is None else known.contact_age(at)
            self.said.append(Said(session, at, wall, moved.peer, moved.before, moved.after, silent_for))


def replay(records: Iterable[Record], change: Change = AS_RECORDED) -> list[Said]:
    """Judge the recorded evidence again, under the recorded policy with ``change``."""
    again = Replay(change)
    for record in records:
        again.feed(record)
    return again.said


@dataclass(slots=True)
class Summary:
    """How one member fared under one policy; times in seconds."""

    flips: int = 0
    """Changes from one state to another, unknown apart: that claims nothing."""
    said_after: list[float | None] = field(default_factory=list)
    """How long after its last success, each time that it was said to be offline; None: it never had one."""
    offline_seconds: float = 0.0
    """How long it was said to be offline in all."""


def summaries(said: Iterable[Said], ends: list[float], since: float = 0.0) -> dict[str, Summary]:
    """Give by member what of a timeline happened after the Unix time ``since``."""
    found: dict[str, Summary] = {}
    offline: dict[tuple[int, str], float] = {}
    for each in said:
        summary = found.setdefault(each.peer, Summary())
        before, after = (verdict and verdict.state for verdict in (each.before, each.verdict))
        began = offline.pop((each.session, each.peer), None)
        if began is not None:
            summary.offline_seconds += _length(began, each.wall, since)
        if after is State.OFFLINE:
            offline[each.session, each.peer] = each.wall
        if each.wall >= since:
            summary.flips += before in _KNOWN and after in _KNOWN
            if after is State.OFFLINE and before is not None:
                summary.said_after.append(each.silent_for)
    for (session, peer), began in offline.items():
        found[peer].offline_seconds += _length(began, ends[session], since)
    return found


def _length(began: float, ended: float, since: float) -> float:
    return max(ended - max(began, since), 0.0)


class Moment(Struct, frozen=True):
    """What each policy said of one member at one tick; None: nothing new."""

    session: int
    wall: float
    peer: str
    recorded: Said | None
    other: Said | None


def side_by_side(recorded: Iterable[Said], other: Iterable[Said]) -> Iterator[Moment]:
    """Put two timelines of the same evidence together, in the order of time."""
    left = {(each.session, each.at, each.peer): each for each in recorded}
    right = {(each.session, each.at, each.peer): each for each in other}
    for key in sorted(left.keys() | right.keys()):
        one, two = left.get(key), right.get(key)
        wall = one.wall if one is not None else right[key].wall
        yield Moment(key[0], wall, key[2], one, two)
