"""What is checked in is what the generator writes."""

from __future__ import annotations

import json

import pytest

from grafana.__main__ import documents
from tests.grafana.queries import DASHBOARDS, names


def test_the_dashboards_are_what_make_dashboards_writes() -> None:
    assert {path.name: path.read_text() for path in DASHBOARDS.iterdir()} == documents()


def test_writing_them_twice_writes_the_same() -> None:
    assert documents() == documents()


@pytest.mark.parametrize("name", names())
def test_the_json_is_sorted_and_indented_and_ends_with_a_newline(name: str) -> None:
    text = (DASHBOARDS / f"{name}.json").read_text()
    assert text == json.dumps(json.loads(text), indent=2, sort_keys=True, ensure_ascii=False) + "\n"


@pytest.mark.parametrize("name", names())
def test_nothing_binds_a_dashboard_to_one_grafana(name: str) -> None:
    text = (DASHBOARDS / f"{name}.json").read_text()
    data = json.loads(text)
    assert data["uid"] == name
    assert "__inputs" not in data
    assert "DS_PROMETHEUS" not in text
    assert data.get("id") is None
