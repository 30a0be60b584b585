"""Recorded packets of real nodes, byte for byte and at their own times."""

from __future__ import annotations

import re

import pytest

from raft_exporter.model.evidence import (
    HeartbeatsAnswered,
    LeaderHeard,
    NodeIdentity,
    NodeStatus,
    Role,
    Server,
    TelemetryHeard,
)
from raft_exporter.model.judge import State
from raft_exporter.model.policy import Policy
from raft_exporter.model.table import Table
from raft_exporter.sources import telemetry_lines
from tests.telemetry.captured import RAFT, packets, text, without_legacy
from tests.telemetry.listener import Listener

STATSD = (f"{RAFT}leader-idle", f"{RAFT}leader-load", "openbao-2.7.2-statsd")
ALL = (*STATSD, f"{RAFT}follower-idle", "openbao-2.7.2-dogstatsd")
HEARTBEATS = {
    f"{RAFT}leader-idle": {"n2": 48, "n3": 49},  # 95 lines: the last one's twin is beyond the end
    f"{RAFT}leader-load": {"n2": 29, "n3": 30},
    f"{RAFT}follower-idle": {},
    "openbao-2.7.2-statsd": {"n2": 54, "n3": 44},
    "openbao-2.7.2-dogstatsd": {"n2": 36},
}


def grep(name: str, peer: str) -> int:
    """The lines of a peer's heartbeats, as anybody would count them."""
    lines = rf"^\w+\.raft\.replication\.heartbeat(\.{peer}:.*\|ms|:.*\|ms\|#peer_id:{peer})$"
    return len(re.findall(lines.encode(), text(name), re.MULTILINE))


@pytest.mark.parametrize("name", ALL)
def test_every_heartbeat_is_counted_once(name: str) -> None:
    listener = Listener("n1", "n2", "n3")
    listener.replay(packets(name))
    assert listener.heartbeats == HEARTBEATS[name]
    assert listener.rejected == {}
    for peer in ("n1", "n2", "n3"):
        assert listener.heartbeats.get(peer, 0) == -(-grep(name, peer) // 2)


@pytest.mark.parametrize("name", STATSD)
def test_without_legacy_telemetry_every_line_is_a_heartbeat(name: str) -> None:
    listener = Listener("n1", "n2", "n3")
    listener.replay(without_legacy(packets(name)))
    assert listener.heartbeats == HEARTBEATS[name]


def test_without_the_plain_name_dogstatsd_counts_the_same() -> None:
    plain = re.compile(rb"^\w+\.raft\.replication\.heartbeat\.\w+:.*\n", re.MULTILINE)
    listener = Listener("n1", "n2", "n3")
    name = "openbao-2.7.2-dogstatsd"
    listener.replay((at, plain.sub(b"", packet)) for at, packet in packets(name))
    assert listener.heartbeats == HEARTBEATS[name]


@pytest.mark.parametrize("name", STATSD)
def test_a_lost_packet_costs_its_heartbeats_and_no_others(name: str) -> None:
    recorded = packets(name)
    for lost in range(0, len(recorded), 7):
        listener = Listener("n1", "n2", "n3")
        listener.replay(recorded[:lost] + recorded[lost + 1 :])
        gone = len(re.findall(rb"raft\.replication\.heartbeat", recorded[lost][1]))
        missing = sum(HEARTBEATS[name].values()) - sum(listener.heartbeats.values())
        assert gone // 2 - 1 <= missing <= -(-gone // 2)


def test_the_round_trips_are_those_of_the_first_lines() -> None:
    listener = Listener("n1", "n2", "n3")
    name = f"{RAFT}leader-load"
    listener.replay(packets(name))
    values = re.findall(rb"heartbeat\.n2:([0-9.]+)\|ms", text(name))
    answered = [each for each in listener.of(HeartbeatsAnswered) if each.peer == "n2"]
    assert sum(each.total for each in answered) == pytest.approx(sum(map(float, values[::2])) / 1000)
    assert sum(sum(each.buckets) for each in answered) == 29


def test_a_leader_is_told_by_the_answers_of_its_peers() -> None:
    for name in (f"{RAFT}leader-idle", f"{RAFT}leader-load"):
        listener = Listener("n1", "n2", "n3")
        listener.replay(packets(name))
        assert listener.roles[-1] is Role.LEADER
        assert set(listener.roles) <= {Role.UNKNOWN, Role.LEADER}
        assert listener.of(LeaderHeard) == []


def test_a_follower_is_told_by_the_heartbeats_that_it_takes() -> None:
    listener = Listener("n1", "n2", "n3")
    name = f"{RAFT}follower-idle"
    listener.replay(packets(name))
    assert listener.roles[-1] is Role.FOLLOWER
    heard = len(listener.of(LeaderHeard))
    assert heard > 20
    assert all(each.age <= 1.5 for each in listener.of(LeaderHeard))
    assert len(re.findall(rb"rpc\.processHeartbeat", text(name))) >= heard


def test_the_leaders_own_words_keep_its_telemetry_fresh() -> None:
    listener = Listener("n1", "n2", "n3")
    listener.replay(packets(f"{RAFT}leader-idle"))
    ages = [each.age for each in listener.of(TelemetryHeard)]
    assert len(ages) == 28
    assert max(ages[:-1]) < 0.2
    assert all(not status.heartbeats for status in listener.of(NodeStatus))


def test_the_table_tells_by_packets_alone_who_is_there_and_who_fell_silent() -> None:
    members = ("n1", "n2", "n3")
    table = Table(Policy.of(1.0), [Server(id=each, address=f"{each}:1") for each in members], now=0.0)
    table.take(NodeIdentity(id="n1", address="n1:1"), 0.0)
    listener = Listener(*members)
    of_n3 = re.compile(rb"^.*\.n3:.*\n", re.MULTILINE)
    recorded = packets(f"{RAFT}leader-idle")
    began = recorded[0][0]
    states = []
    for at, packet in recorded:
        now = at - began
        listener.source.take(packet if now < 3.0 else of_n3.sub(b"", packet), now)
        for evidence in listener.turn(now):
            table.take(evidence, now)
        states += [(each.after.state, now) for each in table.judge(now) if each.peer == "n3" and each.after]
    assert table.role(now) is Role.LEADER
    assert table.members["n2"].verdict.state is State.ONLINE
    assert [state for state, _ in states] == [State.ONLINE, State.SUSPECT]
    assert states[1][1] - 3.0 <= 2.0


@pytest.mark.parametrize("name", ALL)
def test_no_line_of_a_capture_is_at_fault(name: str) -> None:
    assert all(telemetry_lines.read(packet).faults == () for _, packet in packets(name))
