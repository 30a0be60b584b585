"""The simulation of the judge against the baselines: its world, its detectors, its measures."""

from __future__ import annotations

import heapq
import json
import math
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from bench import quality
from bench._baselines import PAIRS, Said
from bench._detectors import BASELINES, BEST, DETECTORS, OURS, count, setting_of
from bench._measures import (
    GRACE,
    Interval,
    Measures,
    Say,
    Tally,
    Words,
    dominates,
    median_interval,
    poisson_interval,
)
from bench._named import named
from bench._ours import Simulation
from bench._pings import _deviations
from bench._prober import Call, Prober
from bench._raft import Cluster
from bench._scenarios import SCENARIOS, Play, play, write
from bench._script import NODES, Kind, Script, Service
from bench._spans import Span, Spans
from bench._swim import Config, suspicion_timeout
from bench._world import World
from raft_exporter.model.evidence import Outcome, ProbeResult, Role

REPOSITORY = Path(__file__).resolve().parents[1]
OFF: Span = (20.0, 60.0)


def played(write: Callable[[Script], None] = lambda script: None, *, until: float = 90.0) -> Play:
    script = Script(until=until)
    write(script)
    world = World(script, seed=1)
    return Play(world, Cluster(world).play(until))


def killed(script: Script) -> None:
    script.process_down["n1"].append(OFF)


def powered_off(script: Script) -> None:
    script.host_down["n1"].append(OFF)


def frozen(script: Script) -> None:
    script.process_frozen["n1"].append((20.0, 23.5))


def first(said: Said, pair: tuple[str, str], say: Say, after: float = 0.0) -> float:
    return next((at for at, each in said[pair] if each is say and at >= after), math.inf)


def said_by(detector: str, of: Play) -> Said:
    if detector == OURS:
        seen = Simulation(of).run()
        return {pair: seen.words(pair) for pair in PAIRS}
    return BASELINES[detector].detect(of, **setting_of(detector))


def test_spans_are_joined_and_ordered() -> None:
    spans = Spans([(5, 6), (1, 2), (2, 3), (2.5, 2.7), (9, 9)])
    assert list(spans) == [(1, 3), (5, 6)]
    assert spans.total() == 3
    assert (0.5 in spans, 1 in spans, 2.9 in spans, 3 in spans) == (False, True, True, False)
    assert (spans.over(2), spans.over(4)) == (3, 4)
    assert (spans.next_start(3), spans.next_start(5), spans.next_start(5.1)) == (5, 5, math.inf)
    assert list(spans.gaps(10)) == [(0, 1), (3, 5), (6, 10)]
    assert list(spans.without(Spans([(2, 5.5)]))) == [(1, 2), (5.5, 6)]
    assert not Spans()


def test_a_world_is_made_of_its_scenario_and_seed_alone() -> None:
    one, again, other = (write("burst-loss", seed, 0) for seed in (3, 3, 4))
    assert one == again
    assert one != other
    assert play("kill", 3, 1) is play("kill", 3, 1)


def test_a_restart_changes_nothing_but_the_sidecars() -> None:
    without, restarted = write("kill", 3, 0), write("kill-restart", 3, 0)
    assert any(restarted.sidecar_down.values())
    assert without.process_down == restarted.process_down
    assert len(restarted.restarts) == 5


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_every_scenario_writes_its_faults_before_its_end(scenario: str) -> None:
    script = write(scenario, 1, 0)
    faults = [script.process_down, script.host_down, script.process_frozen, script.host_paused]
    assert all(end < script.until for each in faults for spans in each.values() for _, end in spans)
    assert script.restarts


def test_fate_does_not_depend_on_what_else_was_asked() -> None:
    world = World(Script(until=60, loss=0.5, jitter=0.1), seed=7)
    times = [i / 10 for i in range(200)]
    alone = [world.packet("n1", "n2", at, Kind.PROBE) for at in times]
    random.Random(1).shuffle(times)
    for at in times:
        world.packet("n2", "n1", at, Kind.PING)
        world.send("n1", "n2", at, Kind.REPORT, at + 5)
    assert [world.packet("n1", "n2", i / 10, Kind.PROBE) for i in range(200)] == alone
    lost = sum(math.isinf(at) for at in alone)
    assert 70 < lost < 130


def test_every_detector_sees_the_same_world() -> None:
    tallies = []
    for before in ((), ("single-probe", "memberlist", OURS)):
        of = played(powered_off)
        for detector in before:
            count(Tally(), of, detector)
        tally = Tally()
        count(tally, of, "fall-rise")
        tallies.append(tally)
    assert tallies[0] == tallies[1]


def test_lost_data_is_sent_again_with_back_off() -> None:
    world = played(lambda script: script.cut["n1", "n2"].append((0.0, 1.0))).world
    assert world.send("n1", "n2", 0.5, Kind.PROBE, 60).arrives == pytest.approx(1.1, abs=0.01)
    assert math.isinf(world.send("n1", "n2", 0.5, Kind.PROBE, 1.0).arrives)


def test_a_dead_process_refuses_and_a_host_without_power_says_nothing() -> None:
    assert played(killed).world.connect("n2", "n1", Service.RAFT, 30, 0.5).refused
    silent = played(powered_off).world.connect("n2", "n1", Service.RAFT, 30, 0.5)
    assert (silent.open, silent.refused, silent.at) == (False, False, 30.5)
    assert played(frozen).world.connect("n2", "n1", Service.RAFT, 21, 0.5).open


def test_a_connection_ends_with_the_process_but_not_with_the_power() -> None:
    assert played(killed).world.closes("n2", "n1", Service.RAFT, 5, Kind.PROBE) == pytest.approx(20, abs=0.01)
    assert math.isinf(played(powered_off).world.closes("n2", "n1", Service.RAFT, 5, Kind.PROBE))


def test_a_frozen_process_answers_when_it_goes_on_and_its_host_acknowledges_at_once() -> None:
    reply = played(frozen).world.request("n2", "n1", Service.RAFT, 21, Kind.PROBE, epoch=0, until=60)
    assert reply.answered == pytest.approx(23.5, abs=0.01)
    assert reply.acknowledged == pytest.approx(21, abs=0.01)


def test_who_is_cut_from_the_majority_is_offline_but_for_who_is_cut_off_too() -> None:
    world = played(lambda script: script.split(("n1", "n2"), OFF)).world
    assert list(world.offline("n3", "n1")) == [OFF]
    assert not world.offline("n1", "n3")
    assert not world.offline("n1", "n2")
    assert not played(lambda script: script.cut["n1", "n2"].append(OFF)).world.offline("n3", "n1")


def test_a_cluster_elects_another_leader_when_its_leader_dies() -> None:
    raft = played(killed).raft
    assert raft.standing("n1", 10).role is Role.LEADER
    leaders = {raft.standing(node, 50).leader for node in NODES if node != "n1"}
    assert len(leaders) == 1
    assert leaders <= set(NODES) - {"n1"}
    assert raft.standing("n1", 70).role is Role.FOLLOWER
    assert [end for _, end in raft.reigns("n1", 90.0)] == [20.0]
    gaps = [b - a for a, b in zip(raft.contacts["n2"], raft.contacts["n2"][1:], strict=False) if b < 20]
    assert max(gaps) < 0.3


def outcomes(of: Play, until: float) -> list[tuple[float, ProbeResult]]:
    heap: list[tuple[float, bool, int, Call]] = []
    told: list[tuple[float, ProbeResult]] = []

    def schedule(at: float, call: Call, *, timer: bool = False) -> None:
        heapq.heappush(heap, (at, timer, len(told) + len(heap), call))

    prober = Prober(
        of.world,
        ("n2", "n1"),
        at=schedule,
        take=lambda result, now: told.append((now, result)),
        rng=random.Random(1),
    )
    schedule(10.0, prober.begin)
    while heap[0][0] < until:
        now, _, _, call = heapq.heappop(heap)
        call(now)
    return [(now, result) for now, result in told if now >= OFF[0]]


def test_the_prober_confirms_a_refusal_soon() -> None:
    told = outcomes(played(killed), 21.5)
    assert {result.outcome for _, result in told} == {Outcome.REFUSED}
    assert told[0][0] == pytest.approx(20, abs=0.01)
    assert told[2][0] - told[0][0] == pytest.approx(0.55, abs=0.06)


def test_the_prober_fails_again_and_again_while_the_host_acknowledges() -> None:
    told = outcomes(played(frozen), 23.4)
    failed = [(now, result) for now, result in told if result.outcome is Outcome.TIMEOUT]
    assert len(failed) >= 5
    assert all(result.host_age is not None and result.host_age < 1.1 for _, result in failed)
    assert [result.waiting for _, result in failed][:3] == pytest.approx([0.5, 1.0, 1.5])


def test_the_prober_gives_a_connection_up_that_no_host_acknowledges() -> None:
    told = outcomes(played(powered_off), 27.0)
    ages = [result.host_age for _, result in told]
    given_up = ages.index(None)
    assert told[given_up][0] == pytest.approx(20 + 4, abs=0.7)
    assert all(age is None for age in ages[given_up:])


HANDED = (10.0, 50.0)


@pytest.mark.parametrize(
    ("detector", "fault", "low", "high"),
    [
        ("single-probe", killed, 0.0, 0.6),
        ("single-probe", powered_off, 0.4, 1.1),
        ("blackbox", killed, 15.0, 25.1),
        ("blackbox", powered_off, 15.0, 30.1),
        ("fall-rise", killed, 1.0, 1.6),
        ("fall-rise", powered_off, 1.0, 2.1),
        ("phi-accrual", powered_off, 3.5, 5.5),
        ("memberlist", killed, 4.0, 9.0),
        ("memberlist", powered_off, 4.0, 9.0),
        ("sentinel", killed, 4.0, 6.2),
        ("sentinel", powered_off, 5.0, 7.2),
        (OURS, killed, 0.4, 1.1),
        (OURS, powered_off, 5.4, 5.7),
    ],
)
def test_each_detector_finds_a_fault_and_its_end(
    detector: str, fault: Callable[[Script], None], low: float, high: float
) -> None:
    said = said_by(detector, played(fault))
    for observer in NODES[1:]:
        assert low <= first(said, (observer, "n1"), Say.OFFLINE) - OFF[0] <= high
        assert first(said, (observer, "n1"), Say.ONLINE, after=OFF[1]) - OFF[1] < 12
        assert math.isinf(first(said, (observer, "n2" if observer != "n2" else "n3"), Say.OFFLINE))


@pytest.mark.parametrize("detector", [OURS, *BASELINES])
def test_no_detector_is_wrong_in_a_quiet_world(detector: str) -> None:
    said = said_by(detector, played(until=40.0))
    assert not any(say is Say.OFFLINE for words in said.values() for _, say in words)


@pytest.mark.parametrize("detector", ["single-probe", "fall-rise", "phi-accrual", "memberlist"])
def test_a_minority_without_isolation_calls_the_majority_offline(detector: str) -> None:
    said = said_by(detector, played(lambda script: script.split(("n1", "n2"), OFF)))
    assert first(said, ("n1", "n3"), Say.OFFLINE) < OFF[1]


@pytest.mark.parametrize("detector", [OURS, "sentinel"])
def test_a_minority_that_knows_itself_to_be_one_does_not(detector: str) -> None:
    said = said_by(detector, played(lambda script: script.split(("n1", "n2"), OFF)))
    assert math.isinf(first(said, ("n1", "n3"), Say.OFFLINE))
    assert first(said, ("n3", "n1"), Say.OFFLINE) < OFF[1]


def test_raft_tells_of_its_followers_on_the_leader_alone() -> None:
    def follower_killed(script: Script) -> None:
        script.process_down["n2"].append(OFF)

    said = said_by("failed-heartbeat", played(follower_killed))
    assert first(said, ("n1", "n2"), Say.OFFLINE) - OFF[0] < 0.4
    assert first(said, ("n1", "n2"), Say.ONLINE, after=OFF[1]) - OFF[1] < 0.7
    assert not said["n3", "n2"]


def test_sentinel_holds_still_after_a_step_of_its_clock() -> None:
    def stepped(script: Script) -> None:
        powered_off(script)
        script.clock_steps["n2"].append((15.0, 3600.0))

    said = said_by("sentinel", played(stepped))
    assert first(said, ("n2", "n1"), Say.OFFLINE) == 45.0
    assert first(said, ("n3", "n1"), Say.OFFLINE) < 28.0


def test_a_restarted_sidecar_of_ours_goes_on_where_it_was() -> None:
    def restarted(script: Script) -> None:
        powered_off(script)
        script.sidecar_down["n2"].append((40.0, 41.0))

    seen = Simulation(played(restarted)).run()
    states = [state.value for at, state in seen.states["n2", "n1"] if 20 < at < OFF[1]]
    assert states[-2:] == ["offline", "offline"]


def test_ours_names_isolation_and_asymmetry_and_a_stall() -> None:
    def faults(script: Script) -> None:
        script.split(("n1", "n2"), (20.0, 35.0))
        script.cut["n4", "n5"].append((50.0, 65.0))
        script.process_frozen["n3"].append((75.0, 79.0))

    of = played(faults)
    times = {
        state: sorted(each or 99.0 for each in all_of)
        for state, all_of in named(of, Simulation(of).run()).items()
    }
    assert [len(times[state]) for state in ("isolated", "asymmetric", "stalled")] == [2, 2, 4]
    assert times["isolated"][-1] < 3.0
    assert times["asymmetric"][-1] < 6.5
    assert times["stalled"][-1] < 2.6


@pytest.mark.parametrize(
    ("confirmations", "seconds"), [(0, 24.0), (1, 24 - 20 * math.log(2) / math.log(3)), (2, 4.0), (3, 4.0)]
)
def test_suspicion_shortens_with_confirmations(confirmations: int, seconds: float) -> None:
    assert suspicion_timeout(Config(), confirmations) == pytest.approx(seconds)


def test_phi_reaches_its_threshold_where_the_formula_says() -> None:
    y = _deviations(8.0)
    e = math.exp(-y * (1.5976 + 0.070566 * y * y))
    assert -math.log10(e / (1 + e)) == pytest.approx(8.0)


def tallied(words: Words, offline: list[Span], speaking: list[Span] | None = None) -> Measures:
    tally = Tally()
    tally.add(words, Spans(offline), Spans(speaking or [(0, 100)]), 100)
    return tally.measures()


def test_an_outage_is_detected_and_left() -> None:
    found = tallied([(0, Say.ONLINE), (12, Say.OFFLINE), (53, Say.ONLINE)], [HANDED])
    assert (found.outages, found.detected, found.td_p50, found.td_p99) == (1, 1.0, 2.0, 2.0)
    assert (found.mistakes, found.query_accuracy) == (0, 1.0)
    assert (found.recoveries, found.recovery_p50) == (1, 3.0)
    assert found.flips == 2
    assert found.pair_hours == pytest.approx((100 - 40 - 3) / 3600, abs=1e-4)


def test_detection_is_the_word_that_stands_until_the_end() -> None:
    words = [(0, Say.ONLINE), (12, Say.OFFLINE), (20, Say.NEITHER), (30, Say.OFFLINE), (60, Say.ONLINE)]
    assert tallied(words, [HANDED]).td_p50 == 20.0


@pytest.mark.parametrize(
    "words", [[], [(0, Say.ONLINE)], [(0, Say.ONLINE), (12, Say.OFFLINE), (40, Say.ONLINE)]]
)
def test_a_missed_outage_is_later_than_any(words: Words) -> None:
    found = tallied(words, [HANDED])
    assert (found.detected, found.td_p50, found.td_p99, found.recoveries) == (0.0, None, None, 0)


def test_saying_offline_of_who_is_not_is_a_mistake_for_as_long_as_it_lasts() -> None:
    found = tallied([(0, Say.ONLINE), (60, Say.OFFLINE), (64, Say.NEITHER)], [HANDED])
    assert (found.mistakes, found.mistake_duration) == (1, 4.0)
    assert found.query_accuracy == pytest.approx(1 - 4 / (60 - GRACE), abs=1e-5)
    assert found.mistakes_per_pair_hour == pytest.approx(3600 / (60 - GRACE), abs=0.01)


def test_a_mistake_ends_where_it_comes_true() -> None:
    found = tallied([(0, Say.ONLINE), (7, Say.OFFLINE), (51, Say.ONLINE)], [HANDED])
    assert (found.mistakes, found.mistake_duration, found.td_p50) == (1, 3.0, 0.0)


def test_what_is_on_its_way_when_an_outage_ends_is_no_mistake() -> None:
    words = [(0, Say.ONLINE), (50 + GRACE / 2, Say.OFFLINE), (55, Say.ONLINE)]
    assert tallied(words, [HANDED]).mistakes == 0
    words[1] = (50 + GRACE * 2, Say.OFFLINE)
    assert tallied(words, [HANDED]).mistakes == 1


def test_what_is_said_while_the_observer_does_not_run_does_not_count() -> None:
    words = [(0, Say.ONLINE), (60, Say.OFFLINE), (64, Say.ONLINE)]
    found = tallied(words, [], [(0, 59), (65, 100)])
    assert (found.mistakes, found.flips) == (0, 0)
    found = tallied(words, [], [(0, 59), (63, 100)])
    assert (found.mistakes, found.mistake_duration, found.flips) == (1, 1.0, 2)


def test_who_never_comes_back_is_later_than_any() -> None:
    found = tallied([(0, Say.ONLINE), (12, Say.OFFLINE), (53, Say.NEITHER)], [HANDED])
    assert (found.recoveries, found.recovery_p50) == (1, None)


@pytest.mark.parametrize(
    ("count", "low", "high"),
    [(0, 0.0, 3.6889), (1, 0.0253, 5.5716), (5, 1.6235, 11.6683), (100, 81.3640, 121.6268)],
)
def test_the_interval_of_a_rate_is_garwoods(count: int, low: float, high: float) -> None:
    assert poisson_interval(count, 1.0) == Interval(low, high)
    assert poisson_interval(count, 0.0) == Interval(None, None)


@pytest.mark.parametrize(("n", "low", "high"), [(5, None, None), (6, 1, 6), (10, 2, 9), (40, 14, 27)])
def test_the_interval_of_a_median_is_between_ranks(n: int, low: float | None, high: float | None) -> None:
    assert median_interval([float(i) for i in range(1, n + 1)]) == Interval(low, high)


def test_domination_is_no_worse_in_anything_and_better_in_something() -> None:
    base = tallied([(0, Say.ONLINE), (12, Say.OFFLINE), (53, Say.ONLINE)], [HANDED])

    def other(**changes: object) -> Measures:
        return msgspec.structs.replace(base, **changes)

    assert not dominates(base, base)
    assert dominates(other(td_p99=1.0), base)
    assert not dominates(other(td_p99=1.0, recovery_p50=4.0), base)
    assert not dominates(other(td_p99=None), base)
    assert dominates(base, other(recovery_p50=None))
    assert not dominates(other(td_p99=0.1, mistakes_per_pair_hour=0.1), base)


def test_the_overview_has_a_row_a_scenario_and_names_who_is_never_worse() -> None:
    quick = tallied([(0, Say.ONLINE), (11, Say.OFFLINE), (51, Say.ONLINE)], [HANDED])
    slow = tallied([(0, Say.ONLINE), (15, Say.OFFLINE), (60, Say.ONLINE)], [HANDED])
    result = {"kill": {OURS: slow, "sentinel": quick}, "loss30": {OURS: slow, "sentinel": slow}}
    laid_out = quality.overview(result)
    assert "| kill     | 5.00/5.00 | 1.00/1.00 |" in laid_out
    assert laid_out.endswith("No worse than ours in every scenario above: sentinel.")
    assert quality.dominating(result["kill"]) == ["sentinel"]
    assert quality.dominating(result["loss30"]) == []
    assert "Dominated by: sentinel." in quality.lay_out("kill", result["kill"])


def test_tuning_takes_the_fewest_mistakes_and_then_the_fastest(monkeypatch: pytest.MonkeyPatch) -> None:
    tried = msgspec.structs.replace
    slow = tallied([(0, Say.ONLINE), (15, Say.OFFLINE), (60, Say.ONLINE)], [HANDED])
    found = {3: tried(slow, mistakes=2), 5: slow, 8: tried(slow, td_p99=4.0), 11: slow, 15: slow, 20: slow}

    def run(_scenario: str, _seed: int, detector: str, _minutes: float, **setting: Any) -> Measures:
        return slow if detector == OURS else found[setting["setting"]["fall"]]

    monkeypatch.setattr(quality, "run", run)
    monkeypatch.setattr(quality, "SCENARIOS", ("kill",))
    monkeypatch.setattr(quality, "BASELINES", {"fall-rise": BASELINES["fall-rise"]})
    tuned = quality.tune(1, 1.0)
    assert tuned["fall-rise"] == {
        "best": "fall=8 rise=2 interval=0.5 timeout=0.5",
        "mistakes": 0.0,
        "td_p99_sum": 4.0,
    }
    faster = [f"fall-rise fall=8 rise={rise} interval=0.5 timeout=0.5" for rise in (2, 4)]
    assert tuned["dominating"] == {"kill": faster}


def test_a_name_that_does_not_exist_is_an_error() -> None:
    with pytest.raises(ValueError, match="unknown scenario 'rain', expected one of kill, "):
        quality.run("rain", 1, OURS)
    with pytest.raises(ValueError, match="unknown detector 'oracle', expected one of ours, "):
        quality.run("kill", 1, "oracle")


def test_every_baseline_has_a_best_setting_of_its_own_grid() -> None:
    for name, baseline in BASELINES.items():
        assert dict(setting_of(name + BEST)) in [dict(each) for each in baseline.settings()]
    assert len(DETECTORS) == 1 + 2 * len(BASELINES)


def test_the_last_line_is_one_json_object() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "bench.quality", "--seed", "2", "--scenario", "kill", "--minutes", "1"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    result: dict[str, dict[str, dict[str, Any]]] = json.loads(done.stdout.splitlines()[-1])
    assert set(result) == {"kill"}
    assert set(result["kill"]) == set(DETECTORS)
    ours = result["kill"][OURS]
    assert ours["mistakes"] == 0
    assert ours["td_p99"] <= 1.1
    assert ours["recovery_p50"] < 4.0
    assert ours["dominates_ours"] is False
    wanted = {"td_p50", "td_p99", "mistakes_per_pair_hour", "recovery_p50", "flips_per_pair_hour"}
    assert all(wanted <= set(each) for each in result["kill"].values())
    again = quality.run("kill", 2, OURS, 1)
    assert again.td_p99 == ours["td_p99"]
