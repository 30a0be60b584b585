"""How long each member has been silent, as bars against the thresholds by which it is judged."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from msgspec import Struct
from rich.cells import cell_len
from rich.text import Text

from raft_exporter.view import ClusterView
from raft_exporter.wording import duration

_MARKED: Final = ("suspect_after", "gone_after", "stall_after", "alone_after")
"""The thresholds of silence, as docs/architecture.md has them: suspect; offline where others confirm it, or
asymmetric; offline where the host still answers; offline with nobody to confirm it."""
_LEAST: Final = 12
"""Cells below which a bar shows nothing."""


class _Glyphs(Struct, frozen=True):
    full: str
    half: str
    mark: str


_UNICODE: Final = _Glyphs("█", "░", "│")
_ASCII: Final = _Glyphs("#", "-", "|")


class _Row(Struct, frozen=True):
    """One bar: ``silence`` of which nobody else heard it for ``for_all``, both in seconds."""

    label: str
    silence: float
    for_all: float


def silence_bars(view: ClusterView, names: Mapping[str, str], width: int, *, ascii_only: bool) -> list[Text]:
    """Draw a bar a member, and one for a main loop that is silent while its process is heard.

    Nothing where no threshold is known, or where ``width`` leaves no room for a bar.
    """
    thresholds = {name: seconds for name, seconds in view.thresholds_seconds.items() if name in _MARKED}
    rows = list(_rows(view, names, thresholds.get("suspect_after", 0.0)))
    label = max((cell_len(row.label) for row in rows), default=0)
    value = max((cell_len(duration(row.silence)) for row in rows), default=0)
    room = width - label - value - len("  " * 2 + ">")
    if not thresholds or not rows or room < _LEAST:
        return []
    glyphs = _ASCII if ascii_only else _UNICODE
    scale = _Scale(thresholds, room, glyphs)
    names_of_marks = "".join(
        f" {glyphs.mark} {name} {seconds:g}s"
        for name, seconds in sorted(thresholds.items(), key=lambda each: each[1])
    )
    drawn = [Text.assemble(("silence", "bold"), names_of_marks)]
    if any(scale.cells(row.for_all) < scale.cells(row.silence) for row in rows):
        drawn.append(Text(f"{glyphs.full} heard by nobody  {glyphs.half} heard by others, not by this node"))
    for row in rows:
        head = f"{row.label}{' ' * (label - cell_len(row.label))}  {duration(row.silence):>{value}}  "
        drawn.append(Text(head).append_text(scale.bar(row)))
    return drawn


def _rows(view: ClusterView, names: Mapping[str, str], suspect_after: float) -> Iterator[_Row]:
    for member in view.members:
        silence = member.silence_seconds
        for_all = silence.any
        # Less is but the time between two questions.
        if silence.report is not None and silence.any - silence.report >= suspect_after:
            for_all = silence.report
        yield _Row(names[member.id], silence.any, for_all)
        if silence.raft is not None and silence.any < suspect_after <= silence.raft:
            yield _Row(f"{names[member.id]} main loop", silence.raft, silence.raft)


class _Scale:
    """From nothing to the greatest threshold in ``room`` cells."""

    def __init__(self, thresholds: Mapping[str, float], room: int, glyphs: _Glyphs) -> None:
        self._thresholds = thresholds
        self._top = max(thresholds.values())
        self._room = room
        self._glyphs = glyphs
        self._marks = {min(self.cells(seconds), room - 1) for seconds in thresholds.values()}

    def cells(self, seconds: float) -> int:
        """How many cells so many seconds fill."""
        return int(min(seconds / self._top, 1.0) * self._room)

    def bar(self, row: _Row) -> Text:
        """Draw one, with the marks over it, and an arrow where it goes beyond the last of them."""
        style = self._style(row.silence)
        for_all, silence = self.cells(row.for_all), self.cells(row.silence)
        text = Text()
        for cell in range(self._room):
            if cell in self._marks:
                text.append(self._glyphs.mark, "bold" if cell < silence else "dim")
            elif cell < silence:
                text.append(self._glyphs.full if cell < for_all else self._glyphs.half, style)
            else:
                text.append(" ")
        if row.silence > self._top:
            text.append(">", style)
        text.rstrip()
        return text

    def _style(self, seconds: float) -> str:
        if seconds < self._thresholds.get("suspect_after", self._top):
            return "green"
        return "yellow" if seconds < self._thresholds.get("gone_after", self._top) else "bold red"
