"""Bad input on the observer socket of a real sidecar: counted, skipped, bounded, and never its end."""

from __future__ import annotations

import random
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pytest

from raft_exporter.demo.cluster import SidecarProcess, free_ports, until
from raft_exporter.sources.observer_stream import MAX_LINE, MAX_SERVERS
from tests.integration.conftest import Home
from tests.integration.kernel import memory
from tests.integration.observer_lines import hello, line, observation
from tests.integration.scrape import PATIENCE, Scrape, scrape, try_scrape

pytestmark = pytest.mark.integration

FLOOD: Final = 500_000
"""Lines. A sidecar takes about a hundred thousand in a second."""

STRANGER: Final = "stranger"


class Target:
    """A sidecar without nodes, that knows two members and listens on both kinds of socket."""

    def __init__(self, home: Home) -> None:
        port, self.port, *closed = free_ports(4)
        self.path = home.path / "observer.sock"
        flags = [
            *("--id", "n1", "--raft", f"127.0.0.1:{closed[0]}", "--peer", f"n2=127.0.0.1:{closed[1]}"),
            *("--observer", f"unix:{self.path}", "--observer", f"tcp:127.0.0.1:{self.port}"),
        ]
        self.sidecar = SidecarProcess("n1", port, flags, home.path)
        home.run(self.sidecar)
        until("the sidecar answers", lambda: try_scrape(self.sidecar), PATIENCE)

    def connect(self, transport: str) -> socket.socket:
        """Connect as an observer would."""
        if transport == "tcp":
            return socket.create_connection(("127.0.0.1", self.port), PATIENCE)
        sock = socket.socket(socket.AF_UNIX)
        sock.settimeout(PATIENCE)
        sock.connect(str(self.path))
        return sock

    def log(self) -> str:
        return self.sidecar.log.read_text()


@pytest.fixture(scope="module")
def target(module_home: Home) -> Target:
    return Target(module_home)


@pytest.fixture(params=["unix", "tcp"])
def stream(request: pytest.FixtureRequest, target: Target) -> Iterator[socket.socket]:
    """An observer's connection, on each kind of socket."""
    with target.connect(request.param) as sock:
        yield sock


def configuration(count: int) -> bytes:
    servers = [{"id": f"{STRANGER}{i}", "address": "127.0.0.1:1", "suffrage": "Voter"} for i in range(count)]
    return line(type="configuration", age_ms=0, index=9, servers=servers)


def heartbeats(count: object = 1, age: object = 0, buckets: int = 15, peer: str = "n2") -> bytes:
    entry = {"peer": peer, "count": count, "last_age_ms": age, "sum_ms": 1, "buckets": [0] * buckets}
    return line(type="heartbeats", age_ms=0, peers=[entry])


def counts(now: Scrape) -> dict[str, float]:
    """Rejected lines by reason, and the observations taken as ``peer``."""
    rejected = now.by("reason", "raft_exporter_rejected_total", source="observer")
    return rejected | {"taken": now.value("raft_exporter_observations_total", kind="peer")}


@contextmanager
def counted(target: Target, **more: int) -> Iterator[None]:
    """Hold that what is done inside raises these counts by so much, and no other."""
    before = counts(scrape(target.sidecar))
    yield
    wanted = {name: value + more.get(name, 0) for name, value in before.items()}
    until(f"counts of {more}", lambda: counts(scrape(target.sidecar)) == wanted, PATIENCE)
    assert STRANGER not in scrape(target.sidecar).text


def closed(sock: socket.socket) -> bool:
    """Whether the sidecar has hung up; waits until it has or the socket's timeout."""
    try:
        return sock.recv(1) == b""
    except ConnectionResetError:
        return True


def stats(**stats: object) -> bytes:
    return line(type="stats", age_ms=0, stats=stats)


BAD_LINES: Final[dict[str, tuple[bytes, str]]] = {
    "not JSON": (b"GET /metrics HTTP/1.1\n", "malformed"),
    "not an object": (b"[1, 2]\n", "invalid"),
    "no type": (b'{"age_ms": 0}\n', "invalid"),
    "unknown type": (line(type="gossip", age_ms=0), "unknown_type"),
    "deeply nested": (b'{"type":"stats","age_ms":0,"stats":' + b"[" * 200_000 + b"\n", "malformed"),
    "deeply nested and closed": (
        b'{"type":"stats","x":' + b"[" * 90_000 + b"]" * 90_000 + b"}\n",
        "malformed",
    ),
    "invalid UTF-8 in the type": (b'{"type":"\xff"}\n', "malformed"),
    "invalid UTF-8 in a value": (b'{"type":"stats","age_ms":0,"stats":{"state":"\xc3("}}\n', "malformed"),
    "invalid UTF-8 in a key": (b'{"type":"stats","age_ms":0,"stats":{"\xff":"1"}}\n', "malformed"),
    "half a surrogate pair": (hello(node_id="x").replace(b'"x"', b'"\\ud800"'), "malformed"),
    "NaN": (b'{"type":"dropped","age_ms":0,"count":NaN}\n', "malformed"),
    "a negative count": (line(type="dropped", age_ms=0, count=-1), "invalid"),
    "a count beyond 64 bits": (line(type="dropped", age_ms=0, count=2**64), "invalid"),
    "a count of a thousand digits": (line(type="dropped", age_ms=0, count=10**1000), "invalid"),
    "a negative age": (heartbeats(age=-1), "invalid"),
    "a number beyond a double": (
        heartbeats(age=0).replace(b'"last_age_ms": 0', b'"last_age_ms": 1e999'),
        "invalid",
    ),
    "too few buckets": (heartbeats(buckets=3), "invalid"),
    "a term that is no number": (stats(term="NaN"), "invalid"),
    "a term of a thousand digits": (stats(term="9" * 1000), "invalid"),
    "a contact that is no duration": (stats(last_contact="-1s"), "invalid"),
    "more servers than a cluster has": (configuration(MAX_SERVERS + 1), "too_many_servers"),
    "ten thousand servers, over the limit of a line": (configuration(10_000), "oversized"),
    "a line over the limit": (b"x" * MAX_LINE + b"\n", "oversized"),
    "a hello without an id": (hello(node_id=""), "invalid"),
    "a hello with a timeout of nothing": (hello(heartbeat_timeout_ms=0), "invalid"),
}


@pytest.mark.parametrize("name", BAD_LINES)
def test_a_bad_line_is_counted_and_skipped_and_the_next_is_taken(
    target: Target, stream: socket.socket, name: str
) -> None:
    bad, reason = BAD_LINES[name]
    with counted(target, **{reason: 2, "taken": 3}):
        stream.sendall(hello() + observation("peer") + bad + observation("peer") + bad + observation("peer"))


def test_random_bytes_are_counted_line_by_line(target: Target, stream: socket.socket) -> None:
    noise = random.Random(20_000).randbytes(1 << 20)
    *lines, rest = noise.split(b"\n")
    bad = sum(bool(line) for line in lines)
    assert bad > 3000
    assert rest
    before = counts(scrape(target.sidecar))

    def all_counted() -> bool:
        now = counts(scrape(target.sidecar))
        change = {name: now[name] - before[name] for name in now}
        return change["malformed"] + change["invalid"] == bad and change["truncated"] == 1

    stream.sendall(noise)
    stream.close()
    until("every line of noise to be counted", all_counted, PATIENCE)


def test_half_a_line_at_the_end_of_a_connection_is_counted(target: Target, stream: socket.socket) -> None:
    with counted(target, truncated=1, taken=1):
        stream.sendall(hello() + observation("peer") + hello()[:40])
        stream.close()


def test_a_message_before_the_hello_is_rejected_and_the_hello_is_taken(
    target: Target, stream: socket.socket
) -> None:
    with counted(target, no_hello=2, taken=1):
        stream.sendall(heartbeats() + observation("peer") + hello() + observation("peer"))


@pytest.mark.parametrize("transport", ["unix", "tcp"])
def test_another_version_ends_the_connection_and_is_said_once_in_the_log(
    target: Target, transport: str
) -> None:
    with target.connect("unix") as good, counted(target, taken=1):
        good.sendall(hello() + observation("peer"))
    said = "expected stream version 1, got 2"
    before = target.log().count(said)
    with counted(target, unsupported_version=2), target.connect(transport) as stream:
        stream.sendall(hello(stream_version=2) + observation("peer"))
        assert closed(stream)
        with target.connect("unix") as again:
            again.sendall(hello(stream_version=2))
            assert closed(again)
    assert target.log().count(said) == before + 1


def test_strangers_give_no_series(target: Target, stream: socket.socket) -> None:
    with counted(target, taken=1):
        stream.sendall(
            hello()
            + heartbeats(peer=STRANGER)
            + observation("failed_heartbeat", peer=STRANGER)
            + observation(STRANGER)
            + observation("peer", peer=STRANGER)
        )


def test_huge_numbers_within_the_rules_are_harmless(target: Target, stream: socket.socket) -> None:
    with counted(target, taken=1):
        stream.sendall(
            hello()
            + heartbeats(count=2**63 - 1, age=1e12)
            + stats(
                state="Follower",
                term=str(2**64 - 1),
                last_log_index=str(2**64 - 1),
                last_contact="9" * 30 + "h",
            )
            + observation("peer")
        )
    assert scrape(target.sidecar).value("raft_node_commit_index") == 0


@pytest.mark.parametrize("timeout_ms", [5, 600_000])
def test_judging_goes_on_under_an_absurd_heartbeat_timeout(
    target: Target, stream: socket.socket, timeout_ms: int
) -> None:
    def joined(peer: str) -> bytes:
        servers = [{"id": each, "address": "127.0.0.1:1", "suffrage": "Voter"} for each in ("n1", "n2", peer)]
        return line(type="configuration", age_ms=0, index=1, servers=servers)

    def until_probed(peer: str) -> None:
        # A member is first probed by the turn of judging that finds it new.
        until(f"{peer} to be a member", lambda: peer in scrape(target.sidecar).states, PATIENCE)
        until(f"{peer} to be probed", lambda: scrape(target.sidecar).probes([peer])[peer] > 0, PATIENCE)

    for peer in ("n3", "n4", "n5"):
        stream.sendall(hello(heartbeat_timeout_ms=timeout_ms) + joined(peer))
        until_probed(peer)
    stream.sendall(hello() + joined("n6"))
    until_probed("n6")
    assert set(scrape(target.sidecar).states) == {"n1", "n2", "n6"}
    thresholds = scrape(target.sidecar).by("threshold", "raft_exporter_threshold_seconds")
    assert thresholds["heartbeat_timeout"] == 1


def test_a_second_connection_replaces_the_first(target: Target, stream: socket.socket) -> None:
    with counted(target, taken=2):
        stream.sendall(hello() + observation("peer"))
        until(
            "the observer to be connected",
            lambda: scrape(target.sidecar).value("raft_exporter_source_up", source="observer") == 1,
            PATIENCE,
        )
        with target.connect("tcp") as second:
            assert closed(stream)
            second.sendall(hello() + observation("peer"))


@pytest.mark.parametrize("transport", ["unix", "tcp"])
def test_a_flood_is_counted_to_the_line_in_bounded_memory_while_scrapes_go_on(
    home: Home, transport: str
) -> None:
    target = Target(home)
    chunk, expected = _flood_chunk()
    rounds = FLOOD // chunk.count(b"\n")
    for _ in range(5):
        scrape(target.sidecar)
    at_rest = memory(target.sidecar.pid)
    took: list[float] = []

    with target.connect(transport) as stream, _writing(stream, hello(), chunk, rounds) as running:
        while running():
            began = time.monotonic()
            now = scrape(target.sidecar)
            took.append(time.monotonic() - began)
            assert STRANGER not in now.text
            assert memory(target.sidecar.pid) < 150
    assert len(took) >= 5
    assert max(took) < 5

    wanted = {name: count * rounds for name, count in expected.items()}
    until("every line to be counted", lambda: _totals(scrape(target.sidecar)) == wanted, PATIENCE)
    peak = memory(target.sidecar.pid, "VmHWM")
    assert peak < 150
    assert peak - at_rest < 50
    now = scrape(target.sidecar)
    assert STRANGER not in now.text
    assert set(now.states) == {"n1", "n2"}
    assert len(target.log().splitlines()) < 50
    assert target.sidecar.stop() == 0


def _flood_chunk() -> tuple[bytes, dict[str, float]]:
    """A thousand lines of every sort, and what one of them raises."""
    sorts = [
        (b"\xff\xfe\x00 noise", "malformed"),
        (line(type="gossip", age_ms=0).strip(), "unknown_type"),
        (line(type="dropped", age_ms=0, count=-1).strip(), "invalid"),
        (observation("failed_heartbeat", peer=f"{STRANGER}1").strip(), "failed_heartbeat"),
        (observation("leader", leader_id="n2", leader_address="127.0.0.1:1").strip(), "leader"),
        (observation("leader", leader_id="", leader_address="").strip(), "leader"),
        (observation("state", state="Candidate").strip(), "state"),
        (heartbeats(peer=f"{STRANGER}2").strip(), ""),
        (line(type="dropped", age_ms=0, count=1).strip(), "dropped"),
        (hello().strip(), ""),
    ]
    chosen = sorts * 100
    random.Random(7).shuffle(chosen)
    expected: dict[str, float] = {}
    for _, name in chosen:
        expected[name] = expected.get(name, 0) + 1
    expected.pop("")
    return b"".join(text + b"\n" for text, _ in chosen), expected


def _totals(now: Scrape) -> dict[str, float]:
    """Everything that the flood may raise, where it was raised."""
    totals = {
        **now.by("reason", "raft_exporter_rejected_total", source="observer"),
        **now.by("kind", "raft_exporter_observations_total"),
        "dropped": now.value("raft_exporter_observations_dropped_total"),
    }
    return {name: value for name, value in totals.items() if value}


@contextmanager
def _writing(stream: socket.socket, first: bytes, chunk: bytes, rounds: int) -> Iterator[Callable[[], bool]]:
    """Write in a thread; gives whether it still does. What goes wrong there is raised here."""
    faults: list[OSError] = []

    def write() -> None:
        try:
            stream.sendall(first)
            for _ in range(rounds):
                stream.sendall(chunk)
        except OSError as error:
            faults.append(error)

    thread = threading.Thread(target=write)
    thread.start()
    try:
        yield thread.is_alive
    finally:
        if thread.is_alive():
            stream.shutdown(socket.SHUT_RDWR)
        thread.join()
    assert not faults, faults


def test_a_storm_of_connections_leaves_no_descriptor_behind(target: Target) -> None:
    def descriptors() -> int:
        return len(list(Path(f"/proc/{target.sidecar.pid}/fd").iterdir()))

    before = descriptors()
    for number in range(200):
        with target.connect("tcp" if number % 2 else "unix") as sock:
            sock.sendall(hello()[: number % 60])
    until("the descriptors of before", lambda: descriptors() <= before + 2, PATIENCE)
    with target.connect("unix") as sock, counted(target, taken=1):
        sock.sendall(hello() + observation("peer"))
