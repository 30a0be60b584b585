"""One run of the real command ``raft-exporter demo``."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from raft_exporter.demo.cluster import until
from tests.unmeasured import unmeasured

PATIENCE: Final = 90.0
IDS: Final = ("n1", "n2", "n3")


class Demo:
    """One run of the command. ``home`` is where it puts its temporary directory.

    ``copy`` is where a copy of the package is, that is run in its place.
    """

    def __init__(
        self, home: Path, *flags: str, env: Mapping[str, str] | None = None, copy: Path | None = None
    ) -> None:
        self.home = home
        self._output = home / "output"
        with self._output.open("wb") as output:
            self.child = subprocess.Popen(
                [sys.executable, "-m", "raft_exporter", "demo", *flags],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd=copy,
                env={**(unmeasured() if copy else os.environ), **(env or {}), "TMPDIR": str(home)},
            )

    @property
    def output(self) -> str:
        return self._output.read_text()

    def until(self, pattern: str) -> None:
        """Wait until the output has that pattern."""

        def found() -> bool:
            ended = self.child.poll() is not None
            hit = re.search(pattern, self.output) is not None
            assert hit or not ended, f"expected {pattern!r}: {self.output}"
            return hit

        until(pattern, found, PATIENCE)

    def until_all_say(self, pattern: str) -> None:
        """Wait until each sidecar's line has that pattern."""
        for each in IDS:
            self.until(rf"sidecar of {each}: .*{pattern}")

    def ended(self, by: signal.Signals | None = None) -> int:
        """Send a signal, if any, and give the exit code."""
        if by is not None:
            self.child.send_signal(by)
        return self.child.wait(PATIENCE)

    @property
    def children(self) -> dict[int, str]:
        """Every process that has the home in its command line, or did when it was started, by pid."""
        found = {}
        for entry in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                command = entry.read_bytes().replace(b"\0", b" ").decode(errors="replace")
            except OSError:
                continue
            if str(self.home) in command:
                found[int(entry.parent.name)] = command
        return found

    @property
    def leftovers(self) -> list[Path]:
        return list(self.home.glob("raft-exporter-demo-*"))


def timeline(output: str) -> list[str]:
    """Give what was said after a fault, each line without its time."""
    return re.findall(r"^ +\+[0-9.]+ s  (.*)$", output, re.MULTILINE)
