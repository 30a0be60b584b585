"""Real raftnodes and their sidecars as processes on loopback: for the demo, the tests and the benchmarks.

Everything is stopped, by pid, when the context of :class:`Cluster` ends.
"""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self, TypeVar

import requests
from msgspec import Struct

from raft_exporter.client import SidecarClient
from raft_exporter.demo.timeline import Said, from_raft
from raft_exporter.errors import ClientError, DemoError
from raft_exporter.view import ClusterView

_T = TypeVar("_T")
_HOST: Final = "127.0.0.1"
_POLL: Final = 0.02
_REPOSITORY: Final = Path(__file__).resolve().parents[2]
_PORTS: Final = (15000, 32768)
_PORTS_EACH: Final = 5
_given: Final[set[int]] = set()


class Settings(Struct, frozen=True):
    """How the raftnodes run. Times are Go durations, as the flags of raftnode take them.

    ``snapshot_threshold`` is how many log entries make a snapshot; 0: as many as hashicorp/raft thinks.
    With ``telemetry`` the nodes have no observer, and the sidecars hear their statsd packets.
    """

    heartbeat_timeout: str = "1s"
    election_timeout: str = "1s"
    leader_lease_timeout: str = "500ms"
    transport_timeout: str = "10s"
    store: str = "memory"
    snapshot_threshold: int = 0
    node_log_level: str = "INFO"
    telemetry: bool = False


def raftnode() -> Path:
    """The raftnode binary; DemoError where it can't be had."""
    found = find_raftnode()
    if found is None:
        raise DemoError("Go and a checkout of the repository are needed: raftnode is a Go program")
    return found


def find_raftnode() -> Path | None:
    """The raftnode binary: as built by ``make``, or built now; None where Go or its source is not there."""
    built = _REPOSITORY / "build" / "raftnode"
    if built.is_file():
        return built
    source = _REPOSITORY / "observer"
    go = shutil.which("go") or shutil.which("go", path="/usr/local/go/bin")
    if go is None or not source.is_dir():
        return None
    built.parent.mkdir(exist_ok=True)
    result = subprocess.run(
        [go, "build", "-o", str(built), "./cmd/raftnode"],
        cwd=source,
        capture_output=True,
        text=True,
        check=False,
    )
    if result.returncode:
        raise DemoError(f"raftnode does not build: {' '.join(result.stderr.split())}")
    return built


def free_ports(count: int) -> list[int]:
    """Ports of loopback that nobody listens on at the moment, none of them given before by this process.

    They lie below those that the kernel takes for outgoing connections, where the many that a cluster opens
    while it starts might take one before its owner does.
    """
    found: list[int] = []
    while len(found) < count:
        port = random.randrange(*_PORTS)  # noqa: S311 - no secret
        with socket.socket() as sock, contextlib.suppress(OSError):
            sock.bind((_HOST, port))
            if port not in _given:
                _given.add(port)
                found.append(port)
    return found


def until(what: str, ask: Callable[[], _T | None], within: float = 30.0) -> _T:
    """Ask again and again until there is a truthy answer; DemoError after ``within`` seconds."""
    deadline = time.monotonic() + within
    while not (answer := ask()):
        if time.monotonic() > deadline:
            raise DemoError(f"expected within {within:g} s: {what}")
        time.sleep(_POLL)
    return answer


class Process:
    """One child process in a session of its own, its output in a file."""

    def __init__(self, name: str, command: Sequence[str], log: Path) -> None:
        self.name = name
        self.log = log
        self._command = list(command)
        self._child: subprocess.Popen[bytes] | None = None

    @property
    def running(self) -> bool:
        """Whether it was started and has not ended."""
        return self._child is not None and self._child.poll() is None

    @property
    def pid(self) -> int:
        """The pid of the running process; DemoError when it does not run."""
        if self._child is None or not self.running:
            raise DemoError(f"{self.name} does not run; see {self.log}")
        return self._child.pid

    def start(self) -> None:
        """Start it; its output is added to the log."""
        with self.log.open("ab") as log:
            self._child = subprocess.Popen(
                self._command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )

    def kill(self) -> None:
        """``kill -9``: no word to anybody."""
        os.kill(self.pid, signal.SIGKILL)
        self._wait()

    def freeze(self) -> None:
        """``kill -STOP``: the process stands still, its host goes on answering for it."""
        os.kill(self.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """``kill -CONT``."""
        os.kill(self.pid, signal.SIGCONT)

    def stop(self, patience: float = 5.0) -> int | None:
        """End it in peace, or by force after ``patience`` seconds; give its exit code (None: never ran)."""
        if self._child is None:
            return None
        if self.running:
            self.thaw()
            self._child.terminate()
            try:
                self._child.wait(patience)
            except subprocess.TimeoutExpired:
                self._child.kill()
        return self._wait()

    def _wait(self) -> int:
        assert self._child is not None  # noqa: S101 - only called on a child
        return self._child.wait()


class Node(Process):
    """One raftnode."""

    def __init__(self, node_id: str, ports: Sequence[int], flags: Sequence[str], home: Path) -> None:
        self.id = node_id
        self.address, self._http, self._faults = (f"{_HOST}:{port}" for port in ports)
        self.observer_socket = home / f"{node_id}.sock"
        command = [
            *(str(raftnode()), "-id", node_id, "-raft", self.address, "-http", self._http),
            *("-fault", self._faults, *flags),
        ]
        super().__init__(node_id, command, home / f"{node_id}.log")

    @property
    def url(self) -> str:
        """Base URL of the node's own HTTP interface."""
        return f"http://{self._http}"

    @property
    def page(self) -> str:
        """The URL at which it tells of itself."""
        return f"{self.url}/stats"

    def leads(self, timeout: float = 2.0) -> bool | None:
        """Whether it calls itself the leader; None when it does not answer."""
        said = self.ask("/leader", timeout)
        return bool(said["is_leader"]) if said else None

    def ask(self, path: str, timeout: float = 2.0) -> Any | None:
        """GET a JSON document of the node; None when it does not answer."""
        try:
            response = requests.get(f"{self.url}{path}", timeout=timeout)
        except requests.RequestException:
            return None
        return response.json() if response.ok else None

    def put(self, key: str, value: str, timeout: float = 2.0) -> bool:
        """Write one key; False when it was not committed in time."""
        try:
            return requests.put(f"{self.url}/kv/{key}", data=value, timeout=timeout).ok
        except requests.RequestException:
            return False

    def post(self, path: str, body: dict[str, object]) -> None:
        """POST a JSON document to the node; DemoError when it refuses."""
        self._post(f"{self.url}{path}", body)

    def fault(self, target: str, mode: str, ms: int = 0) -> None:
        """Set a fault: ``log`` or ``fsm``; ``stall``, ``slow`` by ``ms`` milliseconds, or ``release``."""
        self._post(f"http://{self._faults}/fault", {"target": target, "mode": mode, "ms": ms})

    def observations(self) -> list[dict[str, Any]]:
        """What hashicorp/raft itself said on this node so far, each with ``unix_ms`` and ``kind``."""
        answer = self.ask("/observations")
        return list(answer["events"]) if answer else []

    def _post(self, url: str, body: dict[str, object]) -> None:
        try:
            response = requests.post(url, json=body, timeout=5)
        except requests.RequestException as error:
            raise DemoError(f"{self.name}: {url}: {error}") from error
        if not response.ok:
            raise DemoError(f"{self.name}: {url}: {response.status_code} {response.text.strip()}")


class SidecarProcess(Process):
    """One sidecar, beside one node."""

    def __init__(self, node_id: str, port: int, flags: Sequence[str], home: Path) -> None:
        self.url = f"http://{_HOST}:{port}"
        self._client = SidecarClient(self.url)
        command = [sys.executable, "-m", "raft_exporter", "run", "--listen", f"{_HOST}:{port}", *flags]
        super().__init__(f"sidecar of {node_id}", command, home / f"{node_id}.sidecar.log")

    def cluster(self) -> ClusterView:
        """The cluster as this sidecar judges it; ClientError when it does not answer."""
        return self._client.cluster()

    def states(self) -> dict[str, str]:
        """The state of each member by id; empty when the sidecar does not answer."""
        try:
            return {member.id: str(member.state) for member in self.cluster().members}
        except ClientError:
            return {}

    def metrics(self) -> str:
        """The text of one scrape."""
        response = requests.get(f"{self.url}/metrics", timeout=5)
        response.raise_for_status()
        return response.text


def sidecar_flags(node_id: str, urls: Mapping[str, str], home: Path) -> list[str]:
    """Flags for the sidecar beside a node: where it and the others (``urls``, by node) are, and its store."""
    flags = ["--advertise", urls[node_id], "--store", str(home / f"{node_id}.db")]
    others = {each: url for each, url in urls.items() if each != node_id}
    return flags + [part for each, url in others.items() for part in ("--sidecars", f"{each}={url}")]


def targets(sidecars: Mapping[str, SidecarProcess]) -> list[str]:
    """HOST:PORT of each sidecar, as Prometheus takes them."""
    return [sidecar.url.removeprefix("http://") for sidecar in sidecars.values()]


class Cluster:
    """``size`` raftnodes that bootstrap together, and a sidecar beside each.

    ``home`` takes sockets and logs. As a context it starts all at its beginning and stops all at its end.
    """

    def __init__(self, home: Path, size: int = 3, settings: Settings | None = None) -> None:
        self.home = home
        self.settings = settings or Settings()
        self.nodes: dict[str, Node] = {}
        self.sidecars: dict[str, SidecarProcess] = {}
        ids = [f"n{number}" for number in range(1, size + 1)]
        ports = free_ports(_PORTS_EACH * size)
        places = {each: ports[_PORTS_EACH * i :][:_PORTS_EACH] for i, each in enumerate(ids)}
        self._sidecar_urls = {each: f"http://{_HOST}:{place[3]}" for each, place in places.items()}
        self._peers = {each: f"{each}={_HOST}:{place[0]}" for each, place in places.items()}
        peers = [part for each, place in places.items() for part in ("-peer", f"{each}={_HOST}:{place[0]}")]
        for each, place in places.items():
            self._add(each, place, ["-bootstrap", *peers])

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

    @property
    def targets(self) -> list[str]:
        """HOST:PORT of each sidecar, as Prometheus takes them."""
        return targets(self.sidecars)

    def start(self) -> None:
        """Start the sidecars, then the nodes, and wait for a leader."""
        for sidecar in self.sidecars.values():
            sidecar.start()
        for node in self.nodes.values():
            node.start()
        self.leader()

    def stop(self) -> None:
        """Stop every process."""
        processes = [*self.sidecars.values(), *self.nodes.values()]
        for process in processes:
            if process.running:  # a leader can't end while a frozen follower owes it an answer
                process.thaw()
        for process in processes:
            process.stop()

    def join(self, node_id: str, *, voter: bool = True) -> Node:
        """Start one more node, with its sidecar, and have it added by the leader."""
        flags = ["-join", self.leader().url, *([] if voter else ["-nonvoter"])]
        node = self._add(node_id, free_ports(_PORTS_EACH), flags)
        self.sidecars[node_id].start()
        node.start()
        return node

    def leader(self, within: float = 30.0) -> Node:
        """The node that says it leads, once there is exactly one."""
        return until("exactly one leader", self._only_leader, within)

    def followers(self) -> list[Node]:
        """The running nodes that do not lead."""
        leader = self.leader()
        return [node for node in self.nodes.values() if node is not leader and node.running]

    def raft_said(self, node_id: str) -> Iterable[Said]:
        """Give what hashicorp/raft itself said on that node so far."""
        return from_raft(node_id, self.nodes[node_id].observations())

    def others(self, node: Node) -> Iterator[tuple[str, SidecarProcess]]:
        """Every sidecar but the one beside ``node``, by the id of its node."""
        return ((each, sidecar) for each, sidecar in self.sidecars.items() if each != node.id)

    def _add(self, node_id: str, ports: Sequence[int], flags: Sequence[str]) -> Node:
        s = self.settings
        timing = [
            *("-heartbeat-timeout", s.heartbeat_timeout, "-election-timeout", s.election_timeout),
            *("-leader-lease-timeout", s.leader_lease_timeout, "-transport-timeout", s.transport_timeout),
            *("-log-level", s.node_log_level, "-store", s.store),
            *("-snapshot-threshold", str(s.snapshot_threshold)),
            *(("-data", str(self.home / node_id)) if s.store == "bolt" else ()),
        ]
        statsd = f"{_HOST}:{ports[4]}"
        stream = f"unix:{self.home / node_id}.sock"
        telling = ["-statsd", statsd] if s.telemetry else ["-observer", stream]
        node = Node(node_id, ports[:3], [*telling, *timing, *flags], self.home)
        self.nodes[node_id] = node
        watch = self._hearing(node, statsd) if s.telemetry else ["--observer", stream]
        urls = self._sidecar_urls | {node_id: f"http://{_HOST}:{ports[3]}"}
        watch += sidecar_flags(node_id, urls, self.home)
        self.sidecars[node_id] = SidecarProcess(node_id, ports[3], watch, self.home)
        return node

    def _hearing(self, node: Node, statsd: str) -> list[str]:
        """Flags for a sidecar without an observer; a flag can't say that none is waited for."""
        config = self.home / f"{node.id}.sidecar.yml"
        config.write_text("observer: {listen: []}\n")
        others = [part for each, peer in self._peers.items() if each != node.id for part in ("--peer", peer)]
        own = ["--config", str(config), "--id", node.id, "--raft", node.address]
        return [*own, *others, "--telemetry", f"udp:{statsd}"]

    def _only_leader(self) -> Node | None:
        leaders = [node for node in self.nodes.values() if node.running and node.leads()]
        return leaders[0] if len(leaders) == 1 else None
