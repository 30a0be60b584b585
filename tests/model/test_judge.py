"""The judge by tables of evidence and verdicts; H is one second."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from raft_exporter.model.judge import NEVER, MemberEvidence, Reason, State, Verdict, judge
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


@pytest.mark.parametrize(
    ("evidence", "expected"),
    [
        pytest.param(MemberEvidence(armed_at=NOW), (State.UNKNOWN, Reason.NO_EVIDENCE), id="just known"),
        pytest.param(
            MemberEvidence(armed_at=START), (State.UNKNOWN, Reason.NO_EVIDENCE), id="nobody speaks of it"
        ),
        pytest.param(
            MemberEvidence(armed_at=START, main_loop_at=NOW - 1.99),
            (State.ONLINE, Reason.FRESH),
            id="main loop answered lately",
        ),
        pytest.param(
            MemberEvidence(armed_at=START, heartbeat_at=NOW - 1.99),
            (State.ONLINE, Reason.FRESH),
            id="heartbeat answered lately",
        ),
        pytest.param(
            MemberEvidence(armed_at=START, status_at=NOW - 1.99),
            (State.ONLINE, Reason.FRESH),
            id="the own node spoke lately",
        ),
        pytest.param(
            MemberEvidence(armed_at=START, heartbeat_at=NOW - 2.0),
            (State.SUSPECT, Reason.SILENT),
            id="heartbeats silent for 2 H",
        ),
        pytest.param(
            MemberEvidence(armed_at=START, main_loop_at=NOW - 2.0, unanswered=1),
            (State.SUSPECT, Reason.SILENT),
            id="probe unanswered, host not heard",
        ),
        pytest.param(
            MemberEvidence(armed_at=START, main_loop_at=NOW - 50.0),
            (State.UNKNOWN, Reason.NO_EVIDENCE),
            id="probes fail by our own fault alone",
        ),
        pytest.param(
            MemberEvidence(armed_at=START, main_loop_at=NOW - 2.0, bad_answers=1),
            (State.SUSPECT, Reason.BAD_ANSWER),
            id="somebody else answers there",
        ),
        pytest.param(
            MemberEvidence(armed_at=START, heartbeat_at=NOW - 0.1, bad_answers=9),
            (State.ONLINE, Reason.FRESH),
            id="bad answers, heartbeats pass",
        ),
        pytest.param(
            MemberEvidence(armed_at=NOW - 1.0, unanswered=9, host_at=NOW),
            (State.UNKNOWN, Reason.NO_EVIDENCE),
            id="silent, but known for less than 2 H",
        ),
        pytest.param(
            MemberEvidence(armed_at=START, grace_until=NOW + 1, refusals=9, last_refusal_at=NOW),
            (State.UNKNOWN, Reason.JOINED),
            id="joined, in its grace",
        ),
        pytest.param(
            MemberEvidence(armed_at=START, grace_until=NOW + 1, main_loop_at=NOW),
            (State.ONLINE, Reason.FRESH),
            id="joined and heard",
        ),
    ],
)
def test_fresh_silent_and_unknown(evidence: MemberEvidence, expected: tuple[State, Reason]) -> None:
    assert judged(evidence) == expected


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        pytest.param({}, (State.OFFLINE, Reason.REFUSED), id="twice over half an H"),
        pytest.param({"refusals": 1}, (State.SUSPECT, Reason.REFUSED), id="once"),
        pytest.param(
            {"first_refusal_at": NOW - 0.49}, (State.SUSPECT, Reason.REFUSED), id="too close together"
        ),
        pytest.param(
            {"path_proven": False, "heartbeat_at": NOW - 1.0},
            (State.ONLINE, Reason.FRESH),
            id="the probe never reached it and heartbeats pass",
        ),
        pytest.param(
            {"path_proven": False, "heartbeat_at": NOW - 2.0},
            (State.OFFLINE, Reason.REFUSED),
            id="the probe never reached it and heartbeats are stale",
        ),
        pytest.param(
            {"path_proven": False},
            (State.OFFLINE, Reason.REFUSED),
            id="the probe never reached it, none heard",
        ),
    ],
)
def test_refusals(change: dict[str, object], expected: tuple[State, Reason]) -> None:
    assert judged(replace(REFUSED_TWICE, **change)) == expected


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        pytest.param({}, (State.STALLED, Reason.PROCESS_SILENT), id="host acknowledges, process silent"),
        pytest.param(
            {"heartbeat_at": NOW - 0.1}, (State.STALLED, Reason.MAIN_LOOP_SILENT), id="heartbeats pass"
        ),
        pytest.param(
            {"status_at": NOW - 0.1}, (State.STALLED, Reason.MAIN_LOOP_SILENT), id="own node speaks"
        ),
        pytest.param(
            {"status_at": NOW - 0.1, "installing_snapshot": True},
            (State.ONLINE, Reason.INSTALLING_SNAPSHOT),
            id="busy with a snapshot",
        ),
        pytest.param(
            {"installing_snapshot": True},
            (State.STALLED, Reason.PROCESS_SILENT),
            id="a snapshot does not explain a silent process",
        ),
        pytest.param(
            {"asked_at": NOW - 0.05},
            (State.SUSPECT, Reason.SILENT),
            id="the host has not acknowledged the probe that is outstanding",
        ),
        pytest.param(
            {"heartbeat_at": NOW - 1.7},
            (State.STALLED, Reason.PROCESS_SILENT),
            id="the last heartbeat is from before the unanswered probe",
        ),
        pytest.param({"host_at": NOW - 2.5}, (State.SUSPECT, Reason.SILENT), id="host silent too"),
        pytest.param({"unanswered": 2}, (State.SUSPECT, Reason.SILENT), id="only two probes failed"),
        pytest.param({"main_loop_at": NOW - 10.0}, (State.OFFLINE, Reason.PROCESS_SILENT), id="for 10 H"),
        pytest.param(
            {"main_loop_at": NOW - 9.99}, (State.STALLED, Reason.PROCESS_SILENT), id="for less than 10 H"
        ),
        pytest.param(
            {"main_loop_at": NOW - 99.0, "heartbeat_at": NOW - 0.1},
            (State.STALLED, Reason.MAIN_LOOP_SILENT),
            id="a process that is heard is not gone, however long its main loop is stuck",
        ),
        pytest.param({"main_loop_at": NEVER}, (State.OFFLINE, Reason.PROCESS_SILENT), id="never answered"),
    ],
)
def test_host_answers_and_process_does_not(change: dict[str, object], expected: tuple[State, Reason]) -> None:
    assert judged(replace(SILENT_MAIN_LOOP, **change)) == expected


@pytest.mark.parametrize(
    ("evidence", "expected"),
    [
        pytest.param(BACK, (State.ONLINE, Reason.FRESH), id="four successes over 3 H"),
        pytest.param(replace(BACK, run_count=3), (State.OFFLINE, Reason.RECOVERING), id="three successes"),
        pytest.param(
            replace(BACK, run_first_at=NOW - 2.99),
            (State.OFFLINE, Reason.RECOVERING),
            id="over less than 3 H",
        ),
        pytest.param(replace(REFUSED_TWICE, refusals=1), (State.OFFLINE, Reason.REFUSED), id="refused again"),
        pytest.param(SILENT_MAIN_LOOP, (State.OFFLINE, Reason.PROCESS_SILENT), id="host back, process not"),
        pytest.param(
            replace(SILENT_MAIN_LOOP, heartbeat_at=NOW),
            (State.OFFLINE, Reason.RECOVERING),
            id="process back, not long enough, main loop not",
        ),
        pytest.param(
            replace(SILENT_MAIN_LOOP, heartbeat_at=NOW, run_count=4, run_first_at=NOW - 3, run_last_at=NOW),
            (State.STALLED, Reason.MAIN_LOOP_SILENT),
            id="process back, main loop not",
        ),
        pytest.param(
            replace(SILENT_MAIN_LOOP, status_at=NOW, installing_snapshot=True),
            (State.OFFLINE, Reason.RECOVERING),
            id="back with a snapshot, not long enough",
        ),
        pytest.param(
            replace(
                SILENT_MAIN_LOOP,
                status_at=NOW,
                installing_snapshot=True,
                run_count=4,
                run_first_at=NOW - 3,
                run_last_at=NOW,
            ),
            (State.ONLINE, Reason.INSTALLING_SNAPSHOT),
            id="back with a snapshot",
        ),
        pytest.param(
            MemberEvidence(armed_at=START, main_loop_at=NOW - 5, unanswered=4),
            (State.OFFLINE, Reason.REFUSED),
            id="silence keeps what was said",
        ),
    ],
)
def test_coming_back_from_offline(evidence: MemberEvidence, expected: tuple[State, Reason]) -> None:
    assert judged(evidence, verdict(State.OFFLINE, Reason.REFUSED)) == expected


def test_since_is_when_the_state_began_and_not_the_reason() -> None:
    stalled = verdict(State.STALLED, Reason.PROCESS_SILENT)
    same = judge(replace(SILENT_MAIN_LOOP, heartbeat_at=NOW), POLICY, stalled, NOW)
    other = judge(BACK, POLICY, stalled, NOW)
    assert same == Verdict(state=State.STALLED, reason=Reason.MAIN_LOOP_SILENT, since=START)
    assert other == Verdict(state=State.ONLINE, reason=Reason.FRESH, since=NOW)


def times() -> st.SearchStrategy[float]:
    return st.one_of(st.just(NEVER), st.floats(NOW - 30, NOW))


def counts() -> st.SearchStrategy[int]:
    return st.integers(0, 5)


EVIDENCE = st.builds(
    MemberEvidence,
    armed_at=st.floats(NOW - 30, NOW),
    grace_until=times(),
    heartbeat_at=times(),
    status_at=times(),
    main_loop_at=times(),
    host_at=times(),
    asked_at=times(),
    unanswered=counts(),
    bad_answers=counts(),
    refusals=counts(),
    first_refusal_at=times(),
    last_refusal_at=times(),
    path_proven=st.booleans(),
    installing_snapshot=st.booleans(),
    run_count=counts(),
    run_first_at=times(),
    run_last_at=times(),
)
PREVIOUS = st.builds(
    Verdict, state=st.sampled_from(State), reason=st.sampled_from(Reason), since=st.floats(0, NOW - 30)
)


@given(EVIDENCE, PREVIOUS)
def test_same_input_same_verdict(evidence: MemberEvidence, previous: Verdict) -> None:
    first = judge(evidence, POLICY, previous, NOW)
    assert judge(evidence, POLICY, previous, NOW) == first


@given(EVIDENCE, PREVIOUS)
def test_online_needs_a_fresh_success(evidence: MemberEvidence, previous: Verdict) -> None:
    result = judge(evidence, POLICY, previous, NOW)
    newest = max(evidence.heartbeat_at, evidence.status_at, evidence.main_loop_at)
    assert result.state is not State.ONLINE or NOW - newest < 2 * H


@given(EVIDENCE, PREVIOUS)
def test_offline_needs_refusals_a_silent_process_or_an_earlier_offline(
    evidence: MemberEvidence, previous: Verdict
) -> None:
    result = judge(evidence, POLICY, previous, NOW)
    if result.state is State.OFFLINE and previous.state is not State.OFFLINE:
        span = evidence.last_refusal_at - evidence.first_refusal_at
        refused = evidence.refusals >= 2 and span >= 0.5 * H
        frozen = evidence.unanswered >= 3 and NOW - evidence.host_at < 2.5 * H
        assert refused or frozen


@given(EVIDENCE, PREVIOUS, st.floats(0, 60), st.floats(0, 60))
def test_silence_never_makes_a_member_better(
    evidence: MemberEvidence, previous: Verdict, sooner: float, later: float
) -> None:
    """With nothing new, time moves a verdict only away from online (and out of a join's grace)."""
    sooner, later = sorted((sooner, later))
    before = judge(evidence, POLICY, previous, NOW + sooner)
    after = judge(evidence, POLICY, before, NOW + later)
    if after.state is State.ONLINE:
        assert before.state is State.ONLINE


@given(EVIDENCE, PREVIOUS, st.sampled_from([0.01, 0.3, 5.0]))
def test_verdicts_scale_with_the_heartbeat_timeout(
    evidence: MemberEvidence, previous: Verdict, factor: float
) -> None:
    """Ages of the same number of H give the same verdict, but for the keepalive's floor of 2.5 s."""

    def scaled(at: float) -> float:
        return NOW - (NOW - at) * factor

    times_of = [name for name in MemberEvidence.__struct_fields__ if name.endswith(("_at", "_until"))]
    other = replace(evidence, **{name: scaled(getattr(evidence, name)) for name in times_of})
    one, many = Policy.of(H), Policy.of(H * factor)
    one = replace(one, host_fresh=2 * H)
    many = replace(many, host_fresh=2 * H * factor)
    edges = (0.5, 2, 3, 10)
    ages = [NOW - getattr(evidence, name) for name in times_of]
    ages += [
        evidence.last_refusal_at - evidence.first_refusal_at,
        evidence.run_last_at - evidence.run_first_at,
    ]
    if any(abs(age - edge) < 1e-6 for age in ages for edge in edges):
        return  # rounding decides at the very edge
    first, second = judge(evidence, one, previous, NOW), judge(other, many, previous, NOW)
    assert (first.state, first.reason) == (second.state, second.reason)
