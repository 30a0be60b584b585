"""Our alert rules beside those that people use today: who pages for what, how late, how often, for nothing.

Real nodes, sidecars, Prometheus and Alertmanager; every incident happens to a cluster of its own, all at
once, and all rule sets see all of them. The others' rules are in bench/baselines.rules.yml. Nothing is
accelerated.
"""

from __future__ import annotations

import tempfile
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Final

import click
import yaml
from msgspec import Struct

from bench._incidents import INCIDENTS
from bench._observer import Observer
from bench._summary import finish, table
from raft_exporter.demo.cluster import Cluster, Settings, until

BASELINES: Final = Path(__file__).with_name("baselines.rules.yml")
OURS: Final = "raft-exporter"
_RECEIVERS: Final = {
    OURS: "pager",
    **{
        rule["labels"]["ruleset"]: rule["labels"]["ruleset"]
        for group in yaml.safe_load(BASELINES.read_text())["groups"]
        for rule in group["rules"]
    },
}
"""Each rule set's receiver in Alertmanager."""
LATE: Final = 60.0
"""Seconds: a page that comes after them is late."""
_PATIENCE: Final = 180.0


class Verdict(Struct, frozen=True):
    """What a rule set made of one incident: pages by kind, and the seconds to the first; None: no page."""

    true: int
    late: int
    missed: int
    false: int
    duplicate: int
    first: float | None


def judged(pages: Sequence[float], *, wanted: bool) -> Verdict:
    """Judge the pages about one incident, as seconds since it began; a page is a notification that fires.

    Where one is wanted, the first is true or late, the others are duplicates; where none is, all are false.
    """
    first = min(pages, default=None)
    if not wanted:
        return Verdict(true=0, late=0, missed=0, false=len(pages), duplicate=0, first=first)
    late = first is not None and first > LATE
    return Verdict(
        true=int(first is not None and not late),
        late=int(late),
        missed=int(first is None),
        false=0,
        duplicate=max(len(pages) - 1, 0),
        first=first,
    )


def routed(config: str, receiver: str) -> str:
    """Give every other rule set a receiver of its own, with the grouping that our pages have."""
    parsed = yaml.safe_load(config)
    for name in _RECEIVERS:
        if name == OURS:
            continue
        route = {
            "matchers": [f'ruleset = "{name}"'],
            "receiver": name,
            "group_by": ["cluster", "alertname"],
            "group_wait": "5s",
            "group_interval": "1m",
            "repeat_interval": "4h",
        }
        parsed["route"]["routes"].insert(0, route)
        parsed["receivers"].append({"name": name, "webhook_configs": [{"url": f"{receiver}/{name}"}]})
    return str(yaml.safe_dump(parsed, sort_keys=False))


def compare(home: Path, lasts: float, after: float) -> dict[str, dict[str, Verdict]]:
    """Let every incident last ``lasts`` seconds, look on for ``after`` more; judge all rule sets."""
    clusters: dict[str, Cluster] = {}
    for number, (name, incident) in enumerate(INCIDENTS.items()):
        directory = home / f"c{number}"
        directory.mkdir()
        clusters[name] = Cluster(directory, incident.size, Settings(store="bolt"))
    observer = Observer(home / "observer", "5s", clusters, [BASELINES], routed)
    began: dict[str, float] = {}

    def happen(name: str) -> None:
        began[name] = time.time()
        INCIDENTS[name].happen(clusters[name], lasts)

    with ExitStack() as stack:
        stack.enter_context(observer)
        threads = stack.enter_context(ThreadPoolExecutor(len(clusters)))
        for cluster in clusters.values():
            stack.callback(cluster.stop)
        for started in [threads.submit(cluster.start) for cluster in clusters.values()]:
            started.result()
        until("all clusters whole", lambda: observer.sees_whole(list(clusters)), _PATIENCE)
        for happened in [threads.submit(happen, name) for name in clusters]:
            happened.result()
        threading.Event().wait(after)
        return {
            ruleset: {
                name: judged(
                    [page.at - began[name] for page in observer.pages(name, receiver)],
                    wanted=incident.pages,
                )
                for name, incident in INCIDENTS.items()
            }
            for ruleset, receiver in _RECEIVERS.items()
        }


def _cell(verdict: Verdict, *, wanted: bool) -> str:
    if verdict.first is None:
        return "missed" if wanted else "-"
    more = verdict.duplicate if wanted else verdict.false - 1
    return f"{verdict.first:.0f} s" + (f" +{more}" if more else "") + ("" if wanted else " (false)")


@click.command(help=__doc__)
@click.option("--lasts", default=330.0, show_default=True, help="Seconds that an incident lasts.")
@click.option("--after", default=180.0, show_default=True, help="Seconds to look on when all are mended.")
def main(lasts: float, after: float) -> None:
    """Compare, and print what came of it."""
    with tempfile.TemporaryDirectory(prefix="raft-exporter-comparison-") as home:
        verdicts = compare(Path(home), lasts, after)
    kinds = ("true", "late", "missed", "false", "duplicate")
    sums = {
        ruleset: {kind: sum(getattr(each, kind) for each in judged.values()) for kind in kinds}
        for ruleset, judged in verdicts.items()
    }
    print(table(["rule set", *kinds], [[name, *map(str, each.values())] for name, each in sums.items()]))
    print()
    rows = [
        [name, "yes" if incident.pages else "no"]
        + [_cell(verdicts[ruleset][name], wanted=incident.pages) for ruleset in verdicts]
        for name, incident in INCIDENTS.items()
    ]
    finish(
        table(["incident", "to be paged", *verdicts], rows),
        {"lasts": lasts, "after": after, "rule_sets": sums, "incidents": verdicts},
    )


if __name__ == "__main__":
    main()
