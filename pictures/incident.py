"""What there is to draw: an incident as Prometheus saw it, and whom Alertmanager told what, when."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final, Literal

import yaml
from msgspec import Struct

from raft_exporter.demo.receiver import Notification

STEP: Final = 1.0
"""Seconds between two looks into Prometheus."""

Series = Sequence[tuple[Mapping[str, str], Sequence[float]]]
"""Of each series of a vector its labels, and the times (Unix) at which it was there."""


class Span(Struct, frozen=True):
    """From ``start`` to ``end`` it was ``what``; seconds after the fault, as all times of an incident."""

    start: float
    end: float
    what: str


class Row(Struct, frozen=True):
    """One thing over time. ``note`` says of it what does not change."""

    name: str
    note: str
    spans: tuple[Span, ...]


class AlertRow(Row, frozen=True):
    """An alert of one member, or of the cluster where ``about`` is empty: pending, then firing."""

    about: str
    severity: str


class Told(Struct, frozen=True):
    """An alert that was announced to a receiver, or taken back; ``text`` is its description."""

    at: float
    receiver: str
    alert: str
    about: str
    status: Literal["firing", "resolved"]
    text: str


class Event(Struct, frozen=True):
    """What was done to the cluster."""

    at: float
    text: str


class Incident(Struct, frozen=True):
    """From ``start`` to ``end``; the fault is at 0, ``node`` is whom it struck.

    ``scraped`` is the time between two scrapes, as Prometheus writes it.
    """

    title: str
    node: str
    scraped: str
    start: float
    end: float
    events: tuple[Event, ...]
    margin: Row
    sights: tuple[Row, ...]
    alerts: tuple[AlertRow, ...]
    told: tuple[Told, ...]


def spans(times: Sequence[float], since: float, what: str) -> list[Span]:
    """Make spans of the times, ``STEP`` apart, at which something was so."""
    found: list[Span] = []
    for at in sorted(times):
        start, end = at - since, at - since + STEP
        if found and start - found[-1].end < STEP / 2:
            found[-1] = Span(found[-1].start, end, what)
        else:
            found.append(Span(start, end, what))
    return found


def row(name: str, note: str, states: Iterable[tuple[str, Sequence[float]]], since: float) -> Row:
    """Make a row of what something was, and when."""
    return Row(name, note, _in_order(each for what, times in states for each in spans(times, since, what)))


def alert_rows(series: Series, since: float, rules: Iterable[str]) -> tuple[AlertRow, ...]:
    """Make a row of each alert in the series of ``ALERTS``, the first one first.

    ``rules`` are the texts of the rule files: they say for how long an alert waits, and is held.
    """
    known = {
        rule["alert"]: rule
        for text in rules
        for group in yaml.safe_load(text)["groups"]
        for rule in group["rules"]
        if "alert" in rule
    }
    found: dict[tuple[str, str, str], list[Span]] = {}
    for labels, times in series:
        key = (labels["alertname"], labels.get("peer", ""), labels["severity"])
        found.setdefault(key, []).extend(spans(times, since, labels["alertstate"]))
    rows = [
        AlertRow(name, _waits(known[name], of), _in_order(of), about=about, severity=severity)
        for (name, about, severity), of in found.items()
    ]
    return tuple(sorted(rows, key=lambda each: each.spans[0].start))


def tellings(notifications: Iterable[Notification], since: float) -> tuple[Told, ...]:
    """Give what is new in each notification: an alert that is announced, or one that is taken back."""
    told: list[Told] = []
    before: dict[tuple[str, str, str], str] = {}
    for each in notifications:
        for alert in each.alerts:
            about = alert.labels.get("peer", "")
            key = (each.receiver, alert.name, about)
            was, before[key] = before.get(key, "resolved"), alert.status
            if alert.status != was:
                status: Literal["firing", "resolved"] = "firing" if alert.status == "firing" else "resolved"
                text = alert.annotations.get("description", "")
                told.append(Told(each.at - since, each.receiver, alert.name, about, status, text))
    return tuple(sorted(told, key=lambda each: each.at))


def _waits(rule: Mapping[str, str], found: Iterable[Span]) -> str:
    words = [f"waits {rule['for']}"] if "for" in rule else []
    if all(span.what == "pending" for span in found):
        words.append("never fired")
    elif "keep_firing_for" in rule:
        words.append(f"held {rule['keep_firing_for']} longer")
    return ", ".join(words)


def _in_order(found: Iterable[Span]) -> tuple[Span, ...]:
    return tuple(sorted(found, key=lambda each: each.start))
