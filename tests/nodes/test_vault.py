"""Vault and OpenBao (facts/products.md 1.3); the bodies are those of OpenBao 2.7.2."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

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
from raft_exporter.sources.node_api import Answer, Api
from raft_exporter.sources.nodes.vault import VaultAdapter
from raft_exporter.sources.nodes.vault_metrics import StateEntries, read_metrics
from tests.nodes.fake import Handler, Node, asking, hangs, says

HEALTH = "/v1/sys/health"
LEADER = "/v1/sys/leader"
SEAL_STATUS = "/v1/sys/seal-status"
CONFIGURATION = "/v1/sys/storage/raft/configuration"
METRICS = "/v1/sys/metrics"

FORWARDED_METRICS = says({"errors": ["cannot forward local-only request"]}, 400)
DENIED = says({"errors": ["permission denied"]}, 403)
STARTING = says({"errors": ["local node not active but active cluster node not found"]}, 500)
NO_PROMETHEUS = says(b"prometheus is not enabled", 400, "text/plain")


async def redirect(_: web.Request) -> web.StreamResponse:
    return web.Response(status=307, headers={"Location": "http://127.0.0.1:1/"})


def health(status: int = 429, **changed: Any) -> Handler:
    body = {
        "initialized": True,
        "sealed": False,
        "standby": status != 200,
        "replication_performance_mode": "primary",
        "replication_dr_mode": "disabled",
        "server_time_utc": 1795375455,
        "version": "2.7.2",
        "cluster_name": "vault-cluster-d043a39b",
        "cluster_id": "6ba10f71-7df4-2d8f-3b5f-f3f9d4b8c0a1",
    }
    return says(body | changed, status)


def leader(*, is_self: bool = False, index: int = 33) -> Handler:
    body: dict[str, object] = {
        "ha_enabled": True,
        "is_self": is_self,
        "leader_address": "http://127.0.0.1:28201",
        "leader_cluster_address": "https://127.0.0.1:28301",
    }
    if index:
        body |= {"raft_committed_index": index, "raft_applied_index": index}
    if is_self:
        body["active_time"] = "2026-11-22T19:23:53.50Z"
    return says(body)


def configuration(
    named: str | None = "n1", ids: Sequence[str] = ("n1", "n2", "n3"), nonvoter: str = ""
) -> Any:
    servers = [
        {
            "node_id": each,
            "address": f"127.0.0.1:2830{each[1:]}",
            "leader": each == named,
            "protocol_version": "3",
            "voter": each != nonvoter,
        }
        for each in ids
    ]
    return {
        "request_id": "082b065e-3c61-f919-789c-cf913d6128f3",
        "lease_id": "",
        "renewable": False,
        "lease_duration": 0,
        "data": {"config": {"servers": servers, "index": 0}},
        "wrap_info": None,
        "warnings": None,
        "auth": None,
    }


def scrape(own: str | None = "n2", term: int = 3, **entered: int) -> Handler:
    return says(scraped(own, term, **entered), kind="text/plain")


def scraped(own: str | None = "n2", term: int = 3, **entered: int) -> bytes:
    lines = ["# HELP vault_core_active vault_core_active", "vault_core_active 0"]
    for state, count in entered.items():
        name = f"vault_raft_state_{state}"
        lines += [f"# HELP {name} {name}", f"# TYPE {name} counter", f"{name} {count}"]
    for fact, value in ({"fsm_pending": 0, "term": term} if own is not None else {}).items():
        name = f"vault_raft_storage_stats_{fact}"
        lines += [f"# HELP {name} {name}", f"# TYPE {name} gauge"]
        lines.append(f'{name}{{cluster="",peer_id="{own}"}} {value}')
    return "\n".join([*lines, ""]).encode()


def standby(**changed: Handler) -> Node:
    """A follower of n1, but for what is changed."""
    return node({"health": health(), "leader": leader(), "metrics": scrape(follower=1)} | changed)


def active(**changed: Handler) -> Node:
    """The active node n1, but for what is changed."""
    metrics = scrape("n1", candidate=2, follower=2, leader=2)
    return node({"health": health(200), "leader": leader(is_self=True), "metrics": metrics} | changed)


def node(told: Mapping[str, Handler]) -> Node:
    paths = {"health": HEALTH, "leader": LEADER, "configuration": CONFIGURATION, "metrics": METRICS}
    answers = {"configuration": says(configuration())} | dict(told)
    return Node({paths.get(name, SEAL_STATUS): answer for name, answer in answers.items()})


async def told_by(node: Node, adapter: VaultAdapter | None = None, within: float = 10.0) -> list[Evidence]:
    adapter = adapter or VaultAdapter()
    async with asking(node, adapter, token="root", within=within) as api:
        return list(await adapter.ask(api))


async def status_of(node: Node, adapter: VaultAdapter | None = None, within: float = 10.0) -> NodeStatus:
    (status,) = [each for each in await told_by(node, adapter, within) if isinstance(each, NodeStatus)]
    return status


async def error_of(node: Node) -> NodeError:
    with pytest.raises(NodeError) as raised:
        await told_by(node)
    return raised.value


async def test_a_follower_tells_all_that_it_can() -> None:
    identity, members, status = await told_by(standby())
    assert identity == NodeIdentity("n2", "127.0.0.1:28302")
    assert members == Configuration(tuple(Server(f"n{n}", f"127.0.0.1:2830{n}") for n in (1, 2, 3)))
    assert isinstance(status, NodeStatus)
    assert (status.role, status.leader_id, status.leader_address) == (
        Role.FOLLOWER,
        "n1",
        "127.0.0.1:28301",
    )
    assert (status.term, status.commit_index, status.applied_index, status.fsm_pending) == (3, 33, 33, 0)
    assert (status.protocol_version, status.last_log_index, status.last_contact) == (3, None, None)
    assert status.heartbeats is False
    assert 0 <= status.age < 10


async def test_the_leader_tells_all_that_it_can() -> None:
    identity, _, status = await told_by(active())
    assert identity == NodeIdentity("n1", "127.0.0.1:28301")
    assert isinstance(status, NodeStatus)
    assert (status.role, status.leader_id, status.term) == (Role.LEADER, "n1", 3)


async def test_a_server_without_a_vote_is_no_voter() -> None:
    _, members, _ = await told_by(standby(configuration=says(configuration(nonvoter="n3"))))
    assert isinstance(members, Configuration)
    assert [each.suffrage for each in members.servers] == [Suffrage.VOTER, Suffrage.VOTER, Suffrage.NONVOTER]


async def test_nothing_is_asked_that_a_standby_forwards_and_every_question_says_so() -> None:
    asked = standby()
    await told_by(asked)
    assert set(asked.paths()) == {HEALTH, LEADER, CONFIGURATION, METRICS}
    assert {each["X-Vault-No-Request-Forwarding"] for each in asked.headers} == {"true"}
    assert {each["X-Vault-Token"] for each in asked.headers} == {"root"}


def test_without_a_token_none_is_sent_and_none_is_shown() -> None:
    assert VaultAdapter.headers(None) == {"X-Vault-No-Request-Forwarding": "true"}
    adapter = VaultAdapter()
    adapter.headers(Secret("s3cret"))
    assert "s3cret" not in repr(vars(adapter))


async def test_a_dead_leader_that_the_api_goes_on_naming_is_not_named() -> None:
    """Its peer was frozen too: sys/health says 429 and sys/leader names n1, Raft's configuration nobody."""
    lost = standby(configuration=says(configuration(None)), metrics=scrape(follower=1, candidate=1))
    status = await status_of(lost)
    assert (status.leader_id, status.leader_address) == ("", "")
    assert status.role is Role.UNKNOWN


async def test_a_candidate_is_told_by_how_often_it_became_one() -> None:
    adapter = VaultAdapter()
    before = await status_of(standby(), adapter)
    lost = {"configuration": says(configuration(None))}
    during = await status_of(standby(metrics=scrape(follower=1, candidate=1), **lost), adapter)
    still = await status_of(standby(metrics=scrape(follower=1, candidate=1), **lost), adapter)
    after = await status_of(standby(metrics=scrape(follower=2, candidate=7)), adapter)
    assert [each.role for each in (before, during, still, after)] == [
        Role.FOLLOWER,
        Role.CANDIDATE,
        Role.CANDIDATE,
        Role.FOLLOWER,
    ]


async def test_an_active_node_that_lost_its_quorum_is_no_leader() -> None:
    """Both followers were killed: for ten seconds and more sys/health said 200 and sys/leader is_self."""
    adapter = VaultAdapter()
    assert (await status_of(active(), adapter)).role is Role.LEADER
    lost = active(
        configuration=says(configuration(None)), metrics=scrape("n1", candidate=2, follower=3, leader=2)
    )
    status = await status_of(lost, adapter)
    assert (status.role, status.leader_id) == (Role.FOLLOWER, "")
    # without metrics nothing tells follower from candidate
    lost = active(configuration=says(configuration(None)), metrics=NO_PROMETHEUS)
    assert (await status_of(lost)).role is Role.UNKNOWN


async def test_a_leader_that_is_not_active_yet_leads() -> None:
    """Raft names it at once; sys/health says 429 for up to two seconds more, and sys/leader hangs."""
    adapter = VaultAdapter()
    adapter._on_raft = True
    elected = node(
        {
            "health": health(),
            "leader": hangs,
            "configuration": says(configuration("n2")),
            "metrics": scrape(follower=1, candidate=1, leader=1),
        }
    )
    status = await status_of(elected, adapter, within=1.0)
    assert (status.role, status.leader_id) == (Role.LEADER, "n2")
    assert (status.commit_index, status.applied_index) == (None, None)
    assert adapter.hints == {}


async def test_what_contradicts_itself_is_no_role() -> None:
    """It became leader in one answer, and in the other Raft names nobody: they were not given at one time."""
    adapter = VaultAdapter()
    await told_by(standby(metrics=scrape(follower=1, candidate=1)), adapter)
    elected = scrape(follower=1, candidate=1, leader=1)
    status = await status_of(standby(configuration=says(configuration(None)), metrics=elected), adapter)
    assert (status.role, status.leader_id) == (Role.UNKNOWN, "")


async def test_a_removed_node_is_not_in_its_own_configuration() -> None:
    """It names its leader for a second more, and stays a follower that never becomes a candidate."""
    adapter = VaultAdapter()
    await told_by(standby(), adapter)
    evidence = await told_by(standby(configuration=says(configuration(None, ("n1", "n3")))), adapter)
    members, status = evidence
    assert isinstance(members, Configuration)
    assert [each.id for each in members.servers] == ["n1", "n3"]
    assert isinstance(status, NodeStatus)
    assert (status.role, status.leader_id) == (Role.FOLLOWER, "")
    assert status.protocol_version is None


async def test_while_a_thawed_leader_starts_anew_nothing_is_made_up() -> None:
    adapter = VaultAdapter()
    await told_by(active(), adapter)
    again = node(
        {
            "health": health(),
            "leader": says({"ha_enabled": True, "is_self": False, "raft_committed_index": 38}),
            "configuration": STARTING,
            "metrics": FORWARDED_METRICS,
        }
    )
    (status,) = await told_by(again, adapter)
    assert isinstance(status, NodeStatus)
    assert (status.role, status.leader_id, status.term, status.commit_index) == (Role.UNKNOWN, None, None, 38)


@pytest.mark.parametrize(
    ("status", "changed", "reason", "words"),
    [
        (503, {"sealed": True, "standby": True}, "sealed", "unsealed"),
        (501, {"initialized": False, "sealed": True, "standby": True}, "not_initialized", "not initialised"),
        (530, {"sealed": True, "removed_from_cluster": True}, "sealed", "sealed"),
        # whoever stands between may have chosen another status
        (200, {"sealed": True}, "sealed", "unsealed"),
    ],
)
async def test_a_node_of_no_use_says_why(
    status: int, changed: dict[str, Any], reason: str, words: str
) -> None:
    asked = standby(health=health(status, **changed))
    error = await error_of(asked)
    assert error.reason == reason
    assert words in str(error)
    assert asked.paths() == [HEALTH]


@pytest.mark.parametrize("status", [429, 472, 473, 474])
async def test_every_standby_is_asked_for_more(status: int) -> None:
    """Of a disaster recovery secondary too, a performance standby, and one that reaches no active node."""
    told = await status_of(standby(health=health(status, performance_standby=status == 473)))
    assert told.role is Role.FOLLOWER


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (says(b"<html>503 Service Unavailable</html>", 503, "text/html"), "status"),
        (says(b"<html>", 200, "text/html"), "content_type"),
        (says({"errors": ["s3cret"]}, 500), "malformed"),
        (says({"initialized": True, "sealed": "no", "standby": False}), "malformed"),
        (says(b"[" * 100_000), "malformed"),
        (redirect, "redirect"),
    ],
    ids=["another's 503", "another's page", "an error", "another type", "deep", "elsewhere"],
)
async def test_what_is_no_health_is_none(answer: Handler, reason: str) -> None:
    error = await error_of(standby(health=answer))
    assert error.reason == reason
    assert "s3cret" not in str(error)


async def test_without_a_token_a_standby_tells_its_indices_alone() -> None:
    """It can't permit by itself: it sends away who asks (307), and says so of its metrics (400)."""
    adapter = VaultAdapter()
    (status,) = await told_by(standby(configuration=redirect, metrics=FORWARDED_METRICS), adapter)
    assert isinstance(status, NodeStatus)
    assert (status.role, status.leader_id, status.term) == (Role.UNKNOWN, None, None)
    assert (status.commit_index, status.applied_index) == (33, 33)
    assert "read on sys/storage/raft/configuration" in adapter.hints[CONFIGURATION]
    assert "read on sys/metrics" in adapter.hints[METRICS]


async def test_without_permission_the_active_node_is_not_taken_for_the_leader() -> None:
    adapter = VaultAdapter()
    (status,) = await told_by(active(configuration=DENIED, metrics=DENIED), adapter)
    assert isinstance(status, NodeStatus)
    assert (status.role, status.leader_id) == (Role.UNKNOWN, None)
    assert set(adapter.hints) == {CONFIGURATION, METRICS}
    await told_by(active(), adapter)
    assert adapter.hints == {}


async def test_without_prometheus_the_active_node_knows_itself_by_its_address() -> None:
    adapter = VaultAdapter()
    identity, _, status = await told_by(active(metrics=NO_PROMETHEUS), adapter)
    assert identity == NodeIdentity("n1", "127.0.0.1:28301")
    assert isinstance(status, NodeStatus)
    assert (status.role, status.term) == (Role.LEADER, None)
    assert "telemetry stanza" in adapter.hints[METRICS]


async def test_without_prometheus_a_standby_follows_the_active_node_if_raft_names_that() -> None:
    members, status = await told_by(standby(metrics=NO_PROMETHEUS))
    assert isinstance(members, Configuration)
    assert isinstance(status, NodeStatus)
    assert (status.role, status.leader_id) == (Role.FOLLOWER, "n1")
    # another leads already: it may be this node itself, that is not active yet
    status = await status_of(standby(metrics=NO_PROMETHEUS, configuration=says(configuration("n3"))))
    assert (status.role, status.leader_id) == (Role.UNKNOWN, "n3")


async def test_with_metrics_alone_role_and_id_are_known() -> None:
    adapter = VaultAdapter()
    identity, status = await told_by(standby(configuration=redirect), adapter)
    assert identity == NodeIdentity("n2", "")
    assert isinstance(status, NodeStatus)
    assert (status.role, status.leader_id, status.term) == (Role.FOLLOWER, None, 3)
    status = await status_of(
        standby(configuration=redirect, metrics=scrape(follower=1, candidate=1)), adapter
    )
    assert (status.role, status.leader_id) == (Role.CANDIDATE, "")


async def test_another_process_is_not_judged_by_the_counts_of_the_last() -> None:
    adapter, lost = VaultAdapter(), says(configuration(None))
    await told_by(standby(metrics=scrape(follower=1)), adapter)
    await status_of(standby(configuration=lost, metrics=scrape(follower=1, candidate=4)), adapter)
    with pytest.raises(NodeError):
        await told_by(standby(health=health(503, sealed=True)), adapter)
    status = await status_of(standby(configuration=lost, metrics=scrape(follower=2, candidate=4)), adapter)
    assert status.role is Role.UNKNOWN


async def test_what_hangs_beside_the_health_does_not_take_all_the_time() -> None:
    adapter = VaultAdapter()
    (status,) = await told_by(
        node({"health": health(), "leader": leader(), "configuration": hangs, "metrics": hangs}),
        adapter,
        within=1.0,
    )
    assert isinstance(status, NodeStatus)
    assert (status.role, status.commit_index) == (Role.UNKNOWN, 33)
    assert status.age >= 0.5
    assert adapter.hints == {}


async def test_a_node_that_keeps_its_data_elsewhere_has_no_raft() -> None:
    nowhere = says({"errors": []}, 404)
    elsewhere = node(
        {
            "health": health(200),
            "leader": leader(is_self=True, index=0),
            "seal": says({"type": "shamir", "sealed": False, "storage_type": "consul"}),
            "configuration": nowhere,
            "metrics": nowhere,
        }
    )
    error = await error_of(elsewhere)
    assert error.reason == "not_found"
    assert "storage_type" in str(error)


async def test_a_node_whose_raft_is_empty_is_asked_for_its_storage_once() -> None:
    adapter, asked = VaultAdapter(), active(leader=leader(is_self=True, index=0))
    asked.answers[SEAL_STATUS] = says({"type": "shamir", "sealed": False, "storage_type": "raft"})
    for _ in range(2):
        assert (await status_of(asked, adapter)).commit_index is None
    assert asked.paths().count(SEAL_STATUS) == 1


class Spoilt(Api):
    """A follower, with something else in one place of one answer."""

    def __init__(self, answers: Mapping[str, bytes]) -> None:
        self.timeout = 10.0
        self._answers = answers

    async def get(self, path: str) -> Answer:
        return Answer(200, "application/json", self._answers[path.partition("?")[0]])


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)
GOOD: Mapping[str, Any] = {
    HEALTH: {"initialized": True, "sealed": False, "standby": True},
    LEADER: {
        "is_self": False,
        "leader_cluster_address": "https://127.0.0.1:28301",
        "raft_committed_index": 33,
        "raft_applied_index": 33,
    },
    CONFIGURATION: configuration(),
    SEAL_STATUS: {"storage_type": "raft"},
}


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Give the place of every value inside another."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, each in inner:
        yield (*path, key)
        yield from places(each, (*path, key))


@given(JSON, st.sampled_from(list(places(dict(GOOD)))), st.sampled_from([None, "n2"]))
def test_any_json_in_any_place_is_evidence_or_a_node_error(
    other: object, place: tuple[Any, ...], own: str | None
) -> None:
    spoilt = json.loads(json.dumps(GOOD))
    part = spoilt
    for key in place[:-1]:
        part = part[key]
    part[place[-1]] = other
    answers = {path: json.dumps(body).encode() for path, body in spoilt.items()}
    adapter = VaultAdapter()
    try:
        evidence = asyncio.run(adapter.ask(Spoilt(answers | {METRICS: scraped(own, follower=1)})))
    except NodeError as error:
        assert error.reason in {"malformed", "sealed", "not_initialized", "not_found"}
        assert "\n" not in str(error)
    else:
        assert isinstance(evidence[-1], NodeStatus)
    assert not any("\n" in hint for hint in adapter.hints.values())


@pytest.mark.parametrize(
    "body",
    [
        configuration("n1", ("n1", "n2", "n1")),
        configuration("n1", [f"n{number}" for number in range(257)]),
        configuration("n1", ("n" + "1" * 300,)),
        {"data": None},
        {"data": {"config": {"servers": [{"node_id": "n1"}]}}},
        [configuration()],
    ],
    ids=["two leaders, one twice", "257 servers", "a long id", "no data", "half a server", "a list"],
)
async def test_a_configuration_that_is_none_tells_nothing(body: object) -> None:
    adapter = VaultAdapter()
    evidence = await told_by(standby(configuration=says(body)), adapter)
    assert not any(isinstance(each, Configuration) for each in evidence)
    assert "\n" not in adapter.hints[CONFIGURATION]


async def test_an_answer_that_repeats_the_token_does_not_get_it_into_the_hints() -> None:
    adapter = VaultAdapter()
    for status in (200, 400, 403, 404, 500):
        answer = says({"s3cret": "s3cret", "errors": ["s3cret"]}, status)
        await told_by(node({"health": health(), "leader": leader(), "configuration": answer}), adapter)
        await told_by(standby(metrics=answer), adapter)
        assert not any("s3cret" in each for each in adapter.hints.values())


async def test_a_turn_that_is_cut_short_leaves_nothing_behind() -> None:
    adapter = VaultAdapter()
    async with asking(standby(leader=hangs, metrics=hangs), adapter) as api:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await adapter.ask(api)
        assert not [each for each in asyncio.all_tasks() if "_told" in repr(each.get_coro())]


def test_the_metrics_of_another_prefix_and_host_are_read() -> None:
    body = scraped("n2", 3, follower=1).replace(b"vault_raft_storage", b"bao_host_raft_storage")
    assert read_metrics(body) == read_metrics(scraped("n2", 3, follower=1))
    assert read_metrics(body.replace(b"_raft_", b"_draft_")).node_id is None


def test_a_gauge_from_before_it_was_active_does_not_hide_the_latest_term() -> None:
    before = scraped("n2", 4, follower=3, candidate=9, leader=1)
    both = before + scraped("n2", 5).replace(b'cluster=""', b'cluster="vault-cluster-a2652eb0"')
    for body in (both, both[len(before) :] + before):
        found = read_metrics(body)
        assert (found.node_id, found.term, found.fsm_pending) == ("n2", 5, None)


def test_an_id_is_read_with_all_its_characters() -> None:
    assert read_metrics(scraped('a\\"b\\\\c')).node_id == 'a"b\\c'


def test_who_goes_by_two_ids_is_not_known() -> None:
    found = read_metrics(scraped("n2", follower=1) + scraped("n3", 7))
    assert (found.node_id, found.term, dict(found.entered)) == (None, None, {Role.FOLLOWER: 1})


@pytest.mark.parametrize("value", ["NaN", "+Inf", "-1", "1e30", "three", "1_0x", ""])
def test_what_is_no_number_is_passed_over(value: str) -> None:
    body = f'vault_raft_state_follower {value}\nvault_raft_storage_stats_term{{peer_id="n1"}} {value}\n'
    found = read_metrics(body.encode())
    assert (found.term, dict(found.entered)) == (None, {})


def test_a_term_of_nobody_is_not_believed() -> None:
    found = read_metrics(b"vault_raft_storage_stats_term 3\n")
    assert (found.node_id, found.term) == (None, None)


def test_a_number_that_is_cut_off_is_none() -> None:
    assert read_metrics(b"vault_raft_state_follower 12").entered == {}


@pytest.mark.parametrize(
    ("turns", "last"),
    [
        ([{}], None),
        ([{"follower": 1}], Role.FOLLOWER),
        ([{"leader": 1}], Role.LEADER),
        ([{"follower": 2, "candidate": 1}], None),
        ([{"follower": 1}, {"follower": 1, "candidate": 1}], Role.CANDIDATE),
        ([{"follower": 1}, {"follower": 1, "candidate": 1, "leader": 1}], None),
        ([{"follower": 2, "candidate": 1}, {"follower": 3, "candidate": 1}], Role.FOLLOWER),
        ([{"follower": 2, "candidate": 1}, {"follower": 3, "candidate": 2}], None),
        # metrics that expire do so in the order in which the states were entered
        ([{"follower": 2, "candidate": 1}, {"candidate": 1}], Role.CANDIDATE),
        ([{"follower": 2, "candidate": 1}, {"follower": 2}], Role.FOLLOWER),
        ([{"follower": 2}, {}], None),
        # it began anew
        ([{"follower": 2, "candidate": 1}, {"follower": 1}], Role.FOLLOWER),
        ([{"follower": 2, "candidate": 1}, {"follower": 1, "candidate": 1}], None),
    ],
    ids=json.dumps,
)
def test_the_state_entered_last(turns: list[dict[str, int]], last: Role | None) -> None:
    entries = StateEntries()
    found = [entries.last({Role(state): count for state, count in turn.items()}) for turn in turns]
    assert found[-1] is last
