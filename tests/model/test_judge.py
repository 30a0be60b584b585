"""The judge by tables of evidence and verdicts; H is one second."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from raft_exporter.model.judge import NEVER, MemberEvidence, Reason, State, Verdict, judge
from tests.model.moment import BACK, NOW, POLICY, REFUSED_TWICE, SILENT_MAIN_LOOP, START, judged, verdict


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
