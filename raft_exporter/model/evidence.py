"""The vocabulary: what a source can say about the node, its cluster and its members.

Every piece of evidence carries ``age``: how many seconds before it was handed over the thing was
true. Ages, not times of day, so that no two clocks have to agree.
"""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct


class Role(StrEnum):
    """The state of a Raft node as hashicorp/raft names it (``raft.RaftState``), or unknown."""

    FOLLOWER = "follower"
    CANDIDATE = "candidate"
    LEADER = "leader"
    SHUTDOWN = "shutdown"
    UNKNOWN = "unknown"


class Suffrage(StrEnum):
    """A member's part in elections (``raft.ServerSuffrage``). Only a voter counts in a majority."""

    VOTER = "voter"
    NONVOTER = "nonvoter"
    STAGING = "staging"


class ProbeKind(StrEnum):
    """A way to ask a member.

    The native Raft probe passes through its main loop; an answered TLS hello proves that its process runs,
    and the report of its sidecar its host alone.
    """

    RAFT = "raft"
    TLS = "tls"
    SIDECAR = "sidecar"


class Outcome(StrEnum):
    """What came of one probe. A local error is our own fault and accuses nobody."""

    OK = "ok"
    REFUSED = "refused"
    TIMEOUT = "timeout"
    BAD_ANSWER = "bad_answer"
    LOCAL_ERROR = "local_error"


class ObservationKind(StrEnum):
    """What hashicorp/raft tells an observer about itself (facts: ``raft.NewObserver``)."""

    FAILED_HEARTBEAT = "failed_heartbeat"
    RESUMED_HEARTBEAT = "resumed_heartbeat"
    LEADER = "leader"
    STATE = "state"
    PEER = "peer"
    REQUEST_VOTE = "request_vote"
    REQUEST_PRE_VOTE = "request_pre_vote"


class Server(Struct, frozen=True):
    """One server of a Raft configuration: stable id, ``host:port``, suffrage."""

    id: str
    address: str
    suffrage: Suffrage = Suffrage.VOTER


class NodeIdentity(Struct, frozen=True, tag=True):
    """Who the node beside this sidecar is. ``heartbeat_timeout`` is in seconds; None: not told."""

    id: str
    address: str
    heartbeat_timeout: float | None = None


class NodeStatus(Struct, frozen=True, tag=True):
    """The node's own state, as it says itself. Indices are log indices; None is what its source can't tell.

    ``leader_id`` is empty when the node says that it knows no leader. ``last_contact`` is the age in
    seconds of the last word from the leader; None on the leader and when there never was one.
    ``heartbeats``: the same source tells the node's heartbeats, so that their silence means something
    for as long as it speaks; else :class:`TelemetryHeard` says so.
    """

    role: Role
    term: int | None
    last_log_index: int | None
    commit_index: int | None
    applied_index: int | None
    snapshot_index: int | None
    fsm_pending: int | None
    protocol_version: int | None
    leader_id: str | None
    leader_address: str
    last_contact: float | None
    installing_snapshot: bool = False
    age: float = 0.0
    heartbeats: bool = True


class StatusLost(Struct, frozen=True, tag=True):
    """The source of the node's own state went away: what it said last is no longer news."""


class Configuration(Struct, frozen=True, tag=True):
    """The latest configuration of the cluster that the node knows; ``index`` None: not told."""

    servers: tuple[Server, ...]
    index: int | None = None


class RoleChanged(Struct, frozen=True, tag=True):
    """The node entered ``role``."""

    role: Role
    age: float = 0.0


class LeaderChanged(Struct, frozen=True, tag=True):
    """The node follows another leader now; an empty ``leader_id`` means that it lost its leader."""

    leader_id: str
    leader_address: str
    age: float = 0.0


class HeartbeatsAnswered(Struct, frozen=True, tag=True):
    """The leader's heartbeats that ``peer`` answered since the last such evidence.

    ``count`` of them, the last one ``age`` seconds ago; ``total`` seconds of round trips in all, and
    how many fell into each bucket of :data:`~raft_exporter.model.histogram.BOUNDS` (and above).
    """

    peer: str
    count: int
    total: float
    buckets: tuple[int, ...]
    age: float = 0.0


class HeartbeatFailed(Struct, frozen=True, tag=True):
    """One heartbeat of the leader to ``peer`` failed. The number of them is no measure of time."""

    peer: str
    age: float = 0.0


class LeaderHeard(Struct, frozen=True, tag=True):
    """The node, as a follower, took a heartbeat of its leader ``age`` seconds ago."""

    age: float = 0.0


class TelemetryHeard(Struct, frozen=True, tag=True):
    """The node's telemetry was heard ``age`` seconds ago: heartbeats since then would have been told."""

    age: float = 0.0


class ProbeResult(Struct, frozen=True, tag=True):
    """What came of one probe of ``peer``.

    ``round_trip`` is in seconds, of an answered probe. ``host_age`` is the age in seconds of the last
    sign that the member's HOST gave (an answer, a refusal, a TCP acknowledgement); None: it gave none.
    ``waiting`` is for how many seconds a request that was sent has been unanswered.
    """

    peer: str
    kind: ProbeKind
    outcome: Outcome
    round_trip: float | None = None
    host_age: float | None = None
    waiting: float | None = None
    term: int | None = None
    last_log_index: int | None = None
    age: float = 0.0


class ReportedMember(Struct, frozen=True):
    """What another sidecar itself knows of one member: ages in seconds, never a verdict.

    ``silence`` is since any direct success, or since that sidecar began to listen. ``heartbeat`` is since
    the last heartbeat (of its own node: the node's last word) or answered TLS hello, ``raft`` since the
    last answered native probe; None: never. ``refusals`` in a row with no success after the first, over
    ``refused_for``.
    """

    peer: str
    silence: float
    heartbeat: float | None = None
    raft: float | None = None
    refusals: int = 0
    refused_for: float = 0.0


class Report(Struct, frozen=True, tag=True):
    """The direct evidence of the sidecar beside ``reporter``; ``age`` is how long it was on its way.

    ``configuration`` is the one that its node knows, None: none. ``heartbeat_timeout`` is its node's, in
    seconds; None: as ours.
    """

    reporter: str
    members: tuple[ReportedMember, ...]
    isolated: bool = False
    installing_snapshot: bool = False
    configuration: Configuration | None = None
    heartbeat_timeout: float | None = None
    age: float = 0.0


Evidence = (
    NodeIdentity
    | NodeStatus
    | StatusLost
    | Configuration
    | RoleChanged
    | LeaderChanged
    | HeartbeatsAnswered
    | HeartbeatFailed
    | LeaderHeard
    | TelemetryHeard
    | ProbeResult
    | Report
)
