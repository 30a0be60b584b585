"""The observer stream's lines, decoded into evidence (docs/observer-protocol.md)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Final

import msgspec
from msgspec import Meta, Struct

from raft_exporter.errors import StreamError
from raft_exporter.model.evidence import (
    Configuration,
    Evidence,
    HeartbeatFailed,
    HeartbeatsAnswered,
    LeaderChanged,
    NodeIdentity,
    NodeStatus,
    ObservationKind,
    Role,
    RoleChanged,
    Server,
)
from raft_exporter.model.histogram import BOUNDS
from raft_exporter.sources import raft_stats
from raft_exporter.sources.raft_stats import ROLES, SUFFRAGES

STREAM_VERSION: Final = 1
MAX_LINE: Final = 262_144
"""Bytes of one line with its newline."""
MAX_SERVERS: Final = raft_stats.MAX_SERVERS

_Age = Annotated[float, Meta(ge=0, le=1e12)]
_Count = Annotated[int, Meta(ge=0, le=2**63 - 1)]
_Id = Annotated[str, Meta(min_length=1, max_length=256)]
_Text = Annotated[str, Meta(max_length=1024)]
_Timeout = Annotated[float, Meta(ge=5, le=600_000)]

REASONS: Final = (
    "oversized",
    "truncated",
    "malformed",
    "invalid",
    "unknown_type",
    "no_hello",
    "unsupported_version",
    "too_many_servers",
)
"""Every reason for which a line is rejected."""


class Hello(Struct):
    """``hello``."""

    stream_version: int
    node_id: _Id = ""
    address: _Text = ""
    heartbeat_timeout_ms: _Timeout = 1000.0


class Stats(Struct):
    """``stats``."""

    age_ms: _Age
    stats: dict[str, str]
    leader_id: _Text = ""
    leader_address: _Text = ""
    installing_snapshot: bool = False


class StreamServer(Struct):
    """One server of ``configuration``."""

    id: _Id
    address: _Text
    suffrage: str


class StreamConfiguration(Struct):
    """``configuration``."""

    servers: list[StreamServer]
    index: _Count = 0


class PeerHeartbeats(Struct):
    """One peer of ``heartbeats``."""

    peer: _Id
    count: _Count
    last_age_ms: _Age
    sum_ms: _Age
    buckets: Annotated[list[_Count], Meta(min_length=len(BOUNDS) + 1, max_length=len(BOUNDS) + 1)]


class Heartbeats(Struct):
    """``heartbeats``."""

    age_ms: _Age
    peers: Annotated[list[PeerHeartbeats], Meta(max_length=MAX_SERVERS)]


class Observation(Struct):
    """``observation``; which fields are set depends on its kind."""

    age_ms: _Age
    kind: str
    peer: _Text = ""
    leader_id: _Text = ""
    leader_address: _Text = ""
    state: str = ""


class Dropped(Struct):
    """``dropped``."""

    count: _Count


class _Head(Struct):
    type: str


Message = Hello | Stats | StreamConfiguration | Heartbeats | Observation | Dropped

_HEAD = msgspec.json.Decoder(_Head)
_DECODERS: dict[str, msgspec.json.Decoder[Message]] = {
    "hello": msgspec.json.Decoder(Hello),
    "stats": msgspec.json.Decoder(Stats),
    "configuration": msgspec.json.Decoder(StreamConfiguration),
    "heartbeats": msgspec.json.Decoder(Heartbeats),
    "observation": msgspec.json.Decoder(Observation),
    "dropped": msgspec.json.Decoder(Dropped),
}
_KINDS = {kind.value: kind for kind in ObservationKind}


def decode(line: bytes) -> Message:
    """Decode one line, or raise StreamError with the reason for which it is rejected."""
    try:
        head = _HEAD.decode(line)
    except msgspec.ValidationError as error:
        raise StreamError("invalid", f"expected an object with a type: {error}") from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise StreamError("malformed", f"expected JSON: {error}") from None
    decoder = _DECODERS.get(head.type)
    if decoder is None:
        raise StreamError("unknown_type", f"unknown type {head.type[:40]!r}")
    try:
        return decoder.decode(line)
    except msgspec.ValidationError as error:
        raise StreamError("invalid", f"{head.type}: {error}") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:  # what the head skipped is read only now
        raise StreamError("malformed", f"expected JSON: {error}") from None


def identity(hello: Hello) -> NodeIdentity:
    """Who speaks; StreamError when its stream has another version or it does not say who it is."""
    if hello.stream_version != STREAM_VERSION:
        raise StreamError(
            "unsupported_version", f"expected stream version {STREAM_VERSION}, got {hello.stream_version}"
        )
    if not hello.node_id:
        raise StreamError("invalid", "hello: expected a node_id")
    return NodeIdentity(
        id=hello.node_id, address=hello.address, heartbeat_timeout=hello.heartbeat_timeout_ms / 1000
    )


def status(message: Stats) -> NodeStatus:
    """Read ``raft.Raft.Stats()``, whose values are all strings."""
    stats = message.stats
    return NodeStatus(
        role=ROLES.get(stats.get("state", ""), Role.UNKNOWN),
        term=_integer(stats, "term"),
        last_log_index=_integer(stats, "last_log_index"),
        commit_index=_integer(stats, "commit_index"),
        applied_index=_integer(stats, "applied_index"),
        snapshot_index=_integer(stats, "last_snapshot_index"),
        fsm_pending=_integer(stats, "fsm_pending"),
        protocol_version=_integer(stats, "protocol_version"),
        leader_id=message.leader_id,
        leader_address=message.leader_address,
        last_contact=_last_contact(stats),
        installing_snapshot=message.installing_snapshot,
        age=message.age_ms / 1000,
    )


def configuration(message: StreamConfiguration) -> Configuration:
    """Read a configuration; StreamError when it is too large or names a server twice."""
    if len(message.servers) > MAX_SERVERS:
        raise StreamError(
            "too_many_servers", f"expected at most {MAX_SERVERS} servers, got {len(message.servers)}"
        )
    servers = []
    for server in message.servers:
        suffrage = SUFFRAGES.get(server.suffrage)
        if suffrage is None:
            raise StreamError("invalid", f"configuration: unknown suffrage {server.suffrage[:40]!r}")
        servers.append(Server(id=server.id, address=server.address, suffrage=suffrage))
    if len({server.id for server in servers}) < len(servers):
        raise StreamError("invalid", "configuration: expected each server once")
    return Configuration(servers=tuple(servers), index=message.index or None)


def heartbeats(message: Heartbeats) -> Sequence[HeartbeatsAnswered]:
    """Read the answered heartbeats of each peer."""
    age = message.age_ms / 1000
    return [
        HeartbeatsAnswered(
            peer=peer.peer,
            count=peer.count,
            total=peer.sum_ms / 1000,
            buckets=tuple(peer.buckets),
            age=age + peer.last_age_ms / 1000,
        )
        for peer in message.peers
        if peer.count
    ]


def observation(message: Observation) -> tuple[ObservationKind | None, Evidence | None]:
    """Read an observation: its kind (None: unknown), and what it proves (None: nothing by itself)."""
    kind = _KINDS.get(message.kind)
    age = message.age_ms / 1000
    match kind:
        case ObservationKind.FAILED_HEARTBEAT:
            return kind, HeartbeatFailed(peer=message.peer, age=age)
        case ObservationKind.LEADER:
            return kind, LeaderChanged(
                leader_id=message.leader_id, leader_address=message.leader_address, age=age
            )
        case ObservationKind.STATE if message.state in ROLES:
            return kind, RoleChanged(role=ROLES[message.state], age=age)
        case _:
            return kind, None


class Lines:
    """Splits a byte stream into lines, in any pieces, and never keeps more than one line's bytes."""

    def __init__(self) -> None:
        self._rest = bytearray()
        self._skipping = False

    def feed(self, data: bytes) -> tuple[list[bytes], int]:
        """Take the next bytes; give the lines complete with them, and how many were over the limit."""
        *complete, tail = data.split(b"\n")
        lines: list[bytes] = []
        oversized = 0
        for piece in complete:
            line = bytes(self._rest) + piece if self._rest else piece
            self._rest.clear()
            if self._skipping:
                self._skipping = False
            elif len(line) >= MAX_LINE:
                oversized += 1
            elif line:
                lines.append(line)
        if not self._skipping:
            self._rest += tail
            if len(self._rest) >= MAX_LINE:
                oversized += 1
                self._skipping = True
                self._rest.clear()
        return lines, oversized

    @property
    def half(self) -> bool:
        """Whether bytes of an unfinished line are left."""
        return bool(self._rest) or self._skipping


def _integer(stats: dict[str, str], key: str) -> int:
    text = stats.get(key, "0")
    number = raft_stats.integer(text)
    if number is None:
        raise StreamError("invalid", f"stats: expected an integer as {key}, got {text[:40]!r}")
    return number


def _last_contact(stats: dict[str, str]) -> float | None:
    """Seconds; None for "never", and for the "0" that the leader says of itself."""
    text = stats.get("last_contact", "never")
    if not raft_stats.has_contact(text):
        return None
    seconds = raft_stats.duration(text)
    if seconds is None:
        raise StreamError("invalid", f"stats: expected a duration as last_contact, got {text[:40]!r}")
    return seconds
