"""The rules keep what they promise: to the catalogue of metrics, to the runbook, and to each other."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

import pytest
from promql_parser import AggregateExpr, BinaryExpr, Expr, NumberLiteral, VectorSelector, parse

from tests.rules.promql import (
    COMPARISONS,
    arms,
    bare,
    every,
    is_scalar,
    labels,
    on,
    reads,
    selectors,
)
from tests.rules.rulebook import ALERTS, ALL, RECORDS, RULES, TARGET, Rule, templates

ROOT: Final = Path(__file__).parents[2]
RUNBOOK: Final = "https://github.com/raft-exporter/raft-exporter/blob/main/docs/runbook.md"
SETTLED: Final = "cluster:raft_settled:bool"
OVERRIDDEN, DOWN = "cluster_peer:raft_override:max", "cluster_peer:raft_down:bool"
SILENCERS: Final = {OVERRIDDEN, DOWN}
"""What silences an alert about a member: an operator's word, or that it is down, which is told already."""

SEVERITIES: Final = {
    "RaftQuorumLost": "critical",
    "RaftNoLeader": "critical",
    "RaftSplitBrain": "critical",
    "RaftLeaderStalled": "critical",
    "RaftQuorumAtRisk": "critical",
    "RaftNoReporters": "critical",
    "RaftPeerOffline": "warning",
    "RaftNodeStalled": "warning",
    "RaftNodeIsolated": "warning",
    "RaftPartialPartition": "warning",
    "RaftPeerFlapping": "warning",
    "RaftLeaderChurn": "warning",
    "RaftStaleLeader": "warning",
    "RaftTermRunaway": "warning",
    "RaftFollowerLagging": "warning",
    "RaftCommitStalled": "warning",
    "RaftNotInConfiguration": "warning",
    "RaftOverrideTooOld": "warning",
    "RaftExporterDown": "warning",
    "RaftSourceDown": "warning",
    "RaftObservationsDropped": "warning",
    "RaftExporterReloadFailed": "warning",
    "RaftExporterStoreFailing": "warning",
    "RaftReportersDisagree": "info",
    "RaftOverrideActive": "info",
    "RaftReporterMissing": "info",
}
"""Every alert there is: critical pages, warning makes a ticket, info is not routed."""

GATED: Final = {
    "RaftQuorumLost",
    "RaftNoLeader",
    "RaftLeaderStalled",
    "RaftQuorumAtRisk",
    "RaftPeerOffline",
    "RaftNodeStalled",
    "RaftNodeIsolated",
    "RaftPartialPartition",
    "RaftFollowerLagging",
}
"""Alerts that would begin while a cluster is being started, and must not."""

NOT_SILENCED: Final = {
    "RaftOverrideActive": "it tells of the override itself",
    "RaftOverrideTooOld": "it tells of the override itself",
}
"""Alerts about a member that its override does not silence, and why."""

CONSEQUENCES: Final = {"RaftFollowerLagging", "RaftExporterDown", "RaftSourceDown"}
"""What a member that is down brings with it, and is not told of it."""

NOT_KEPT: Final = {
    "RaftReporterMissing": "it takes ten minutes to begin, and nobody is told",
    "RaftOverrideActive": "an override does not flap",
    "RaftOverrideTooOld": "an override does not flap",
}
"""Alerts without keep_firing_for, and why."""

FOR_PEOPLE: Final = {
    "cluster:raft_failure_tolerance:sum": "the margin, as dashboards show it",
}
"""What is recorded for dashboards alone, and why."""

MEMBER_NUMBERS: Final = {
    "RaftPeerOffline": "of two or three members only one may be left to say that another is offline",
}
"""Rules that hold a number of members, and why."""


every_rule = pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
every_alert = pytest.mark.parametrize("rule", ALERTS, ids=lambda rule: rule.name)
every_record = pytest.mark.parametrize("rule", RECORDS, ids=lambda rule: rule.name)


def parted(expression: Expr) -> tuple[Expr, set[str]]:
    """The expression without what stands at its end to silence it for a member, and what that reads."""
    silencers: set[str] = set()
    while isinstance(join := bare(expression), BinaryExpr) and str(join.op) == "unless":
        if not reads(join.rhs) <= SILENCERS:
            break
        (name,) = reads(join.rhs)
        assert on(join) == frozenset({"cluster", "peer"})
        assert str(join.rhs) == f"{name}{{}} == 1"
        silencers.add(name)
        expression = join.lhs
    return bare(expression), silencers


@every_rule
def test_every_metric_and_every_label_that_a_rule_reads_exists(rule: Rule) -> None:
    for selector in selectors(rule.expression):
        assert selector.name in ALL
        assert {matcher.name for matcher in selector.matchers.matchers} <= ALL[selector.name]


@every_rule
def test_a_rule_keeps_the_cluster_and_asks_for_no_label_that_is_not_there(rule: Rule) -> None:
    assert "cluster" in labels(rule.expression, ALL.__getitem__)
    for aggregation in every(AggregateExpr, rule.expression):
        assert aggregation.modifier is not None
        assert "cluster" in labels(aggregation, ALL.__getitem__)
    for operation in every(BinaryExpr, rule.expression):
        matched = None if is_scalar(operation.lhs) or is_scalar(operation.rhs) else on(operation)
        assert matched is None or "cluster" in matched


@every_record
def test_a_recorded_name_says_level_metric_and_operations(rule: Rule) -> None:
    level, metric, operations = rule.name.split(":")
    assert re.fullmatch(r"[a-z]+(_[a-z]+)*", level)
    assert re.fullmatch(r"raft(_[a-z]+)+", metric)
    assert re.fullmatch(r"[a-z]+[0-9]*[a-z]*", operations)
    found = labels(rule.expression, ALL.__getitem__)
    if level == "instance":
        assert TARGET <= found <= TARGET | {"peer"}
    else:
        assert set(level.split("_")) == found


@every_record
def test_what_is_recorded_is_read_by_another_rule_or_meant_for_people(rule: Rule) -> None:
    readers = {
        other.name for other in RULES if other.name != rule.name and rule.name in reads(other.expression)
    }
    queries = {query for alert in ALERTS for query, _ in templates(alert) if rule.name in query}
    assert bool(readers or queries) != (rule.name in FOR_PEOPLE)


@every_rule
def test_no_rule_holds_a_number_of_members_or_of_seconds(rule: Rule) -> None:
    def counts(part: Expr) -> bool:
        match bare(part):
            case VectorSelector(name=str(name)):
                return bool(re.search(r"_seconds$|:(sum|count|floor)$|_seconds:[a-z]+$", name))
            case AggregateExpr(op=op):
                return str(op) in {"sum", "count"}
        return False

    compared = [each for each in every(BinaryExpr, rule.expression) if str(each.op) in COMPARISONS]
    numbers = {
        number.val
        for each in compared
        for part, other in ((each.lhs, each.rhs), (each.rhs, each.lhs))
        if counts(part)
        for number in every(NumberLiteral, other)
        if is_scalar(other) and number.val
    }
    assert bool(numbers) == (rule.name in MEMBER_NUMBERS)


def test_the_alerts_are_those_that_were_promised() -> None:
    assert {rule.name: rule.source["labels"] for rule in ALERTS} == {
        name: {"severity": severity} for name, severity in SEVERITIES.items()
    }


@every_alert
def test_an_alert_says_what_it_is_and_where_to_read_on(rule: Rule) -> None:
    annotations = rule.source["annotations"]
    assert set(annotations) == {"summary", "description", "runbook_url"}
    assert re.fullmatch(r"Raft([A-Z][a-z]+)+", rule.name)
    assert re.fullmatch(r"[A-Z][^.{}\n]+\.", annotations["summary"])
    assert annotations["runbook_url"] == f"{RUNBOOK}#{rule.name.lower()}"
    found = labels(rule.expression, ALL.__getitem__)
    assert set(re.findall(r"\$labels\.(\w+)", annotations["description"])) <= found
    assert annotations["description"].startswith("{{ with $labels.cluster }}Cluster {{ . }}: {{ end }}")


@every_alert
def test_the_queries_of_a_description_ask_for_what_exists_in_the_same_cluster(rule: Rule) -> None:
    asked = rule.source["annotations"]["description"].count("| query")
    assert len(templates(rule)) == asked
    for query, arguments in templates(rule):
        assert query.count("%s") == len(arguments)
        expression = parse(query)
        pairs = re.findall(r"(\w+)='%s'", query)
        assert pairs == arguments
        assert "cluster" in pairs
        for selector in selectors(expression):
            assert selector.name in ALL
            assert {matcher.name for matcher in selector.matchers.matchers} <= ALL[selector.name]


@every_alert
def test_an_alert_is_kept_over_a_gap_unless_there_is_a_reason(rule: Rule) -> None:
    assert ("keep_firing_for" in rule.source) != (rule.name in NOT_KEPT)


@every_alert
def test_an_alert_reads_back_its_own_state_alone(rule: Rule) -> None:
    for selector in selectors(rule.expression):
        if selector.name == "ALERTS":
            matchers = {str(matcher) for matcher in selector.matchers.matchers}
            assert matchers == {f'alertname="{rule.name}"', 'alertstate="firing"'}


@every_alert
def test_what_begins_an_alert_waits_for_the_cluster_and_what_keeps_it_does_not(rule: Rule) -> None:
    expression, _ = parted(rule.expression)
    first, *others = arms(expression)
    assert (SETTLED in reads(first)) == (rule.name in GATED)
    assert all(SETTLED not in reads(other) for other in others)
    assert all("ALERTS" in reads(other) for other in others)
    for operation in every(BinaryExpr, first):
        if SETTLED in reads(operation.rhs) and SETTLED not in reads(operation.lhs):
            assert str(operation.op) == "and"
            assert on(operation) == frozenset({"cluster"})
            assert str(operation.rhs) == f"{SETTLED}{{}} == 1"


@every_alert
def test_what_is_said_of_a_member_is_silenced_by_its_override_and_consequences_by_their_cause(
    rule: Rule,
) -> None:
    _, silencers = parted(rule.expression)
    of_a_peer = "peer" in labels(rule.expression, ALL.__getitem__)
    assert (DOWN in silencers) == (rule.name in CONSEQUENCES)
    assert (OVERRIDDEN in silencers) == (of_a_peer and rule.name not in NOT_SILENCED)


def test_every_alert_has_its_place_in_the_runbook_and_the_other_way_round() -> None:
    headings = re.findall(r"^## (Raft\w+)$", (ROOT / "docs" / "runbook.md").read_text(), re.MULTILINE)
    assert sorted(headings) == sorted(SEVERITIES)


def test_the_page_about_the_rules_lists_what_is_recorded() -> None:
    rows = re.findall(
        r"^\| `([a-z_]+:[a-z_0-9]+:[a-z_0-9]+)` \|", (ROOT / "docs" / "rules.md").read_text(), re.MULTILINE
    )
    assert rows == [rule.name for rule in RECORDS]
