"""What runs on each host: one raftnode, and the sidecar beside it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import requests

from raft_exporter.demo.cluster import Process, raftnode
from tests.chaos.network import Inside, Network
from tests.chaos.truth import NODES

SIDECAR_PORT: Final = 9641
_RAFT_PORT: Final = 7000
_HTTP: Final = "127.0.0.1:8000"
_FAULTS: Final = "127.0.0.1:8001"


class Host:
    """One host of the network: ``node`` and ``sidecar`` are its processes, ``id`` is the node's.

    ``timeout`` is H in seconds, ``stream`` the socket on which the sidecar hears the node's observer.
    """

    def __init__(self, number: int, network: Network, home: Path, timeout: float) -> None:
        self.number = number
        self.id = NODES[number - 1]
        self.namespace = network.namespace(number)
        self._inside = Inside(self.namespace)
        self.stream = home / f"{self.id}.sock"
        stream = f"unix:{self.stream}"
        self.node = Process(
            self.id, network.command(number, _node(number, home, stream, timeout)), home / f"{self.id}.log"
        )
        flags = ["--listen", f"0.0.0.0:{SIDECAR_PORT}", "--observer", stream]
        flags += ["--sidecars", f"http://{{host}}:{SIDECAR_PORT}"]
        sidecar = [sys.executable, "-m", "raft_exporter", "run", *flags]
        log = home / f"{self.id}.sidecar.log"
        self.sidecar = Process(f"sidecar of {self.id}", network.command(number, sidecar), log)

    @property
    def leads(self) -> bool:
        """Whether the node says that it is the leader; False when it does not answer."""
        return bool((self._ask(requests.get, f"http://{_HTTP}/leader") or {}).get("is_leader"))

    def put(self, key: str, value: str) -> bool:
        """Write one key; False when it was not committed in time."""
        return self._ask(requests.put, f"http://{_HTTP}/kv/{key}", data=value) is not None

    def override(self, peer: str, state: str) -> bool:
        """Have this host's sidecar override a member for an hour; False when it does not do it."""
        word = {"state": state, "reason": "planned work", "author": "ann"}
        url = f"http://127.0.0.1:{SIDECAR_PORT}/api/v1/overrides/{peer}"
        return self._ask(requests.put, url, json=word) is not None

    def stall_store(self) -> None:
        """Let every write to the log wait, as on a disk that hangs."""
        self._fault("stall")

    def release_store(self) -> None:
        """Let the writes go on."""
        self._fault("release")

    def stop(self) -> None:
        """Stop both. A leader can't end while a frozen follower owes it an answer: thaw all first."""
        for process in (self.sidecar, self.node):
            process.stop()
        self._inside.close()

    def _fault(self, mode: str) -> None:
        body = {"target": "log", "mode": mode, "ms": 0}
        answer = self._ask(requests.post, f"http://{_FAULTS}/fault", json=body)
        assert answer is not None, f"{self.id}: {mode}"

    def _ask(self, method: Callable[..., requests.Response], url: str, **body: Any) -> dict[str, Any] | None:
        def ask() -> dict[str, Any] | None:
            try:
                with method(url, timeout=2.0, **body) as response:
                    return dict(response.json()) if response.ok else None
            except requests.RequestException:
                return None

        return self._inside.run(ask)


def _node(number: int, home: Path, stream: str, timeout: float) -> Sequence[str]:
    peers = [
        part
        for each, name in enumerate(NODES, 1)
        for part in ("-peer", f"{name}={Network.address(each)}:{_RAFT_PORT}")
    ]
    return [
        *(str(raftnode()), "-id", NODES[number - 1], "-raft", f"{Network.address(number)}:{_RAFT_PORT}"),
        *("-http", _HTTP, "-fault", _FAULTS, "-observer", stream, "-log-level", "INFO"),
        # On disk: a node that forgot its log could outvote those that did not.
        *("-store", "bolt", "-data", str(home / NODES[number - 1]), "-bootstrap", *peers),
        *("-heartbeat-timeout", f"{timeout}s", "-election-timeout", f"{timeout}s"),
        *("-leader-lease-timeout", f"{timeout / 2}s"),
    ]
