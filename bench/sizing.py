"""What a sidecar costs by the size of its cluster: CPU, memory, requests, the bytes of a scrape, the store.

One real sidecar for each size, all of them at once on one machine, so that whatever else it does meets all.
The other members are made up, on loopback: their Raft ports answer the native probe, their sidecars give and
fetch reports as real ones do. A sidecar is scraped every 5 s, and has a store. H is 1 s.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sqlite3
import statistics
import sys
import tempfile
from collections.abc import AsyncIterator, Coroutine, Sequence
from pathlib import Path
from typing import Final

import aiohttp
import click
import msgspec
from msgspec import Struct

from bench._sizing_cluster import Members
from bench._summary import finish, ratio, table
from bench.page import usage
from raft_exporter.demo.cluster import Process, free_ports
from raft_exporter.errors import DemoError, RaftExporterError

_SCRAPE: Final = 5.0
_WARM_UP: Final = 15.0
"""Seconds in which a sidecar finds all members and its memory grows most."""
_KEPT: Final = 500_000
"""Records of evidence that a store has by default at most."""


class Window(Struct, frozen=True):
    """One stretch of time of one sidecar: its CPU in milliseconds a second, and what was asked a second."""

    cpu: float
    probes: float
    reports: float


class Cost(Struct, frozen=True):
    """What one sidecar takes in a cluster of ``members``."""

    members: int
    cpu: float
    """Milliseconds a second: the median of all windows."""
    cpu_ratio: float | None
    """In units of the first size's: the median of what each window's ratio was."""
    resident: float
    """MB at the end."""
    probes: float
    """Requests that it sends to Raft ports, a second."""
    reports: float
    """Reports that it fetches, a second; as many are fetched from it."""
    scrape_bytes: int
    scrape_series: int
    evidence_hours: float
    """For so long the records that a store has by default reach back, where its bound on age does not."""
    store_bytes: float
    """What those records take, compressed as they are."""


class Watched:
    """One sidecar and the members around it."""

    def __init__(self, size: int, home: Path) -> None:
        self.size = size
        self._home = home
        self._members = Members(size)
        self.store = home / f"{size}.db"
        self.windows: list[Window] = []
        self.text = ""
        self._process: Process | None = None
        self._session: aiohttp.ClientSession | None = None
        self._url = ""

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Have it run, be asked and scraped."""
        (port,) = free_ports(1)
        self._url = f"http://127.0.0.1:{port}"
        async with self._members.serving(), aiohttp.ClientSession() as session:
            config = self._home / f"{self.size}.yml"
            config.write_text(self._members.config(f"127.0.0.1:{port}", str(self.store)))
            command = [sys.executable, "-m", "raft_exporter", "run", "--config", str(config)]
            process = Process(f"sidecar of {self.size}", command, self._home / f"{self.size}.log")
            process.start()
            self._process, self._session = process, session
            asked = []
            try:
                await self._until_ready()
                asked = [
                    asyncio.create_task(self._members.ask_for_reports(self._url, session)),
                    asyncio.create_task(self._scrape_for_ever()),
                ]
                yield
            finally:
                for task in asked:
                    task.cancel()
                await asyncio.gather(*asked, return_exceptions=True)
                await asyncio.to_thread(process.stop)

    async def window(self, seconds: float) -> None:
        """Let so much time pass, and keep what was used in it."""
        assert self._process is not None
        loop = asyncio.get_running_loop()
        began, probes, reports = loop.time(), self._members.probes, self._members.reports
        first = usage(self._process.pid)
        await asyncio.sleep(seconds)
        passed = loop.time() - began
        self.windows.append(
            Window(
                cpu=(usage(self._process.pid).cpu - first.cpu) / passed * 1000,
                probes=(self._members.probes - probes) / passed,
                reports=(self._members.reports - reports) / passed,
            )
        )

    def resident(self) -> float:
        """MB that it has now."""
        assert self._process is not None
        return usage(self._process.pid).resident

    def evidence(self) -> tuple[int, int, float]:
        """Give records, bytes and seconds of what it stored; it must have ended."""
        with contextlib.closing(sqlite3.connect(self.store)) as connection:
            records, size, began, ended = connection.execute(
                "SELECT max(row), sum(length(records)), min(wall), max(wall) FROM evidence"
            ).fetchone()
        return int(records), int(size), float(ended - began)

    async def _until_ready(self) -> None:
        for _ in range(300):
            with contextlib.suppress(aiohttp.ClientError):
                if (await self._get("/-/ready"))[0] == 200:
                    return
            await asyncio.sleep(0.1)
        raise DemoError(f"the sidecar in a cluster of {self.size} is not ready; see its log")

    async def _get(self, path: str) -> tuple[int, str]:
        assert self._session is not None
        async with self._session.get(self._url + path) as answer:
            return answer.status, await answer.text()

    async def _scrape_for_ever(self) -> None:
        while True:
            _, self.text = await self._get("/metrics")
            await asyncio.sleep(_SCRAPE)


async def measure(sizes: Sequence[int], n: int, seconds: float, home: Path) -> list[Cost]:
    """Run a sidecar for each size and measure ``n`` windows of all at once."""
    watched = [Watched(size, home) for size in sizes]
    async with contextlib.AsyncExitStack() as stack:
        for each in watched:
            await stack.enter_async_context(each.running())
        await asyncio.sleep(_WARM_UP)
        for number in range(1, n + 1):
            await asyncio.gather(*(each.window(seconds) for each in watched))
            print(f"{number}/{n}: {[round(each.windows[-1].cpu, 1) for each in watched]}", file=sys.stderr)
        resident = [each.resident() for each in watched]
    return [cost_of(each, watched[0], mb) for each, mb in zip(watched, resident, strict=True)]


def cost_of(watched: Watched, first: Watched, resident: float) -> Cost:
    """Sum up one sidecar beside that of the first size."""
    records, size, seconds = watched.evidence()
    windows = watched.windows
    ratios = [
        one for a, b in zip(windows, first.windows, strict=True) if (one := ratio(a.cpu, b.cpu)) is not None
    ]
    samples = [line for line in watched.text.splitlines() if not line.startswith("#")]
    return Cost(
        members=watched.size,
        cpu=statistics.median(each.cpu for each in windows),
        cpu_ratio=statistics.median(ratios) if ratios else None,
        resident=resident,
        probes=statistics.median(each.probes for each in windows),
        reports=statistics.median(each.reports for each in windows),
        scrape_bytes=len(watched.text.encode()),
        scrape_series=len(samples),
        evidence_hours=_KEPT / (records / seconds) / 3600,
        store_bytes=size / records * _KEPT,
    )


async def _until_stopped(measuring: Coroutine[None, None, list[Cost]]) -> list[Cost]:
    """Measure; SIGTERM ends it, and leaves nothing behind."""
    task = asyncio.ensure_future(measuring)
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    return await task


def lay_out(costs: Sequence[Cost]) -> str:
    """Give the table in Markdown."""
    rows = {
        "CPU, ms a second": [f"{each.cpu:.1f}" for each in costs],
        f"CPU, in units of that with {costs[0].members}": [
            "" if each.cpu_ratio is None else f"{each.cpu_ratio:.2f}" for each in costs
        ],
        "resident memory, MB": [f"{each.resident:.0f}" for each in costs],
        "probes sent a second": [f"{each.probes:.1f}" for each in costs],
        "reports fetched a second": [f"{each.reports:.1f}" for each in costs],
        "one scrape, kB": [f"{each.scrape_bytes / 1000:.0f}" for each in costs],
        "series": [f"{each.scrape_series}" for each in costs],
        f"{_KEPT:,} records of evidence, hours": [f"{each.evidence_hours:.1f}" for each in costs],
        f"{_KEPT:,} records of evidence, MB": [f"{each.store_bytes / 1e6:.0f}" for each in costs],
        "all sidecars together: probes a second": [f"{each.probes * each.members:,.0f}" for each in costs],
        "all sidecars together: reports a second": [f"{each.reports * each.members:,.0f}" for each in costs],
    }
    header = ["members", *(str(each.members) for each in costs)]
    return table(header, [[name, *cells] for name, cells in rows.items()])


@click.command(help=__doc__)
@click.option("--members", default=(3, 5, 50), show_default=True, multiple=True, type=click.IntRange(1, 200))
@click.option("--n", default=6, show_default=True, type=click.IntRange(min=1), help="Windows.")
@click.option(
    "--window",
    "seconds",
    default=10.0,
    show_default=True,
    type=click.FloatRange(min=0, min_open=True),
    help="Seconds of each of them.",
)
def main(members: tuple[int, ...], n: int, seconds: float) -> None:
    """Measure and print what came of it."""
    with tempfile.TemporaryDirectory() as home:
        try:
            costs = asyncio.run(_until_stopped(measure(members, n, seconds, Path(home))))
        except asyncio.CancelledError:
            sys.exit(128 + signal.SIGTERM)
        except (RaftExporterError, aiohttp.ClientError) as error:
            raise click.ClickException(str(error)) from error
    results = [
        {name: round(value, 3) if isinstance(value, float) else value for name, value in each.items()}
        for each in map(msgspec.structs.asdict, costs)
    ]
    finish(lay_out(costs), {"n": n, "window": seconds, "sizes": results})


if __name__ == "__main__":
    main()
