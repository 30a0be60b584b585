"""Whether the demo's cluster is whole, by nothing but the metrics that its sidecars serve."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from msgspec import Struct
from prometheus_client.parser import text_string_to_metric_families

from raft_exporter.model.evidence import Role
from raft_exporter.model.judge import State


class Sight(Struct, frozen=True):
    """What one sidecar's metrics say: the role of its node, the leader that it names, each member's state."""

    node: str
    role: str
    leader: str
    states: dict[str, str]

    def __str__(self) -> str:
        members = ", ".join(f"{peer} {state}" for peer, state in sorted(self.states.items())) or "no members"
        return f"sidecar of {self.node}: {self.role}; leader {self.leader or 'not known'}; {members}"


def read_metrics(node: str, text: str) -> Sight:
    """Read one scrape of the sidecar beside ``node``."""
    role, leader = str(Role.UNKNOWN), ""
    states: dict[str, str] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            if sample.value != 1:
                continue
            if sample.name == "raft_node_role":
                role = sample.labels["role"]
            elif sample.name == "raft_node_leader_info":
                leader = sample.labels["leader"]
            elif sample.name == "raft_peer_state":
                states[sample.labels["peer"]] = sample.labels["state"]
    return Sight(node=node, role=role, leader=leader, states=states)


def missing(sights: Sequence[Sight], members: Iterable[str]) -> list[str]:
    """Give what is missing, a line each: one leader that all name, all others followers, everybody online."""
    members = sorted(members)
    faults = [f"sidecar of {each}: no metrics" for each in members if each not in {s.node for s in sights}]
    leaders = [sight.node for sight in sights if sight.role == Role.LEADER]
    if len(leaders) != 1:
        faults.append(f"expected one leader, got {' and '.join(leaders) or 'none'}")
    for sight in sights:
        where = f"sidecar of {sight.node}"
        if sight.role not in {Role.LEADER, Role.FOLLOWER}:
            faults.append(f"{where}: expected its node to lead or follow, got {sight.role}")
        if len(leaders) == 1 and sight.leader != leaders[0]:
            faults.append(f"{where}: expected {leaders[0]} as leader, got {sight.leader or 'none'}")
        for peer in sorted({*members, *sight.states}):
            state = sight.states.get(peer, "no such member")
            if peer not in members:
                faults.append(f"{where}: expected no member {peer}")
            elif state != State.ONLINE:
                faults.append(f"{where}: expected {peer} online, got {state}")
    return faults
