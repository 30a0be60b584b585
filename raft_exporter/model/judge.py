"""The state machine: one pure function judges one member (docs/architecture.md has it as a table).

Same evidence, policy, previous verdict and time: same verdict. It can be replayed.
"""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct

from raft_exporter.model.policy import Policy

NEVER = float("-inf")
"""The time of something that has not happened."""


class State(StrEnum):
    """What a member is judged to be."""

    UNKNOWN = "unknown"
    ONLINE = "online"
    SUSPECT = "suspect"
    STALLED = "stalled"
    ASYMMETRIC = "asymmetric"
    OFFLINE = "offline"


class Reason(StrEnum):
    """Why, in a fixed word."""

    NO_EVIDENCE = "no_evidence"
    """Nothing that can speak of this member has spoken yet."""
    JOINED = "joined"
    """It joined a short while ago and may still be starting."""
    FRESH = "fresh"
    """It answered, or was heard, within ``suspect_after``."""
    INSTALLING_SNAPSHOT = "installing_snapshot"
    """Its main loop is busy with a snapshot: silent, but for a known reason."""
    REFUSED = "refused"
    """Its host refuses connections to the Raft port: nothing listens there."""
    RECOVERING = "recovering"
    """It answers again, but not yet often and long enough to be believed."""
    MAIN_LOOP_SILENT = "main_loop_silent"
    """The process is heard, its main loop does not answer: a stuck disk or FSM."""
    PROCESS_SILENT = "process_silent"
    """Its host acknowledges, the process says nothing: frozen, stopped or starved."""
    BAD_ANSWER = "bad_answer"
    """Something answers at its address, but not this member."""
    SILENT = "silent"
    """Neither the process nor its host is heard."""


class MemberEvidence(Struct, frozen=True):
    """What is known about one member; times are of the observed clock in seconds, or :data:`NEVER`."""

    armed_at: float
    """When the silence clocks were last armed: first known, or evidence dropped."""
    grace_until: float = NEVER
    """Until when a member that joined late is not judged, unless it was heard."""
    heartbeat_at: float = NEVER
    """The last heartbeat: a follower's answer to our leader, or our leader's word to us."""
    status_at: float = NEVER
    """The last status of the node itself; of the own node only."""
    main_loop_at: float = NEVER
    """The last answered native probe: its main loop turned."""
    host_at: float = NEVER
    """The last sign of life of the member's host."""
    asked_at: float = NEVER
    """When the native probe that is unanswered was sent."""
    unanswered: int = 0
    """Native probes in a row that timed out."""
    bad_answers: int = 0
    """Native probes in a row with an answer that this member can't have given."""
    refusals: int = 0
    """Refused native probes with no success since the first of them."""
    first_refusal_at: float = NEVER
    last_refusal_at: float = NEVER
    path_proven: bool = False
    """The probe reached this member before, and no heartbeat has contradicted a refusal since."""
    installing_snapshot: bool = False
    run_count: int = 0
    """Successes in a row with no failure and no gap between them."""
    run_first_at: float = NEVER
    run_last_at: float = NEVER


class Verdict(Struct, frozen=True):
    """What a member is judged to be, why, and since when (observed clock, seconds)."""

    state: State
    reason: Reason
    since: float


def judge(evidence: MemberEvidence, policy: Policy, previous: Verdict, now: float) -> Verdict:
    """Judge one member at the observed time ``now`` (seconds), given the verdict before this one."""
    state, reason = _natural(evidence, policy, previous, now)
    since = previous.since if state is previous.state else now
    return Verdict(state=state, reason=reason, since=since)


def _natural(e: MemberEvidence, policy: Policy, previous: Verdict, now: float) -> tuple[State, Reason]:
    heard_at = max(e.heartbeat_at, e.status_at)
    success_at = max(heard_at, e.main_loop_at)
    fresh = now - success_at < policy.suspect_after
    was_offline = previous.state is State.OFFLINE

    if success_at == NEVER and now < e.grace_until:
        return State.UNKNOWN, Reason.JOINED

    # A refusal goes before a fresh success: it only stands with no success after it. Where the probe
    # has not proven that it reaches this member, a heartbeat is worth more than a closed port.
    if e.refusals and (e.path_proven or now - heard_at >= policy.suspect_after):
        span = e.last_refusal_at - e.first_refusal_at
        if e.refusals >= policy.refusals and span >= policy.refusal_span:
            return State.OFFLINE, Reason.REFUSED
        return (State.OFFLINE, previous.reason) if was_offline else (State.SUSPECT, Reason.REFUSED)

    if _host_answers_alone(e, policy, now):
        return _stalled(e, policy, previous, now)

    if fresh:
        if was_offline and not _risen(e, policy):
            return State.OFFLINE, Reason.RECOVERING
        return State.ONLINE, Reason.FRESH

    return (State.OFFLINE, previous.reason) if was_offline else _silent(e, policy, now)


def _host_answers_alone(e: MemberEvidence, policy: Policy, now: float) -> bool:
    """Whether native probes go unanswered although the member's host acknowledged the outstanding one."""
    return (
        e.unanswered >= policy.probe_failures
        and now - max(e.main_loop_at, e.armed_at) >= policy.suspect_after
        and e.host_at >= e.asked_at
        and now - e.host_at < policy.host_fresh
    )


def _stalled(e: MemberEvidence, policy: Policy, previous: Verdict, now: float) -> tuple[State, Reason]:
    """Stuck main loop or silent process, by whether the process was heard since it was asked."""
    heard_at = max(e.heartbeat_at, e.status_at)
    was_offline = previous.state is State.OFFLINE
    # Heard since the probe was sent: the process runs, and only its main loop does not answer.
    if heard_at > e.asked_at and now - heard_at < policy.suspect_after:
        if was_offline and not _risen(e, policy):
            return State.OFFLINE, Reason.RECOVERING
        if e.installing_snapshot:
            return State.ONLINE, Reason.INSTALLING_SNAPSHOT
        return State.STALLED, Reason.MAIN_LOOP_SILENT
    silence = now - max(heard_at, e.main_loop_at, e.armed_at)
    if was_offline or silence >= policy.stall_after:
        return State.OFFLINE, Reason.PROCESS_SILENT
    return State.STALLED, Reason.PROCESS_SILENT


def _silent(e: MemberEvidence, policy: Policy, now: float) -> tuple[State, Reason]:
    """Silence is held against a member only by a source that should have heard it."""
    heard_at = max(e.heartbeat_at, e.status_at)
    if now - max(heard_at, e.main_loop_at, e.armed_at) < policy.suspect_after:
        return State.UNKNOWN, Reason.NO_EVIDENCE
    if e.bad_answers:
        return State.SUSPECT, Reason.BAD_ANSWER
    if e.unanswered or heard_at > NEVER:
        return State.SUSPECT, Reason.SILENT
    return State.UNKNOWN, Reason.NO_EVIDENCE


def _risen(e: MemberEvidence, policy: Policy) -> bool:
    return e.run_count >= policy.rise and e.run_last_at - e.run_first_at >= policy.rise_span
