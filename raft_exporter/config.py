"""The configuration: a YAML file to the structs of ``schema``, checked as a whole.

``load`` and ``parse`` raise ConfigError with one line for each fault of the file, all of them at
once: ``FILE: KEY: expected X, got Y``. What flags give goes through the same readers, and, put
together into a Config, through ``check``.
"""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

from raft_exporter.bounds import check_bounds
from raft_exporter.errors import ConfigError
from raft_exporter.model.policy import Multiples
from raft_exporter.notation import (
    format_duration,
    parse_address,
    parse_duration,
    parse_listen_address,
    parse_observer_listen,
    parse_server_id,
    parse_sidecar_template,
    parse_sidecar_url,
    same_address_key,
    shown,
)
from raft_exporter.schema import (
    DEFAULT_OBSERVER_SOCKET,
    Config,
    LogConfig,
    NodeConfig,
    ObserverConfig,
    PeerConfig,
    ProbeConfig,
    ReportsConfig,
    SidecarConfig,
    StoreConfig,
    WebConfig,
)
from raft_exporter.strict_yaml import MAX_BYTES, Faults, read_tree, to_struct

_K = TypeVar("_K")

__all__ = [
    "DEFAULT_OBSERVER_SOCKET",
    "Config",
    "LogConfig",
    "NodeConfig",
    "ObserverConfig",
    "PeerConfig",
    "ProbeConfig",
    "ReportsConfig",
    "SidecarConfig",
    "StoreConfig",
    "WebConfig",
    "check",
    "format_duration",
    "load",
    "parse",
    "parse_address",
    "parse_duration",
    "parse_listen_address",
    "parse_observer_listen",
    "parse_peer",
    "parse_server_id",
    "parse_sidecar",
]

_PEER_FLAG = "ID=HOST:PORT, with ',nonvoter' behind it for a member that has no vote"


def load(path: Path) -> Config:
    """Read a configuration file; ConfigError names every fault of it."""
    faults = Faults(str(path))
    text = ""
    try:
        with path.open("rb") as file:
            # One byte over the limit is enough for ``parse`` to refuse it.
            text = file.read(MAX_BYTES + 1).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        # A character cut in two at the limit is no fault of the encoding.
        if error.end <= MAX_BYTES:
            faults.add(
                "", f"expected UTF-8, got byte 0x{error.object[error.start]:02x} at offset {error.start}"
            )
        else:
            faults.add("", "expected at most 1 MiB of YAML, got more")
    except IsADirectoryError:
        faults.add("", "expected a file, got a directory")
    except (OSError, ValueError) as error:
        faults.add("", f"expected a readable file, got an error: {getattr(error, 'strerror', None) or error}")
    faults.raise_any()
    return parse(text, str(path))


def parse(text: str, source: str) -> Config:
    """Read a configuration from YAML text; ``source`` stands for the file in the faults."""
    faults = Faults(source)
    config = to_struct(read_tree(text, faults), Config, "", faults)
    _check(config, faults)
    faults.raise_any()
    return config


def check(config: Config, source: str) -> None:
    """Check bounds, and what fields ask of each other, in a Config that flags have had a part in."""
    faults = Faults(source)
    _check(config, faults)
    faults.raise_any()


def parse_peer(text: str) -> PeerConfig:
    """Read a ``--peer`` flag: ``n2=10.0.0.2:7000``, or with ``,nonvoter`` behind it."""
    # The last '=': an address has none, an id may have one.
    peer_id, equals, rest = text.rpartition("=")
    address, comma, suffrage = rest.partition(",")
    if not equals or (comma and suffrage not in {"voter", "nonvoter"}):
        raise ConfigError([f"expected {_PEER_FLAG}, got {shown(text)}"])
    parse_address(address)
    return PeerConfig(parse_server_id(peer_id), address, "nonvoter" if suffrage == "nonvoter" else "voter")


def parse_sidecar(text: str) -> str | SidecarConfig:
    """Read a ``--sidecars`` flag: a template with ``{host}``, or ``n2=http://10.0.0.2:9641``."""
    if "{host}" in text:
        return parse_sidecar_template(text)
    peer_id, equals, url = text.partition("=")
    if not equals:
        raise ConfigError([f"expected a URL with {{host}} in it, or ID=URL, got {shown(text)}"])
    return SidecarConfig(parse_server_id(peer_id), parse_sidecar_url(url))


def _check(config: Config, faults: Faults) -> None:
    check_bounds(config, "", faults)
    ids: dict[str, str] = {}
    addresses: dict[tuple[str, int], str] = {}
    if config.node.id:
        ids[config.node.id] = "node.id"
    if config.node.raft:
        addresses[same_address_key(config.node.raft)] = "node.raft"
    for index, peer in enumerate(config.peers):
        # Empty where the file's value was faulty, and noted as such already.
        if peer.id:
            _check_once(ids, peer.id, f"peers[{index}].id", peer.id, faults)
        if peer.address:
            key = same_address_key(peer.address)
            _check_once(addresses, key, f"peers[{index}].address", peer.address, faults)
    _check_listen(config.web.listen, "web.listen", faults)
    _check_listen(config.observer.listen or (), "observer.listen", faults)
    told: dict[str, str] = {}
    for index, sidecar in enumerate(config.reports.sidecars):
        if sidecar.id:
            _check_once(told, sidecar.id, f"reports.sidecars[{index}].id", sidecar.id, faults)
    if config.telemetry.listen and config.telemetry.prometheus.url:
        faults.add("telemetry.prometheus.url", "expected this or telemetry.listen: they tell the same")
    _check_policy(config.policy, faults)


def _check_once(seen: dict[_K, str], key: _K, path: str, text: str, faults: Faults) -> None:
    """Note what stood under another path before; ``seen`` has the first path of each."""
    first = seen.setdefault(key, path)
    if first != path:
        faults.add(path, f"expected another {path.rpartition('.')[2]} than {first}, got {shown(text)} again")


def _check_listen(listen: tuple[str, ...], path: str, faults: Faults) -> None:
    for index, text in enumerate(listen):
        # Port 0 may stand there more than once: each is another port.
        if text and text in listen[:index] and not text.endswith(":0"):
            faults.add(f"{path}[{index}]", f"expected each address once, got {shown(text)} again")


def _check_policy(policy: Multiples, faults: Faults) -> None:
    """Note thresholds that contradict each other."""
    for name, holds, rule in (
        ("gone_after", policy.gone_after > policy.suspect_after, "more than suspect_after"),
        ("alone_after", policy.alone_after >= policy.gone_after, "at least gone_after"),
        ("rise_span_max", policy.rise_span_max >= policy.rise_span, "at least rise_span"),
        ("flapping_above", policy.flapping_above > policy.flapping_below, "more than flapping_below"),
    ):
        if not holds:
            limit = getattr(policy, rule.split()[-1])
            got = getattr(policy, name)
            faults.add(f"policy.{name}", f"expected {rule} ({limit:.15g}), got {got:.15g}")
