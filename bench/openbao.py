"""Our alert rules beside those of openbao-observability, as published, on OpenBao's own metrics.

Real servers, sidecars, Prometheus and Alertmanager. Each fault happens to a whole cluster of its own, that
one Prometheus watches with both rule sets. Theirs are in bench/openbao.rules.yml. Nothing is accelerated.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

import click
from msgspec import Struct

from bench._openbao_stage import FAULTS, Stage
from bench._summary import finish, table
from bench.comparison import OURS, Verdict, judged
from raft_exporter.demo.cluster import until
from raft_exporter.demo.receiver import Notification

RECEIVERS: Final = {"openbao-observability": "openbao", OURS: "pager"}
"""Each rule set's receiver in Alertmanager."""
_KINDS: Final = ("true", "late", "missed", "duplicate")
_PATIENCE: Final = 240.0


class Page(Struct, frozen=True):
    """One notification that fires: which alert, and how many seconds after the fault began."""

    alert: str
    after: float


Told = Mapping[str, Sequence[Page]]
"""The pages about one fault by rule set."""


def pages_of(began: float, notifications: Iterable[Notification]) -> dict[str, list[Page]]:
    """Give the pages of each rule set, oldest first."""
    return {
        ruleset: [
            Page(alert=each.alerts[0].name, after=round(each.at - began, 1))
            for each in sorted(notifications, key=lambda notification: notification.at)
            if each.receiver == receiver and each.status == "firing"
        ]
        for ruleset, receiver in RECEIVERS.items()
    }


def verdict(pages: Sequence[Page]) -> Verdict:
    """Judge the pages about one fault; each of these faults is one to be paged for."""
    return judged([page.after for page in pages], wanted=True)


def cell(pages: Sequence[Page]) -> str:
    """Name each alert with the time of its first page, and how often it was repeated."""
    first: dict[str, float] = {}
    for page in pages:
        first.setdefault(page.alert, page.after)
    if not first:
        return "nothing"
    named = [f"{alert} {after:.0f} s" for alert, after in first.items()]
    more = len(pages) - len(first)
    return "; ".join(named) + (f"; +{more}" if more else "")


def sums(told: Mapping[str, Told]) -> dict[str, dict[str, int]]:
    """Count the verdicts of each rule set over all faults."""
    return {
        ruleset: {kind: sum(getattr(verdict(of[ruleset]), kind) for of in told.values()) for kind in _KINDS}
        for ruleset in RECEIVERS
    }


def lay_out(told: Mapping[str, Told]) -> str:
    """Give both tables: who paged what and when, and the sums."""
    rows = [[fault, *(cell(of[ruleset]) for ruleset in RECEIVERS)] for fault, of in told.items()]
    counts = [[ruleset, *map(str, of.values())] for ruleset, of in sums(told).items()]
    return "\n\n".join([table(["fault", *RECEIVERS], rows), table(["rule set", *_KINDS], counts)])


def measure(faults: Sequence[str], lasts: float, at_once: int, home: Path) -> dict[str, Told]:
    """Let each fault last ``lasts`` seconds, so many clusters beside each other; give the pages."""
    told: dict[str, Told] = {}
    for start in range(0, len(faults), at_once):
        told |= _together(faults[start : start + at_once], lasts, home)
    return told


def _together(faults: Sequence[str], lasts: float, home: Path) -> dict[str, Told]:
    stages: dict[str, Stage] = {}
    with ThreadPoolExecutor(len(faults)) as threads:
        try:
            for fault in faults:  # one after the other: a server that starts takes a core for itself
                directory = home / fault.replace(" ", "-")
                directory.mkdir()
                stages[fault] = Stage(directory)
                stages[fault].start()
            for fault, stage in stages.items():
                until(f"{fault}: a whole cluster", stage.is_whole, _PATIENCE)
            plays = {
                fault: threads.submit(stage.suffer, FAULTS[fault], lasts) for fault, stage in stages.items()
            }
            return {fault: pages_of(*play.result()) for fault, play in plays.items()}
        finally:
            list(threads.map(Stage.stop, stages.values()))


@click.command(help=__doc__)
@click.option("--lasts", default=330.0, show_default=True, help="Seconds that a fault lasts.")
@click.option("--only", multiple=True, type=click.Choice(list(FAULTS)), help="One fault; may be repeated.")
@click.option(
    "--at-once",
    default=2,
    show_default=True,
    type=click.IntRange(1, len(FAULTS)),
    help="Clusters beside each other.",
)
def main(lasts: float, only: tuple[str, ...], at_once: int) -> None:
    """Compare, and print what came of it."""
    with tempfile.TemporaryDirectory(prefix="raft-exporter-openbao-") as home:
        told = measure(only or tuple(FAULTS), lasts, at_once, Path(home))
    finish(lay_out(told), {"lasts": lasts, "at_once": at_once, "rule_sets": sums(told), "faults": told})


if __name__ == "__main__":
    main()
