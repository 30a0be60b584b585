"""An incident as a drawing: what was done, what the sidecars saw, the alerts, and who was told when."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from typing import Final

from pictures.incident import AlertRow, Incident, Row, Told

WIDTH: Final = 960
_LEFT: Final = 240
"""Where the time begins; the names stand before it."""
_RIGHT: Final = WIDTH - 16
_ROW: Final = 30
_BAR: Final = 20
_DEEP: Final = 10_000
"""Where lines end that go through all of the drawing: below it, and out of sight."""
_LETTER: Final = 7.6
"""How wide a letter is at most, on average, at 13 pixels."""


class Scale:
    """Where a time lies, in pixels from the left."""

    def __init__(self, incident: Incident) -> None:
        self._start = incident.start
        self._each = (_RIGHT - _LEFT) / (incident.end - incident.start)

    def x(self, at: float) -> float:
        """Give the place of a time; one outside of the drawing lies at its edge."""
        return round(min(max(_LEFT + (at - self._start) * self._each, _LEFT), _RIGHT), 1)


class Drawing:
    """SVG that grows from top to bottom; ``below`` is where the next thing is to be."""

    def __init__(self, incident: Incident) -> None:
        self.below = 16.0
        self._incident = incident
        self._scale = Scale(incident)
        self._behind: list[str] = []
        self._parts: list[str] = []
        self._bars: dict[tuple[str, str], tuple[float, float]] = {}
        """Where the bars of an alert end, and the height of their middle."""

    def ruler(self) -> None:
        """Write the minutes, and what was done, each at the line that goes down from it."""
        for minute in range(int(self._incident.start // 60) + 1, int(self._incident.end // 60) + 1):
            x = self._scale.x(minute * 60)
            self._text(x, self.below, clock(minute * 60), "minute")
            self._behind.append(_path("grid", f"M{x:g} {self.below + 8:g}V{_DEEP}"))
        self.below += 24
        for event in self._incident.events:
            x = self._scale.x(event.at)
            self._text(x + 6, self.below, event.text, "event")
            self._behind.append(_path("happened", f"M{x:g} {self.below - 16:g}V{_DEEP}"))

    def title(self, text: str, note: str) -> None:
        """Begin a section."""
        self.below += 32
        self._text(0, self.below, text, "section")
        self._text(0, self.below + 16, note, "note")
        self.below += 24

    def row(self, row: Row, kind: str = "") -> float:
        """Draw a row and its bars; give the height of their middle."""
        middle = self.below + _ROW / 2
        self._text(0, middle - (2 if row.note else -5), row.name, "name")
        if row.note:
            self._text(0, middle + 13, row.note, "note")
        for span in row.spans:
            x, end = self._scale.x(span.start), self._scale.x(span.end)
            classes = escape(f"{kind} {span.what}".strip())
            self._parts.append(
                f'<rect class="bar {classes}" x="{x:g}" y="{middle - _BAR / 2:g}" '
                f'width="{max(end - x, 1.5):g}" height="{_BAR}" rx="2"/>'
            )
            if end - x > len(span.what) * _LETTER + 8:
                self._text(x + 6, middle + 5, span.what, "word")
        self.below += _ROW + (8 if row.note else 0)
        return middle

    def alert(self, alert: AlertRow) -> None:
        """Draw the row of an alert."""
        note = f"{alert.severity}; {alert.note}" if alert.note else alert.severity
        named = Row(_name(alert.name, alert.about), note, alert.spans)
        middle = self.row(named, alert.severity)
        self._bars[alert.name, alert.about] = self._scale.x(alert.spans[-1].end), middle

    def receiver(self, name: str, told: Sequence[Told]) -> None:
        """Draw what a receiver was told, tied to the bars of the alerts."""
        top = self.below
        self._text(0, top + _ROW / 2 + 5, name, "name")
        for each, lane, before in lanes(told, self._scale):
            x, y = self._scale.x(each.at), top + lane * _ROW + _ROW / 2
            if (bar := self._bars.get((each.alert, each.about))) is not None:
                end, middle = bar
                self._behind.append(_path("tie", f"M{min(x, end):g} {middle:g}H{x:g}V{y:g}"))
            self._parts.append(f'<circle class="mark {each.status}" cx="{x:g}" cy="{y:g}" r="6"/>')
            self._text(x - 12 if before else x + 12, y + 5, label(each), "told before" if before else "told")
            self.below = max(self.below, y + _ROW / 2)

    def svg(self) -> str:
        """Give the whole."""
        size = f'viewBox="0 0 {WIDTH} {self.below:g}" width="{WIDTH}" height="{self.below:g}"'
        drawn = "".join((*self._behind, *self._parts))
        return f'<svg xmlns="http://www.w3.org/2000/svg" {size}>{drawn}</svg>'

    def _text(self, x: float, y: float, text: str, kind: str) -> None:
        self._parts.append(f'<text class="{kind}" x="{x:g}" y="{y:g}">{escape(text)}</text>')


def _path(kind: str, way: str) -> str:
    return f'<path class="{kind}" d="{way}"/>'


def lanes(told: Iterable[Told], scale: Scale) -> Iterable[tuple[Told, int, bool]]:
    """Give each telling a line on which it covers no other, and whether its words stand before its mark."""
    taken: list[float] = []
    for each in told:
        x, width = scale.x(each.at), len(label(each)) * _LETTER + 20
        before = x + width > _RIGHT
        start = x - width if before else x - 8
        end = x + 8 if before else x + width
        lane = next((number for number, until in enumerate(taken) if until <= start), len(taken))
        taken[lane : lane + 1] = [end]
        yield each, lane, before


def label(told: Told) -> str:
    """Write what was told in a few words."""
    over = " is over" if told.status == "resolved" else ""
    return f"{clock(told.at)} {_name(told.alert, told.about)}{over}"


def clock(at: float) -> str:
    """Write seconds after the fault: ``+1:05``."""
    whole = round(at)
    sign = "+" if whole > 0 else "-" if whole < 0 else ""
    return f"{sign}{abs(whole) // 60}:{abs(whole) % 60:02d}"


def timeline(incident: Incident) -> str:
    """Draw all of it, as SVG."""
    drawing = Drawing(incident)
    drawing.ruler()
    source = f"raft_peer_state, scraped every {incident.scraped}"
    drawing.title(f"What sidecars say of {incident.node}", source)
    for row in incident.sights:
        drawing.row(row)
    drawing.row(incident.margin, "margin")
    drawing.title("Alerts in Prometheus", "the shipped rules")
    for alert in incident.alerts:
        drawing.alert(alert)
    drawing.title("Whom Alertmanager tells", "the shipped routing")
    for name in dict.fromkeys(each.receiver for each in incident.told):
        drawing.receiver(name, [each for each in incident.told if each.receiver == name])
    return drawing.svg()


def document(incident: Incident, styles: Iterable[str]) -> str:
    """Give the drawing as a page, and under it what was told, in its own words."""
    rows = "".join(
        f"<tr><td>{clock(each.at)}</td><td>{escape(each.receiver)}</td>"
        f"<td>{escape(_name(each.alert, each.about))}</td><td>{escape(each.text)}</td></tr>"
        for each in incident.told
        if each.status == "firing"
    )
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8">'
        f"<title>{escape(incident.title)}</title><style>{''.join(styles)}</style>"
        f"<h1>{escape(incident.title)}</h1>{timeline(incident)}"
        f"<table><thead><tr><th>At</th><th>Told</th><th>Alert</th><th>What it says</th></tr></thead>"
        f"<tbody>{rows}</tbody></table></html>"
    )


def _name(alert: str, about: str) -> str:
    return f"{alert} {about}".strip()
