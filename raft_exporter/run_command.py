"""``run``: the sidecar as a process; signals set flags, and the loop acts on them."""

from __future__ import annotations

import asyncio
import logging
import os
import random
import signal
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, Final, Unpack, get_args

import click

from raft_exporter import config as configuration
from raft_exporter.asking import TOKEN
from raft_exporter.config import Config
from raft_exporter.errors import RaftExporterError
from raft_exporter.flags import RunFlags, with_flags
from raft_exporter.logs import Format, Level, event, setup
from raft_exporter.lookups import LookupThreads
from raft_exporter.reporting import reported
from raft_exporter.secret import Secret
from raft_exporter.service_manager import Notifier
from raft_exporter.sidecar import Sidecar

_log = logging.getLogger(__name__)

_ENDS: Final = (signal.SIGTERM, signal.SIGINT)


@click.command()
@click.option("--config", type=click.Path(path_type=Path), help="Configuration file (YAML).")
@click.option("--id", help="The node's server id; told by the observer or by the node, if not given.")
@click.option("--raft", help="The node's Raft address, as the other members know it: HOST:PORT.")
@click.option("--peer", multiple=True, help="Another member: ID=HOST:PORT[,nonvoter]. Repeatable.")
@click.option("--listen", multiple=True, help="Where to serve metrics: HOST:PORT or :PORT. Repeatable.")
@click.option(
    "--observer",
    multiple=True,
    help="Where the observer connects: unix:/path or tcp:127.0.0.1:PORT. Repeatable.",
)
@click.option(
    "--node",
    help="The node's own HTTP API, such as http://127.0.0.1:8500: Consul, Nomad, Vault, OpenBao or rqlite.",
)
@click.option("--node-token-file", help="A file with the token that it is shown.")
@click.option(
    "--telemetry",
    multiple=True,
    help="Where the node's statsd packets come: udp:127.0.0.1:8125 or unixgram:/path. Repeatable.",
)
@click.option(
    "--heartbeat-timeout", help="The node's HeartbeatTimeout where it can't tell it, such as 1s or 500ms."
)
@click.option(
    "--sidecars",
    multiple=True,
    help="Where the other sidecars are: http://{host}:9641, {host} being that of the member, or ID=URL. "
    "Repeatable.",
)
@click.option(
    "--web-config", help="Who may come, and TLS: a web configuration file as Prometheus' exporters take it."
)
@click.option("--advertise", help="Where the others reach this sidecar; they are told with the reports.")
@click.option("--store", help="The database in which state, overrides and the journal outlive a restart.")
@click.option("--log-level", type=click.Choice(get_args(Level)), help="The least level that is logged.")
@click.option("--log-format", type=click.Choice(get_args(Format)), help="How log lines are written.")
@reported
def run(config: Path | None, **flags: Unpack[RunFlags]) -> None:
    """Watch the cluster from beside one of its nodes. Flags go before the configuration file.

    SIGHUP has the file read again: it is taken up whole, or not at all.
    """

    def load() -> Config:
        return with_flags(configuration.load(config) if config else Config(), flags)

    settings = load()
    setup(settings.log.level, settings.log.format)
    asyncio.run(_run(settings, load))


async def _run(config: Config, load: Callable[[], Config]) -> None:
    stop, hangup = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.set_default_executor(LookupThreads())
    for number in _ENDS:
        loop.add_signal_handler(number, stop.set)
    loop.add_signal_handler(signal.SIGHUP, hangup.set)
    notifier = Notifier.from_environment(os.environ)
    token = os.environ.get(TOKEN)
    # Jitter is no secret.
    sidecar = Sidecar(config, random.Random(), Secret(token) if token else None, load)  # noqa: S311
    reloading: asyncio.Task[None] | None = None
    try:
        if await _unless(stop, sidecar.start()):
            notifier.ready()
            reloading = asyncio.create_task(_reload_at(hangup, sidecar, notifier))
            await sidecar.judge_until(stop, notifier.alive)
        event(_log, logging.INFO, "stopping")
    finally:
        notifier.stopping()
        if reloading is not None:
            reloading.cancel()
        await sidecar.stop()


async def _unless(stop: asyncio.Event, start: Coroutine[Any, Any, object]) -> bool:
    """Start, and give whether that was done before ``stop`` was set."""
    starting, stopped = asyncio.create_task(start), asyncio.create_task(stop.wait())
    await asyncio.wait({starting, stopped}, return_when=asyncio.FIRST_COMPLETED)
    stopped.cancel()
    if not starting.done():
        starting.cancel()
        await asyncio.wait({starting})
        return False
    starting.result()
    return True


async def _reload_at(hangup: asyncio.Event, sidecar: Sidecar, notifier: Notifier) -> None:
    while True:
        await hangup.wait()
        hangup.clear()
        notifier.reloading()
        try:
            await sidecar.reload()
        except RaftExporterError as error:
            notifier.ready(f"serving with the old configuration: {error}")
        else:
            notifier.ready()
