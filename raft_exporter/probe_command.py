"""``raft-exporter probe``: one question to a Raft port, with no sidecar at all."""

from __future__ import annotations

import asyncio
import sys
from typing import TypedDict, Unpack, get_args

import click
import msgspec

from raft_exporter import config as configuration
from raft_exporter.errors import ClientError, TlsError, WireError, system_reason
from raft_exporter.flags import seconds
from raft_exporter.reporting import reported
from raft_exporter.schema import Port, TlsConfig
from raft_exporter.sources.raft_connection import Reply
from raft_exporter.sources.raft_port import Front
from raft_exporter.sources.raft_probe import ask_once
from raft_exporter.sources.tls_probe import Alert, greet_once


class _TlsFiles(TypedDict):
    ca_file: str | None
    cert_file: str | None
    key_file: str | None
    server_name: str | None


@click.command()
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
