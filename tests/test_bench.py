from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from bench import detection, judge_cost, stream
from bench._faults import FAULTS
from bench._summary import Spread, percentile, ratio, spread, table
from bench._witness import Word, words
from raft_exporter.demo.cluster import raftnode
from raft_exporter.model.judge import State
from tests.conftest import Need

REPOSITORY = Path(__file__).resolve().parents[1]
LOG = """\
ts=2026-11-20T10:00:00.250Z level=info logger=raft_exporter.sidecar msg=serving urls=http://127.0.0.1:1
ts=2026-11-20T10:00:01.500Z level=info logger=raft_exporter.sidecar msg="member state changed" \
peer=n2 before=unknown after=online reason=fresh
ts=2026-11-20T10:00:02.750Z level=info logger=raft_exporter.sidecar msg="member state changed" \
peer=n2 before=online after=suspect reason=refused
ts=2026-11-20T10:00:03.000Z level=info logger=raft_exporter.sidecar msg="member state changed" \
peer=n2 before=suspect after=off"""
TEN_O_CLOCK = 1795168800.0


def last_line(module: str, *arguments: str) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-m", f"bench.{module}", *arguments],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    *before, last = done.stdout.splitlines()
    assert before[0].startswith("| ")
    result = json.loads(last)
    assert isinstance(result, dict)
    return result


def said(**spoken: list[tuple[float, str, State]]) -> dict[str, list[Word]]:
    return {
        sidecar: [Word(at=at, peer=peer, state=state) for at, peer, state in spoken_here]
        for sidecar, spoken_here in spoken.items()
    }


def test_judge_cost_ends_with_one_json_object() -> None:
    result = last_line("judge_cost", "--n", "1")
    assert set(result["members"]) == {"3", "5", "50"}
    assert all(cost["microseconds"] > 0 and cost["ratio"] > 0 for cost in result["members"].values())


def test_stream_ends_with_one_json_object() -> None:
    result = last_line("stream", "--n", "1")
    assert set(result["lines"]) == set(stream.mixes())
    assert all(rate["lines_per_second"] > 0 for rate in result["lines"].values())


def test_judge_cost_measures_members_in_all_conditions() -> None:
    members = judge_cost.filled(5, now=20.0).members.values()
    assert {member.verdict.state for member in members} == {
        State.ONLINE,
        State.STALLED,
        State.OFFLINE,
        State.SUSPECT,
    }


def test_stream_measures_lines_that_are_taken_and_garbage_that_is_rejected() -> None:
    taker = stream.Taker()
    for line in stream.KINDS.values():
        taker.take(line)
    assert taker.rejected == 0
    assert set(taker.table.members) == {"n1", "n2", "n3", "n4", "n5"}
    assert taker.table.members["n2"].heartbeats_total == 7
    for line in stream.GARBAGE:
        taker.take(line)
    assert taker.rejected == len(stream.GARBAGE)


@pytest.mark.parametrize(
    ("count", "fraction", "expected"),
    [(20, 0.5, 10), (20, 0.9, 18), (20, 0.99, 20), (20, 1.0, 20), (1, 0.5, 1), (2, 0.5, 1), (200, 0.99, 198)],
)
def test_a_percentile_is_the_nearest_rank(count: int, fraction: float, expected: float) -> None:
    assert percentile([float(value) for value in range(1, count + 1)], fraction) == expected


def test_a_percentile_of_nothing_is_nothing() -> None:
    assert percentile([], 0.5) is None


def test_a_miss_is_later_than_any_detection() -> None:
    delays = [None, *[float(value) for value in range(9, 0, -1)]]
    assert spread(delays) == Spread(n=10, detected=9, p50=5.0, p90=9.0, p99=None, max=None)


@pytest.mark.parametrize(
    ("one", "other", "expected"), [(1.0, 4.0, 0.25), (None, 4.0, None), (1.0, None, None), (1.0, 0.0, None)]
)
def test_a_ratio_needs_both_sides(one: float | None, other: float | None, expected: float | None) -> None:
    assert ratio(one, other) == expected


def test_a_table_is_markdown_with_numbers_to_the_right() -> None:
    assert table(["what", "n"], [["a", "1"], ["long one", "1000"]]).splitlines() == [
        "| what     |    n |",
        "| -------- | ---: |",
        "| a        |    1 |",
        "| long one | 1000 |",
    ]


def test_words_are_read_from_complete_log_lines_alone() -> None:
    assert list(words(LOG)) == [
        Word(at=TEN_O_CLOCK + 1.5, peer="n2", state=State.ONLINE),
        Word(at=TEN_O_CLOCK + 2.75, peer="n2", state=State.SUSPECT),
    ]
    assert list(words("")) == []


def test_delays_count_the_true_word_and_tell_first_last_and_own_apart() -> None:
    spoken = said(
        n1=[(99.0, "n3", State.OFFLINE), (100.5, "n3", State.SUSPECT), (101.0, "n3", State.OFFLINE)],
        n2=[(100.25, "n3", State.SUSPECT), (100.25, "n1", State.OFFLINE), (102.0, "n3", State.OFFLINE)],
        n3=[(100.75, "n3", State.OFFLINE)],
    )
    delays = detection.delays_of(FAULTS["kill"], "n3", 100.0, spoken, probe_at=100.125, raft_at=None)
    assert delays == {
        "sidecar_first": 1.0,
        "sidecar_last": 2.0,
        "sidecar_own": 0.75,
        "sidecar_doubt": 0.25,
        "native_probe": 0.125,
        "raft": None,
    }
    assert set(delays) == set(detection.DETECTORS)


def test_the_last_sidecar_has_spoken_only_when_all_have() -> None:
    spoken = said(n1=[(101.0, "n3", State.STALLED)], n2=[(101.0, "n3", State.SUSPECT)], n3=[])
    delays = detection.delays_of(FAULTS["stall-follower"], "n3", 100.0, spoken, probe_at=None, raft_at=None)
    assert delays["sidecar_first"] == 1.0
    assert delays["sidecar_last"] is None


def test_a_word_after_the_cut_off_is_a_miss() -> None:
    spoken = said(n1=[(106.5, "n3", State.OFFLINE)], n2=[], n3=[])
    delays = detection.delays_of(FAULTS["kill"], "n3", 100.0, spoken, probe_at=105.5, raft_at=106.5)
    assert (delays["sidecar_first"], delays["native_probe"], delays["raft"]) == (None, 5.5, None)


@pytest.mark.parametrize(
    ("fault", "peer", "state", "false"),
    [
        ("kill", "n3", State.SUSPECT, False),
        ("kill", "n3", State.OFFLINE, False),
        ("kill", "n3", State.STALLED, True),
        ("kill", "n2", State.SUSPECT, True),
        ("kill", "n2", State.ONLINE, False),
        ("freeze-10s", "n3", State.OFFLINE, False),
        ("stall-leader", "n3", State.OFFLINE, True),
        ("stall-leader", "n2", State.UNKNOWN, False),
    ],
)
def test_false_words_are_those_against_another_or_of_another_kind(
    fault: str, peer: str, state: State, false: bool
) -> None:
    mistakes = detection.mistakes_of(FAULTS[fault], "n3", said(n1=[(101.0, peer, state)]))
    assert mistakes == ((f"n1 says that {peer} is {state}",) if false else ())


def test_the_summary_tells_by_fault_and_detector_and_compares_with_raft() -> None:
    def delays(first: float, raft: float | None) -> dict[str, float | None]:
        return dict.fromkeys(detection.DETECTORS, first) | {"raft": raft}

    trials = [
        detection.Trial(fault="freeze-10s", delays=delays(1.0, 10.0), mistakes=()),
        detection.Trial(fault="stall-leader", delays=delays(2.0, None), mistakes=()),
        detection.Trial(fault="freeze-10s", delays=delays(3.0, 12.0), mistakes=()),
    ]
    summed = detection.summary(trials)
    assert summed["freeze-10s"]["sidecar_first"] == Spread(
        n=2, detected=2, p50=1.0, p90=3.0, p99=3.0, max=3.0
    )
    assert detection.ratios(summed) == {"freeze-10s": 0.1, "stall-leader": None}
    laid_out = detection.lay_out(summed)
    assert "| stall-leader: hashicorp/raft's own observation" in laid_out
    assert "> 6 |" in laid_out


@pytest.mark.integration
def test_detection_ends_with_one_json_object(need: Need) -> None:
    need("raftnode", raftnode)
    result = last_line("detection", "--n", "1", "--fault", "kill")
    kill = result["kill"]
    assert set(kill) == set(detection.DETECTORS)
    assert all(of["n"] == 1 for of in kill.values())
    assert kill["sidecar_last"]["detected"] == 1
    assert kill["raft"]["detected"] == 1
    assert result["ratios"]["kill"] > 0
    assert result["false_words"] == {"kill": 0}
