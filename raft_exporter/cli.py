"""The command line: thin, one function a command.

Exit codes: 0 done; 1 it could not be done; 2 wrong usage or configuration. Every flag can be given as an
environment variable, ``RAFT_EXPORTER_<COMMAND>_<FLAG>``, several values apart by spaces; a secret can be
given in no other way.
"""

from __future__ import annotations

import asyncio
import logging
import os
import random
import signal
import sys
from pathlib import Path
from typing import Final, TypedDict, Unpack, get_args

import click
import msgspec

from raft_exporter import __version__
from raft_exporter import config as configuration
from raft_exporter.asking import TOKEN
from raft_exporter.config import Config
from raft_exporter.dashboards_command import dashboards
from raft_exporter.demo.command import demo
from raft_exporter.doctor_command import doctor
from raft_exporter.errors import ClientError, TlsError, WireError, system_reason
from raft_exporter.events_command import events
from raft_exporter.flags import RunFlags, seconds, with_flags
from raft_exporter.logs import Format, Level, event, setup
from raft_exporter.lookups import LookupThreads
from raft_exporter.override_command import override
from raft_exporter.rehearse_command import rehearse
from raft_exporter.reporting import reported
from raft_exporter.rules_command import rules
from raft_exporter.schema import Port, TlsConfig
from raft_exporter.sidecar import Sidecar
from raft_exporter.sources.raft_connection import Reply
from raft_exporter.sources.raft_port import Front
from raft_exporter.sources.raft_probe import ask_once
from raft_exporter.sources.tls_probe import Alert, greet_once
from raft_exporter.status_command import status
from raft_exporter.web.access import token_from

_log = logging.getLogger(__name__)

_CONTEXT: Final = {"auto_envvar_prefix": "RAFT_EXPORTER", "help_option_names": ["-h", "--help"]}


@click.group(context_settings=_CONTEXT)
@click.version_option(__version__, prog_name="raft-exporter")
def main() -> None:
    """Prometheus sidecar for HashiCorp Raft: who is really down, seen by whom, how near the quorum is."""


@main.command()
@click.option("--config", "path", type=click.Path(path_type=Path), help="Configuration file (YAML).")
@click.option(
    "--id", "node_id", help="The node's server id; told by the observer or by the node, if not given."
)
@click.option("--raft", help="The node's Raft address, as the other members know it: HOST:PORT.")
@click.option("--peer", "peers", multiple=True, help="Another member: ID=HOST:PORT[,nonvoter]. Repeatable.")
@click.option("--listen", multiple=True, help="Where to serve metrics: HOST:PORT or :PORT. Repeatable.")
@click.option(
    "--observer",
    multiple=True,
    help="Where the observer connects: unix:/path or tcp:127.0.0.1:PORT. Repeatable.",
)
@click.option(
    "--node",
    "node_url",
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
@click.option("--advertise", help="Where the others reach this sidecar; they are told with the reports.")
@click.option("--store", help="The database in which state, overrides and the journal outlive a restart.")
@click.option("--log-level", type=click.Choice(get_args(Level)), help="The least level that is logged.")
@click.option("--log-format", type=click.Choice(get_args(Format)), help="How log lines are written.")
@reported
def run(path: Path | None, **flags: Unpack[RunFlags]) -> None:
    """Watch the cluster from beside one of its nodes. Flags go before the configuration file."""
    settings = with_flags(configuration.load(path) if path else Config(), flags)
    setup(settings.log.level, settings.log.format)
    asyncio.run(_run(settings))


async def _run(settings: Config) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.set_default_executor(LookupThreads())
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    token = token_from(settings.web.token_file, os.environ.get(TOKEN))
    sidecar = Sidecar(settings, random.Random(), token)  # noqa: S311 - jitter is no secret
    try:
        await sidecar.start()
        await sidecar.judge_until(stop)
        event(_log, logging.INFO, "stopping")
    finally:
        await sidecar.stop()


@main.command("check-config")
@click.argument("path", type=click.Path(path_type=Path))
@reported
def check_config(path: Path) -> None:
    """Check a configuration file: one line for each fault, exit code 2 if there is any."""
    configuration.load(path)
    click.echo(f"{path}: ok")


class _TlsFiles(TypedDict):
    ca_file: str | None
    cert_file: str | None
    key_file: str | None
    server_name: str | None


@main.command()
@click.argument("address")
@click.option(
    "--timeout",
    default="2s",
    show_default=True,
    callback=seconds,
    help="How long connecting and answering may each take.",
)
@click.option(
    "--port",
    type=click.Choice(get_args(Port)),
    default="plain",
    show_default=True,
    help="Whose Raft port it is: plain is hashicorp/raft's own, vault is OpenBao's too.",
)
@click.option("--tls", is_flag=True, help="Speak TLS; any of the options below says so too.")
@click.option("--ca-file", help="The CA certificates that are trusted; the system's by default.")
@click.option("--cert-file", help="The client certificate to show.")
@click.option("--key-file", help="Its key; by default in the same file.")
@click.option("--server-name", help="The name that the certificate must be for; the host by default.")
@click.option("--no-verify", is_flag=True, help="Take any certificate.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@reported
def probe(
    address: str,
    *,
    timeout: float,
    port: Port,
    tls: bool,
    no_verify: bool,
    as_json: bool,
    **files: Unpack[_TlsFiles],
) -> None:
    """Ask the hashicorp/raft node at ADDRESS (HOST:PORT) once who and how far it is.

    One harmless request, an AppendEntries of term 0. Vault and OpenBao answer it to their members alone: with
    --port vault it is told whether the process runs and serves Raft.
    """
    where = configuration.parse_address(address)
    wanted = TlsConfig(**files, verify=not no_verify) if tls or no_verify or any(files.values()) else None
    if port == "vault" and wanted is not None:
        raise click.UsageError("--port vault is asked without credentials: it takes no option for TLS")
    try:
        if port == "vault":
            _tell_alert(address, asyncio.run(greet_once(*where, timeout)), as_json=as_json)
            return
        reply = asyncio.run(ask_once(*where, timeout, Front.of(port, wanted)))
    except TimeoutError as error:
        raise ClientError(f"{address}: no answer within {configuration.format_duration(timeout)}") from error
    except OSError as error:
        raise ClientError(f"{address}: {system_reason(error)}") from error
    except TlsError as error:
        raise ClientError(f"{address}: {error}") from error
    except WireError as error:
        raise ClientError(f"{address}: not the answer of a hashicorp/raft node: {error}") from error
    click.echo(_reply_as_json(reply) if as_json else _reply_as_text(reply))
    if reply.answer.error:
        sys.exit(1)


def _tell_alert(address: str, alert: Alert, *, as_json: bool) -> None:
    if not alert.serves_raft:
        raise ClientError(f"{address}: {alert.meaning}")
    facts = {"alert": alert.number, "round_trip_seconds": alert.round_trip}
    text = f"{alert.meaning}\nround trip:     {alert.round_trip * 1000:.2f} ms"
    click.echo(msgspec.json.encode(facts).decode() if as_json else text)


def _reply_as_json(reply: Reply) -> str:
    facts = msgspec.to_builtins(reply.answer) | {"round_trip_seconds": reply.round_trip}
    return msgspec.json.encode(facts).decode()


def _reply_as_text(reply: Reply) -> str:
    answer = reply.answer
    if answer.error:
        return f"error: {answer.error}"
    return (
        f"id:             {answer.id or '(not told before hashicorp/raft v1.3.7)'}\n"
        f"address:        {answer.address}\n"
        f"term:           {answer.term}\n"
        f"last log index: {answer.last_log_index}\n"
        f"round trip:     {reply.round_trip * 1000:.2f} ms"
    )


main.add_command(dashboards)
main.add_command(demo)
main.add_command(doctor)
main.add_command(events)
main.add_command(override)
main.add_command(rehearse)
main.add_command(rules)
main.add_command(status)
