"""Sidecars beside the servers of one OpenBao cluster, three for each: one for each way of telemetry.

Those of different ways know nothing of each other.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Final, TypeAlias

from raft_exporter.demo.cluster import SidecarProcess, free_ports, until
from raft_exporter.demo.openbao import OpenBaoCluster, OpenBaoNode
from raft_exporter.errors import ClientError, DemoError
from raft_exporter.model.evidence import Role
from raft_exporter.model.judge import Reason, State
from raft_exporter.view import ClusterView, MemberView
from tests.integration.scrape import PATIENCE, scrape

NODES: Final = ("n1", "n2", "n3")
WAYS: Final = ("statsd", "dogstatsd", "prometheus")
H: Final = 1.0
"""Seconds: OpenBao's HeartbeatTimeout with the performance_multiplier 1."""

Key: TypeAlias = tuple[str, str]
"""The way of telemetry, and the id of the node."""
Sidecars: TypeAlias = dict[Key, SidecarProcess]


class Ways:
    """Each way of telemetry from each node to the sidecars beside it, all of them on loopback."""

    def __init__(self, home: Path) -> None:
        self._home = home
        keys = [(way, each) for way in WAYS for each in NODES]
        ports = iter(free_ports(3 * len(keys)))
        self.telemetry = {key: f"127.0.0.1:{next(ports)}" for key in keys}
        self._relay = {key: f"127.0.0.1:{next(ports)}" for key in keys}
        self._web = {key: next(ports) for key in keys}

    def stanza(self, node_id: str) -> dict[str, object]:
        """What goes into the node's telemetry stanza: the three ways at once."""
        return {
            "statsd_address": self.telemetry["statsd", node_id],
            "dogstatsd_addr": self.telemetry["dogstatsd", node_id],
            "prometheus_retention_time": "30s",
            "disable_hostname": True,
        }

    def sidecar(self, key: Key, node: OpenBaoNode, token: Path) -> SidecarProcess:
        """A whole sidecar; it sends its packets on, too."""
        others = [(key[0], each) for each in NODES if each != key[1]]
        told = [{"id": each[1], "url": f"http://127.0.0.1:{self._web[each]}"} for each in others]
        hears = self._hears(key, node, self.telemetry)
        if "listen" in hears:
            hears["relay"] = f"udp:{self._relay[key]}"
        settings = {"telemetry": hears, "reports": {"sidecars": told}}
        return self._process("-".join(key), self._web[key], node, token, settings)

    def by_heartbeats_alone(self, key: Key, node: OpenBaoNode, token: Path) -> SidecarProcess:
        """One without probe and reports, that hears what the whole one sends on."""
        hears = self._hears(key, node, self._relay)
        settings = {"telemetry": hears, "reports": {"enabled": False}, "probe": {"enabled": False}}
        return self._process("-".join((*key, "alone")), free_ports(1)[0], node, token, settings)

    def _hears(self, key: Key, node: OpenBaoNode, at: dict[Key, str]) -> dict[str, object]:
        if key[0] == "prometheus":
            return {"prometheus": {"url": f"{node.url}/v1/sys/metrics?format=prometheus"}}
        return {"listen": [f"udp:{at[key]}"]}

    def _process(
        self, name: str, port: int, node: OpenBaoNode, token: Path, settings: dict[str, object]
    ) -> SidecarProcess:
        api = {"url": node.url, "kind": "vault", "token_file": str(token)}
        config = self._home / f"{name}.yml"
        whole = {"node": {"heartbeat_timeout": "1s", "api": api}, "observer": {"listen": []}} | settings
        config.write_text(json.dumps(whole))  # JSON is YAML, too
        return SidecarProcess(name, port, ["--config", str(config)], self._home)


def look(sidecar: SidecarProcess) -> ClusterView | None:
    try:
        return sidecar.cluster()
    except ClientError:
        return None


def until_each(
    what: str,
    sidecars: Sidecars,
    holds: Callable[[ClusterView], bool],
    *,
    together: bool = False,
) -> dict[Key, ClusterView]:
    """Wait until each sidecar says so, if need be ``together``; give the first view of each that does."""
    last: dict[Key, ClusterView | None] = {}
    seen: dict[Key, ClusterView] = {}

    def ask() -> bool:
        for key, sidecar in sidecars.items():
            if key in seen:
                continue
            last[key] = view = look(sidecar)
            if view is not None and holds(view):
                seen[key] = view
            elif together:
                seen.clear()
                return False
        return len(seen) == len(sidecars)

    try:
        until(what, ask, PATIENCE)
    except DemoError as error:
        differing = {key: view and (view.node, told(view)) for key, view in last.items() if key not in seen}
        raise AssertionError(f"{error}; got {differing}") from error
    return seen


def told(view: ClusterView) -> dict[str, tuple[str, str]]:
    """State and reason of each member."""
    return {each.id: (str(each.state), str(each.reason)) for each in view.members}


def member(view: ClusterView, node: OpenBaoNode) -> MemberView:
    (found,) = [each for each in view.members if each.id == node.id]
    return found


def beside(sidecars: Sidecars, *nodes: OpenBaoNode) -> Sidecars:
    """Give the sidecars of all ways beside these nodes."""
    ids = {each.id for each in nodes}
    return {key: sidecar for key, sidecar in sidecars.items() if key[1] in ids}


def until_state(
    sidecars: Sidecars, node: OpenBaoNode, state: State, *reasons: Reason
) -> dict[Key, ClusterView]:
    """Wait until each sidecar judges the node so, for one of these reasons."""
    return until_each(
        f"{node.id} {state} by {', '.join(reasons)}",
        sidecars,
        lambda view: any(
            (each.id, each.state) == (node.id, state) and each.reason in reasons for each in view.members
        ),
    )


def is_whole(view: ClusterView, leader: str) -> bool:
    """Whether all are online, the node has its true role, and its telemetry speaks of the heartbeats."""
    states = {each.id: each.state for each in view.members}
    return (
        states == dict.fromkeys(NODES, State.ONLINE)
        and view.node.leader == leader
        and view.node.role == (Role.LEADER if view.node.id == leader else Role.FOLLOWER)
        and view.quorum.failure_tolerance == 1
        and hears_heartbeats(view, leader)
    )


def hears_heartbeats(view: ClusterView, leader: str) -> bool:
    if view.node.id != leader:
        return view.node.leader_silence_seconds is not None and view.node.leader_silence_seconds < 2 * H
    silences = [each.silence_seconds.heartbeat for each in view.members if not each.own]
    return all(silence is not None and silence < H for silence in silences)


def until_whole(cluster: OpenBaoCluster, sidecars: Sidecars) -> dict[Key, ClusterView]:
    """Wait until all sidecars find, at one time, all online, and each node in its true role."""
    leader = cluster.leader().id
    return until_each("a whole cluster", sidecars, lambda view: is_whole(view, leader), together=True)


def since(sidecar: SidecarProcess, node: OpenBaoNode) -> float:
    """For how many seconds the sidecar has judged the node as it does."""
    return member(sidecar.cluster(), node).since_seconds


def accused(sidecars: Sidecars, *nodes: OpenBaoNode) -> dict[Key, dict[tuple[str, str], float]]:
    """How often each sidecar has called each of these nodes anything worse than unknown."""
    ids = [each.id for each in nodes]
    return {key: scrape(sidecar).accusations(ids) for key, sidecar in sidecars.items()}


def until_silent(sidecars: Sidecars) -> None:
    """Wait until no sidecar takes its own node's last word for news: not its role, and not its leader."""
    until_each(
        "no word of the own node",
        sidecars,
        lambda view: not view.node.up and view.node.role is Role.UNKNOWN and view.node.leader is None,
    )


def until_sealed(sidecars: Sidecars) -> None:
    """Wait until each sidecar was told by its own node that it is sealed."""

    def sealed(sidecar: SidecarProcess) -> float:
        return scrape(sidecar).value("raft_exporter_rejected_total", source="node", reason="sealed")

    before = {key: sealed(sidecar) for key, sidecar in sidecars.items()}
    until("a sealed node", lambda: all(sealed(each) > before[key] for key, each in sidecars.items()))
