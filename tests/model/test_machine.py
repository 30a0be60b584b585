"""A cluster's random life, told to a table and judged ten times in an H: what holds at every tick."""

from __future__ import annotations

from collections import Counter

from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from raft_exporter.model.evidence import (
    Configuration,
    Evidence,
    HeartbeatsAnswered,
    LeaderChanged,
    NodeIdentity,
    NodeStatus,
    Outcome,
    ProbeKind,
    ProbeResult,
    Report,
    Role,
    RoleChanged,
    Server,
    StatusLost,
)
from raft_exporter.model.judge import Reason, State, Verdict
from raft_exporter.model.policy import Policy
from raft_exporter.model.table import Table
from raft_exporter.model.transition import Transition
from tests.model.story import N1, N2, N3, N4
from tests.model.world import PEERS, Does, Node, Says, Scene, probed, scenes

POLICY = Policy.of(1.0)
RANK = {State.ONLINE: 0, State.SUSPECT: 1, State.ASYMMETRIC: 2, State.STALLED: 2, State.OFFLINE: 3}
SILENCE = {Reason.SILENT_FOR_ALL: POLICY.gone_after, Reason.PROCESS_SILENT: POLICY.stall_after}
"""The reasons to be offline that are silence, and how much of it each takes at least."""
HARD = {Reason.REFUSED, Reason.PROCESS_GONE}
EPSILON = 1e-6


class Cluster(RuleBasedStateMachine):
    """The table beside its shadow: what is known of it from what was told and given away alone."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.table = Table(POLICY, (), 0.0)
        self.told: list[tuple[float, Evidence | None]] = []
        self.given: list[list[Transition]] = []
        self.index = 0
        self.servers: dict[str, Server] = {}
        self.verdicts: dict[str, Verdict] = {}
        self.counts: dict[str, Counter[State]] = {}
        self.turned: dict[str, tuple[State, State, float]] = {}
        self.armed: dict[str, float] = {}
        """By member the latest of: known, moved, isolation left."""
        self.word: dict[str, float] = {}
        """When anything was told last that may be a success of this member."""
        self.reports: dict[str, tuple[float, Report]] = {}

    # what happens

    @initialize(full=st.booleans())
    def begin(self, full: bool) -> None:
        self.tell(NodeIdentity(id="n1", address=N1.address, heartbeat_timeout=1.0))
        self.configure([N1, N2, N3, N4] if full else [N1, N2])

    @rule(scene=scenes())
    def live(self, scene: Scene) -> None:
        for _ in range(scene.halves):
            self.tell(*scene.evidence())
            self.tick(5)

    @rule(scene=scenes([Does.ANSWERS, Does.ANSWERS, Does.ANSWERS, Does.DIES, Does.FREEZES, Does.REFUSES]))
    def live_mostly_well(self, scene: Scene) -> None:
        self.live(scene)

    @rule(ticks=st.integers(1, 60))
    def hear_nothing(self, ticks: int) -> None:
        self.tick(ticks)

    @rule(peer=st.sampled_from(("n1", *PEERS)), does=st.sampled_from(Does), ticks=st.integers(0, 12))
    def probe_once(self, peer: str, does: Does, ticks: int) -> None:
        self.tell(*probed(peer, does))
        self.tick(ticks)

    @rule(role=st.sampled_from(Role), leader=st.sampled_from(("", "n1", "n2", "n3", "n9")))
    def change_leadership(self, role: Role, leader: str) -> None:
        self.tell(RoleChanged(role=role), LeaderChanged(leader_id=leader, leader_address=""))
        self.tick(1)

    @rule()
    def lose_status(self) -> None:
        self.tell(StatusLost())
        self.tick(1)

    @rule(stay=st.frozensets(st.sampled_from((N2, N3, N4))), moved=st.frozensets(st.sampled_from(PEERS)))
    def reconfigure(self, stay: frozenset[Server], moved: frozenset[str]) -> None:
        servers = [
            Server(id=each.id, address=f"10.9.{self.index}.1:7000") if each.id in moved else each
            for each in sorted(stay, key=lambda server: server.id)
        ]
        self.configure([N1, *servers])

    # how it is told and kept

    def tell(self, *evidence: Evidence) -> None:
        for each in evidence:
            self.told.append((self.now, each))
            self.table.take(each, self.now)
            match each:
                case ProbeResult(kind=ProbeKind.RAFT, outcome=Outcome.OK) | HeartbeatsAnswered():
                    self.word[each.peer] = self.now
                case NodeStatus(leader_id=str(leader)):
                    self.word["n1"] = self.word[leader] = self.now
                case Report():
                    if each.reporter in self.servers:
                        self.reports[each.reporter] = (self.now - each.age, each)

    def configure(self, servers: list[Server]) -> None:
        self.index += 1
        wanted = {each.id: each for each in servers}
        for peer in self.servers.keys() | wanted.keys():
            before, after = self.servers.get(peer), wanted.get(peer)
            if before is not None and after is not None and before.address == after.address:
                continue
            self.armed[peer] = self.now
            for reporter, (at, report) in list(self.reports.items()):
                rows = tuple(row for row in report.members if row.peer != peer)
                self.reports[reporter] = (at, Report(reporter, rows, report.isolated))
            if after is None:
                self.reports.pop(peer, None)
        first = not self.servers
        self.servers = wanted
        self.tell(Configuration(servers=tuple(servers), index=self.index))
        if first:
            for peer in wanted:
                self.verdicts[peer] = self.table.members[peer].verdict
                self.counts[peer] = Counter()
        self.tick(1)

    def tick(self, times: int) -> None:
        for _ in range(times):
            self.now = round(self.now + 0.1, 6)
            was_isolated = self.table.isolated
            self.told.append((self.now, None))
            transitions = self.table.judge(self.now)
            self.given.append(transitions)
            if was_isolated and not self.table.isolated:
                self.armed = dict.fromkeys(self.armed, self.now)
            for each in transitions:
                self.follow(each)
            self.check()

    def follow(self, change: Transition) -> None:
        peer, before, after = change.peer, change.before, change.after
        if after is None:
            known = self.verdicts.pop(peer)
            assert before is not None
            assert (before.state, before.since) == (known.state, known.since)
            del self.counts[peer]
            self.turned.pop(peer, None)
            return
        if before is None:
            assert (after.state, after.reason) == (State.UNKNOWN, Reason.NO_EVIDENCE)
            self.verdicts[peer], self.counts[peer] = after, Counter()
            return
        known = self.verdicts[peer]
        assert (before.state, before.since) == (known.state, known.since)
        assert after.state is not before.state
        assert after.since == self.now
        self.counts[peer][after.state] += 1
        self.dwell(peer, before, after)
        if after.state is State.OFFLINE:
            self.fall(peer, before, after)
        self.verdicts[peer] = after

    # what holds at a change

    def dwell(self, peer: str, before: Verdict, after: Verdict) -> None:
        """From online to worse and back, from offline to milder and back: at least the dwell lies between."""
        if State.UNKNOWN in {before.state, after.state}:
            self.turned.pop(peer, None)
            return
        last = self.turned.get(peer)
        ends = {before.state, after.state} & {State.ONLINE, State.OFFLINE}
        if last is not None and ends and (after.state, before.state) == last[:2]:
            assert self.now - last[2] >= POLICY.dwell - EPSILON
        self.turned[peer] = (before.state, after.state, self.now)

    def fall(self, peer: str, before: Verdict, after: Verdict) -> None:
        """Offline by hard evidence, or by a silence that nobody explains."""
        assert after.reason in {*SILENCE, *HARD}
        assert after.penalty_now(POLICY, self.now) - before.penalty_now(POLICY, self.now) < 1 + EPSILON
        if before.down:
            assert after.penalty == before.penalty
        if after.reason in HARD:
            return
        quiet_since = max(self.armed[peer], self.table.members[peer].contact_at)
        assert self.now - quiet_since >= SILENCE[after.reason] - EPSILON
        assert peer == "n1" or not self.table.isolated
        for at, report in self.reports.values():
            if report.isolated or self.now - at >= POLICY.suspect_after:
                continue
            for row in report.members:
                ages = [age for age in (row.heartbeat, row.raft) if age is not None]
                if row.peer == peer and ages:
                    assert self.now - at + min(ages) >= POLICY.suspect_after - EPSILON

    # what holds at every tick

    def check(self) -> None:
        members = self.table.members
        assert members.keys() == self.servers.keys() == self.verdicts.keys()
        held = self.table.reports.latest()
        assert held.keys() <= members.keys()
        for peer, member in members.items():
            verdict, known = member.verdict, self.verdicts[peer]
            assert (verdict.state, verdict.since) == (known.state, known.since)
            assert 0 <= verdict.since <= self.now
            assert member.transitions == self.counts[peer]
            assert member.server == self.servers[peer]
            assert verdict.down or verdict.state is not State.OFFLINE
            assert verdict.flapping or verdict.penalty_now(POLICY, self.now) <= POLICY.flapping_above
            silence = self.now - max(self.armed[peer], self.word.get(peer, 0.0))
            dwells = self.now - verdict.since < POLICY.dwell + EPSILON
            assert verdict.state is not State.ONLINE or silence < POLICY.suspect_after + EPSILON or dwells
            if self.table.isolated and peer != "n1" and silence >= POLICY.suspect_after:
                assert verdict.state not in {State.SUSPECT, State.ASYMMETRIC, State.ONLINE} or (
                    verdict.reason is Reason.REFUSED
                )

    def teardown(self) -> None:
        """The same told at the same times is judged the same."""
        again = Table(POLICY, (), 0.0)
        given = []
        for now, evidence in self.told:
            if evidence is None:
                given.append(again.judge(now))
            else:
                again.take(evidence, now)
        assert given == self.given
        assert {peer: each.verdict for peer, each in again.members.items()} == {
            peer: each.verdict for peer, each in self.table.members.items()
        }


Cluster.TestCase.settings = settings(
    max_examples=40,
    stateful_step_count=12,
    report_multiple_bugs=False,
    phases=[Phase.generate],
)
TestCluster = Cluster.TestCase


def test_such_a_life_reaches_every_state() -> None:
    """The machine above would hold little if its worlds were dull."""
    cluster = Cluster()
    cluster.begin(full=True)
    well, quiet = (Does.ANSWERS,) * 3, (Says.NOTHING,) * 3
    for does, says in (
        ((*well[:2], Does.REFUSES), quiet),
        ((*well[:2], Does.DIES), (Says.HEARS, Says.NOTHING, Says.NOTHING)),
        ((*well[:2], Does.FREEZES), quiet),
        ((Does.DIES,) * 3, quiet),
    ):
        for each in (
            Scene(40, Node.LEADS, frozenset(), does, says, "n4", sidecar=False),
            Scene(40, Node.LEADS, frozenset(PEERS), well, quiet, "n4", sidecar=False),
        ):
            cluster.live(each)
    assert set(cluster.counts["n4"]) == set(State)
    cluster.teardown()
