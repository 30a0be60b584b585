"""The configuration: a YAML file to frozen structs, checked as a whole.

``load`` and ``parse`` raise ConfigError with one line for each fault of the file, all of them at
once: ``FILE: KEY: expected X, got Y``. What flags give goes through the same readers, and, put
together into a Config, through ``check``.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Literal, TypeAlias

from msgspec import Meta, Struct

from raft_exporter import notation
from raft_exporter.errors import ConfigError
from raft_exporter.notation import (
    format_duration,
    parse_address,
    parse_duration,
    parse_listen_address,
    parse_observer_listen,
    parse_server_id,
    same_address_key,
    shown,
)
from raft_exporter.strict_yaml import MAX_BYTES, Faults, Notation, check_bounds, read_tree, to_struct

__all__ = [
    "DEFAULT_OBSERVER_SOCKET",
    "Config",
    "LogConfig",
    "NodeConfig",
    "ObserverConfig",
    "PeerConfig",
    "ProbeConfig",
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
]

DEFAULT_OBSERVER_SOCKET = "unix:/run/raft-exporter/observer.sock"

_PEER_FLAG = "ID=HOST:PORT, with ',nonvoter' behind it for a member that has no vote"


def _checked(read: Callable[[str], object]) -> Callable[[str], str]:
    """Make a reader that keeps the text, once it has been read without a fault."""

    def keep(text: str) -> str:
        read(text)
        return text

    return keep


Timing: TypeAlias = Annotated[float, Notation(notation.DURATION, parse_duration), Meta(ge=0.01, le=600.0)]
Address: TypeAlias = Annotated[str, Notation(notation.ADDRESS, _checked(parse_address))]
ListenAddress: TypeAlias = Annotated[str, Notation(notation.LISTEN_ADDRESS, _checked(parse_listen_address))]
ObserverListen: TypeAlias = Annotated[
    str, Notation(notation.OBSERVER_LISTEN, _checked(parse_observer_listen))
]
ServerId: TypeAlias = Annotated[str, Notation(notation.SERVER_ID, parse_server_id)]


class NodeConfig(Struct, frozen=True):
    """The node that this sidecar stands beside."""

    id: Annotated[
        ServerId | None, Meta(description="The node's Raft server id; the observer knows it by itself.")
    ] = None
    raft: Annotated[
        Address | None,
        Meta(description="The node's Raft address as the others know it; the observer knows it by itself."),
    ] = None
    heartbeat_timeout: Annotated[
        Timing,
        Meta(
            description="hashicorp/raft's HeartbeatTimeout, H, the unit of every threshold. "
            "What the observer reports goes before it."
        ),
    ] = 1.0


class WebConfig(Struct, frozen=True):
    """The HTTP server: metrics, status page, API."""

    listen: Annotated[
        tuple[ListenAddress, ...],
        Meta(
            min_length=1, description="Addresses to serve on; ':port' is all addresses, port 0 a free port."
        ),
    ] = ("0.0.0.0:9641",)


class ObserverConfig(Struct, frozen=True):
    """Where the Go observer in the node's process connects to."""

    listen: Annotated[
        tuple[ObserverListen, ...] | None,
        Meta(
            description="'unix:/path' or 'tcp:127.0.0.1:9642'; an empty list turns it off. "
            f"Without this key, {DEFAULT_OBSERVER_SOCKET} is tried, and done without where it can't be made."
        ),
    ] = None


class ProbeConfig(Struct, frozen=True):
    """The native probe: one harmless Raft request to each member."""

    enabled: Annotated[bool, Meta(description="Whether members are probed.")] = True
    interval: Annotated[
        Timing | None, Meta(description="Time from one probe of a member to the next; half of H by default.")
    ] = None
    timeout: Annotated[
        Timing | None, Meta(description="How long an answer may take; by default the same as the interval.")
    ] = None


class PeerConfig(Struct, frozen=True):
    """A member known beforehand; once a source gives the cluster's configuration, that counts."""

    id: Annotated[ServerId, Meta(description="The member's Raft server id.")]
    address: Annotated[Address, Meta(description="The member's Raft address, 'host:port'.")]
    suffrage: Annotated[
        Literal["voter", "nonvoter"], Meta(description="Whether the member counts for the quorum.")
    ] = "voter"


class LogConfig(Struct, frozen=True):
    """The log on standard error, one line an event."""

    level: Annotated[
        Literal["debug", "info", "warning", "error"], Meta(description="The least level that is written.")
    ] = "info"
    format: Annotated[Literal["logfmt", "json"], Meta(description="How a line is written.")] = "logfmt"


class Config(Struct, frozen=True):
    """The whole configuration; every key has a default, so that an empty file is one."""

    node: Annotated[NodeConfig, Meta(description="The node that this sidecar stands beside.")] = NodeConfig()
    web: Annotated[WebConfig, Meta(description="The HTTP server.")] = WebConfig()
    observer: Annotated[ObserverConfig, Meta(description="The Go observer's stream.")] = ObserverConfig()
    probe: Annotated[ProbeConfig, Meta(description="The native probe.")] = ProbeConfig()
    peers: Annotated[
        tuple[PeerConfig, ...],
        Meta(description="The other members, where no source tells them; never the own node."),
    ] = ()
    log: Annotated[LogConfig, Meta(description="The log.")] = LogConfig()


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
            path = f"peers[{index}].id"
            first = ids.setdefault(peer.id, path)
            if first != path:
                faults.add(path, f"expected another id than {first}, got {shown(peer.id)} again")
        if peer.address:
            path = f"peers[{index}].address"
            first = addresses.setdefault(same_address_key(peer.address), path)
            if first != path:
                faults.add(path, f"expected another address than {first}, got {shown(peer.address)} again")
    _check_listen(config.web.listen, "web.listen", faults)
    _check_listen(config.observer.listen or (), "observer.listen", faults)


def _check_listen(listen: tuple[str, ...], path: str, faults: Faults) -> None:
    for index, text in enumerate(listen):
        # Port 0 may stand there more than once: each is another port.
        if text and text in listen[:index] and not text.endswith(":0"):
            faults.add(f"{path}[{index}]", f"expected each address once, got {shown(text)} again")
