"""The members in a table, and in sentences what no column has room for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from rich.cells import cell_len
from rich.console import JustifyMethod
from rich.table import Table
from rich.text import Text

from raft_exporter.model.override import IGNORE
from raft_exporter.terminal import COLOURS
from raft_exporter.view import ClusterView, MemberView
from raft_exporter.wording import UNKNOWN, duration, index

_SPARED: Final = ("index", "term", "main loop", "silent", "role")
"""What a narrow terminal goes without, the first of them first; state and reason are always there."""
_RIGHT: Final = {"for", "silent", "main loop"}


def member_table(view: ClusterView, names: Mapping[str, str], width: int) -> Table:
    """Draw a row a member, with as many columns as ``width`` has room for."""
    rows = [_row(member, names) for member in view.members]
    columns = ["member", "state", "reason", "for", "role", "silent", "main loop", "term", "index"]
    widths = {
        column: max((cell_len(column), *(cell_len(row[column].plain) for row in rows))) for column in columns
    }

    def needed(gap: int) -> int:
        return sum(widths[column] for column in columns) + gap * (len(columns) - 1)

    gap = 2 if needed(2) <= width else 1
    for spared in _SPARED:
        if needed(gap) > width:
            columns.remove(spared)
    table = Table(box=None, pad_edge=False, padding=(0, gap, 0, 0), header_style="bold")
    for column in columns:
        justify: JustifyMethod = "right" if column in _RIGHT else "left"
        table.add_column(column, justify=justify, overflow="fold")
    for row in rows:
        table.add_row(*(row[column] for column in columns))
    return table


def member_notes(view: ClusterView, names: Mapping[str, str]) -> Iterator[Text]:
    """Write who is flapping, what an operator said, and which ids were shortened."""
    for member in view.members:
        name = names[member.id]
        if member.flapping:
            yield Text(f"{name} is flapping: it goes and comes too often", "bold yellow")
        if member.restored:
            yield Text(f"{name} was so before this sidecar restarted; it is not confirmed yet", "yellow")
        if member.override is not None:
            yield _override(member, name)
    for member in view.members:
        if names[member.id] != member.id:
            yield Text(f"{names[member.id]} is {member.id} at {member.address}", "dim")


def _row(member: MemberView, names: Mapping[str, str]) -> dict[str, Text]:
    silence = member.silence_seconds
    masked = _masked(member)
    return {
        "member": Text(f"{names[member.id]} *" if member.own else names[member.id]),
        "state": Text(member.state, COLOURS[member.state]),
        "reason": Text("override", "bold") if masked else Text(member.reason),
        "for": Text(UNKNOWN if masked else duration(member.since_seconds)),
        "role": Text(member.role),
        "silent": Text(duration(silence.any)),
        "main loop": Text(duration(silence.raft)),
        "term": Text(index(member.term)),
        "index": Text(index(member.last_log_index)),
    }


def _masked(member: MemberView) -> bool:
    """Whether the state that is shown is an operator's, of which the judged one's reason says nothing."""
    return member.override is not None and member.state is not member.judged_state


def _override(member: MemberView, name: str) -> Text:
    override = member.override
    assert override is not None  # noqa: S101 - the caller asked
    what = "ignored" if override.state == IGNORE else f"shown as {override.state}"
    return Text(
        f"override: {name} is {what} by {override.author} for {duration(override.expires_in_seconds)} "
        f"more ({override.reason}); judged {member.judged_state} ({member.reason})",
        "bold",
    )
