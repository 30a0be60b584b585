"""A table that is told a story, and the words to tell it with; H is one second."""

from __future__ import annotations

from raft_exporter.model.evidence import (
    Configuration,
    Evidence,
    HeartbeatsAnswered,
    NodeIdentity,
    NodeStatus,
    Outcome,
    ProbeKind,
    ProbeResult,
    Report,
    ReportedMember,
    Role,
    Server,
)
from raft_exporter.model.histogram import BOUNDS
from raft_exporter.model.judge import Reason, State, Verdict
from raft_exporter.model.policy import Policy
from raft_exporter.model.table import Table

N1, N2, N3, N4, N5 = (Server(id=f"n{i}", address=f"10.0.0.{i}:7000") for i in (1, 2, 3, 4, 5))
BUCKETS = (1,) + (0,) * len(BOUNDS)


class Story:
    """A table and its clock: n1 is the own node; every step says what came and when."""

    def __init__(self, *servers: Server, h: float = 1.0) -> None:
        self.now = 0.0
        self.table = Table(Policy.of(h), (), self.now)
        self.tell(NodeIdentity(id="n1", address=N1.address, heartbeat_timeout=h))
        self.tell(Configuration(servers=servers or (N1, N2, N3), index=1))

    def tell(self, *evidence: Evidence, at: float | None = None) -> None:
        self.now = self.now if at is None else at
        for each in evidence:
            self.table.take(each, self.now)

    def judge(self, at: float | None = None) -> dict[str, str]:
        self.now = self.now if at is None else at
        self.table.judge(self.now)
        return {peer: str(member.verdict.state) for peer, member in self.table.members.items()}

    def live(self, until: float, *evidence: Evidence, every: float = 0.5) -> list[tuple[float, State]]:
        """Tell the same again and again, judge each time; give when n3 (else n2, n1) went where."""
        watched = next(peer for peer in ("n3", "n2", "n1") if peer in self.table.members)
        began, steps = self.now, round((until - self.now) / every)
        seen = [(self.now, self.state(watched))]
        for step in range(1, steps + 1):
            self.tell(*evidence, at=round(began + step * every, 6))
            self.judge()
            if watched in self.table.members and self.state(watched) is not seen[-1][1]:
                seen.append((self.now, self.state(watched)))
        return seen[1:]

    def verdict(self, peer: str) -> Verdict:
        return self.table.members[peer].verdict

    def state(self, peer: str) -> State:
        return self.verdict(peer).state

    def reason(self, peer: str) -> Reason:
        return self.table.members[peer].verdict.reason


def status(
    role: Role = Role.FOLLOWER, leader: str = "n2", contact: float | None = 0.1, **more: object
) -> NodeStatus:
    facts: dict[str, object] = {
        "role": role,
        "term": 3,
        "last_log_index": 10,
        "commit_index": 9,
        "applied_index": 8,
        "snapshot_index": 0,
        "fsm_pending": 0,
        "protocol_version": 3,
        "leader_id": leader,
        "leader_address": "",
        "last_contact": contact,
    }
    return NodeStatus(**(facts | more))  # type: ignore[arg-type]


def leading(**more: object) -> NodeStatus:
    return status(Role.LEADER, "n1", None, **more)


def probe(
    peer: str, outcome: Outcome = Outcome.OK, host_age: float | None = 0.0, **more: object
) -> ProbeResult:
    if outcome is Outcome.OK:
        more = {"round_trip": 0.001, "term": 3, "last_log_index": 10} | more
    return ProbeResult(peer=peer, kind=ProbeKind.RAFT, outcome=outcome, host_age=host_age, **more)  # type: ignore[arg-type]


def answered(peer: str, age: float = 0.0, count: int = 1) -> HeartbeatsAnswered:
    return HeartbeatsAnswered(peer=peer, count=count, total=0.001, buckets=BUCKETS, age=age)


def refused(peer: str) -> ProbeResult:
    return probe(peer, Outcome.REFUSED)


def unanswered(peer: str, host_age: float | None = 0.0, waiting: float = 0.5) -> ProbeResult:
    return probe(peer, Outcome.TIMEOUT, host_age, waiting=None if host_age is None else waiting)


def row(peer: str, *, raft: float | None = None, **more: object) -> ReportedMember:
    """A reporter that had an answer ``raft`` seconds ago, or whatever else is said."""
    facts: dict[str, object] = {"silence": 0.0 if raft is None else raft, "raft": raft}
    return ReportedMember(peer=peer, **(facts | more))  # type: ignore[arg-type]


def report(reporter: str, *rows: ReportedMember, **more: object) -> Report:
    return Report(reporter=reporter, members=rows, **more)  # type: ignore[arg-type]


def hears(reporter: str, *peers: str, age: float = 0.1) -> Report:
    """A report that has just heard these members."""
    return report(reporter, *(row(peer, raft=age) for peer in peers))


def misses(reporter: str, *peers: str, silence: float = 5.0) -> Report:
    """A report that has not heard these members for so long."""
    return report(reporter, *(row(peer, silence=silence) for peer in peers))


def dead(peer: str) -> ProbeResult:
    """A probe that neither the member nor its host answers."""
    return unanswered(peer, host_age=None)
