"""What open pages cost a sidecar: its CPU and its memory, side by side with none and with 20 of them.

A real cluster of five, each node with its sidecar. One of them is watched: it has no page open and then all
of them, in turn, so that whatever else the machine does meets both. Another one, beside a follower too, has
none all the time: what it takes more meanwhile is not the pages' doing, and is subtracted. The pages are
clients that read /api/v1/stream as a browser does; with --browser they are real pages in Chromium, each in a
context of its own, for a browser opens six connections to a host and not 20.
"""

from __future__ import annotations

import asyncio
import os
import signal
import statistics
import sys
import tempfile
from collections.abc import Callable, Coroutine, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Final

import aiohttp
import click
import msgspec
import playwright.async_api as playwright
from msgspec import Struct

from bench._open_pages import Traffic, browser_pages, stream_pages
from bench._summary import finish, table
from raft_exporter.client import SidecarClient
from raft_exporter.demo.cluster import Cluster, SidecarProcess, until
from raft_exporter.errors import RaftExporterError
from raft_exporter.model.judge import State
from raft_exporter.web.stream import MAX_STREAMS, SHOWN_EVENTS

CPU_BAR: Final = 20.0
"""Milliseconds of CPU a second: 2 % of a core."""
MEMORY_BAR: Final = 5.0
"""MB of resident memory."""
_SIZE: Final = 5
_WARM_UP: Final = 10.0
"""Seconds after the start in which a sidecar's memory grows most."""
_SETTLE: Final = 2.0
"""Seconds from opening or closing the pages to the window that is measured."""

Pages = Callable[[str, int], AbstractAsyncContextManager[Traffic]]


class Usage(Struct, frozen=True):
    """What a process has used: seconds of CPU since its start, and MB that are resident now."""

    cpu: float
    resident: float


class Window(Struct, frozen=True):
    """One stretch of time: the CPU of both sidecars in milliseconds a second, their MB at its end."""

    cpu: float
    other_cpu: float
    resident: float
    other_resident: float
    bytes_per_second: float = 0.0
    """Of all pages together."""


class Cost(Struct, frozen=True):
    """What the pages cost; CPU in milliseconds a second (medians), memory in MB."""

    pages: int
    rounds: int
    cpu_without: float
    cpu_with: float
    cpu_more: float
    """The median of what each round's window with pages took more than its window without."""
    other_cpu_more: float
    """The same of the sidecar that has no pages, in the same windows."""
    memory_without: float
    """Before a page was ever open."""
    memory_with: float
    """The most of all windows with pages: what was freed may stay with the process."""
    memory_more: float
    other_memory_more: float
    """By how much the sidecar without pages grew in the same time."""
    bytes_per_second_a_page: float

    @property
    def cpu(self) -> float:
        """What the pages take, in milliseconds a second: by how much more both sidecars differ with them."""
        return self.cpu_more - self.other_cpu_more

    @property
    def memory(self) -> float:
        """What the pages take, in MB: what the sidecar grew by, without what one without pages does."""
        return self.memory_more - self.other_memory_more


def cost_of(pages: int, rounds: Sequence[tuple[Window, Window]]) -> Cost:
    """Sum up rounds, each a window without pages and one with them."""
    without, with_pages = [each[0] for each in rounds], [each[1] for each in rounds]
    before = without[0]
    return Cost(
        pages=pages,
        rounds=len(rounds),
        cpu_without=statistics.median(each.cpu for each in without),
        cpu_with=statistics.median(each.cpu for each in with_pages),
        cpu_more=statistics.median(b.cpu - a.cpu for a, b in rounds),
        other_cpu_more=statistics.median(b.other_cpu - a.other_cpu for a, b in rounds),
        memory_without=before.resident,
        memory_with=max(each.resident for each in with_pages),
        memory_more=max(each.resident for each in with_pages) - before.resident,
        other_memory_more=max(each.other_resident for each in with_pages) - before.other_resident,
        bytes_per_second_a_page=statistics.median(each.bytes_per_second for each in with_pages) / pages,
    )


def usage(pid: int) -> Usage:
    """Read what a process has used so far, all its threads together."""
    # The name of the process, in brackets, may have blanks in it; utime and stime are fields 14 and 15.
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    ticks = int(fields[11]) + int(fields[12])
    status = Path(f"/proc/{pid}/smaps_rollup").read_text()
    (kib,) = [line.split()[1] for line in status.splitlines() if line.startswith("Rss:")]
    return Usage(cpu=ticks / os.sysconf("SC_CLK_TCK"), resident=int(kib) * 1024 / 1e6)


async def window(
    watched: SidecarProcess, other: SidecarProcess, seconds: float, traffic: Traffic | None = None
) -> Window:
    """Let so much time pass, and give what both sidecars used in it."""
    loop = asyncio.get_running_loop()
    began, received = loop.time(), traffic.received if traffic else 0
    first, first_other = usage(watched.pid), usage(other.pid)
    await asyncio.sleep(seconds)
    passed = loop.time() - began
    last, last_other = usage(watched.pid), usage(other.pid)
    return Window(
        cpu=(last.cpu - first.cpu) / passed * 1000,
        other_cpu=(last_other.cpu - first_other.cpu) / passed * 1000,
        resident=last.resident,
        other_resident=last_other.resident,
        bytes_per_second=(traffic.received - received) / passed if traffic else 0.0,
    )


async def measure(
    watched: SidecarProcess, other: SidecarProcess, pages: Pages, count: int, *, n: int, seconds: float
) -> Cost:
    """Measure ``n`` rounds of a window without and one with so many pages."""
    rounds = []
    await asyncio.sleep(_WARM_UP)
    for number in range(1, n + 1):
        await asyncio.sleep(_SETTLE)
        without = await window(watched, other, seconds)
        async with pages(watched.url, count) as traffic:
            await asyncio.sleep(_SETTLE)
            with_pages = await window(watched, other, seconds, traffic)
            await traffic.check()
        rounds.append((without, with_pages))
        print(
            f"{number}/{n}: {without.cpu:.1f} and {with_pages.cpu:.1f} ms/s, {without.resident:.2f} and "
            f"{with_pages.resident:.2f} MB; the other sidecar {without.other_cpu:.1f} and "
            f"{with_pages.other_cpu:.1f} ms/s, {with_pages.other_resident:.2f} MB",
            file=sys.stderr,
        )
    return cost_of(count, rounds)


def run(pages: Pages, count: int, n: int, seconds: float) -> Cost:
    """Start a cluster and measure one of its sidecars."""
    with tempfile.TemporaryDirectory() as home, Cluster(Path(home), _SIZE) as cluster:
        until("every sidecar says that every member is online", lambda: _all_online(cluster))
        watched, other = (cluster.sidecars[node.id] for node in cluster.followers()[:2])
        _fill_journal(watched)
        return asyncio.run(_until_stopped(measure(watched, other, pages, count, n=n, seconds=seconds)))


def _all_online(cluster: Cluster) -> bool:
    seen = [sidecar.states() for sidecar in cluster.sidecars.values()]
    return all(len(states) == _SIZE and set(states.values()) == {State.ONLINE} for states in seen)


def _fill_journal(sidecar: SidecarProcess) -> None:
    """Have as many entries as a page begins with: opening one costs as much as it ever does."""
    client = SidecarClient(sidecar.url)
    for _ in range(SHOWN_EVENTS // 2):
        client.set_override("n1", "ignore", 60.0, "bench", "to have something in the journal")
        client.clear_override("n1", "bench", "to have something in the journal")


async def _until_stopped(measuring: Coroutine[None, None, Cost]) -> Cost:
    """Measure; SIGTERM ends it, and leaves no cluster behind."""
    task = asyncio.ensure_future(measuring)
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    return await task


def lay_out(cost: Cost) -> str:
    """Give the table in Markdown."""
    cpu = (cost.cpu_without, cost.cpu_with, cost.cpu_more, cost.other_cpu_more, cost.cpu)
    memory = (cost.memory_without, cost.memory_with, cost.memory_more, cost.other_memory_more, cost.memory)
    header = ["", "none", f"{cost.pages} pages", "more", "other sidecar, more", "pages' part", "bar", "met"]
    return table(
        header,
        [
            ["CPU, ms a second", *(f"{ms:.1f}" for ms in cpu), f"< {CPU_BAR:g}", _met(cost.cpu < CPU_BAR)],
            [
                "resident memory, MB",
                *(f"{mb:.2f}" for mb in memory),
                f"< {MEMORY_BAR:g}",
                _met(cost.memory < MEMORY_BAR),
            ],
        ],
    )


def _met(met: bool) -> str:
    return "yes" if met else "NO"


@click.command(help=__doc__)
@click.option("--pages", default=20, show_default=True, type=click.IntRange(1, MAX_STREAMS), help="So many.")
@click.option("--n", default=6, show_default=True, type=click.IntRange(min=1), help="Rounds.")
@click.option(
    "--window",
    "seconds",
    default=10.0,
    show_default=True,
    type=click.FloatRange(min=0, min_open=True),
    help="Seconds of each of the two windows of a round.",
)
@click.option("--browser", is_flag=True, help="Open real pages, in Chromium.")
def main(pages: int, n: int, seconds: float, browser: bool) -> None:
    """Measure and print what came of it."""
    try:
        cost = run(browser_pages if browser else stream_pages, pages, n, seconds)
    except asyncio.CancelledError:
        sys.exit(128 + signal.SIGTERM)
    except TimeoutError as error:
        raise click.ClickException("the pages did not open in time") from error
    except (RaftExporterError, aiohttp.ClientError, playwright.Error) as error:
        raise click.ClickException(str(error)) from error
    bytes_a_page = "not counted" if browser else f"{cost.bytes_per_second_a_page:,.0f}"
    finish(
        f"{lay_out(cost)}\n\nbytes a second a page: {bytes_a_page}",
        {
            **{name: round(value, 3) for name, value in msgspec.structs.asdict(cost).items()},
            "cpu": round(cost.cpu, 3),
            "memory": round(cost.memory, 3),
            "met": cost.cpu < CPU_BAR and cost.memory < MEMORY_BAR,
        },
    )


if __name__ == "__main__":
    main()
