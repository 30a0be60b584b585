"""rqlite (facts/products.md 1.4)."""

from __future__ import annotations

import base64
from typing import Any

import pytest

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
from raft_exporter.secret import Secret
from raft_exporter.sources.nodes.reading import EVERY
from raft_exporter.sources.nodes.rqlite import RqliteAdapter
from tests.nodes.bodies import rqlite_status
from tests.nodes.fake import Handler, Node, asking, says

MEMBERS = (
    Server("1", "10.1.10.10:4002"),
    Server("2", "10.1.10.11:4002"),
    Server("3", "10.1.10.12:4002", Suffrage.NONVOTER),
)


def store(raft: dict[str, Any] | None = None, **changes: Any) -> Handler:
    """Answer with another store; None leaves a key out."""
    body = rqlite_status()
    told = body["store"] | changes
    told["raft"] = {key: value for key, value in (told["raft"] | (raft or {})).items() if value is not None}
    return says({**body, "store": {key: value for key, value in told.items() if value is not None}})


async def turn(answer: Handler) -> list[Evidence]:
    adapter = RqliteAdapter()
    async with asking(Node({"/status": answer}), adapter) as api:
        return list(await adapter.ask(api))


async def state(answer: Handler) -> NodeStatus:
    told = (await turn(answer))[-1]
    assert isinstance(told, NodeStatus)
    return told


async def test_status_tells_everything_at_once() -> None:
    identity, members, told = await turn(says(rqlite_status()))
    assert identity == NodeIdentity("1", "10.1.10.10:4002", heartbeat_timeout=1.5)
    assert members == Configuration(MEMBERS)
    assert told == NodeStatus(
        role=Role.FOLLOWER,
        term=3,
        last_log_index=10,
        commit_index=9,
        applied_index=8,
        snapshot_index=5,
        fsm_pending=1,
        protocol_version=3,
        leader_id="2",
        leader_address="10.1.10.11:4002",
        last_contact=told.last_contact if isinstance(told, NodeStatus) else None,
        heartbeats=False,
    )
    assert told.last_contact == pytest.approx(0.046584898)


async def test_only_status_is_asked() -> None:
    adapter, node = RqliteAdapter(), Node({"/status": says(rqlite_status())})
    async with asking(node, adapter) as api:
        lengths = [len(await adapter.ask(api)) for _ in range(EVERY + 1)]
    assert set(node.paths()) == {"/status"}
    assert lengths == [3, *[1] * (EVERY - 1), 3]


async def test_a_node_without_a_vote_says_so_in_the_list_of_nodes() -> None:
    answer = store({"voter": False}, node_id="3", addr="10.1.10.12:4002")
    identity, members, _ = await turn(answer)
    assert isinstance(identity, NodeIdentity)
    assert isinstance(members, Configuration)
    assert {server.id: server.suffrage for server in members.servers}[identity.id] is Suffrage.NONVOTER


@pytest.mark.parametrize("contact", [0, "0", "never"])
async def test_the_leader_s_last_contact_is_a_number_or_a_text(contact: object) -> None:
    told = await state(store({"state": "Leader", "last_contact": contact}))
    assert (told.role, told.last_contact) == (Role.LEADER, None)


async def test_no_leader() -> None:
    told = await state(store(leader={"node_id": "", "addr": ""}))
    assert (told.leader_id, told.leader_address) == ("", "")


@pytest.mark.parametrize(
    ("leader", "expected"),
    [
        (None, (None, "")),
        ({"node_id": "2", "addr": ""}, ("2", "10.1.10.11:4002")),
        ({"node_id": "", "addr": "10.1.10.11:4002"}, ("2", "10.1.10.11:4002")),
        ({"addr": "10.9.9.9:1"}, ("10.9.9.9:1", "10.9.9.9:1")),
    ],
)
async def test_a_leader_that_is_told_by_half(
    leader: dict[str, str] | None, expected: tuple[str | None, str]
) -> None:
    told = await state(store(leader=leader))
    assert (told.leader_id, told.leader_address) == expected


async def test_what_a_store_leaves_out_stays_unknown() -> None:
    (told,) = await turn(store(node_id=None, nodes=None))
    assert isinstance(told, NodeStatus)
    assert (told.role, told.leader_id) == (Role.FOLLOWER, "2")


async def test_a_store_that_is_not_open_is_all_that_is_told() -> None:
    with pytest.raises(NodeError, match="not open") as error:
        await turn(says({"store": {"open": False}}))
    assert error.value.reason == "status"


async def test_an_open_store_without_raft_is_malformed() -> None:
    with pytest.raises(NodeError, match=r"expected store\.raft") as error:
        await turn(says({"store": {"open": True}}))
    assert error.value.reason == "malformed"


@pytest.mark.parametrize(
    ("raft", "text", "seconds"),
    [
        ({"config": {"HeartbeatTimeout": 2_000_000_000}}, "1s", 2.0),
        ({"config": {}}, "1s", 1.0),
        ({"config": None}, "1m0.5s", 60.5),
        ({"config": None}, None, None),
    ],
)
async def test_the_heartbeat_timeout_is_told_in_two_places(
    raft: dict[str, Any], text: str | None, seconds: float | None
) -> None:
    identity = (await turn(store(raft, heartbeat_timeout=text)))[0]
    assert isinstance(identity, NodeIdentity)
    assert identity.heartbeat_timeout == seconds


@pytest.mark.parametrize("nanoseconds", [0, -1, 4_999_999, 600_000_000_001, 2**63, "1s", 1.5])
async def test_a_heartbeat_timeout_that_can_t_be_is_malformed(nanoseconds: object) -> None:
    with pytest.raises(NodeError) as error:
        await turn(store({"config": {"HeartbeatTimeout": nanoseconds}}))
    assert error.value.reason == "malformed"


@pytest.mark.parametrize("text", ["", "1", "soon", "11m", "1ms"])
async def test_a_heartbeat_timeout_in_words_that_can_t_be_is_malformed(text: str) -> None:
    with pytest.raises(NodeError) as error:
        await turn(store({"config": None}, heartbeat_timeout=text))
    assert error.value.reason == "malformed"


@pytest.mark.parametrize(
    "changes",
    [
        {"open": "yes"},
        {"node_id": ""},
        {"node_id": 1},
        {"node_id": "n" * 257},
        {"leader": "10.1.10.11:4002"},
        {"nodes": [{"id": "1", "addr": "a:1", "suffrage": "Spectator"}]},
        {"nodes": [{"id": "1", "addr": "a:1"}]},
        {"nodes": [{"id": "1", "addr": "a:1", "suffrage": "Voter"}] * 2},
        {"nodes": [{"id": str(n), "addr": "a:1", "suffrage": "Voter"} for n in range(257)]},
    ],
    ids=lambda changes: str(changes)[:40],
)
async def test_a_store_that_makes_no_sense_is_malformed(changes: dict[str, Any]) -> None:
    with pytest.raises(NodeError) as error:
        await turn(store(**changes))
    assert error.value.reason == "malformed"


async def test_without_the_permission_the_words_say_which() -> None:
    with pytest.raises(
        NodeError, match=r"401 \(Unauthorized\); it needs a user with the permission 'status'"
    ):
        await turn(says(b"", 401, "text/plain"))


async def test_other_refusals_say_nothing_of_permissions() -> None:
    with pytest.raises(NodeError, match=r"503 \(Service Unavailable\)$") as error:
        await turn(says(b"leader not found", 503, "text/plain"))
    assert error.value.reason == "status"


async def test_user_and_password_are_basic_authentication() -> None:
    adapter, node = RqliteAdapter(), Node({"/status": says(rqlite_status())})
    async with asking(node, adapter, token="ann:pa:ss wörd") as api:
        await adapter.ask(api)
    scheme, _, told = node.headers[0]["Authorization"].partition(" ")
    assert (scheme, base64.b64decode(told).decode()) == ("Basic", "ann:pa:ss wörd")


def test_a_token_that_is_not_user_and_password_is_said_without_showing_it() -> None:
    with pytest.raises(NodeError) as error:
        RqliteAdapter.headers(Secret("s3cret"))
    assert error.value.reason == "token_file"
    assert "s3cret" not in str(error.value)
    assert RqliteAdapter.headers(None) == {}
