"""The lines of the observer stream, good and bad (docs/observer-protocol.md)."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from raft_exporter.errors import StreamError
from raft_exporter.model.evidence import (
    HeartbeatFailed,
    HeartbeatsAnswered,
    LeaderChanged,
    NodeIdentity,
    ObservationKind,
    Role,
    RoleChanged,
    Server,
    Suffrage,
)
from raft_exporter.model.histogram import BOUNDS
from raft_exporter.sources import observer_stream as stream
from raft_exporter.sources.observer_stream import MAX_LINE, MAX_SERVERS, Lines

PROTOCOL = Path(__file__).parents[1] / "docs" / "observer-protocol.md"
STATS = {
    "applied_index": "8",
    "commit_index": "9",
    "fsm_pending": "1",
    "last_contact": "46.584898ms",
    "last_log_index": "10",
    "last_snapshot_index": "5",
    "protocol_version": "3",
    "state": "Follower",
    "term": "3",
}


def line(**fields: object) -> bytes:
    return json.dumps({"age_ms": 0} | fields).encode()


def stats(**changes: str) -> stream.Stats:
    message = stream.decode(line(type="stats", stats=STATS | changes, leader_id="n2", leader_address="b:1"))
    assert isinstance(message, stream.Stats)
    return message


def test_every_line_of_the_documented_example_is_understood() -> None:
    (example,) = re.findall(r"```json\n(.*?)```", PROTOCOL.read_text(), re.DOTALL)
    kinds = [type(stream.decode(each.encode())) for each in example.splitlines()]
    assert set(kinds) == {
        stream.Hello,
        stream.StreamConfiguration,
        stream.Stats,
        stream.Heartbeats,
        stream.Observation,
        stream.Dropped,
    }


def test_documented_bounds_are_those_of_the_histogram_and_the_reader() -> None:
    text = PROTOCOL.read_text()
    (bounds,) = re.findall(r"not cumulated: ([0-9., ]+) ms", text)
    assert tuple(float(bound) / 1000 for bound in bounds.split(",")) == BOUNDS
    assert f"{MAX_LINE:,} bytes" in text
    assert f"stream, version {stream.STREAM_VERSION}" in text


def test_hello_tells_who_speaks() -> None:
    message = stream.decode(
        line(type="hello", stream_version=1, node_id="n1", address="a:1", heartbeat_timeout_ms=500)
    )
    assert isinstance(message, stream.Hello)
    assert stream.identity(message) == NodeIdentity(id="n1", address="a:1", heartbeat_timeout=0.5)


@pytest.mark.parametrize(
    ("fields", "reason"),
    [({"stream_version": 2, "node_id": "n1"}, "unsupported_version"), ({"stream_version": 1}, "invalid")],
)
def test_hello_of_another_version_or_of_nobody(fields: dict[str, object], reason: str) -> None:
    message = stream.decode(line(type="hello", **fields))
    assert isinstance(message, stream.Hello)
    with pytest.raises(StreamError) as error:
        stream.identity(message)
    assert error.value.reason == reason


def test_stats_are_read_as_numbers() -> None:
    status = stream.status(stats())
    assert (status.role, status.term, status.last_log_index, status.commit_index) == (Role.FOLLOWER, 3, 10, 9)
    assert (status.applied_index, status.snapshot_index, status.fsm_pending) == (8, 5, 1)
    assert (status.leader_id, status.leader_address, status.protocol_version) == ("n2", "b:1", 3)
    assert status.last_contact == pytest.approx(0.046584898)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0", None),
        ("never", None),
        ("1m2.3s", 62.3),
        ("1h0m0.5s", 3600.5),
        ("250ns", 250e-9),
        ("12.5µs", 12.5e-6),
        ("0s", 0.0),
    ],
)
def test_last_contact_is_a_go_duration(text: str, seconds: float | None) -> None:
    contact = stream.status(stats(last_contact=text)).last_contact
    assert contact == (None if seconds is None else pytest.approx(seconds))


@pytest.mark.parametrize(
    "change",
    [
        {"term": "-1"},
        {"term": "1e3"},
        {"term": ""},
        {"commit_index": "9" * 21},
        {"commit_index": "9" * 20},
        {"applied_index": "٣"},
        {"last_contact": "soon"},
        {"last_contact": "5"},
        {"last_contact": "1s2"},
        {"last_contact": "x1s"},
        {"last_contact": "1s" * 30},
    ],
)
def test_stats_that_make_no_sense_are_invalid(change: dict[str, str]) -> None:
    with pytest.raises(StreamError) as error:
        stream.status(stats(**change))
    assert error.value.reason == "invalid"


def test_a_state_nobody_knows_is_unknown() -> None:
    assert stream.status(stats(state="Dreaming")).role is Role.UNKNOWN


def test_configuration_and_its_suffrage() -> None:
    message = stream.decode(
        line(
            type="configuration",
            index=0,
            servers=[
                {"id": "n1", "address": "a:1", "suffrage": "Voter"},
                {"id": "n2", "address": "b:1", "suffrage": "Nonvoter"},
                {"id": "n3", "address": "c:1", "suffrage": "Staging"},
            ],
        )
    )
    assert isinstance(message, stream.StreamConfiguration)
    configuration = stream.configuration(message)
    assert configuration.index is None, "0 stands for not known"
    assert configuration.servers == (
        Server("n1", "a:1"),
        Server("n2", "b:1", Suffrage.NONVOTER),
        Server("n3", "c:1", Suffrage.STAGING),
    )


def servers(count: int) -> list[stream.StreamServer]:
    return [stream.StreamServer(id=f"n{i}", address="a:1", suffrage="Voter") for i in range(count)]


@pytest.mark.parametrize(
    ("configuration", "reason"),
    [
        (stream.StreamConfiguration(servers(MAX_SERVERS + 1)), "too_many_servers"),
        (stream.StreamConfiguration(servers(2) + servers(1)), "invalid"),
        (stream.StreamConfiguration([stream.StreamServer("n1", "a:1", "King")]), "invalid"),
    ],
)
def test_configurations_that_make_no_sense(configuration: stream.StreamConfiguration, reason: str) -> None:
    with pytest.raises(StreamError) as error:
        stream.configuration(configuration)
    assert error.value.reason == reason


def test_heartbeats_carry_the_age_of_the_last_one() -> None:
    peer = {"peer": "n2", "count": 2, "last_age_ms": 100, "sum_ms": 3, "buckets": [2] + [0] * len(BOUNDS)}
    message = stream.decode(line(type="heartbeats", age_ms=50, peers=[peer, peer | {"count": 0}]))
    assert isinstance(message, stream.Heartbeats)
    (heartbeats,) = stream.heartbeats(message)
    assert heartbeats.age == pytest.approx(0.15)
    assert replace(heartbeats, age=0) == HeartbeatsAnswered(
        peer="n2", count=2, total=0.003, buckets=(2, *[0] * len(BOUNDS)), age=0
    )


@pytest.mark.parametrize(
    ("fields", "kind", "evidence"),
    [
        ({"kind": "failed_heartbeat", "peer": "n2"}, "failed_heartbeat", HeartbeatFailed("n2", 0.5)),
        ({"kind": "leader", "leader_id": "", "leader_address": ""}, "leader", LeaderChanged("", "", 0.5)),
        ({"kind": "state", "state": "Leader"}, "state", RoleChanged(Role.LEADER, 0.5)),
        ({"kind": "state", "state": "Dreaming"}, "state", None),
        ({"kind": "resumed_heartbeat", "peer": "n2"}, "resumed_heartbeat", None),
        ({"kind": "request_vote", "term": 4, "candidate": "n2"}, "request_vote", None),
        ({"kind": "news"}, None, None),
    ],
)
def test_observations(fields: dict[str, object], kind: str | None, evidence: object) -> None:
    message = stream.decode(line(type="observation", **{"age_ms": 500} | fields))
    assert isinstance(message, stream.Observation)
    assert stream.observation(message) == (kind and ObservationKind(kind), evidence)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"garbage", "malformed"),
        (b"\xff\xfe", "malformed"),
        (b"{", "malformed"),
        (b"[" * 100_000, "invalid"),
        (b'{"type":"stats","x":' + b"[" * 100_000, "malformed"),
        (b"[1]", "invalid"),
        (b"3", "invalid"),
        (b"{}", "invalid"),
        (b'{"type":7}', "invalid"),
        (b'{"type":"gossip"}', "unknown_type"),
        (b'{"type":"stats","age_ms":-1,"stats":{}}', "invalid"),
        (b'{"type":"stats","age_ms":NaN,"stats":{}}', "malformed"),
        (b'{"type":"stats","age_ms":1e999,"stats":{}}', "invalid"),
        (b'{"type":"stats","age_ms":0,"stats":{"term":3}}', "invalid"),
        (b'{"type":"dropped","count":-1}', "invalid"),
        (b'{"type":"dropped","count":1' + b"0" * 400 + b"}", "invalid"),
        (b'{"type":"heartbeats","age_ms":0,"peers":[{"peer":"n2"}]}', "invalid"),
        (b'{"type":"configuration","servers":[{"id":"","address":"a:1","suffrage":"Voter"}]}', "invalid"),
    ],
)
def test_bad_lines_are_rejected_with_their_reason(data: bytes, reason: str) -> None:
    with pytest.raises(StreamError) as error:
        stream.decode(data)
    assert error.value.reason == reason
    assert "\n" not in str(error.value)


@given(st.binary() | st.text().map(str.encode))
def test_any_line_is_a_message_or_a_stream_error(data: bytes) -> None:
    with pytest.raises(StreamError) as error:
        stream.decode(data)
    assert error.value.reason in stream.REASONS


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
FIELDS = (
    "age_ms",
    "stats",
    "servers",
    "peers",
    "kind",
    "count",
    "stream_version",
    "node_id",
    "peer",
    "index",
)


@given(
    st.sampled_from(["hello", "stats", "configuration", "heartbeats", "observation", "dropped"]),
    st.dictionaries(st.sampled_from(FIELDS), JSON),
)
def test_any_values_in_the_right_fields(kind: str, fields: dict[str, object]) -> None:
    readers = {
        stream.Hello: stream.identity,
        stream.Stats: stream.status,
        stream.StreamConfiguration: stream.configuration,
        stream.Heartbeats: stream.heartbeats,
        stream.Observation: stream.observation,
        stream.Dropped: lambda message: message.count,
    }
    try:
        message = stream.decode(json.dumps({"type": kind} | fields).encode())
        readers[type(message)](message)  # type: ignore[operator]
    except StreamError as error:
        assert error.reason in stream.REASONS


@given(st.lists(st.binary(max_size=30).map(lambda data: data.replace(b"\n", b"")), max_size=10), st.randoms())
def test_lines_come_out_whole_however_they_arrive(lines: list[bytes], rng: object) -> None:
    data = b"".join(each + b"\n" for each in lines)
    splitter, found = Lines(), list[bytes]()
    while data:
        size = rng.randint(1, len(data))  # type: ignore[attr-defined]
        complete, oversized = splitter.feed(data[:size])
        assert not oversized
        found += complete
        data = data[size:]
    assert found == [each for each in lines if each]
    assert not splitter.half


@pytest.mark.parametrize("step", [1000, MAX_LINE, 10 * MAX_LINE])
def test_an_oversized_line_is_counted_once_and_skipped_up_to_its_newline(step: int) -> None:
    data = b"a\n" + b"x" * (3 * MAX_LINE) + b"\nb\n"
    splitter, found, oversized = Lines(), list[bytes](), 0
    for start in range(0, len(data), step):
        complete, over = splitter.feed(data[start : start + step])
        found += complete
        oversized += over
    assert (found, oversized) == ([b"a", b"b"], 1)


def test_the_longest_line_allowed_is_taken_and_one_byte_more_is_not() -> None:
    splitter = Lines()
    assert splitter.feed(b"x" * (MAX_LINE - 1) + b"\n") == ([b"x" * (MAX_LINE - 1)], 0)
    assert splitter.feed(b"x" * MAX_LINE + b"\n") == ([], 1)


def test_half_a_line_is_known() -> None:
    splitter = Lines()
    splitter.feed(b"a\nb")
    assert splitter.half
