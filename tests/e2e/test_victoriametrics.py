"""The rules in VictoriaMetrics: Debian's vmalert evaluates them over what real tables export."""

from __future__ import annotations

import re
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final

import pytest
import requests
import yaml
from click.testing import CliRunner
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from raft_exporter.cli import main
from raft_exporter.demo.cluster import Process, free_ports, until
from raft_exporter.exposition import TableCollector, registry_of
from raft_exporter.model.evidence import Evidence
from tests.conftest import Need
from tests.model.story import N1, N2, N3, Story, answered, leading, probe, refused, status

pytestmark = pytest.mark.integration

HOST: Final = "127.0.0.1"
HEALTHY, WOUNDED = "orders", "billing"
LONG: Final = 60.0
"""Observed seconds that lie behind the clusters when the test begins: longer than a restart may take."""
PATIENCE: Final = 90.0
STEP: Final = 0.5
EXPECTED: Final = {"RaftPeerOffline": "warning", "RaftQuorumAtRisk": "critical"}
FAILURES: Final = {"vmalert_alerting_rules_error", "vmalert_recording_rules_error"}
IDS: Final = ("n1", "n2", "n3")


class Watched:
    """Three tables, each beside one node, that report to each other; n1 leads, and who is down refuses."""

    def __init__(self, down: str | None = None) -> None:
        self._down = down
        self._stories = {server.id: Story(N1, N2, N3) for server in (N1, N2, N3)}
        for me, story in self._stories.items():
            story.table.node.id = me
        self._began = time.monotonic()
        self._now = 0.0
        self._advance(LONG)

    def scrape(self, node: str) -> str:
        """Give what the sidecar of this node exports now."""
        self._advance(LONG + time.monotonic() - self._began)
        story = self._stories[node]
        collector = TableCollector(
            story.table,
            now=lambda: self._now,
            perf=time.perf_counter,
            wall=time.time,
            lag=lambda: 0.0,
            store_errors=lambda: 0,
        )
        return generate_latest(registry_of(collector)).decode()

    def _advance(self, to: float) -> None:
        while self._now + STEP <= to:
            self._now += STEP
            for me, story in self._stories.items():
                story.tell(*self._seen_by(me), at=self._now)
            reports = {me: story.table.report(self._now) for me, story in self._stories.items()}
            for me, story in self._stories.items():
                story.tell(*(each for of, each in reports.items() if each is not None and of != me))
                story.judge()

    def _seen_by(self, me: str) -> list[Evidence]:
        up = [peer for peer in IDS if peer != self._down]
        seen: list[Evidence] = [probe(peer) for peer in up]
        if self._down is not None:
            seen.append(refused(self._down))
        if me == "n1":
            seen += [leading(), *(answered(peer) for peer in up if peer != me)]
        elif me != self._down:
            seen.append(status(leader="n1"))
        return seen


@contextmanager
def exporting(clusters: dict[str, Watched]) -> Iterator[int]:
    """Serve the metrics of every sidecar at /CLUSTER/NODE, as long as the context lasts; gives the port."""
    lock = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            _, cluster, node = self.path.split("?")[0].split("/")
            with lock:
                body = clusters[cluster].scrape(node).encode()
            self.send_response(200)
            self.send_header("Content-Type", "text/plain; version=0.0.4")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Nothing: the test says what went wrong."""

    server = ThreadingHTTPServer((HOST, 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def written(*flags: str) -> str:
    """What ``raft-exporter rules`` prints."""
    result = CliRunner().invoke(main, ["rules", *flags])
    assert result.exit_code == 0, result.output
    return result.stdout


def hurried(rules: str) -> str:
    """The same rules evaluated every second, and a first minute of five seconds."""
    return re.sub(r"interval: \d+s", "interval: 1s", rules).replace("offset 1m", "offset 5s")


def dry_run(vmalert: str, rules: str, path: Path) -> subprocess.CompletedProcess[str]:
    path.write_text(rules)
    command = [vmalert, "-dryRun", "-loggerLevel=ERROR", f"-rule={path}"]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


class Ruler:
    """A VictoriaMetrics that scrapes, and a vmalert that evaluates."""

    def __init__(self, programs: tuple[str, str], home: Path, port: int, rules: str) -> None:
        storage, alerts = (f"{HOST}:{port}" for port in free_ports(2))
        self._storage, self._alerts = f"http://{storage}", f"http://{alerts}"
        jobs = [
            {
                "job_name": f"{cluster}-{node}",
                "metrics_path": f"/{cluster}/{node}",
                "static_configs": [
                    {
                        "targets": [f"{HOST}:{port}"],
                        "labels": {"cluster": cluster, "instance": f"{node}.{cluster}", "job": "raft"},
                    }
                ],
            }
            for cluster in (HEALTHY, WOUNDED)
            for node in IDS
        ]
        (home / "scrape.yml").write_text(
            yaml.safe_dump({"global": {"scrape_interval": "1s"}, "scrape_configs": jobs})
        )
        (home / "rules.yml").write_text(rules)
        victoria_metrics, vmalert = programs
        self.processes = (
            Process(
                "victoria-metrics",
                [
                    *(victoria_metrics, f"-storageDataPath={home / 'storage'}", f"-httpListenAddr={storage}"),
                    *(
                        f"-promscrape.config={home / 'scrape.yml'}",
                        "-search.latencyOffset=0s",
                        "-storage.cacheSizeIndexDBTagFilters=1KB",
                    ),
                ],
                home / "victoria-metrics.log",
            ),
            Process(
                "vmalert",
                [
                    *(vmalert, f"-rule={home / 'rules.yml'}", f"-httpListenAddr={alerts}"),
                    *(f"-datasource.url={self._storage}", f"-remoteRead.url={self._storage}"),
                    *(f"-remoteWrite.url={self._storage}", "-remoteWrite.flushInterval=200ms"),
                    *(f"-notifier.url=http://{HOST}:{port}/notify",),
                ],
                home / "vmalert.log",
            ),
        )

    def start(self) -> None:
        storage, vmalert = self.processes
        storage.start()
        until("VictoriaMetrics answers", lambda: self._answers(self._storage), PATIENCE)
        vmalert.start()
        until("vmalert answers", lambda: self._answers(self._alerts), PATIENCE)

    def alerts(self, cluster: str) -> dict[str, dict[str, Any]]:
        """The alerts that fire for the cluster, by name. Asks for new series to be shown now, not in 10 s."""
        requests.get(f"{self._storage}/internal/force_flush", timeout=5).raise_for_status()
        alerts = self._ask("/api/v1/alerts")["alerts"] or []
        return {
            each["name"]: each
            for each in alerts
            if each["state"] == "firing" and each["labels"].get("cluster") == cluster
        }

    def rules(self) -> list[dict[str, Any]]:
        """Every rule of every group, with its last evaluation and error."""
        return [rule for group in self._ask("/api/v1/rules")["groups"] for rule in group["rules"]]

    def failures(self) -> dict[str, float]:
        """What vmalert counts as failed, by the name of the counter and of the rule."""
        text = requests.get(f"{self._alerts}/metrics", timeout=5).text
        return {
            f"{sample.name} {sample.labels}": sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
            if sample.name in FAILURES
        }

    def _ask(self, path: str) -> Any:
        answer = requests.get(f"{self._alerts}{path}", timeout=5)
        answer.raise_for_status()
        return answer.json()["data"]

    @staticmethod
    def _answers(url: str) -> bool:
        with suppress(requests.RequestException):
            return requests.get(f"{url}/health", timeout=5).ok
        return False


@pytest.fixture(scope="module")
def programs(need: Need) -> tuple[str, str]:
    storage, ruler = "victoria-metrics", "vmalert"
    return need(storage, lambda: shutil.which(storage)), need(ruler, lambda: shutil.which(ruler))


@pytest.fixture(scope="module")
def ruler(programs: tuple[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ruler]:
    """Give a running pair that has found what is wrong with one of two clusters."""
    home = tmp_path_factory.mktemp("victoriametrics")
    with exporting({HEALTHY: Watched(), WOUNDED: Watched(down="n3")}) as port, ExitStack() as stack:
        made = Ruler(programs, home, port, hurried(written("--for", "victoriametrics")))
        for process in made.processes:
            stack.callback(process.stop)
        made.start()
        until(f"{EXPECTED} in {home}", lambda: made.alerts(WOUNDED).keys() >= EXPECTED.keys(), PATIENCE)
        yield made


def test_a_member_that_is_offline_and_a_margin_that_is_gone_are_found(ruler: Ruler) -> None:
    alerts = ruler.alerts(WOUNDED)
    assert {name: alert["labels"]["severity"] for name, alert in alerts.items()} == EXPECTED
    assert alerts["RaftPeerOffline"]["labels"]["peer"] == "n3"
    assert " ".join(alerts["RaftPeerOffline"]["annotations"]["description"].split()) == (
        "Cluster billing: n3 is offline for 3 of 3 sidecars that reach a majority, "
        "and longer than a restart takes."
    )


def test_nothing_is_said_of_a_healthy_cluster_beside_it(ruler: Ruler) -> None:
    assert ruler.alerts(HEALTHY) == {}


def test_every_rule_is_evaluated_and_none_fails(ruler: Ruler) -> None:
    until("every rule is evaluated", lambda: all(rule["lastEvaluation"] for rule in ruler.rules()))
    assert [rule for rule in ruler.rules() if rule["lastError"]] == []
    failures = ruler.failures()
    assert {name.split()[0] for name in failures} == FAILURES
    assert [name for name, count in failures.items() if count] == []


def test_an_old_vmalert_takes_the_rules_that_are_written_for_it_alone(
    programs: tuple[str, str], tmp_path: Path
) -> None:
    _, vmalert = programs
    taken = dry_run(vmalert, written("--for", "victoriametrics"), tmp_path / "written_for_it.yml")
    assert taken.returncode == 0, taken.stderr
    refused = dry_run(vmalert, written(), tmp_path / "as_they_are.yml")
    if refused.returncode == 0:
        pytest.skip("this vmalert has keep_firing_for")
    assert "unknown fields in rule: keep_firing_for" in refused.stderr
