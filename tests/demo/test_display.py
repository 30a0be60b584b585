from __future__ import annotations

import io

from msgspec.structs import replace
from rich.console import Console

from raft_exporter.demo.display import Glance, LiveDisplay, PlainDisplay, in_words
from raft_exporter.demo.writer import Progress
from raft_exporter.model.evidence import NodeIdentity, Server
from raft_exporter.model.judge import Reason, State
from raft_exporter.model.policy import Policy
from raft_exporter.model.table import Table
from raft_exporter.view import ClusterView, cluster_view


def view(n2: State = State.ONLINE, reason: Reason = Reason.FRESH) -> ClusterView:
    """What a sidecar says that was just started, but for the states of its members."""
    table = Table(Policy.of(1.0), [Server("n2", "127.0.0.1:2")], now=0.0)
    table.take(NodeIdentity("n1", "127.0.0.1:1"), now=0.0)
    said = cluster_view(table, now=0.0, wall=0.0)
    own, other = said.members
    own = replace(own, state=State.ONLINE, reason=Reason.FRESH)
    return replace(said, members=(own, replace(other, state=n2, reason=reason)))


def glance(elapsed: float, view: ClusterView | None, fault: str | None = None) -> Glance:
    return Glance(elapsed=elapsed, views={"n1": view}, writes=Progress(7, 2), fault=fault)


def test_only_what_is_not_online_has_a_reason() -> None:
    tolerance = "failure tolerance not known"
    assert in_words(view()) == f"unknown, leader not told; n1 online, n2 online; {tolerance}"
    assert "n1 online, n2 offline (refused);" in in_words(view(State.OFFLINE, Reason.REFUSED))
    assert "; no members known; " in in_words(replace(view(), members=()))


def test_where_nobody_draws_a_line_is_written_for_a_change_alone() -> None:
    lines: list[str] = []
    with PlainDisplay(lines.append) as shown:
        shown.show(glance(0.0, None))
        shown.show(glance(0.2, None))
        shown.show(glance(0.4, view()))
        shown.show(glance(0.6, view(), "the disk of n2"))
        shown.show(glance(0.8, view(State.STALLED, Reason.MAIN_LOOP_SILENT), "the disk of n2"))
        shown.show(glance(1.0, view(State.STALLED, Reason.MAIN_LOOP_SILENT), "the disk of n2"))
    assert lines == [
        "   0.0 s  sidecar of n1: no answer",
        f"   0.4 s  sidecar of n1: {in_words(view())}",
        "   0.6 s  FAULT: the disk of n2",
        f"   0.8 s  sidecar of n1: {in_words(view(State.STALLED, Reason.MAIN_LOOP_SILENT))}",
    ]


def test_in_a_terminal_the_table_has_a_row_a_sidecar_and_a_column_a_member() -> None:
    console = Console(file=io.StringIO(), force_terminal=True, width=100, color_system=None)
    with LiveDisplay(console) as shown, console.capture() as capture:
        shown.show(glance(3.0, view(State.STALLED, Reason.PROCESS_SILENT), "the disk of n2"))
        shown.show(Glance(elapsed=4.0, views={"n1": view(), "n3": None}, writes=Progress(), fault=None))
    text = capture.get()
    for part in ("3 s; 7 writes committed, 2 not", "FAULT: the disk of n2", "stalled", "no answer"):
        assert part in text
    header = next(line for line in text.splitlines() if "sidecar of" in line)
    assert header.split() == ["sidecar", "of", "role", "leader", "n1", "n2", "tolerance"]


def test_what_alertmanager_says_is_shown_once() -> None:
    lines: list[str] = []
    shown = PlainDisplay(lines.append)
    for told in ([], ["pager: one"], ["pager: one"], ["pager: one", "ticket: two"]):
        shown.show(replace(glance(1.0, view()), told=told))
    assert [line for line in lines if "sidecar" not in line] == [
        "   1.0 s  pager: one",
        "   1.0 s  ticket: two",
    ]


def test_the_live_table_has_what_alertmanager_says() -> None:
    console = Console(file=io.StringIO(), width=100, force_terminal=True)
    with LiveDisplay(console) as shown:
        shown.show(replace(glance(1.0, view()), told=["pager: one"]))
    assert isinstance(console.file, io.StringIO)
    assert "pager: one" in console.file.getvalue()
