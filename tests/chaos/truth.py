"""What is true of each node at a moment, and what a sidecar may say of it."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from msgspec import Struct, field
from msgspec.structs import replace


class Condition(StrEnum):
    """How a node is, in truth."""

    UP = "up"
    """It runs, and the majority reaches it."""
    LOSSY = "up, frames are lost"
    FROZEN = "frozen"
    STALLED = "its store hangs"
    GONE = "gone"
    """Its process, or its host, is not there."""
    CUT_OFF = "cut off"
    """It runs, but the majority does not reach it."""
    RETURNING = "returning"
    """It was gone or cut off, and has not been long enough back."""
    UP_AGAIN = "up again"
    """Another fault has just ended, and a sidecar needs a moment to see it."""


NODES: Final = ("n1", "n2", "n3", "n4", "n5")


class Row(Struct, frozen=True):
    """What was true when a sidecar said something of a member, and whether it might call it offline."""

    label: str
    offline_allowed: bool


class Truth(Struct, frozen=True):
    """All that is true at one moment. Each change is a new truth.

    ``broken`` are the pairs between which a link does not carry; ``minority`` is who is cut off from the
    majority, together.
    """

    conditions: dict[str, Condition] = field(default_factory=lambda: dict.fromkeys(NODES, Condition.UP))
    broken: frozenset[frozenset[str]] = frozenset()
    minority: frozenset[str] = frozenset()

    def having(self, condition: Condition, *nodes: str) -> Truth:
        """Give the truth with these nodes in this condition."""
        return replace(self, conditions=self.conditions | dict.fromkeys(nodes, condition))

    def broken_between(self, one: str, other: str) -> Truth:
        """Give the truth with the link between the two broken, one way or both."""
        return replace(self, broken=self.broken | {frozenset((one, other))})

    def cut_off(self, *nodes: str) -> Truth:
        """Give the truth with these nodes on their own side of a cut."""
        return replace(self.having(Condition.CUT_OFF, *nodes), minority=frozenset(nodes))

    def side(self, reporter: str) -> str:
        """Where a reporter stands: ``cut off``, ``returning``, or in the ``majority``."""
        if reporter in self.minority:
            return "cut off"
        return "returning" if self.conditions[reporter] is Condition.RETURNING else "majority"

    def row(self, reporter: str, member: str) -> Row:
        """What ``reporter`` has to find out about ``member``."""
        condition, side = self.conditions[member], self.side(reporter)
        label = str(condition)
        if frozenset((reporter, member)) in self.broken:
            label = f"{label}, link broken"
        if side != "majority":
            label = f"{label}; by one {side}"
        across = bool(self.minority) and side == "majority" and member in self.minority
        return Row(label=label, offline_allowed=across or condition in {Condition.GONE, Condition.RETURNING})
