"""The parts of an end-to-end test, and the table of what was told, and when."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from typing import Final

import pytest

from raft_exporter.demo.cluster import raftnode
from tests.conftest import Need
from tests.e2e.browser import browser, pictures, visit  # noqa: F401 - fixtures
from tests.e2e.ledger import Told
from tests.e2e.site import Outcome
from tests.unmeasured import unmeasured


class Delays:
    """Seconds from each fault to what was told about it."""

    def __init__(self) -> None:
        self._rows: list[tuple[str, Told, float]] = []

    def note(self, fault: str, outcome: Outcome) -> None:
        """Take what one scenario came to."""
        told = sorted(outcome.ledger.first_told().items(), key=lambda each: each[1])
        self._rows += [(fault, each, at - outcome.fault_at) for each, at in told]

    def lines(self) -> list[str]:
        """All of it as a table."""
        return [
            f"{fault:<26} {told.receiver:<7} {told.alert:<22} {told.about:<3} {delay:6.1f}"
            for fault, told, delay in self._rows
        ]


_DELAYS: Final = pytest.StashKey[Delays]()


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_DELAYS] = Delays()


@pytest.fixture(scope="session")
def delays(request: pytest.FixtureRequest) -> Delays:
    """Where to note how long it took until somebody was told."""
    return request.config.stash[_DELAYS]


@pytest.fixture(scope="package", autouse=True)
def plain_processes() -> Iterator[None]:
    """Measuring coverage would slow down dozens of sidecars, and all that waits for them."""
    with pytest.MonkeyPatch.context() as patch:
        for name in os.environ.keys() - unmeasured().keys():
            patch.delenv(name)
        yield


@pytest.fixture(scope="session")
def alerting_parts(need: Need) -> None:
    """Have the nodes, Prometheus and Alertmanager, or skip; see ``need``."""
    need("raftnode", raftnode)
    need("prometheus", lambda: shutil.which("prometheus"))
    need(
        "alertmanager",
        lambda: shutil.which("prometheus-alertmanager") or shutil.which("alertmanager"),
    )


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Print the table, whether the tests passed or not."""
    delays = config.stash.get(_DELAYS, None)
    if delays is None or not (lines := delays.lines()):
        return
    terminalreporter.section(
        "alerts: seconds from a fault until somebody was told (waits of rules and routes divided)"
    )
    for line in lines:
        terminalreporter.line(line)
