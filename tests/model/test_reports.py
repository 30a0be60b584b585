"""What the other sidecars say: who is believed, of whom, and what it changes."""

from __future__ import annotations

import math

import pytest

from raft_exporter.model.evidence import (
    Configuration,
    Report,
    ReportedMember,
    Server,
)
from raft_exporter.model.judge import NEVER, Reason, State
from raft_exporter.model.policy import Policy
from raft_exporter.model.reports import Reports
from raft_exporter.model.reports import testimony as put_together
from tests.model.story import (
    N1,
    N2,
    N3,
    N4,
    N5,
    Story,
    dead,
    hears,
    misses,
    probe,
    report,
    row,
    unanswered,
)

POLICY = Policy.of(1.0)
FIVE = (N1, N2, N3, N4, N5)
OTHERS = (probe("n2"), probe("n4"), probe("n5"))


def cut(*others: Report, until: float = 40.0, h: float = 1.0) -> list[tuple[float, State]]:
    """n3 of five answers until 1 H and is silent for me from then on; the others say what they say."""
    story = Story(*FIVE, h=h)
    story.tell(probe("n3"), at=h)
    story.judge()
    return story.live(until, *OTHERS, dead("n3"), *others, every=h / 2)


# what it changes


def test_silent_for_me_alone_is_asymmetric_and_never_offline() -> None:
    assert cut(hears("n2", "n3"), until=90.0) == [(3.0, State.SUSPECT), (6.5, State.ASYMMETRIC)]


@pytest.mark.parametrize(
    ("others", "offline"),
    [
        ((), 16.0),
        ((misses("n2", "n3"),), 10.5),
        ((misses("n2", "n3"), misses("n4", "n3")), 6.5),
        ((misses("n2", "n3"), misses("n4", "n3"), misses("n5", "n3")), 6.5),
    ],
)
def test_silent_for_everybody_is_offline_the_sooner_the_more_confirm_it(
    others: tuple[Report, ...], offline: float
) -> None:
    assert cut(*others) == [(3.0, State.SUSPECT), (offline, State.OFFLINE)]


@pytest.mark.parametrize(
    "unbelieved",
    [
        pytest.param(report("n2", row("n3", raft=0.1), isolated=True), id="an isolated one"),
        pytest.param(hears("n9", "n3"), id="a stranger"),
        pytest.param(hears("n1", "n3"), id="oneself"),
        pytest.param(report("n2", row("n3", raft=0.1), age=2.0), id="two H on its way"),
        pytest.param(report("n2", row("n3", silence=1.9)), id="one that listens for less than two H"),
        pytest.param(report("n2", row("n9", raft=0.1)), id="of somebody else"),
        pytest.param(misses("n3", "n3"), id="its own sidecar, that hears nothing"),
    ],
)
def test_whose_word_changes_nothing(unbelieved: Report) -> None:
    assert cut(unbelieved, until=15.5) == [(3.0, State.SUSPECT)]


def test_a_report_is_believed_for_two_h_and_its_success_counts_on() -> None:
    """A reporter that stops: what it heard is no lie since, and silence for all counts from there."""
    story = Story()
    story.tell(probe("n3"), at=1.0)
    story.live(60.0, probe("n2"), dead("n3"), hears("n2", "n3"))
    assert story.state("n3") is State.ASYMMETRIC
    changes = story.live(90.0, probe("n2"), dead("n3"))
    last = 60.0 - 0.1
    assert [state for _, state in changes] == [State.SUSPECT, State.OFFLINE]
    assert changes[0][0] == 62.0
    assert changes[1][0] == pytest.approx(last + 15.0, abs=0.5)


def test_a_reporter_that_turns_isolated_does_not_make_a_member_offline_at_once() -> None:
    story = Story(*FIVE)
    story.live(60.0, *OTHERS, dead("n3"), hears("n2", "n3"))
    isolated = report("n2", row("n3", raft=0.1), isolated=True)
    assert story.live(70.0, *OTHERS, dead("n3"), isolated) == [(62.0, State.SUSPECT)]


def test_a_stall_told_by_a_reporter_does_not_become_offline_when_it_stops() -> None:
    story = Story(*FIVE)
    heartbeats = report("n2", row("n3", silence=0.1, heartbeat=0.1))
    story.live(60.0, *OTHERS, unanswered("n3"), heartbeats)
    assert (story.state("n3"), story.reason("n3")) == (State.STALLED, Reason.MAIN_LOOP_SILENT)
    assert story.live(69.0, *OTHERS, unanswered("n3")) == []
    assert story.reason("n3") is Reason.PROCESS_SILENT
    assert story.live(71.0, *OTHERS, unanswered("n3")) == [(70.0, State.OFFLINE)]


def test_a_main_loop_that_others_see_stuck_is_stalled_and_never_offline() -> None:
    story = Story(*FIVE)
    story.tell(probe("n3"), at=1.0)
    story.judge()
    leader = report("n2", row("n3", silence=0.1, heartbeat=0.1, raft=50.0))
    assert story.live(90.0, *OTHERS, unanswered("n3"), leader) == [(3.0, State.STALLED)]
    assert story.reason("n3") is Reason.MAIN_LOOP_SILENT


def test_a_main_loop_that_answers_others_is_not_stuck() -> None:
    story = Story(*FIVE)
    story.tell(probe("n3"), at=1.0)
    story.judge()
    changes = story.live(40.0, *OTHERS, unanswered("n3"), hears("n2", "n3"))
    assert changes == [(3.0, State.SUSPECT), (11.0, State.ASYMMETRIC)], "its host acknowledges: for 10 H"


def test_its_own_sidecar_explains_a_silent_main_loop_by_a_snapshot() -> None:
    story = Story(*FIVE)
    story.tell(probe("n3"), at=1.0)
    story.judge()
    own = report("n3", row("n3", silence=0.1, heartbeat=0.1), installing_snapshot=True)
    assert story.live(40.0, *OTHERS, unanswered("n3"), own) == []
    assert story.reason("n3") is Reason.INSTALLING_SNAPSHOT
    other = report("n2", row("n3", silence=0.1, heartbeat=0.1), installing_snapshot=True)
    story.live(50.0, *OTHERS, unanswered("n3"), other)
    assert story.reason("n3") is Reason.MAIN_LOOP_SILENT, "another's snapshot explains nothing"


def test_a_snapshot_does_not_bring_back_who_has_not_risen() -> None:
    story = Story()
    own = report("n3", row("n3", silence=0.1, heartbeat=0.1), installing_snapshot=True)
    story.live(20.0, probe("n2"), dead("n3"))
    story.live(26.0, dead("n2"), dead("n3"))
    assert (story.state("n3"), story.verdict("n3").down) == (State.UNKNOWN, True)
    story.tell(probe("n2"))
    story.judge()
    changes = story.live(40.0, probe("n2"), unanswered("n3"), own)
    assert [state for _, state in changes] == [State.STALLED, State.ONLINE]
    assert changes[1][0] - 26.5 >= 3.0


def test_offline_becomes_asymmetric_only_after_the_others_heard_it_for_a_rise() -> None:
    story = Story(*FIVE)
    story.live(20.0, *OTHERS, dead("n3"))
    assert story.state("n3") is State.OFFLINE
    assert story.live(26.0, *OTHERS, dead("n3"), hears("n2", "n3", age=0.0)) == [(23.5, State.ASYMMETRIC)]
    assert story.verdict("n3").down, "it still has to rise for me"
    assert story.live(40.0, *OTHERS, probe("n3")) == [(29.5, State.ONLINE)]


def test_a_gap_in_what_the_others_hear_starts_the_rise_anew() -> None:
    story = Story(*FIVE)
    story.live(20.0, *OTHERS, dead("n3"))
    for _ in range(4):
        assert story.live(story.now + 2.5, *OTHERS, dead("n3"), hears("n2", "n3")) == []
        assert story.live(story.now + 2.5, *OTHERS, dead("n3"), misses("n2", "n3")) == []
    assert story.state("n3") is State.OFFLINE


# what a members own sidecar says


GONE = report("n3", row("n3", refusals=2, refused_for=0.5))


def test_gone_says_its_own_sidecar_and_one_failure_of_mine() -> None:
    story = Story()
    story.tell(probe("n3"), at=1.0)
    story.judge()
    story.tell(GONE, at=2.0)
    assert story.judge()["n3"] == "online", "no failure of mine"
    story.tell(dead("n3"), at=2.1)
    assert story.judge()["n3"] == "offline"
    assert story.reason("n3") is Reason.PROCESS_GONE


@pytest.mark.parametrize(
    "word",
    [
        pytest.param(report("n3", row("n3", refusals=1)), id="one refusal"),
        pytest.param(report("n3", row("n3", refusals=2, refused_for=0.4)), id="too close together"),
        pytest.param(report("n2", row("n3", refusals=9, refused_for=9.0)), id="another's sidecar"),
        pytest.param(report("n3", row("n3", refusals=2, refused_for=0.5), isolated=True), id="isolated"),
    ],
)
def test_what_does_not_say_that_a_process_is_gone(word: Report) -> None:
    story = Story()
    story.tell(probe("n3"), at=1.0)
    story.judge()
    story.tell(word, dead("n3"), at=2.1)
    assert story.judge()["n3"] == "online"


def test_who_answers_me_after_its_sidecar_called_it_gone_is_not_gone() -> None:
    story = Story()
    story.tell(dead("n3"), GONE, at=1.0)
    story.tell(probe("n3"), at=1.1)
    story.tell(dead("n3"), at=1.6)
    assert story.judge()["n3"] == "online"


def test_a_word_of_a_process_gone_does_not_outlive_a_change_of_address() -> None:
    story = Story()
    story.tell(probe("n3"), at=1.0)
    story.tell(GONE, at=2.0)
    moved = Server(id="n3", address="10.0.0.33:7000")
    story.tell(Configuration(servers=(N1, N2, moved), index=2), at=2.1)
    story.tell(dead("n3"), at=2.6)
    assert story.judge()["n3"] == "unknown"


# who is believed


def test_reports_of_strangers_and_of_oneself_are_rejected_and_counted() -> None:
    story = Story()
    story.tell(hears("n9", "n3"), hears("n1", "n3"), hears("n2", "n3"), at=1.0)
    assert story.table.intake.rejected == {("report", "not_a_member"): 2}
    assert set(story.table.reports.latest()) == {"n2"}


def test_rows_of_strangers_are_passed_over() -> None:
    story = Story()
    story.tell(hears("n2", "n9", "n3"), at=1.0)
    story.judge()
    assert set(story.table.members) == {"n1", "n2", "n3"}
    assert story.table.members["n3"].report_silence(1.0) == pytest.approx(0.1)


def test_the_reports_of_a_member_leave_with_it() -> None:
    story = Story()
    story.tell(hears("n2", "n3"), at=1.0)
    story.tell(Configuration(servers=(N1, N3), index=2))
    assert story.table.reports.latest() == {}
    assert story.judge(at=2.0)["n3"] == "unknown"
    assert story.table.members["n3"].report_silence(2.0) is None


def test_a_report_counts_until_it_is_two_h_old() -> None:
    reports = Reports()
    reports.take(hears("n2", "n3"), POLICY, 10.0)
    assert set(reports.credible(POLICY, 11.99)) == {"n2"}
    assert reports.credible(POLICY, 12.0) == {}
    assert set(reports.latest()) == {"n2"}


def test_only_the_latest_report_of_each_counts() -> None:
    reports = Reports()
    reports.take(hears("n2", "n3"), POLICY, 10.0)
    reports.take(misses("n2", "n3", silence=7.0), POLICY, 10.1)
    told = put_together("n3", reports.credible(POLICY, 10.1), POLICY, 10.1)
    assert (told.witness_at, told.silent_reporters) == (NEVER, 1)


def test_testimony_puts_together_what_all_say() -> None:
    reports = Reports()
    for each in (
        report("n2", row("n3", heartbeat=0.3, raft=0.8), age=0.2),
        misses("n4", "n3"),
        report("n5", row("n2", raft=0.1)),
        report("n3", row("n3", heartbeat=0.1, refusals=2, refused_for=0.5), installing_snapshot=True),
    ):
        reports.take(each, POLICY, 10.0)
    told = put_together("n3", reports.credible(POLICY, 10.0), POLICY, 10.0)
    assert told.witness_at == pytest.approx(9.9)
    assert told.witness_main_loop_at == pytest.approx(9.0)
    assert told.silent_reporters == 1
    assert told.gone_at == 10.0
    assert told.installing_snapshot


@pytest.mark.parametrize("age", [math.nan, math.inf, -math.inf, 1e300, -1e300])
def test_absurd_ages_crash_nothing(age: float) -> None:
    """The door refuses them; should one get through, judging goes on."""
    story = Story()
    absurd = ReportedMember(peer="n3", silence=age, heartbeat=age, raft=age, refusals=9, refused_for=age)
    for reporter in ("n2", "n3"):
        story.tell(Report(reporter=reporter, members=(absurd,)), at=1.0)
        story.tell(Report(reporter=reporter, members=(absurd,), age=age), at=1.0)
    story.live(20.0, probe("n2"), dead("n3"))
    assert isinstance(story.state("n3"), State)


def test_what_is_fresh_to_a_node_that_asks_less_often_is_fresh() -> None:
    """Timeouts differ while a multiplier is rolled out: ten seconds are two H of five seconds."""
    story = Story(*FIVE)
    story.live(3.0, *OTHERS, probe("n3"))
    slow = report("n2", row("n3", raft=9.0, silence=9.0), heartbeat_timeout=5.0)
    story.live(20.0, *OTHERS, dead("n3"), slow, misses("n4", "n3"))
    assert (story.state("n3"), story.reason("n3")) == (State.ASYMMETRIC, Reason.HEARD_BY_OTHERS)
    too_long = report("n2", row("n3", silence=60.0), heartbeat_timeout=5.0)
    story.live(40.0, *OTHERS, dead("n3"), too_long, misses("n4", "n3"))
    assert story.state("n3") is State.OFFLINE
