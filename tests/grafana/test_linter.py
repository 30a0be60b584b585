"""The 17 checks of Grafana's dashboard-linter hold on every dashboard, and each of them can fail."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest

from tests.grafana.linter import CHECKS
from tests.grafana.queries import load, names

Json = dict[str, Any]


@pytest.mark.parametrize("name", names())
@pytest.mark.parametrize("check", CHECKS)
def test_every_check_holds_on_every_dashboard(check: str, name: str) -> None:
    assert list(CHECKS[check](load(name))) == []


def _set(*path: str | int, value: object) -> Callable[[Json], None]:
    def spoil(dashboard: Json) -> None:
        place: Any = dashboard
        for step in path[:-1]:
            place = place[step]
        place[path[-1]] = value

    return spoil


def _expression(expression: str) -> Callable[[Json], None]:
    return _set("panels", 0, "targets", 0, "expr", value=expression)


SCOPE = 'job=~"$job", instance=~"$instance"'
SMALL: Json = {
    "editable": False,
    "templating": {
        "list": [
            {"type": "datasource", "name": "datasource", "label": "Data source", "query": "prometheus"},
            *(
                {
                    "type": "query",
                    "name": name,
                    "label": name.title(),
                    "datasource": {"uid": "${datasource}"},
                    "multi": True,
                    "allValue": ".+",
                    "refresh": 2,
                    "query": {"query": f"label_values(up, {name})"},
                }
                for name in ("job", "instance")
            ),
        ]
    },
    "panels": [
        {
            "id": 1,
            "type": "stat",
            "title": "Up",
            "description": "Whether it is up.",
            "datasource": {"uid": "${datasource}"},
            "fieldConfig": {"defaults": {"unit": "none"}, "overrides": []},
            "targets": [
                {
                    "refId": "A",
                    "datasource": {"type": "prometheus", "uid": "${datasource}"},
                    "expr": f"sum(rate(x_total{{{SCOPE}}}[$__rate_interval]))",
                }
            ],
        }
    ],
}


@pytest.mark.parametrize(
    ("check", "spoil"),
    [
        ("template-datasource-rule", _set("templating", "list", 0, "label", value="Source")),
        ("template-job-rule", _set("templating", "list", 1, "allValue", value=".*")),
        ("template-job-rule", _set("templating", "list", 1, "name", value="jobs")),
        ("template-instance-rule", _set("templating", "list", 2, "multi", value=False)),
        ("template-label-promql-rule", _set("templating", "list", 1, "query", "query", value="up")),
        ("template-label-promql-rule", _set("templating", "list", 1, "query", "query", value="metrics(u p)")),
        ("template-on-time-change-reload-rule", _set("templating", "list", 1, "refresh", value=1)),
        ("panel-datasource-rule", _set("panels", 0, "datasource", value={"uid": "abc"})),
        ("panel-title-description-rule", _set("panels", 0, "description", value="")),
        ("panel-units-rule", _set("panels", 0, "fieldConfig", "defaults", value={})),
        ("panel-units-rule", _set("panels", 0, "fieldConfig", "defaults", "unit", value="seconds")),
        ("panel-no-targets-rule", _set("panels", 0, "targets", value=[])),
        ("target-logql-rule", _set("panels", 0, "targets", 0, "datasource", "type", value="loki")),
        ("target-logql-auto-rule", _expression(f"rate(x_total{{{SCOPE}}}[$__auto])")),
        ("target-promql-rule", _expression("sum(")),
        ("target-rate-interval-rule", _expression(f"rate(x_total{{{SCOPE}}}[5m])")),
        ("target-rate-interval-rule", _expression(f"increase(x_total{{{SCOPE}}}[$__range])")),
        ("target-job-rule", _expression('sum(up{instance=~"$instance"})')),
        ("target-job-rule", _expression(f'sum(up{{{SCOPE}}}) + sum(up{{job="$job"}})')),
        ("target-instance-rule", _expression('sum(up{job=~"$job", instance=~".+"})')),
        ("target-counter-agg-rule", _expression(f"sum(x_total{{{SCOPE}}})")),
        ("target-counter-agg-rule", _expression(f"changes(x_total{{{SCOPE}}}[$__rate_interval])")),
        ("uneditable-dashboard-rule", _set("editable", value=True)),
    ],
)
def test_each_check_finds_its_fault(check: str, spoil: Callable[[Json], None]) -> None:
    dashboard = copy.deepcopy(SMALL)
    assert {name: list(one(dashboard)) for name, one in CHECKS.items()} == {name: [] for name in CHECKS}
    spoil(dashboard)
    assert len(list(CHECKS[check](dashboard))) == 1


def test_there_are_seventeen_checks() -> None:
    assert len(CHECKS) == 17
