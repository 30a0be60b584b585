"""The judge by tables, where others, or this node's own isolation, have a say; H is one second."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from raft_exporter.model.judge import NEVER, MemberEvidence, Reason, State
from tests.model.moment import NOW, REFUSED_TWICE, SILENT_MAIN_LOOP, START, judged, verdict

SILENT = MemberEvidence(armed_at=START, main_loop_at=NOW - 6.0, unanswered=9)
"""Neither the process nor its host answers, for 6 H."""
FROZEN = replace(SILENT_MAIN_LOOP, main_loop_at=NOW - 6.0)
"""The host acknowledges, the process has not answered for 6 H."""


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        pytest.param(
            {}, (State.OFFLINE, Reason.PROCESS_GONE), id="its sidecar says so, a probe of mine failed"
        ),
        pytest.param({"unanswered": 0}, (State.ONLINE, Reason.FRESH), id="no failure of mine"),
        pytest.param(
            {"unanswered": 0, "refusals": 1, "last_refusal_at": NOW, "first_refusal_at": NOW},
            (State.OFFLINE, Reason.PROCESS_GONE),
            id="one refusal is a failure of mine",
        ),
        pytest.param(
            {"unanswered": 0, "bad_answers": 1}, (State.OFFLINE, Reason.PROCESS_GONE), id="a bad answer too"
        ),
        pytest.param({"main_loop_at": NOW - 0.1}, (State.ONLINE, Reason.FRESH), id="answered me since"),
        pytest.param({"heartbeat_at": NOW - 0.1}, (State.ONLINE, Reason.FRESH), id="heard by me since"),
        pytest.param({"isolated": True}, (State.OFFLINE, Reason.PROCESS_GONE), id="even when I am isolated"),
        pytest.param(
            {"witness_at": NOW - 0.1}, (State.OFFLINE, Reason.PROCESS_GONE), id="whoever else has heard it"
        ),
    ],
)
def test_what_a_members_own_sidecar_says_of_its_process(
    change: dict[str, object], expected: tuple[State, Reason]
) -> None:
    gone = MemberEvidence(armed_at=START, main_loop_at=NOW - 1.0, unanswered=1, gone_at=NOW - 0.2)
    assert judged(replace(gone, **change)) == expected


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        pytest.param({}, (State.OFFLINE, Reason.REFUSED), id="confirmed, and nothing heard since"),
        pytest.param({"isolated": True}, (State.OFFLINE, Reason.REFUSED), id="isolated: it was reached"),
        pytest.param(
            {"refusals": 1}, (State.SUSPECT, Reason.SILENT), id="not confirmed: silence counts again"
        ),
        pytest.param(
            {"refusals": 1, "main_loop_at": NOW - 15.0},
            (State.OFFLINE, Reason.SILENT_FOR_ALL),
            id="not confirmed, and silent for 15 H",
        ),
        pytest.param(
            {"refusals": 1, "isolated": True}, (State.UNKNOWN, Reason.ISOLATED), id="not confirmed, isolated"
        ),
        pytest.param(
            {
                "refusals": 1,
                "first_refusal_at": NOW - 2.1,
                "last_refusal_at": NOW - 2.1,
                "heartbeat_at": NOW - 1.9,
            },
            (State.SUSPECT, Reason.REFUSED),
            id="not confirmed, and a heartbeat that was on its way then: no moment of being online",
        ),
        pytest.param(
            {"witness_at": NOW - 0.1, "witness_since": NOW - 3.0},
            (State.ASYMMETRIC, Reason.HEARD_BY_OTHERS),
            id="confirmed, but another hears it since",
        ),
        pytest.param(
            {"last_refusal_at": NOW - 1.9, "witness_at": NOW - 0.1},
            (State.OFFLINE, Reason.REFUSED),
            id="refused lately: proof, whoever hears it",
        ),
        pytest.param(
            {
                "last_refusal_at": NOW,
                "witness_at": NOW - 0.1,
                "witness_since": NOW - 9.0,
                "path_proven": False,
            },
            (State.ASYMMETRIC, Reason.HEARD_BY_OTHERS),
            id="refused at an address where it was never reached, and others hear it",
        ),
        pytest.param(
            {
                "last_refusal_at": NOW,
                "witness_at": NOW - 0.1,
                "path_proven": False,
                "main_loop_at": NOW - 3.0,
                "unanswered": 0,
            },
            (State.SUSPECT, Reason.REFUSED),
            id="the same, not yet for long",
        ),
    ],
)
def test_refusals_that_stopped_coming(change: dict[str, object], expected: tuple[State, Reason]) -> None:
    """A port that was closed, and a host that has been silent since."""
    stopped = replace(
        SILENT, main_loop_at=NOW - 9.0, refusals=2, path_proven=True, first_refusal_at=NOW - 8.5,
        last_refusal_at=NOW - 8.0,
    )  # fmt: skip
    assert judged(replace(stopped, **change), verdict(State.SUSPECT, Reason.REFUSED)) == expected


@pytest.mark.parametrize(
    ("evidence", "previous", "expected"),
    [
        pytest.param(SILENT, State.SUSPECT, (State.UNKNOWN, Reason.ISOLATED), id="silent"),
        pytest.param(
            replace(SILENT, main_loop_at=NOW - 99),
            State.OFFLINE,
            (State.UNKNOWN, Reason.ISOLATED),
            id="offline",
        ),
        pytest.param(
            replace(SILENT, witness_at=NOW),
            State.ASYMMETRIC,
            (State.UNKNOWN, Reason.ISOLATED),
            id="asymmetric",
        ),
        pytest.param(
            replace(FROZEN, main_loop_at=NOW - 99),
            State.STALLED,
            (State.UNKNOWN, Reason.ISOLATED),
            id="its process is silent",
        ),
        pytest.param(
            replace(SILENT, main_loop_at=NOW - 1.9),
            State.ONLINE,
            (State.ONLINE, Reason.FRESH),
            id="still fresh",
        ),
        pytest.param(
            replace(FROZEN, heartbeat_at=NOW),
            State.ONLINE,
            (State.STALLED, Reason.MAIN_LOOP_SILENT),
            id="heard, and its main loop is stuck",
        ),
        pytest.param(REFUSED_TWICE, State.ONLINE, (State.OFFLINE, Reason.REFUSED), id="refused"),
        pytest.param(
            replace(REFUSED_TWICE, refusals=1),
            State.ONLINE,
            (State.SUSPECT, Reason.REFUSED),
            id="refused once",
        ),
    ],
)
def test_an_isolated_node_blames_nobody_for_silence(
    evidence: MemberEvidence, previous: State, expected: tuple[State, Reason]
) -> None:
    assert judged(replace(evidence, isolated=True), verdict(previous)) == expected


@pytest.mark.parametrize(
    ("evidence", "previous", "expected"),
    [
        pytest.param(
            replace(SILENT, main_loop_at=NOW - 5.49),
            State.SUSPECT,
            (State.SUSPECT, Reason.SILENT),
            id="5.49 H",
        ),
        pytest.param(
            replace(SILENT, main_loop_at=NOW - 5.5),
            State.SUSPECT,
            (State.ASYMMETRIC, Reason.HEARD_BY_OTHERS),
            id="5.5 H",
        ),
        pytest.param(
            replace(SILENT, main_loop_at=NOW - 99, silent_reporters=4),
            State.ASYMMETRIC,
            (State.ASYMMETRIC, Reason.HEARD_BY_OTHERS),
            id="for very long, and for most others too",
        ),
        pytest.param(
            replace(SILENT, main_loop_at=NEVER, bad_answers=9, unanswered=0),
            State.SUSPECT,
            (State.ASYMMETRIC, Reason.HEARD_BY_OTHERS),
            id="somebody else answers at the address I have",
        ),
        pytest.param(
            MemberEvidence(armed_at=START),
            State.UNKNOWN,
            (State.UNKNOWN, Reason.NO_EVIDENCE),
            id="I never ask it",
        ),
        pytest.param(
            replace(FROZEN, witness_main_loop_at=NOW - 2.0),
            State.SUSPECT,
            (State.STALLED, Reason.MAIN_LOOP_SILENT),
            id="its host answers me and others hear only its process",
        ),
        pytest.param(
            replace(FROZEN, main_loop_at=NOW - 99, witness_main_loop_at=NOW - 99),
            State.STALLED,
            (State.STALLED, Reason.MAIN_LOOP_SILENT),
            id="for very long: never offline",
        ),
        pytest.param(
            replace(FROZEN, witness_main_loop_at=NOW - 1.9),
            State.SUSPECT,
            (State.ASYMMETRIC, Reason.HEARD_BY_OTHERS),
            id="its host answers me and its main loop others",
        ),
        pytest.param(
            replace(FROZEN, installing_snapshot=True),
            State.STALLED,
            (State.ONLINE, Reason.INSTALLING_SNAPSHOT),
            id="a snapshot explains it",
        ),
        pytest.param(
            SILENT,
            State.OFFLINE,
            (State.ASYMMETRIC, Reason.HEARD_BY_OTHERS),
            id="was offline, heard for a rise",
        ),
        pytest.param(
            replace(SILENT, witness_since=NOW - 4.8),
            State.OFFLINE,
            (State.OFFLINE, Reason.FRESH),
            id="for less",
        ),
        pytest.param(
            replace(
                SILENT,
                main_loop_at=NOW - 1.0,
                armed_at=NOW - 1.0,
                bad_answers=1,
                unanswered=0,
                witness_at=NOW,
            ),
            State.ONLINE,
            (State.ONLINE, Reason.FRESH),
            id="fresh for me",
        ),
    ],
)
def test_whom_a_credible_reporter_hears(
    evidence: MemberEvidence, previous: State, expected: tuple[State, Reason]
) -> None:
    witnessed = {"witness_at": NOW - 1.9, "witness_since": START} if evidence.witness_since == NEVER else {}
    witnessed = witnessed or {"witness_at": NOW - 1.9}
    assert judged(replace(evidence, **witnessed), verdict(previous)) == expected


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        pytest.param({"witness_at": NOW - 1.99}, State.ASYMMETRIC, id="heard by another within 2 H"),
        pytest.param({"witness_at": NOW - 2.0}, State.SUSPECT, id="heard by another 2 H ago"),
        pytest.param({"witness_at": NOW - 14.9}, State.SUSPECT, id="heard by another 14.9 H ago"),
        pytest.param({"witness_at": NOW - 15.0}, State.OFFLINE, id="heard by another 15 H ago"),
        pytest.param({"witness_at": NOW - 5.5, "silent_reporters": 2}, State.OFFLINE, id="two confirm it"),
        pytest.param(
            {"witness_at": NOW - 5.4, "silent_reporters": 2}, State.SUSPECT, id="not for long enough"
        ),
        pytest.param(
            {"silent_reporters": 1, "main_loop_at": NOW - 9.0}, State.SUSPECT, id="one of two, 9.0 H"
        ),
        pytest.param(
            {"silent_reporters": 1, "main_loop_at": NOW - 9.1}, State.OFFLINE, id="one of two, 9.1 H"
        ),
        pytest.param({"unanswered": 2}, State.SUSPECT, id="only two probes of mine failed"),
        pytest.param({"unanswered": 0, "bad_answers": 3}, State.OFFLINE, id="three bad answers"),
        pytest.param({"unanswered": 0}, State.UNKNOWN, id="I did not ask"),
        pytest.param({"unanswered": 0, "heartbeat_at": NOW - 99}, State.SUSPECT, id="heartbeats alone"),
        pytest.param({"armed_at": NOW - 14.9}, State.SUSPECT, id="armed 14.9 H ago"),
        pytest.param({"armed_at": NOW - 15.0}, State.OFFLINE, id="armed 15 H ago"),
    ],
)
def test_silence_counts_from_the_last_success_of_anybody(change: dict[str, object], expected: State) -> None:
    silent = replace(SILENT, main_loop_at=NOW - 99, reporters_needed=2)
    assert judged(replace(silent, **change), verdict(State.SUSPECT, Reason.SILENT))[0] is expected


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        pytest.param({}, State.OFFLINE, id="heard by nobody for 10 H"),
        pytest.param({"witness_at": NOW - 10.0}, State.OFFLINE, id="heard by another 10 H ago"),
        pytest.param({"witness_at": NOW - 9.9}, State.STALLED, id="heard by another 9.9 H ago"),
        pytest.param({"armed_at": NOW - 9.9}, State.STALLED, id="armed 9.9 H ago"),
    ],
)
def test_a_stall_counts_from_the_last_success_of_anybody(change: dict[str, object], expected: State) -> None:
    """A process that another has heard a moment ago has not been gone for 10 H, whatever I heard."""
    stalled = replace(FROZEN, main_loop_at=NOW - 99)
    assert judged(replace(stalled, **change), verdict(State.STALLED)) == (expected, Reason.PROCESS_SILENT)
