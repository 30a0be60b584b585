"""Consul and Nomad, which differ in little (facts/products.md 1.1, 1.2): each test is asked of both."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from msgspec import Struct

from raft_exporter.errors import NodeError
from raft_exporter.model.evidence import Configuration, NodeIdentity, NodeStatus, Role, Server
from raft_exporter.sources.nodes.agent import Agent
from raft_exporter.sources.nodes.consul import ConsulAdapter
from raft_exporter.sources.nodes.nomad import NomadAdapter
from raft_exporter.sources.nodes.reading import EVERY
from tests.nodes import bodies
from tests.nodes.fake import HASTE, Handler, Node, asking, denied, forwards, hangs, says

SELF = "/v1/agent/self"
LEADER = "/v1/status/leader"
PEERS = "/v1/status/peers"
CONFIGURATION = "/v1/operator/raft/configuration"


class System(Struct, frozen=True):
    """One of the two, and where it differs."""

    adapter: type[Agent]
    port: int
    own: Callable[[], dict[str, Any]]
    stats: Callable[[dict[str, Any]], dict[str, Any]]
    product: str
    header: str
    needs: str

    def node(self, **changed: Handler) -> Node:
        """Give a node that answers as its follower does, but for what is ``changed``."""
        answers = {
            "own": says(self.own()),
            "leader": forwards(says(f"10.1.10.11:{self.port}")),
            "peers": forwards(says(bodies.addresses(self.port))),
            "configuration": forwards(says(bodies.configuration(self.port))),
        } | changed
        paths = {"own": SELF, "leader": LEADER, "peers": PEERS, "configuration": CONFIGURATION}
        return Node({paths[name]: answer for name, answer in answers.items()})

    def own_with(self, product: dict[str, Any] | None = None, **raft: Any) -> Handler:
        """Answer with other stats; None leaves one out."""
        body = self.own()
        for changes, part in ((raft, "raft"), (product or {}, self.product)):
            told = self.stats(body)[part] | changes
            self.stats(body)[part] = {key: value for key, value in told.items() if value is not None}
        return says(body)


CONSUL = System(
    ConsulAdapter,
    8300,
    bodies.consul_self,
    lambda body: body["Stats"],
    "consul",
    "X-Consul-Token",
    "operator:read",
)
NOMAD = System(
    NomadAdapter,
    4647,
    bodies.nomad_self,
    lambda body: body["stats"],
    "nomad",
    "X-Nomad-Token",
    "a management token",
)
both = pytest.mark.parametrize("system", [CONSUL, NOMAD], ids=["consul", "nomad"])


def status(**changes: Any) -> NodeStatus:
    told: dict[str, Any] = {
        "role": Role.UNKNOWN,
        **dict.fromkeys(("term", "last_log_index", "commit_index", "applied_index", "snapshot_index")),
        **dict.fromkeys(("fsm_pending", "protocol_version", "last_contact")),
        "leader_id": "",
        "leader_address": "",
        "heartbeats": False,
    }
    return NodeStatus(**told | changes)


def of(kind: type, evidence: object) -> Any:
    assert isinstance(evidence, list)
    found = [each for each in evidence if isinstance(each, kind)]
    assert len(found) <= 1
    return found[0] if found else None


async def turn(system: System, node: Node, adapter: Agent | None = None) -> tuple[Agent, Any]:
    """Ask once, and give what came of it without the age."""
    adapter = adapter or system.adapter()
    async with asking(node, adapter) as api:
        return adapter, await adapter.ask(api)


def untimed(told: NodeStatus) -> NodeStatus:
    assert 0 <= told.age < 60
    return NodeStatus(**{name: getattr(told, name) for name in told.__struct_fields__ if name != "age"})


@both
async def test_one_question_tells_id_state_leader_and_configuration(system: System) -> None:
    node = system.node()
    adapter, evidence = await turn(system, node)
    leader = f"10.1.10.11:{system.port}"
    assert of(NodeIdentity, evidence) == NodeIdentity(bodies.ALICE, f"10.1.10.10:{system.port}")
    assert of(Configuration, evidence) == Configuration(bodies.servers(system.port))
    told = untimed(evidence[-1])
    assert told.last_contact == pytest.approx(0.046584898)
    assert told == status(
        role=Role.FOLLOWER,
        term=3,
        last_log_index=10,
        commit_index=9,
        applied_index=8,
        snapshot_index=5,
        fsm_pending=1,
        protocol_version=3,
        leader_id=bodies.BOB,
        leader_address=leader,
        last_contact=told.last_contact,
    )
    assert node.paths() == [SELF]
    assert not adapter.hints


@both
async def test_what_stays_the_same_is_told_again_each_tenth_turn(system: System) -> None:
    adapter, node = system.adapter(), system.node()
    async with asking(node, adapter) as api:
        lengths = [len(await adapter.ask(api)) for _ in range(EVERY + 2)]
    assert lengths == [3, *[1] * (EVERY - 1), 3, 1]


@both
async def test_another_configuration_is_told_at_once(system: System) -> None:
    adapter, node = system.adapter(), system.node()
    async with asking(node, adapter) as api:
        await adapter.ask(api)
        text = f"[{{Suffrage:Staging ID:x Address:h:{system.port}}}]"
        node.answers[SELF] = system.own_with(latest_configuration=text, latest_configuration_index="7")
        told = of(Configuration, await adapter.ask(api))
    assert told is not None
    assert (told.servers[0].id, told.servers[0].suffrage, told.index) == ("x", "staging", 7)


@both
@pytest.mark.parametrize(("address", "leader_id"), [("", ""), ("10.9.9.9:1", "10.9.9.9:1"), (None, None)])
async def test_no_leader_a_stranger_as_leader_and_none_told(
    system: System, address: str | None, leader_id: str | None
) -> None:
    _, evidence = await turn(system, system.node(own=system.own_with({"leader_addr": address})))
    assert (evidence[-1].leader_id, evidence[-1].leader_address) == (leader_id, address or "")


@both
@pytest.mark.parametrize(
    ("state", "contact", "role"),
    [("Leader", "0", Role.LEADER), ("Candidate", "never", Role.CANDIDATE), ("Dreaming", None, Role.UNKNOWN)],
)
async def test_leader_and_never_have_no_last_contact(
    system: System, state: str, contact: str | None, role: Role
) -> None:
    _, evidence = await turn(system, system.node(own=system.own_with(state=state, last_contact=contact)))
    assert (evidence[-1].role, evidence[-1].last_contact) == (role, None)


@both
async def test_indices_that_are_left_out_stay_unknown(system: System) -> None:
    left_out = dict.fromkeys(("term", "commit_index", "applied_index", "last_log_index"))
    _, evidence = await turn(system, system.node(own=system.own_with(**left_out)))
    told = evidence[-1]
    assert [told.term, told.commit_index, told.applied_index, told.last_log_index] == [None] * 4


@both
@pytest.mark.parametrize(
    "raft",
    [
        {"term": "-1"},
        {"term": "1e3"},
        {"term": ""},
        {"term": "9" * 20},
        {"term": "٣"},
        {"term": "3\n"},
        {"term": 1.5},
        {"term": True},
        {"commit_index": -1},
        {"applied_index": 2**63},
        {"last_contact": "soon"},
        {"last_contact": "-1s"},
        {"last_contact": "1s" * 30},
        {"last_contact": 5},
        {"state": 3},
        {"state": None},
        {"latest_configuration": ["n1"]},
    ],
    ids=str,
)
async def test_stats_that_make_no_sense_are_malformed(system: System, raft: dict[str, Any]) -> None:
    with pytest.raises(NodeError) as error:
        await turn(system, system.node(own=system.own_with(**raft)))
    assert error.value.reason == "malformed"
    assert str(error.value).startswith(f"{SELF}: ")


@both
async def test_without_a_token_the_local_leader_and_addresses_are_all(system: System) -> None:
    node = system.node(own=denied(), configuration=denied())
    adapter, evidence = await turn(system, node)
    leader = f"10.1.10.11:{system.port}"
    peers = tuple(Server(address, address) for address in bodies.addresses(system.port))
    assert of(NodeIdentity, evidence) is None
    assert of(Configuration, evidence) == Configuration(peers)
    assert untimed(evidence[-1]) == status(leader_id=leader, leader_address=leader)
    assert node.paths() == [SELF, LEADER, CONFIGURATION, PEERS]
    (own, configuration) = adapter.hints.items()
    assert own[0] == SELF
    assert "403 (Forbidden)" in own[1]
    assert "agent:read" in own[1]
    assert configuration[0].startswith(CONFIGURATION)
    assert system.needs in configuration[1]
    assert "addresses are their ids, and all are voters" in configuration[1]


@both
async def test_without_a_token_an_empty_leader_is_no_leader(system: System) -> None:
    node = system.node(own=denied(), configuration=denied(), leader=says(""))
    _, evidence = await turn(system, node)
    assert untimed(evidence[-1]) == status(leader_id="", leader_address="")


@both
async def test_without_a_token_little_is_asked_until_the_leader_changes_or_ten_turns_are_over(
    system: System,
) -> None:
    adapter, node = system.adapter(), system.node(own=denied(), configuration=denied())
    everything = [SELF, LEADER, CONFIGURATION, PEERS]
    async with asking(node, adapter) as api:
        for number in range(EVERY + 1):
            if number == 5:
                node.answers[LEADER] = says(f"10.1.10.10:{system.port}")
            await adapter.ask(api)
            expected = everything if number % EVERY == 0 else everything[1:] if number == 5 else [LEADER]
            assert node.paths() == expected


@both
async def test_a_token_given_later_is_noticed(system: System) -> None:
    adapter, node = system.adapter(), system.node(own=denied(), configuration=denied())
    async with asking(node, adapter) as api:
        await adapter.ask(api)
        node.answers[SELF] = says(system.own())
        for _ in range(EVERY):
            evidence = await adapter.ask(api)
    assert of(NodeIdentity, evidence).id == bodies.ALICE
    assert of(Configuration, evidence).servers == bodies.servers(system.port)
    assert not adapter.hints


@both
async def test_a_token_taken_away_leaves_the_members_their_ids(system: System) -> None:
    adapter, node = system.adapter(), system.node()
    async with asking(node, adapter) as api:
        await adapter.ask(api)
        node.answers |= {SELF: denied(), CONFIGURATION: denied()}
        node.paths()
        evidence = await adapter.ask(api)
    assert node.paths() == [SELF, LEADER, CONFIGURATION]
    assert of(NodeStatus, evidence).role is Role.UNKNOWN
    assert of(NodeStatus, evidence).leader_id == bodies.BOB
    assert of(Configuration, evidence) is None


@both
async def test_ids_come_from_the_operators_endpoint_where_the_stats_are_shut(system: System) -> None:
    adapter, evidence = await turn(system, system.node(own=denied()))
    assert of(Configuration, evidence) == Configuration(bodies.servers(system.port))
    assert evidence[-1].leader_id == bodies.BOB
    assert list(adapter.hints) == [SELF]


@both
async def test_a_stale_peer_that_serf_does_not_know_is_a_member_all_the_same(system: System) -> None:
    _, evidence = await turn(system, system.node(own=denied()))
    assert bodies.CAROL in {server.id for server in of(Configuration, evidence).servers}


@both
async def test_a_configuration_that_can_t_be_read_in_the_stats_is_asked_for(system: System) -> None:
    node = system.node(own=system.own_with(latest_configuration="[{Suffrage:Voter ID:a b Address:c:1}]"))
    _, evidence = await turn(system, node)
    assert node.paths() == [SELF, CONFIGURATION]
    assert of(Configuration, evidence) == Configuration(bodies.servers(system.port))
    assert of(NodeIdentity, evidence).address == f"10.1.10.10:{system.port}"


@both
async def test_addresses_never_stand_for_ids_beside_a_node_that_told_its_id(system: System) -> None:
    node = system.node(own=system.own_with(latest_configuration=None), configuration=denied())
    adapter, evidence = await turn(system, node)
    assert node.paths() == [SELF, CONFIGURATION]
    assert of(Configuration, evidence) is None
    (hint,) = adapter.hints.values()
    assert system.needs in hint
    assert "addresses" not in hint


@both
async def test_no_cluster_leader_from_a_forwarded_question_is_never_waited_for(system: System) -> None:
    """Nomad waits up to 7 s before that 500 (nomad#1626); ``?stale`` is answered at once."""
    no_leader = says(b"No cluster leader", 500, "text/plain")
    node = system.node(own=denied(), configuration=forwards(no_leader))
    adapter, evidence = await turn(system, node)
    assert evidence[-1].leader_id
    assert "500 (Internal Server Error)" in next(
        words for path, words in adapter.hints.items() if path.startswith(CONFIGURATION)
    )


@both
@pytest.mark.parametrize("asked", ["configuration", "peers"])
async def test_an_endpoint_that_hangs_costs_one_turn_in_ten(system: System, asked: str) -> None:
    refused = {} if asked == "configuration" else {"configuration": denied()}
    node = system.node(**{"own": denied(), asked: hangs} | refused)
    adapter = system.adapter()
    hanging = CONFIGURATION if asked == "configuration" else PEERS
    async with asking(node, adapter, within=HASTE) as api:
        while hanging not in node.paths():  # on a busy machine what is asked before it may take too long
            with pytest.raises(NodeError) as error:
                await adapter.ask(api)
            assert error.value.reason == "timeout"
    async with asking(node, adapter) as api:
        for _ in range(EVERY - 1):
            told = of(NodeStatus, await adapter.ask(api))
            assert told.leader_id == f"10.1.10.11:{system.port}"


@both
async def test_a_configuration_that_names_a_server_twice_is_malformed(system: System) -> None:
    body = bodies.configuration(system.port)
    body["Servers"] *= 2
    with pytest.raises(NodeError, match="each once"):
        await turn(system, system.node(own=denied(), configuration=says(body)))


@both
async def test_more_peers_than_a_cluster_can_have_are_malformed(system: System) -> None:
    peers = [f"10.0.{n // 250}.{n % 250}:1" for n in range(257)]
    with pytest.raises(NodeError, match="at most 256 servers"):
        await turn(system, system.node(own=denied(), configuration=denied(), peers=says(peers)))


@both
async def test_raft_protocol_2_has_no_ids_so_the_node_s_stays_unknown(system: System) -> None:
    adapter, evidence = await turn(system, system.node(own=system.own_with(protocol_version="2")))
    assert of(NodeIdentity, evidence) is None
    assert "node.id" in adapter.hints["id"]


@both
async def test_the_token_goes_into_its_header(system: System) -> None:
    adapter, node = system.adapter(), system.node()
    async with asking(node, adapter, token="s3cret") as api:
        await adapter.ask(api)
    assert node.headers[0][system.header] == "s3cret"


async def test_a_consul_client_agent_is_no_server() -> None:
    body = bodies.consul_self()
    body["Config"]["Server"] = False
    body["Stats"] = {"consul": {"server": "false"}, "serf_lan": {}}
    with pytest.raises(NodeError, match="expected a server, got a client agent") as error:
        await turn(CONSUL, CONSUL.node(own=says(body)))
    assert error.value.reason == "status"


@pytest.mark.parametrize("stats", [{"client": {"node_id": "x"}}, {"nomad": {"server": "false"}}], ids=str)
async def test_a_nomad_client_agent_is_no_server(stats: dict[str, Any]) -> None:
    body = {"config": {}, "member": {"Name": "", "Addr": None, "Tags": None}, "stats": stats}
    with pytest.raises(NodeError, match="expected a server, got a client agent") as error:
        await turn(NOMAD, NOMAD.node(own=says(body)))
    assert error.value.reason == "status"


async def test_a_nomad_server_without_its_id_tag_has_no_identity() -> None:
    body = bodies.nomad_self()
    del body["member"]["Tags"]["id"]
    _, evidence = await turn(NOMAD, NOMAD.node(own=says(body)))
    assert of(NodeIdentity, evidence) is None


@both
async def test_a_server_without_raft_stats_is_malformed(system: System) -> None:
    body = system.own()
    del system.stats(body)["raft"]
    with pytest.raises(NodeError, match="raft of a server") as error:
        await turn(system, system.node(own=says(body)))
    assert error.value.reason == "malformed"
