"""The small parts of the model: observed clock, histogram, policy."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raft_exporter.model.histogram import BOUNDS, Histogram
from raft_exporter.model.observed_clock import ObservedClock
from raft_exporter.model.policy import Policy


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
    """docs/architecture.md: 2 H, 0.5 H, 10 H, 15 H, 3 H; a host is fresh for 2 H, at least 2.5 s."""
    assert Policy.of(5.0).thresholds() == {
        "heartbeat_timeout": 5.0,
        "suspect_after": 10.0,
        "refusal_span": 2.5,
        "host_fresh": 10.0,
        "stall_after": 50.0,
        "join_grace": 75.0,
        "rise_span": 15.0,
    }
    assert Policy.of(0.1).host_fresh == 2.5
