"""``raft-exporter doctor``: what a running sidecar can see, and what it lacks, on one screen."""

from __future__ import annotations

import sys
from typing import Final

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from raft_exporter.asking import client_of, url_option
from raft_exporter.checkup import Check
from raft_exporter.reporting import reported

_SIGNS: Final[dict[bool | None, tuple[str, str]]] = {
    True: ("ok", "green"),
    False: ("FAIL", "bold red"),
    None: ("-", "dim"),
}


@click.command()
@url_option
@reported
def doctor(url: str) -> None:
    """Show what a running sidecar can see and what it lacks, with hints; exit code 1 if anything fails.

    Its sources, what its token may see, the members' Raft ports and sidecars, clocks and store.
    """
    checks = client_of(url).checkup().checks
    Console().print(_table(checks))
    if any(check.ok is False for check in checks):
        sys.exit(1)


def _table(checks: tuple[Check, ...]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 1), show_header=False)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    table.add_column(overflow="fold")
    for check in checks:
        sign, style = _SIGNS[check.ok]
        words = Text(check.text)
        if check.hint:
            words.append(f"\n{check.hint}", "italic")
        table.add_row(Text(sign, style), check.name, words)
    return table
