"""The pictures of the README: that they are there, and that what they are drawn from is drawn as it was."""

from __future__ import annotations

import re
import struct
import xml.etree.ElementTree as ET
from pathlib import Path

import msgspec
import pytest
from playwright.sync_api import Page

from pictures.__main__ import FOLDER, FRAMES, STYLES
from pictures.camera import camera, chromium
from pictures.incident import AlertRow, Event, Incident, Row, Span, Told, alert_rows, row, spans, tellings
from pictures.timeline import WIDTH, Scale, clock, document, label, lanes, timeline
from raft_exporter.demo.receiver import Alert, Notification
from raft_exporter.model.judge import State
from tests.conftest import Need

README = (Path(__file__).resolve().parents[1] / "README.md").read_text()
SVG = "{http://www.w3.org/2000/svg}"
RULES = """\
groups:
  - name: one
    rules:
      - record: cluster:raft_up:sum
        expr: raft_up
      - alert: RaftSourceDown
        expr: raft_up == 0
        for: 1m
        keep_firing_for: 2m
      - alert: RaftPeerOffline
        expr: raft_up == 0
"""
OFFENCES = """
    () => {
      const all = (selector) => [...document.querySelectorAll(selector)];
      const { width, height } = document.querySelector("svg").viewBox.baseVal;
      const texts = all("svg text").map((text) => [text.textContent, text.getBBox()]);
      const apart = (a, b) => a.x + a.width <= b.x || a.y + a.height <= b.y;
      const meet = (a, b) => !apart(a, b) && !apart(b, a);
      const covered = ([, a], at) => texts.slice(0, at).some(([, b]) => meet(a, b));
      const outside = ([, a]) => a.x < 0 || a.x + a.width > width || a.y + a.height > height;
      return {
        black: all("rect").filter((bar) => getComputedStyle(bar).fill === "rgb(0, 0, 0)")
          .map((bar) => bar.outerHTML),
        covered: texts.filter(covered).map(([text]) => text),
        outside: texts.filter(outside).map(([text]) => text),
      };
    }
"""
INCIDENT = Incident(
    title="One of <three> is killed",
    node="n3",
    scraped="5s",
    start=-30.0,
    end=330.0,
    events=(Event(0.0, "kill -9 of n3"), Event(120.0, "n3 is started again")),
    margin=Row("voters that may fail", "by the rules", (Span(-30, 5, "1"), Span(5, 125, "none"))),
    sights=(
        Row("sidecar of n1", "", (Span(-30, 2, "online"), Span(2, 120, "offline"), Span(120, 330, "online"))),
    ),
    alerts=(
        AlertRow(
            "RaftSourceDown",
            "waits 1m",
            (Span(10, 70, "pending"), Span(70, 150, "firing")),
            about="n3",
            severity="warning",
        ),
        AlertRow("RaftQuorumAtRisk", "", (Span(20, 180, "firing"),), about="", severity="critical"),
    ),
    told=(
        Told(27.0, "pager", "RaftQuorumAtRisk", "", "firing", 'Cluster "orders" & others: none may fail.'),
        Told(190.0, "pager", "RaftQuorumAtRisk", "", "resolved", "Cluster orders: none may fail."),
        Told(100.0, "ticket", "RaftSourceDown", "n3", "firing", "n3 is deaf."),
    ),
)


def size_of(picture: Path) -> tuple[int, int]:
    """Width and height of a PNG."""
    head = picture.read_bytes()[:24]
    assert head[:8] == b"\x89PNG\r\n\x1a\n", f"{picture}: expected a PNG"
    width, height = struct.unpack(">II", head[16:24])
    return int(width), int(height)


def elements(drawn: str, tag: str, kind: str = "") -> list[ET.Element]:
    """All elements of that tag that have all of these classes."""
    return [
        each
        for each in ET.fromstring(drawn).iter(f"{SVG}{tag}")
        if set(kind.split()) <= set(each.attrib["class"].split())
    ]


def texts(drawn: str, kind: str) -> list[str | None]:
    return [each.text for each in elements(drawn, "text", kind)]


@pytest.mark.parametrize("name", FRAMES)
def test_the_readme_shows_a_light_and_a_dark_picture_of_the_declared_width(name: str) -> None:
    shown = re.search(
        rf'<picture>\s*<source media="\(prefers-color-scheme: dark\)" '
        rf'srcset="docs/pictures/{name}-dark\.png">'
        rf'\s*<img src="docs/pictures/{name}\.png" width="(\d+)" alt="([^"]*)">\s*</picture>',
        README,
    )
    assert shown is not None
    frame = FRAMES[name]
    assert int(shown[1]) == frame.width
    assert len(shown[2].split()) >= 10, "expected words for those that do not see it"
    light, dark = size_of(FOLDER / f"{name}.png"), size_of(FOLDER / f"{name}-dark.png")
    assert light[0] == dark[0] == frame.width * frame.scale
    assert light[1] == pytest.approx(dark[1], abs=40 * frame.scale)


def test_no_picture_is_large_or_left_over() -> None:
    pictures = sorted(FOLDER.iterdir())
    assert {each.name for each in pictures} == {
        f"{name}{dark}.png" for name in FRAMES for dark in ("", "-dark")
    }
    assert [each.name for each in pictures if each.stat().st_size >= 200_000] == []


def test_times_that_follow_each_other_make_a_span() -> None:
    assert spans([105.0, 101.0, 102.0, 103.0], 100.0, "firing") == [
        Span(1, 4, "firing"),
        Span(5, 6, "firing"),
    ]
    assert spans([], 100.0, "firing") == []


def test_a_row_has_its_spans_in_order() -> None:
    states = [("offline", [103.0, 104.0]), ("online", [101.0, 102.0, 105.0])]
    assert row("n1", "", states, 100.0).spans == (
        Span(1, 3, "online"),
        Span(3, 5, "offline"),
        Span(5, 6, "online"),
    )


def test_an_alert_is_a_row_with_both_of_its_states_and_the_first_one_stands_first() -> None:
    def labels(name: str, state: str, **more: str) -> dict[str, str]:
        return {"alertname": name, "alertstate": state, "severity": "warning", **more}

    series = [
        (labels("RaftPeerOffline", "firing", peer="n3"), [130.0]),
        (labels("RaftSourceDown", "firing", peer="n2"), [112.0]),
        (labels("RaftSourceDown", "pending", peer="n2"), [110.0, 111.0]),
        (labels("RaftSourceDown", "pending", peer="n1"), [140.0]),
    ]
    source, offline, other = alert_rows(series, 100.0, [RULES])
    assert source.spans == (Span(10, 12, "pending"), Span(12, 13, "firing"))
    assert (source.name, source.about, source.note) == ("RaftSourceDown", "n2", "waits 1m, held 2m longer")
    assert (offline.name, offline.about, offline.note) == ("RaftPeerOffline", "n3", "")
    assert (other.name, other.about, other.note) == ("RaftSourceDown", "n1", "waits 1m, never fired")


def test_an_alert_is_told_once_and_what_was_never_announced_is_not_taken_back() -> None:
    def said(at: float, *alerts: tuple[str, str]) -> Notification:
        of = tuple(Alert(status, {"alertname": name}, {"description": "d"}) for name, status in alerts)
        return Notification("pager", "firing", "g", of, at)

    told = tellings(
        [
            said(127.0, ("A", "firing"), ("B", "resolved")),
            said(187.0, ("A", "firing")),
            said(200.0, ("A", "resolved")),
        ],
        100.0,
    )
    assert [(each.at, each.alert, each.status) for each in told] == [
        (27.0, "A", "firing"),
        (100.0, "A", "resolved"),
    ]


def test_bars_are_where_their_times_are() -> None:
    scale = Scale(INCIDENT)
    (offline,) = elements(timeline(INCIDENT), "rect", "bar offline")
    x, width = float(offline.attrib["x"]), float(offline.attrib["width"])
    assert x == scale.x(2.0)
    assert x + width == pytest.approx(scale.x(120.0), abs=0.1)
    assert scale.x(-30.0) < x < scale.x(330.0) <= WIDTH
    assert scale.x(-99.0) == scale.x(-30.0)
    assert scale.x(999.0) == scale.x(330.0)


def test_a_second_takes_the_same_room_everywhere() -> None:
    scale = Scale(INCIDENT)
    assert scale.x(60) - scale.x(0) == pytest.approx(scale.x(300) - scale.x(240), abs=0.2)


def test_every_row_is_named_and_every_alert_says_how_bad_it_is() -> None:
    drawn = timeline(INCIDENT)
    assert texts(drawn, "name") == [
        "sidecar of n1",
        "voters that may fail",
        "RaftSourceDown n3",
        "RaftQuorumAtRisk",
        "pager",
        "ticket",
    ]
    assert {"warning; waits 1m", "critical"} <= set(texts(drawn, "note"))
    assert texts(drawn, "event") == ["kill -9 of n3", "n3 is started again"]


def test_a_bar_says_in_words_what_its_colour_says() -> None:
    drawn = timeline(INCIDENT)
    wide = [each for each in elements(drawn, "rect") if float(each.attrib["width"]) > 70]
    assert len(wide) >= 6
    for each in wide:
        kinds = set(each.attrib["class"].split())
        beside = {
            text.text
            for text in elements(drawn, "text", "word")
            if abs(float(text.attrib["y"]) - float(each.attrib["y"])) < 20
            and 0 < float(text.attrib["x"]) - float(each.attrib["x"]) < 10
        }
        assert beside & kinds


def test_marks_are_where_somebody_was_told() -> None:
    drawn, scale = timeline(INCIDENT), Scale(INCIDENT)
    announced, over = elements(drawn, "circle", "firing"), elements(drawn, "circle", "resolved")
    assert [float(each.attrib["cx"]) for each in announced] == [scale.x(27.0), scale.x(100.0)]
    assert [float(each.attrib["cx"]) for each in over] == [scale.x(190.0)]
    assert set(texts(drawn, "told")) == {
        "+0:27 RaftQuorumAtRisk",
        "+3:10 RaftQuorumAtRisk is over",
        "+1:40 RaftSourceDown n3",
    }


def test_words_that_would_cover_each_other_go_on_a_line_of_their_own() -> None:
    told = [Told(at, "pager", "RaftQuorumAtRisk", "", "firing", "") for at in (20.0, 25.0, 200.0, 320.0)]
    assert [(lane, before) for _, lane, before in lanes(told, Scale(INCIDENT))] == [
        (0, False),
        (1, False),
        (0, False),
        (1, True),
    ]
    assert label(told[-1]) == "+5:20 RaftQuorumAtRisk"


@pytest.mark.parametrize(
    ("at", "written"), [(0.0, "0:00"), (27.4, "+0:27"), (59.6, "+1:00"), (-30.0, "-0:30"), (355.0, "+5:55")]
)
def test_a_time_is_minutes_and_seconds_after_the_fault(at: float, written: str) -> None:
    assert clock(at) == written


def test_the_page_escapes_what_it_is_given_and_tells_what_was_said() -> None:
    page = document(INCIDENT, ["p { color: red }"])
    assert "<h1>One of &lt;three&gt; is killed</h1>" in page
    assert "Cluster &quot;orders&quot; &amp; others: none may fail.</td>" in page
    assert page.count("<tr><td>") == 2, "expected what was announced, and not what was taken back"
    assert "<style>p { color: red }</style>" in page


def test_names_in_the_drawing_are_escaped() -> None:
    sight = Row("a<b>&", "", (Span(0, 300, 'on"line'),))
    drawn = timeline(msgspec.structs.replace(INCIDENT, sights=(sight,)))
    assert texts(drawn, "name")[0] == "a<b>&"
    assert 'on"line' in texts(drawn, "word")


def test_the_drawing_uses_the_colours_of_the_page_and_has_one_for_every_state() -> None:
    page, own = (style.read_text() for style in STYLES)
    assert set(re.findall(r"var\((--[\w-]+)\)", own)) <= set(re.findall(r"(--[\w-]+):", page))
    for state in State:
        assert state is State.UNKNOWN or re.search(rf"\.bar\.{state}\b", own)


def test_chromium_colours_every_bar_and_lets_no_words_cover_others(need: Need, tmp_path: Path) -> None:
    need("chromium", chromium)
    found: list[dict[str, list[str]]] = []

    def show(page: Page) -> None:
        page.set_content(document(INCIDENT, [style.read_text() for style in STYLES]))
        found.append(page.evaluate(OFFENCES))

    with camera(tmp_path) as taken:
        taken.take("alerts", FRAMES["alerts"], show)
    assert found == [{"black": [], "covered": [], "outside": []}] * 2
    light, dark = size_of(tmp_path / "alerts.png"), size_of(tmp_path / "alerts-dark.png")
    assert light == dark
    assert light[0] == FRAMES["alerts"].width * FRAMES["alerts"].scale
