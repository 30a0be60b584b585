"""What nobody should send: counted, bounded, and nothing made of it."""

from __future__ import annotations

import random
import time
from collections import Counter

from raft_exporter.model.evidence import (
    Evidence,
    HeartbeatsAnswered,
    LeaderHeard,
    NodeStatus,
    RoleChanged,
    TelemetryHeard,
)
from raft_exporter.sources import statsd
from raft_exporter.sources.telemetry import PEER_REASONS, SOURCE
from tests.telemetry.captured import RAFT, packets
from tests.telemetry.listener import Listener

MUTATIONS = 1_000_000
MEMBERS = ("n1", "n2", "n3")
ALLOWED = (HeartbeatsAnswered, LeaderHeard, NodeStatus, RoleChanged, TelemetryHeard)
SPLICES = (
    b"raft.replication.heartbeat.",
    b"raft.state.leader:",
    b"|ms",
    b"|c",
    b":",
    b"\n",
    b".",
    b"|#peer_id:",
    b"NaN",
    b"-1",
    b"1e308",
    b"\x00",
    b"\xff\xfe",
    b"n9",
    b"9" * 20,
)


def seeds() -> list[bytes]:
    """Short packets of the lines that are read, as the sinks write them."""
    wanted = (b"heartbeat", b"state.", b"saturation", b"processHeartbeat", b"lastContact")
    names = (f"{RAFT}leader-idle", f"{RAFT}follower-idle", "openbao-2.7.2-dogstatsd")
    lines = [
        line
        for name in names
        for _, packet in packets(name)
        for line in packet.splitlines(keepends=True)
        if any(each in line for each in wanted)
    ]
    lines += [b"vault.raft.state.%s:1.000000|c\n" % role for role in (b"leader", b"follower", b"candidate")]
    return [*lines, *(b"".join(lines[i : i + 4]) for i in range(0, len(lines), 16))]


def mutated(bits: int, packet: bytes) -> bytes:
    """Change a packet in one of four ways, as the random bits have it."""
    at = (bits >> 16) % (len(packet) + 1)
    match bits & 3:
        case 0:
            return packet[:at]
        case 1:
            return packet[:at] + bytes([(bits >> 2) & 255]) + packet[at + 1 :]
        case 2:
            return packet[:at] + SPLICES[(bits >> 2) % len(SPLICES)] + packet[at:]
        case _:
            return packet[at:] + packet[:at]


def is_possible(evidence: Evidence) -> bool:
    if not isinstance(evidence, ALLOWED):
        return False
    if isinstance(evidence, HeartbeatsAnswered):
        return (
            evidence.peer in MEMBERS and evidence.count == sum(evidence.buckets) and 0 <= evidence.total < 1e9
        )
    return True


def test_a_million_mutated_packets_throw_nothing_and_invent_nothing() -> None:
    draw = random.Random(20_261_128)
    base = seeds()
    listener = Listener(*MEMBERS)
    kinds: Counter[str] = Counter()
    began = time.process_time()
    for batch in range(100):
        told = 0
        for i in range(MUTATIONS // 100):
            packet = mutated(draw.getrandbits(32), base[i % len(base)])
            told += packet.count(b"heartbeat")
            listener.source.take(packet, batch + i * 1e-5)
        taken = listener.turn(float(batch + 1))
        listener.taken.clear()
        assert all(map(is_possible, taken))
        counted = sum(each.count for each in taken if isinstance(each, HeartbeatsAnswered))
        assert 0 < counted <= told
        kinds.update(type(each).__name__ for each in taken)
    assert set(kinds) == {kind.__name__ for kind in ALLOWED}
    reasons = {reason for source, reason in listener.intake.rejected if source == SOURCE}
    assert reasons == {*statsd.REASONS, *PEER_REASONS}
    assert {"malformed", "not_text", "unknown_peer"} <= set(listener.rejected)
    assert time.process_time() - began < 120.0


def test_noise_is_counted_and_says_nothing() -> None:
    draw = random.Random(5)
    listener = Listener(*MEMBERS)
    for size in (1, 10, 1400, 65_507):
        for _ in range(20):
            listener.source.take(draw.randbytes(size) + b"\xff", 1.0)
    assert listener.rejected == {"not_text": 80}
    assert listener.turn(1.0) == []


def test_the_longest_packets_are_read_in_bounded_time() -> None:
    listener = Listener(*MEMBERS)
    worst = (
        b"a.raft.rpc",
        b"raft.state.leader",
        b".raft.state.leader:",
        b"s.raft.replication.heartbeat.n2:1|ms\n",
        b"s.raft.replication.heartbeat.n2:1\n",
        b"\n",
        b":",
        b"|#peer_id:n2,",
        b"9",
    )
    for piece in worst:
        packet = b"s.raft.replication.heartbeat:1|ms" + piece * (65_000 // len(piece))
        began = time.process_time()
        listener.source.take(packet, 1.0)
        assert time.process_time() - began < 0.5
    listener.turn(1.0)
    assert set(listener.heartbeats) <= {"n2"}


def test_strangers_without_end_are_counted_and_forgotten() -> None:
    listener = Listener(*MEMBERS)
    for i in range(50_000):
        listener.source.take(b"s.raft.replication.heartbeat.x%d:0.4|ms\n" % i, i * 1e-3)
    assert listener.rejected == {"unknown_peer": 50_000}
    listener.hear("s.raft.replication.heartbeat.n2:0.4|ms", at=50.0)
    listener.turn(50.0)
    assert listener.heartbeats == {"n2": 1}
