"""The lines of the sinks, and each heartbeat once."""

from __future__ import annotations

import random

import pytest

from raft_exporter.model.evidence import Role
from raft_exporter.sources.telemetry_lines import (
    REASONS,
    Entered,
    Heartbeat,
    LeaderSpoke,
    Line,
    Once,
    Packet,
    Sign,
    read,
)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("consul.raft.replication.heartbeat.b4-7f:0.500000|ms", Heartbeat("b4-7f", 0.0005)),
        ("raft.replication.heartbeat.n2:16|ms", Heartbeat("n2", 0.016)),
        ("a.b.c.raft.replication.heartbeat.10.0.0.1_4647:1.5|ms", Heartbeat("10.0.0.1_4647", 0.0015)),
        ("nomad.raft.replication.heartbeat.n2.host.example:1|ms", Heartbeat("n2.host.example", 0.001)),
        ("raft.raft.replication.heartbeat.raft:1|ms", Heartbeat("raft", 0.001)),
        (
            "vault.raft.replication.heartbeat:16.038956|ms|#peer_id:n2",
            Heartbeat("n2", 0.016038956, tagged=True),
        ),
        (
            "nomad.raft.replication.heartbeat:1|ms|@0.5|#host:h,peer_id:n2",
            Heartbeat("n2", 0.001, tagged=True),
        ),
        ("nomad.raft.replication.heartbeat.n2:1|ms|#host:h", Heartbeat("n2", 0.001)),
        ("s.raft.rpc.processHeartbeat:0.008798|ms", LeaderSpoke("")),
        ("s.raft.rpc.processHeartbeat.h.x:0.008798|ms", LeaderSpoke("h.x")),
        ("vault.raft.state.follower:1.000000|c", Entered(Role.FOLLOWER, "")),
        ("vault.raft.state.candidate:1|c|#host:h", Entered(Role.CANDIDATE, "")),
        ("nomad.raft.state.leader.host:1.000000|c", Entered(Role.LEADER, "host")),
        ("s.raft.transition.heartbeat_timeout:1.000000|c", Entered(Role.CANDIDATE, "")),
        ("s.raft.transition.leader_lease_timeout:1.000000|c", Entered(Role.FOLLOWER, "")),
        ("s.raft.thread.main.saturation.h:0.000000|ms", Sign("h")),
        ("s.raft.leader.lastContact:12.000000|ms", Sign("")),
    ],
)
def test_a_line_that_tells_something_is_read(line: str, expected: Line) -> None:
    for packet in (f"{line}\n", line, f"x.y:1|c\n{line}\nx.y:1|c\n"):
        assert read(packet.encode()) == Packet(raft=True, lines=(expected,))


@pytest.mark.parametrize(
    "line",
    [
        "s.raft.replication.appendEntries.rpc.n2:0.3|ms",
        "s.raft.state.followers:1|c",
        "s.raft.rpc.processHeartbeats:1|ms",
        "s.vm.raft.leader.oldestLogAge:1.0|g",
        "s.raft.state.leader:0|c",
        "s.raft.replication.appendEntries.rpc.raft_state:1|ms",
    ],
)
def test_any_other_line_of_raft_is_heard_and_no_more(line: str) -> None:
    assert read(line.encode()) == Packet(raft=True)


@pytest.mark.parametrize(
    "packet",
    [
        b"",
        b"\n\n\n",
        b"vault.vm.raft_storage.stats.term.n1:3.0|g\n",
        b"consul.raft.example.runtime.alloc_bytes:3.0|g\n",
        b"spike.raft.runtime.num_goroutines:11.0|g\n",
        b"mycraft.state.leader:1|c\n",
        b"x.y:1|c|#note:see.raft.state.leader\n",
        b"x.y:raft.state.leader:1|c\n",
        b"datadog.dogstatsd.client.metrics:12|c|#client:go,transport:udp\n",
        b"x" * 600 + b".raft.state.leader:1|c\n",
    ],
)
def test_what_is_not_of_raft_is_nothing(packet: bytes) -> None:
    assert read(packet) == Packet()


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"s.raft.replication.heartbeat.n2", "malformed"),
        (b"s.raft.replication.heartbeat.n2:", "malformed"),
        (b"s.raft.replication.heartbeat.n2:|ms", "malformed"),
        (b"s.raft.replication.heartbeat.n2:0.4", "malformed"),
        (b"s.raft.replication.heartbeat.n2:0.4|c", "malformed"),
        (b"s.raft.replication.heartbeat.n2:-0.4|ms", "malformed"),
        (b"s.raft.replication.heartbeat.n2:NaN|ms", "malformed"),
        (b"s.raft.replication.heartbeat.n2:inf|ms", "malformed"),
        (b"s.raft.replication.heartbeat.n2:1e9|ms", "malformed"),
        (b"s.raft.replication.heartbeat.n2:1:2|ms", "malformed"),
        (b"s.raft.replication.heartbeat.n2:" + b"9" * 5000 + b"|ms", "malformed"),
        (b"s.raft.replication.heartbeat.n2:86400001|ms", "bad_value"),
        (b"s.raft.replication.heartbeat." + b"x" * 600 + b":1|ms", "malformed"),
        (b"s.raft.replication.heartbeat:1|ms", "malformed"),
        (b"s.raft.replication.heartbeat:1|ms|#host:h", "malformed"),
        (b"s.raft.state.leader:1|g", "malformed"),
        (b"s.raft.state.leader.x.raft.state.follower:1|ms", "malformed"),
        (b"s.raft.rpc.processHeartbeat:1|c", "malformed"),
    ],
)
def test_a_bad_line_is_rejected_and_the_good_one_beside_it_taken(line: bytes, reason: str) -> None:
    assert reason in REASONS
    packet = read(line + b"\ns.raft.state.leader:1|c\n")
    assert packet == Packet(raft=True, lines=(Entered(Role.LEADER, ""),), faults=(reason,))


@pytest.mark.parametrize("junk", [b"\xff\xfe", b"\x00", b"\r", b"\x7f", b"\x1b[0m", b"\xc3"])
def test_a_packet_that_is_no_text_is_counted_and_its_good_lines_taken(junk: bytes) -> None:
    assert read(junk) == Packet(faults=("not_text",))
    packet = read(b"x." + junk + b":1|c\ns.raft.state.leader:1|c\n")
    assert packet == Packet(raft=True, lines=(Entered(Role.LEADER, ""),), faults=("not_text",))
    assert read("x.größe:1|c\n".encode()) == Packet()


def test_a_peer_that_is_no_text_is_nobody() -> None:
    for line in (b"raft.replication.heartbeat.\xff:1|ms", b"raft.replication.heartbeat:1|ms|#peer_id:\xff"):
        assert read(line) == Packet(raft=True, faults=("not_text", "malformed"))


def test_of_a_packet_that_was_cut_the_last_line_is_not_believed() -> None:
    packet = read(b"s.raft.state.leader:1|c\ns.raft.replication.heartbeat.n1:0.4|ms", cut=True)
    assert packet == Packet(raft=True, lines=(Entered(Role.LEADER, ""),), faults=("oversized",))


def test_a_name_stands_once_in_a_line() -> None:
    line = b"s.raft.replication.heartbeat.x.raft.state.leader:1|ms\n"
    assert read(line).lines == (Heartbeat("x.raft.state.leader", 0.001),)


def counted(*packets: tuple[float, list[tuple[str, float]]], once: Once | None = None) -> list[str]:
    """The peers of the heartbeats that were counted, of packets of peers and milliseconds."""
    once = once or Once()
    return [
        heartbeat.peer
        for at, lines in packets
        for heartbeat in once.take([Heartbeat(peer, ms / 1000) for peer, ms in lines], at)
    ]


def test_two_lines_of_one_heartbeat_are_one() -> None:
    assert counted((0.0, [("n2", 0.40), ("n3", 0.20), ("n3", 0.25), ("n2", 0.43)])) == ["n2", "n3"]


def test_a_second_line_that_is_shorter_is_another_heartbeat() -> None:
    assert counted((0.0, [("n2", 0.40), ("n2", 0.39)])) == ["n2", "n2"]


def test_a_pair_that_a_packets_end_divided_is_one() -> None:
    once = Once()
    assert counted((0.0, [("n2", 0.40), ("n2", 0.43)]), once=once) == ["n2"]
    assert counted((0.2, [("n2", 0.40)]), (0.3, [("n2", 0.43)]), once=once) == ["n2"]
    assert counted((0.4, [("n2", 0.1)]), (0.5, [("n2", 0.11), ("n2", 0.2), ("n2", 0.21)]), once=once) == (
        ["n2", "n2"]
    )


def test_a_twin_that_was_lost_does_not_swallow_the_next_heartbeat() -> None:
    once = Once()
    assert counted((0.0, [("n2", 0.40), ("n2", 0.43)]), once=once) == ["n2"]
    assert counted((0.1, [("n2", 0.40)]), (0.2, [("n2", 0.41), ("n2", 0.43)]), once=once) == ["n2", "n2"]
    assert counted((0.3, [("n2", 0.40)]), (9.0, [("n2", 0.41)]), once=once) == ["n2", "n2"]


@pytest.mark.parametrize("interval", [0.1, 1.0])
def test_single_lines_are_all_counted_however_much_alike(interval: float) -> None:
    packets = [(i * interval, [("n2", 0.40 + i * 1e-3), ("n3", 0.3)]) for i in range(100)]
    assert len(counted(*packets)) == 200


def test_single_lines_of_a_fast_node_are_told_from_pairs_soon() -> None:
    draw = random.Random(7)
    packets = [(i * 0.1, [("n2", draw.uniform(0.2, 0.6)) for _ in range(10)]) for i in range(100)]
    assert 980 <= len(counted(*packets)) <= 1000


def test_pairs_of_a_fast_node_are_all_told() -> None:
    draw = random.Random(7)
    packets = []
    for i in range(100):
        first = [draw.uniform(0.2, 0.6) for _ in range(10)]
        packets.append((i * 0.1, [("n2", ms + more) for ms in first for more in (0.0, 0.02)]))
    assert len(counted(*packets)) == 1000


def test_a_node_that_turns_legacy_telemetry_on_again_is_noticed() -> None:
    once = Once()
    counted(*[(i * 0.1, [("n2", 0.4)]) for i in range(50)], once=once)
    pairs = [(10 + i * 0.1, [("n2", 0.4), ("n2", 0.43)]) for i in range(50)]
    assert 50 <= len(counted(*pairs, once=once)) <= 60


def test_a_packet_that_was_lost_under_many_peers_does_not_end_the_belief_in_pairs() -> None:
    once = Once()
    peers = [f"n{i}" for i in range(9)]
    pairs = [(peer, ms) for peer in peers for ms in (0.4, 0.41)]
    assert len(counted((0.0, pairs), once=once)) == 9
    assert len(counted((0.1, [(peer, 0.4) for peer in peers]), once=once)) == 9
    assert len(counted((0.5, pairs), (0.6, pairs), once=once)) == 18


def test_lines_of_strangers_without_end_take_no_memory() -> None:
    once = Once()
    for i in range(5000):
        once.take([Heartbeat(f"stranger-{i}", 0.001)], float(i))
    assert len(once._pending) <= 1024


def test_a_host_behind_every_name_is_learned_and_taken_off() -> None:
    once = Once()
    lines: list[Line] = [Heartbeat("n2.box.lan", 0.001), Heartbeat("n2.box.lan", 0.00101), Sign("box.lan")]
    assert once.take(lines, 1.0) == [Heartbeat("n2", 0.001)]
    assert once.take([Heartbeat("10.0.0.1_4647.box.lan", 0.001)], 1.1) == [Heartbeat("10.0.0.1_4647", 0.001)]
    # A peer that is not known yet is none of those whose names it begins with.
    assert once.take([Heartbeat("n2.box2.lan", 0.001)], 1.2) == [Heartbeat("n2.box2.lan", 0.001)]
    assert once.take([LeaderSpoke(""), Heartbeat("n2.box.lan", 0.001)], 1.3) == [
        Heartbeat("n2.box.lan", 0.001)
    ]


def tagged(peer: str, ms: float) -> Heartbeat:
    return Heartbeat(peer, ms / 1000, tagged=True)


def test_of_dogstatsd_the_tagged_form_counts() -> None:
    once = Once()
    assert once.take([tagged("n2", 0.4), Heartbeat("n2", 0.00041)], 0.0) == [tagged("n2", 0.4)]
    assert once.take([Heartbeat("n2", 0.00031), tagged("n2", 0.3)], 0.1) == [tagged("n2", 0.3)]


def test_the_first_tagged_line_may_come_after_its_plain_twin() -> None:
    once = Once()
    assert once.take([Heartbeat("n2", 0.00041)], 0.0) == [Heartbeat("n2", 0.00041)]
    assert once.take([tagged("n2", 0.4)], 0.1) == []
    assert once.take([tagged("n2", 0.4)], 0.2) == [tagged("n2", 0.4)]


def test_plain_names_count_again_when_tags_end() -> None:
    once = Once()
    once.take([tagged("n2", 0.4)], 0.0)
    taken = [once.take([Heartbeat("n2", 0.0004)], 1.0 + i) for i in range(40)]
    assert [len(each) for each in taken] == [0] * 16 + [1] * 24
