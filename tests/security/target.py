"""A sidecar's HTTP face in a process of its own, to be attacked: ``python -m tests.security.target``."""

from __future__ import annotations

import asyncio
import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from prometheus_client import CollectorRegistry, Gauge

from raft_exporter.web.app import make_app
from raft_exporter.web.server import WebServer
from tests.web.face import Face, cluster, member

HOST: Final = "127.0.0.1"
SERIES: Final = 200


class Target:
    """The process."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        assert process.stdout is not None
        self.port = int(process.stdout.readline())

    @property
    def resident(self) -> int:
        """Bytes of memory that it holds."""
        status = Path(f"/proc/{self._process.pid}/status").read_text()
        return int(status.partition("VmRSS:")[2].split()[0]) * 1024

    @property
    def descriptors(self) -> int:
        """How many files and sockets it has open."""
        return len(os.listdir(f"/proc/{self._process.pid}/fd"))

    @property
    def processor_seconds(self) -> float:
        """What it has used of the processor."""
        fields = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextmanager
def target() -> Iterator[Target]:
    """Run it; it has to be there still at the end, and to have said nothing."""
    command = [sys.executable, "-m", "tests.security.target"]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            yield Target(process)
            assert process.poll() is None
        finally:
            _, said = process.communicate()
        assert (process.returncode, said) == (0, "")


def all_descriptors() -> int:
    """Raise this process's limit on open files as far as it may be; give it."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


async def _serve() -> None:
    registry = CollectorRegistry()
    gauge = Gauge("raft_series", "As many as a cluster of some size has.", ["number"], registry=registry)
    for number in range(SERIES):
        gauge.labels(str(number)).set(number)
    face = Face(cluster(member("n1"), member("n2"), member("n3")))
    server = WebServer(make_app(registry, lambda: face.view, lambda: True, face))
    await (await server.prepare((f"{HOST}:0",), None)).commit()
    sys.stdout.write(f"{server.urls[0].rpartition(':')[2]}\n")
    sys.stdout.flush()
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    await server.close()


if __name__ == "__main__":
    all_descriptors()
    asyncio.run(_serve())
