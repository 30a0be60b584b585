"""Clusters side by side under one Prometheus with the shipped rules, and whom Alertmanager tells."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from msgspec import Struct

from raft_exporter.demo.cluster import Cluster, Node, Settings, until
from raft_exporter.demo.monitoring import WHOLE, Monitoring, Watch
from raft_exporter.demo.receiver import Receiver
from raft_exporter.errors import DemoError
from tests.e2e.acceleration import accelerated_rules, alertmanager_config
from tests.e2e.ledger import Ledger, Told

SPEED: Final = 9.0
"""By how much the durations of rules and routes are divided by default; nothing else is changed in them."""

PATIENCE: Final = 300.0
"""Seconds within which what must come has come, on a slow and busy machine."""


class Ground:
    """What a scenario stands on: a cluster of its own, and what was told about it.

    ``fault_at`` is when the fault was made, Unix time in seconds.
    """

    def __init__(self, name: str, cluster: Cluster, monitoring: Monitoring, receiver: Receiver) -> None:
        self.name = name
        self.cluster = cluster
        self.monitoring = monitoring
        self.fault_at = 0.0
        self._receiver = receiver

    @property
    def ledger(self) -> Ledger:
        """What was told so far."""
        return Ledger(list(self._receiver.notifications), self.name)

    def strike(self) -> None:
        """Note that the fault is made now."""
        self.fault_at = time.time()

    def until_told(self, *wanted: Told) -> None:
        """Wait until each of these was announced."""
        names = ", ".join(f"{each.alert} {each.about}".strip() for each in wanted)
        self._until(f"told of {names}", lambda: self.ledger.announced(wanted))

    def until_over(self) -> None:
        """Wait until all that was announced is taken back."""

        def over() -> bool:
            return self.ledger.all_taken_back()

        self._until("all alerts resolved", over)

    def until_state(self, state: str, *nodes: Node, by: Iterable[str] | None = None) -> None:
        """Wait until the sidecars of these nodes (by default all) say this state of these members."""
        wanted = {node.id: state for node in nodes}
        sidecars = [self.cluster.sidecars[each] for each in (by or self.cluster.nodes)]
        self._until(
            f"{state}: {', '.join(wanted)}",
            lambda: all(wanted.items() <= sidecar.states().items() for sidecar in sidecars),
        )

    def until_firing(self, *alerts: str) -> None:
        """Wait until each of these fires in Prometheus, announced or not."""
        labels = f'alertstate="firing", cluster="{self.name}"'

        def firing() -> bool:
            found = self.monitoring.query(f"ALERTS{{{labels}}}")
            return {sample.labels["alertname"] for sample in found} >= set(alerts)

        self._until(f"firing: {', '.join(alerts)}", firing)

    def until_whole(self) -> None:
        """Wait until every sidecar says that all are online."""
        self.until_state("online", *self.cluster.nodes.values())

    def _until(self, what: str, ask: Callable[[], bool]) -> None:
        try:
            until(f"{self.name}: {what}", ask, PATIENCE)
        except DemoError as error:
            raise AssertionError(f"{error}; told so far: {self.ledger.stories()}") from error


class Scenario(Struct, frozen=True):
    """``play`` breaks and mends the cluster and gives what has to be told about it, each once.

    ``cluster`` is the label; empty, there is none.
    """

    cluster: str
    play: Callable[[Ground], set[Told]]
    size: int = 3
    settings: Settings = Settings(store="bolt")


class Outcome(Struct, frozen=True):
    """What a scenario came to: ``error`` is what went wrong in it, if anything."""

    wanted: set[Told]
    ledger: Ledger
    fault_at: float
    error: BaseException | None = None


class Site:
    """All clusters of these scenarios, each running, seen by Prometheus, and whole; as a context."""

    def __init__(self, home: Path, scenarios: Sequence[Scenario], speed: float = SPEED) -> None:
        self._home = home
        self._speed = speed
        self._scenarios = {scenario.cluster: scenario for scenario in scenarios}
        self._stack = ExitStack()
        self._clusters: dict[str, Cluster] = {}
        for name, scenario in self._scenarios.items():
            place = home / (name or "unlabelled")
            place.mkdir()
            self._clusters[name] = Cluster(place, scenario.size, scenario.settings)

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            self._receiver = stack.enter_context(Receiver())
            watch = Watch(
                {name: cluster.targets for name, cluster in self._clusters.items()},
                accelerated_rules(self._home, self._speed),
                interval="2s",
                alertmanager=alertmanager_config(self._receiver.url, self._speed),
            )
            self.monitoring = stack.enter_context(Monitoring(self._home, watch))
            for cluster in self._clusters.values():
                stack.callback(cluster.stop)
            with ThreadPoolExecutor(len(self._clusters)) as threads:
                for started in [threads.submit(cluster.start) for cluster in self._clusters.values()]:
                    started.result()
            until("every cluster seen whole by the rules", self._settled, PATIENCE)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def play(self) -> dict[str, Outcome]:
        """Play all scenarios at once; give what they came to when the last of them has ended."""
        grounds = {
            name: Ground(name, cluster, self.monitoring, self._receiver)
            for name, cluster in self._clusters.items()
        }
        with ThreadPoolExecutor(len(grounds)) as threads:
            plays = {
                name: threads.submit(self._scenarios[name].play, ground) for name, ground in grounds.items()
            }
        outcomes = {}
        for name, played in plays.items():
            error = played.exception()
            outcomes[name] = Outcome(
                wanted=set() if error else played.result(),
                ledger=grounds[name].ledger,
                fault_at=grounds[name].fault_at,
                error=error,
            )
        return outcomes

    def _settled(self) -> bool:
        if not self.monitoring.ready():
            return False
        whole = self.monitoring.query(WHOLE)
        return {sample.labels.get("cluster", "") for sample in whole} == set(self._clusters)
