"""Prometheus and Alertmanager beside the demo's cluster, where they are installed."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import requests

from raft_exporter.demo.cluster import Process, free_ports

_HOST: Final = "127.0.0.1"
_SCRAPE_INTERVAL: Final = "1s"

_ALERTMANAGER_CONFIG: Final = """\
route:
  receiver: none
receivers:
  - name: none
"""


class Monitoring:
    """Scrapes ``targets`` (HOST:PORT). ``prometheus`` and ``alertmanager`` are None where not installed."""

    def __init__(self, home: Path, targets: Sequence[str]) -> None:
        self._targets = targets
        place, alert_place = (f"{_HOST}:{port}" for port in free_ports(2))
        self.url = f"http://{place}"
        self.alertmanager_url = f"http://{alert_place}"
        self.alertmanager = _alertmanager(home, alert_place)
        self.prometheus = _prometheus(home, place, targets, alert_place if self.alertmanager else None)

    @property
    def processes(self) -> list[Process]:
        """What of the two is there."""
        return [process for process in (self.alertmanager, self.prometheus) if process is not None]

    def __enter__(self) -> Self:
        try:
            for process in self.processes:
                process.start()
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop()

    def targets_up(self) -> int:
        """How many of the targets Prometheus has scraped with success; 0 while it does not answer."""
        try:
            answer = requests.get(f"{self.url}/api/v1/targets", params={"state": "active"}, timeout=2)
            targets = answer.json()["data"]["activeTargets"] if answer.ok else []
        except requests.RequestException:
            return 0
        return sum(
            target["health"] == "up" and target["labels"]["instance"] in self._targets for target in targets
        )

    def _stop(self) -> None:
        for process in self.processes:
            process.stop()


def prometheus_config(targets: Sequence[str], alertmanager: str | None) -> str:
    """Write a minimal configuration; ``alertmanager`` (HOST:PORT) is where alerts go."""
    lines = [
        "global:",
        f"  scrape_interval: {_SCRAPE_INTERVAL}",
        f"  scrape_timeout: {_SCRAPE_INTERVAL}",
        f"  evaluation_interval: {_SCRAPE_INTERVAL}",
        "scrape_configs:",
        "  - job_name: raft",
        "    static_configs:",
        f"      - targets: [{', '.join(targets)}]",
    ]
    if alertmanager is not None:
        lines += [
            "alerting:",
            "  alertmanagers:",
            "    - static_configs:",
            f"        - targets: [{alertmanager}]",
        ]
    return "\n".join(lines) + "\n"


def _prometheus(home: Path, place: str, targets: Sequence[str], alertmanager: str | None) -> Process | None:
    program = shutil.which("prometheus")
    if program is None:
        return None
    config = home / "prometheus.yml"
    config.write_text(prometheus_config(targets, alertmanager))
    command = [
        *(program, f"--config.file={config}", f"--storage.tsdb.path={home / 'prometheus'}"),
        *(f"--web.listen-address={place}", "--log.level=warn"),
    ]
    return Process("prometheus", command, home / "prometheus.log")


def _alertmanager(home: Path, place: str) -> Process | None:
    # Debian's package names the program after itself.
    program = shutil.which("prometheus-alertmanager") or shutil.which("alertmanager")
    if program is None:
        return None
    config = home / "alertmanager.yml"
    config.write_text(_ALERTMANAGER_CONFIG)
    command = [
        *(program, f"--config.file={config}", f"--storage.path={home / 'alertmanager'}"),
        # An empty address: it is alone, there is no gossip to listen for.
        *(f"--web.listen-address={place}", "--cluster.listen-address=", "--log.level=warn"),
    ]
    return Process("alertmanager", command, home / "alertmanager.log")
