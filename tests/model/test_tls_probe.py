"""A TLS hello that is turned away proves a process, and nothing of its main loop."""

from __future__ import annotations

import pytest

from raft_exporter.model.evidence import Outcome, ProbeKind, ProbeResult
from raft_exporter.model.judge import Reason, State
from tests.model.story import Story, answered, hears, leading, misses, probe

STEP = 0.5


def greeted(
    peer: str, outcome: Outcome = Outcome.OK, host_age: float | None = 0.0, waiting: float | None = None
) -> ProbeResult:
    took = 0.001 if outcome is Outcome.OK else None
    return ProbeResult(peer, ProbeKind.TLS, outcome, round_trip=took, host_age=host_age, waiting=waiting)


def frozen(peer: str, waiting: float = 0.5) -> ProbeResult:
    """A hello that the host acknowledged, and the process did not answer."""
    return greeted(peer, Outcome.TIMEOUT, waiting=waiting)


def running() -> Story:
    story = Story()
    story.live(3.0, greeted("n2"), greeted("n3"))
    assert story.state("n2") is story.state("n3") is State.ONLINE
    return story


def test_a_process_that_answers_is_online_and_its_main_loop_is_not_known() -> None:
    story = running()
    member = story.table.members["n3"]
    assert story.reason("n3") is Reason.FRESH
    assert member.silence(4.0) == member.process_silence(4.0) == 1.0
    assert (member.answered, member.main_loop_silence(4.0)) == (False, None)
    assert (member.probes[ProbeKind.TLS].total, member.probes[ProbeKind.RAFT].total) == (6, 0)
    assert member.probes[ProbeKind.TLS].durations.total == pytest.approx(0.006)
    assert (member.term, member.evidence().main_loop_at) == (None, float("-inf"))


def test_a_process_that_froze_on_a_living_host_is_stalled_then_offline() -> None:
    story = running()
    changes = []
    for tick in range(1, 40):
        at = 3.0 + tick * STEP
        changes += story.live(at, greeted("n2"), frozen("n3", waiting=tick * STEP))
    assert changes == [(5.0, State.STALLED), (13.0, State.OFFLINE)]
    assert story.reason("n3") is Reason.PROCESS_SILENT


def test_a_hello_that_is_unanswered_says_nothing_of_the_main_loop_of_who_sends_heartbeats() -> None:
    story = Story()
    story.tell(leading(), greeted("n2"), greeted("n3"), at=1.0)
    for tick in range(1, 30):
        at = 1.0 + tick * STEP
        assert story.live(at, leading(), answered("n2"), answered("n3"), frozen("n3", tick * STEP)) in (
            [],
            [(1.5, State.ONLINE)],
        )
    assert (story.state("n3"), story.reason("n3")) == (State.ONLINE, Reason.FRESH)


def test_whom_others_hear_is_not_stalled_by_a_hello_that_is_unanswered() -> None:
    story = running()
    changes = []
    for tick in range(1, 40):
        at = 3.0 + tick * STEP
        told = (greeted("n2"), hears("n2", "n3"), frozen("n3", waiting=tick * STEP))
        changes += story.live(at, *told)
    assert changes == [(5.0, State.SUSPECT), (13.0, State.ASYMMETRIC)]
    assert story.reason("n3") is Reason.HEARD_BY_OTHERS


def test_refusals_count_as_those_of_the_native_probe() -> None:
    story = running()
    for at in (3.1, 3.35, 3.6):
        story.tell(greeted("n3", Outcome.REFUSED), at=at)
    assert (story.judge()["n3"], story.reason("n3")) == ("offline", Reason.REFUSED)


def test_whoever_comes_back_has_to_rise() -> None:
    story = running()
    for at in (3.1, 3.35, 3.6):
        story.tell(greeted("n3", Outcome.REFUSED), at=at)
    story.judge()
    assert story.live(10.0, greeted("n2"), greeted("n3")) == [(7.1, State.ONLINE)]


def test_a_sealed_member_is_suspect_then_offline() -> None:
    story = running()
    sealed = greeted("n3", Outcome.BAD_ANSWER)
    changes = story.live(30.0, greeted("n2"), sealed)
    assert [state for _, state in changes] == [State.SUSPECT, State.OFFLINE]
    assert story.reason("n3") is Reason.SILENT_FOR_ALL


def test_faults_of_our_own_accuse_nobody() -> None:
    story = running()
    for tick in range(1, 60):
        story.tell(greeted("n3", Outcome.LOCAL_ERROR, host_age=None), at=3.0 + tick * STEP)
        assert story.judge()["n3"] in {"online", "unknown"}


def test_a_leader_whose_process_runs_has_proved_nothing() -> None:
    story = Story()
    story.tell(leading(), greeted("n1"), at=1.0)
    assert story.table.leader_silence(5.0) is None
    story.tell(leading(), probe("n1"), at=6.0)
    story.tell(leading(), greeted("n1"), at=8.0)
    assert story.table.leader_silence(9.0) == 3.0


@pytest.mark.parametrize(("silence", "up"), [(0.5, True), (1.9, True), (2.1, False)])
def test_a_node_without_a_status_is_up_by_its_own_hello(silence: float, up: bool) -> None:
    story = Story()
    assert not story.table.up(0.5)
    story.tell(greeted("n1"), at=1.0)
    assert story.table.up(1.0 + silence) is up
    assert story.table.main_loop_silence(1.5) is None


def test_a_node_that_is_no_member_is_not_up() -> None:
    story = Story()
    story.table.members.pop("n1")
    assert not story.table.up(0.5)


def test_others_are_told_of_it_as_of_a_heartbeat() -> None:
    story = running()
    told = story.table.report(3.5)
    assert told is not None
    rows = {each.peer: each for each in told.members}
    assert (rows["n3"].heartbeat, rows["n3"].raft, rows["n3"].silence) == (0.5, None, 0.5)


def test_a_main_loop_that_others_have_answered_keeps_no_frozen_process_online() -> None:
    """The word of a follower that went out of date, of one that hears it no more."""
    story = running()
    changes = []
    for tick in range(1, 12):
        at = 3.0 + tick * STEP
        changes += story.live(
            at, greeted("n2"), misses("n2", "n3", silence=tick * STEP), frozen("n3", tick * STEP)
        )
    assert changes == [(5.0, State.STALLED)]


def test_an_address_that_changed_has_not_answered() -> None:
    story = running()
    member = story.table.members["n3"]
    member.reset(4.0)
    assert member.process_silence(5.0) is None


def test_the_native_probe_asks_the_main_loop_again_after_a_change_of_the_probe() -> None:
    story = running()
    story.tell(frozen("n3"), at=3.5)
    assert not story.table.members["n3"].evidence().asks_main_loop
    story.tell(probe("n3", Outcome.TIMEOUT, waiting=0.5), at=4.0)
    assert story.table.members["n3"].evidence().asks_main_loop


def test_a_restored_offline_is_contradicted_by_a_process_that_answers() -> None:
    before = running()
    for at in (3.1, 3.35, 3.6):
        before.tell(greeted("n3", Outcome.REFUSED), at=at)
    before.judge()
    story = Story()
    story.table.restore(before.table.remember(3.6), age=1.0, now=0.0)
    assert story.verdict("n3").restored
    story.tell(greeted("n3"), at=0.1)
    story.judge()
    assert not story.verdict("n3").restored
