"""Hysteresis and damping: fast down, slowly up, more slowly for one that flaps; never a late alarm."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from raft_exporter.model.evidence import Outcome, ProbeResult
from raft_exporter.model.judge import Reason, State, Verdict
from raft_exporter.model.policy import Policy
from tests.model.story import Story, answered, dead, hears, leading, misses, probe, refused, unanswered

POLICY = Policy.of(1.0)


def crash(story: Story) -> float:
    """Refuse until offline; give how long that took."""
    began = story.now
    while story.state("n3") is not State.OFFLINE:
        assert story.now - began < 10
        story.tell(refused("n3"), at=round(story.now + 0.25, 6))
        story.judge()
    return round(story.now - began, 6)


def come_back(story: Story) -> float:
    """Answer until online; give the time from the first answer on."""
    began = story.now + 0.5
    while story.state("n3") is not State.ONLINE:
        assert story.now - began < 100
        story.tell(probe("n3"), at=round(story.now + 0.5, 6))
        story.judge()
    return round(story.now - began, 6)


def test_the_way_back_takes_four_successes_over_three_h() -> None:
    story = Story()
    crash(story)
    assert come_back(story) == 3.0
    rare = Story()
    crash(rare)
    changes = rare.live(20.0, probe("n3"), every=1.5)
    assert changes[0][0] - rare.table.members["n3"].evidence().run_first_at == 4.5, "the fourth comes later"


def test_the_way_back_doubles_with_each_fall_and_alarms_come_as_fast_as_ever() -> None:
    story = Story()
    story.live(2.0, probe("n3"))
    down, up = [], []
    for _ in range(8):
        down.append(crash(story))
        up.append(come_back(story))
        story.live(story.now + 2.0, probe("n3"))
    assert down == [0.75] * 8, "damping never delays an alarm"
    assert up[:2] == [3.0, 6.0]
    assert up == sorted(up)
    assert all(1.5 < after / before <= 2.1 for before, after in pairwise(up[:5]))
    assert 58.0 < max(up) <= 60.0


def test_four_falls_are_flapping_until_the_penalty_is_below_one() -> None:
    story = Story()
    falls = []
    for _ in range(4):
        story.live(story.now + 2.0, probe("n3"))
        crash(story)
        falls.append(story.verdict("n3").flapping)
        come_back(story)
    assert falls == [False, False, False, True]
    began = story.now
    while story.verdict("n3").flapping:
        assert story.now - began < 1000
        story.live(story.now + 1.0, probe("n3"))
    penalty = story.verdict("n3").penalty_now(POLICY, story.now)
    assert 0.99 < penalty < 1.0
    assert 500 < story.now - began < 620, "two half-lives"
    assert story.state("n3") is State.ONLINE


@pytest.mark.parametrize(
    ("seconds", "expected"), [(0, 4.0), (300, 2.0), (600, 1.0), (900, 0.5), (3000, 0.00390625)]
)
def test_the_penalty_halves_every_three_hundred_h(seconds: float, expected: float) -> None:
    verdict = Verdict(state=State.ONLINE, reason=Reason.FRESH, since=0.0, penalty=4.0, penalty_at=10.0)
    assert verdict.penalty_now(POLICY, 10.0 + seconds) == expected
    assert verdict.penalty_now(Policy.of(5.0), 10.0 + 5 * seconds) == expected


@pytest.mark.parametrize(
    "gap",
    [
        pytest.param([], id="a gap of two H"),
        pytest.param([refused("n3")], id="a refusal"),
        pytest.param([dead("n3")], id="a timeout"),
    ],
)
def test_what_breaks_a_run_of_successes(gap: list[ProbeResult]) -> None:
    story = Story()
    crash(story)
    for _ in range(6):
        assert story.live(story.now + 3.0, probe("n3")) == []
        story.tell(*gap, at=story.now + (0.1 if gap else 2.0))
        story.judge()
    assert story.state("n3") is State.OFFLINE
    assert story.verdict("n3").penalty == 1.0, "it never came back: that is one fall"


def test_who_is_offline_and_heard_for_a_moment_is_recovering_as_it_was() -> None:
    story = Story()
    crash(story)
    story.live(2.0, probe("n3"))
    assert (story.state("n3"), story.reason("n3")) == (State.OFFLINE, Reason.RECOVERING)


# dwell


def test_online_stands_for_the_dwell() -> None:
    story = Story()
    story.tell(probe("n3"), at=1.0)
    story.judge()
    assert story.live(3.0, refused("n3"), every=0.1) == [(2.0, State.OFFLINE)], (
        "refused since 1.1, proven at 1.6"
    )


def test_suspect_stands_for_the_dwell_before_it_clears_and_not_before_it_worsens() -> None:
    story = Story()
    story.live(3.0, probe("n3"))
    story.tell(refused("n3"), at=4.0)
    story.judge()
    assert story.live(6.0, probe("n3"), every=0.1) == [(5.0, State.ONLINE)]
    assert story.live(9.0, refused("n3"), every=0.1) == [(6.1, State.SUSPECT), (6.6, State.OFFLINE)]


def test_from_unknown_nothing_has_to_stand() -> None:
    story = Story()
    story.tell(probe("n3"), at=0.1)
    assert story.judge()["n3"] == "online"


def test_who_was_offline_falls_again_only_after_the_dwell() -> None:
    story = Story()
    story.live(20.0, probe("n2"), dead("n3"))
    story.live(24.5, probe("n2"), dead("n3"), hears("n2", "n3", age=0.0))
    since = story.verdict("n3").since
    assert story.state("n3") is State.ASYMMETRIC
    story.tell(refused("n3"), at=24.5)
    changes = [state for _, state in story.live(28.0, probe("n2"), refused("n3"), every=0.1)]
    assert State.OFFLINE in changes
    assert story.verdict("n3").since - since >= 1.0
    assert story.verdict("n3").penalty == 1.0


# the dead band

GAPS = st.lists(st.floats(0.05, 1.9), min_size=5, max_size=40)
NOISE = st.sampled_from(
    [
        None,
        dead("n3"),
        unanswered("n3"),
        unanswered("n3", host_age=5.0),
        hears("n2", "n3"),
        misses("n2", "n3"),
    ]
)


@settings(max_examples=60)
@given(GAPS, NOISE)
def test_who_answers_within_two_h_stays_online(gaps: list[float], noise: ProbeResult | None) -> None:
    story = Story()
    story.tell(probe("n3"), probe("n2"), at=1.0)
    story.judge()
    for gap in gaps:
        end, now = story.now + gap, story.now
        while now + 0.1 < end:
            now += 0.1
            story.tell(*([noise] if noise else []), at=now)
            assert story.judge()["n3"] == "online"
        story.tell(probe("n3"), probe("n2"), at=end)
        assert story.judge()["n3"] == "online"
    assert story.table.members["n3"].transitions == {State.ONLINE: 1}


@settings(max_examples=60)
@given(st.lists(st.tuples(st.integers(1, 6), st.floats(0.05, 0.59), st.booleans()), min_size=3, max_size=15))
def test_who_never_makes_a_rise_stays_offline(bursts: list[tuple[int, float, bool]]) -> None:
    """Up to six answers over less than 3 H, again and again, with refusals or silence between."""
    story = Story()
    crash(story)
    for count, step, refuses in bursts:
        for _ in range(count):
            story.tell(probe("n3"), at=story.now + step)
            assert story.judge()["n3"] == "offline"
        for _ in range(25):
            story.tell(refused("n3") if refuses else dead("n3"), at=story.now + 0.1)
            assert story.judge()["n3"] == "offline"
    assert story.table.members["n3"].transitions[State.OFFLINE] == 1
    assert story.verdict("n3").penalty == 1.0


@pytest.mark.parametrize("astray", [probe("n3", Outcome.BAD_ANSWER), dead("n3"), refused("n3")])
def test_a_probe_that_never_reached_a_member_ends_no_run_of_its_heartbeats(astray: ProbeResult) -> None:
    """Another answers at the address I have: whoever was offline has to come back by heartbeats alone."""
    story = Story()
    story.tell(leading(), at=0.1)
    story.live(20.1, leading(), probe("n2"), dead("n3"))
    assert story.state("n3") is State.OFFLINE
    heard = answered("n3", age=0.05)
    assert story.live(30.1, leading(), probe("n2"), astray, heard) == [(23.6, State.ONLINE)]
