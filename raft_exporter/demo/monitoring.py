"""Prometheus and Alertmanager on loopback where they are installed: for demo, tests and benchmarks."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import requests
import yaml
from msgspec import Struct

from raft_exporter.demo.cluster import Process, free_ports, until
from raft_exporter.shipped import alertmanager_text, rule_texts

_HOST: Final = "127.0.0.1"
_TIMEOUT: Final = 5.0

NOBODY: Final = "route:\n  receiver: nobody\nreceivers:\n  - name: nobody\n"
"""An Alertmanager that tells nobody."""

WHOLE: Final = "cluster:raft_settled:bool == 1 and cluster:raft_voters_online:sum == cluster:raft_voters:sum"
"""By the shipped rules: the clusters of which all voters are online, and about which alerts may begin."""

_EXAMPLE_RECEIVER: Final = "http://127.0.0.1:9099"
"""Where the shipped example of Alertmanager's configuration sends its notifications."""

Wrap = Callable[[list[str]], list[str]]


class Watch(Struct, frozen=True):
    """What Prometheus watches, and who is told.

    ``targets`` are HOST:PORT by cluster; the cluster "" has no label. ``interval`` is between two scrapes,
    and two evaluations where a rule group has none of its own, as Prometheus writes durations.
    """

    targets: Mapping[str, Sequence[str]]
    rules: Sequence[Path] = ()
    interval: str = "1s"
    alertmanager: str = NOBODY


class Sample(Struct, frozen=True):
    """One element of an instant vector."""

    labels: dict[str, str]
    value: float


class Monitoring:
    """``prometheus`` and ``alertmanager`` are None where they are not installed.

    ``wrap`` makes the command that is run of that of each program (to run it on another host, say).
    """

    def __init__(self, home: Path, watch: Watch, wrap: Wrap = list) -> None:
        self._watch = watch
        place, alert_place = (f"{_HOST}:{port}" for port in free_ports(2))
        self.url = f"http://{place}"
        self.alertmanager_url = f"http://{alert_place}"
        self.alertmanager = _alertmanager(home, alert_place, watch.alertmanager, wrap)
        alerts_to = alert_place if self.alertmanager else None
        self.prometheus = _prometheus(home, place, prometheus_config(watch, alerts_to), wrap)

    @property
    def processes(self) -> list[Process]:
        """What of the two is there."""
        return [process for process in (self.alertmanager, self.prometheus) if process is not None]

    def __enter__(self) -> Self:
        try:
            for process in self.processes:
                process.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """Stop both; nothing is lost, and they may be started again."""
        for process in self.processes:
            process.stop()

    def restart_prometheus(self) -> None:
        """Stop Prometheus and start it again; DemoError when it does not answer after that."""
        if self.prometheus is not None:
            self.prometheus.stop()
            self.prometheus.start()
            until("Prometheus answers", self.ready)

    def ready(self) -> bool:
        """Whether Prometheus has read its data and answers."""
        with contextlib.suppress(requests.RequestException):
            return requests.get(f"{self.url}/-/ready", timeout=_TIMEOUT).ok
        return False

    def targets_up(self) -> int:
        """How many of the targets Prometheus has scraped with success; 0 while it does not answer."""
        with contextlib.suppress(requests.RequestException):
            targets = self._ask("targets", state="active")["activeTargets"]
            wanted = {target for each in self._watch.targets.values() for target in each}
            return sum(each["health"] == "up" and each["labels"]["instance"] in wanted for each in targets)
        return 0

    def query(self, expression: str) -> list[Sample]:
        """Ask Prometheus for an instant vector now; RequestException when it does not answer or refuses."""
        rows = self._ask("query", query=expression)["result"]
        return [Sample(labels=row["metric"], value=float(row["value"][1])) for row in rows]

    def query_range(
        self, expression: str, start: float, end: float, step: float
    ) -> list[tuple[dict[str, str], list[float]]]:
        """Ask Prometheus at which times (Unix, every ``step`` seconds) each series of a vector was there."""
        span = {"start": f"{start:.3f}", "end": f"{end:.3f}", "step": f"{step:.3f}"}
        rows = self._ask("query_range", query=expression, **span)["result"]
        return [(row["metric"], [float(at) for at, _ in row["values"]]) for row in rows]

    def failing_rules(self) -> list[str]:
        """The rules that could not be evaluated the last time, each with its error."""
        groups = self._ask("rules")["groups"]
        return [
            f"{rule['name']}: {rule['lastError']}"
            for group in groups
            for rule in group["rules"]
            if rule.get("lastError")
        ]

    def _ask(self, path: str, **query: str) -> Any:
        answer = requests.get(f"{self.url}/api/v1/{path}", params=query, timeout=_TIMEOUT)
        answer.raise_for_status()
        return answer.json()["data"]


def shipped_rules(directory: Path, change: Callable[[str], str] = str) -> list[Path]:
    """Write the shipped rule files into a directory, their text as ``change`` makes it; give the files."""
    files = []
    for name, text in rule_texts().items():
        files.append(directory / name)
        files[-1].write_text(change(text))
    return files


def told_to(receiver: str) -> str:
    """Give the shipped example of Alertmanager's configuration, its notifications going to that base URL."""
    return alertmanager_text().replace(_EXAMPLE_RECEIVER, receiver)


def prometheus_config(watch: Watch, alertmanager: str | None) -> str:
    """Write the configuration; ``alertmanager`` (HOST:PORT) is where alerts go."""
    config: dict[str, Any] = {
        "global": {
            "scrape_interval": watch.interval,
            "scrape_timeout": watch.interval,
            "evaluation_interval": watch.interval,
        },
        "rule_files": [str(path) for path in watch.rules],
        "scrape_configs": [
            {
                "job_name": "raft",
                "static_configs": [
                    {"targets": list(targets), "labels": {"cluster": cluster} if cluster else {}}
                    for cluster, targets in watch.targets.items()
                ],
            }
        ],
    }
    if alertmanager is not None:
        config["alerting"] = {"alertmanagers": [{"static_configs": [{"targets": [alertmanager]}]}]}
    return yaml.safe_dump(config, sort_keys=False)


def _prometheus(home: Path, place: str, configuration: str, wrap: Wrap) -> Process | None:
    program = shutil.which("prometheus")
    if program is None:
        return None
    config = home / "prometheus.yml"
    config.write_text(configuration)
    command = [
        *(program, f"--config.file={config}", f"--storage.tsdb.path={home / 'prometheus'}"),
        *(f"--web.listen-address={place}", "--log.level=warn"),
    ]
    return Process("prometheus", wrap(command), home / "prometheus.log")


def _alertmanager(home: Path, place: str, configuration: str, wrap: Wrap) -> Process | None:
    # Debian's package names the program after itself.
    program = shutil.which("prometheus-alertmanager") or shutil.which("alertmanager")
    if program is None:
        return None
    config = home / "alertmanager.yml"
    config.write_text(configuration)
    command = [
        *(program, f"--config.file={config}", f"--storage.path={home / 'alertmanager'}"),
        # An empty address: it is alone, there is no gossip to listen for.
        *(f"--web.listen-address={place}", "--cluster.listen-address=", "--log.level=warn"),
    ]
    return Process("alertmanager", wrap(command), home / "alertmanager.log")
