"""A colour means the same everywhere, and the colour-blind can tell those of the states apart."""

from __future__ import annotations

import itertools
import json
import re
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import pytest

from grafana import palette
from tests.grafana.queries import DASHBOARDS, load, names, panels

Json = dict[str, Any]
Triple = tuple[float, float, float]

# Machado, Oliveira, Fernandes 2009 (doi:10.1109/TVCG.2009.113), severity 1.0, on linear RGB.
SIGHTS: dict[str, tuple[Triple, Triple, Triple]] = {
    "full": ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)),
    "protanopia": (
        (0.152286, 1.052583, -0.204868),
        (0.114503, 0.786281, 0.099216),
        (-0.003882, -0.048116, 1.051998),
    ),
    "deuteranopia": (
        (0.367322, 0.860646, -0.227968),
        (0.280085, 0.672501, 0.047413),
        (-0.011820, 0.042940, 0.968881),
    ),
}
LEAST_DISTANCE = 15.0
"""In CIELAB (CIE 1976); 2.3 is what can be told apart at all, side by side."""


def _linear(channel: float) -> float:
    return channel / 12.92 if channel <= 0.04045 else ((channel + 0.055) / 1.055) ** 2.4


def _lab(colour: str, sight: str) -> Triple:
    rgb = [_linear(int(colour[place : place + 2], 16) / 255) for place in (1, 3, 5)]
    seen = [
        min(1.0, max(0.0, sum(weight * one for weight, one in zip(row, rgb, strict=True))))
        for row in SIGHTS[sight]
    ]
    # IEC 61966-2-1, white point D65.
    to_xyz = (
        (0.4124 / 0.95047, 0.3576 / 0.95047, 0.1805 / 0.95047),
        (0.2126, 0.7152, 0.0722),
        (0.0193 / 1.08883, 0.1192 / 1.08883, 0.9505 / 1.08883),
    )
    x, y, z = (
        value ** (1 / 3) if value > 0.008856 else 7.787 * value + 16 / 116
        for value in (sum(weight * one for weight, one in zip(row, seen, strict=True)) for row in to_xyz)
    )
    return 116 * y - 16, 500 * (x - y), 200 * (y - z)


def distance(one: str, other: str, sight: str) -> float:
    pairs = zip(_lab(one, sight), _lab(other, sight), strict=True)
    return float(sum((left - right) ** 2 for left, right in pairs) ** 0.5)


def results(panel: Json) -> Iterator[Json]:
    """Give every result of a value mapping, of the panel's defaults and its overrides."""
    config = panel["fieldConfig"]
    mappings = list(config["defaults"].get("mappings", []))
    for override in config["overrides"]:
        for one in override["properties"]:
            mappings += one["value"] if one["id"] == "mappings" else []
    for mapping in mappings:
        if mapping["type"] == "value":
            yield from mapping["options"].values()
        else:
            yield mapping["options"]["result"]


@pytest.mark.parametrize("sight", SIGHTS)
def test_the_colours_of_the_states_can_be_told_apart(sight: str) -> None:
    for one, other in itertools.combinations(palette.STATES, 2):
        told = distance(palette.STATES[one], palette.STATES[other], sight)
        assert told >= LEAST_DISTANCE, f"{one} and {other}: {told:.1f}"


def test_the_distance_is_that_of_cielab() -> None:
    assert distance("#000000", "#FFFFFF", "full") == pytest.approx(100, abs=0.1)
    assert distance("#FF0000", "#00FF00", "full") == pytest.approx(170.6, abs=0.5)
    assert distance("#C0392B", "#7A8B2B", "deuteranopia") < distance("#C0392B", "#7A8B2B", "full") / 3


def test_every_colour_is_of_the_palette() -> None:
    known = {value for value in vars(palette).values() if isinstance(value, str) and value.startswith("#")}
    for name in names():
        text = (DASHBOARDS / f"{name}.json").read_text()
        used = set(re.findall(r'"(?:color|fixedColor|iconColor)": "([^"]+)"', text))
        # The dots of exemplars, which nobody asks for: the SDK's own default.
        assert used - {"rgba(255,0,255,0.7)"} <= known


def test_a_word_has_one_colour_in_all_dashboards() -> None:
    words = set(palette.STATES) | set(palette.ROLES) | {"quorum lost", "0, at risk"}
    colours = defaultdict(set)
    for name in names():
        for panel in panels(load(name)):
            for result in results(panel):
                if result.get("text") in words:
                    colours[result["text"]].add(result["color"])
    assert set(colours) == words
    assert {word: len(found) for word, found in colours.items() if len(found) > 1} == {}
    for state, colour in palette.STATES.items():
        assert colours[state] == {colour}


def test_a_number_stands_for_one_word_in_a_panel_of_states() -> None:
    meanings = defaultdict(set)
    for name in names():
        for panel in panels(load(name)):
            for mapping in panel["fieldConfig"]["defaults"].get("mappings", []):
                if mapping["type"] == "value" and "5" in mapping["options"]:
                    kind = mapping["options"]["1"]["text"]
                    meanings[kind].add(json.dumps(mapping["options"], sort_keys=True))
    assert {kind: len(found) for kind, found in meanings.items()} == {"online": 1, "follower": 1}


def test_a_colour_is_never_the_only_sign() -> None:
    """A result without a text of its own leaves the number as it is: it is written, and so it must be."""
    for name in names():
        for panel in panels(load(name)):
            if panel["type"] in {"status-history", "state-timeline"}:
                assert panel["options"]["showValue"] == "auto"
            if panel["type"] == "stat":
                assert panel["options"]["textMode"] in {"value", "name"}
            assert all(result.get("text") != "" for result in results(panel))


def test_series_that_are_called_by_a_state_have_its_colour() -> None:
    overrides = {
        override["matcher"]["options"]: override["properties"][0]["value"]["fixedColor"]
        for panel in panels(load("raft-cluster"))
        if panel["title"] == "Changes of state"
        for override in panel["fieldConfig"]["overrides"]
    }
    assert overrides == {f"/(^| ){state}$/": colour for state, colour in palette.STATES.items()}
