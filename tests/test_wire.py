"""The codec: the one request that we may send, and answers from anybody."""

from __future__ import annotations

import random

import msgpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from raft_exporter import wire
from raft_exporter.errors import WireError
from raft_exporter.wire import MAX_ANSWER, PROBE, Answer, AnswerReader

BODY = {
    "Addr": b"127.0.0.1:17001",
    "ID": b"n1",
    "LastLog": 7,
    "NoRetryBackoff": False,
    "ProtocolVersion": 3,
    "Success": False,
    "Term": 2,
}
REAL = msgpack.packb("") + msgpack.packb(BODY, use_bin_type=False)
UNSUPPORTED = (
    msgpack.packb("operation not supported with current protocol version", use_bin_type=False) + b"\xc0"
)
BODIES_IN_ALL = 1_000_000


def test_the_probe_is_the_smallest_append_entries_and_has_no_term() -> None:
    """docs/hashicorp-raft.md: type byte 0 and the protocol version, 19 bytes."""
    assert PROBE == b"\x00" + msgpack.packb({"ProtocolVersion": 3})
    assert len(PROBE) == 19


def test_nothing_in_the_codec_can_ask_for_another_term() -> None:
    requests = [name for name in vars(wire) if name.isupper() and isinstance(getattr(wire, name), bytes)]
    assert requests == ["PROBE"]


def test_an_answer_in_pieces_of_any_size() -> None:
    expected = Answer(error="", id="n1", address="127.0.0.1:17001", term=2, last_log_index=7)
    for size in range(1, len(REAL) + 1):
        reader, answers = AnswerReader(), list[Answer]()
        for start in range(0, len(REAL), size):
            answers += reader.feed(REAL[start : start + size])
        assert answers == [expected]


def test_several_answers_at_once() -> None:
    assert len(AnswerReader().feed(REAL + UNSUPPORTED + REAL)) == 3


def test_an_error_is_an_answer_without_a_term() -> None:
    assert AnswerReader().feed(UNSUPPORTED) == [
        Answer(error="operation not supported with current protocol version")
    ]
    with_body = msgpack.packb("no", use_bin_type=False) + msgpack.packb(BODY, use_bin_type=False)
    assert AnswerReader().feed(with_body) == [Answer(error="no")]


def test_nodes_before_1_3_7_do_not_say_who_they_are() -> None:
    old = {key: value for key, value in BODY.items() if key not in {"ID", "Addr"}}
    (answer,) = AnswerReader().feed(b"\xa0" + msgpack.packb(old, use_bin_type=False))
    assert (answer.id, answer.address, answer.term) == ("", "", 2)


def test_ids_that_are_not_utf_8_are_read_without_an_error() -> None:
    (answer,) = AnswerReader().feed(b"\xa0" + msgpack.packb(BODY | {"ID": b"\xff\xfe"}, use_bin_type=False))
    assert answer.id == "\ufffd\ufffd"


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"HTTP/1.1 400 Bad Request\r\n", id="an HTTP server"),
        pytest.param(b"\x15\x03\x01\x00\x02\x02\x50", id="a TLS alert"),
        pytest.param(b"\xc1", id="a byte that msgpack never uses"),
        pytest.param(b"\xa0\xc0", id="neither answer nor error"),
        pytest.param(b"\xa0\x90", id="a list as answer"),
        pytest.param(b"\x01\x80", id="a number as error"),
        pytest.param(b"\xa0\x80", id="an answer without a term"),
        pytest.param(b"\xa0" + msgpack.packb(BODY | {"Term": -1}), id="a negative term"),
        pytest.param(b"\xa0" + msgpack.packb(BODY | {"Term": True}), id="a boolean term"),
        pytest.param(b"\xa0" + msgpack.packb(BODY | {"LastLog": 1.5}), id="a fractional index"),
        pytest.param(b"\xa0" + msgpack.packb(BODY | {"ID": 5}), id="a number as id"),
        pytest.param(b"\xa0" + msgpack.packb(BODY | {"ID": b"x" * 2000}), id="an endless id"),
        pytest.param(msgpack.packb(b"x" * 2000) + b"\xc0", id="an endless error"),
        pytest.param(b"\xa0\x81\x90\x01", id="a list as a key"),
        pytest.param(b"\x91" * 5000, id="lists in lists without end"),
        pytest.param(b"\xa0" + b"\xdb\xff\xff\xff\xff" + b"x" * (MAX_ANSWER + 1), id="a string of 4 GiB"),
    ],
)
def test_anything_else_is_a_wire_error(data: bytes) -> None:
    with pytest.raises(WireError):
        AnswerReader().feed(data)


def read(data: bytes, pieces: random.Random | None = None) -> None:
    """Any bytes give answers or WireError; whatever else is raised fails the test."""
    reader = AnswerReader()
    cut = pieces.randrange(len(data) + 1) if pieces else 0
    try:
        for piece in (data[:cut], data[cut:]):
            for answer in reader.feed(piece):
                assert answer.error or answer.term is not None
    except WireError:
        pass


def mutated(rng: random.Random) -> bytes:
    data = bytearray(rng.choice((REAL, UNSUPPORTED)))
    for _ in range(rng.randint(1, 4)):
        at = rng.randrange(len(data) + 1)
        match rng.randrange(5):
            case 0 if at < len(data):
                data[at] = rng.randrange(256)
            case 1:
                data[at:at] = rng.randbytes(rng.randint(1, 4))
            case 2:
                del data[at : at + rng.randint(1, 8)]
            case 3:
                data[at:at] = data[: rng.randrange(len(data) + 1)]
            case _ if at < len(data):
                data[at] ^= 1 << rng.randrange(8)
    return bytes(data)


@settings(max_examples=100)
@given(st.integers(0))
def test_a_million_random_and_mutated_answers(seed: int) -> None:
    rng = random.Random(seed)
    for _number in range(BODIES_IN_ALL // 200):
        read(mutated(rng), rng)
        read(rng.randbytes(rng.randrange(64)))


@given(st.binary(max_size=200))
def test_any_bytes(data: bytes) -> None:
    read(data)


PLAIN = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats()
    | st.binary(max_size=40)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.binary(max_size=8), inner, max_size=4),
    max_leaves=10,
)


@given(PLAIN, PLAIN)
def test_any_two_objects(error: object, body: object) -> None:
    read(msgpack.packb(error) + msgpack.packb(body))


@given(st.dictionaries(st.sampled_from(list(BODY)), PLAIN))
def test_any_values_under_the_right_keys(body: dict[str, object]) -> None:
    read(b"\xa0" + msgpack.packb(BODY | body))
