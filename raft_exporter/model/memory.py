"""What is kept of the table across a restart: seeds for the judge, never proof."""

from __future__ import annotations

from typing import Final

from msgspec import Struct

from raft_exporter.model.evidence import Server
from raft_exporter.model.judge import Reason, State, Verdict

MAX_AGE: Final = 3600.0
"""Seconds after which what was remembered is not used any more."""


class RememberedMember(Struct, frozen=True):
    """One member as it was judged; times are ages in seconds at the moment of remembering."""

    server: Server
    state: State
    reason: Reason
    state_for: float
    contact_age: float | None = None
    down: bool = False
    penalty: float = 0.0
    flapping: bool = False


class Memory(Struct, frozen=True):
    """The table of the sidecar beside ``node`` (None: it never learned its id)."""

    node: str | None
    members: tuple[RememberedMember, ...]

    def without(self, peer: str) -> Memory:
        """Give it without a member that left: whoever comes back later under its id starts anew."""
        return Memory(node=self.node, members=tuple(each for each in self.members if each.server.id != peer))


def restored_verdict(member: RememberedMember, age: float, now: float) -> Verdict:
    """Give what a remembered verdict is worth ``age`` seconds later.

    Offline stays until something contradicts it. Anything else is unknown until the first success, but
    the flap penalty stays: a restart of the sidecar makes no member steadier.
    """
    offline = member.state is State.OFFLINE
    return Verdict(
        state=State.OFFLINE if offline else State.UNKNOWN,
        reason=Reason.RESTORED,
        since=now - age - member.state_for if offline else now,
        down=offline or member.down,
        penalty=member.penalty,
        penalty_at=now - age,
        flapping=member.flapping,
        restored=offline,
    )
