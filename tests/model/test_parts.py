"""The small parts of the model: observed clock, histogram, policy."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raft_exporter.model.histogram import BOUNDS, Histogram
from raft_exporter.model.observed_clock import ObservedClock
from raft_exporter.model.policy import COUNTS, Multiples, Policy


def test_the_sidecars_own_pause_does_not_age_its_peers() -> None:
    clock = ObservedClock(real=1000.0, limit=1.0)
    assert clock.tick(1000.1) == pytest.approx(0.1)
    assert clock.read(1060.0) == pytest.approx(1.1)
    assert clock.tick(1060.0) == pytest.approx(1.1)
    assert clock.tick(1060.1) == pytest.approx(1.2)


@given(st.floats(0, 1e6), st.lists(st.floats(0, 100), max_size=50), st.floats(0.01, 10))
def test_observed_time_never_runs_back_nor_faster_than_the_real_one(
    start: float, steps: list[float], limit: float
) -> None:
    clock = ObservedClock(start, limit)
    real, last = start, 0.0
    for step in steps:
        real += step
        read = clock.read(real)
        now = clock.tick(real)
        assert read == now
        assert last <= now <= last + min(step, limit) + 1e-6
        last = now


def test_a_clock_that_steps_back_stands_still() -> None:
    clock = ObservedClock(10.0, 1.0)
    clock.tick(10.5)
    assert clock.tick(9.0) == 0.5
    assert clock.tick(10.6) == pytest.approx(0.6)


@given(st.lists(st.floats(0, 20)))
def test_histogram_counts_each_value_once_under_every_bound_not_below_it(values: list[float]) -> None:
    histogram = Histogram()
    for value in values:
        histogram.observe(value)
    for bound, count in histogram.cumulative():
        assert count == sum(value <= bound for value in values)
    assert histogram.total == pytest.approx(math.fsum(values))


def test_histograms_made_elsewhere_are_added() -> None:
    histogram = Histogram()
    histogram.observe(0.3)
    histogram.merge([1] * (len(BOUNDS) + 1), 2.0)
    assert histogram.cumulative()[-1] == (math.inf, len(BOUNDS) + 2)
    assert histogram.total == 2.3


def test_thresholds_are_multiples_of_the_heartbeat_timeout() -> None:
    """JUDGEMENT.md: 2 H, 0.5 H, 5.5 H, 15 H, 10 H, 3 H to 60 H, 300 H; a host is fresh for 2.5 s at least."""
    assert Policy.of(5.0).thresholds() == {
        "heartbeat_timeout": 5.0,
        "suspect_after": 10.0,
        "refusal_span": 2.5,
        "host_fresh": 10.0,
        "gone_after": 27.5,
        "alone_after": 75.0,
        "stall_after": 50.0,
        "join_grace": 75.0,
        "rise_span": 15.0,
        "rise_span_max": 300.0,
        "dwell": 5.0,
        "penalty_half_life": 1500.0,
    }
    assert Policy.of(0.1).host_fresh == 2.5


def test_thresholds_can_be_set_in_multiples() -> None:
    policy = Policy.of(2.0, Multiples(suspect_after=3.0, gone_after=4.0, rise=2))
    assert (policy.suspect_after, policy.gone_after, policy.rise) == (6.0, 8.0, 2)
    assert policy.host_fresh == 6.0
    assert policy.multiples.suspect_after == 3.0


def test_every_threshold_that_is_set_is_a_time_or_a_count() -> None:
    times = set(Policy.of(1.0).thresholds()) - {"heartbeat_timeout", "host_fresh"}
    assert times | COUNTS == set(Multiples.__struct_fields__)
    assert not times & COUNTS


@pytest.mark.parametrize(
    ("silent", "needed", "expected"),
    [
        (0, 1, 15.0), (1, 1, 5.5), (2, 1, 5.5),
        (0, 2, 15.0), (1, 2, 9.00617), (2, 2, 5.5), (3, 2, 5.5),
        (0, 3, 15.0), (1, 3, 10.25), (2, 3, 7.47143), (3, 3, 5.5), (9, 3, 5.5),
    ],
)  # fmt: skip
def test_silence_for_all_takes_less_time_the_more_confirm_it(
    silent: int, needed: int, expected: float
) -> None:
    """T = alone - ln(c+1)/ln(k+1) * (alone - gone), alone 15 H and gone 5.5 H (Lifeguard's curve)."""
    assert Policy.of(1.0).silent_after(silent, needed) == pytest.approx(expected, abs=1e-5)
    assert Policy.of(5.0).silent_after(silent, needed) == pytest.approx(5 * expected, abs=1e-4)


@pytest.mark.parametrize(
    ("penalty", "expected"),
    [(0, 3), (1, 3), (1.5, 3 * 2**0.5), (2, 6), (3, 12), (4, 24), (5, 48), (5.4, 60), (6, 60), (1e9, 60)],
)
def test_the_way_back_doubles_with_each_unit_of_penalty_beyond_the_first(
    penalty: float, expected: float
) -> None:
    assert Policy.of(1.0).rise_span_at(penalty) == pytest.approx(expected)


def test_damping_never_makes_the_way_back_shorter() -> None:
    assert Policy.of(1.0, Multiples(rise_span=90.0)).rise_span_at(1) == 90.0
    assert Policy.of(1.0, Multiples(rise_span=90.0)).rise_span_at(9) == 90.0


@pytest.mark.parametrize(("h", "gone", "alone"), [(1.0, 5.5, 15.0), (0.5, 3.0, 7.5), (0.1, 2.6, 2.6)])
def test_nobody_is_gone_before_a_node_can_know_that_it_is_cut_off_itself(
    h: float, gone: float, alone: float
) -> None:
    policy = Policy.of(h)
    assert policy.gone_after == pytest.approx(gone)
    assert policy.alone_after == pytest.approx(alone)
    assert policy.gone_after >= policy.host_fresh + h
