"""What the node's go-metrics say, as evidence: gathered from packets or scrapes, handed out turn by turn."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Sequence
from enum import Enum
from typing import Final

from raft_exporter.model.evidence import (
    Evidence,
    HeartbeatsAnswered,
    LeaderHeard,
    NodeStatus,
    Role,
    RoleChanged,
    TelemetryHeard,
)
from raft_exporter.model.histogram import Histogram
from raft_exporter.model.intake import Intake
from raft_exporter.model.judge import NEVER

SOURCE: Final = "telemetry"
PEER_REASONS: Final = ("unknown_peer", "ambiguous_peer")
"""Why a heartbeat of a well-formed line is nobody's."""
_ROLE_LASTS: Final = 10.0
"""Seconds for which a role stands on: two of the longest HeartbeatTimeout by default, Consul's."""
_LEADER_RUN: Final = 3
"""Heartbeats of a leader in a row, none of our own between them, that depose the node: a deposed leader
that comes back sends one or two to its successor."""

_MOST_CHANGES: Final = 16
"""States entered within one turn that are told one by one; of more, the last."""


class Form(Enum):
    """How a sink writes a peer's id: which characters become an underscore."""

    EXACT = ""
    STATSD = ": "
    PROMETHEUS = " .=-/"


class _Answers:
    """The heartbeats of one peer since the last turn."""

    __slots__ = ("at", "count", "histogram")

    def __init__(self) -> None:
        self.count = 0
        self.histogram = Histogram()
        self.at = NEVER


class Telemetry:
    """Gathers what telemetry tells of this node, and hands it to ``take`` at each turn.

    ``members`` gives the ids that count as peers, ``speaks`` whether nobody else tells the node's state, so
    that the role which telemetry proves is to be told. ``at`` is when a thing was heard, in seconds of the
    clock that :meth:`turn` is given. Of one scrape, tell heartbeats first, then states, then the leader.
    Invariant: no memory is kept of anybody but a member.
    """

    def __init__(
        self,
        take: Callable[[Evidence], None],
        members: Callable[[], Collection[str]],
        speaks: Callable[[], bool],
        intake: Intake,
    ) -> None:
        self._take = take
        self._members = members
        self._speaks = speaks
        self._intake = intake
        self._known: tuple[str, ...] | None = None
        self._written: dict[Form, dict[str, str | None]] = {form: {} for form in Form}
        self._answers: dict[str, _Answers] = {}
        self._role = Role.UNKNOWN
        self._role_at = NEVER
        self._entered = False
        self._run = 0
        self._changes: deque[tuple[Role, float]] = deque(maxlen=_MOST_CHANGES)
        self._leader_at = NEVER
        self._heard_at = NEVER
        self._leader_told = self._heard_told = NEVER
        for reason in PEER_REASONS:
            intake.rejected.setdefault((SOURCE, reason), 0)

    @property
    def heard_at(self) -> float:
        """When the node's Raft last said anything."""
        return self._heard_at

    def heartbeat(self, peer: str, seconds: float, at: float, *, form: Form = Form.STATSD) -> None:
        """Take one heartbeat that ``peer`` answered after ``seconds``."""
        if answers := self._answered(peer, 1, at, form):
            answers.histogram.observe(seconds)

    def heartbeats(
        self,
        peer: str,
        count: int,
        total: float,
        buckets: Sequence[int],
        at: float,
        *,
        form: Form = Form.STATSD,
    ) -> None:
        """Take ``count`` answered heartbeats, the last at ``at``, ``total`` seconds in all.

        ``buckets`` are as in :data:`~raft_exporter.model.histogram.BOUNDS`, and one above.
        """
        if answers := self._answered(peer, count, at, form):
            answers.histogram.merge(buckets, total)

    def leader_heard(self, at: float) -> None:
        """Take a heartbeat of a leader to this node."""
        self.heard(at)
        self._leader_at = max(self._leader_at, at)
        if self._role is Role.FOLLOWER:
            self._role_at, self._run = at, 0
        elif self._role is Role.LEADER:
            self._run += 1
            if self._run >= _LEADER_RUN:
                self._set_role(Role.FOLLOWER, at, entered=False)
        else:
            self._set_role(Role.FOLLOWER, at, entered=False)

    def state(self, role: Role, at: float) -> None:
        """Take that the node entered ``role``."""
        self.heard(at)
        self._set_role(role, at, entered=True)
        self._changes.append((role, at))

    def heard(self, at: float) -> None:
        """Take any word of the node's Raft; after a long silence its role is not known any more."""
        if at - self._heard_at > _ROLE_LASTS:
            self._set_role(Role.UNKNOWN, at, entered=False)
        self._heard_at = max(self._heard_at, at)

    def turn(self, now: float) -> None:
        """Hand out what was gathered since the last turn: the role first, heartbeats count under it."""
        self._learn_members()
        fresh = self._heard_at > self._heard_told
        if fresh and self._speaks():
            # An election may be over within one turn: the status alone would not tell it.
            for role, at in self._changes:
                self._take(RoleChanged(role, age=max(now - at, 0.0)))
            self._take(self._status(now))
        self._changes.clear()
        answers, self._answers = self._answers, {}
        for peer, each in answers.items():
            self._take(
                HeartbeatsAnswered(
                    peer=peer,
                    count=each.count,
                    total=each.histogram.total,
                    buckets=tuple(each.histogram.buckets),
                    age=max(now - each.at, 0.0),
                )
            )
        if self._leader_at > self._leader_told:
            self._leader_told = self._leader_at
            self._take(LeaderHeard(age=max(now - self._leader_at, 0.0)))
        if fresh:
            self._heard_told = self._heard_at
            self._take(TelemetryHeard(age=max(now - self._heard_at, 0.0)))

    def role(self, now: float) -> Role:
        """Give the node's role as far as it is proved at ``now``."""
        heard = now - self._heard_at <= _ROLE_LASTS
        proved = heard and (self._entered or now - self._role_at <= _ROLE_LASTS)
        return self._role if proved else Role.UNKNOWN

    def _status(self, now: float) -> NodeStatus:
        return NodeStatus(
            role=self.role(now),
            term=None,
            last_log_index=None,
            commit_index=None,
            applied_index=None,
            snapshot_index=None,
            fsm_pending=None,
            protocol_version=None,
            leader_id=None,
            leader_address="",
            last_contact=None,
            age=max(now - self._heard_at, 0.0),
            heartbeats=False,
        )

    def _answered(self, peer: str, count: int, at: float, form: Form) -> _Answers | None:
        """Count heartbeats, and give where their round trips go; None when they are nobody's."""
        self.heard(at)
        member = self._member(peer, form)
        if member is None or count <= 0:
            return None
        answers = self._answers.get(member)
        if answers is None:
            answers = self._answers[member] = _Answers()
        answers.count += count
        answers.at = max(answers.at, at)
        self._lead(count, at)
        return answers

    def _lead(self, count: int, at: float) -> None:
        """Take that peers answered: proof of leadership, but for one each that was still on its way."""
        if self._role is Role.LEADER:
            self._role_at, self._run = at, 0
            return
        self._run += count
        if self._role is Role.UNKNOWN or self._run > len(self._known or ()):
            self._set_role(Role.LEADER, at, entered=False)

    def _set_role(self, role: Role, at: float, *, entered: bool) -> None:
        self._role, self._role_at, self._entered, self._run = role, at, entered, 0

    def _member(self, text: str, form: Form) -> str | None:
        if self._known is None:
            self._learn_members()
        written = self._written[form]
        member = written.get(text)
        if member is None:
            reason = "ambiguous_peer" if text in written else "unknown_peer"
            self._intake.rejected[SOURCE, reason] += 1
        return member

    def _learn_members(self) -> None:
        """Write every member's id as the sinks do; those that are written alike are nobody."""
        members = tuple(self._members())
        if members == self._known:
            return
        self._known = members
        for form, written in self._written.items():
            table = str.maketrans(dict.fromkeys(form.value, "_"))
            written.clear()
            for member in members:
                text = member.translate(table)
                written[text] = None if text in written else member
