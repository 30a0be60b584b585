"""Voters, quorum and tolerance: how near the cluster is to losing its majority."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct


def majority(voters: int) -> int:
    """How many of ``voters`` make a majority."""
    return voters // 2 + 1


class Quorum(Struct, frozen=True):
    """The arithmetic of a majority. Non-voters are in none of these numbers.

    ``failure_tolerance`` is how many more online voters may fail before there is no majority; below
    zero, so many are missing already. A cluster with no voter has no quorum to reach: all are zero.
    """

    voters: int
    quorum: int
    voters_online: int
    failure_tolerance: int

    @classmethod
    def of(cls, voters_online: Iterable[bool]) -> Quorum:
        """Count, given for each voter whether it is online."""
        online = list(voters_online)
        if not online:
            return cls(voters=0, quorum=0, voters_online=0, failure_tolerance=0)
        quorum = majority(len(online))
        return cls(
            voters=len(online),
            quorum=quorum,
            voters_online=sum(online),
            failure_tolerance=sum(online) - quorum,
        )
