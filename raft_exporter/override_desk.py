"""The operators' overrides as this sidecar keeps them: set here, told by others, expired, journaled."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from raft_exporter.chronicle import Chronicle
from raft_exporter.journal import EntryKind
from raft_exporter.model.override import Override, Overrides
from raft_exporter.model.table import Table


class OverrideDesk:
    """Keeps the overrides of one cluster and says to the table which of them stand.

    ``wall`` gives Unix time. Invariant: ``table.overrides`` are those that stood at the last turn.
    """

    def __init__(self, table: Table, chronicle: Chronicle, wall: Callable[[], float]) -> None:
        self._table = table
        self._chronicle = chronicle
        self._wall = wall
        self._overrides = Overrides()

    def entries(self) -> tuple[Override, ...]:
        """All of them, tombstones included, for the other sidecars and for the store."""
        return self._overrides.entries()

    def restore(self, entries: Iterable[Override]) -> None:
        """Take those that were stored: they are no news."""
        self._overrides.merge(entries)
        self._table.overrides = self._overrides.standing(self._wall())

    def forget(self) -> None:
        """Drop everything: it was of another node's database."""
        self._overrides = Overrides()
        self._table.overrides = {}

    def set(self, peer: str, state: str, seconds: float, author: str, reason: str) -> Override:
        """Force ``state`` (or "ignore") on a member for so many seconds."""
        wall = self._wall()
        return self._put(peer, state, wall + seconds, author, reason)

    def clear(self, peer: str, author: str, reason: str) -> Override | None:
        """End a member's override before its time; None when there is none."""
        if peer not in self._overrides.standing(self._wall()):
            return None
        return self._put(peer, "", self._wall(), author, reason)

    def take(self, entries: Iterable[Override]) -> list[Override]:
        """Take what another sidecar tells, of members alone; give what was news."""
        news = self._overrides.merge(each for each in entries if each.peer in self._table.members)
        before = self._table.overrides
        self._table.overrides = self._overrides.standing(self._wall())
        for each in news:
            if each.peer in self._table.overrides:
                self._chronicle.overridden(EntryKind.OVERRIDE_SET, each)
            elif each.peer in before:
                ended = EntryKind.OVERRIDE_CLEARED if each.cleared else EntryKind.OVERRIDE_EXPIRED
                self._chronicle.overridden(ended, each)
        return news

    def turn(self, *, members_known: bool) -> bool:
        """Let go of what has expired, and of those of members that left once the membership is known.

        True when the store has to let go of something, too: who comes back later starts anew.
        """
        wall = self._wall()
        before = self._table.overrides
        after = self._table.overrides = self._overrides.standing(wall)
        for peer, each in before.items():
            if peer not in after and peer in self._table.members:
                self._chronicle.overridden(EntryKind.OVERRIDE_EXPIRED, each)
        return self._overrides.drop(wall, self._table.members.keys() if members_known else None)

    def _put(self, peer: str, state: str, expires_at: float, author: str, reason: str) -> Override:
        override = Override(
            set_at=self._overrides.next_time(peer, self._wall()),
            node=self._table.node.id or "",
            state=state,
            expires_at=expires_at,
            author=author,
            reason=reason,
            peer=peer,
        )
        self.take([override])
        return override
