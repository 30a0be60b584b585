"""What is known about one member: evidence folded, counted, and handed to the judge."""

from __future__ import annotations

from collections import Counter
from typing import Final

from msgspec import Struct

from raft_exporter.model.evidence import (
    HeartbeatsAnswered,
    Outcome,
    ProbeKind,
    ProbeResult,
    ReportedMember,
    Server,
)
from raft_exporter.model.histogram import Histogram
from raft_exporter.model.judge import NEVER, MemberEvidence, Reason, State, Verdict, judge
from raft_exporter.model.policy import Policy


class Channel(Struct, frozen=True):
    """How the node's heartbeats come to us.

    ``speaks``: they would be seen at present, so that their silence means something. ``lag`` is for how
    many seconds nothing came by the way that they come: so much of their silence proves nothing.
    """

    speaks: bool = True
    lag: float = 0.0


class Context(Struct, frozen=True):
    """What of a member's evidence is not its own: what the node says, the others report, and we reach.

    Fields but ``channel`` are those of :class:`~raft_exporter.model.judge.MemberEvidence`.
    """

    channel: Channel = Channel()
    installing_snapshot: bool = False
    isolated: bool = False
    witness_at: float = NEVER
    witness_main_loop_at: float = NEVER
    silent_reporters: int = 0
    reporters_needed: int = 1
    gone_at: float = NEVER


ALONE: Final = Context()
"""Nobody else says anything."""


class ProbeRecord:
    """How the probes of one kind went, counted since this sidecar started."""

    __slots__ = ("durations", "failures", "total")

    def __init__(self) -> None:
        self.total = 0
        self.failures: Counter[Outcome] = Counter()
        self.durations = Histogram()


class Member:
    """One member of the cluster. All times are of the observed clock, in seconds.

    Invariant: counters only grow; evidence may be dropped, and then the silence clocks are armed anew.
    """

    def __init__(self, server: Server, now: float, grace: float = 0.0) -> None:
        self.server = server
        self.known_at = now
        self.grace_until = now + grace if grace else NEVER
        self.heartbeats = Histogram()
        self.heartbeats_total = 0
        self.heartbeat_failures_total = 0
        self.probes: dict[ProbeKind, ProbeRecord] = {kind: ProbeRecord() for kind in ProbeKind}
        self.transitions: Counter[State] = Counter()
        self.verdict = Verdict(state=State.UNKNOWN, reason=Reason.NO_EVIDENCE, since=now)
        self.contact_at = NEVER
        self.restored_contact_at = NEVER
        """The last contact before this sidecar restarted: for show, never for judging."""
        self.reset(now)

    def reset(self, now: float) -> None:
        """Forget all evidence, as after a change of address; counters, contact and verdict stay.

        But a verdict from before a restart was of the old address.
        """
        if self.verdict.restored:
            self.verdict = self.verdict.withdrawn(now)
        self.term: int | None = None
        self.last_log_index: int | None = None
        self._armed_at = now
        self._heartbeat_at = NEVER
        self._status_at = NEVER
        self._process_at = NEVER
        self._main_loop_at = NEVER
        self._host_at = NEVER
        self._sidecar_host_at = NEVER
        self._connected = False
        self._sidecar_at = NEVER
        self._asked_at = NEVER
        self._asks_main_loop = True
        self._unanswered = 0
        self._failures = 0
        self._bad_answers = 0
        self._path_proven = False
        self._run_count = 0
        self._run_first_at = NEVER
        self._run_last_at = NEVER
        self._witness_at = NEVER
        self._witness_since = NEVER
        self._witness_main_loop_at = NEVER
        self._forget_refusals()

    def restore(self, verdict: Verdict, contact_age: float | None, age: float, now: float) -> None:
        """Take what was remembered ``age`` seconds ago, unless this member was heard since the start."""
        if self.contact_at > NEVER:
            return
        self.verdict = verdict
        if contact_age is not None:
            self.restored_contact_at = now - age - contact_age

    def rearm(self, now: float) -> None:
        """Start the silence clocks anew: what was not heard until now was this node's own fault."""
        self._armed_at = now
        self._unanswered = self._failures = 0

    def drop_heartbeats(self) -> None:
        """Forget what one leadership said: its evidence ends with it."""
        self._heartbeat_at = NEVER

    def drop_status(self) -> None:
        """Forget the node's word about itself: the source is gone, and its silence proves nothing."""
        self._status_at = NEVER

    def heartbeats_answered(self, evidence: HeartbeatsAnswered, now: float, policy: Policy) -> None:
        """Take heartbeats of a leadership that still stands as evidence; counting is apart."""
        self._heartbeat_at = max(self._heartbeat_at, now - evidence.age)
        self._heard(self._heartbeat_at, evidence.count, policy)

    def count_heartbeats(self, evidence: HeartbeatsAnswered) -> None:
        """Count answered heartbeats, whatever they are worth as evidence by now."""
        self.heartbeats_total += evidence.count
        self.heartbeats.merge(evidence.buckets, evidence.total)

    def contacted(self, at: float, policy: Policy) -> None:
        """Take the word of this member, as leader, to the own node; the same word twice is one."""
        if at > self._heartbeat_at:
            self._heartbeat_at = at
            self._heard(at, 1, policy)

    def status_given(self, at: float, policy: Policy) -> None:
        """Take the own node's word about itself."""
        self._status_at = at
        self._heard(at, 1, policy)

    def probed(self, result: ProbeResult, now: float, policy: Policy) -> None:
        """Take the outcome of one probe."""
        at = now - result.age
        record = self.probes[result.kind]
        record.total += 1
        if result.round_trip is not None:
            record.durations.observe(result.round_trip)
        if result.host_age is not None:
            self._host_answered(result.kind, at - result.host_age)
        if result.outcome is not Outcome.OK:
            record.failures[result.outcome] += 1
        if result.kind is ProbeKind.SIDECAR:
            self._sidecar_at = at if result.outcome is Outcome.OK else self._sidecar_at
        elif result.outcome is Outcome.OK:
            self._answered(result, at, policy)
        else:
            self._failures += 1
            self._not_answered(result, at)

    def judge(self, policy: Policy, now: float, context: Context) -> Verdict:
        """Judge this member now, and remember the verdict."""
        if context.witness_at > self._witness_at:
            if context.witness_at - self._witness_at >= policy.suspect_after:
                self._witness_since = context.witness_at
            self._witness_at = context.witness_at
        self._witness_main_loop_at = max(self._witness_main_loop_at, context.witness_main_loop_at)
        verdict = judge(self.evidence(context), policy, self.verdict, now)
        if verdict.state is not self.verdict.state:
            self.transitions[verdict.state] += 1
        self.verdict = verdict
        return verdict

    def evidence(self, context: Context = ALONE) -> MemberEvidence:
        """Give all that is known to the judge, as one frozen value."""
        return MemberEvidence(
            armed_at=self._armed_at,
            grace_until=self.grace_until,
            heartbeat_at=self._heartbeat_by(context.channel),
            status_at=self._status_at,
            process_at=self._process_at,
            main_loop_at=self._main_loop_at,
            contact_at=self.contact_at,
            host_at=self._host_at if self._connected else max(self._host_at, self._sidecar_host_at),
            asked_at=self._asked_at,
            connected=self._connected,
            asks_main_loop=self._asks_main_loop,
            unanswered=self._unanswered,
            bad_answers=self._bad_answers,
            refusals=self._refusals,
            first_refusal_at=self._first_refusal_at,
            last_refusal_at=self._last_refusal_at,
            path_proven=self._path_proven,
            installing_snapshot=context.installing_snapshot,
            run_count=self._run_count,
            run_first_at=self._run_first_at,
            run_last_at=self._run_last_at,
            isolated=context.isolated,
            witness_at=self._witness_at,
            witness_since=self._witness_since,
            witness_main_loop_at=self._witness_main_loop_at,
            silent_reporters=context.silent_reporters,
            reporters_needed=context.reporters_needed,
            gone_at=context.gone_at,
        )

    def reported(self, policy: Policy, now: float, channel: Channel) -> ReportedMember | None:
        """Give the direct evidence for the other sidecars, as ages.

        None where there is none: what nobody asked, or could not for a fault of our own, confirms no silence.
        Refusals by a probe that may go astray are not told, as the judge does not believe them either.
        """
        heartbeat_at = self._heartbeat_by(channel)
        heard_at = max(heartbeat_at, self._status_at, self._process_at)
        success_at = max(heard_at, self._main_loop_at)
        asked = self._unanswered or self._bad_answers or self._refusals or heartbeat_at > NEVER
        if not asked and now - success_at >= policy.suspect_after:
            return None
        believed = self._path_proven or now - heard_at >= policy.suspect_after
        return ReportedMember(
            peer=self.server.id,
            silence=self.silence(now),
            heartbeat=_age(heard_at, now),
            raft=_age(self._main_loop_at, now),
            refusals=self._refusals if believed else 0,
            refused_for=self._last_refusal_at - self._first_refusal_at if self._refusals else 0.0,
        )

    def missing(self, policy: Policy, now: float, channel: Channel) -> bool:
        """Whether nothing came from this member or its host for ``suspect_after`` though it should have."""
        heartbeat_at = self._heartbeat_by(channel)
        asked = self._failures > 0 or heartbeat_at > NEVER
        silent = min(self.silence(now), now - heartbeat_at) >= policy.suspect_after
        return asked and silent and now - max(self._host_at, self._sidecar_host_at) >= policy.host_fresh

    def contact_age(self, now: float) -> float | None:
        """Seconds since the last direct success, one before a restart of this sidecar too; None: never."""
        return _age(max(self.contact_at, self.restored_contact_at), now)

    def sidecar_silence(self, now: float) -> float | None:
        """Seconds since its sidecar last gave its report; None: it never did."""
        return _age(self._sidecar_at, now)

    def report_silence(self, now: float) -> float | None:
        """Seconds since any credible reporter last had a success; None: none ever told of one."""
        return _age(self._witness_at, now)

    @property
    def answered(self) -> bool:
        """Whether it ever answered a native probe at its present address."""
        return self._main_loop_at > NEVER

    def process_silence(self, now: float) -> float | None:
        """Seconds since it last answered a probe of either kind; None: it never did."""
        return _age(max(self._main_loop_at, self._process_at), now)

    def heartbeat_silence(self, now: float) -> float | None:
        """Seconds since the last heartbeat of the present leadership; None: heartbeats do not speak of it."""
        return _age(self._heartbeat_at, now)

    def main_loop_silence(self, now: float) -> float | None:
        """Seconds since the last answered native probe; since it was first asked, if it never answered."""
        if self.answered:
            return _age(self._main_loop_at, now)
        return now - self._armed_at if self.probes[ProbeKind.RAFT].total else None

    def silence(self, now: float) -> float:
        """Seconds since any direct success; since the member is known, if there was none."""
        return max(now - max(self.contact_at, self._armed_at), 0.0)

    def _heartbeat_by(self, channel: Channel) -> float:
        """When the last heartbeat came, or a later one may be on its way since; NEVER: they do not speak."""
        if not channel.speaks or self._heartbeat_at == NEVER:
            return NEVER
        return self._heartbeat_at + channel.lag

    def _host_answered(self, kind: ProbeKind, at: float) -> None:
        # That the host's sidecar answers does not say that an outstanding Raft request has arrived.
        if kind is ProbeKind.SIDECAR:
            self._sidecar_host_at = max(self._sidecar_host_at, at)
        else:
            self._host_at = max(self._host_at, at)

    def _answered(self, result: ProbeResult, at: float, policy: Policy) -> None:
        if result.kind is ProbeKind.RAFT:
            self._main_loop_at = max(self._main_loop_at, at)
        else:
            self._process_at = max(self._process_at, at)
        self._unanswered = 0
        self._failures = 0
        self._bad_answers = 0
        self._path_proven = True
        self._forget_refusals()
        if result.term is not None:
            self.term = result.term
            self.last_log_index = result.last_log_index
        self._succeeded(at, 1, policy)

    def _not_answered(self, result: ProbeResult, at: float) -> None:
        match result.outcome:
            case Outcome.TIMEOUT:
                self._asks_main_loop = result.kind is ProbeKind.RAFT
                self._unanswered += 1
                self._bad_answers = 0
                self._connected = result.waiting is not None
                if result.waiting is not None:
                    self._asked_at = at - result.waiting
                elif self._unanswered == 1:
                    self._asked_at = at  # not even connected: no earlier sign of the host answers this
                if result.host_age is not None:
                    # Connected: the port is open after all. Nor does a busy main loop end a run of
                    # heartbeats; a process that says nothing ends it by its gap.
                    self._forget_refusals()
                    return
            case Outcome.BAD_ANSWER:
                self._bad_answers += 1
                self._unanswered = 0
                self._forget_refusals()
            case Outcome.REFUSED:
                self._unanswered = self._bad_answers = 0
                self._refusals += 1
                if self._refusals == 1:
                    self._first_refusal_at = at
                self._last_refusal_at = at
            case _:
                return
        if self._path_proven:
            self._run_count = 0  # else the probe may go astray, and ends no run of heartbeats

    def _heard(self, at: float, count: int, policy: Policy) -> None:
        # A heartbeat reported late seems younger than it is, by its way here: only one well after the
        # refusal shows that the probe is refused by somebody else than this member.
        if self._refusals and at - self._first_refusal_at > policy.refusal_span / 2:
            self._path_proven = False
            self._forget_refusals()
        self._succeeded(at, count, policy)

    def _succeeded(self, at: float, count: int, policy: Policy) -> None:
        self.contact_at = max(self.contact_at, at)
        if not self._run_count or at - self._run_last_at >= policy.suspect_after:
            self._run_count = 0
            self._run_first_at = self._run_last_at = at
        self._run_count += count
        self._run_last_at = max(at, self._run_last_at)

    def _forget_refusals(self) -> None:
        self._refusals = 0
        self._first_refusal_at = NEVER
        self._last_refusal_at = NEVER


def _age(at: float, now: float) -> float | None:
    return None if at == NEVER else max(now - at, 0.0)
