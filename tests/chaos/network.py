"""Hosts as network namespaces on one ``switch``, with no way to this machine's own network."""

from __future__ import annotations

import ctypes
import itertools
import os
import subprocess
import sys
from collections.abc import Callable, Collection, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Final, ParamSpec, Self, TypeVar

from raft_exporter.demo.cluster import Process, until
from tests.chaos import switch
from tests.chaos.switch import Loss

_P = ParamSpec("_P")
_T = TypeVar("_T")
_CLONE_NEWNET: Final = 0x40000000
_NUMBERS: Final = itertools.count(1)


def enter(namespace: str) -> None:
    """Put the calling thread, and it alone, into a network namespace; OSError without the right to."""
    libc = ctypes.CDLL(None, use_errno=True)
    descriptor = os.open(f"/run/netns/{namespace}", os.O_RDONLY | os.O_CLOEXEC)
    try:
        if libc.setns(descriptor, _CLONE_NEWNET):
            error = ctypes.get_errno()
            raise OSError(error, os.strerror(error), namespace)
    finally:
        os.close(descriptor)


class Inside:
    """A thread in a network namespace that runs what it is given: its loopback is that of the host."""

    def __init__(self, namespace: str) -> None:
        self._thread = ThreadPoolExecutor(1, initializer=enter, initargs=(namespace,))

    def run(self, call: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> _T:
        """Call it in there, and give what it gives."""
        return self._thread.submit(call, *args, **kwargs).result()

    def close(self) -> None:
        """End the thread."""
        self._thread.shutdown()


class Network:
    """``count`` hosts, numbered from 1. Faults are per way: (from, to) and the share of frames lost.

    As a context it makes the namespaces and the switch, and removes all of them.
    """

    def __init__(self, ip: str, count: int, home: Path, seed: int) -> None:
        self._ip = ip
        self._hosts = range(1, count + 1)
        self._name = f"rxc{os.getpid()}-{next(_NUMBERS)}"
        self._switch_namespace = f"{self._name}-switch"
        self._control = home / "switch.sock"
        self._loss: Loss = {}
        ports = [self._port(host) for host in self._hosts]
        script = [sys.executable, switch.__file__, str(self._control), str(seed), *ports]
        command = self._command(self._switch_namespace, script)
        self._switch = Process("switch", command, home / "switch.log")

    def __enter__(self) -> Self:
        try:
            self._make()
        except BaseException:
            self._remove()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._remove()

    def namespace(self, host: int) -> str:
        """The namespace of a host."""
        return f"{self._name}-{host}"

    @staticmethod
    def address(host: int) -> str:
        """The address by which other hosts reach it."""
        return f"198.18.0.{host}"

    def command(self, host: int, command: Iterable[str]) -> list[str]:
        """Give the command that runs ``command`` on a host; the process is the same, its pid too."""
        return self._command(self.namespace(host), command)

    def lose(self, ways: Iterable[tuple[int, int]], share: float = 1.0) -> None:
        """Lose this share of the frames on these ways, besides what is lost already; OSError if it fails."""
        self._order(self._loss | dict.fromkeys(ways, share))

    def mend(self) -> None:
        """Lose nothing any more."""
        self._order({})

    def lost_share(self) -> float:
        """The share of all frames that was lost since the faults last changed."""
        carried, lost = self._order(self._loss)
        return lost / max(carried + lost, 1)

    def ways(self) -> list[tuple[int, int]]:
        """All ways from one host to another."""
        return [(a, b) for a in self._hosts for b in self._hosts if a != b]

    def ways_across(self, side: Collection[int]) -> list[tuple[int, int]]:
        """All ways, in both directions, between the hosts of one side and the others."""
        return [(a, b) for a, b in self.ways() if (a in side) != (b in side)]

    def _order(self, loss: Loss) -> tuple[int, int]:
        counts = switch.send_order(self._control, loss)
        self._loss = loss
        return counts

    def _make(self) -> None:
        self._run("netns", "add", self._switch_namespace)
        for host in self._hosts:
            name, port = self.namespace(host), self._port(host)
            link = ("eth0", "type", "veth", "peer", "name")
            mac = (switch.HOSTS_MAC + bytes([host])).hex(":")
            inside = ("-netns", name)
            self._run("netns", "add", name)
            self._run(*inside, "link", "add", *link, port, "netns", self._switch_namespace)
            self._run(*inside, "link", "set", "eth0", "address", mac)
            self._run(*inside, "address", "add", f"{self.address(host)}/24", "dev", "eth0")
            for device in ("lo", "eth0"):
                self._run(*inside, "link", "set", device, "up")
            self._run("-netns", self._switch_namespace, "link", "set", port, "up")
        self._switch.start()
        until("the switch listens", lambda: self._control.is_socket() or not self._switch.running)
        self.mend()

    def _remove(self) -> None:
        self._switch.stop()
        for name in [*map(self.namespace, self._hosts), self._switch_namespace]:
            with suppress(OSError):
                self._run("netns", "del", name)

    def _port(self, host: int) -> str:
        return f"to{host}"

    def _command(self, namespace: str, command: Iterable[str]) -> list[str]:
        # Measuring coverage would slow the sidecars down, and the switch with them.
        plain = ["env", "-u", "COVERAGE_PROCESS_START", "-u", "COVERAGE_FILE"]
        return [self._ip, "netns", "exec", namespace, *plain, *command]

    def _run(self, *args: str) -> None:
        result = subprocess.run([self._ip, *args], capture_output=True, text=True, check=False)
        if result.returncode:
            raise OSError(f"ip {' '.join(args)}: {result.stderr.strip()}")
