"""What the rules cost Prometheus: evaluation time and series for 1, 100 and 1,000 clusters of five.

A real Prometheus with the shipped rules scrapes five sidecars a cluster, every 15 s. What they answer is made
by real collectors from live tables, once a second and alike for all clusters; one cluster in fifty has a dead
member, so that alerts fire. Only the families that the rules read are served: the others cost a scrape, and
no evaluation. Every group is evaluated each 30 s, so that the largest fleet is not measured while its turns
wait for each other; what the shipped intervals take is computed from that.
"""

from __future__ import annotations

import asyncio
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Final

import aiohttp
import click
from msgspec import Struct

from bench._fleet_cluster import NODES, read_by
from bench._fleet_prometheus import Evaluations, Prometheus, intervals, paced
from bench._fleet_server import Fleet, configuration
from bench._summary import finish, table
from raft_exporter.demo.cluster import Process, free_ports
from raft_exporter.errors import DemoError

RULES: Final = tuple(sorted((Path(__file__).resolve().parents[1] / "rules").glob("*.yml")))
_HOST: Final = "127.0.0.1"
_SETTLE: Final = 65.0
"""Seconds: the rules say nothing about a cluster in its first minute."""
_INTERVAL: Final = 30.0
_WATCH: Final = 32.0
"""Seconds, in which every group is evaluated once."""
_PATIENCE: Final = 240.0
"""Seconds for the first scrape of all: it makes every series."""
_COSTLIEST: Final = 6


class Cost(Struct, frozen=True):
    """What one size costs. Seconds of an evaluation are medians, by group and by rule."""

    clusters: int
    exported: int
    """Series that the sidecars export."""
    loaded: int
    """Those of them that were served: what the rules read."""
    recorded: int
    alerts: int
    groups: dict[str, float]
    rules: dict[str, float]
    load: float
    """Seconds of evaluation in a second, all groups together, at the intervals that are shipped."""
    cpu: float
    """Seconds of CPU in a second, scraping included, as it was measured (every 30 s)."""
    missed: int
    """Evaluations that were left out because the one before took too long."""
    memory: int
    """Resident bytes of Prometheus."""


async def measure(
    size: int,
    *,
    scrape: float = 15.0,
    interval: float = _INTERVAL,
    settle: float = _SETTLE,
    watch: float = _WATCH,
) -> Cost:
    """Load so many clusters, let the rules settle for ``settle`` seconds, and watch them for ``watch``."""
    program = shutil.which("prometheus")
    if program is None:
        raise DemoError("needs prometheus: not found")
    shipped = {path.name: path.read_text() for path in RULES}
    fleet = Fleet(frozenset[str]().union(*map(read_by, shipped.values())))
    (port,) = free_ports(1)
    with tempfile.TemporaryDirectory(prefix="raft-fleet-") as home:
        rules = []
        for name, text in shipped.items():
            rules.append(Path(home) / name)
            rules[-1].write_text(paced(text, interval))
        config = Path(home) / "prometheus.yml"
        command = [
            *(program, f"--config.file={config}", f"--storage.tsdb.path={home}/data", "--log.level=warn"),
            f"--web.listen-address={_HOST}:{port}",
        ]
        process = Process("prometheus", command, Path(home) / "prometheus.log")
        timeout = aiohttp.ClientTimeout(total=30)
        async with fleet.served() as server, aiohttp.ClientSession(timeout=timeout) as session:
            config.write_text(configuration(size, server, scrape, rules))
            process.start()
            try:
                prometheus = Prometheus(f"http://{_HOST}:{port}", session)
                await _all_up(prometheus, process, size)
                await _pass(settle, prometheus)
                return await _watched(prometheus, fleet, size, watch)
            finally:
                await asyncio.to_thread(process.stop)


async def _all_up(prometheus: Prometheus, process: Process, size: int) -> None:
    deadline = time.monotonic() + _PATIENCE
    while await prometheus.count("up == 1") < size * len(NODES):
        if not process.running:
            raise DemoError(f"prometheus ended: {process.log.read_text()[-500:]}")
        if time.monotonic() > deadline:
            raise DemoError(f"expected {size * len(NODES)} targets up within {_PATIENCE:g} s")
        await asyncio.sleep(1)


async def _pass(seconds: float, prometheus: Prometheus) -> None:
    """Let time pass, with an eye on the memory."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        await asyncio.sleep(min(5.0, max(end - time.monotonic(), 0)))
        await prometheus.memory()


async def _watched(prometheus: Prometheus, fleet: Fleet, size: int, seconds: float) -> Cost:
    missed = "prometheus_rule_group_iterations_missed_total"
    cpu = "process_cpu_seconds_total"
    missed_before, cpu_before = await prometheus.own(missed), await prometheus.own(cpu)
    evaluations = Evaluations()
    began = time.monotonic()
    end = began + seconds
    while time.monotonic() < end:
        evaluations.take(await prometheus.evaluations())
        await asyncio.sleep(1)
    used = (await prometheus.own(cpu) - cpu_before) / (time.monotonic() - began)
    exported, loaded = fleet.exported(size)
    at = {name: each for path in RULES for name, each in intervals(path.read_text()).items()}
    return Cost(
        clusters=size,
        exported=exported,
        loaded=loaded,
        recorded=await prometheus.count('{__name__=~"[a-z_]+:.+"}'),
        alerts=await prometheus.count('{__name__=~"ALERTS|ALERTS_FOR_STATE"}'),
        groups=evaluations.groups(),
        rules=evaluations.rules(),
        load=evaluations.load(at),
        cpu=used,
        missed=int(await prometheus.own(missed) - missed_before),
        memory=await prometheus.memory(),
    )


def growth(costs: Sequence[Cost]) -> list[float | None]:
    """By how much more the load grew than the number of clusters, from size to size: 1 is linear."""
    return [None, *((b.load / a.load) / (b.clusters / a.clusters) for a, b in pairwise(costs))]


def lay_out(costs: Sequence[Cost]) -> str:
    """Give three tables in Markdown: the sizes, the groups, the rules that cost most at the greatest size."""
    sizes = [
        [
            f"{cost.clusters:,}",
            *(f"{count:,}" for count in (cost.exported, cost.loaded, cost.recorded, cost.alerts)),
            f"{cost.load * 1000:,.1f}",
            f"{cost.cpu * 1000:,.1f}",
            f"{cost.load * 1e6 / cost.clusters:,.0f}",
            "" if grown is None else f"{grown:.2f}",
            str(cost.missed),
            f"{cost.memory / 2**20:,.0f}",
        ]
        for cost, grown in zip(costs, growth(costs), strict=True)
    ]
    header = [
        "clusters of five",
        "series exported",
        "of these read by the rules, and loaded",
        "recorded",
        "ALERTS",
        "evaluation at the shipped intervals, ms a second",
        "CPU as measured, ms a second",
        "evaluation, us a cluster a second",
        "growth / linear",
        "evaluations missed",
        "Prometheus, MiB",
    ]
    last = costs[-1]
    costliest = sorted(last.rules, key=lambda name: last.rules[name], reverse=True)[:_COSTLIEST]
    return "\n\n".join(
        [
            table(header, sizes),
            _times("group: ms an evaluation", list(last.groups), [cost.groups for cost in costs], costs),
            _times("rule: ms an evaluation", costliest, [cost.rules for cost in costs], costs),
        ]
    )


def _times(
    title: str, names: Iterable[str], seconds: Sequence[Mapping[str, float]], costs: Sequence[Cost]
) -> str:
    rows = [
        [name, *(f"{each[name] * 1000:,.1f}" if name in each else "-" for each in seconds)] for name in names
    ]
    return table([title, *(f"{cost.clusters:,} clusters" for cost in costs)], rows)


async def _until_stopped(size: int) -> Cost:
    """Measure one size; SIGTERM ends it, and leaves no Prometheus behind."""
    task = asyncio.ensure_future(measure(size))
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    return await task


@click.command(help=__doc__)
@click.option(
    "--sizes",
    multiple=True,
    default=(1, 100, 1000),
    show_default=True,
    type=click.IntRange(min=1),
    help="Numbers of clusters, from small to great; repeatable.",
)
def main(sizes: tuple[int, ...]) -> None:
    """Measure every size and print what came of it."""
    try:
        costs = []
        for size in sorted(set(sizes)):
            costs.append(asyncio.run(_until_stopped(size)))
            print(f"{size} clusters: {costs[-1].load:.3f} s of evaluation a second", file=sys.stderr)
    except asyncio.CancelledError:
        sys.exit(128 + signal.SIGTERM)
    except TimeoutError as error:
        raise click.ClickException("Prometheus did not answer within 30 s") from error
    except (DemoError, aiohttp.ClientError) as error:
        raise click.ClickException(str(error)) from error
    finish(
        lay_out(costs),
        {
            "sizes": {str(cost.clusters): cost for cost in costs},
            "growth": {
                str(cost.clusters): grown for cost, grown in zip(costs, growth(costs), strict=True) if grown
            },
        },
    )


if __name__ == "__main__":
    main()
