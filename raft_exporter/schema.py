"""The keys of the configuration, as frozen structs: type, notation, bounds, default and description of each.

Every key has a default, so that an empty file is a configuration.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Literal, TypeAlias

from msgspec import Meta, Struct

from raft_exporter import notation
from raft_exporter.model.policy import Multiples
from raft_exporter.notation import (
    parse_address,
    parse_duration,
    parse_file_path,
    parse_listen_address,
    parse_observer_listen,
    parse_server_id,
    parse_sidecar_template,
    parse_sidecar_url,
)
from raft_exporter.strict_yaml import Notation

DEFAULT_OBSERVER_SOCKET = "unix:/run/raft-exporter/observer.sock"


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
Age: TypeAlias = Annotated[
    float, Notation(notation.DURATION, parse_duration), Meta(ge=60.0, le=366 * 86400.0)
]
Rows: TypeAlias = Annotated[int, Meta(ge=100, le=100_000_000)]
FilePath: TypeAlias = Annotated[str, Notation(notation.FILE_PATH, parse_file_path)]
SidecarUrl: TypeAlias = Annotated[str, Notation(notation.SIDECAR_URL, parse_sidecar_url)]
SidecarTemplate: TypeAlias = Annotated[str, Notation(notation.SIDECAR_TEMPLATE, parse_sidecar_template)]
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
    token_file: Annotated[
        FilePath | None,
        Meta(
            description="A file with the bearer token that calls which change something must carry. The "
            "environment's RAFT_EXPORTER_TOKEN goes before it; without either, such calls are taken from "
            "this machine alone."
        ),
    ] = None


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


class SidecarConfig(Struct, frozen=True):
    """Where the sidecar of one member is."""

    id: Annotated[ServerId, Meta(description="The member's Raft server id.")]
    url: Annotated[SidecarUrl, Meta(description="Its sidecar's base URL.")]


class ReportsConfig(Struct, frozen=True):
    """What the sidecars tell each other."""

    enabled: Annotated[
        bool, Meta(description="Whether the reports of the other members' sidecars are fetched.")
    ] = True
    url: Annotated[
        SidecarTemplate | None,
        Meta(
            description="Where the sidecars of the others are, such as 'http://{host}:9641'; {host} is the "
            "host of a member's Raft address."
        ),
    ] = None
    sidecars: Annotated[
        tuple[SidecarConfig, ...],
        Meta(
            description="Those that are elsewhere. What they tell of others is used, too: so each has to be "
            "named by somebody who is asked."
        ),
    ] = ()
    advertise: Annotated[
        SidecarUrl | None,
        Meta(description="Where the others reach this sidecar; told to them with the reports."),
    ] = None
    interval: Annotated[
        Timing | None, Meta(description="Time from one report of a member to the next; half of H by default.")
    ] = None
    timeout: Annotated[
        Timing | None, Meta(description="How long a report may take; by default 0.8 H, at least 500ms.")
    ] = None


class StoreConfig(Struct, frozen=True):
    """The database in which state, overrides and the journal outlive a restart."""

    path: Annotated[
        FilePath | None, Meta(description="The file of the database; without it nothing is stored.")
    ] = None
    journal_rows: Annotated[Rows, Meta(description="The most entries of the journal that are kept.")] = 10_000
    journal_age: Annotated[Age, Meta(description="The age up to which they are kept.")] = 30 * 86400.0
    evidence_rows: Annotated[
        Rows, Meta(description="The most pieces of evidence that are kept for 'rehearse'.")
    ] = 500_000
    evidence_age: Annotated[Age, Meta(description="The age up to which they are kept.")] = 86400.0


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
    reports: Annotated[ReportsConfig, Meta(description="What the sidecars tell each other.")] = (
        ReportsConfig()
    )
    policy: Annotated[
        Multiples, Meta(description="The thresholds of the judgement: times in multiples of H, and counts.")
    ] = Multiples()
    store: Annotated[StoreConfig, Meta(description="What outlives a restart.")] = StoreConfig()
    log: Annotated[LogConfig, Meta(description="The log.")] = LogConfig()
