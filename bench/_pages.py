"""The faults of the paging benchmark, who is told of each, and what a page waits for."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from msgspec import Struct

from bench._witness import Word
from raft_exporter.demo.cluster import Cluster, Node
from raft_exporter.model.judge import State

PHASES: Final = ("detection", "hold", "scrape", "evaluation", "for", "routing", "total")
"""What a page waits for, one after the other: until most sidecars have the verdict, until it has stood as
long as the alert asks (join_grace), until Prometheus has scraped it, until the rules have been evaluated, for
the alert's ``for``, and for Alertmanager (group_wait)."""


class Page(Struct, frozen=True):
    """An alert, its receiver, the sidecars' verdict that it stands on, and how it is seen in Prometheus.

    ``record`` is the recording rule whose expression, evaluated at any time, tells whether the evidence is
    there: at least ``least`` of it. ``holds`` is whether the verdict has to last.
    """

    alert: str
    receiver: str
    verdict: State
    record: str
    least: int
    holds: bool = False


LOST: Final = "cluster_peer:raft_voter_lost:bool"
GONE: Final = Page(
    "RaftPeerOffline", "ticket", State.OFFLINE, "cluster_peer:raft_offline_votes:sum", 2, holds=True
)


class Fault(Struct, frozen=True):
    """What is done to a cluster, giving those that it is done to; and who is told what."""

    strike: Callable[[Cluster], list[Node]]
    pages: Sequence[Page]


def kill_follower(cluster: Cluster) -> list[Node]:
    """``kill -9`` of a follower."""
    victim = cluster.followers()[0]
    victim.kill()
    return [victim]


def freeze_leader(cluster: Cluster) -> list[Node]:
    """``kill -STOP`` of the leader."""
    victim = cluster.leader()
    victim.freeze()
    return [victim]


def stall_leader(cluster: Cluster) -> list[Node]:
    """The leader's log store hangs, and so does the one write that it takes next."""
    victim = cluster.leader()
    victim.fault("log", "stall")
    threading.Thread(target=victim.put, args=("bench", "hangs")).start()
    return [victim]


def lose_quorum(cluster: Cluster) -> list[Node]:
    """``kill -9`` of two of three."""
    victims = cluster.followers()
    for victim in victims:
        victim.kill()
    return victims


FAULTS: Final = {
    "kill of a follower": Fault(
        kill_follower, [Page("RaftQuorumAtRisk", "pager", State.OFFLINE, LOST, 1, holds=True), GONE]
    ),
    "frozen leader": Fault(
        freeze_leader, [Page("RaftQuorumAtRisk", "pager", State.OFFLINE, LOST, 1, holds=True), GONE]
    ),
    "stalled leader store": Fault(
        stall_leader,
        [
            Page(
                "RaftLeaderStalled",
                "pager",
                State.STALLED,
                "cluster_peer:raft_leader_stalled_votes:sum",
                2,
            )
        ],
    ),
    "loss of quorum": Fault(
        lose_quorum,
        [Page("RaftQuorumLost", "pager", State.OFFLINE, "cluster_peer:raft_voter_down:bool", 2)],
    ),
}


class Moments(Struct, frozen=True):
    """When what happened, Unix time in seconds."""

    fault: float
    verdict: float
    evidence: float
    pending: float
    firing: float
    told: float


def split(moments: Moments, hold: float) -> dict[str, float]:
    """Give the seconds of each of :data:`PHASES`; what is not later than what it follows takes no time."""
    m = moments
    stood = m.verdict + hold
    steps = (m.fault, m.verdict, stood, m.evidence, m.pending, m.firing, m.told)
    spans = {
        phase: max(after - before, 0.0)
        for phase, before, after in zip(PHASES, steps, steps[1:], strict=False)
    }
    return {**spans, "total": m.told - m.fault}


def verdict_of_most(
    said: Iterable[Iterable[Word]], victims: Iterable[str], state: State, since: float
) -> float:
    """When most of the sidecars had that verdict about the last of the victims; ``said`` is by sidecar."""
    logs = [list(spoken) for spoken in said]
    times = []
    for victim in victims:
        firsts = sorted(
            min((w.at for w in log if w.peer == victim and w.state is state and w.at >= since), default=1e12)
            for log in logs
        )
        times.append(firsts[len(logs) // 2])
    return max(times)
