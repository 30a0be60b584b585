"""One Prometheus with the shipped rules and its Alertmanager, beside many clusters; what was told when."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import click
import yaml

from bench._pages import Page
from raft_exporter.demo.cluster import Cluster
from raft_exporter.demo.monitoring import WHOLE, Monitoring, Watch, shipped_rules, told_to
from raft_exporter.demo.receiver import Notification, Receiver
from raft_exporter.shipped import rule_texts

_STEP: Final = 0.1


class Observer:
    """As a context it watches. ``more`` are further rule files, ``route`` changes what Alertmanager does."""

    def __init__(
        self,
        home: Path,
        interval: str,
        clusters: Mapping[str, Cluster],
        more: Sequence[Path] = (),
        route: Callable[[str, str], str] = lambda config, receiver: config,
    ) -> None:
        home.mkdir()
        targets = {name: cluster.targets for name, cluster in clusters.items()}
        self.interval = interval
        self.receiver = Receiver()
        config = route(told_to(self.receiver.url), self.receiver.url)
        watch = Watch(targets, [*shipped_rules(home), *more], interval, config)
        self.monitoring = Monitoring(home, watch)
        records = [
            rule
            for text in rule_texts().values()
            for group in yaml.safe_load(text)["groups"]
            for rule in group["rules"]
        ]
        self._expressions = {rule["record"]: rule["expr"] for rule in records if "record" in rule}

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            stack.enter_context(self.receiver)
            stack.enter_context(self.monitoring)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def pages(self, cluster: str, receiver: str) -> list[Notification]:
        """Every call of a receiver about a cluster that announced something, oldest first."""
        return [
            each
            for each in list(self.receiver.notifications)
            if each.receiver == receiver
            and each.status == "firing"
            and any(alert.labels.get("cluster") == cluster for alert in each.alerts)
        ]

    def sees_whole(self, clusters: Sequence[str]) -> bool:
        """Whether the rules see each of these clusters with all its voters online."""
        if not self.monitoring.ready():
            return False
        whole = self.monitoring.query(WHOLE)
        return {sample.labels["cluster"] for sample in whole} >= set(clusters)

    def told_at(self, cluster: str, page: Page) -> float | None:
        """When the receiver was told, Unix time; None: not yet."""
        for notification in list(self.receiver.notifications):
            for alert in notification.alerts:
                if (
                    alert.name == page.alert
                    and alert.labels["cluster"] == cluster
                    and alert.status == "firing"
                ):
                    return notification.at
        return None

    def evidence_at(self, cluster: str, page: Page, began: float) -> float:
        """When the evidence was in Prometheus: when the record's expression would first have told."""
        expression = f"sum by (cluster) ({self._expressions[page.record]}) >= {page.least}"
        return self._first(expression, cluster, began)

    def alert_at(self, cluster: str, page: Page, began: float, state: str = "") -> float:
        """When the alert was first there, in any state or in one."""
        matchers = f'alertname="{page.alert}"' + (f', alertstate="{state}"' if state else "")
        return self._first(f"max by (cluster) (ALERTS{{{matchers}}})", cluster, began)

    def _first(self, expression: str, cluster: str, began: float) -> float:
        for labels, times in self.monitoring.query_range(expression, began, time.time(), _STEP):
            if labels.get("cluster") == cluster:
                return times[0]
        raise click.ClickException(f"{cluster}: no data of {expression}")
