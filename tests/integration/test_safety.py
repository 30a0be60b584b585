"""Watching changes nothing in the cluster that is watched (facts: the native probe, why it is safe)."""

from __future__ import annotations

import asyncio
import contextlib
import random
import re
import socket
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgpack
import pytest
from msgspec.structs import replace

from raft_exporter.demo.cluster import Cluster, Node, Settings, SidecarProcess, free_ports, until
from raft_exporter.model.evidence import Outcome, ProbeResult
from raft_exporter.sources.prober import Timing
from raft_exporter.sources.raft_connection import RaftConnection
from raft_exporter.sources.raft_probe import RaftProber
from raft_exporter.wire import PROBE
from tests import waiting
from tests.integration.conftest import QUICK, Home
from tests.integration.scrape import PATIENCE, scrape, try_scrape, until_healthy

pytestmark = pytest.mark.integration

PROBES = 10_000
DEBUG = replace(QUICK, node_log_level="DEBUG")
PATIENT = replace(DEBUG, transport_timeout="60s")
"""The peers themselves abandon no connection to a stuck node while a test watches."""


def complaints(node: Node) -> list[str]:
    """The WARN and ERROR lines of a node's log."""
    return re.findall(r".*\[(?:WARN|ERROR)\].*", node.log.read_text())


def accepted(node: Node) -> int:
    """How many connections to its Raft port the node has logged."""
    return node.log.read_text().count("transport: accepted connection")


def usage(node: Node) -> dict[str, int]:
    """Goroutines and file descriptors of a node, the connection of the question included."""
    answer = node.ask("/debug")
    assert answer is not None
    return {"goroutines": answer["goroutines"], "fds": answer["fds"]}


def until_usage(node: Node, wanted: dict[str, int]) -> None:
    """Wait until what a node uses has come down, or up, to what is wanted."""
    until(f"{node.id} to use {wanted}", lambda: usage(node) == wanted, PATIENCE)


def settled_usage(node: Node) -> dict[str, int]:
    """What a node uses once twenty answers in a row agree."""
    last: list[dict[str, int]] = []

    def ask() -> dict[str, int] | None:
        last.append(usage(node))
        return last[-1] if last[-20:] == [last[-1]] * 20 else None

    return until(f"{node.id} to use the same for a while", ask, PATIENCE)


def more(usage: dict[str, int], connections: int) -> dict[str, int]:
    """What a node uses with so many more connections: a descriptor and a goroutine each."""
    return {key: value + connections for key, value in usage.items()}


def state(node: Node) -> dict[str, Any]:
    """The node's Stats() but for the age of its leader's last word."""
    stats = node.ask("/stats")
    assert stats is not None
    return {key: value for key, value in stats.items() if key != "last_contact"}


def last_contact(node: Node) -> float:
    """Seconds since a follower's leader last spoke to it, by its own word."""
    stats = node.ask("/stats")
    assert stats is not None
    number, unit = re.fullmatch(r"([\d.]+)(µs|ms|s)", stats["last_contact"]).groups()  # type: ignore[union-attr]
    return float(number) * {"µs": 1e-6, "ms": 1e-3, "s": 1}[unit]


def start_nodes(home: Home, settings: Settings) -> Cluster:
    """Start nodes without sidecars, and wait until all have applied the same entries."""
    cluster = home.idle_cluster(settings)
    for node in cluster.nodes.values():
        node.start()
    cluster.leader()

    def quiet() -> bool:
        stats = [node.ask("/stats") or {} for node in cluster.nodes.values()]
        indices = {
            one.get(key) for one in stats for key in ("applied_index", "commit_index", "last_log_index")
        }
        # Entry 3 is the leader's note of where it answers: nothing is written after it.
        return indices == {"3"}

    until("every node to have applied all that there is", quiet, PATIENCE)
    return cluster


def address(node: Node) -> tuple[str, int]:
    host, _, port = node.address.partition(":")
    return host, int(port)


def stall(cluster: Cluster, victim: Node) -> None:
    """Have the main loop of a follower hang on its disk."""
    victim.fault("log", "stall")
    assert cluster.leader().put("key", "value")


def test_the_probe_is_the_19_bytes_that_were_proven_harmless() -> None:
    assert PROBE == b"\x00" + msgpack.packb({"ProtocolVersion": 3})
    assert len(PROBE) == 19


async def ask_often(nodes: Iterable[Node], times: int, stack: contextlib.AsyncExitStack) -> None:
    """Probe each node so many times on one connection, which stays open until ``stack`` is closed."""

    async def ask(node: Node) -> None:
        connection = await RaftConnection.open(*address(node), Timing.of(1.0, None, None))
        stack.push_async_callback(connection.close, PATIENCE)
        for _ in range(times):
            reply = await connection.ask()
            assert (reply.answer.id, reply.answer.error) == (node.id, "")

    await asyncio.gather(*(ask(node) for node in nodes))


async def test_ten_thousand_probes_leave_no_trace_in_any_node(home: Home, raftnodes: Path) -> None:
    nodes = list(start_nodes(home, replace(Settings(), node_log_level="DEBUG")).nodes.values())
    used = [settled_usage(node) for node in nodes]
    said = [complaints(node) for node in nodes]
    seen = [node.observations() for node in nodes]
    connected = [accepted(node) for node in nodes]
    states = [state(node) for node in nodes]

    async with contextlib.AsyncExitStack() as stack:
        await ask_often(nodes, PROBES, stack)
        assert [state(node) for node in nodes] == states
        assert all(last_contact(node) < 1 for node in nodes if state(node)["state"] == "Follower")
        for node, before in zip(nodes, used, strict=True):
            until_usage(node, more(before, 1))

    for node, before in zip(nodes, used, strict=True):
        until_usage(node, before)
    assert [state(node) for node in nodes] == states
    assert [node.observations() for node in nodes] == seen
    assert [complaints(node) for node in nodes] == said
    assert [accepted(node) for node in nodes] == [count + 1 for count in connected]


async def test_a_node_that_is_stuck_keeps_one_connection_and_answers_on_it_in_the_end(
    home: Home, raftnodes: Path
) -> None:
    cluster = start_nodes(home, PATIENT)
    victim = cluster.followers()[0]
    stall(cluster, victim)
    used = settled_usage(victim)
    connected = accepted(victim)
    results: list[ProbeResult] = []
    prober = RaftProber(
        victim.id, address(victim), Timing.of(0.5, None, None), results.append, random.Random(1)
    )
    task = asyncio.create_task(prober.run())

    async def until_results(outcome: Outcome, count: int) -> None:
        await waiting.until(lambda: [one.outcome for one in results].count(outcome) >= count, PATIENCE)

    began = time.monotonic()
    await until_results(Outcome.TIMEOUT, 1)
    until_usage(victim, more(used, 1))
    await until_results(Outcome.TIMEOUT, 21)
    waited = time.monotonic() - began
    assert waited >= 5
    until_usage(victim, more(used, 1))

    victim.fault("log", "release")
    await until_results(Outcome.OK, 2)
    first = next(result for result in results if result.outcome is Outcome.OK)
    assert first.round_trip is not None
    assert first.round_trip >= 5  # the answer is to the question of before: no other was asked
    assert accepted(victim) == connected + 1
    task.cancel()
    await asyncio.wait([task])
    until_usage(victim, used)
    assert not [line for line in complaints(victim) if "[ERROR]" in line]


def test_sidecars_open_nothing_more_to_a_node_that_is_stuck(home: Home, raftnodes: Path) -> None:
    cluster = home.cluster(PATIENT)
    until_healthy(cluster)
    victim = cluster.followers()[0]
    used = settled_usage(victim)
    connected = accepted(victim)

    def timeouts() -> list[float]:
        return [
            scrape(sidecar).value(
                "raft_peer_probe_failures_total", peer=victim.id, probe="raft", reason="timeout"
            )
            for sidecar in cluster.sidecars.values()
        ]

    stall(cluster, victim)
    most = dict(used)

    def watched() -> bool:
        now = usage(victim)
        for key, value in now.items():
            most[key] = max(most[key], value)
        return min(timeouts()) >= 20  # five seconds: a timeout is half of a HeartbeatTimeout

    until("every sidecar to have waited twenty timeouts", watched, PATIENCE)
    assert most["fds"] <= used["fds"] + 1  # one for our own questions, which overlap with their predecessors
    until("the descriptors of before", lambda: usage(victim)["fds"] <= used["fds"], PATIENCE)
    victim.fault("log", "release")
    until_healthy(cluster)
    assert accepted(victim) == connected
    assert not [line for line in complaints(victim) if "[ERROR]" in line]


def test_a_sidecar_that_stops_is_quick_and_leaves_no_error_at_any_node(home: Home, raftnodes: Path) -> None:
    cluster = home.cluster(DEBUG)
    until_healthy(cluster)
    nodes = list(cluster.nodes.values())
    said = [complaints(node) for node in nodes]
    sidecar = cluster.sidecars[cluster.leader().id]

    used = [settled_usage(node)["fds"] for node in nodes]
    began = time.monotonic()
    assert sidecar.stop() == 0
    assert time.monotonic() - began < 2.5
    until(
        "every node to have closed the connection",
        lambda: all(usage(node)["fds"] < fds for node, fds in zip(nodes, used, strict=True)),
        PATIENCE,
    )
    sidecar.start()
    until_healthy(cluster)
    assert [complaints(node) for node in nodes] == said


def test_a_sidecar_puts_nothing_but_the_probe_on_the_wire_and_one_at_a_time(home: Home) -> None:
    answer = b"\xa0" + msgpack.packb({"ID": b"n2", "Term": 3, "LastLog": 7}, use_bin_type=False)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(PATIENCE)
        peer = f"n2=127.0.0.1:{listener.getsockname()[1]}"
        flags = ["--id", "n1", "--peer", peer, "--heartbeat-timeout", "300ms"]
        flags += ["--observer", f"unix:{home.path}/observer.sock"]
        sidecar = SidecarProcess("n1", free_ports(1)[0], flags, home.path)
        home.run(sidecar)
        connection, _ = listener.accept()
        with connection:
            connection.settimeout(PATIENCE)
            heard = b""
            while len(heard) < len(PROBE):
                heard += connection.recv(4096)

            def timeouts() -> float:
                now = try_scrape(sidecar)
                labels = {"peer": "n2", "probe": "raft", "reason": "timeout"}
                return now.value("raft_peer_probe_failures_total", **labels) if now else 0

            until("ten timeouts", lambda: timeouts() >= 10, PATIENCE)
            for silent in (connection, listener):  # no second question, no second connection
                silent.setblocking(False)
                with pytest.raises(BlockingIOError):
                    silent.recv(4096) if silent is connection else silent.accept()
            connection.settimeout(PATIENCE)
            for _ in range(5):
                assert heard == PROBE
                connection.sendall(answer)
                heard = connection.recv(4096)
            connection.sendall(answer)
            assert sidecar.stop() == 0
            rest = b"".join(iter(lambda: connection.recv(4096), b""))
            assert rest in {b"", PROBE}
        with pytest.raises(BlockingIOError):
            listener.accept()
