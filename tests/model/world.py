"""What a member, and its sidecar, can do to a table for half an H: building blocks of random histories."""

from __future__ import annotations

from enum import Enum

from hypothesis import strategies as st
from msgspec import Struct

from raft_exporter.model.evidence import Evidence, Outcome, ProbeKind, ProbeResult, Role
from tests.model.story import (
    answered,
    dead,
    hears,
    leading,
    misses,
    probe,
    refused,
    report,
    row,
    status,
    unanswered,
)

PEERS = ("n2", "n3", "n4")


class Does(Enum):
    """What my probe of a member comes to."""

    NOTHING = "nothing"
    ANSWERS = "answers"
    REFUSES = "refuses"
    FREEZES = "freezes"
    DIES = "dies"
    MISLEADS = "misleads"
    FAILS = "fails"


class Says(Enum):
    """What a reporter says of each member that it is asked about."""

    NOTHING = "nothing"
    HEARS = "hears"
    HEARTBEATS = "heartbeats"
    MISSES = "misses"
    GONE = "gone"
    ISOLATED = "isolated"
    LATE = "late"


class Node(Enum):
    """What the own node says of itself."""

    NOTHING = "nothing"
    LEADS = "leads"
    FOLLOWS = "follows"


def probed(peer: str, does: Does) -> list[Evidence]:
    outcomes: dict[Does, list[Evidence]] = {
        Does.NOTHING: [],
        Does.ANSWERS: [probe(peer)],
        Does.REFUSES: [refused(peer)],
        Does.FREEZES: [unanswered(peer)],
        Does.DIES: [dead(peer)],
        Does.MISLEADS: [probe(peer, Outcome.BAD_ANSWER)],
        Does.FAILS: [probe(peer, Outcome.LOCAL_ERROR, host_age=None)],
    }
    return outcomes[does]


def reported(reporter: str, says: Says, of: str) -> list[Evidence]:
    reports: dict[Says, list[Evidence]] = {
        Says.NOTHING: [],
        Says.HEARS: [hears(reporter, of)],
        Says.HEARTBEATS: [report(reporter, row(of, silence=0.1, heartbeat=0.1, raft=30.0))],
        Says.MISSES: [misses(reporter, of)],
        Says.GONE: [report(reporter, row(reporter, refusals=3, refused_for=1.0))],
        Says.ISOLATED: [report(reporter, row(of, raft=0.1), isolated=True)],
        Says.LATE: [report(reporter, row(of, raft=0.1), age=2.5)],
    }
    return reports[says]


def node(says: Node, heartbeats: frozenset[str]) -> list[Evidence]:
    if says is Node.LEADS:
        return [leading(), *[answered(peer, age=0.05) for peer in sorted(heartbeats)]]
    return [status(Role.FOLLOWER, "n2")] if says is Node.FOLLOWS else []


SIDECAR = ProbeResult(peer="n3", kind=ProbeKind.SIDECAR, outcome=Outcome.OK, host_age=0.0)


class Scene(Struct, frozen=True):
    """For so many half H, the own node, my probes of each member and the reports of each stay as they are."""

    halves: int
    own: Node
    heartbeats: frozenset[str]
    does: tuple[Does, ...]
    says: tuple[Says, ...]
    of: str
    sidecar: bool

    def evidence(self) -> list[Evidence]:
        """All that comes in one half H."""
        told = node(self.own, self.heartbeats)
        for peer, action, word in zip(PEERS, self.does, self.says, strict=True):
            told += probed(peer, action)
            told += reported(peer, word, self.of)
        return [*told, SIDECAR] if self.sidecar else told


def scenes(does: type[Does] | list[Does] = Does) -> st.SearchStrategy[Scene]:
    return st.builds(
        Scene,
        halves=st.integers(1, 40),
        own=st.sampled_from(Node),
        heartbeats=st.frozensets(st.sampled_from(PEERS)),
        does=st.tuples(*[st.sampled_from(does) for _ in PEERS]),
        says=st.tuples(*[st.sampled_from(Says) for _ in PEERS]),
        of=st.sampled_from(PEERS),
        sidecar=st.booleans(),
    )
