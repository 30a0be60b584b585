from __future__ import annotations

import os
import re
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.conftest import Need
from tests.rules import generate, promtool
from tests.rules.promtool import values

RULES = Path(__file__).parents[2] / "rules"
ALERTS = sorted(re.findall(r"- alert: (\w+)", (RULES / "raft.alerts.yml").read_text()))
FILES = generate.files()


def groups() -> list[dict[str, Any]]:
    documents = [yaml.safe_load((RULES / f"raft.{kind}.yml").read_text()) for kind in ("rules", "alerts")]
    return [group for document in documents for group in document["groups"]]


@cache
def all_tests() -> list[dict[str, Any]]:
    """All tests of all files."""
    return [test for text in FILES.values() for test in yaml.load(text, yaml.CSafeLoader)["tests"]]


def expectations(name: str) -> list[list[dict[str, Any]]]:
    """What each test of an alert expects to fire."""
    return [
        each["exp_alerts"]
        for test in all_tests()
        for each in test.get("alert_rule_test", ())
        if each["alertname"] == name
    ]


@pytest.fixture(scope="module")
def results(
    need: Need, tmp_path_factory: pytest.TempPathFactory
) -> dict[Path, subprocess.CompletedProcess[str]]:
    """What promtool says of each file; every processor has one to do."""
    tool = need("promtool", lambda: shutil.which("promtool"))
    # Less collecting of garbage: a third of the time.
    environment = {**os.environ, "GOGC": "800", "TMPDIR": str(tmp_path_factory.mktemp("promtool"))}

    def run(path: Path) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [tool, "test", "rules", path], capture_output=True, text=True, check=False, env=environment
        )

    with ThreadPoolExecutor(os.cpu_count()) as threads:
        return dict(zip(FILES, threads.map(run, FILES), strict=True))


def test_the_files_are_what_the_stories_make() -> None:
    assert {path.name for path in generate.DIRECTORY.glob("*.test.yml")} == {path.name for path in FILES}
    stale = [path.name for path, text in FILES.items() if path.read_text() != text]
    assert not stale, "python -m tests.rules.generate"


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_the_rules_do_what_the_stories_expect(
    path: Path, results: dict[Path, subprocess.CompletedProcess[str]]
) -> None:
    result = results[path]
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize("alert", ALERTS)
def test_each_alert_is_seen_to_fire_with_all_that_it_says(alert: str) -> None:
    firing = [each for expected in expectations(alert) for each in expected]
    assert firing
    for each in firing:
        assert "severity" in each["exp_labels"]
        assert set(each["exp_annotations"]) == {"summary", "description", "runbook_url"}


@pytest.mark.parametrize("alert", ALERTS)
def test_each_alert_is_seen_to_keep_silent(alert: str) -> None:
    assert [] in expectations(alert)


def test_the_groups_are_evaluated_as_their_files_order_them() -> None:
    assert [group["name"] for group in groups()] == list(promtool.GROUPS)


def test_no_rule_looks_at_a_clock_of_a_sidecar_or_at_the_time_of_day() -> None:
    expressions = [rule["expr"] for group in groups() for rule in group["rules"]]
    asking = [each for each in expressions if re.search(r"_timestamp_seconds|\btime\(|\btimestamp\(", each)]
    assert not asking


def test_all_that_the_rules_read_is_told_in_the_stories() -> None:
    read = {
        name
        for group in groups()
        for rule in group["rules"]
        for name in re.findall(r"(?<![:\w])(?:raft_\w+|up)\b(?!:)", rule["expr"])
    }
    told = {each["series"].partition("{")[0] for test in all_tests() for each in test["input_series"]}
    assert read <= told | {"raft_"}


@pytest.mark.parametrize(
    ("samples", "written"),
    [
        ({0: 1, 1: 1, 2: 1, 3: 1}, "1x3"),
        ({0: 1, 1: 1, 2: 1}, "1x2 stale"),
        ({0: 0, 1: 5, 2: 10, 3: 2}, "0+5x2 2"),
        ({0: 1, 1: 0, 2: 0, 3: 0}, "1 0x2"),
        ({2: 7, 3: 7}, "_x2 7x1"),
        ({0: 7}, "7 stale _x2"),
        ({0: 7, 2: 8, 3: 9}, "7 stale 8 9"),
        ({0: float("nan"), 1: float("nan"), 2: 3.5, 3: 3}, "NaN+0x1 3.5 3"),
    ],
)
def test_samples_are_written_in_promtools_notation(samples: dict[int, float], written: str) -> None:
    assert values(samples, 4) == written
