"""What judging costs: one member, one tick, beside an empty function call in the same run."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from functools import partial
from typing import Final

import click

from bench._summary import finish, table
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
from raft_exporter.model.policy import Policy
from raft_exporter.model.table import Table

_SIZES: Final = (3, 5, 50)
_TICKS_A_SECOND: Final = 10
"""As the sidecar judges at H = 1 s."""
_JUDGEMENTS: Final = 3_000
"""Of one member, in one measurement."""


def filled(size: int, now: float) -> Table:
    """Give the table of a leader's sidecar, judged at ``now``: all kinds of members, and all report."""
    servers = tuple(Server(id=f"n{i}", address=f"127.0.0.1:{7000 + i}") for i in range(size))
    cluster = Table(Policy.of(1.0), static=(), now=0.0)
    cluster.take(NodeIdentity(id="n0", address=servers[0].address, heartbeat_timeout=1.0), 0.0)
    cluster.take(Configuration(servers=servers, index=1), 0.0)
    cluster.take(_status(), 0.0)
    for i, server in enumerate(servers):
        cluster.take(_probe(server.id, Outcome.OK), now - 4.0)
        conditions = _conditions(server.id)
        for age in (2.4, 1.8, 1.2, 0.6, 0.0):
            for evidence in conditions[i % len(conditions)]:
                cluster.take(evidence, now - age)
    cluster.take(_status(), now)
    kinds = len(_conditions("n0"))
    rows = tuple(
        ReportedMember(peer=each.id, silence=0.3, raft=0.3)
        if i % kinds == 0
        else ReportedMember(peer=each.id, silence=2.6)
        for i, each in enumerate(servers)
    )
    for server in servers[1:]:
        cluster.take(Report(reporter=server.id, members=rows), now)
    cluster.judge(now)
    return cluster


def _conditions(peer: str) -> tuple[tuple[Evidence, ...], ...]:
    """What comes from a member that is well, stuck, gone, silent, or somebody else."""
    buckets = (7, *[0] * len(BOUNDS))
    heartbeats = HeartbeatsAnswered(peer=peer, count=7, total=0.002, buckets=buckets)
    return (
        (heartbeats, _probe(peer, Outcome.OK)),
        (heartbeats, _probe(peer, Outcome.TIMEOUT, host_age=0.1)),
        (_probe(peer, Outcome.REFUSED, host_age=0.0),),
        (_probe(peer, Outcome.TIMEOUT),),
        (_probe(peer, Outcome.BAD_ANSWER, host_age=0.0),),
    )


def _probe(peer: str, outcome: Outcome, host_age: float | None = None) -> ProbeResult:
    if outcome is not Outcome.OK:
        return ProbeResult(peer=peer, kind=ProbeKind.RAFT, outcome=outcome, host_age=host_age)
    return ProbeResult(
        peer=peer,
        kind=ProbeKind.RAFT,
        outcome=outcome,
        round_trip=0.0002,
        host_age=0.0,
        term=2,
        last_log_index=9,
    )


def _status() -> NodeStatus:
    return NodeStatus(
        role=Role.LEADER,
        term=2,
        last_log_index=9,
        commit_index=9,
        applied_index=9,
        snapshot_index=0,
        fsm_pending=0,
        protocol_version=3,
        leader_id="n0",
        leader_address="127.0.0.1:7000",
        last_contact=None,
    )


def _nothing(_now: float) -> None:
    """What a call costs by itself."""


def _microseconds(call: Callable[[float], object], now: float, times: int) -> float:
    began = time.perf_counter()
    for _ in range(times):
        call(now)
    return (time.perf_counter() - began) / times * 1e6


def measure(size: int, n: int, judgements: int) -> dict[str, float]:
    """Measure ``n`` times, judging and the empty call in turn; the medians are given."""
    now = 20.0
    judge = partial(filled(size, now).judge)
    ticks = max(judgements // size, 1)
    costs, empties, ratios = [], [], []
    for _ in range(n):
        costs.append(_microseconds(judge, now, ticks) / size)
        empties.append(_microseconds(_nothing, now, judgements))
        ratios.append(costs[-1] / empties[-1])
    cost = statistics.median(costs)
    return {
        "microseconds": round(cost, 3),
        "empty_microseconds": round(statistics.median(empties), 4),
        "ratio": round(statistics.median(ratios), 1),
        "core_percent": round(cost * size * _TICKS_A_SECOND / 1e4, 4),
    }


@click.command(help=__doc__)
@click.option("--n", default=30, show_default=True, type=click.IntRange(min=1), help="Measurements of each.")
def main(n: int) -> None:
    """Measure every size of cluster and print what came of it."""
    measured = {size: measure(size, n, _JUDGEMENTS) for size in _SIZES}
    header = [
        "members",
        "us a member a tick",
        "us an empty call",
        "ratio",
        "% of a core at 10 ticks a second",
    ]
    rows = [
        [
            str(size),
            f"{cost['microseconds']:.2f}",
            f"{cost['empty_microseconds']:.3f}",
            f"{cost['ratio']:.0f}",
            f"{cost['core_percent']:.3f}",
        ]
        for size, cost in measured.items()
    ]
    finish(table(header, rows), {"n": n, "members": {str(size): cost for size, cost in measured.items()}})


if __name__ == "__main__":
    main()
