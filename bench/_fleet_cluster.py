"""A cluster of five as its sidecars export it: real tables, fed once a second as the sources would do it."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from typing import Final

import yaml
from prometheus_client import CollectorRegistry, generate_latest

from raft_exporter.exposition import TableCollector, registry_of
from raft_exporter.metrics import METRICS
from raft_exporter.model.evidence import (
    Configuration,
    Evidence,
    HeartbeatFailed,
    HeartbeatsAnswered,
    NodeIdentity,
    NodeStatus,
    Outcome,
    ProbeKind,
    ProbeResult,
    Role,
    Server,
    StatusLost,
)
from raft_exporter.model.histogram import BOUNDS
from raft_exporter.model.policy import Policy
from raft_exporter.model.table import Table

NODES: Final = ("n1", "n2", "n3", "n4", "n5")
_LEADER: Final = NODES[0]
VICTIM: Final = NODES[-1]
"""Whose process is killed, in a cluster that has a fault."""
_SERVERS: Final = tuple(Server(id=node, address=f"10.0.0.{node[1:]}:7000") for node in NODES)
_WELL: Final = 60
"""Turns for which every cluster is well, and for which a fault has lasted, before it is first looked at."""
_NAME: Final = re.compile(r"(?:# (?:HELP|TYPE) )?(\w+?)(?:_bucket|_sum|_count)?\b")


class SyntheticCluster:
    """Five sidecars beside one leader and four followers, one of which is dead where ``faulty``."""

    def __init__(self, *, faulty: bool) -> None:
        self._turns = 0
        self._down = False
        self._tables = {node: Table(Policy.of(1.0), static=(), now=0.0) for node in NODES}
        self._registries = {node: self._registry(table) for node, table in self._tables.items()}
        for node, table in self._tables.items():
            address = _SERVERS[NODES.index(node)].address
            table.intake.up["observer"] = True
            table.take(NodeIdentity(id=node, address=address, heartbeat_timeout=1.0), 0.0)
            table.take(Configuration(servers=_SERVERS, index=1), 0.0)
        for down in (False, faulty):
            self._down = down
            for _ in range(_WELL):
                self.turn()

    def turn(self) -> None:
        """Let one second pass: every source speaks, and every sidecar judges."""
        self._turns += 1
        now = float(self._turns)
        reports = [report for table in self._tables.values() if (report := table.report(now)) is not None]
        for node, table in self._tables.items():
            for evidence in self._of_node(node):
                table.take(evidence, now)
            for report in reports:
                if report.reporter != node:
                    table.take(report, now)
                    table.take(_answered(report.reporter, ProbeKind.SIDECAR), now)
            for peer in NODES:
                table.take(self._probe(peer), now)
            table.judge(now)

    def text(self, node: str) -> str:
        """What the node's sidecar answers to Prometheus."""
        return generate_latest(self._registries[node]).decode()

    def _registry(self, table: Table) -> CollectorRegistry:
        collector = TableCollector(
            table,
            now=lambda: float(self._turns),
            perf=time.perf_counter,
            wall=time.time,
            lag=lambda: 0.0,
            store_errors=lambda: 0,
        )
        return registry_of(collector)

    def _of_node(self, node: str) -> Iterator[Evidence]:
        """What the node itself tells: its status, and the leader its heartbeats."""
        if self._down and node == VICTIM:
            yield StatusLost()
            return
        leads = node == _LEADER
        index = 10 * self._turns
        yield NodeStatus(
            role=Role.LEADER if leads else Role.FOLLOWER,
            term=2,
            last_log_index=index,
            commit_index=index,
            applied_index=index,
            snapshot_index=0,
            fsm_pending=0,
            protocol_version=3,
            leader_id=_LEADER,
            leader_address=_SERVERS[0].address,
            last_contact=None if leads else 0.05,
        )
        for peer in NODES[1:] if leads else ():
            if self._down and peer == VICTIM:
                yield HeartbeatFailed(peer=peer)
            else:
                buckets = (7, *[0] * len(BOUNDS))
                yield HeartbeatsAnswered(peer=peer, count=7, total=0.002, buckets=buckets)

    def _probe(self, peer: str) -> ProbeResult:
        if self._down and peer == VICTIM:
            return ProbeResult(peer=peer, kind=ProbeKind.RAFT, outcome=Outcome.REFUSED, host_age=0.0)
        return _answered(peer, ProbeKind.RAFT, term=2, last_log_index=10 * self._turns)


def _answered(
    peer: str, kind: ProbeKind, term: int | None = None, last_log_index: int | None = None
) -> ProbeResult:
    return ProbeResult(
        peer=peer,
        kind=kind,
        outcome=Outcome.OK,
        round_trip=0.0002,
        host_age=0.0,
        term=term,
        last_log_index=last_log_index,
    )


def read_by(rules: str) -> frozenset[str]:
    """Give the metrics that the rules of a rule file read, the queries of their annotations included."""
    words = {
        word
        for group in yaml.safe_load(rules)["groups"]
        for rule in group["rules"]
        for text in (rule["expr"], *rule.get("annotations", {}).values())
        for word in re.findall(r"(\w+?)(?:_bucket|_sum|_count)?\b", text)
    }
    return frozenset(metric.name for metric in METRICS if metric.name in words)


def only(text: str, names: frozenset[str]) -> str:
    """Give an exposition without the families that are not named."""
    lines = text.splitlines(keepends=True)
    return "".join(line for line in lines if (found := _NAME.match(line)) and found[1] in names)


def series(text: str) -> int:
    """How many series an exposition has."""
    return sum(not line.startswith("#") for line in text.splitlines())
