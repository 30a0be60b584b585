"""What every panel says besides its data, how they lie, and where their links lead."""

from __future__ import annotations

import re
from typing import Any

import pytest

from grafana.alerts import RUNBOOK, anchor
from grafana.alerts import names as alert_names
from tests.grafana.queries import ROOT, load, names, panels, queries

Json = dict[str, Any]

WIDTH = 24
SMALLEST = {
    "stat": (3, 4),
    "text": (12, 3),
    "table": (8, 6),
    "timeseries": (6, 6),
    "heatmap": (8, 6),
    "barchart": (6, 6),
    "state-timeline": (8, 6),
    "status-history": (8, 6),
}
"""Width and height under which such a panel can't be read."""


def headings() -> set[str]:
    """Give the anchors of the runbook, as GitHub makes them."""
    text = (ROOT / "docs" / "runbook.md").read_text()
    found = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading).strip().lower().replace(" ", "-") for heading in found}


def data_links(panel: Json) -> list[str]:
    return [
        link["url"]
        for override in panel["fieldConfig"]["overrides"]
        for one in override["properties"]
        if one["id"] == "links"
        for link in one["value"]
    ]


@pytest.mark.parametrize("name", names())
def test_every_panel_has_its_texts(name: str) -> None:
    for panel in panels(load(name)):
        defaults = panel["fieldConfig"]["defaults"]
        for text in (panel["title"], panel["description"], defaults["unit"], defaults["noValue"]):
            assert len(text) > 0
        assert panel["description"].endswith("."), panel["title"]
        assert panel["description"].rstrip(".") != panel["title"]
        assert len(defaults["noValue"]) > 8, panel["title"]


@pytest.mark.parametrize("name", names())
def test_an_empty_cell_does_not_say_what_an_empty_table_says(name: str) -> None:
    for panel in panels(load(name)):
        for transformation in panel.get("transformations", []):
            if transformation["id"] != "organize":
                continue
            said = {
                override["matcher"]["options"]
                for override in panel["fieldConfig"]["overrides"]
                for one in override["properties"]
                if one["id"] == "noValue"
            }
            assert said == set(transformation["options"]["renameByName"].values()), panel["title"]


@pytest.mark.parametrize("name", names())
def test_no_two_panels_have_the_same_title(name: str) -> None:
    titles = [panel["title"] for panel in panels(load(name))]
    assert len(set(titles)) == len(titles)


@pytest.mark.parametrize("name", names())
def test_every_query_has_a_legend_of_its_own(name: str) -> None:
    for panel in panels(load(name)):
        legends = [target["legendFormat"] for target in panel.get("targets", [])]
        assert all(legends), panel["title"]
        assert len(set(legends)) == len(legends), panel["title"]
        assert len({target["refId"] for target in panel.get("targets", [])}) == len(legends)


@pytest.mark.parametrize("name", names())
def test_every_panel_with_axes_shows_its_legend(name: str) -> None:
    for panel in panels(load(name)):
        legend = panel["options"].get("legend")
        if panel["type"] == "heatmap":
            assert legend == {"show": True}
        elif panel["type"] in {"timeseries", "state-timeline", "status-history", "barchart"}:
            assert legend["showLegend"]


@pytest.mark.parametrize("name", names())
def test_panels_lie_side_by_side_and_leave_no_hole(name: str) -> None:
    taken: dict[tuple[int, int], str] = {}
    for panel in load(name)["panels"]:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= WIDTH
        for x in range(place["x"], place["x"] + place["w"]):
            for y in range(place["y"], place["y"] + place["h"]):
                assert (x, y) not in taken, f"{panel['title']} lies over {taken.get((x, y))}"
                taken[x, y] = panel["title"]
    height = max(y for _, y in taken) + 1
    assert len(taken) == WIDTH * height


@pytest.mark.parametrize("name", names())
def test_no_panel_is_too_small_to_read(name: str) -> None:
    for panel in panels(load(name)):
        width, height = SMALLEST[panel["type"]]
        assert panel["gridPos"]["w"] >= width, panel["title"]
        assert panel["gridPos"]["h"] >= height, panel["title"]


@pytest.mark.parametrize("name", names())
def test_every_panel_has_a_number_of_its_own(name: str) -> None:
    ids = [panel["id"] for panel in load(name)["panels"]]
    assert sorted(ids) == list(range(1, len(ids) + 1))


@pytest.mark.parametrize("name", names())
def test_links_between_the_dashboards_lead_to_one_and_keep_variables_and_time(name: str) -> None:
    dashboard = load(name)
    others = [link for link in dashboard["links"] if link["url"].startswith("/d/")]
    assert {link["url"].removeprefix("/d/") for link in others} == set(names()) - {name}
    assert all(link["includeVars"] and link["keepTime"] for link in others)
    for panel in panels(dashboard):
        for url in data_links(panel):
            if url.startswith("/d/"):
                assert re.split(r"[/?]", url)[2] in names()
                assert "${datasource:queryparam}" in url
                assert "${__url_time_range}" in url


def test_fleet_leads_to_the_cluster_and_the_cluster_to_the_node() -> None:
    assert [url for panel in panels(load("raft-fleet")) for url in data_links(panel)] == [
        "/d/raft-cluster?${datasource:queryparam}&var-cluster=${__value.raw}&${__url_time_range}"
    ]
    urls = [url for panel in panels(load("raft-cluster")) for url in data_links(panel)]
    assert any(url.startswith("/d/raft-node?") and "var-instance=${__value.raw}" in url for url in urls)


def test_every_link_into_the_runbook_has_its_section() -> None:
    known = headings()
    assert {anchor(alert) for alert in alert_names()} <= known
    problems = {
        found
        for query in queries(load("raft-cluster"))
        if query.panel == "What is wrong now"
        for found in re.findall(r'"runbook", "([\w-]+)"', query.expr)
    }
    assert problems
    assert problems <= known


def test_the_alert_rules_have_the_same_runbook() -> None:
    text = (ROOT / "rules" / "raft.alerts.yml").read_text()
    assert set(re.findall(r"runbook_url: (\S+)#", text)) == {RUNBOOK}


@pytest.mark.parametrize("name", names())
def test_states_over_time_are_few_enough_samples_for_9_4(name: str) -> None:
    for panel in panels(load(name)):
        if panel["type"] in {"status-history", "state-timeline"}:
            assert panel["maxDataPoints"] <= 200


def test_a_timeline_that_draws_over_holes_has_none() -> None:
    timelines = [
        panel for name in names() for panel in panels(load(name)) if panel["type"] == "state-timeline"
    ]
    assert timelines
    for panel in timelines:
        for target in panel["targets"]:
            assert "or on (cluster, instance) -1 * " in target["expr"]
