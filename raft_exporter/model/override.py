"""Operator overrides: what they force, how long they last, and how those of many sidecars become one.

Merging is a last-writer-wins register for each member: commutative, associative and idempotent, so that
every sidecar ends with the same whatever the order in which it hears of them. Clearing is a tombstone,
and one that has expired is its own. Times are Unix times in seconds: they outlive every process, and an
expiry means the same time of day everywhere.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Final

from msgspec import Struct

from raft_exporter.model.judge import State

IGNORE: Final = "ignore"
"""Not a state: the natural one is shown, and no alert is to be raised for the member."""

FORCED: Final = (*(str(state) for state in State), IGNORE)
"""What an override can force."""

MAX_SECONDS: Final = 30 * 86400.0
DEFAULT_SECONDS: Final = 3600.0
MAX_TEXT: Final = 500
"""Characters of a reason or an author."""

_TOMBSTONE_SECONDS: Final = MAX_SECONDS + 86400.0
"""For how long an entry is kept: after that, everything that it overwrote has expired by itself."""


class Override(Struct, frozen=True, order=True):
    """One operator's word about one member.

    ``state`` is one of :data:`FORCED`; empty, it clears what stood before. The order of the fields is
    the order of precedence: later first, then the greater node id, then anything that tells two apart.
    """

    set_at: float
    node: str
    state: str
    expires_at: float
    author: str
    reason: str
    peer: str

    @property
    def cleared(self) -> bool:
        """Whether it is a tombstone."""
        return not self.state

    def stands(self, wall: float) -> bool:
        """Whether it forces anything at the Unix time ``wall``."""
        return bool(self.state) and wall < self.expires_at


class Overrides:
    """The overrides of one cluster, at most one for each member.

    Invariant: for each member the greatest entry ever taken stands here, until it is too old to matter.
    """

    def __init__(self, entries: Iterable[Override] = ()) -> None:
        self._entries: dict[str, Override] = {}
        self.merge(entries)

    def merge(self, entries: Iterable[Override]) -> list[Override]:
        """Take entries of another sidecar, or of the database; give those that were news."""
        news = [each for each in entries if each.peer not in self._entries or each > self._entries[each.peer]]
        latest: dict[str, Override] = {}
        for each in news:
            latest[each.peer] = max(latest.get(each.peer, each), each)
        self._entries |= latest
        return list(latest.values())

    def next_time(self, peer: str, wall: float) -> float:
        """The time for an entry set now: after the present one, even if that came from a clock ahead."""
        present = self._entries.get(peer)
        return wall if present is None else max(wall, present.set_at + 0.001)

    def standing(self, wall: float) -> dict[str, Override]:
        """Those that force something at the Unix time ``wall``, by member."""
        return {peer: each for peer, each in self._entries.items() if each.stands(wall)}

    def entries(self) -> tuple[Override, ...]:
        """All of them, tombstones included, as they are told to the other sidecars."""
        return tuple(self._entries[peer] for peer in sorted(self._entries))

    def drop(self, wall: float, members: Collection[str] | None) -> bool:
        """Forget what is too old to matter, and (unless ``members`` is None) who is no member.

        True when there was anything to forget.
        """
        dropped = [
            peer
            for peer, each in self._entries.items()
            if wall - each.set_at > _TOMBSTONE_SECONDS or (members is not None and peer not in members)
        ]
        for peer in dropped:
            del self._entries[peer]
        return bool(dropped)


def shown_state(natural: State, override: Override | None) -> State:
    """The state that is shown: the forced one, else the natural one."""
    if override is None or override.state == IGNORE:
        return natural
    return State(override.state)
