from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import click
import promql_parser
import pytest
import yaml

from raft_exporter.cli import main
from raft_exporter.metrics import METRICS, Kind
from raft_exporter.model.policy import Policy

REPOSITORY = Path(__file__).resolve().parents[2]
RUNBOOK = (REPOSITORY / "docs" / "runbook.md").read_text()
PARTS = [
    "What it means.",
    "How it is decided.",
    "How long it takes.",
    "Look first.",
    "What to do.",
    "How to silence it.",
]
OF_ONE_MEMBER = {"RaftQuorumAtRisk"}
"""What an override silences through a recording rule."""


def rules(name: str, kind: str) -> dict[str, dict[str, Any]]:
    groups = yaml.safe_load((REPOSITORY / "rules" / name).read_text())["groups"]
    return {rule[kind]: rule for group in groups for rule in group["rules"]}


ALERTS = rules("raft.alerts.yml", "alert")
RECORDED = rules("raft.rules.yml", "record")


def sections() -> dict[str, str]:
    found = re.split(r"^## (.+)\n", RUNBOOK, flags=re.MULTILINE)
    return dict(zip(found[1::2], found[2::2], strict=True))


def of_alerts() -> dict[str, str]:
    return {title: text for title, text in sections().items() if title.startswith("Raft")}


def blocks(language: str) -> list[str]:
    found = re.findall(rf"^( *)```{language}\n(.*?)^\1```$", RUNBOOK, re.MULTILINE | re.DOTALL)
    return [line.strip() for _, block in found for line in block.splitlines() if line.strip()]


def commands() -> list[str]:
    return sorted({line.removeprefix("$ ") for line in blocks("console")})


def part(text: str, title: str) -> str:
    _, _, after = text.partition(f"**{title}**")
    return re.split(r"^\*\*|^## ", after, maxsplit=1, flags=re.MULTILINE)[0]


def delays() -> list[list[str]]:
    """The rows of the table of delays, those that go on with an alert named above left out."""
    text = sections()["How long a page takes"]
    lines = [line.strip("|") for line in text.splitlines() if line.startswith("|")]
    rows = [[cell.strip() for cell in line.split("|")] for line in lines]
    return [row for row in rows if row[0].startswith("[")]


def test_every_alert_has_its_section_in_the_order_of_the_rules_and_there_is_no_other() -> None:
    assert list(of_alerts()) == list(ALERTS)


@pytest.mark.parametrize("name", list(ALERTS))
def test_every_section_has_its_six_parts_and_three_things_to_look_at(name: str) -> None:
    text = of_alerts()[name]
    assert re.findall(r"^\*\*(.+?\.)\*\*", text, re.MULTILINE) == PARTS
    assert re.findall(r"^(\d)\. ", part(text, "Look first."), re.MULTILINE) == ["1", "2", "3"]
    assert all(part(text, title).strip() for title in PARTS)


def test_links_within_the_page_have_their_headings() -> None:
    headings = re.findall(r"^#{1,3} (.+)$", RUNBOOK, re.MULTILINE)
    anchors = {re.sub(r"[^a-z0-9 -]", "", heading.lower()).replace(" ", "-") for heading in headings}
    assert set(re.findall(r"\]\(#([^)]+)\)", RUNBOOK)) <= anchors


def test_the_table_of_delays_has_every_alert_with_its_severity_and_for() -> None:
    told = {re.sub(r"\[(\w+)\]\(.*", r"\1", row[0]): (row[1], row[4].strip("`")) for row in delays()}
    assert told == {
        name: (alert["labels"]["severity"], alert.get("for", "-")) for name, alert in ALERTS.items()
    }


def test_for_how_long_a_rule_waits_is_told_in_its_section() -> None:
    for name, text in of_alerts().items():
        told = re.findall(r"`for: (\w+)`", part(text, "How it is decided."))
        assert set(told) <= {ALERTS[name].get("for")}, name


def test_an_override_is_advised_where_it_silences_the_alert_and_nowhere_else() -> None:
    join = "unless on (cluster, peer) cluster_peer:raft_override:max == 1"
    silenced = {name for name, alert in ALERTS.items() if join in " ".join(alert["expr"].split())}
    advised = {name for name, text in of_alerts().items() if "override set" in part(text, PARTS[-1])}
    assert advised == silenced | OF_ONE_MEMBER


@pytest.mark.parametrize("line", [line for line in commands() if line.startswith("raft-exporter")])
def test_every_command_is_one_that_raft_exporter_takes(line: str) -> None:
    _, *arguments = shlex.split(line)
    command: click.Command = main
    while isinstance(command, click.Group):
        name, *arguments = arguments
        assert name in command.commands, f"no such command: {name}"
        command = command.commands[name]
    command.make_context(command.name, arguments)


def test_every_line_of_a_console_is_a_command() -> None:
    assert [line for line in blocks("console") if not line.startswith("$ ")] == []


def test_every_silence_has_a_cluster_an_end_and_a_reason() -> None:
    silences = [shlex.split(line) for line in commands() if line.startswith("amtool silence add")]
    assert silences
    for words in silences:
        options = {word.partition("=")[0] for word in words if word.startswith("--")}
        assert options == {"--duration", "--comment"}
        assert "cluster=orders" in words
        (names,) = (word.split("=", 1)[1] for word in words if word.startswith("alertname="))
        assert set(names.strip('~"').split("|")) <= set(ALERTS)


@pytest.mark.parametrize("query", sorted(set(blocks("promql"))))
def test_every_query_can_be_parsed(query: str) -> None:
    promql_parser.parse(query)


def test_every_metric_and_every_recorded_series_that_is_named_exists() -> None:
    scraped = {metric.name for metric in METRICS}
    scraped |= {f"{metric.name}_bucket" for metric in METRICS if metric.kind is Kind.HISTOGRAM}
    named = set(re.findall(r"(?<![\w/])(?:\w+:)?raft_\w+(?::\w+)?", RUNBOOK))
    assert {name for name in named if ":" in name} <= RECORDED.keys()
    assert {name for name in named if ":" not in name} <= scraped


def test_every_threshold_that_is_named_exists() -> None:
    named = set(re.findall(r"`(\w+_(?:after|grace|fresh|span|dwell|life))`", RUNBOOK))
    assert named
    assert named <= Policy.of(1.0).thresholds().keys()
