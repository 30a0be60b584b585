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
    parse_field_path,
    parse_file_path,
    parse_host_name,
    parse_listen_address,
    parse_node_url,
    parse_observer_listen,
    parse_server_id,
    parse_sidecar_template,
    parse_sidecar_url,
    parse_telemetry_listen,
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
NodeUrl: TypeAlias = Annotated[str, Notation(notation.NODE_URL, parse_node_url)]
TelemetryListen: TypeAlias = Annotated[
    str, Notation(notation.TELEMETRY_LISTEN, _checked(parse_telemetry_listen))
]
HostName: TypeAlias = Annotated[str, Notation(notation.HOST_NAME, parse_host_name)]
FieldPath: TypeAlias = Annotated[str, Notation(notation.FIELD_PATH, parse_field_path)]
ServerId: TypeAlias = Annotated[str, Notation(notation.SERVER_ID, parse_server_id)]


Kind: TypeAlias = Literal["consul", "nomad", "vault", "rqlite", "json"]
"""The systems whose API is understood; OpenBao's is Vault's."""


class TlsConfig(Struct, frozen=True):
    """How a TLS connection is made and checked."""

    ca_file: Annotated[
        FilePath | None,
        Meta(
            description="The CA certificates that are trusted; the system's by default. Nobody but the "
            "cluster's own CA should vouch for its members."
        ),
    ] = None
    cert_file: Annotated[
        FilePath | None,
        Meta(description="The client certificate to show, where the other side asks for one."),
    ] = None
    key_file: Annotated[FilePath | None, Meta(description="Its key; by default in cert_file.")] = None
    server_name: Annotated[
        HostName | None,
        Meta(
            description="The name that the certificate must be for; the host by default. For certificates "
            "that all have one name, as Consul's 'server.dc1.consul'."
        ),
    ] = None
    verify: Annotated[
        bool,
        Meta(
            description="Whether the certificate is checked at all; without it, whoever is in between can "
            "answer."
        ),
    ] = True

    @property
    def files(self) -> tuple[str | None, ...]:
        """What it is made of, None for what is not given."""
        return self.ca_file, self.cert_file, self.key_file


class JsonFieldsConfig(Struct, frozen=True):
    """Where in a JSON value each fact stands: keys and positions with dots between, as in 'raft.peers.0'."""

    id: Annotated[FieldPath | None, Meta(description="The node's Raft server id.")] = None
    address: Annotated[FieldPath | None, Meta(description="Its Raft address.")] = None
    role: Annotated[
        FieldPath | None, Meta(description="Its role: follower, candidate, leader or shutdown, in any case.")
    ] = None
    term: Annotated[FieldPath | None, Meta(description="Its term.")] = None
    last_log_index: Annotated[FieldPath | None, Meta(description="Its last log index.")] = None
    commit_index: Annotated[FieldPath | None, Meta(description="Its commit index.")] = None
    applied_index: Annotated[FieldPath | None, Meta(description="Its applied index.")] = None
    leader_id: Annotated[
        FieldPath | None, Meta(description="The id of the leader that it knows; empty or null: none.")
    ] = None
    leader_address: Annotated[
        FieldPath | None, Meta(description="The Raft address of the leader that it knows.")
    ] = None
    last_contact: Annotated[
        FieldPath | None,
        Meta(description="Since when the leader was not heard: seconds, or a Go duration such as '46ms'."),
    ] = None
    servers: Annotated[FieldPath | None, Meta(description="The list of the members, each an object.")] = None
    server_id: Annotated[FieldPath, Meta(description="In each of them: its id.")] = "id"
    server_address: Annotated[FieldPath, Meta(description="In each of them: its Raft address.")] = "address"
    server_suffrage: Annotated[
        FieldPath,
        Meta(description="In each of them: 'voter', 'nonvoter' or 'staging', in any case, or a boolean."),
    ] = "suffrage"


class ApiConfig(Struct, frozen=True):
    """The node's own HTTP API, where it has one that is understood."""

    url: Annotated[
        NodeUrl | None,
        Meta(description="Where this node's own API is: another node's would tell of that other node."),
    ] = None
    kind: Annotated[
        Kind | None,
        Meta(
            description="Which system the node is, 'vault' for OpenBao too; found out where it is not given."
        ),
    ] = None
    token_file: Annotated[
        FilePath | None,
        Meta(
            description="A file with the token, for rqlite with 'user:password'; read again when it changes."
        ),
    ] = None
    interval: Annotated[
        Timing | None,
        Meta(
            description="Time from one question to the next; H by default, at most H and a second: what the "
            "node says of itself is stale after 2 H."
        ),
    ] = None
    timeout: Annotated[
        Timing | None,
        Meta(
            description="How long an answer may take; 0.8 of the interval by default and at most, so that "
            "one question ends before the next."
        ),
    ] = None
    tls: Annotated[TlsConfig, Meta(description="TLS to it, where the URL is https.")] = TlsConfig()
    fields: Annotated[
        JsonFieldsConfig, Meta(description="With kind json: where each fact stands in the answer.")
    ] = JsonFieldsConfig()


class NodeConfig(Struct, frozen=True):
    """The node that this sidecar stands beside."""

    id: Annotated[
        ServerId | None, Meta(description="The node's Raft server id; the observer knows it by itself.")
    ] = None
    raft: Annotated[
        Address | None,
        Meta(
            description="The node's Raft address as the others know it; the observer knows it by itself. The "
            "node is probed there, too: that is how a main loop that hangs is seen."
        ),
    ] = None
    heartbeat_timeout: Annotated[
        Timing,
        Meta(
            description="hashicorp/raft's HeartbeatTimeout, H, the unit of every threshold. What the "
            "observer or rqlite tells goes before it. hashicorp/raft's default is 1s; that of Consul, Vault "
            "and OpenBao 5s."
        ),
    ] = 1.0
    api: Annotated[ApiConfig, Meta(description="The node's own HTTP API.")] = ApiConfig()


class WebConfig(Struct, frozen=True):
    """The HTTP server: metrics, status page, API."""

    listen: Annotated[
        tuple[ListenAddress, ...],
        Meta(
            min_length=1,
            description="Addresses to serve on; ':port' is all addresses, port 0 a free port. Prometheus and "
            "the other sidecars come from elsewhere, hence all of IPv4 by default.",
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
    config_file: Annotated[
        FilePath | None,
        Meta(
            description="A web configuration file as Prometheus' exporter-toolkit has it: TLS, basic auth, "
            "headers. It and the files it names are read again when they change."
        ),
    ] = None


class ObserverConfig(Struct, frozen=True):
    """Where the Go observer in the node's process connects to."""

    listen: Annotated[
        tuple[ObserverListen, ...] | None,
        Meta(
            description="'unix:/path' or 'tcp:127.0.0.1:9642', this machine alone, for who writes there is "
            "believed; an empty list turns it off. Without this key, "
            f"'{DEFAULT_OBSERVER_SOCKET}' is tried, and done without where it can't be made."
        ),
    ] = None


Port: TypeAlias = Literal["plain", "consul", "nomad", "rqlite", "vault"]
"""What stands before hashicorp/raft's protocol on a Raft port."""


class ProbeConfig(Struct, frozen=True):
    """The native probe: one harmless Raft request to each member."""

    enabled: Annotated[
        bool | None,
        Meta(
            description="Whether members are probed. By default not where the node is Consul or Nomad, whose "
            "servers limit connections from one address."
        ),
    ] = None
    port: Annotated[
        Port | None,
        Meta(description="What the members' Raft ports speak; by default as the node's kind has it."),
    ] = None
    tls: Annotated[
        TlsConfig | None, Meta(description="TLS to the Raft ports; without this key there is none.")
    ] = None
    interval: Annotated[
        Timing | None,
        Meta(
            description="Time from one probe of a member to the next; half of H by default, and never slower "
            "than H: a member would be stale before it is asked again."
        ),
    ] = None
    timeout: Annotated[
        Timing | None,
        Meta(
            description="How long an answer may take before it counts as failed; by default the same as the "
            "interval, at most H. It is waited for all the same: a node that hangs is not asked twice."
        ),
    ] = None


class PrometheusConfig(Struct, frozen=True):
    """The node's own go-metrics in Prometheus' form."""

    url: Annotated[
        NodeUrl | None,
        Meta(description="Where they are, path and query included; token and TLS are those of node.api."),
    ] = None
    interval: Annotated[
        Timing | None, Meta(description="Time from one scrape to the next; H/2 by default, at most a second.")
    ] = None


class TelemetryConfig(Struct, frozen=True):
    """The node's own telemetry (go-metrics): heartbeats with no change to its code."""

    listen: Annotated[
        tuple[TelemetryListen, ...],
        Meta(
            description="Where the node's statsd or dogstatsd packets come, such as 'udp:127.0.0.1:8125'. "
            "Who can send there is believed to be the node: let it be on loopback."
        ),
    ] = ()
    relay: Annotated[
        TelemetryListen | None,
        Meta(description="Where every packet goes on to, unchanged: the statsd that was there before."),
    ] = None
    prometheus: Annotated[
        PrometheusConfig, Meta(description="The same from the node's Prometheus endpoint.")
    ] = PrometheusConfig()


class SidecarConfig(Struct, frozen=True):
    """Where the sidecar of one member is."""

    id: Annotated[ServerId, Meta(description="The member's Raft server id.")]
    url: Annotated[SidecarUrl, Meta(description="Its sidecar's base URL.")]


class ReportsConfig(Struct, frozen=True):
    """What the sidecars tell each other."""

    enabled: Annotated[
        bool,
        Meta(
            description="Whether the reports of the other members' sidecars are fetched. Without them a cut "
            "link looks like a dead member, and silence is judged after alone_after."
        ),
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
        Meta(
            description="Where the others reach this sidecar; told to them with the reports, so that not "
            "every one of them has to be configured."
        ),
    ] = None
    token_file: Annotated[
        FilePath | None,
        Meta(
            description="A file with the secret that the cluster's sidecars share. With it reports are given "
            "only to who has it, and believed only from who has it; it is never sent itself."
        ),
    ] = None
    tls: Annotated[
        TlsConfig,
        Meta(
            description="TLS to the other sidecars, where their URLs are https; with a certificate to show, "
            "it is mutual."
        ),
    ] = TlsConfig()
    interval: Annotated[
        Timing | None,
        Meta(
            description="Time from one report of a member to the next; half of H by default, never slower "
            "than H: a report is believed for 2 H."
        ),
    ] = None
    timeout: Annotated[
        Timing | None,
        Meta(
            description="How long a report may take; by default and at most 0.8 H, or 500ms where that is "
            "more. Measured: with 30 % of the packets lost it leaves the fewest reporters unheard."
        ),
    ] = None


class StoreConfig(Struct, frozen=True):
    """The database in which state, overrides and the journal outlive a restart."""

    path: Annotated[
        FilePath | None,
        Meta(
            description="The file of the database; without it nothing is stored. One that is damaged or no "
            "store of ours is moved aside."
        ),
    ] = None
    journal_rows: Annotated[
        Rows,
        Meta(
            description="The most entries of the journal that are kept: a bound, whatever the cluster does."
        ),
    ] = 10_000
    journal_age: Annotated[
        Age, Meta(description="The age up to which they are kept: until the incident's report is written.")
    ] = 30 * 86400.0
    evidence_rows: Annotated[
        Rows,
        Meta(
            description="The most records of evidence that are kept for 'rehearse': a bound for the file. "
            "With three members and H at 1s they reach back six hours."
        ),
    ] = 500_000
    evidence_age: Annotated[
        Age, Meta(description="The age up to which they are kept, where there are not more of them before.")
    ] = 86400.0


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
    format: Annotated[
        Literal["logfmt", "json"], Meta(description="How a line is written; 'json' is for who collects logs.")
    ] = "logfmt"


class Config(Struct, frozen=True):
    """The whole configuration; every key has a default, so that an empty file is one."""

    node: Annotated[NodeConfig, Meta(description="The node that this sidecar stands beside.")] = NodeConfig()
    web: Annotated[WebConfig, Meta(description="The HTTP server.")] = WebConfig()
    observer: Annotated[ObserverConfig, Meta(description="The Go observer's stream.")] = ObserverConfig()
    telemetry: Annotated[TelemetryConfig, Meta(description="The node's own telemetry.")] = TelemetryConfig()
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
