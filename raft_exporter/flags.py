"""The flags of ``raft-exporter run``, laid over a configuration; how a flag that is a time is read."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Literal, TypedDict, TypeVar

import click
from msgspec.structs import replace

from raft_exporter.config import Config, SidecarConfig, check, parse_peer, parse_sidecar
from raft_exporter.errors import ConfigError
from raft_exporter.notation import (
    format_duration,
    parse_address,
    parse_duration,
    parse_file_path,
    parse_listen_address,
    parse_node_url,
    parse_observer_listen,
    parse_server_id,
    parse_sidecar_url,
    parse_telemetry_listen,
)

_T = TypeVar("_T")

_SHORTEST: Final = 0.01
"""Seconds: nothing is worth asking more often, or answered faster, on purpose."""


def seconds(_: click.Context, __: click.Parameter, text: str) -> float:
    """Read a duration; click.BadParameter where it is none, or shorter than makes sense."""
    try:
        given = parse_duration(text)
    except ConfigError as error:
        raise click.BadParameter(str(error)) from error
    if given < _SHORTEST:
        raise click.BadParameter(f"expected at least {format_duration(_SHORTEST)}, got {text}")
    return given


class RunFlags(TypedDict):
    """What was given on the command line; None or empty: not given."""

    id: str | None
    raft: str | None
    peer: tuple[str, ...]
    listen: tuple[str, ...]
    observer: tuple[str, ...]
    node: str | None
    node_token_file: str | None
    telemetry: tuple[str, ...]
    heartbeat_timeout: str | None
    sidecars: tuple[str, ...]
    web_config: str | None
    advertise: str | None
    store: str | None
    log_level: Literal["debug", "info", "warning", "error"] | None
    log_format: Literal["logfmt", "json"] | None


def with_flags(config: Config, flags: RunFlags) -> Config:
    """Give ``config`` with the flags in place of what it says; ConfigError has one line a fault."""
    faults: list[str] = []

    def read(flag: str, text: str, reader: Callable[[str], _T]) -> _T | None:
        try:
            return reader(text)
        except ConfigError as error:
            faults.extend(f"{flag}: {fault}" for fault in error.faults)
            return None

    def checked(flag: str, text: str | None, reader: Callable[[str], object]) -> str | None:
        if text is not None:
            read(flag, text, reader)
        return text

    url = flags["node"]
    api = replace(
        config.node.api,
        url=config.node.api.url if url is None else read("--node", url, parse_node_url),
        token_file=checked("--node-token-file", flags["node_token_file"], parse_file_path)
        or config.node.api.token_file,
    )
    timeout = flags["heartbeat_timeout"]
    node = replace(
        config.node,
        id=checked("--id", flags["id"], parse_server_id) or config.node.id,
        raft=checked("--raft", flags["raft"], parse_address) or config.node.raft,
        heartbeat_timeout=config.node.heartbeat_timeout
        if timeout is None
        else read("--heartbeat-timeout", timeout, parse_duration) or config.node.heartbeat_timeout,
        api=api,
    )
    peers = [peer for text in flags["peer"] if (peer := read("--peer", text, parse_peer)) is not None]
    for text in flags["listen"]:
        checked("--listen", text, parse_listen_address)
    for text in flags["observer"]:
        checked("--observer", text, parse_observer_listen)
    for text in flags["telemetry"]:
        checked("--telemetry", text, parse_telemetry_listen)
    sidecars = [read("--sidecars", text, parse_sidecar) for text in flags["sidecars"]]
    templates = [each for each in sidecars if isinstance(each, str)]
    if len(templates) > 1:
        faults.append(f"--sidecars: expected one URL with {{host}}, got {len(templates)}")
    advertise = flags["advertise"]
    reports = replace(
        config.reports,
        url=templates[0] if templates else config.reports.url,
        sidecars=tuple(each for each in sidecars if isinstance(each, SidecarConfig))
        or config.reports.sidecars,
        advertise=config.reports.advertise
        if advertise is None
        else read("--advertise", advertise, parse_sidecar_url),
    )
    store = flags["store"]
    checked("--store", store, parse_file_path)
    web_config = checked("--web-config", flags["web_config"], parse_file_path)
    if faults:
        raise ConfigError(faults)
    merged = replace(
        config,
        node=node,
        peers=tuple(peers) or config.peers,
        web=replace(
            config.web,
            listen=flags["listen"] or config.web.listen,
            config_file=web_config or config.web.config_file,
        ),
        observer=replace(config.observer, listen=flags["observer"] or config.observer.listen),
        telemetry=replace(config.telemetry, listen=flags["telemetry"] or config.telemetry.listen),
        reports=reports,
        store=replace(config.store, path=store or config.store.path),
        log=replace(
            config.log,
            level=flags["log_level"] or config.log.level,
            format=flags["log_format"] or config.log.format,
        ),
    )
    check(merged, "command line")
    return merged
