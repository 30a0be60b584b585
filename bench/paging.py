"""How long it takes from a fault until somebody is told, and where the time goes.

Real nodes, sidecars, Prometheus and Alertmanager with what is shipped, H = 1 s, nothing accelerated. Each
cluster suffers one fault, at a random moment; two Prometheus, one that scrapes every 5 s and one that does
every 15 s, see it at the same time. Nothing is healed: a cluster is used once.
"""

from __future__ import annotations

import random
import statistics
import tempfile
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Final

import click

from bench._observer import Observer
from bench._pages import FAULTS, PHASES, Moments, Page, split, verdict_of_most
from bench._summary import finish, table
from bench._witness import words
from raft_exporter.demo.cluster import Cluster, Node, Settings, until
from raft_exporter.model.policy import Policy

INTERVALS: Final = ("5s", "15s")
"""Between two scrapes."""

_HOLD: Final = Policy.of(1.0).join_grace
_PATIENCE: Final = 180.0
_LATEST_START: Final = 15.0


class Trial:
    """One cluster that suffers one fault."""

    def __init__(self, kind: str, cluster: Cluster) -> None:
        self.kind = kind
        self.fault = FAULTS[kind]
        self.cluster = cluster
        self.at = 0.0
        self.victims: list[Node] = []

    def play(self, name: str, observers: Sequence[Observer], wait: float) -> None:
        """Strike after ``wait`` seconds, and wait until all are told."""
        threading.Event().wait(wait)
        self.at = time.time()
        self.victims = self.fault.strike(self.cluster)
        for page in self.fault.pages:
            for observer in observers:
                what = f"{name}: {page.alert}, scraped every {observer.interval}"
                until(what, lambda o=observer, p=page: o.told_at(name, p), _PATIENCE)  # type: ignore[misc]

    def moments(self, name: str, observer: Observer, page: Page) -> Moments:
        """Find out when what happened."""
        said = [words(sidecar.log.read_text()) for sidecar in self.cluster.sidecars.values()]
        told = observer.told_at(name, page)
        assert told is not None, name
        return Moments(
            fault=self.at,
            verdict=verdict_of_most(said, [victim.id for victim in self.victims], page.verdict, self.at),
            evidence=observer.evidence_at(name, page, self.at),
            pending=observer.alert_at(name, page, self.at),
            firing=observer.alert_at(name, page, self.at, "firing"),
            told=told,
        )


def measure(n: int, seed: int, home: Path) -> dict[tuple[str, str, str], list[dict[str, float]]]:
    """Run ``n`` trials of each fault at once; give the seconds of each phase by fault, alert and interval."""
    rng = random.Random(seed)
    names = [(f"{kind} {number}", kind) for kind in FAULTS for number in range(n)]
    trials = {}
    for place, (name, kind) in enumerate(names):
        directory = home / f"c{place}"
        directory.mkdir()
        trials[name] = Trial(kind, Cluster(directory, settings=Settings(store="bolt")))
    clusters = {name: trial.cluster for name, trial in trials.items()}
    observers = [Observer(home / interval, interval, clusters) for interval in INTERVALS]
    with ExitStack() as stack:
        for observer in observers:
            stack.enter_context(observer)
        with ThreadPoolExecutor(len(clusters)) as threads:
            for cluster in clusters.values():
                stack.callback(cluster.stop)
            for started in [threads.submit(cluster.start) for cluster in clusters.values()]:
                started.result()
            for observer in observers:
                until("all clusters whole", lambda o=observer: o.sees_whole(list(clusters)), _PATIENCE)  # type: ignore[misc]
            plays = [
                threads.submit(trial.play, name, observers, rng.uniform(0, _LATEST_START))
                for name, trial in trials.items()
            ]
            for play in plays:
                play.result()
        phases: dict[tuple[str, str, str], list[dict[str, float]]] = {}
        for name, trial in trials.items():
            for page in trial.fault.pages:
                for observer in observers:
                    moments = trial.moments(name, observer, page)
                    row = split(moments, _HOLD if page.holds else 0.0)
                    phases.setdefault((trial.kind, page.alert, observer.interval), []).append(row)
        return phases


@click.command(help=__doc__)
@click.option(
    "--n", default=3, show_default=True, type=click.IntRange(1, 10), help="Clusters for each fault."
)
@click.option("--seed", default=1, show_default=True, help="Decides the moments of the faults.")
def main(n: int, seed: int) -> None:
    """Measure, and print what came of it."""
    with tempfile.TemporaryDirectory(prefix="raft-exporter-paging-") as home:
        measured = measure(n, seed, Path(home))
    header = ["fault, alert, scrape interval", "n", *PHASES, "slowest"]
    rows, result = [], []
    for (kind, alert, interval), trials in measured.items():
        medians = {phase: statistics.median(each[phase] for each in trials) for phase in PHASES}
        slowest = max(each["total"] for each in trials)
        cells = [f"{value:.1f}" for value in (*medians.values(), slowest)]
        rows.append([f"{kind}: {alert}, {interval}", str(len(trials)), *cells])
        facts = {phase: round(value, 2) for phase, value in medians.items()}
        result.append(
            {"fault": kind, "alert": alert, "interval": interval, "slowest": round(slowest, 2), **facts}
        )
    finish(table(header, rows), {"n": n, "seed": seed, "pages": result})


if __name__ == "__main__":
    main()
