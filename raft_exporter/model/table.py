"""The cluster state table: the node, its members, and what each source said of them.

It does no I/O and reads no clock: ``now``, the observed time in seconds, is passed in. Everything
that leaves the sidecar is a view of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from raft_exporter.model.evidence import (
    Configuration,
    Evidence,
    HeartbeatFailed,
    HeartbeatsAnswered,
    LeaderChanged,
    LeaderHeard,
    NodeIdentity,
    NodeStatus,
    ProbeKind,
    ProbeResult,
    Report,
    Role,
    RoleChanged,
    Server,
    StatusLost,
    Suffrage,
    TelemetryHeard,
)
from raft_exporter.model.intake import Intake
from raft_exporter.model.judge import NEVER, Reason, State
from raft_exporter.model.member import Channel, Context, Member
from raft_exporter.model.memory import MAX_AGE, Memory, RememberedMember, restored_verdict
from raft_exporter.model.node import Node
from raft_exporter.model.override import Override, shown_state
from raft_exporter.model.policy import Policy
from raft_exporter.model.quorum import Quorum, majority
from raft_exporter.model.reports import Reports, latest_configuration, of_another_cluster, testimony
from raft_exporter.model.transition import Transition

_TELEMETRY_GAP: Final = 3.0
"""Seconds: three of the ticks in which an idle node tells how busy its main loop is."""


class Table:
    """What is known of one cluster from one node.

    ``static`` are the members named by the operator: they stand until the node tells its configuration,
    and again never after. Invariant: ``members`` is the membership, no more and no less.
    """

    def __init__(self, policy: Policy, static: Sequence[Server], now: float) -> None:
        self.policy = policy
        self.started_at = now
        self.node = Node()
        self.intake = Intake()
        self.configuration: Configuration | None = None
        self.members: dict[str, Member] = {}
        self._reaching_since: float | None = None
        self.isolated = False
        """Whether this node reached no majority of the voters lately, as last judged."""
        self.reports = Reports()
        self.overrides: dict[str, Override] = {}
        """The overrides that stand at present, by member: they mask what is shown, never what is judged."""
        self._own_configuration: Configuration | None = None
        """What the node itself told last: the others are told nothing else, so that no rumour goes round."""
        self._began_anew = False
        """The node's log began anew, below what it told before, and what was known then still stands."""
        self._static = tuple(static)
        self._told_heartbeat_timeout: float | None = None
        self._memory: Memory | None = None
        self._memory_at = NEVER
        self._moved: list[Transition] = []
        self._set_members(now)

    def take(self, evidence: Evidence, now: float) -> None:
        """Take one piece of evidence at the observed time ``now``. Word of a stranger is passed over."""
        self.intake.heard |= not isinstance(evidence, NodeIdentity)
        match evidence:
            case ProbeResult():
                self._take_probe(evidence, now)
            case HeartbeatsAnswered():
                self._take_heartbeats(evidence, now)
            case HeartbeatFailed():
                if member := self.members.get(evidence.peer):
                    member.heartbeat_failures_total += 1
            case LeaderHeard():
                self._leader_heard(now - evidence.age)
            case TelemetryHeard():
                self.node.telemetry_at = max(self.node.telemetry_at, now - evidence.age)
            case NodeStatus():
                self._take_status(evidence, now)
            case StatusLost():
                self._lose_status()
            case RoleChanged() | LeaderChanged():
                self._take_edge(evidence, now - evidence.age)
            case NodeIdentity():
                self._take_identity(evidence, now)
            case Report():
                self._take_report(evidence, now)
            case _:
                self._take_configuration(evidence, now)

    def adopt(self, policy: Policy, static: Sequence[Server], now: float) -> None:
        """Go on with another policy and other static members; the HeartbeatTimeout that a node told stays."""
        told = self._told_heartbeat_timeout
        self.policy = policy if told is None else Policy.of(told, policy.multiples)
        self._static = tuple(static)
        self._set_members(now, grace=self.policy.join_grace)

    def judge(self, now: float) -> list[Transition]:
        """Judge every member and give what changed, those that joined or left since the last time first."""
        transitions, self._moved = self._moved, []
        channel = self._channel(now)
        self._judge_isolation(now, channel)
        credible = self.reports.credible(self.policy, now)
        needed = max(1, (len(self.members) - 1) // 2)
        for peer, member in self.members.items():
            told = testimony(peer, credible, self.policy, now)
            own = peer == self.node.id
            context = Context(
                channel=channel,
                installing_snapshot=told.installing_snapshot or (own and self._installing_snapshot(now)),
                isolated=self.isolated and not own,
                witness_at=told.witness_at,
                witness_main_loop_at=told.witness_main_loop_at,
                silent_reporters=told.silent_reporters,
                reporters_needed=needed,
                gone_at=told.gone_at,
            )
            before = member.verdict
            after = member.judge(self.policy, now, context)
            if after.state is not before.state:
                transitions.append(Transition(peer, before, after, member.evidence(context)))
        return transitions

    def report(self, now: float) -> Report | None:
        """Give this node's direct evidence for the other sidecars; None while it has no name."""
        if self.node.id is None:
            return None
        channel = self._channel(now)
        rows = [each.reported(self.policy, now, channel) for each in self.members.values()]
        return Report(
            reporter=self.node.id,
            members=tuple(row for row in rows if row is not None),
            isolated=self.isolated,
            installing_snapshot=self._installing_snapshot(now),
            heartbeat_timeout=self.policy.heartbeat_timeout,
            configuration=self._own_configuration,
        )

    def remember(self, now: float) -> Memory:
        """Give what is to be kept across a restart."""
        return Memory(
            node=self.node.id,
            members=tuple(
                RememberedMember(
                    server=member.server,
                    state=member.verdict.state,
                    reason=member.verdict.reason,
                    state_for=max(now - member.verdict.since, 0.0),
                    contact_age=member.contact_age(now),
                    down=member.verdict.down,
                    penalty=member.verdict.penalty_now(self.policy, now),
                    flapping=member.verdict.flapping,
                )
                for member in self.members.values()
            ),
        )

    def restore(self, memory: Memory, age: float, now: float) -> bool:
        """Seed the table, at its beginning, with what was remembered ``age`` seconds ago.

        Members that no source has told yet are taken from it, and every member known to it at the same
        address takes over what its verdict is still worth. False, and nothing is used, when it is older
        than an hour, from the future, or of another node.
        """
        if not 0 <= age <= MAX_AGE or self.node.id not in {None, memory.node}:
            return False
        self._memory, self._memory_at = memory, now - age
        for member in self.members.values():
            self._seed(member, now)
        self._set_members(now)
        return True

    def is_foreign(self, report: Report) -> bool:
        """Whether a report is of another cluster, whose servers may have the same ids."""
        return of_another_cluster(self._own_configuration or self.configuration, report.configuration)

    def shown_state(self, peer: str) -> State:
        """The state that is shown of a member: an override goes before the verdict."""
        return shown_state(self.members[peer].verdict.state, self.overrides.get(peer))

    def node_up(self, now: float) -> bool:
        """Whether the node itself spoke within three of its ticks (a HeartbeatTimeout, at most a second)."""
        tick = min(self.policy.heartbeat_timeout, 1.0)
        return now - self.node.status_at < 3 * tick

    def role(self, now: float) -> Role:
        """The node's own role; unknown when it has not said so lately."""
        return self.node.role if self.node_up(now) else Role.UNKNOWN

    def role_of(self, peer: str, now: float) -> Role:
        """The role of a member as last proved to this node: only the leader and the node itself are."""
        if peer == self.node.id:
            return self.role(now)
        leader = self.leader(now)
        if leader is None:
            return Role.UNKNOWN
        return Role.LEADER if peer == leader else Role.FOLLOWER

    def has_leader(self, now: float) -> bool:
        """Whether the node, heard lately, knows a leader, or was told by one that it is there."""
        heard = now - self.node.leader_heard_at < self.policy.suspect_after
        return self.leader(now) is not None or (self.node_up(now) and heard)

    def leader(self, now: float) -> str | None:
        """The leader that the node, heard lately, names; a name that is not repeated is not kept."""
        told = now - self.node.leader_told_at < max(self.policy.suspect_after, _TELEMETRY_GAP)
        return self.node.leader_id if self.node_up(now) and told and self.node.leader_id else None

    def leader_silence(self, now: float) -> float | None:
        """Seconds since a leader last proved itself to this node; None: none ever did.

        A follower's proof is its leader's word. A leader's proof is that its own main loop turns: one
        whose disk hangs goes on calling itself leader.
        """
        at = self.node.leader_proved_at
        own = self.own
        leads_unasked = self.node.role is Role.LEADER and (own is None or not own.answered)
        if at == NEVER or leads_unasked:
            return None
        return max(now - at, 0.0)

    def main_loop_silence(self, now: float) -> float | None:
        """Seconds since the own node's main loop last answered a probe; None: never probed."""
        member = self.own
        return None if member is None else member.main_loop_silence(now)

    @property
    def own(self) -> Member | None:
        """The own node as a member; None when its id is not known or it is not in the configuration."""
        return self.members.get(self.node.id) if self.node.id is not None else None

    def quorum(self, now: float) -> Quorum | None:
        """Count voters and majority as judged at present.

        None while that would be a guess: no member is known, or a voter has been known for less than
        ``suspect_after`` and nothing was heard of it yet, as right after the start.
        """
        voters = [each for each in self.members.values() if each.server.suffrage is Suffrage.VOTER]
        young = now - self.policy.suspect_after
        if not self.members or any(
            each.verdict.reason is Reason.NO_EVIDENCE and each.known_at > young for each in voters
        ):
            return None
        return Quorum.of(self.shown_state(each.server.id) is State.ONLINE for each in voters)

    def up(self, now: float) -> bool:
        """Whether the node was heard lately: by its status, or, where it tells none, by its probe."""
        if self.node.status is not None:
            return self.node_up(now)
        silence = None if self.own is None else self.own.process_silence(now)
        return silence is not None and silence < self.policy.suspect_after

    def _channel(self, now: float) -> Channel:
        """Tell whether heartbeats would be seen at present, and since when they might be on their way.

        Telemetry that stopped ends them all at once, which proves nothing about any member.
        """
        status = self.node.status
        if status is not None and status.heartbeats:
            return Channel(speaks=self.node_up(now))
        lag = max(now - self.node.telemetry_at, 0.0)
        return Channel(speaks=lag < max(self.policy.suspect_after, _TELEMETRY_GAP), lag=lag)

    def _judge_isolation(self, now: float, channel: Channel) -> None:
        """Find out whether this node reaches a majority of the voters, itself included.

        A refusal or an acknowledgement counts as reaching: it is the network that is in question. Leaving
        isolation arms every silence clock anew (without it, the healing of a network made false offlines).
        """
        voters = [each for each in self.members.values() if each.server.suffrage is Suffrage.VOTER]
        reached = sum(
            each.server.id == self.node.id or not each.missing(self.policy, now, channel) for each in voters
        )
        if voters and reached < majority(len(voters)):
            self.isolated, self._reaching_since = True, None
        elif self.isolated:
            since = self._reaching_since = now if self._reaching_since is None else self._reaching_since
            # While somebody is missing, for long enough that one heard now and then does not end it again
            # and again, with every clock armed anew.
            if reached == len(voters) or now - since >= 2 * self.policy.suspect_after:
                self.isolated = False
                for member in self.members.values():
                    member.rearm(now)

    def _installing_snapshot(self, now: float) -> bool:
        status = self.node.status
        return status is not None and status.installing_snapshot and self.node_up(now)

    def _take_report(self, report: Report, now: float) -> None:
        if report.reporter not in self.members or report.reporter == self.node.id:
            self.intake.rejected["report", "not_a_member"] += 1
            return
        if self.is_foreign(report):
            self.intake.rejected["report", "another_cluster"] += 1
            return
        self.reports.take(report, self.policy, now)
        self._choose_configuration(None if report.isolated else report.configuration, now)

    def _take_probe(self, result: ProbeResult, now: float) -> None:
        member = self.members.get(result.peer)
        if member is None:
            return
        member.probed(result, now, self.policy)
        loops = result.kind is ProbeKind.RAFT and result.round_trip is not None
        if loops and result.peer == self.node.id and self.node.role is Role.LEADER:
            self.node.leader_proved_at = max(self.node.leader_proved_at, now - result.age)

    def _take_heartbeats(self, evidence: HeartbeatsAnswered, now: float) -> None:
        member = self.members.get(evidence.peer)
        if member is None:
            return
        member.count_heartbeats(evidence)
        if self.node.role is Role.LEADER and now - evidence.age >= self.node.leader_since:
            member.heartbeats_answered(evidence, now, self.policy)

    def _take_status(self, status: NodeStatus, now: float) -> None:
        at = now - status.age
        self.node.status = status
        self.node.status_at = at
        self._set_role(status.role)
        if status.leader_id is not None:
            self._set_leader(status.leader_id, status.leader_address, at)
        elif (status.role is Role.LEADER) is not (self.node.leader_id == self.node.id):
            # Who leads needs no source that names the leader, and who led names nobody by that.
            leads = status.role is Role.LEADER
            self._set_leader(self.node.id or "" if leads else "", self.node.address if leads else "", at)
        if own := self.own:
            own.status_given(at, self.policy)
            if status.term is not None:
                own.term = status.term
            if status.last_log_index is not None:
                own.last_log_index = status.last_log_index
        if status.last_contact is None or status.role is not Role.FOLLOWER:
            return
        self._leader_spoke(at - status.last_contact)

    def _leader_heard(self, at: float) -> None:
        self.node.leader_heard_at = max(self.node.leader_heard_at, at)
        if self.node.role is Role.FOLLOWER:
            self._leader_spoke(at)
            if not self.node.leader_id:
                self.node.leader_proved_at = max(self.node.leader_proved_at, at)

    def _leader_spoke(self, at: float) -> None:
        leader = self.members.get(self.node.leader_id)
        # Granting a vote counts as contact too: only word that came under this leader is its own.
        if leader is not None and at >= self.node.leader_since:
            leader.contacted(at, self.policy)
            self.node.leader_proved_at = max(self.node.leader_proved_at, at)

    def _take_edge(self, edge: RoleChanged | LeaderChanged, at: float) -> None:
        if at < self.node.introduced_at:
            return  # queued while nobody listened: the status told since knows better
        if isinstance(edge, RoleChanged):
            if edge.role is Role.LEADER is not self.node.role and (own := self.own):
                # It leads in a later term than was told last: with that, there would be two leaders in one.
                own.term = None
            self._set_role(edge.role)
        else:
            self._set_leader(edge.leader_id, edge.leader_address, at)

    def _lose_status(self) -> None:
        self.node.status_at = NEVER
        if own := self.own:
            own.drop_status()
        self._set_role(Role.UNKNOWN)

    def _set_role(self, role: Role) -> None:
        if self.node.set_role(role):
            self._drop_heartbeats()

    def _set_leader(self, leader_id: str, address: str, at: float) -> None:
        if self.node.set_leader(leader_id, address, at):
            self._drop_heartbeats()

    def _drop_heartbeats(self) -> None:
        for member in self.members.values():
            member.drop_heartbeats()

    def _take_identity(self, identity: NodeIdentity, now: float) -> None:
        if self._memory is not None and self._memory.node not in {None, identity.id}:
            self._forget_memory(now)
        if identity.id != self.node.id:
            self._reaching_since = NEVER
        # A source that knows the id alone does not unsay the address.
        kept = self.node.address if identity.id == self.node.id else ""
        self.node.id = identity.id
        self.node.address = identity.address or kept
        self.node.introduced_at = now
        if identity.heartbeat_timeout is not None:
            self._told_heartbeat_timeout = identity.heartbeat_timeout
            self.policy = Policy.of(identity.heartbeat_timeout, self.policy.multiples)
        self._set_members(now)

    def _take_configuration(self, configuration: Configuration, now: float) -> None:
        if not configuration.servers:
            return  # a node that was never bootstrapped knows no cluster yet
        before, self._own_configuration = self._own_configuration, configuration
        if before is not None and latest_configuration(configuration, before) is before:
            self._began_anew = True
        known = self.configuration
        if known is None or latest_configuration(configuration, known) is not known:
            self._began_anew = False
            self._set_configuration(configuration, now)
        else:  # another node told a later one
            self._choose_configuration(None, now)

    def _choose_configuration(self, told: Configuration | None, now: float) -> None:
        """Go over to what a reporter told, if it is later than what is known.

        When the node's log began anew, it is what the node and the credible reporters say at present: a
        cluster that was bootstrapped anew counts from one again, and the old one must not stand for ever.
        """
        known = self.configuration
        latest = latest_configuration(known, told)
        if self._began_anew:
            latest = self._own_configuration
            for held in self.reports.credible(self.policy, now).values():
                latest = latest_configuration(latest, held.report.configuration)
            self._began_anew = latest is not self._own_configuration
        if latest is not None and latest is not known:
            self._set_configuration(latest, now)

    def _set_configuration(self, configuration: Configuration, now: float) -> None:
        known = self.configuration
        if known is None or configuration.servers != known.servers:
            self._drop_heartbeats()
            self._reaching_since = NEVER  # another majority is asked for: no network has healed
        self.configuration = configuration
        self._set_members(now, grace=None if known is None else self.policy.join_grace)

    def _set_members(self, now: float, grace: float | None = None) -> None:
        """Go over to the present membership; who is new to it joins late where ``grace`` is given."""
        servers = self.configuration.servers if self.configuration else self._static_servers()
        wanted = {server.id: server for server in servers}
        for peer in [peer for peer in self.members if peer not in wanted]:
            member = self.members.pop(peer)
            self._memory = self._memory and self._memory.without(peer)
            self.reports.forget(peer)
            self._moved.append(Transition(peer=peer, before=member.verdict, after=None))
        for peer, server in wanted.items():
            known = self.members.get(peer)
            if known is None:
                self._add_member(server, now, grace)
                continue
            if known.server.address != server.address:
                known.reset(now)
                self.reports.forget(peer)
            known.server = server
        self.reports.keep_only(self.members)

    def _add_member(self, server: Server, now: float, grace: float | None) -> None:
        member = self.members[server.id] = Member(server, now, grace or 0.0)
        self._seed(member, now)
        if grace is not None:
            self._moved.append(Transition(peer=server.id, before=None, after=member.verdict))

    def _seed(self, member: Member, now: float) -> None:
        """Give a member what was remembered of it at the same address."""
        age = now - self._memory_at
        remembered = self._memory.members if self._memory and age <= MAX_AGE else ()
        for known in remembered:
            if known.server.id == member.server.id and known.server.address == member.server.address:
                member.restore(restored_verdict(known, age, now), known.contact_age, age, now)

    def _forget_memory(self, now: float) -> None:
        """It was of another node: what it gave is taken back."""
        self._memory = None
        for peer in list(self.members):
            self.members[peer] = Member(self.members[peer].server, now)

    def _static_servers(self) -> tuple[Server, ...]:
        """The members while no source tells them: those the operator names, else those remembered."""
        node = self.node
        servers = self._static
        if not servers and self._memory is not None:
            servers = tuple(each.server for each in self._memory.members)
        if node.id is None or any(server.id == node.id for server in servers):
            return servers
        return (Server(id=node.id, address=node.address), *servers)
