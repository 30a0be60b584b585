"""The cluster in a terminal: a table that reads without colour too."""

from __future__ import annotations

from typing import Final

from rich.console import Group, JustifyMethod, RenderableType
from rich.table import Table
from rich.text import Text

from raft_exporter.model.evidence import Role
from raft_exporter.model.judge import State
from raft_exporter.view import ClusterView, MemberView, SightView
from raft_exporter.wording import UNKNOWN, duration, index, leadership, margin, office

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
        f" is {office(node)} in term {index(node.term)}, ",
        (leadership(node), "bold red" if node.leader is None and node.role is not Role.UNKNOWN else ""),
        f"\n{online}, ",
        (may_fail, "bold red" if tolerance is not None and tolerance <= 0 else "bold"),
    )
    if node.isolated:
        head.append("\nisolated: this node reaches no majority, so it blames nobody", "bold red")
    parts: list[RenderableType] = [head, Text(), _members(view)]
    parts += [_override(member) for member in view.members if member.override is not None]
    if len(view.reporters) > 1:
        parts += [Text("\nwho sees whom: silence of the member, as each node itself knows it", "bold")]
        parts += [_sights(view)]
        if unheard := {member.id for member in view.members} - {each.id for each in view.reporters}:
            parts += [Text(f"no reports from the sidecars of: {', '.join(sorted(unheard))}", "bold")]
    parts.append(Text("\n* the sidecar's own node", "dim"))
    return Group(*parts)


def _members(view: ClusterView) -> Table:
    table = _table("member", "state", "reason", "for", "role", "silent", "main loop", "term", "index")
    for member in view.members:
        silence = member.silence_seconds
        table.add_row(
            Text(f"{member.id} *" if member.own else member.id),
            Text(member.state, COLOURS[member.state]),
            _why(member),
            UNKNOWN if _masked(member) else duration(member.since_seconds),
            member.role,
            duration(silence.any),
            duration(silence.raft),
            index(member.term),
            index(member.last_log_index),
        )
    return table


def _masked(member: MemberView) -> bool:
    """Whether the state that is shown is an operator's, of which the judged one's reason says nothing."""
    return member.override is not None and member.state is not member.judged_state


def _why(member: MemberView) -> str:
    reason = "override" if _masked(member) else str(member.reason)
    return f"{reason}, flapping" if member.flapping else reason


def _override(member: MemberView) -> Text:
    override = member.override
    assert override is not None  # noqa: S101 - the caller asked
    return Text(
        f"{member.id}: {override.state} by {override.author} for {duration(override.expires_in_seconds)} "
        f"more ({override.reason}); judged {member.judged_state}",
        "bold",
    )


def _sights(view: ClusterView) -> Table:
    """One row a reporter, one column a member."""
    members = [member.id for member in view.members]
    table = _table("", *members)
    for reporter in view.reporters:
        name = reporter.id
        if not reporter.credible:
            name += " (isolated)" if reporter.isolated else " (stale)"
        table.add_row(Text(name), *(_sight(reporter.sees.get(member)) for member in members))
    return table


def _sight(sight: SightView | None) -> Text:
    if sight is None:
        return Text(UNKNOWN)
    words = duration(sight.silence_seconds) + (" refused" if sight.refused else "")
    return Text(words, "green" if sight.seen else "bold red")


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 1), header_style="bold")
    for column in columns:
        justify: JustifyMethod = "right" if column in {"for", "silent", "main loop"} else "left"
        table.add_column(column, justify=justify, overflow="fold", no_wrap=column == "reason")
    return table


def failure(message: str) -> RenderableType:
    """Draw that the sidecar could not be asked."""
    return Text(message, "bold red")
