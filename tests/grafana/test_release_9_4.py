"""Nothing is in the dashboards that Grafana 9.4 does not know.

What it knows is written down here from Grafana's sources at the time of 9.4 (github.com/grafana/grafana):
``docs/sources/developers/kinds/composable/*panelcfg/schema-reference.md`` for timeseries, stat, state
timeline, status history and bar chart, ``packages/grafana-schema/src/schema/table.cue`` for table cells,
``types.ts`` of the panels heatmap and text, ``kinds/dashboard/dashboard_kind.cue`` for all around the panels.
A field that came later, such as ``cellOptions`` (schema version 38), ``perPage`` or ``wideLayout``, is on no
list.
"""

from __future__ import annotations

import json
from typing import Any, Final

import pytest

from grafana.around import dashboard as begun
from grafana.panels import Size, Words, number
from grafana.release_9_4 import document
from tests.grafana.queries import load, names, panels

Json = dict[str, Any]

SCHEMA_VERSION: Final = 37
AXIS: Final = {
    *("axisCenteredZero", "axisColorMode", "axisGridShow", "axisLabel", "axisPlacement", "axisSoftMax"),
    *("axisSoftMin", "axisWidth", "scaleDistribution"),
}
OPTIONS: Final[dict[str, set[str]]] = {
    "timeseries": {"legend", "tooltip", "timezone"},
    "stat": {
        *("colorMode", "graphMode", "justifyMode", "textMode", "orientation", "reduceOptions", "text"),
    },
    "state-timeline": {
        *("legend", "tooltip", "timezone", "showValue", "rowHeight", "mergeValues", "alignValue"),
    },
    "status-history": {"legend", "tooltip", "timezone", "showValue", "rowHeight", "colWidth"},
    "table": {"frameIndex", "showHeader", "showTypeIcons", "sortBy", "footer"},
    "heatmap": {
        *("calculate", "calculation", "color", "filterValues", "rowsFrame", "showValue", "cellGap"),
        *("cellRadius", "cellValues", "yAxis", "legend", "tooltip", "exemplars"),
    },
    "barchart": {
        *("barRadius", "barWidth", "colorByField", "groupWidth", "legend", "orientation", "showValue"),
        *("stacking", "text", "tooltip", "xField", "xTickLabelMaxLength", "xTickLabelRotation"),
        "xTickLabelSpacing",
    },
    "text": {"mode", "content", "code"},
}
CUSTOM: Final[dict[str, set[str]]] = {
    "timeseries": AXIS
    | {
        *("barAlignment", "barMaxWidth", "barWidthFactor", "drawStyle", "fillBelowTo", "fillColor"),
        *("fillOpacity", "gradientMode", "hideFrom", "lineColor", "lineInterpolation", "lineStyle"),
        *("lineWidth", "pointColor", "pointSize", "pointSymbol", "showPoints", "spanNulls", "stacking"),
        *("thresholdsStyle", "transform"),
    },
    "stat": set(),
    "state-timeline": {"fillOpacity", "hideFrom", "lineWidth"},
    "status-history": {"fillOpacity", "hideFrom", "lineWidth"},
    "table": {"align", "displayMode", "filterable", "hidden", "inspect", "minWidth", "width"},
    "heatmap": {"hideFrom", "scaleDistribution"},
    "barchart": AXIS | {"fillOpacity", "gradientMode", "hideFrom", "lineWidth", "thresholdsStyle"},
    "text": set(),
}
INNER_OPTIONS: Final[dict[str, set[str]]] = {
    "legend": {
        *("asTable", "calcs", "displayMode", "isVisible", "placement", "showLegend", "sortBy", "sortDesc"),
        "width",
    },
    "tooltip": {"mode", "sort"},
    "reduceOptions": {"calcs", "fields", "limit", "values"},
    "footer": {"countRows", "enablePagination", "fields", "reducer", "show"},
}
OF_HEATMAP: Final[dict[str, set[str]]] = {
    "legend": {"show"},
    "tooltip": {"show", "yHistogram"},
    "color": {"mode", "scheme", "fill", "scale", "exponent", "steps", "reverse", "min", "max"},
    "yAxis": AXIS | {"unit", "reverse", "decimals", "min", "max"},
    "filterValues": {"le", "ge"},
    "exemplars": {"color"},
}
DEFAULTS: Final = {
    *("color", "custom", "decimals", "description", "displayName", "links", "mappings", "max", "min"),
    *("noValue", "thresholds", "unit"),
}
PANEL: Final = {
    *("datasource", "description", "fieldConfig", "gridPos", "id", "interval", "links", "maxDataPoints"),
    *("options", "repeat", "repeatDirection", "targets", "title", "transformations", "transparent", "type"),
}
ROW: Final = {"collapsed", "gridPos", "id", "panels", "title", "type"}
TARGET: Final = {
    *("datasource", "expr", "format", "instant", "interval", "legendFormat", "range", "refId", "exemplar"),
}
VARIABLE: Final = {
    *("allValue", "current", "datasource", "definition", "description", "hide", "includeAll", "label"),
    *("multi", "name", "options", "query", "refresh", "regex", "skipUrlSync", "sort", "type"),
}
DASHBOARD: Final = {
    *("annotations", "description", "editable", "fiscalYearStartMonth", "graphTooltip", "links", "liveNow"),
    *("panels", "refresh", "schemaVersion", "style", "tags", "templating", "time", "timepicker"),
    *("timezone", "title", "uid", "version", "weekStart"),
}
LINK: Final = {
    *("asDropdown", "icon", "includeVars", "keepTime", "tags", "targetBlank", "title", "tooltip", "type"),
    "url",
}
ANNOTATION: Final = {
    *("builtIn", "datasource", "enable", "expr", "hide", "iconColor", "name", "step", "tagKeys", "target"),
    *("textFormat", "titleFormat", "type", "useValueForTime"),
}
TRANSFORMATIONS: Final[dict[str, set[str]]] = {
    "merge": set(),
    "organize": {"excludeByName", "indexByName", "renameByName"},
    "groupingToMatrix": {"rowField", "columnField", "valueField", "emptyValue"},
}
CELLS: Final = {"auto", "color-text", "color-background", "color-background-solid"}
MAPPINGS: Final = {"value": None, "range": {"from", "to", "result"}, "special": {"match", "result"}}


def faults(dashboard: Json) -> list[str]:
    """Name what 9.4 does not know."""
    found = _unknown("dashboard", dashboard, DASHBOARD)
    for variable in dashboard["templating"]["list"]:
        found += _unknown(f"variable {variable['name']}", variable, VARIABLE)
    for link in dashboard["links"]:
        found += _unknown(f"link {link['title']}", link, LINK)
    for annotation in dashboard["annotations"]["list"]:
        found += _unknown(f"annotation {annotation['name']}", annotation, ANNOTATION)
    for panel in dashboard["panels"]:
        if panel["type"] == "row":
            found += _unknown(f"row {panel['title']}", panel, ROW)
        elif panel["type"] not in OPTIONS:
            found.append(f"panel {panel['title']}: {panel['type']}")
        else:
            found += _in_panel(panel)
    return found


def _in_panel(panel: Json) -> list[str]:
    kind, title = panel["type"], panel["title"]
    found = _unknown(title, panel, PANEL) + _unknown(f"{title} options", panel["options"], OPTIONS[kind])
    for name, inner in (OF_HEATMAP if kind == "heatmap" else INNER_OPTIONS).items():
        found += _unknown(f"{title} {name}", panel["options"].get(name, {}), inner)
    defaults = panel["fieldConfig"]["defaults"]
    found += _unknown(f"{title} defaults", defaults, DEFAULTS)
    found += _unknown(f"{title} custom", defaults.get("custom", {}), CUSTOM[kind])
    for target in panel.get("targets", []):
        found += _unknown(f"{title} target", target, TARGET)
    for override in panel["fieldConfig"]["overrides"]:
        allowed = DEFAULTS | {f"custom.{name}" for name in CUSTOM[kind]}
        ids = {one["id"]: one["value"] for one in override["properties"]}
        found += _unknown(f"{title} override", ids, allowed)
        if ids.get("custom.displayMode", "auto") not in CELLS:
            found.append(f"{title}: cells {ids['custom.displayMode']}")
        found += _in_mappings(title, ids.get("mappings", []))
    found += _in_mappings(title, defaults.get("mappings", []))
    for transformation in panel.get("transformations", []):
        allowed = TRANSFORMATIONS.get(transformation["id"], set())
        found += _unknown(f"{title} {transformation['id']}", transformation["options"], allowed)
        if transformation["id"] not in TRANSFORMATIONS:
            found.append(f"{title}: transformation {transformation['id']}")
    return found


def _in_mappings(title: str, mappings: list[Json]) -> list[str]:
    found = []
    for mapping in mappings:
        fields = MAPPINGS[mapping["type"]]
        results = mapping["options"].values() if fields is None else [mapping["options"]["result"]]
        found += _unknown(f"{title} mapping", mapping["options"], fields or set(mapping["options"]))
        for result in results:
            found += _unknown(f"{title} mapping", result, {"text", "color", "index"})
    return found


def _unknown(where: str, told: Json, known: set[str]) -> list[str]:
    return [f"{where}: {name}" for name in sorted(set(told) - known)]


@pytest.mark.parametrize("name", names())
def test_no_field_is_newer_than_9_4(name: str) -> None:
    assert faults(load(name)) == []


@pytest.mark.parametrize("name", names())
def test_the_schema_is_one_that_9_4_reads_and_later_ones_bring_up_to_date(name: str) -> None:
    assert load(name)["schemaVersion"] == SCHEMA_VERSION


@pytest.mark.parametrize("name", names())
def test_variables_and_annotations_have_the_form_that_9_4_and_later_ones_read(name: str) -> None:
    dashboard = load(name)
    for variable in dashboard["templating"]["list"]:
        if variable["type"] == "query":
            assert set(variable["query"]) == {"query", "refId"}
            assert variable["definition"] == variable["query"]["query"]
    for annotation in dashboard["annotations"]["list"]:
        assert isinstance(annotation["expr"], str)
        assert annotation["datasource"] == {"type": "prometheus", "uid": "${datasource}"}


def test_what_the_sdk_adds_by_itself_is_found_and_left_out() -> None:
    words = Words("Up", "Whether it is up.", "nothing")
    built = begun("raft-fleet", "A fleet.", several_clusters=True).with_panel(number(words, Size(4, 4), "up"))
    kept = json.loads(document(built))
    assert faults(kept) == []
    (panel,) = panels(kept)
    panel["options"]["wideLayout"] = True
    panel["fieldConfig"]["overrides"] = [
        {
            "matcher": {"id": "byName", "options": "x"},
            "properties": [{"id": "custom.cellOptions", "value": {}}],
        }
    ]
    panel["transformations"] = [{"id": "transpose", "options": {}}]
    kept["preload"] = False
    assert faults(kept) == [
        "dashboard: preload",
        "Up options: wideLayout",
        "Up override: custom.cellOptions",
        "Up: transformation transpose",
    ]
