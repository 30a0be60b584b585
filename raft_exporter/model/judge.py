"""The state machine: one pure function judges one member (docs/architecture.md has it as a table).

Same evidence, policy, previous verdict and time: same verdict. It can be replayed.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from msgspec import Struct

from raft_exporter.model.policy import Policy

NEVER: Final = float("-inf")
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
    RESTORED = "restored"
    """It was so before this sidecar restarted, and nothing has been heard since."""
    ISOLATED = "isolated"
    """This node reaches no majority itself: that it hears nothing says nothing about the others."""
    FRESH = "fresh"
    """It answered, or was heard, within ``suspect_after``."""
    INSTALLING_SNAPSHOT = "installing_snapshot"
    """Its main loop is busy with a snapshot: silent, but for a known reason."""
    REFUSED = "refused"
    """Its host refuses connections to the Raft port: nothing listens there."""
    PROCESS_GONE = "process_gone"
    """Its own sidecar finds its Raft port closed, and it fails for this one too."""
    RECOVERING = "recovering"
    """It answers again, but not yet often and long enough to be believed."""
    MAIN_LOOP_SILENT = "main_loop_silent"
    """The process is heard, its main loop does not answer: a stuck disk or FSM."""
    PROCESS_SILENT = "process_silent"
    """Its host acknowledges, the process says nothing: frozen, stopped or starved."""
    BAD_ANSWER = "bad_answer"
    """Something answers at its address, but not this member."""
    HEARD_BY_OTHERS = "heard_by_others"
    """This node hears nothing of it, another sidecar does: the way between the two is broken."""
    SILENT = "silent"
    """It is not heard by a source that should hear it, and no host of it has answered the probe."""
    SILENT_FOR_ALL = "silent_for_all"
    """Nothing was heard of it for so long, by anybody who could tell."""


class MemberEvidence(Struct, frozen=True):
    """What is known about one member; times are of the observed clock in seconds, or :data:`NEVER`."""

    armed_at: float
    """When the silence clocks were last armed: first known, evidence dropped, or isolation left."""
    grace_until: float = NEVER
    """Until when a member that joined late is not judged, unless it was heard."""
    heartbeat_at: float = NEVER
    """The last heartbeat: a follower's answer to our leader, or our leader's word to us."""
    status_at: float = NEVER
    """The last status of the node itself; of the own node only."""
    process_at: float = NEVER
    """The last answered TLS hello: its process runs, which says nothing of its main loop."""
    main_loop_at: float = NEVER
    """The last answered native probe: its main loop turned."""
    contact_at: float = NEVER
    """The last direct success of any kind, also one whose evidence was dropped since."""
    host_at: float = NEVER
    """The last sign of life of the member's host."""
    asked_at: float = NEVER
    """When the probe that is unanswered was sent."""
    connected: bool = False
    """It went out on an open connection."""
    asks_main_loop: bool = True
    """It is the native one, and no TLS hello, which the process answers whatever its main loop does."""
    unanswered: int = 0
    """Probes in a row that timed out."""
    bad_answers: int = 0
    """Probes in a row with an answer that this member can't have given."""
    refusals: int = 0
    """Refused probes with no success since the first of them."""
    first_refusal_at: float = NEVER
    last_refusal_at: float = NEVER
    path_proven: bool = False
    """The probe reached this member before, and no heartbeat has contradicted a refusal since."""
    installing_snapshot: bool = False
    """The member itself says that it is receiving a snapshot."""
    run_count: int = 0
    """Successes in a row with no failure and no gap between them."""
    run_first_at: float = NEVER
    run_last_at: float = NEVER
    isolated: bool = False
    """This node reaches no majority of the voters."""
    witness_at: float = NEVER
    """The last direct success of any reporter that was credible when it told so."""
    witness_since: float = NEVER
    """Since when some credible reporter has heard it without a gap."""
    witness_main_loop_at: float = NEVER
    """The last native probe of it that any such reporter had answered."""
    silent_reporters: int = 0
    """Credible reporters, the member's own sidecar apart, that hear nothing of it either."""
    reporters_needed: int = 1
    """How many of them confirm its silence in full."""
    gone_at: float = NEVER
    """When its own sidecar last found its Raft port closed."""


class Verdict(Struct, frozen=True):
    """What a member is judged to be, why, and since when (observed clock, seconds)."""

    state: State
    reason: Reason
    since: float
    down: bool = False
    """It went offline and has not come back for good since, whatever it is called meanwhile."""
    penalty: float = 0.0
    """The flap penalty as it stood at ``penalty_at``; see :meth:`penalty_now`."""
    penalty_at: float = NEVER
    flapping: bool = False
    restored: bool = False
    """Remembered from before a restart, and neither confirmed nor contradicted yet."""

    def withdrawn(self, now: float) -> Verdict:
        """Give the verdict that claims nothing, from ``now`` on; the flap penalty stays."""
        return Verdict(
            state=State.UNKNOWN,
            reason=Reason.NO_EVIDENCE,
            since=now,
            penalty=self.penalty,
            penalty_at=self.penalty_at,
            flapping=self.flapping,
        )

    def penalty_now(self, policy: Policy, now: float) -> float:
        """Give the flap penalty as it has decayed until ``now``."""
        if not self.penalty:
            return 0.0
        return float(self.penalty * 0.5 ** ((now - self.penalty_at) / policy.penalty_half_life))


def judge(evidence: MemberEvidence, policy: Policy, previous: Verdict, now: float) -> Verdict:
    """Judge one member at the observed time ``now`` (seconds), given the verdict before this one.

    ``previous.since`` is never after ``now``. Two opposite changes, from online to anything worse and
    back, or from offline to anything milder and back, are at least ``policy.dwell`` apart.
    """
    if previous.restored and _contradicted(evidence, policy, now):
        previous = previous.withdrawn(now)
    penalty = previous.penalty_now(policy, now)
    state, reason = _natural(evidence, policy, previous, now, penalty)
    restored = previous.restored and (state, reason) == (previous.state, previous.reason)
    if _dwells(previous, state, policy, now):
        state, reason = previous.state, previous.reason
    falls = state is State.OFFLINE and not previous.down
    penalty += falls
    return Verdict(
        state=state,
        reason=reason,
        since=previous.since if state is previous.state else now,
        down=state is State.OFFLINE or (previous.down and state is not State.ONLINE),
        penalty=penalty if falls else previous.penalty,
        penalty_at=now if falls else previous.penalty_at,
        flapping=penalty > policy.flapping_above or (previous.flapping and penalty >= policy.flapping_below),
        restored=restored,
    )


def _natural(
    e: MemberEvidence, policy: Policy, previous: Verdict, now: float, penalty: float
) -> tuple[State, Reason]:
    heard_at = _heard_at(e)
    success_at = max(heard_at, e.main_loop_at)

    if success_at == NEVER and now < e.grace_until:
        return State.UNKNOWN, Reason.JOINED
    if hard := _hard_evidence(e, policy, previous, now):
        return hard

    host_alone = _host_answers_alone(e, policy, now)
    stuck = host_alone and e.asks_main_loop
    # Heard since the probe was sent: the process runs, and only its main loop does not answer.
    process_heard = heard_at > e.asked_at and now - heard_at < policy.suspect_after
    if process_heard if host_alone else now - success_at < policy.suspect_after:
        if previous.down and not _risen(e, policy, penalty):
            return previous.state, Reason.RECOVERING
        return _stuck(e) if stuck else (State.ONLINE, Reason.FRESH)

    if e.isolated:
        return State.UNKNOWN, Reason.ISOLATED
    if now - e.witness_at < policy.suspect_after:
        span = policy.rise_span_at(penalty)
        return _heard_by_others(e, policy, previous, now, stuck=stuck, rise_span=span)
    if host_alone:
        silent = _silence_for_all(e, now) >= policy.stall_after
        gone = previous.state is State.OFFLINE or silent
        return State.OFFLINE if gone else State.STALLED, Reason.PROCESS_SILENT
    return _silent(e, policy, previous, now)


def _hard_evidence(
    e: MemberEvidence, policy: Policy, previous: Verdict, now: float
) -> tuple[State, Reason] | None:
    """What proves a process gone, even to an isolated node: whoever refuses was reached.

    It goes before a fresh success, for it only stands with no success after it. Where the probe has not
    proven that it reaches this member, a heartbeat, to us or to others, is worth more than a closed port.
    """
    heard_at = _heard_at(e)
    refused = _refused(e, policy, previous, now, heard_at)
    failed = e.refusals or e.unanswered or e.bad_answers
    if failed and e.gone_at > max(heard_at, e.main_loop_at) and refused != (State.OFFLINE, Reason.REFUSED):
        return State.OFFLINE, Reason.PROCESS_GONE
    return refused


def _refused(
    e: MemberEvidence, policy: Policy, previous: Verdict, now: float, heard_at: float
) -> tuple[State, Reason] | None:
    heard_by_any_at = max(heard_at, e.witness_at)
    if not e.refusals or not (e.path_proven or now - heard_by_any_at >= policy.suspect_after):
        return None
    confirmed = (
        e.refusals >= policy.refusals and e.last_refusal_at - e.first_refusal_at >= policy.refusal_span
    )
    stale = now - max(e.last_refusal_at, heard_at, e.main_loop_at) >= policy.suspect_after
    # A port that was closed long ago proves nothing where it was not confirmed, or is heard since.
    if stale and (not confirmed or e.witness_at > e.last_refusal_at):
        return None
    if confirmed:
        return State.OFFLINE, Reason.REFUSED
    return _still_offline(previous) or (State.SUSPECT, Reason.REFUSED)


def _host_answers_alone(e: MemberEvidence, policy: Policy, now: float) -> bool:
    """Whether probes go unanswered although the member's host acknowledged the outstanding one.

    Not where others have theirs answered: then it is our connection that waits for a lost packet.
    """
    return (
        e.unanswered >= policy.probe_failures
        and now - max(e.main_loop_at, e.process_at, e.witness_main_loop_at, e.armed_at)
        >= policy.suspect_after
        and e.host_at >= e.asked_at
        and now - e.host_at < policy.host_fresh
    )


def _stuck(e: MemberEvidence) -> tuple[State, Reason]:
    if e.installing_snapshot:
        return State.ONLINE, Reason.INSTALLING_SNAPSHOT
    return State.STALLED, Reason.MAIN_LOOP_SILENT


def _heard_by_others(
    e: MemberEvidence, policy: Policy, previous: Verdict, now: float, *, stuck: bool, rise_span: float
) -> tuple[State, Reason]:
    """Whom somebody hears is not offline on silence. Two links can be broken: to it, or inside it."""
    offline = _still_offline(previous)
    risen = e.witness_at - e.witness_since >= rise_span
    if offline and not risen:
        return offline  # back for a moment: not often and long enough to be believed
    if stuck:
        # A snapshot explains it, but whoever went offline has to rise first.
        rises = previous.down and e.installing_snapshot and not risen
        return (State.STALLED, Reason.RECOVERING) if rises else _stuck(e)
    state, reason = _doubt(e, policy, now)
    # While its host acknowledges ours, the way is not broken: an answer was lost, and is sent again.
    on_its_way = e.connected and now - e.host_at < policy.host_fresh
    broken_after = policy.stall_after if on_its_way else policy.gone_after
    if state is State.SUSPECT and _silence(e, now) >= broken_after:
        return State.ASYMMETRIC, Reason.HEARD_BY_OTHERS
    return offline or (state, reason)


def _silent(e: MemberEvidence, policy: Policy, previous: Verdict, now: float) -> tuple[State, Reason]:
    """Nobody hears it. The clock runs from whoever heard it last; asking it must have failed too."""
    asked = e.unanswered + e.bad_answers >= policy.probe_failures
    if asked and _silence_for_all(e, now) >= policy.silent_after(e.silent_reporters, e.reporters_needed):
        return State.OFFLINE, Reason.SILENT_FOR_ALL
    return _still_offline(previous) or _doubt(e, policy, now)


def _doubt(e: MemberEvidence, policy: Policy, now: float) -> tuple[State, Reason]:
    """Silence is held against a member only by a source that should have heard it."""
    if _silence(e, now) < policy.suspect_after:
        return State.UNKNOWN, Reason.NO_EVIDENCE
    if e.bad_answers:
        return State.SUSPECT, Reason.BAD_ANSWER
    if e.unanswered or max(e.heartbeat_at, e.status_at) > NEVER:
        return State.SUSPECT, Reason.SILENT
    if e.refusals:
        return State.SUSPECT, Reason.REFUSED
    return State.UNKNOWN, Reason.NO_EVIDENCE


def _heard_at(e: MemberEvidence) -> float:
    """When the process last gave a sign of itself that did not pass through its main loop."""
    return max(e.heartbeat_at, e.status_at, e.process_at)


def _silence(e: MemberEvidence, now: float) -> float:
    return now - max(_heard_at(e), e.main_loop_at, e.contact_at, e.armed_at)


def _silence_for_all(e: MemberEvidence, now: float) -> float:
    return min(_silence(e, now), now - e.witness_at)


def _still_offline(previous: Verdict) -> tuple[State, Reason] | None:
    """Nothing new: who was offline stays so."""
    return (State.OFFLINE, previous.reason) if previous.state is State.OFFLINE else None


def _risen(e: MemberEvidence, policy: Policy, penalty: float) -> bool:
    return e.run_count >= policy.rise and e.run_last_at - e.run_first_at >= policy.rise_span_at(penalty)


def _contradicted(e: MemberEvidence, policy: Policy, now: float) -> bool:
    """Whether anything speaks against a restored verdict: it is a seed, never proof."""
    return now - max(_heard_at(e), e.main_loop_at, e.witness_at) < policy.suspect_after


_RANK: Final = {
    State.ONLINE: 0,
    State.SUSPECT: 1,
    State.ASYMMETRIC: 2,
    State.STALLED: 2,
    State.OFFLINE: 3,
}
"""How bad a state is; unknown claims nothing and may come and go at any time."""


def _dwells(previous: Verdict, state: State, policy: Policy, now: float) -> bool:
    """Whether the state before this one has not stood long enough for a change in the other direction."""
    if State.UNKNOWN in {previous.state, state} or state is previous.state:
        return False
    falls_again = previous.down and state is State.OFFLINE
    turns = falls_again or previous.state is State.ONLINE or _RANK[state] < _RANK[previous.state]
    return turns and now - previous.since < policy.dwell
