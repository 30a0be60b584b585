"""The pure parts of the comparison on OpenBao's own metrics; Prometheus takes its rules and its jobs."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from bench._openbao_stage import FAULTS, RULES, with_openbao
from bench.comparison import LATE, OURS, routed
from bench.openbao import RECEIVERS, Page, cell, lay_out, pages_of, sums, verdict
from raft_exporter.demo.monitoring import Watch, prometheus_config, told_to
from raft_exporter.demo.receiver import Alert, Notification
from tests.conftest import Need

THEIRS = "openbao-observability"


@pytest.fixture
def promtool(need: Need) -> str:
    return need("promtool", lambda: shutil.which("promtool"))


def notified(at: float, receiver: str, alert: str, status: str = "firing") -> Notification:
    alerts = (Alert(status=status, labels={"alertname": alert}, annotations={}),)
    return Notification(receiver=receiver, status=status, group_key="", alerts=alerts, at=at)


def test_the_pages_of_each_rule_set_are_what_its_receiver_was_told_to_fire() -> None:
    told = [
        notified(1230.04, "openbao", "OpenBaoAutopilotUnhealthy"),
        notified(1026, "pager", "RaftQuorumAtRisk"),
        notified(1030, "ticket", "RaftPeerOffline"),
        notified(1130, "openbao", "OpenBaoRaftPeerCountLow"),
        notified(1300, "pager", "RaftQuorumAtRisk", status="resolved"),
    ]
    assert pages_of(1000, told) == {
        THEIRS: [Page("OpenBaoRaftPeerCountLow", 130.0), Page("OpenBaoAutopilotUnhealthy", 230.0)],
        OURS: [Page("RaftQuorumAtRisk", 26.0)],
    }


@pytest.mark.parametrize(
    ("pages", "expected"),
    [
        ([], "nothing"),
        ([Page("A", 12.4)], "A 12 s"),
        ([Page("A", 12.4), Page("B", 130.0)], "A 12 s; B 130 s"),
        ([Page("A", 12.4), Page("B", 130.0), Page("A", 190.0)], "A 12 s; B 130 s; +1"),
    ],
)
def test_a_cell_names_each_alert_with_its_first_page(pages: list[Page], expected: str) -> None:
    assert cell(pages) == expected


@pytest.mark.parametrize(
    ("pages", "kind", "duplicates"),
    [
        ([], "missed", 0),
        ([Page("A", LATE)], "true", 0),
        ([Page("A", LATE + 1)], "late", 0),
        ([Page("A", LATE - 1), Page("B", LATE)], "true", 1),
    ],
)
def test_every_fault_is_to_be_paged_once_and_in_time(pages: list[Page], kind: str, duplicates: int) -> None:
    judged = verdict(pages)
    assert [each for each in ("true", "late", "missed") if getattr(judged, each)] == [kind]
    assert (judged.duplicate, judged.false) == (duplicates, 0)


def test_the_tables_have_a_row_a_fault_and_a_row_a_rule_set() -> None:
    told = {
        "node sealed": {THEIRS: [Page("A", 130.0), Page("B", 131.0)], OURS: [Page("C", 26.0)]},
        "leader frozen": {THEIRS: [], OURS: [Page("C", 36.0)]},
    }
    assert sums(told) == {
        THEIRS: {"true": 0, "late": 1, "missed": 1, "duplicate": 1},
        OURS: {"true": 2, "late": 0, "missed": 0, "duplicate": 0},
    }
    assert [line.replace(" ", "") for line in lay_out(told).splitlines()] == [
        "|fault|openbao-observability|raft-exporter|",
        "|-------------|--------------------:|------------:|",
        "|nodesealed|A130s;B131s|C26s|",
        "|leaderfrozen|nothing|C36s|",
        "",
        "|ruleset|true|late|missed|duplicate|",
        "|---------------------|---:|---:|-----:|--------:|",
        "|openbao-observability|0|1|1|1|",
        "|raft-exporter|2|0|0|0|",
    ]


def test_each_rule_set_pages_its_own_receiver() -> None:
    config = yaml.safe_load(routed(told_to("http://127.0.0.1:1"), "http://127.0.0.1:1"))
    routes = {route["matchers"][0]: route["receiver"] for route in config["route"]["routes"]}
    alerts = [
        rule
        for group in yaml.safe_load(RULES.read_text())["groups"]
        for rule in group["rules"]
        if "alert" in rule
    ]
    assert {routes[f'ruleset = "{rule["labels"]["ruleset"]}"'] for rule in alerts} == {RECEIVERS[THEIRS]}
    assert set(RECEIVERS.values()) <= {receiver["name"] for receiver in config["receivers"]}


def test_no_two_faults_are_the_same() -> None:
    assert len(set(FAULTS.values())) == len(FAULTS)


def test_prometheus_takes_the_published_rules_and_both_jobs(promtool: str, tmp_path: Path) -> None:
    config = tmp_path / "prometheus.yml"
    watch = Watch({"": ["127.0.0.1:9641"]}, [RULES])
    config.write_text(with_openbao(prometheus_config(watch, None), ["127.0.0.1:8200"]))
    done = subprocess.run(
        [promtool, "check", "config", "--lint-fatal", str(config)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "11 rules found" in done.stdout
    jobs = {job["job_name"]: job for job in yaml.safe_load(config.read_text())["scrape_configs"]}
    assert jobs["openbao"]["static_configs"] == [{"targets": ["127.0.0.1:8200"]}]
    assert jobs["raft"]["static_configs"][0]["targets"] == ["127.0.0.1:9641"]
