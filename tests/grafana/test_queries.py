"""Every query parses, with one cluster, several, and none; and the helper that lists them leaves none out."""

from __future__ import annotations

from typing import Any

import promql_parser
import pytest

from tests.grafana.queries import Query, load, names, panels, queries
from tests.grafana.tree import nodes, selectors

CHOICES = {
    "nothing chosen": {},
    "one cluster": {"cluster": "orders"},
    "several": {"cluster": "(orders|stock)", "job": "(a|b)", "instance": "(10\\\\.0\\\\.0\\\\.1:9641|b)"},
}


@pytest.mark.parametrize("name", names())
@pytest.mark.parametrize("choice", CHOICES)
def test_every_query_parses(name: str, choice: str) -> None:
    found = queries(load(name), **CHOICES[choice])
    assert found
    for query in found:
        promql_parser.parse(query.expr)
        assert "$cluster" not in query.expr
        assert "$__" not in query.expr


@pytest.mark.parametrize("name", names())
def test_no_query_is_left_out(name: str) -> None:
    dashboard = load(name)
    found = queries(dashboard)
    targets = sum(len(panel.get("targets", [])) for panel in panels(dashboard))
    variables = sum(one["type"] == "query" for one in dashboard["templating"]["list"])
    annotations = len(dashboard["annotations"]["list"])
    assert [query.origin for query in found] == [
        *["panel"] * targets,
        *["variable"] * variables,
        *["annotation"] * annotations,
    ]


@pytest.mark.parametrize("name", names())
def test_everything_is_asked_in_the_scope_of_the_cluster(name: str) -> None:
    for query in queries(load(name), cluster="orders"):
        if query.panel == "cluster":
            continue
        for selector, _ in selectors(query.expr):
            scope = [one.value for one in selector.matchers.matchers if one.name == "cluster"]
            assert scope == ["orders"] or selector.name == "cluster:raft_sidecars_down:sum", query


@pytest.mark.parametrize("name", names())
def test_with_nothing_chosen_what_has_no_label_cluster_is_selected(name: str) -> None:
    dashboard = load(name)
    (cluster,) = [one for one in dashboard["templating"]["list"] if one["name"] == "cluster"]
    assert cluster["includeAll"]
    assert cluster["current"]["value"] in ("$__all", ["$__all"])
    # .* matches what is not there, .+ would not.
    assert cluster["allValue"] == ".*"


@pytest.mark.parametrize("name", names())
def test_aggregations_keep_the_clusters_apart_or_are_of_all(name: str) -> None:
    totals = {"number", "stat"}
    for panel in panels(load(name)):
        for target in panel.get("targets", []):
            for node in _aggregations(target["expr"]):
                labels = node.modifier.labels if node.modifier else []
                kept = node.modifier and (
                    "cluster" in labels or node.modifier.type is promql_parser.AggModifierType.Without
                )
                assert kept or panel["type"] in totals or _of_all(panel, labels), (panel["title"], str(node))


def _of_all(panel: dict[str, Any], labels: list[str]) -> bool:
    """Tell what is a total on purpose, or has the cluster in another label."""
    totals = {"Clusters by margin", "Versions"}
    return panel["title"] in totals or labels in (["le"], ["threshold"], ["from", "peer"])


def _aggregations(expression: str) -> list[Any]:
    for name, duration in (("$__rate_interval", "1m"), ("$__range", "1h"), ("$__interval", "15s")):
        expression = expression.replace(name, duration)
    return [node for node, _ in nodes(expression) if isinstance(node, promql_parser.AggregateExpr)]


def test_values_go_in_where_the_variables_were() -> None:
    dashboard: dict[str, Any] = {
        "title": "Raft / Test",
        "panels": [
            {"type": "row", "title": "Row", "panels": []},
            {
                "type": "stat",
                "title": "Up",
                "targets": [
                    {"refId": "A", "expr": 'rate(x{cluster=~"$cluster", job=~"${job}"}[$__rate_interval])'},
                    {"refId": "B", "expr": 'max_over_time(y{instance=~"$instance"}[$__range:$__interval])'},
                ],
            },
        ],
        "templating": {
            "list": [
                {"type": "datasource", "name": "datasource", "query": "prometheus"},
                {
                    "type": "query",
                    "name": "job",
                    "query": {"query": 'label_values(up{cluster=~"$cluster"}, job)'},
                },
                {"type": "query", "name": "alerts", "query": {"query": 'query_result(max(z{a="b"}))'}},
            ]
        },
        "annotations": {"list": [{"name": "Alerts", "expr": 'ALERTS{cluster=~"$cluster"}'}]},
    }
    dashboard["panels"][1]["targets"][0]["instant"] = True
    found = queries(
        dashboard, cluster="a", job="b", instance="c", rate_interval="2m", range="6h", interval="1m"
    )
    title = "Raft / Test"
    assert found == [
        Query(title, "Up", "A", 'rate(x{cluster=~"a", job=~"b"}[2m])', "instant"),
        Query(title, "Up", "B", 'max_over_time(y{instance=~"c"}[6h:1m])', "range"),
        Query(title, "job", "job", 'up{cluster=~"a"}', "label_values", "job", "variable"),
        Query(title, "alerts", "alerts", 'max(z{a="b"})', "instant", "", "variable"),
        Query(title, "Alerts", "Anno", 'ALERTS{cluster=~"a"}', "annotation", "", "annotation"),
    ]


def test_a_variable_that_nobody_knows_is_an_error() -> None:
    dashboard = load("raft-fleet")
    next(panels(dashboard))["targets"][0]["expr"] = 'up{zone="$zone"}'
    with pytest.raises(KeyError, match="zone"):
        queries(dashboard)
