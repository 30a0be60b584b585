"""Who sees whom, as each node itself knows it: a table, or in few lines who does not see whom."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from rich.cells import cell_len
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from raft_exporter.view import ClusterView, ReporterView, SightView
from raft_exporter.wording import UNKNOWN, duration

_NARROWEST: Final = len("refused")
"""Cells of a column; a longer sight is folded between its words."""


def sights(view: ClusterView, names: Mapping[str, str], width: int) -> list[RenderableType]:
    """Draw one row a reporter and one column a member, or what ``short_sights`` writes if that is too wide.

    Nothing while only one node has anything to tell: the table of the members says the same.
    """
    if len(view.reporters) < 2:
        return []
    rows = [_name(reporter, names) for reporter in view.reporters]
    label = max(cell_len(row.plain) for row in rows)
    if label + len(view.members) * (_NARROWEST + 1) > width:
        return short_sights(view, names)
    cells = [[_sight(each.sees.get(member.id)) for member in view.members] for each in view.reporters]
    heads = [names[member.id] for member in view.members]
    widest = max(cell_len(text) for text in (*heads, *(cell.plain for row in cells for cell in row)))
    gap = 2 if label + len(heads) * (max(widest, _NARROWEST) + 2) <= width else 1
    table = Table(box=None, pad_edge=False, padding=(0, gap, 0, 0), header_style="bold")
    table.add_column("", width=label)
    for head in heads:
        table.add_column(Text(head), min_width=_NARROWEST, overflow="fold")
    for row, sights_of_row in zip(rows, cells, strict=True):
        table.add_row(row, *sights_of_row)
    title = Text("who sees whom: silence of the member, as each node itself knows it", "bold")
    return [title, table, *_notes(view, names)]


def short_sights(view: ClusterView, names: Mapping[str, str]) -> list[RenderableType]:
    """Write who is not seen by whom, a line a member."""
    if len(view.reporters) < 2:
        return []
    lines = [line for member in view.members if (line := _unseen(member.id, view, names))]
    title = Text.assemble(("who sees whom: ", "bold"), f"of {len(view.reporters)} reporters ")
    title.append("these do not see" if lines else "each sees every member")
    return [title, *lines, *_notes(view, names)]


def _unseen(peer: str, view: ClusterView, names: Mapping[str, str]) -> Text | None:
    line = Text()
    for reporter in view.reporters:
        sight = reporter.sees.get(peer)
        if sight is not None and sight.seen and not sight.refused:
            continue
        line.append(", " if line else f"{names[peer]}: ").append_text(_name(reporter, names)).append(" ")
        line.append_text(Text("not told") if sight is None else _sight(sight))
    return line or None


def _name(reporter: ReporterView, names: Mapping[str, str]) -> Text:
    return Text(names[reporter.id] if reporter.credible else f"{names[reporter.id]} !")


def _sight(sight: SightView | None) -> Text:
    if sight is None:
        return Text(UNKNOWN)
    silence = duration(sight.silence_seconds)
    if sight.refused:
        return Text(f"refused {silence}", "bold red")
    return Text(silence, "green") if sight.seen else Text(f"{silence} silent", "bold red")


def _notes(view: ClusterView, names: Mapping[str, str]) -> Iterator[Text]:
    """Write whom not to believe, and who told nothing."""
    for reporter in view.reporters:
        if not reporter.credible:
            why = "isolated" if reporter.isolated else f"its report is {duration(reporter.age_seconds)} old"
            yield Text(f"! {names[reporter.id]} is not credible: {why}", "bold yellow")
    told = {reporter.id for reporter in view.reporters}
    if unheard := [names[member.id] for member in view.members if member.id not in told]:
        yield Text(f"no reports from the sidecars of: {', '.join(unheard)}", "bold")
