"""The metrics: what is exported, for whom, and that the catalogue says the same."""

from __future__ import annotations

import logging
import math
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from prometheus_client.exposition import generate_latest
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families

from raft_exporter.exposition import TableCollector, markdown, registry_of
from raft_exporter.log_rate import LogRate
from raft_exporter.logs import Output
from raft_exporter.metrics import METRICS, Kind
from raft_exporter.model.evidence import (
    Configuration,
    Evidence,
    HeartbeatFailed,
    HeartbeatsAnswered,
    LeaderChanged,
    NodeIdentity,
    NodeStatus,
    Outcome,
    ProbeKind,
    ProbeResult,
    Role,
    Server,
    Suffrage,
)
from raft_exporter.model.histogram import BOUNDS
from raft_exporter.model.policy import Policy
from raft_exporter.model.table import Table
from raft_exporter.reloads import Reloads

DOCS = Path(__file__).parents[1] / "docs"
SERVERS = (Server("n1", "a:1"), Server("n2", "b:1"), Server("n3", "c:1", Suffrage.NONVOTER))
STATUS = NodeStatus(Role.LEADER, 3, 10, 9, 8, 5, 1, 3, "n1", "a:1", None)
NOW = 20.0
WALL = 1_700_000_000.0
STANDARD = {
    "process_virtual_memory_bytes": set(),
    "process_resident_memory_bytes": set(),
    "process_start_time_seconds": set(),
    "process_cpu_seconds": set(),
    "process_open_fds": set(),
    "process_max_fds": set(),
    "python_info": {"version", "implementation", "major", "minor", "patchlevel"},
    "python_gc_objects_collected": {"generation"},
    "python_gc_objects_uncollectable": {"generation"},
    "python_gc_collections": {"generation"},
}
"""What dashboards of any process ask for, and its labels."""


class Scrape:
    """One scrape of a table; ``value`` finds one sample."""

    def __init__(self, table: Table, now: float = NOW, reloads: Callable[[], Reloads] | None = None) -> None:
        ticks = iter((1.0, 1.25))
        collector = TableCollector(
            table,
            now=lambda: now,
            perf=lambda: next(ticks),
            wall=lambda: WALL,
            lag=lambda: 0.5,
            store_errors=lambda: 3,
            reloads=reloads,
        )
        self.text = generate_latest(registry_of(collector)).decode()
        families = text_string_to_metric_families(self.text)
        self.samples: dict[tuple[object, ...], float] = {
            (sample.name, *sorted(sample.labels.items())): sample.value
            for family in families
            for sample in family.samples
        }

    def value(self, name: str, **labels: str) -> float:
        return self.samples[name, *sorted(labels.items())]


def empty() -> Table:
    return Table(Policy.of(1.0), (), 0.0)


def watched() -> Table:
    table = empty()
    before: tuple[Evidence, ...] = (NodeIdentity("n1", "a:1", 1.0), Configuration(SERVERS, 4), STATUS)
    for evidence in before:
        table.take(evidence, NOW - 2)
    for evidence in (
        STATUS,
        HeartbeatsAnswered("n2", 3, 0.006, (0, 3, *[0] * (len(BOUNDS) - 1)), 0.1),
        HeartbeatFailed("n3"),
        ProbeResult("n1", ProbeKind.RAFT, Outcome.OK, 0.002, 0.0, term=3, last_log_index=10),
        ProbeResult("n3", ProbeKind.RAFT, Outcome.REFUSED, None, 0.0),
    ):
        table.take(evidence, NOW - 1)
    table.judge(NOW - 1)
    return table


@pytest.mark.parametrize("table", [empty(), watched()], ids=["nothing known", "a cluster"])
def test_what_is_exported_is_what_the_catalogue_says(table: Table) -> None:
    families = {family.name: family for family in registry_of(collector(table)).collect()}
    assert list(families) == [metric.family for metric in METRICS] + list(STANDARD)
    for metric in METRICS:
        family = families[metric.family]
        assert (family.type, family.documentation) == (metric.kind, metric.help)
        for sample in family.samples:
            assert set(sample.labels) - {"le"} == set(metric.labels), metric.name
            suffixes = ("_bucket", "_sum", "_count") if metric.kind is Kind.HISTOGRAM else ("",)
            assert sample.name in {metric.name + suffix for suffix in suffixes}


def test_the_process_and_its_python_tell_of_themselves_under_the_usual_names() -> None:
    scrape = Scrape(empty())
    families = text_string_to_metric_families(scrape.text)
    standard = [family for family in families if not family.name.startswith("raft_")]
    assert {family.name: set(family.samples[0].labels) for family in standard} == STANDARD
    assert 0 < scrape.value("process_start_time_seconds") < time.time()
    assert scrape.value("process_cpu_seconds_total") > 0
    assert 0 < scrape.value("process_open_fds") < scrape.value("process_max_fds")


def collector(table: Table) -> TableCollector:
    return TableCollector(
        table, now=lambda: NOW, perf=lambda: 0.0, wall=lambda: WALL, lag=lambda: 0.0, store_errors=lambda: 0
    )


def test_the_generated_page_is_what_is_checked_in() -> None:
    assert (DOCS / "metrics.md").read_text() == markdown(), "run `make docs`"


def test_the_page_is_written_by_the_documented_command() -> None:
    command = [sys.executable, "-m", "raft_exporter.exposition"]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    assert result.stdout == markdown()


@pytest.mark.parametrize("table", [empty(), watched()], ids=["nothing known", "a cluster"])
def test_openmetrics_is_valid_and_has_no_created_series(table: Table) -> None:
    text = generate_openmetrics(registry_of(collector(table))).decode()
    families = {family.name for family in parse_openmetrics(text)}
    assert families == {metric.family for metric in METRICS} | STANDARD.keys()
    assert "_created" not in text


def test_the_node_tells_of_itself() -> None:
    scrape = Scrape(watched())
    assert scrape.value("raft_up") == 1
    assert scrape.value("raft_node_info", id="n1", address="a:1", kind="raft", protocol_version="3") == 1
    assert {role: scrape.value("raft_node_role", role=role) for role in Role} == {
        role: float(role is Role.LEADER) for role in Role
    }
    for name, value in {
        "term": 3,
        "last_log_index": 10,
        "commit_index": 9,
        "applied_index": 8,
        "snapshot_index": 5,
        "fsm_pending": 1,
        "voter": 1,
        "in_configuration": 1,
        "has_leader": 1,
        "leader_silence_seconds": 1,
        "main_loop_silence_seconds": 1,
        "leader_changes_total": 0,
        "elections_total": 0,
    }.items():
        assert scrape.value(f"raft_node_{name}") == value, name
    assert scrape.value("raft_node_leader_info", leader="n1", address="a:1") == 1


def test_the_cluster_and_its_margin() -> None:
    scrape = Scrape(watched())
    assert [scrape.value("raft_cluster_members", suffrage=each) for each in Suffrage] == [2, 1, 0]
    assert scrape.value("raft_cluster_quorum") == 2
    assert scrape.value("raft_cluster_voters_online") == 2
    assert scrape.value("raft_cluster_failure_tolerance") == 0
    assert scrape.value("raft_configuration_index") == 4


def test_peers() -> None:
    scrape = Scrape(watched())
    assert scrape.value("raft_peer_info", peer="n3", address="c:1", suffrage="nonvoter") == 1
    assert scrape.value("raft_peer_state", peer="n2", state="online") == 1
    assert scrape.value("raft_peer_state", peer="n2", state="offline") == 0
    assert scrape.value("raft_peer_state", peer="n3", state="suspect") == 1
    assert scrape.value("raft_peer_judged_state_age_seconds", peer="n2") == 1
    assert scrape.value("raft_peer_silence_seconds", peer="n2", source="heartbeat") == pytest.approx(1.1)
    assert math.isnan(scrape.value("raft_peer_silence_seconds", peer="n2", source="raft"))
    assert scrape.value("raft_peer_silence_seconds", peer="n3", source="any") == 2
    assert scrape.value("raft_peer_last_contact_timestamp_seconds", peer="n2") == pytest.approx(WALL - 1.1)
    assert scrape.value("raft_peer_last_contact_timestamp_seconds", peer="n3") == 0
    assert scrape.value("raft_peer_heartbeats_total", peer="n2") == 3
    assert scrape.value("raft_peer_heartbeat_failures_total", peer="n3") == 1
    assert scrape.value("raft_peer_heartbeat_duration_seconds_bucket", peer="n2", le="0.0005") == 0
    assert scrape.value("raft_peer_heartbeat_duration_seconds_bucket", peer="n2", le="0.001") == 3
    assert scrape.value("raft_peer_heartbeat_duration_seconds_sum", peer="n2") == 0.006
    assert scrape.value("raft_peer_probes_total", peer="n3", probe="raft") == 1
    assert scrape.value("raft_peer_probe_failures_total", peer="n3", probe="raft", reason="refused") == 1
    assert scrape.value("raft_peer_probe_failures_total", peer="n1", probe="raft", reason="refused") == 0
    assert scrape.value("raft_peer_probe_duration_seconds_count", peer="n1", probe="raft") == 1
    assert scrape.value("raft_peer_term", peer="n1") == 3
    assert math.isnan(scrape.value("raft_peer_term", peer="n2"))
    assert scrape.value("raft_peer_transitions_total", peer="n2", to="online") == 1


def test_the_exporter_tells_of_itself() -> None:
    scrape = Scrape(watched())
    assert scrape.value("raft_exporter_threshold_seconds", threshold="suspect_after") == 2
    assert scrape.value("raft_exporter_event_loop_lag_seconds") == 0.5
    assert scrape.value("raft_exporter_scrape_duration_seconds") == 0.25
    assert scrape.value("raft_exporter_observations_total", kind="leader") == 0
    assert scrape.value("raft_exporter_config_last_reload_successful") == 1
    assert scrape.value("raft_exporter_config_last_reload_success_timestamp_seconds") == WALL


def test_a_failed_reload_is_told_with_the_time_of_the_last_good_one() -> None:
    scrape = Scrape(empty(), reloads=lambda: Reloads(successful=False, succeeded_at=WALL - 60))
    assert scrape.value("raft_exporter_config_last_reload_successful") == 0
    assert scrape.value("raft_exporter_config_last_reload_success_timestamp_seconds") == WALL - 60


def test_log_lines_are_counted_by_level_and_so_is_what_was_held_back(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    output = Output(LogRate(burst=2), later=lambda _, __: None)
    monkeypatch.setattr("raft_exporter.exposition.OUTPUT", output)
    fresh = Scrape(empty())
    for level in (logging.INFO, *[logging.WARNING] * 5):
        output.handle(logging.LogRecord("raft_exporter", level, "", 0, "joined", None, None))
    scrape = Scrape(empty())
    levels = ("debug", "info", "warning", "error")
    assert [fresh.value("raft_exporter_log_messages_total", level=each) for each in levels] == [0, 0, 0, 0]
    assert [scrape.value("raft_exporter_log_messages_total", level=each) for each in levels] == [0, 1, 2, 0]
    assert scrape.value("raft_exporter_log_messages_suppressed_total") == 3
    assert len(capsys.readouterr().err.splitlines()) == 3


def test_what_is_not_known_is_nan_and_never_a_made_up_zero() -> None:
    scrape = Scrape(empty())
    for name in (
        "term",
        "last_log_index",
        "commit_index",
        "voter",
        "in_configuration",
        "has_leader",
        "leader_silence_seconds",
    ):
        assert math.isnan(scrape.value(f"raft_node_{name}")), name
    assert math.isnan(scrape.value("raft_configuration_index"))
    assert scrape.value("raft_up") == 0
    assert scrape.value("raft_node_role", role="unknown") == 1
    assert scrape.value("raft_node_leader_info", leader="", address="") == 1


def test_every_series_of_a_member_exists_from_the_start() -> None:
    table = empty()
    table.take(Configuration(SERVERS[:1]), 0.0)
    fresh = {name for name, *labels in Scrape(table).samples if ("peer", "n1") in labels}
    expected = {metric.name for metric in METRICS if "peer" in metric.labels}
    assert {
        str(name).removesuffix("_bucket").removesuffix("_sum").removesuffix("_count") for name in fresh
    } == expected


def test_a_member_that_left_leaves_no_series() -> None:
    table = watched()
    assert 'peer="n2"' in Scrape(table).text
    table.take(Configuration((SERVERS[0], SERVERS[2])), NOW)
    table.judge(NOW)
    assert "n2" not in Scrape(table).text


def test_labels_from_outside_are_escaped() -> None:
    table = empty()
    odd = 'n"\\\n1'
    table.take(Configuration((Server(odd, 'a"b:1'),)), 0.0)
    table.take(LeaderChanged(odd, 'a"b:1'), 0.0)
    scrape = Scrape(table, now=0.0)
    assert scrape.value("raft_peer_info", peer=odd, address='a"b:1', suffrage="voter") == 1
