"""Runs the stack of deploy/compose with no container engine: each service by the same program, found here.

A service gets a host of its own on a ``Network``, a root that can't be written but where a volume is mounted,
the user that the file names, and no capability. Names are those of the file. Not shown: the images, and
that the two networks are apart.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self
from urllib.parse import urlsplit

import requests

from raft_exporter.demo.cluster import Process, raftnode
from raft_exporter.errors import DemoError
from tests.chaos.network import Inside, Network
from tests.deploy.stack import ROOT, Service

_SCRIPT: Final = Path(__file__).parent / "root.sh"


class Container:
    """One running service; ``addresses`` are those of all services by name."""

    def __init__(
        self, service: Service, process: Process, inside: Inside, addresses: Mapping[str, str]
    ) -> None:
        self.service = service
        self.process = process
        self._inside = inside
        self._addresses = addresses

    @property
    def healthy(self) -> bool:
        """Whether what its health check asks for is answered."""
        (*_, last) = self.service.raw["healthcheck"]["test"]
        return self.ask(last if urlsplit(last).scheme else "http://127.0.0.1:9641/-/healthy") is not None

    def ask(self, url: str) -> Any:
        """Give what its own host gets from a URL, JSON decoded; None where it gets none."""
        parts = urlsplit(url)
        host = self._addresses.get(str(parts.hostname), parts.hostname)
        there = parts._replace(netloc=f"{host}:{parts.port}").geturl()

        def ask() -> Any:
            try:
                with requests.get(there, timeout=2.0) as response:
                    if not response.ok:
                        return None
                    is_json = "json" in response.headers.get("Content-Type", "")
                    return response.json() if is_json else response.text
            except requests.RequestException:
                return None

        return self._inside.run(ask)


class Engine:
    """The services on a network with a host for each; they run while it is entered."""

    def __init__(self, network: Network, services: Sequence[Service], home: Path) -> None:
        self._stack = ExitStack()
        self._home = home
        self._addresses = {service.name: network.address(n) for n, service in enumerate(services, 1)}
        self.containers = {
            service.name: self._container(service, network, n) for n, service in enumerate(services, 1)
        }

    def __enter__(self) -> Self:
        for container in self.containers.values():
            container.process.start()
            self._stack.callback(container.process.stop)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def volume(self, name: str) -> Path:
        """Where a volume is."""
        return self._home / "volumes" / name

    def _container(self, service: Service, network: Network, number: int) -> Container:
        root = self._home / service.name
        root.mkdir()
        names = {"localhost": "127.0.0.1"} | self._addresses
        (root / "hosts").write_text("".join(f"{address} {name}\n" for name, address in names.items()))
        (root / "nsswitch.conf").write_text("hosts: files\n")
        mounts = [(root / name, f"/etc/{name}", "ro") for name in ("hosts", "nsswitch.conf")]
        places = {ROOT, *map(Path, (sys.prefix, sys.base_prefix))} - {Path("/usr")}
        mounts += [(path, str(path), "ro") for path in sorted(places)]
        uid, gid = service.user.split(":")
        for mount in service.mounts:
            if mount.path is not None:
                mounts.append((mount.path, str(mount.target), "ro"))
                continue
            path = self.volume(mount.source)
            path.mkdir(parents=True, exist_ok=True)
            os.chown(path, int(uid), int(gid))
            mounts.append((path, str(mount.target), "rw"))
        (root / "mounts").write_text(
            "".join(f"{source} {target} {mode}\n" for source, target, mode in mounts)
        )
        command = [str(_SCRIPT), str(root), uid, gid, *program_of(service), *service.command]
        inside = Inside(network.namespace(number))
        self._stack.callback(inside.close)
        process = Process(service.name, network.command(number, command), root / "log")
        return Container(service, process, inside, self._addresses)


def program_of(service: Service) -> list[str]:
    """Give the program of its image, as it is found here; DemoError where it is not."""
    name, _, _ = service.image.partition(":")
    if name == "raft-exporter/raftnode":
        return [str(raftnode())]
    if name == "raft-exporter/raft-exporter":
        return [sys.executable, "-m", "raft_exporter"]
    programs = {
        "prom/prometheus": ("prometheus",),
        "prom/alertmanager": ("alertmanager", "prometheus-alertmanager"),
    }
    for program in programs.get(name, ()):
        if path := shutil.which(program):
            return [path]
    raise DemoError(f"{service.image}: its program is not here")
