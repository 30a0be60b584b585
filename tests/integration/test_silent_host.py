"""A host that goes silent, in a network namespace of its own: power off, as far as a peer can tell."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

import pytest

from raft_exporter.demo.cluster import Process, SidecarProcess, free_ports, until
from tests.conftest import Need
from tests.integration.conftest import Home
from tests.integration.scrape import PATIENCE, scrape, until_probed, until_state

pytestmark = pytest.mark.integration

NEAR: Final = "198.18.77.1"
FAR: Final = "198.18.77.2"
RAFT: Final = f"{FAR}:7000"


class FarHost:
    """A network namespace behind one veth pair, and the raftnode n1 in it."""

    def __init__(self, ip: str, binary: Path, home: Home) -> None:
        self._ip = ip
        self._name = f"raft-exporter-{os.getpid()}"
        self._near = f"rx{os.getpid()}"
        self._far = f"{self._near}f"
        flags = ["-id", "n1", "-raft", RAFT, "-http", "127.0.0.1:8000", "-bootstrap", "-peer", f"n1={RAFT}"]
        command = [ip, "netns", "exec", self._name, str(binary), *flags]
        self.node = Process("n1", command, home.path / "n1.log")

    def make(self) -> None:
        """Make the namespace and the link."""
        inside = ["netns", "exec", self._name, self._ip]
        self._run("netns", "add", self._name)
        self._run("link", "add", self._near, "type", "veth", "peer", "name", self._far, "netns", self._name)
        self._run("address", "add", f"{NEAR}/30", "dev", self._near)
        self._run("link", "set", self._near, "up")
        self._run(*inside, "address", "add", f"{FAR}/30", "dev", self._far)
        self._run(*inside, "link", "set", "lo", "up")
        self.link("up")

    def link(self, state: str) -> None:
        """Put the far end of the link up or down."""
        self._run("netns", "exec", self._name, self._ip, "link", "set", self._far, state)

    def remove(self) -> None:
        """Remove what was made of the namespace, and the link with it."""
        with suppress(OSError):
            self._run("netns", "del", self._name)

    def _run(self, *args: str) -> None:
        result = subprocess.run([self._ip, *args], capture_output=True, text=True, check=False)
        if result.returncode:
            raise OSError(f"ip {' '.join(args)}: {result.stderr.strip()}")


@pytest.fixture
def far(need: Need, home: Home, raftnodes: Path) -> Iterator[FarHost]:
    ip = need("iproute2", lambda: shutil.which("ip", path=f"{os.environ['PATH']}:/usr/sbin:/sbin"))
    host = FarHost(ip, raftnodes, home)

    def make() -> bool:
        host.make()
        return True

    try:
        need("the right to make network namespaces", make)
        home.run(host.node)
        yield host
    finally:
        host.node.stop()
        host.remove()


@pytest.fixture
def sidecar(home: Home, far: FarHost) -> SidecarProcess:
    flags = ["--peer", f"n1={RAFT}", "--heartbeat-timeout", "500ms"]
    flags += ["--observer", f"unix:{home.path}/observer.sock"]
    sidecar = SidecarProcess("n0", free_ports(1)[0], flags, home.path)
    home.run(sidecar)
    until_state({"n0": sidecar}, "n1", "online")
    return sidecar


def until_why(sidecar: SidecarProcess, state: str, why: str) -> None:
    def told() -> bool:
        (member,) = sidecar.cluster().members
        return (member.state, member.reason) == (state, why)

    until(f"n1 {state}, {why}", told, PATIENCE)


def test_whoever_hears_nobody_blames_nobody(far: FarHost, sidecar: SidecarProcess) -> None:
    far.link("down")
    until_why(sidecar, "unknown", "isolated")
    until_probed({"n0": sidecar}, ["n1"], 30)
    accused = scrape(sidecar).accusations(["n1"])
    assert (accused["n1", "stalled"], accused["n1", "offline"]) == (0, 0)
    assert scrape(sidecar).states == {"n1": "unknown"}
    assert scrape(sidecar).value("raft_node_isolated") == 1
    far.link("up")
    until_state({"n0": sidecar}, "n1", "online")


def test_a_process_that_froze_is_stalled_until_its_host_goes_silent_too(
    far: FarHost, sidecar: SidecarProcess
) -> None:
    far.node.freeze()
    until_why(sidecar, "stalled", "process_silent")
    far.link("down")
    until_why(sidecar, "unknown", "isolated")
    far.link("up")
    far.node.thaw()
    until_state({"n0": sidecar}, "n1", "online")
