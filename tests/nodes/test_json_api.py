"""Any JSON: the facts stand where the configuration says."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from raft_exporter.errors import NodeError
from raft_exporter.model.evidence import (
    Configuration,
    Evidence,
    NodeIdentity,
    NodeStatus,
    Role,
    Server,
    Suffrage,
)
from raft_exporter.schema import JsonFieldsConfig
from raft_exporter.sources.nodes.json_api import JsonAdapter, find
from tests.nodes.fake import Node, asking, says

FIELDS = JsonFieldsConfig(
    id="raft.self.id",
    address="raft.self.address",
    role="raft.state",
    term="raft.stats.term",
    last_log_index="raft.stats.last",
    commit_index="raft.stats.commit",
    applied_index="raft.stats.applied",
    leader_id="raft.leader",
    last_contact="raft.contact",
    servers="raft.servers",
)
RAFT: dict[str, Any] = {
    "self": {"id": "n1", "address": "a:1"},
    "state": "FOLLOWER",
    "stats": {"term": 3, "last": "10", "commit": 0, "applied": "8"},
    "leader": "n2",
    "contact": "46ms",
    "servers": [
        {"id": "n1", "address": "a:1", "suffrage": "VOTER"},
        {"id": "n2", "address": "b:1", "suffrage": True},
        {"id": "n3", "address": "c:1", "suffrage": False},
        {"id": "n4", "address": "d:1", "suffrage": "Staging"},
    ],
}
STATUS = NodeStatus(
    role=Role.FOLLOWER,
    term=3,
    last_log_index=10,
    commit_index=0,
    applied_index=8,
    snapshot_index=None,
    fsm_pending=None,
    protocol_version=None,
    leader_id="n2",
    leader_address="b:1",
    last_contact=0.046,
    heartbeats=False,
)


async def turn(
    body: object, fields: JsonFieldsConfig = FIELDS, kind: str = "application/json"
) -> tuple[list[Evidence], dict[str, str]]:
    adapter = JsonAdapter(fields)
    async with asking(Node({"/raft": says(body, kind=kind)}), adapter, path="/raft?verbose=1") as api:
        return list(await adapter.ask(api)), adapter.hints


async def state(fields: JsonFieldsConfig = FIELDS, **changes: object) -> NodeStatus:
    told = (await turn({"raft": RAFT | changes}, fields))[0][-1]
    assert isinstance(told, NodeStatus)
    return told


async def test_each_fact_is_read_from_its_place() -> None:
    evidence, hints = await turn({"raft": RAFT})
    servers = (
        Server("n1", "a:1"),
        Server("n2", "b:1"),
        Server("n3", "c:1", Suffrage.NONVOTER),
        Server("n4", "d:1", Suffrage.STAGING),
    )
    assert evidence == [NodeIdentity("n1", "a:1"), Configuration(servers), STATUS]
    assert not hints


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("a.b.c", 1),
        ("a.x", 2),
        ("a.b.d", 3),
        ("a.b.e.f", 4),
        ("list.1.k", 5),
        ("list.0", "zero"),
        ("list.01.k", 5),
        ("nothing", None),
    ],
)
def test_keys_with_dots_go_before_their_parts_and_positions_count_from_zero(path: str, found: object) -> None:
    value = {
        "a.b": {"c": 1, "e": {}},
        "a": {"x": 2, "b": {"c": 9, "d": 3}},
        "a.b.e": {"f": 4},
        "list": ["zero", {"k": 5}],
        "nothing": None,
    }
    assert find(value, path.split(".")) == found


@pytest.mark.parametrize(
    "path",
    ["b", "a.b", "list.2", "list.-1", "list.x", "list.²", "list.1e0", "list.0.0", "text.0", "number.a"],
)
async def test_where_nothing_stands_nothing_is_known_and_a_hint_says_so(path: str) -> None:
    body = {"a": {}, "list": [1, 2], "text": "abc", "number": 7, "term": 3}
    evidence, hints = await turn(body, JsonFieldsConfig(term="term", commit_index=path))
    assert evidence == [replace(STATUS, role=Role.UNKNOWN, **unknown("term"), leader_address="")]
    assert hints == {"node.api.fields.commit_index": f"nothing stands at {path!r}"}


def unknown(*but: str) -> dict[str, None]:
    names = ("last_log_index", "commit_index", "applied_index", "term", "leader_id", "last_contact")
    return {name: None for name in names if name not in but}


async def test_a_hint_goes_when_the_fact_comes() -> None:
    adapter, node = JsonAdapter(JsonFieldsConfig(term="t", role="r")), Node({"/": says({"r": "leader"})})
    async with asking(node, adapter) as api:
        await adapter.ask(api)
        assert list(adapter.hints) == ["node.api.fields.term"]
        node.answers["/"] = says({"r": "leader", "t": 1})
        await adapter.ask(api)
    assert not adapter.hints


async def test_an_answer_with_nothing_of_what_was_asked_for_is_not_the_node_s() -> None:
    with pytest.raises(NodeError, match=r"expected the fields of node\.api\.fields, found none") as error:
        await turn({"error": "not found"})
    assert error.value.reason == "malformed"


@pytest.mark.parametrize(
    ("word", "role"), [("leader", Role.LEADER), ("Candidate", Role.CANDIDATE), ("SHUTDOWN", Role.SHUTDOWN)]
)
async def test_a_role_in_any_case(word: str, role: Role) -> None:
    assert (await state(state=word)).role is role


async def test_a_word_that_is_no_role_is_unknown_and_a_hint_says_so() -> None:
    evidence, hints = await turn({"state": "primary"}, JsonFieldsConfig(role="state"))
    assert isinstance(evidence[0], NodeStatus)
    assert evidence[0].role is Role.UNKNOWN
    assert "follower" in hints["node.api.fields.role"]


@pytest.mark.parametrize(
    ("contact", "seconds"),
    [
        (0, 0.0),
        (1.5, 1.5),
        ("1.5", 1.5),
        ("1m2.3s", 62.3),
        ("12.5µs", 12.5e-6),
        ("0s", 0.0),
        ("0", None),
        ("never", None),
        (None, None),
    ],
)
async def test_last_contact_is_seconds_or_a_go_duration(contact: object, seconds: float | None) -> None:
    expected = None if seconds is None else pytest.approx(seconds)
    assert (await state(contact=contact)).last_contact == expected


async def test_a_leader_has_no_last_contact() -> None:
    assert (await state(state="leader", contact=0)).last_contact is None


@pytest.mark.parametrize(
    ("changes", "fields", "expected"),
    [
        ({"leader": None}, {}, ("", "")),
        ({"leader": ""}, {}, ("", "")),
        ({"leader": "n9"}, {}, ("n9", "")),
        ({"at": "b:1"}, {"leader_id": None, "leader_address": "raft.at"}, ("n2", "b:1")),
        ({"at": "z:1"}, {"leader_id": None, "leader_address": "raft.at"}, ("z:1", "z:1")),
        ({"at": None}, {"leader_id": None, "leader_address": "raft.at"}, ("", "")),
        ({}, {"leader_id": "gone", "leader_address": None}, (None, "")),
        ({"at": "x:1"}, {"leader_address": "raft.at"}, ("n2", "x:1")),
    ],
)
async def test_a_leader_by_id_by_address_or_none(
    changes: dict[str, object], fields: dict[str, Any], expected: tuple[str | None, str]
) -> None:
    told = await state(replace(FIELDS, **fields), **changes)
    assert (told.leader_id, told.leader_address) == expected


@pytest.mark.parametrize("missing", ["id", "address"])
async def test_servers_without_an_id_or_address_are_no_configuration(missing: str) -> None:
    servers = [*RAFT["servers"], {"id": "n5", "address": "e:1", "suffrage": "voter"} | {missing: None}]
    del servers[-1][missing]
    evidence, hints = await turn({"raft": RAFT | {"servers": servers}})
    assert [type(each) for each in evidence] == [NodeIdentity, NodeStatus]
    assert list(hints) == [f"node.api.fields.server_{missing}"]


async def test_servers_that_do_not_tell_a_suffrage_are_taken_for_voters_and_a_hint_says_so() -> None:
    body = {"raft": RAFT | {"servers": [{"id": "n1", "address": "a:1"}]}}
    evidence, hints = await turn(body)
    assert evidence[1] == Configuration((Server("n1", "a:1"),))
    assert hints["node.api.fields.server_suffrage"].endswith("all of those are voters")


async def test_servers_in_another_s_words() -> None:
    fields = replace(FIELDS, server_id="ID", server_address="Peer.Addr", server_suffrage="Voter")
    servers = [{"ID": "n1", "Peer": {"Addr": "a:1"}, "Voter": False}]
    evidence, _ = await turn({"raft": RAFT | {"servers": servers}}, fields)
    assert evidence[1] == Configuration((Server("n1", "a:1", Suffrage.NONVOTER),))


@pytest.mark.parametrize(
    "changes",
    [
        {"self": {"id": 1, "address": "a:1"}},
        {"self": {"id": "", "address": "a:1"}},
        {"self": {"id": "x" * 257, "address": "a:1"}},
        {"state": 2},
        {"state": "x" * 65},
        {"stats": {"term": -1}},
        {"stats": {"term": "-1"}},
        {"stats": {"term": 1.5}},
        {"stats": {"term": True}},
        {"stats": {"term": 2**63}},
        {"stats": {"term": 10**400}},
        {"stats": {"term": [3]}},
        {"leader": 2},
        {"leader": ["n2"]},
        {"contact": -1},
        {"contact": 1e13},
        {"contact": True},
        {"contact": "1m30"},
        {"contact": ""},
        {"contact": "-1s"},
        {"servers": {"n1": "a:1"}},
        {"servers": [{"id": "n1", "address": "a:1", "suffrage": "observer"}]},
        {"servers": [{"id": "n1", "address": "a:1", "suffrage": 0}]},
        {"servers": [{"id": "n1", "address": "a:1", "suffrage": "voter"}] * 2},
        {"servers": [{"id": f"n{n}", "address": "a:1", "suffrage": "voter"} for n in range(257)]},
    ],
    ids=lambda changes: str(changes)[:40],
)
async def test_a_fact_of_another_type_is_malformed(changes: dict[str, object]) -> None:
    with pytest.raises(NodeError) as error:
        await turn({"raft": RAFT | changes})
    assert error.value.reason == "malformed"


async def test_the_url_is_asked_as_it_is_with_the_token_as_bearer() -> None:
    adapter, node = JsonAdapter(FIELDS), Node({"/raft": says({"raft": RAFT})})
    async with asking(node, adapter, token="s3cret", path="/raft?verbose=1") as api:
        await adapter.ask(api)
    assert node.paths() == ["/raft"]
    assert node.headers[0]["Authorization"] == "Bearer s3cret"


async def test_json_that_go_calls_plain_text_is_taken() -> None:
    evidence, _ = await turn({"raft": RAFT}, kind="text/plain; charset=utf-8")
    assert len(evidence) == 3
