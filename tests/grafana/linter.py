"""The 17 checks of Grafana's dashboard-linter, written anew from what its rules say.

https://github.com/grafana/dashboard-linter/tree/main/docs/rules; where that one looks at some kinds of panels
only, here all are looked at that can have what is asked for. Each check gives one line for each fault.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any, Final, TypeAlias

import promql_parser

from tests.grafana.queries import panels
from tests.grafana.tree import nodes, selectors

Json: TypeAlias = dict[str, Any]
Check: TypeAlias = Callable[[Json], Iterator[str]]

_RATE_INTERVAL: Final = 9001
_DURATIONS: Final = {"$__rate_interval": f"{_RATE_INTERVAL}s", "$__range": "9002s", "$__interval": "9003s"}
_RATES: Final = {"rate", "irate", "increase"}
_WITH_DATA: Final = {
    "stat",
    "table",
    "timeseries",
    "state-timeline",
    "status-history",
    "heatmap",
    "barchart",
}
_UNITS: Final = {"none", "string", "short", "s", "ops", "dateTimeAsIso"}
"""Of the linter's list, those that are used here."""
_FUNCTIONS: Final = {"label_names", "label_values", "metrics", "query_result"}
_VARIABLE_QUERY: Final = re.compile(r"([a-z_]+)\((.+)\)", re.DOTALL)


def _variables(dashboard: Json, kind: str) -> list[Json]:
    return [one for one in dashboard["templating"]["list"] if one["type"] == kind]


def _targets(dashboard: Json) -> Iterator[tuple[str, str]]:
    """Give each query with where it stands, durations in place of what Grafana fills in."""
    for panel in panels(dashboard):
        for target in panel.get("targets", []):
            expression = target["expr"]
            for name, duration in _DURATIONS.items():
                expression = expression.replace(name, duration)
            yield f"{panel['title']} {target['refId']}", expression


def _parsed(dashboard: Json) -> Iterator[tuple[str, str]]:
    for place, expression in _targets(dashboard):
        try:
            promql_parser.parse(expression)
        except ValueError:
            continue
        yield place, expression


def template_datasource(dashboard: Json) -> Iterator[str]:
    found = _variables(dashboard, "datasource")
    if [(one["name"], one["label"], one["query"]) for one in found] != [
        ("datasource", "Data source", "prometheus")
    ]:
        yield "expected one variable datasource, labelled Data source, for prometheus"


def _template(name: str) -> Check:
    def check(dashboard: Json) -> Iterator[str]:
        found = [one for one in dashboard["templating"]["list"] if one["name"] == name]
        if not found:
            yield f"no variable {name}"
        for one in found:
            expected = ("query", "${datasource}", name.title(), True, ".+")
            told = (one["type"], one["datasource"]["uid"], one["label"], one["multi"], one["allValue"])
            if told != expected:
                yield f"variable {name}: expected {expected}, got {told}"

    return check


def template_label_promql(dashboard: Json) -> Iterator[str]:
    for one in _variables(dashboard, "query"):
        found = _VARIABLE_QUERY.fullmatch(one["query"]["query"])
        if not found or found[1] not in _FUNCTIONS:
            yield f"variable {one['name']}: no function of Prometheus variables"
            continue
        expression = found[2].rsplit(",", maxsplit=1)[0] if found[1] == "label_values" else found[2]
        try:
            promql_parser.parse(expression)
        except ValueError as error:
            yield f"variable {one['name']}: {error}"


def template_on_time_change_reload(dashboard: Json) -> Iterator[str]:
    for one in _variables(dashboard, "query"):
        if one["refresh"] != 2:
            yield f"variable {one['name']} is not read anew when the time changes"


def panel_datasource(dashboard: Json) -> Iterator[str]:
    for panel in panels(dashboard):
        for asked in (panel, *panel.get("targets", [])):
            if asked["datasource"]["uid"] not in {"$datasource", "${datasource}"}:
                yield f"{panel['title']}: a datasource of its own"


def panel_title_description(dashboard: Json) -> Iterator[str]:
    for panel in panels(dashboard):
        if not panel.get("title") or not panel.get("description"):
            yield f"panel {panel['id']} has no title or no description"


def panel_units(dashboard: Json) -> Iterator[str]:
    for panel in panels(dashboard):
        given = [panel["fieldConfig"]["defaults"].get("unit")]
        for override in panel["fieldConfig"]["overrides"]:
            given += [one["value"] for one in override["properties"] if one["id"] == "unit"]
        if not set(given) <= _UNITS:
            yield f"{panel['title']}: no unit, or none of Grafana's"


def panel_no_targets(dashboard: Json) -> Iterator[str]:
    for panel in panels(dashboard):
        if panel["type"] in _WITH_DATA and not panel.get("targets"):
            yield f"{panel['title']} asks for nothing"


def target_logql(dashboard: Json) -> Iterator[str]:
    """Hold LogQL to be right. There is no Loki here, so there must be none of it."""
    for panel in panels(dashboard):
        for target in panel.get("targets", []):
            if target["datasource"]["type"] != "prometheus":
                yield f"{panel['title']}: not for Prometheus"


def target_logql_auto(dashboard: Json) -> Iterator[str]:
    for place, expression in _targets(dashboard):
        if "$__auto" in expression:
            yield f"{place}: $__auto is Loki's"


def target_promql(dashboard: Json) -> Iterator[str]:
    for place, expression in _targets(dashboard):
        try:
            promql_parser.parse(expression)
        except ValueError as error:
            yield f"{place}: {error}"


def target_rate_interval(dashboard: Json) -> Iterator[str]:
    for place, expression in _parsed(dashboard):
        for node, above in nodes(expression):
            if not isinstance(node, promql_parser.MatrixSelector):
                continue
            call = above[-1] if above else None
            if not (isinstance(call, promql_parser.Call) and call.func.name in _RATES):
                continue
            if node.range != timedelta(seconds=_RATE_INTERVAL):
                yield f"{place}: {call.func.name} over something else than $__rate_interval"


def _target_matcher(label: str) -> Check:
    def check(dashboard: Json) -> Iterator[str]:
        for place, expression in _parsed(dashboard):
            for selector, _ in selectors(expression):
                found = [(one.op, one.value) for one in selector.matchers.matchers if one.name == label]
                if found != [(promql_parser.MatchOp.Re, f"${label}")]:
                    yield f'{place}: {selector.name} without {label}=~"${label}"'

    return check


def target_counter_agg(dashboard: Json) -> Iterator[str]:
    for place, expression in _parsed(dashboard):
        for selector, above in selectors(expression):
            if not (selector.name or "").endswith("_total"):
                continue
            call = above[-2] if len(above) > 1 else None
            ranged = bool(above) and isinstance(above[-1], promql_parser.MatrixSelector)
            if not (ranged and isinstance(call, promql_parser.Call) and call.func.name in _RATES):
                yield f"{place}: the counter {selector.name} without a rate"


def uneditable_dashboard(dashboard: Json) -> Iterator[str]:
    if dashboard.get("editable", True):
        yield "editable"


CHECKS: Final[dict[str, Check]] = {
    "template-datasource-rule": template_datasource,
    "template-job-rule": _template("job"),
    "template-instance-rule": _template("instance"),
    "template-label-promql-rule": template_label_promql,
    "template-on-time-change-reload-rule": template_on_time_change_reload,
    "panel-datasource-rule": panel_datasource,
    "panel-title-description-rule": panel_title_description,
    "panel-units-rule": panel_units,
    "panel-no-targets-rule": panel_no_targets,
    "target-logql-rule": target_logql,
    "target-logql-auto-rule": target_logql_auto,
    "target-promql-rule": target_promql,
    "target-rate-interval-rule": target_rate_interval,
    "target-job-rule": _target_matcher("job"),
    "target-instance-rule": _target_matcher("instance"),
    "target-counter-agg-rule": target_counter_agg,
    "uneditable-dashboard-rule": uneditable_dashboard,
}
