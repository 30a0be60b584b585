"""The journal: what changed, when, and on what evidence, as one entry each."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from enum import StrEnum

import msgspec
from msgspec import Struct

from raft_exporter.model.judge import NEVER, MemberEvidence, Reason, State
from raft_exporter.model.override import Override


class EntryKind(StrEnum):
    """What happened."""

    STARTED = "started"
    """This sidecar started."""
    STATE = "state"
    """A member is judged another state."""
    JOINED = "joined"
    LEFT = "left"
    ISOLATED = "isolated"
    """This node reaches no majority of the voters."""
    REJOINED = "rejoined"
    """It reaches one again."""
    OVERRIDE_SET = "override_set"
    OVERRIDE_CLEARED = "override_cleared"
    OVERRIDE_EXPIRED = "override_expired"


class Entry(Struct, frozen=True, omit_defaults=True):
    """One entry; ``at`` is Unix time, ``evidence`` what the judge knew, times as ages, all in seconds."""

    id: int
    at: float
    kind: EntryKind
    peer: str | None = None
    before: State | None = None
    after: State | None = None
    reason: Reason | None = None
    before_for: float | None = None
    """For how many seconds the state before had stood."""
    override: Override | None = None
    evidence: dict[str, bool | int | float] = {}


class Journal:
    """The latest entries, at most ``limit``, numbered without a gap from one restart to the next."""

    def __init__(self, limit: int) -> None:
        self._entries: deque[Entry] = deque(maxlen=limit)
        self._next = 1

    def restore(self, entries: Iterable[Entry]) -> None:
        """Begin with what was stored, oldest first; of what comes late only the numbers are gone on from."""
        late = bool(self._entries)
        for entry in entries:
            if not late:
                self._entries.append(entry)
            self._next = max(self._next, entry.id + 1)

    def add(self, entry: Entry) -> Entry:
        """Add an entry under the next number, whatever its own is, and give it as it stands."""
        entry = msgspec.structs.replace(entry, id=self._next)
        self._next += 1
        self._entries.append(entry)
        return entry

    def after(self, last_id: int, limit: int, peer: str | None = None) -> list[Entry]:
        """The latest ``limit`` entries that came after the one numbered ``last_id``, oldest first."""
        found: list[Entry] = []
        for entry in reversed(self._entries):
            if entry.id <= last_id or len(found) == limit:
                break
            if peer is None or entry.peer == peer:
                found.append(entry)
        found.reverse()
        return found


def evidence_ages(evidence: MemberEvidence, now: float) -> dict[str, bool | int | float]:
    """Give evidence with its times as ages at ``now``, without what never happened."""
    facts: dict[str, bool | int | float] = {}
    for name in evidence.__struct_fields__:
        value = getattr(evidence, name)
        if not name.endswith(("_at", "_since", "_until")):
            facts[name] = value
        elif value != NEVER:
            facts[name] = round(now - value, 6)
    return facts
