"""The table as one frozen value: what the API answers, and what page and terminal show.

Ages and silences are in seconds; null is what is not known.
"""

from __future__ import annotations

from msgspec import Struct

from raft_exporter import __version__
from raft_exporter.model.evidence import Role, Suffrage
from raft_exporter.model.judge import Reason, State
from raft_exporter.model.member import Member
from raft_exporter.model.reports import hold
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
    isolated: bool
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
    sidecar: float | None
    report: float | None
    any: float


class OverrideView(Struct, frozen=True):
    """The operator's word that masks a member's state."""

    state: str
    reason: str
    author: str
    expires_in_seconds: float


class MemberView(Struct, frozen=True):
    """One member as this sidecar judges it.

    ``state`` is what is shown; it differs from ``judged_state`` only where an ``override`` says so.
    ``reason`` and ``since_seconds`` are of the judged state.
    """

    id: str
    address: str
    suffrage: Suffrage
    own: bool
    role: Role
    state: State
    judged_state: State
    reason: Reason
    since_seconds: float
    flapping: bool
    restored: bool
    override: OverrideView | None
    silence_seconds: SilenceView
    term: int | None
    last_log_index: int | None


class SightView(Struct, frozen=True):
    """What one node itself sees of one member: ``seen`` is a direct success within ``suspect_after``."""

    seen: bool
    silence_seconds: float
    refused: bool


class ReporterView(Struct, frozen=True):
    """Whom one node sees, by its sidecar's latest report, or by this sidecar itself.

    A report is ``credible`` when it is younger than ``suspect_after`` and its node is not isolated.
    """

    id: str
    age_seconds: float
    isolated: bool
    credible: bool
    sees: dict[str, SightView]


class ClusterView(Struct, frozen=True):
    """What one sidecar knows and judges, at one moment."""

    version: str
    node: NodeView
    quorum: QuorumView
    members: tuple[MemberView, ...]
    reporters: tuple[ReporterView, ...]
    thresholds_seconds: dict[str, float]


def cluster_view(table: Table, now: float, wall: float) -> ClusterView:
    """Give the view at the observed time ``now``, Unix time ``wall``; members are sorted by id."""
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
        members=tuple(
            _member(table, peer, member, now, wall) for peer, member in sorted(table.members.items())
        ),
        reporters=_reporters(table, now),
        thresholds_seconds=table.policy.thresholds(),
    )


def _node(table: Table, now: float) -> NodeView:
    node, status, own = table.node, table.node.status, table.own
    leader = table.leader(now)
    return NodeView(
        id=node.id,
        address=node.address or None,
        up=table.up(now),
        role=table.role(now),
        term=own.term if own else None,
        leader=leader,
        leader_address=node.leader_address if leader is not None else None,
        leader_silence_seconds=table.leader_silence(now),
        main_loop_silence_seconds=table.main_loop_silence(now),
        isolated=table.isolated,
        last_log_index=own.last_log_index if own else None,
        commit_index=status.commit_index if status else None,
        applied_index=status.applied_index if status else None,
    )


def _reporters(table: Table, now: float) -> tuple[ReporterView, ...]:
    """Who sees whom: the own node and every other that has reported, by id."""
    held = table.reports.latest()
    own = table.report(now)
    if own is not None:
        held[own.reporter] = hold(own, table.policy, now)
    credible = table.reports.credible(table.policy, now).keys()
    return tuple(
        ReporterView(
            id=reporter,
            age_seconds=max(now - each.at, 0.0),
            isolated=each.report.isolated,
            credible=reporter in credible or (reporter == table.node.id and not table.isolated),
            sees={
                peer: SightView(
                    seen=now - sight.success_at < table.policy.suspect_after,
                    silence_seconds=max(now - sight.silent_since, 0.0),
                    refused=sight.refused,
                )
                for peer, sight in sorted(each.sights.items())
                if peer in table.members
            },
        )
        for reporter, each in sorted(held.items())
    )


def _member(table: Table, peer: str, member: Member, now: float, wall: float) -> MemberView:
    verdict = member.verdict
    override = table.overrides.get(peer)
    return MemberView(
        id=peer,
        address=member.server.address,
        suffrage=member.server.suffrage,
        own=peer == table.node.id,
        role=table.role_of(peer, now),
        state=table.shown_state(peer),
        judged_state=verdict.state,
        reason=verdict.reason,
        since_seconds=max(now - verdict.since, 0.0),
        flapping=verdict.flapping,
        restored=verdict.restored,
        override=OverrideView(
            state=override.state,
            reason=override.reason,
            author=override.author,
            expires_in_seconds=max(override.expires_at - wall, 0.0),
        )
        if override
        else None,
        silence_seconds=SilenceView(
            heartbeat=member.heartbeat_silence(now),
            raft=member.main_loop_silence(now),
            sidecar=member.sidecar_silence(now),
            report=member.report_silence(now),
            any=member.silence(now),
        ),
        term=member.term,
        last_log_index=member.last_log_index,
    )
