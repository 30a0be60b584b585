"""A change of a member, as the table gives it away."""

from __future__ import annotations

from msgspec import Struct

from raft_exporter.model.judge import MemberEvidence, Verdict


class Transition(Struct, frozen=True):
    """A member's state changed, on this evidence. ``before`` None: it joined; ``after`` None: it left."""

    peer: str
    before: Verdict | None
    after: Verdict | None
    evidence: MemberEvidence | None = None
