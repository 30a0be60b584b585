"""The table as one frozen value: what the API answers, and what page and terminal show.

Ages and silences are in seconds; null is what is not known.
"""

from __future__ import annotations

from msgspec import Struct

from raft_exporter import __version__
from raft_exporter.model.evidence import Role, Suffrage
from raft_exporter.model.judge import Reason, State
from raft_exporter.model.member import Member
from raft_exporter.model.table import Table


class NodeView(Struct, frozen=True):
    """The node beside the sidecar, by its own word; ``up`` is whether it spoke lately."""

    id: str | None
    address: str | None
    up: bool
    role: Role
    term: int | None
    leader: str | None
    leader_address: str | None
    leader_silence_seconds: float | None
    main_loop_silence_seconds: float | None
    last_log_index: int | None
    commit_index: int | None
    applied_index: int | None


class QuorumView(Struct, frozen=True):
    """The margin: how many voters, how many make a majority, how many are online, how many may fail."""

    voters: int | None
    quorum: int | None
    voters_online: int | None
    failure_tolerance: int | None
    configuration_index: int | None


class SilenceView(Struct, frozen=True):
    """Since when nothing was heard, by source; see ``raft_peer_silence_seconds``."""

    heartbeat: float | None
    raft: float | None
    any: float


class MemberView(Struct, frozen=True):
    """One member as this sidecar judges it."""

    id: str
    address: str
    suffrage: Suffrage
    own: bool
    role: Role
    state: State
    reason: Reason
    since_seconds: float
    silence_seconds: SilenceView
    term: int | None
    last_log_index: int | None


class ClusterView(Struct, frozen=True):
    """What one sidecar knows and judges, at one moment."""

    version: str
    node: NodeView
    quorum: QuorumView
    members: tuple[MemberView, ...]
    thresholds_seconds: dict[str, float]


def cluster_view(table: Table, now: float) -> ClusterView:
    """Give the view at the observed time ``now``; members are sorted by id."""
    quorum = table.quorum(now)
    return ClusterView(
        version=__version__,
        node=_node(table, now),
        quorum=QuorumView(
            voters=quorum.voters if quorum else None,
            quorum=quorum.quorum if quorum else None,
            voters_online=quorum.voters_online if quorum else None,
            failure_tolerance=quorum.failure_tolerance if quorum else None,
            configuration_index=table.configuration.index if table.configuration else None,
        ),
        members=tuple(_member(table, peer, member, now) for peer, member in sorted(table.members.items())),
        thresholds_seconds=table.policy.thresholds(),
    )


def _node(table: Table, now: float) -> NodeView:
    node, status, own = table.node, table.node.status, table.own
    leads = table.has_leader(now)
    return NodeView(
        id=node.id,
        address=node.address or None,
        up=table.up(now),
        role=table.role(now),
        term=own.term if own else None,
        leader=node.leader_id if leads else None,
        leader_address=node.leader_address if leads else None,
        leader_silence_seconds=table.leader_silence(now),
        main_loop_silence_seconds=table.main_loop_silence(now),
        last_log_index=own.last_log_index if own else None,
        commit_index=status.commit_index if status else None,
        applied_index=status.applied_index if status else None,
    )


def _member(table: Table, peer: str, member: Member, now: float) -> MemberView:
    verdict = member.verdict
    return MemberView(
        id=peer,
        address=member.server.address,
        suffrage=member.server.suffrage,
        own=peer == table.node.id,
        role=table.role_of(peer, now),
        state=verdict.state,
        reason=verdict.reason,
        since_seconds=max(now - verdict.since, 0.0),
        silence_seconds=SilenceView(
            heartbeat=member.heartbeat_silence(now),
            raft=member.main_loop_silence(now),
            any=member.silence(now),
        ),
        term=member.term,
        last_log_index=member.last_log_index,
    )
