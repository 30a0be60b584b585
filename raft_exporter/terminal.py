"""The cluster in a terminal: a table that reads without colour too."""

from __future__ import annotations

from typing import Final

from rich.console import Group, JustifyMethod, RenderableType
from rich.table import Table
from rich.text import Text

from raft_exporter.model.evidence import Role
from raft_exporter.model.judge import State
from raft_exporter.view import ClusterView
from raft_exporter.wording import duration, index, leadership, margin

COLOURS: Final = {
    State.UNKNOWN: "yellow",
    State.ONLINE: "green",
    State.SUSPECT: "yellow",
    State.STALLED: "bold red",
    State.ASYMMETRIC: "yellow",
    State.OFFLINE: "bold red",
}


def screen(view: ClusterView) -> RenderableType:
    """Draw what one sidecar knows."""
    node, tolerance = view.node, view.quorum.failure_tolerance
    online, may_fail = margin(view.quorum)
    head = Text.assemble(
        (node.id or "unknown node", "bold"),
        f" is {node.role} in term {index(node.term)}, ",
        (leadership(node), "bold red" if node.leader is None and node.role is not Role.UNKNOWN else ""),
        f"\n{online}, ",
        (may_fail, "bold red" if tolerance is not None and tolerance <= 0 else "bold"),
    )
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("member", "state", "reason", "for", "role", "silent", "main loop", "term", "last index"):
        justify: JustifyMethod = "right" if column in {"for", "silent", "main loop"} else "left"
        table.add_column(column, justify=justify, overflow="fold")
    for member in view.members:
        silence = member.silence_seconds
        table.add_row(
            Text(f"{member.id} *" if member.own else member.id),
            Text(member.state, COLOURS[member.state]),
            member.reason,
            duration(member.since_seconds),
            member.role,
            duration(silence.any),
            duration(silence.raft),
            index(member.term),
            index(member.last_log_index),
        )
    return Group(head, Text(), table, Text("\n* the sidecar's own node", "dim"))


def failure(message: str) -> RenderableType:
    """Draw that the sidecar could not be asked."""
    return Text(message, "bold red")
