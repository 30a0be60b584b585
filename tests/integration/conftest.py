from __future__ import annotations

import re
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Final

import pytest

from raft_exporter.demo.cluster import Cluster, Process, Settings, raftnode
from tests.conftest import Need

HOMES: Final = pytest.StashKey[list[Path]]()
QUICK: Final = Settings(heartbeat_timeout="500ms", election_timeout="500ms", leader_lease_timeout="250ms")
"""Half the default timeouts: half the waiting, and still five lost heartbeats to a timeout."""

_TAIL: Final = 4000


class Home:
    """A directory for the logs of one test, and what runs in it; all of it is stopped at the end."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._stack = ExitStack()

    def cluster(
        self, settings: Settings = QUICK, prepare: Callable[[Cluster], None] | None = None
    ) -> Cluster:
        """Give three running nodes with their sidecars. ``prepare`` may change what will be started."""
        cluster = Cluster(self.path, settings=settings)
        if prepare is not None:
            prepare(cluster)
        return self._stack.enter_context(cluster)

    def idle_cluster(self, settings: Settings = QUICK) -> Cluster:
        """Give three nodes with their sidecars, none of them started."""
        cluster = Cluster(self.path, settings=settings)
        self._stack.callback(cluster.stop)
        return cluster

    def run(self, process: Process) -> None:
        """Start one more process."""
        self._stack.callback(process.stop)
        process.start()

    def close(self) -> None:
        """Stop all; no sidecar may have logged an error or a traceback."""
        self._stack.close()
        for log in sorted(self.path.glob("*sidecar*.log")):
            text = log.read_text()
            faults = [
                line for line in text.splitlines() if re.search(r"level=(error|critical)|Traceback", line)
            ]
            assert not faults, f"{log.name}: {faults[:3]}"


@pytest.fixture
def home(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Home]:
    """The home of one test."""
    yield from _home(request, tmp_path)


@pytest.fixture(scope="module")
def module_home(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    """One home for all tests of a module."""
    yield from _home(request, tmp_path_factory.mktemp("home"))


@pytest.fixture(scope="session")
def raftnodes(need: Need) -> Path:
    """Have the real node, or skip; see ``need``."""
    return need("raftnode", raftnode)


def _home(request: pytest.FixtureRequest, path: Path) -> Iterator[Home]:
    request.node.stash.setdefault(HOMES, []).append(path)
    made = Home(path)
    try:
        yield made
    finally:
        made.close()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show the end of each log with a failure."""
    report = yield
    if report.failed:
        for path in [path for node in item.listchain() for path in node.stash.get(HOMES, [])]:
            for log in sorted(path.glob("*.log")):
                report.sections.append((f"end of {log.name}", log.read_text(errors="replace")[-_TAIL:]))
    return report
