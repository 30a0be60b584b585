"""The report between sidecars: what is written is what is read, and nothing else gets in."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from raft_exporter.errors import ReportError
from raft_exporter.model.evidence import Configuration, Report, ReportedMember, Role, Server, Suffrage
from raft_exporter.model.override import FORCED, MAX_SECONDS, MAX_TEXT, Override
from raft_exporter.report import MAX_BODY, MAX_ENTRIES, Message, decode, encode

WALL = 1_700_000_000.0
OVERRIDE = Override(
    set_at=WALL - 60,
    node="n1",
    state="offline",
    expires_at=WALL + 3600,
    author="ann",
    reason="disk swap",
    peer="n2",
)
MESSAGE = Message(
    report=Report(
        reporter="n1",
        members=(
            ReportedMember("n1", 0.0, 0.1, 0.2),
            ReportedMember("n2", 12.5, None, None, refusals=3, refused_for=1.5),
        ),
        isolated=True,
        installing_snapshot=True,
        configuration=Configuration(
            (Server("n1", "a:1"), Server("n2", "b:1", Suffrage.NONVOTER)),
            7,
        ),
        heartbeat_timeout=0.5,
    ),
    address="a:1",
    role=Role.FOLLOWER,
    term=4,
    overrides=(OVERRIDE,),
    sidecars={"n2": "http://b:9641"},
)

BODY = {
    "version": 1,
    "node": {
        "id": "n1",
        "address": "a:1",
        "isolated": True,
        "installing_snapshot": True,
        "role": "follower",
        "term": 4,
        "heartbeat_timeout_seconds": 0.5,
    },
    "members": [
        {
            "id": "n1",
            "silence_seconds": 0.0,
            "heartbeat_seconds": 0.1,
            "raft_seconds": 0.2,
            "refusals": 0,
            "refused_for_seconds": 0.0,
        },
        {
            "id": "n2",
            "silence_seconds": 12.5,
            "heartbeat_seconds": None,
            "raft_seconds": None,
            "refusals": 3,
            "refused_for_seconds": 1.5,
        },
    ],
    "configuration": {
        "servers": [
            {"id": "n1", "address": "a:1", "suffrage": "voter"},
            {"id": "n2", "address": "b:1", "suffrage": "nonvoter"},
        ],
        "index": 7,
    },
    "overrides": [
        {
            "set_at": WALL - 60,
            "node": "n1",
            "state": "offline",
            "expires_at": WALL + 3600,
            "author": "ann",
            "reason": "disk swap",
            "peer": "n2",
        }
    ],
    "sidecars": {"n2": "http://b:9641"},
}


def read(document: dict[str, Any]) -> Message:
    return decode(json.dumps(document).encode(), WALL)


def refusal(body: bytes) -> str:
    with pytest.raises(ReportError) as caught:
        decode(body, WALL)
    assert str(caught.value).startswith("expected ")
    assert "\n" not in str(caught.value)
    return caught.value.reason


def refusal_of(**changes: Any) -> str:
    return refusal(json.dumps(BODY | changes).encode())


def test_the_body_is_as_documented() -> None:
    assert json.loads(encode(MESSAGE)) == BODY


def test_what_is_written_is_read() -> None:
    assert decode(encode(MESSAGE), WALL) == MESSAGE


def test_only_version_node_and_members_are_needed_and_unknown_fields_are_skipped() -> None:
    node = {"id": "n1", "mood": "good"}
    message = read({"version": 1, "node": node, "members": [], "later": [{}]})
    assert message == Message(report=Report("n1", ()))


def test_another_version_is_said_so_even_if_nothing_else_is_as_expected() -> None:
    with pytest.raises(ReportError, match="expected version 1 of the report, got 2") as caught:
        decode(b'{"version": 2, "node": 7}', WALL)
    assert caught.value.reason == "version"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{}",
        b"null",
        b"<html>",
        b'{"version": "1"}',
        b'{"version": 1}',
        b'{"version": 1, "node": {"id": "n1"}}',
        b'{"version": 1, "node": {"id": "\xff"}, "members": []}',
        b"[" * 100_000,
        b'{"x": ' + b"[" * 100_000,
        b'{"version": 1, "node": {"id": "n1"}, "members": [], "overrides": ' + b"[" * 100_000,
    ],
)
def test_what_is_no_report_is_malformed(body: bytes) -> None:
    assert refusal(body) == "malformed"


def test_a_report_over_one_mebibyte_is_too_large() -> None:
    body = json.dumps(BODY).encode()
    assert decode(body.ljust(MAX_BODY), WALL) == MESSAGE
    assert refusal(body.ljust(MAX_BODY + 1)) == "too_large"


def row(**changes: Any) -> list[dict[str, Any]]:
    return [{"id": "n1", "silence_seconds": 1.0} | changes]


@pytest.mark.parametrize(
    "members",
    [
        row(id=""),
        row(id="x" * 257),
        row(id="a\nb"),
        row(id="a\u2028b"),
        row(silence_seconds=-1),
        row(silence_seconds=float("nan")),
        row(silence_seconds=float("inf")),
        row(silence_seconds=1e13),
        row(silence_seconds=None),
        row(heartbeat_seconds="1"),
        row(raft_seconds=-0.1),
        row(refusals=-1),
        row(refusals=1.5),
        row(refusals=2**63),
        row(refused_for_seconds=-1),
        row() + row(),
        [{"id": f"n{number}", "silence_seconds": 0} for number in range(MAX_ENTRIES + 1)],
    ],
)
def test_a_member_beyond_the_bounds_makes_the_report_malformed(members: list[dict[str, Any]]) -> None:
    assert refusal_of(members=members) == "malformed"


@pytest.mark.parametrize(
    "configuration",
    [
        {"servers": [{"id": "n1", "address": "a:1", "suffrage": "king"}]},
        {"servers": [{"id": "n1", "address": "a" * 1025, "suffrage": "voter"}]},
        {"servers": [{"id": "n1", "address": "a\x1b:1", "suffrage": "voter"}]},
        {"servers": [{"id": "n1", "address": "a:1", "suffrage": "voter"}] * 2},
        {"servers": [], "index": -1},
        {"index": 1},
        {
            "servers": [
                {"id": f"n{number}", "address": "", "suffrage": "voter"} for number in range(MAX_ENTRIES + 1)
            ]
        },
    ],
)
def test_a_configuration_beyond_the_bounds_makes_the_report_malformed(configuration: dict[str, Any]) -> None:
    assert refusal_of(configuration=configuration) == "malformed"


@pytest.mark.parametrize(
    "node",
    [
        {"id": "n\x00"},
        {"id": "n1", "address": "a\n"},
        {"id": "n1", "term": -1},
        {"id": "n1", "role": "king"},
        {"id": "n1", "isolated": 1},
    ],
)
def test_a_node_beyond_the_bounds_makes_the_report_malformed(node: dict[str, Any]) -> None:
    assert refusal_of(node=node) == "malformed"


@pytest.mark.parametrize(
    "changes",
    [
        {"state": "broken"},
        {"state": None},
        {"peer": ""},
        {"peer": "x" * 257},
        {"node": "a\nb"},
        {"author": "a\x1b[31m"},
        {"reason": "x" * (MAX_TEXT + 1)},
        {"reason": "a\nb"},
        {"set_at": -1.0},
        {"set_at": WALL + 86401.0},
        {"expires_at": WALL - 60 + MAX_SECONDS + 1},
        {"expires_at": "never"},
        {"expires_at": -1},
    ],
)
def test_an_override_that_breaks_the_rules_is_left_out_and_the_rest_stands(changes: dict[str, Any]) -> None:
    good = msgspec.to_builtins(OVERRIDE)
    message = read(BODY | {"overrides": [good | changes, good, 7, {}]})
    assert message.overrides == (OVERRIDE,)
    assert message.refused == ("override",) * 3
    assert message.report == MESSAGE.report


@pytest.mark.parametrize("state", [*FORCED, ""])
def test_every_state_that_can_be_forced_and_a_tombstone_may_be_told(state: str) -> None:
    longest = replace(OVERRIDE, state=state, expires_at=OVERRIDE.set_at + MAX_SECONDS)
    assert decode(encode(replace(MESSAGE, overrides=(longest,))), WALL).overrides == (longest,)


def test_a_tombstone_needs_no_words_and_a_node_without_a_name_may_set_one() -> None:
    cleared = replace(OVERRIDE, state="", author="", reason="", node="", expires_at=1.0)
    assert decode(encode(replace(MESSAGE, overrides=(cleared,))), WALL).overrides == (cleared,)


@pytest.mark.parametrize(
    "sidecars",
    [
        {"n2": "ftp://b"},
        {"n2": "http://u:p@b:1"},
        {"n2": "http://b:1/path"},
        {"n2": "http://" + "b" * 600},
        {"n2": 7},
        {"": "http://b:1"},
        {"a\nb": "http://b:1"},
    ],
)
def test_a_url_that_breaks_the_rules_is_left_out_and_the_rest_stands(sidecars: dict[str, Any]) -> None:
    message = read(BODY | {"sidecars": {"n3": "https://c:1/"} | sidecars})
    assert message.sidecars == {"n3": "https://c:1"}
    assert message.refused == ("url",)


@pytest.mark.parametrize(
    "changes",
    [
        {"overrides": [1] * (MAX_ENTRIES + 1)},
        {"sidecars": {f"n{number}": "http://b:1" for number in range(MAX_ENTRIES + 1)}},
        {"overrides": {}},
        {"sidecars": []},
    ],
)
def test_too_many_or_another_kind_of_them_is_malformed(changes: dict[str, Any]) -> None:
    assert refusal_of(**changes) == "malformed"


def test_what_no_reader_takes_is_not_written() -> None:
    odd = Server("a\nb", "a:1")
    report = replace(
        MESSAGE.report,
        members=(*MESSAGE.report.members, ReportedMember("a\nb", 1.0)),
        configuration=Configuration((Server("n1", "a:1"), odd), 7),
    )
    written = decode(encode(replace(MESSAGE, report=report, address="\n")), WALL)
    assert written == replace(MESSAGE, report=replace(MESSAGE.report, configuration=None), address="")


def test_a_configuration_too_large_for_any_reader_is_not_written_in_part() -> None:
    many = tuple(Server(f"n{number}", "") for number in range(MAX_ENTRIES + 1))
    members = tuple(ReportedMember(each.id, 1.0) for each in many)
    report = Report("n1", members, configuration=Configuration(many, 1))
    written = decode(encode(Message(report=report)), WALL)
    assert written.report == Report("n1", members[:MAX_ENTRIES])


_IDS = st.text(st.characters(exclude_categories=["Cc", "Cs", "Zl", "Zp"]), min_size=1, max_size=20)
_AGES = st.floats(min_value=0, max_value=1e12)
_COUNTS = st.integers(min_value=0, max_value=2**63 - 1)
_SERVERS = st.builds(Server, _IDS, _IDS, st.sampled_from(Suffrage))
_MEMBERS = st.builds(
    ReportedMember, _IDS, _AGES, st.none() | _AGES, st.none() | _AGES, refusals=_COUNTS, refused_for=_AGES
)
_REPORTS = st.builds(
    Report,
    _IDS,
    st.lists(_MEMBERS, max_size=4, unique_by=lambda each: each.peer).map(tuple),
    isolated=st.booleans(),
    installing_snapshot=st.booleans(),
    configuration=st.none()
    | st.builds(
        Configuration,
        st.lists(_SERVERS, max_size=4, unique_by=lambda each: each.id).map(tuple),
        st.none() | _COUNTS,
    ),
    heartbeat_timeout=st.none() | st.floats(0.01, 600),
)
_OVERRIDES = st.builds(
    Override,
    set_at=st.floats(min_value=MAX_SECONDS, max_value=WALL),
    node=_IDS,
    state=st.sampled_from([*FORCED, ""]),
    expires_at=st.floats(min_value=0, max_value=MAX_SECONDS),
    author=_IDS,
    reason=_IDS,
    peer=_IDS,
)
_MESSAGES = st.builds(
    Message,
    _REPORTS,
    address=st.just("") | _IDS,
    role=st.sampled_from(Role),
    term=st.none() | _COUNTS,
    overrides=st.lists(_OVERRIDES, max_size=3).map(tuple),
    sidecars=st.dictionaries(_IDS, st.sampled_from(["http://b:1", "https://[::1]:9641"]), max_size=3),
    refused=st.just(()),
)


@given(message=_MESSAGES)
def test_every_report_survives_the_way(message: Message) -> None:
    assert decode(encode(message), WALL) == message


@given(
    at=st.integers(min_value=0, max_value=len(encode(MESSAGE)) - 1),
    gone=st.integers(min_value=0, max_value=20),
    new=st.binary(max_size=8) | st.sampled_from([b"null", b"-1", b"1e999", b'"\\ud800"', b"[", b"9" * 5000]),
)
def test_mutated_bytes_are_a_report_or_the_one_error(at: int, gone: int, new: bytes) -> None:
    body = encode(MESSAGE)
    mutated = body[:at] + new + body[at + gone :]
    try:
        message = decode(mutated, WALL)
    except ReportError as error:
        assert error.reason in {"malformed", "version"}
        assert "\n" not in str(error)
    else:
        assert decode(encode(message), WALL) == replace(message, refused=())


@given(body=st.binary())
def test_any_bytes_are_a_report_or_the_one_error(body: bytes) -> None:
    with pytest.raises(ReportError):
        decode(body, WALL)
