"""One cluster for all scenarios of a round; ``RAFT_EXPORTER_CHAOS=long`` makes it more rounds, and longer."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Final

import pytest
from msgspec import Struct

from raft_exporter.demo.cluster import raftnode
from tests.chaos.arena import Arena
from tests.chaos.matrix import delays, matrix
from tests.chaos.recorder import Tally
from tests.conftest import Need


class Form(Struct, frozen=True):
    """How long it all takes: the seed of each round, H in seconds, and how long frames are lost."""

    seeds: tuple[int, ...]
    timeout: float
    loss_seconds: float


LONG: Final = os.environ.get("RAFT_EXPORTER_CHAOS") == "long"
FORM: Final = Form((1, 2, 3), 1.0, 20.0) if LONG else Form((1,), 0.5, 6.0)

collect_ignore = [] if LONG else ["test_long.py"]

_TAIL: Final = 40


class Ground:
    """Where arenas are built: a new one where the last one is of no more use."""

    def __init__(self, ip: str, home: Callable[[], Path], seed: int) -> None:
        self.arena: Arena | None = None
        self._ip = ip
        self._home = home
        self._seed = seed
        self._stack = ExitStack()

    def usable_arena(self, tally: Tally) -> Arena:
        """Give the running arena, or a new one."""
        if self.arena is None or not self.arena.usable:
            self.close()
            made = Arena(self._ip, self._home(), FORM.timeout, self._seed, tally)
            self.arena = self._stack.enter_context(made)
        return self.arena

    def close(self) -> None:
        """Stop and remove what there is."""
        self.arena = None
        self._stack.close()


class Results:
    """What is printed at the end."""

    def __init__(self) -> None:
        self.tally = Tally()
        self.delays: list[tuple[str, str, float]] = []
        self.folder: Path | None = None

    def lines(self) -> list[str]:
        """All of it as text."""
        return [
            *matrix(self.tally),
            "",
            "Seconds from a fault, or its end, until all said it:",
            *delays(self.delays),
        ]


_RESULTS: Final = pytest.StashKey[Results]()
_HOME: Final = pytest.StashKey[Path]()


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_RESULTS] = Results()


@pytest.fixture(scope="package", params=FORM.seeds, ids=lambda seed: f"round{seed}")
def ground(
    request: pytest.FixtureRequest, need: Need, ip: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Ground]:
    need("raftnode", raftnode)
    request.config.stash[_RESULTS].folder = tmp_path_factory.getbasetemp()
    ground = Ground(ip, lambda: tmp_path_factory.mktemp("chaos"), request.param)
    try:
        yield ground
    finally:
        ground.close()


@pytest.fixture
def arena(request: pytest.FixtureRequest, ground: Ground) -> Iterator[Arena]:
    results = request.config.stash[_RESULTS]
    arena = ground.usable_arena(results.tally)
    request.node.stash[_HOME] = arena.home
    noted = len(arena.delays)
    yield arena
    results.delays += arena.delays[noted:]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show with a failure what was said last."""
    report = yield
    if report.failed and (home := item.stash.get(_HOME, None)) is not None:
        for name in ("said.jsonl", "switch.log"):
            lines = (home / name).read_text(errors="replace").splitlines()[-_TAIL:]
            report.sections.append((f"end of {home / name}", "\n".join(lines)))
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Print the confusion matrix, whether the tests passed or not; and keep it in a file."""
    results = config.stash.get(_RESULTS, None)
    if results is None or results.folder is None or not results.tally.samples:
        return
    file = results.folder / "chaos.txt"
    file.write_text("\n".join(results.lines()) + "\n")
    terminalreporter.section(
        f"chaos: what was true, and what the sidecars said (H = {FORM.timeout:g} s; {file})"
    )
    for line in results.lines():
        terminalreporter.line(line)
