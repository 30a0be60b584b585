"""One cluster as Prometheus sees it: what each of its sidecars exports, and verbs that change it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from typing import Final

from raft_exporter import metrics
from raft_exporter.model.evidence import Role, Suffrage
from raft_exporter.model.judge import State
from raft_exporter.model.override import FORCED, IGNORE
from raft_exporter.model.policy import Policy

STATES: Final = (State.ONLINE, State.STALLED, State.OFFLINE, State.ASYMMETRIC)
THRESHOLDS: Final = (
    "heartbeat_timeout",
    "suspect_after",
    "gone_after",
    "alone_after",
    "stall_after",
    "join_grace",
)
_LABELS: Final = {metric.name: set(metric.labels) for metric in metrics.METRICS}

Labels = tuple[tuple[str, str], ...]
Series = tuple[str, Labels]
"""A metric's name and its labels, sorted."""


@dataclass(frozen=True)
class Line:
    """A value that grows by ``slope`` a second from ``value`` at ``since``."""

    value: float
    slope: float = 0.0
    since: float = 0.0

    def at(self, now: float) -> float:
        """Give the value at ``now``."""
        return self.value + self.slope * (now - self.since)


@dataclass
class Sidecar:
    """One sidecar, as Prometheus sees it."""

    node: str
    up: bool = True
    series: dict[Series, Line] = field(default_factory=dict)
    shown: dict[str, str] = field(default_factory=dict)
    """What an override forces, by peer."""
    judged: dict[str, str] = field(default_factory=dict)

    def export(self, metric: str, line: Line, **labels: str) -> None:
        """Set one series; ValueError if the catalogue has no such metric or it has other labels."""
        if _LABELS.get(metric) != set(labels):
            raise ValueError(f"{metric} with the labels {sorted(labels)} is not in the catalogue")
        self.series[metric, tuple(sorted(labels.items()))] = line

    def withdraw(self, metric: str = "", **labels: str) -> None:
        """Take back each series that has these labels, of one metric or of all."""
        self.series = {
            (name, has): line
            for (name, has), line in self.series.items()
            if (metric and name != metric) or not labels.items() <= dict(has).items()
        }


@dataclass
class Cluster:
    """The sidecars of one cluster, by node; ``name`` is the label, None for none."""

    name: str | None
    clock: Callable[[], float]
    sidecars: dict[str, Sidecar] = field(default_factory=dict)

    def found(self, size: int) -> None:
        """Make it one of ``size`` voters, where all is well."""
        nodes = [f"n{number}" for number in range(1, size + 1)]
        for node in nodes:
            self._new(node)
        for node in nodes:
            self.join(node)
        self.lead("n1", 2)

    def scrape(self, at: float) -> Iterator[tuple[Labels, dict[Series, float]]]:
        """Give each target's labels and samples at ``at``; one that does not answer has but ``up``."""
        for each in self.sidecars.values():
            target = (("cluster", self.name or ""), ("instance", f"{each.node}:9106"), ("job", "raft"))
            answer = {series: line.at(at) for series, line in each.series.items()} if each.up else {}
            yield target, {("up", ()): float(each.up), **answer}

    def join(self, node: str, by: Collection[str] = (), suffrage: Suffrage = Suffrage.VOTER) -> None:
        """Put a node into the configuration, online; where it is in already, change its suffrage."""
        for each in self._sidecars(by):
            each.withdraw("raft_peer_info", peer=node)
            each.export("raft_peer_info", Line(1), peer=node, address=_address(node), suffrage=str(suffrage))
            if node in each.judged:
                continue
            each.export("raft_peer_term", Line(2), peer=node)
            each.export("raft_peer_last_log_index", Line(100), peer=node)
            each.export("raft_peer_transitions_total", Line(0), peer=node, to=str(State.OFFLINE))
            each.export("raft_peer_override", Line(0), peer=node, state=IGNORE)
            self.judge(node, State.ONLINE, by=[each.node])

    def leave(self, node: str, by: Collection[str] = ()) -> None:
        """Take a node out of the configuration; its own sidecar, if it is told, knows that it is out."""
        for each in self._sidecars(by):
            each.withdraw(peer=node)
            each.judged.pop(node, None)
            each.shown.pop(node, None)
            if each.node == node:
                each.export("raft_node_in_configuration", Line(0))

    def judge(self, peer: str, state: State, by: Collection[str] = (), age: float = 0.0) -> None:
        """Have sidecars judge a member to be in a state, since now or for ``age`` seconds."""
        for each in self._sidecars(by):
            each.judged[peer] = state
            each.export("raft_peer_judged_state_age_seconds", Line(age, 1, self.clock()), peer=peer)
            self._show(each, peer)

    def override(self, peer: str, state: str, by: Collection[str] = ()) -> None:
        """Force a state, or ignore, on a member; empty clears it."""
        if state and state not in FORCED:
            raise ValueError(f"an override can't force {state}")
        for each in self._sidecars(by):
            each.withdraw("raft_peer_override", peer=peer)
            each.shown[peer] = state
            for forced in {IGNORE, state} - {""}:
                each.export("raft_peer_override", Line(forced == state), peer=peer, state=forced)
            self._show(each, peer)

    def lead(self, node: str, term: int, by: Collection[str] = ()) -> None:
        """Have a node lead in a term, and sidecars know it: their own node follows, unless it is that one."""
        for each in self._sidecars(by):
            self._role(each, Role.LEADER if each.node == node else Role.FOLLOWER, term)
            self._leader(each, node)
            each.export("raft_node_leader_silence_seconds", Line(0))

    def lose_leader(self, by: Collection[str] = ()) -> None:
        """Have nodes know no leader from now on; the silence since the last one grows."""
        for each in self._sidecars(by):
            each.export("raft_node_role", Line(0), role=str(Role.LEADER))
            self._leader(each, "")
            self.silence_leader(by=[each.node])

    def silence_leader(self, by: Collection[str] = (), since: float = 0.0) -> None:
        """Have the leader that sidecars know prove itself no more, since ``since`` seconds ago."""
        self.export("raft_node_leader_silence_seconds", since, 1, by=by)

    def isolate(self, *nodes: str) -> None:
        """Cut nodes off from the majority: they say so, and unknown of everybody else."""
        for each in self._sidecars(nodes):
            each.export("raft_node_isolated", Line(1))
            for peer in [peer for peer in each.judged if peer != each.node]:
                self.judge(peer, State.UNKNOWN, by=[each.node])

    def rejoin(self, *nodes: str) -> None:
        """End what :meth:`isolate` began; nodes are online for those that were cut off."""
        for each in self._sidecars(nodes):
            each.export("raft_node_isolated", Line(0))
            for peer in list(each.judged):
                self.judge(peer, State.ONLINE, by=[each.node])

    def export(
        self, metric: str, value: float, per_second: float = 0.0, by: Collection[str] = (), **labels: str
    ) -> None:
        """Export any metric: ``value`` from now on, growing by ``per_second``."""
        for each in self._sidecars(by):
            each.export(metric, Line(value, per_second, self.clock()), **labels)

    def stop(self, *nodes: str) -> None:
        """Have the sidecars of these nodes (of all, if none is named) answer no scrape."""
        for each in self._sidecars(nodes):
            each.up = False

    def start(self, *nodes: str) -> None:
        """Have them answer again, or for the first time: a new one has n1's members, all online."""
        for node in nodes:
            if node not in self.sidecars:
                self._new(node)
                for peer in self.sidecars["n1"].judged:
                    self.join(peer, by=[node])
        for each in self._sidecars(nodes):
            each.up = True

    def forget(self, *nodes: str) -> None:
        """Take the sidecars of these nodes out of Prometheus's targets."""
        for node in nodes:
            del self.sidecars[node]

    def _new(self, node: str) -> None:
        new = self.sidecars[node] = Sidecar(node)
        new.export(
            "raft_node_info", Line(1), id=node, address=_address(node), kind="raft", protocol_version="3"
        )
        for metric, value in (
            ("raft_up", 1),
            ("raft_node_isolated", 0),
            ("raft_node_in_configuration", 1),
            ("raft_node_main_loop_silence_seconds", 0),
            ("raft_node_last_log_index", 100),
            ("raft_node_commit_index", 100),
            ("raft_node_leader_changes_total", 0),
            ("raft_exporter_config_last_reload_successful", 1),
            ("raft_exporter_observations_dropped_total", 0),
            ("raft_exporter_store_errors_total", 0),
        ):
            new.export(metric, Line(value))
        new.export("raft_exporter_source_up", Line(1), source="observer")
        policy = Policy.of(1.0).thresholds()
        for threshold in THRESHOLDS:
            new.export("raft_exporter_threshold_seconds", Line(policy[threshold]), threshold=threshold)
        self._role(new, Role.FOLLOWER, 2)
        self._leader(new, "n1")
        new.export("raft_node_leader_silence_seconds", Line(0))

    def _sidecars(self, nodes: Collection[str]) -> list[Sidecar]:
        return [self.sidecars[node] for node in nodes or self.sidecars]

    @staticmethod
    def _show(sidecar: Sidecar, peer: str) -> None:
        judged, forced = sidecar.judged[peer], sidecar.shown.get(peer, "")
        shown = judged if forced in {"", IGNORE} else forced
        for state in STATES:
            sidecar.export("raft_peer_judged_state", Line(judged == state), peer=peer, state=str(state))
            sidecar.export("raft_peer_state", Line(shown == state), peer=peer, state=str(state))

    @staticmethod
    def _role(sidecar: Sidecar, role: Role, term: int) -> None:
        sidecar.export("raft_node_role", Line(role is Role.LEADER), role=str(Role.LEADER))
        sidecar.export("raft_node_term", Line(term))

    @staticmethod
    def _leader(sidecar: Sidecar, leader: str) -> None:
        sidecar.withdraw("raft_node_leader_info")
        sidecar.export("raft_node_leader_info", Line(1), leader=leader, address=_address(leader))
        sidecar.export("raft_node_has_leader", Line(bool(leader)))


def _address(node: str) -> str:
    return f"10.0.0.{node.removeprefix('n')}:7000" if node else ""
