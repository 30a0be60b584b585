"""One moment, some evidence at it, and what the judge says then; H is one second."""

from __future__ import annotations

from raft_exporter.model.judge import MemberEvidence, Reason, State, Verdict, judge
from raft_exporter.model.policy import Policy

H = 1.0
POLICY = Policy.of(H)
NOW = 100.0
START = 0.0

SILENT_MAIN_LOOP = MemberEvidence(
    armed_at=START, unanswered=3, main_loop_at=NOW - 2.1, asked_at=NOW - 1.6, host_at=NOW - 0.1
)
REFUSED_TWICE = MemberEvidence(
    armed_at=START,
    main_loop_at=NOW - 0.7,
    path_proven=True,
    refusals=2,
    first_refusal_at=NOW - 0.5,
    last_refusal_at=NOW,
)
BACK = MemberEvidence(
    armed_at=START, main_loop_at=NOW, run_count=4, run_first_at=NOW - 3.0, run_last_at=NOW, path_proven=True
)


def verdict(state: State = State.ONLINE, reason: Reason = Reason.FRESH) -> Verdict:
    return Verdict(state=state, reason=reason, since=START, down=state is State.OFFLINE)


def judged(
    evidence: MemberEvidence, previous: Verdict | None = None, now: float = NOW
) -> tuple[State, Reason]:
    result = judge(evidence, POLICY, previous or verdict(), now)
    return result.state, result.reason
