"""What the demo shows while it runs: a live table in a terminal, a line for each change elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Final, Protocol, Self

import click
from msgspec import Struct
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from raft_exporter.demo.monitoring import Monitoring
from raft_exporter.demo.staged import StagedCluster
from raft_exporter.demo.writer import Progress
from raft_exporter.model.judge import State
from raft_exporter.terminal import COLOURS
from raft_exporter.view import ClusterView
from raft_exporter.wording import index, leadership, margin

NO_ANSWER: Final = "no answer"


class Glance(Struct, frozen=True):
    """The cluster at one moment: ``views`` by node, None where the sidecar did not answer.

    ``told`` is what Alertmanager said so far, a line each.
    """

    elapsed: float
    views: dict[str, ClusterView | None]
    writes: Progress
    fault: str | None
    told: Sequence[str] = ()


class Display(Protocol):
    """Shows one glance after the other; a context."""

    def show(self, glance: Glance) -> None:
        """Show how it is now."""

    def __enter__(self) -> Self: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


def display() -> Display:
    """The display that fits standard output."""
    console = Console()
    return LiveDisplay(console) if console.is_terminal else PlainDisplay(click.echo)


class LiveDisplay:
    """A table that is drawn anew: one row a sidecar, one column a member."""

    def __init__(self, console: Console) -> None:
        self._live = Live(console=console, auto_refresh=False)

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()

    def show(self, glance: Glance) -> None:
        """Draw it."""
        self._live.update(_drawn(glance), refresh=True)


class PlainDisplay:
    """A line whenever what a sidecar says has changed, by ``write``."""

    def __init__(self, write: Callable[[str], object]) -> None:
        self._write = write
        self._before: dict[str, str] = {}
        self._fault: str | None = None
        self._told = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return

    def show(self, glance: Glance) -> None:
        """Write what is new."""
        if glance.fault != self._fault:
            self._fault = glance.fault
            self._write(f"{glance.elapsed:6.1f} s  FAULT: {glance.fault}")
        for node, view in glance.views.items():
            line = in_words(view)
            if line != self._before.get(node):
                self._before[node] = line
                self._write(f"{glance.elapsed:6.1f} s  sidecar of {node}: {line}")
        for line in glance.told[self._told :]:
            self._write(f"{glance.elapsed:6.1f} s  {line}")
        self._told = len(glance.told)


def in_words(view: ClusterView | None) -> str:
    """Write what one sidecar says in a line that changes only when something happened."""
    if view is None:
        return NO_ANSWER
    members = ", ".join(
        f"{member.id} {member.state}" + ("" if member.state is State.ONLINE else f" ({member.reason})")
        for member in view.members
    )
    _, tolerance = margin(view.quorum)
    return f"{view.node.role}, {leadership(view.node)}; {members or 'no members known'}; {tolerance}"


def places(cluster: StagedCluster, monitoring: Monitoring) -> str:
    """Write the table of addresses."""
    rows: list[tuple[str, str, str]] = []
    for node_id, node in cluster.nodes.items():
        sidecar = cluster.sidecars[node_id].url
        rows += [
            (node_id, "status page", f"{sidecar}/"),
            ("", "metrics", f"{sidecar}/metrics"),
            ("", "API", f"{sidecar}/api/v1/cluster"),
            ("", "node", node.page),
            ("", "Raft", node.address),
        ]
    rows += [
        ("all", "Prometheus", monitoring.url if monitoring.prometheus else "not installed"),
        ("", "Alertmanager", monitoring.alertmanager_url if monitoring.alertmanager else "not installed"),
        ("", "logs", str(cluster.home)),
    ]
    return "\n".join(f"{who:<3}  {what:<12}  {where}" for who, what, where in rows)


def _drawn(glance: Glance) -> RenderableType:
    members = sorted({member.id for view in glance.views.values() if view for member in view.members})
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("sidecar of", "role", "leader", *members, "tolerance"):
        table.add_column(column)
    for node, view in glance.views.items():
        if view is None:
            table.add_row(node, Text(NO_ANSWER, "bold red"))
            continue
        states = {member.id: Text(member.state, COLOURS[member.state]) for member in view.members}
        table.add_row(
            node,
            view.node.role,
            view.node.leader or "-",
            *(states.get(member, Text("-")) for member in members),
            index(view.quorum.failure_tolerance),
        )
    writes = f"{glance.writes.committed} writes committed, {glance.writes.failed} not"
    head = Text(f"{glance.elapsed:.0f} s; {writes}; Ctrl-C ends it", "dim")
    fault = [Text(f"FAULT: {glance.fault}", "bold red")] if glance.fault else []
    return Group(head, *fault, table, *(Text(line, "yellow") for line in glance.told))
