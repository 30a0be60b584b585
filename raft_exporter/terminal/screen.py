"""All of it on one screen, and what is left out where the terminal is too low for it."""

from __future__ import annotations

from typing import Final

from msgspec import Struct
from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from raft_exporter.answers import Event
from raft_exporter.model.evidence import Role
from raft_exporter.terminal import COLOURS
from raft_exporter.terminal.labels import labels, printable
from raft_exporter.terminal.members import member_notes, member_table
from raft_exporter.terminal.sights import short_sights, sights
from raft_exporter.terminal.silence import silence_bars
from raft_exporter.view import ClusterView
from raft_exporter.wording import duration, index, leadership, margin, office, outlook, short_time

ENTRIES: Final = 10
"""Entries of the journal where the height sets no other bound."""

_Lines = list[list[Segment]]


class Latest(Struct, frozen=True):
    """The journal's latest events, oldest first; ``missing`` is why the sidecar told none."""

    events: tuple[Event, ...] = ()
    missing: str | None = None


class Watched(Struct, frozen=True):
    """Whom a screen is from, and of when: ``at`` (Unix time) is when the sidecar last answered.

    When it has not answered since, ``error`` says why, and ``silent_for`` for how many seconds.
    """

    url: str
    at: float
    latest: Latest = Latest()
    silent_for: float = 0.0
    error: str | None = None


class Screen:
    """What one sidecar knows. ``watched`` adds the first line and the journal of a screen that is drawn anew.

    No higher than ``height``, if there is one: the journal is cut first, then who sees whom is told in fewer
    lines, then the bars are left out; the members stay.
    """

    def __init__(self, view: ClusterView, watched: Watched | None = None, height: int | None = None) -> None:
        self._view = view
        self._watched = watched
        self._height = height

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Draw it in the width and the encoding of the console."""
        view = printable(self._view, options.encoding)
        watched = None if self._watched is None else printable(self._watched, options.encoding)
        drawing = _Drawing(view, watched, console, options)
        for line in drawing.whole() if self._height is None else drawing.cut(self._height):
            yield from line
            yield Segment.line()


def unanswered(seconds: float, error: str) -> Text:
    """Write for how long the sidecar has given no answer, and why."""
    return Text(f"no answer since {duration(seconds)}: {error}", "bold reverse")


class _Drawing:
    """The parts of a screen as lines of one width."""

    def __init__(
        self, view: ClusterView, watched: Watched | None, console: Console, options: ConsoleOptions
    ) -> None:
        self._console = console
        self._options = options.update(height=None)
        self._watched = watched
        width = options.max_width
        ids = {member.id for member in view.members} | {reporter.id for reporter in view.reporters}
        names = labels(sorted(ids), max(12, width // 8))
        bars = silence_bars(view, names, width, ascii_only=options.ascii_only)
        self._members = self._lines(
            _head(view), Text(), member_table(view, names, width), *member_notes(view, names)
        )
        self._bars = self._section(*bars)
        self._sights = self._section(*sights(view, names, width))
        self._short_sights = self._section(*short_sights(view, names))

    def whole(self) -> _Lines:
        """Give all of it, with some entries of the journal."""
        key = self._section(Text("* the sidecar's own node", "dim"))
        return self._top() + self._members + self._bars + self._sights + self._journal(None) + key

    def cut(self, height: int) -> _Lines:
        """Give what goes into ``height`` lines; the first line says what does not."""
        shapes: tuple[tuple[_Lines, tuple[str, ...]], ...] = (
            (self._bars + self._sights, ()),
            (self._bars + self._short_sights, ()),
            (self._short_sights, ("silence",)),
            ([], ("silence", "who sees whom")),
        )
        used = len(self._top()) + len(self._members)
        body, spared = next((each for each in shapes if used + len(each[0]) <= height), shapes[-1])
        journal = self._journal(height - used - len(body))
        if self._watched is not None and self._watched.latest.events and not journal:
            spared += ("journal",)
        drawn = self._top(*spared) + self._members + body + journal
        if len(drawn) <= height:
            return drawn
        rest = Text(f"{len(drawn) - height + 1} more lines: the terminal is too low", "bold")
        return drawn[: height - 1] + self._lines(rest)

    def _lines(self, *drawn: RenderableType) -> _Lines:
        render = self._console.render_lines
        return [line for each in drawn for line in render(each, self._options, pad=False)]

    def _section(self, *drawn: RenderableType) -> _Lines:
        return self._lines(Text(), *drawn) if drawn else []

    def _top(self, *spared: str) -> _Lines:
        watched = self._watched
        if watched is None:
            return []
        if watched.error is not None:
            line = Text("stale: ", "bold reverse").append_text(unanswered(watched.silent_for, watched.error))
            return self._lines(line.append(f"; so it was at {short_time(watched.at)}"))
        room = f"no room for: {', '.join(spared)}  " if spared else ""
        line = Text(f"{short_time(watched.at)}  {room}{watched.url}", "dim", no_wrap=True, overflow="crop")
        return self._lines(line)

    def _journal(self, room: int | None) -> _Lines:
        """As many of the latest entries as there is room for."""
        if self._watched is None:
            return []
        latest = self._watched.latest
        if latest.missing is not None:
            section = self._section(Text(latest.missing, "bold"))
            return section if room is None or len(section) <= room else []
        title = self._section(Text("what happened last", "bold"))
        entries: list[_Lines] = []
        for event in latest.events[: -ENTRIES - 1 : -1] if room is None else reversed(latest.events):
            entry = self._lines(_entry(event))
            if room is not None and len(title) + sum(map(len, entries)) + len(entry) > room:
                break
            entries.append(entry)
        return title + [line for entry in reversed(entries) for line in entry] if entries else []


def _entry(event: Event) -> Table:
    line = Table.grid(padding=(0, 2, 0, 0))
    line.add_column(no_wrap=True)
    line.add_column(overflow="fold")
    style = "" if event.after is None else COLOURS[event.after]
    line.add_row(short_time(event.at), Text(event.text, style))
    return line


def _head(view: ClusterView) -> Text:
    node, tolerance = view.node, view.quorum.failure_tolerance
    online, may_fail = margin(view.quorum)
    head = Text.assemble(
        (node.id or "unknown node", "bold"),
        f" is {office(node)} in term {index(node.term)}, ",
        (leadership(node), "bold red" if node.leader is None and node.role is not Role.UNKNOWN else ""),
        f"\n{online}, {may_fail}: ",
        (outlook(view), ("bold green" if tolerance > 0 else "bold red") if tolerance is not None else "bold"),
    )
    if node.isolated:
        head.append("\nisolated: this node reaches no majority, so it blames nobody", "bold red")
    if not node.up:
        head.append("\nthe node itself is not heard at present", "bold yellow")
    return head
