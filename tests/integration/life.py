"""One sidecar as a process that was started in some way, for what is asked of it as of any service."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import NamedTuple

import requests

from raft_exporter.demo.cluster import Process, free_ports, until
from tests.integration.scrape import PATIENCE, Scrape


class Life:
    """One ``raft-exporter run``, begun by the words of ``before``, in a directory of its own."""

    def __init__(
        self, home: Path, *flags: str, before: tuple[str, ...] = (), code: str | None = None
    ) -> None:
        self.home = home
        self.port = free_ports(1)[0]
        self.observer = home / "observer.sock"
        python = [sys.executable, *(("-m", "raft_exporter") if code is None else ("-c", code))]
        standard = ["--listen", f":{self.port}", "--observer", f"unix:{self.observer}"]
        command = [*before, *python, "run", *standard, *(flag.format(home=home) for flag in flags)]
        self.process = Process("sidecar", command, home / "log")

    @property
    def log(self) -> str:
        return (self.home / "log").read_text()

    def get(self, path: str) -> requests.Response:
        return requests.get(f"http://127.0.0.1:{self.port}{path}", timeout=5)

    def metrics(self) -> str:
        """The text of one scrape."""
        return self.get("/metrics").text

    def scrape(self) -> Scrape | None:
        """What it tells Prometheus; None while it does not answer."""
        try:
            return Scrape(self.metrics())
        except requests.RequestException:
            return None

    def until_it_serves(self) -> Scrape:
        answer = until("it serves or ends", lambda: self.scrape() or not self.process.running, PATIENCE)
        assert isinstance(answer, Scrape), self.log
        return answer

    def end(self) -> float:
        """Tell it to end; give how long it took, and hold that it ended well."""
        began = time.monotonic()
        code = self.process.stop()
        took = time.monotonic() - began
        assert code == 0, self.log
        return took


class Case(NamedTuple):
    """A way to start: the words before the command, its flags, and what the log must say."""

    before: tuple[str, ...] = ()
    flags: tuple[str, ...] = ()
    said: str = ""


def by_shell(script: str, *before: str) -> tuple[str, ...]:
    """Run the command, which is ``"$@"`` of the script, by a shell; {home} is its directory."""
    return (*before, "bash", "-c", script, "bash")
