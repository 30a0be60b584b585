"""What happens, written down: one journal entry and one log line for each thing, then to the store."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any, Final

from raft_exporter.journal import Entry, EntryKind, Journal, evidence_ages
from raft_exporter.logs import event
from raft_exporter.model.override import Override
from raft_exporter.model.transition import Transition

_log = logging.getLogger(__name__)

_WORDS: Final = {
    EntryKind.STARTED: "started",
    EntryKind.STATE: "member state changed",
    EntryKind.JOINED: "member joined",
    EntryKind.LEFT: "member left",
    EntryKind.ISOLATED: "this node is isolated",
    EntryKind.REJOINED: "this node is no longer isolated",
    EntryKind.OVERRIDE_SET: "override set",
    EntryKind.OVERRIDE_CLEARED: "override cleared",
    EntryKind.OVERRIDE_EXPIRED: "override expired",
}


class Chronicle:
    """Adds to the journal; ``keep`` takes each batch of entries to the store, ``wall`` gives Unix time."""

    def __init__(
        self, journal: Journal, wall: Callable[[], float], keep: Callable[[Sequence[Entry]], None]
    ) -> None:
        self.journal = journal
        self._wall = wall
        self._keep = keep

    def happened(self, kind: EntryKind) -> None:
        """Write down what is about this node alone: it started, it is isolated, it no longer is."""
        self._write([self._entry(kind)])

    def moved(self, transitions: Sequence[Transition], now: float) -> None:
        """Write down what the judge found at the observed time ``now``."""
        self._write([self._of(transition, now) for transition in transitions])

    def overridden(self, kind: EntryKind, override: Override) -> None:
        """Write down an operator's word, or its end."""
        self._write([self._entry(kind, peer=override.peer, override=override)])

    def _of(self, transition: Transition, now: float) -> Entry:
        before, after, evidence = transition.before, transition.after, transition.evidence
        if before is None:
            return self._entry(EntryKind.JOINED, peer=transition.peer)
        kind = EntryKind.LEFT if after is None else EntryKind.STATE
        return self._entry(
            kind,
            peer=transition.peer,
            before=before.state,
            before_for=max(now - before.since, 0.0),
            after=after.state if after else None,
            reason=after.reason if after else None,
            evidence=evidence_ages(evidence, now) if evidence else {},
        )

    def _entry(self, kind: EntryKind, **facts: Any) -> Entry:
        return Entry(id=0, at=self._wall(), kind=kind, **facts)

    def _write(self, entries: Sequence[Entry]) -> None:
        added = [self.journal.add(entry) for entry in entries]
        for entry in added:
            event(_log, logging.INFO, _WORDS[entry.kind], exc_info=None, **_facts(entry))
        if added:
            self._keep(added)


def _facts(entry: Entry) -> dict[str, object]:
    facts: dict[str, object] = {
        "peer": entry.peer,
        "before": entry.before,
        "after": entry.after,
        "reason": entry.reason,
    }
    if entry.override is not None:
        facts |= {
            "state": entry.override.state or None,
            "reason": entry.override.reason,
            "author": entry.override.author,
        }
    return {name: fact for name, fact in facts.items() if fact is not None}
