"""One OpenBao cluster, and the one Prometheus that watches it twice: its sidecars, and its own metrics."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

import requests
import yaml

from bench.comparison import routed
from raft_exporter.demo.monitoring import WHOLE, Monitoring, Watch, shipped_rules, told_to
from raft_exporter.demo.openbao import OpenBaoCluster
from raft_exporter.demo.receiver import Notification, Receiver
from raft_exporter.demo.watched_openbao import WatchedOpenBao
from raft_exporter.errors import DemoError

RULES: Final = Path(__file__).with_name("openbao.rules.yml")
_INTERVAL: Final = "5s"
_WELL: Final = (
    "openbao:raft_peers:max >= 3 and openbao:autopilot_failure_tolerance:max >= 1"
    ' unless on () ALERTS{ruleset="openbao"}'
)
"""By their rules: three servers of which one may be lost, and no alert, pending or firing."""
_REST: Final = threading.Event()
"""Never set: to wait on it is to let real time pass, which is what these rules need."""

Fault = Callable[[OpenBaoCluster], None]


def kill_follower(cluster: OpenBaoCluster) -> None:
    """``kill -9`` of a follower."""
    cluster.followers()[0].kill()


def freeze_follower(cluster: OpenBaoCluster) -> None:
    """``kill -STOP`` of a follower."""
    cluster.followers()[0].freeze()


def kill_leader(cluster: OpenBaoCluster) -> None:
    """``kill -9`` of the leader; another one is elected."""
    cluster.leader().kill()


def freeze_leader(cluster: OpenBaoCluster) -> None:
    """``kill -STOP`` of the leader; another one is elected."""
    cluster.leader().freeze()


def lose_quorum(cluster: OpenBaoCluster) -> None:
    """``kill -9`` of both followers."""
    for follower in cluster.followers():
        follower.kill()


def seal(cluster: OpenBaoCluster) -> None:
    """Seal a follower: its process goes on, its Raft does not."""
    cluster.followers()[0].seal()


FAULTS: Final[dict[str, Fault]] = {
    "follower killed": kill_follower,
    "follower frozen": freeze_follower,
    "leader killed": kill_leader,
    "leader frozen": freeze_leader,
    "quorum lost": lose_quorum,
    "node sealed": seal,
}


class ScrapedOpenBao(WatchedOpenBao):
    """Its metrics are open to Prometheus on every server, standby or sealed, as their guide has it."""

    def __init__(self, home: Path) -> None:
        super().__init__(home)
        for node in self.nodes.values():
            settings: Any = node._settings
            settings["listener"][0]["tcp"]["telemetry"] = {"unauthenticated_metrics_access": True}
            settings["telemetry"]["prometheus_retention_time"] = "30s"


def with_openbao(config: str, targets: Sequence[str]) -> str:
    """Give a configuration of Prometheus that scrapes these OpenBao servers (HOST:PORT), too."""
    parsed = yaml.safe_load(config)
    job = {
        "job_name": "openbao",
        "metrics_path": "/v1/sys/metrics",
        "params": {"format": ["prometheus"]},
        "static_configs": [{"targets": list(targets)}],
    }
    parsed["scrape_configs"].append(job)
    return str(yaml.safe_dump(parsed, sort_keys=False))


class Stage:
    """The cluster and those who watch it. ``home`` takes all files."""

    def __init__(self, home: Path) -> None:
        self._running = ExitStack()
        self.cluster = ScrapedOpenBao(home)
        self._receiver = Receiver()
        alertmanager = routed(told_to(self._receiver.url), self._receiver.url)
        rules = [*shipped_rules(home), RULES]
        self._monitoring = Monitoring(home, Watch({"": self.cluster.targets}, rules, _INTERVAL, alertmanager))
        if len(self._monitoring.processes) < 2:
            raise DemoError("Prometheus and Alertmanager are needed")
        config = home / "prometheus.yml"
        servers = [node.url.removeprefix("http://") for node in self.cluster.nodes.values()]
        config.write_text(with_openbao(config.read_text(), servers))

    def start(self) -> None:
        """Start all of it."""
        for each in (self._receiver, self.cluster, self._monitoring):
            self._running.enter_context(each)

    def stop(self) -> None:
        """Stop what was started."""
        self._running.close()

    def is_whole(self) -> bool:
        """Whether both rule sets see a cluster that nothing is wrong with; it takes a second to tell."""
        _REST.wait(1)  # a question costs those who are starting
        try:
            return bool(self._monitoring.query(WHOLE)) and bool(self._monitoring.query(_WELL))
        except requests.RequestException:
            return False

    def suffer(self, fault: Fault, lasts: float) -> tuple[float, list[Notification]]:
        """Let it happen, look on for ``lasts`` seconds; give when it began and what was notified since."""
        began = time.time()
        fault(self.cluster)
        _REST.wait(lasts)
        return began, [each for each in list(self._receiver.notifications) if each.at >= began]
