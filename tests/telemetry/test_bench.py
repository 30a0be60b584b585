"""The bench of the packets."""

from __future__ import annotations

import pytest

from bench import telemetry
from raft_exporter.model.evidence import HeartbeatsAnswered
from tests.telemetry.captured import packets
from tests.test_bench import last_line


def test_it_ends_with_one_json_object() -> None:
    result = last_line("telemetry", "--n", "1")
    assert set(result["packets"]) == set(telemetry.mixes())
    assert all(rate["packets_per_second"] > 0 and rate["ratio"] > 0 for rate in result["packets"].values())


def test_it_measures_packets_that_are_taken_and_such_that_are_not() -> None:
    heartbeats = {"leader, idle": 97, "leader, busy": 59, "OpenBao, statsd": 98, "OpenBao, dogstatsd": 36}
    rejected = {"strangers' heartbeats": ("unknown_peer", 1000), "binary, 64 KiB": ("not_text", 1)}
    for name, mix in telemetry.mixes().items():
        taker = telemetry.Taker()
        for packet in mix:
            taker.take(packet)
        taker.telemetry.turn(1.0)
        counted = sum(each.count for each in taker.evidence if isinstance(each, HeartbeatsAnswered))
        assert counted == heartbeats.get(name, 0)
        refused = {reason: n for (_, reason), n in taker.intake.rejected.items() if n}
        assert refused == dict([rejected[name]] if name in rejected else [])


@pytest.mark.parametrize("name", ["raft-1.7.3-statsd-leader-idle", "openbao-2.7.2-dogstatsd"])
def test_it_reads_the_recordings_as_the_tests_do(name: str) -> None:
    assert [packet.strip() for packet in telemetry.captured(name)] == [
        packet.strip() for _, packet in packets(name)
    ]
