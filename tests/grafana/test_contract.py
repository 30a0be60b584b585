"""Every metric of the dashboards exists, and every metric is on a dashboard or left out for a reason."""

from __future__ import annotations

import re
from functools import cache

import pytest
import yaml

from grafana.states import ROLE_NUMBERS, STATE_NUMBERS
from raft_exporter.metrics import METRICS, Kind
from raft_exporter.model.evidence import Role
from raft_exporter.model.judge import State
from tests.grafana.queries import ROOT, Query, load, names, queries
from tests.grafana.tree import selectors

LABELS = {
    f"{metric.name}{suffix}": {*metric.labels, *(["le"] if suffix == "_bucket" else [])}
    for metric in METRICS
    for suffix in (("_bucket", "_sum", "_count") if metric.kind is Kind.HISTOGRAM else ("",))
}
TARGET = {"cluster", "job", "instance"}
OTHERS = {"up": TARGET, "ALERTS": {"alertname", "alertstate", "severity", "cluster", "peer"}}


@cache
def recorded() -> frozenset[str]:
    groups = yaml.safe_load((ROOT / "rules" / "raft.rules.yml").read_text())["groups"]
    return frozenset(rule["record"] for group in groups for rule in group["rules"])


@cache
def asked(name: str) -> list[Query]:
    return queries(load(name))


def used(query: Query) -> set[str]:
    return {selector.name for selector, _ in selectors(query.expr)}


def left_out() -> dict[str, str]:
    """Read the table of docs/dashboards.md."""
    text = (ROOT / "docs" / "dashboards.md").read_text()
    section = text.split("## Metrics on no panel")[1].split("\n## ")[0]
    return dict(re.findall(r"^\| `(\w+)` \| (.+) \|$", section, re.MULTILINE))


@pytest.mark.parametrize("name", names())
def test_every_metric_of_a_query_exists(name: str) -> None:
    for query in asked(name):
        unknown = used(query) - set(LABELS) - set(OTHERS) - recorded()
        assert unknown == set(), f"{query.panel} {query.ref}"


@pytest.mark.parametrize("name", names())
def test_only_what_is_said_of_alerts_needs_the_rules(name: str) -> None:
    for query in asked(name):
        if used(query) & ({"ALERTS"} | recorded()):
            assert (query.origin, query.panel) in {("variable", "alerts"), ("annotation", "Alerts")}


@pytest.mark.parametrize("name", names())
def test_every_label_that_is_asked_for_exists(name: str) -> None:
    for query in asked(name):
        for selector, _ in selectors(query.expr):
            if selector.name in recorded():
                continue
            labels = (LABELS | OTHERS)[selector.name] | TARGET
            assert {one.name for one in selector.matchers.matchers} <= labels, query


def test_every_metric_is_on_a_panel_or_left_out_for_a_reason() -> None:
    on_panels = [query for name in names() for query in asked(name) if query.origin == "panel"]
    drawn = {metric for query in on_panels for metric in used(query)}
    missing = {metric.name for metric in METRICS if not {metric.name, f"{metric.name}_bucket"} & drawn}
    assert missing == set(left_out())
    assert all(len(reason) > 20 for reason in left_out().values())


def test_every_state_and_role_has_a_number() -> None:
    assert set(STATE_NUMBERS) == {str(state) for state in State}
    assert set(ROLE_NUMBERS) == {str(role) for role in Role}
