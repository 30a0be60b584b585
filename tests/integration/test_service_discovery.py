"""A real Prometheus finds the sidecars by ``/sd`` alone, while members come and go."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any, Final

import pytest
import requests
import yaml

from raft_exporter.demo.cluster import Cluster, Process, SidecarProcess, free_ports, sidecar_flags, until
from tests.conftest import Need
from tests.integration.conftest import Home
from tests.integration.scrape import PATIENCE

pytestmark = pytest.mark.integration

REFRESH: Final = "1s"
RELABELLING: Final = [
    {"target_label": "cluster", "replacement": "test"},
    {"source_labels": ["__meta_raft_peer"], "target_label": "node"},
]


class Prometheus:
    """One with a scrape job for each list of sidecars in ``jobs``, at whose ``/sd`` it asks for targets."""

    def __init__(self, program: str, home: Home, jobs: dict[str, list[SidecarProcess]]) -> None:
        place = f"127.0.0.1:{free_ports(1)[0]}"
        self._url = f"http://{place}"
        config = home.path / "prometheus.yml"
        config.write_text(
            yaml.safe_dump(
                {
                    "global": {"scrape_interval": "1s", "scrape_timeout": "1s"},
                    "scrape_configs": [
                        {
                            "job_name": job,
                            "http_sd_configs": [
                                {"url": f"{sidecar.url}/sd", "refresh_interval": REFRESH} for sidecar in asked
                            ],
                            "relabel_configs": RELABELLING,
                        }
                        for job, asked in jobs.items()
                    ],
                }
            )
        )
        command = [
            *(program, f"--config.file={config}", f"--storage.tsdb.path={home.path / 'prometheus'}"),
            # Half of what it takes by default from a new list to a new target; the other half is fixed.
            *(f"--web.listen-address={place}", "--scrape.discovery-reload-interval=100ms"),
        ]
        home.run(Process("prometheus", command, home.path / "prometheus.log"))

    def has(self, job: str, wanted: Mapping[str, str]) -> bool:
        """Whether a job has these targets (by node, the URL that is scraped), no others, and all are up."""
        targets = self._targets(job)
        for target in targets:
            address, node = target["discoveredLabels"]["__address__"], target["labels"]["node"]
            only = {"cluster": "test", "instance": address, "job": job, "node": node}
            assert target["labels"] == only, "no label but those that the job asks for"
        found = {target["labels"]["node"]: target["scrapeUrl"] for target in targets}
        assert len(found) == len(targets), "who is in two lists is scraped once"
        return found == wanted and all(target["health"] == "up" for target in targets)

    def failures(self) -> float:
        """How many times a list could not be had; 0 while Prometheus does not answer."""
        with contextlib.suppress(requests.RequestException):
            for line in requests.get(f"{self._url}/metrics", timeout=5).text.splitlines():
                name, _, value = line.partition(" ")
                if name == "prometheus_sd_http_failures_total":
                    return float(value)
        return 0.0

    def _targets(self, job: str) -> list[dict[str, Any]]:
        with contextlib.suppress(requests.RequestException):
            answer = requests.get(f"{self._url}/api/v1/targets", params={"state": "active"}, timeout=5)
            return [each for each in answer.json()["data"]["activeTargets"] if each["scrapePool"] == job]
        return []


def urls(sidecars: dict[str, SidecarProcess]) -> dict[str, str]:
    return {node: f"{sidecar.url}/metrics" for node, sidecar in sidecars.items()}


def replace_sidecar(cluster: Cluster, home: Home, node: str, flags: list[str]) -> None:
    """Have another sidecar at the address of a node's."""
    before = cluster.sidecars[node]
    before.stop()
    cluster.sidecars[node] = SidecarProcess(node, int(before.url.rpartition(":")[2]), flags, home.path)
    cluster.sidecars[node].start()


def forget(cluster: Cluster, home: Home, node: str) -> None:
    """Have a sidecar that nobody tells anything."""
    replace_sidecar(cluster, home, node, ["--observer", f"unix:{home.path / 'nobody.sock'}"])


def introduce(cluster: Cluster, home: Home, node: str, newcomer: str) -> None:
    """Have the sidecar of one node know where that of another is."""
    known = {each: sidecar.url for each, sidecar in cluster.sidecars.items() if each in {node, newcomer}}
    observer = ["--observer", f"unix:{cluster.nodes[node].observer_socket}"]
    replace_sidecar(cluster, home, node, observer + sidecar_flags(node, known, home.path))


def listed(sidecar: SidecarProcess) -> set[str]:
    """The nodes in the list of one sidecar."""
    answer = requests.get(f"{sidecar.url}/sd", timeout=5)
    return {group["labels"]["__meta_raft_peer"] for group in answer.json()} if answer.ok else set()


def test_targets_come_and_go_with_the_members_and_stay_while_nobody_knows(
    home: Home, raftnodes: Path, need: Need
) -> None:
    program = need("prometheus", lambda: shutil.which("prometheus"))
    cluster = home.cluster()
    first = urls(cluster.sidecars)
    leaver = cluster.followers()[0].id
    ignorant, knowing = (each for each in first if each != leaver)
    one, other = cluster.sidecars[ignorant], cluster.sidecars[knowing]
    prometheus = Prometheus(program, home, {"one": [one], "other": [other], "both": [one, other]})
    for job in ("one", "other", "both"):
        until(f"three targets of {job}", partial(prometheus.has, job, first), PATIENCE)

    had = prometheus.failures()
    forget(cluster, home, ignorant)
    until(f"{ignorant} to have no list", lambda: prometheus.failures() > had, PATIENCE)
    cluster.join("n4")
    introduce(cluster, home, leaver, "n4")  # the others hear of it from this one
    until("n4 in the list", lambda: "n4" in listed(other), PATIENCE)
    cluster.leader().post("/remove", {"id": leaver})
    now = urls(cluster.sidecars)
    del now[leaver]
    until("n4's target in place of the other", partial(prometheus.has, "other", now), PATIENCE)
    # What lists there were has come through since: who had none to give has lost no target.
    until("the targets of one as before", partial(prometheus.has, "one", first), PATIENCE)
