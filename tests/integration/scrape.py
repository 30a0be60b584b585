"""One scrape of a sidecar, read as Prometheus reads it."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from typing import Final

import requests
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from raft_exporter.demo.cluster import Cluster, SidecarProcess, until

ACCUSATIONS: Final = ("suspect", "stalled", "asymmetric", "offline")
PATIENCE: Final = 60.0
"""Seconds within which what must come has come, on a slow and busy machine."""


class Scrape:
    """The samples of one scrape. Asking for a sample that is not there exactly once is an AssertionError."""

    def __init__(self, text: str) -> None:
        self.text = text
        self._samples: defaultdict[str, list[Sample]] = defaultdict(list)
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                self._samples[sample.name].append(sample)

    def rows(self, name: str, **labels: str) -> list[Sample]:
        """Every sample of that name with at least these labels."""
        return [sample for sample in self._samples[name] if labels.items() <= sample.labels.items()]

    def value(self, name: str, **labels: str) -> float:
        """The value of the one sample with exactly these labels."""
        values = [sample.value for sample in self._samples[name] if sample.labels == labels]
        assert len(values) == 1, f"expected {name}{labels} once, got {values}"
        return values[0]

    def by(self, label: str, name: str, **labels: str) -> dict[str, float]:
        """Values by ``label``, of the samples of that name with these labels."""
        rows = self.rows(name, **labels)
        assert rows, f"expected {name}{labels}"
        return {sample.labels[label]: sample.value for sample in rows}

    def the_one(self, label: str, name: str, **labels: str) -> str:
        """What ``label`` says on the one sample that is 1; the others must be 0."""
        values = self.by(label, name, **labels)
        assert sorted(values.values()) == [0.0] * (len(values) - 1) + [1.0], f"{name}: {values}"
        return next(key for key, value in values.items() if value)

    def heard_by(self, source: str) -> set[str]:
        """The peers of which that source of evidence speaks at present: the silence of others is NaN."""
        silences = self.by("peer", "raft_peer_silence_seconds", source=source)
        return {peer for peer, silence in silences.items() if not math.isnan(silence)}

    @property
    def states(self) -> dict[str, str]:
        """The state of every peer."""
        peers = {sample.labels["peer"] for sample in self._samples["raft_peer_state"]}
        return {peer: self.the_one("state", "raft_peer_state", peer=peer) for peer in peers}

    @property
    def role(self) -> str:
        """The role of the own node."""
        return self.the_one("role", "raft_node_role")

    @property
    def leader(self) -> str:
        """The id of the leader that the node knows; empty for none."""
        return self.the_one("leader", "raft_node_leader_info")

    def accusations(self, peers: Iterable[str]) -> dict[tuple[str, str], float]:
        """How often each of the peers came into each state that accuses it."""
        return {
            (peer, to): self.value("raft_peer_transitions_total", peer=peer, to=to)
            for peer in peers
            for to in ACCUSATIONS
        }

    def probes(self, peers: Iterable[str]) -> dict[str, float]:
        """How many native probes of each of the peers came to an end."""
        return {peer: self.value("raft_peer_probes_total", peer=peer, probe="raft") for peer in peers}

    def names_with(self, text: str) -> set[str]:
        """Every metric with a label of exactly that value."""
        return {name for name, rows in self._samples.items() for row in rows if text in row.labels.values()}


def scrape(sidecar: SidecarProcess) -> Scrape:
    """Scrape one sidecar."""
    return Scrape(sidecar.metrics())


def try_scrape(sidecar: SidecarProcess) -> Scrape | None:
    """Scrape one sidecar; None when it does not answer."""
    try:
        return scrape(sidecar)
    except requests.RequestException:
        return None


def until_state(
    sidecars: Mapping[str, SidecarProcess], peer: str, state: str, within: float = PATIENCE
) -> dict[str, Scrape]:
    """Wait until each sidecar says that ``peer`` is in ``state``; give the first scrape that says so."""
    seen: dict[str, Scrape] = {}

    def ask() -> bool:
        for name, sidecar in sidecars.items():
            now = None if name in seen else try_scrape(sidecar)
            if now is not None and now.states.get(peer) == state:
                seen[name] = now
        return len(seen) == len(sidecars)

    until(f"{peer} {state} at the sidecars of {', '.join(sidecars)}", ask, within)
    return seen


def healthy(now: Scrape, members: Iterable[str]) -> bool:
    """Whether the observer is connected, and the node knows its leader and all members as online."""
    return (
        now.value("raft_exporter_source_up", source="observer") == 1
        and now.value("raft_up") == 1
        and now.role in {"leader", "follower"}
        and now.leader != ""
        and now.states == dict.fromkeys(members, "online")
    )


def until_healthy(cluster: Cluster, within: float = PATIENCE) -> dict[str, Scrape]:
    """Wait until every sidecar is :func:`healthy`, all at once, under one leader; give those scrapes."""

    def ask() -> dict[str, Scrape] | None:
        now = {each: try_scrape(sidecar) for each, sidecar in cluster.sidecars.items()}
        good = {each: one for each, one in now.items() if one is not None and healthy(one, cluster.nodes)}
        together = len(good) == len(now) and len({one.leader for one in good.values()}) == 1
        return good if together else None

    return until("a healthy cluster in every sidecar's metrics", ask, within)


def until_probed(
    sidecars: Mapping[str, SidecarProcess],
    peers: Iterable[str],
    times: int,
    look: Callable[[str, Scrape], None] = lambda each, one: None,
) -> dict[str, Scrape]:
    """Wait until each sidecar has probed each peer so many times more; give the scrapes after that.

    ``look`` sees every scrape until then. A probe takes half a heartbeat timeout, or ends by then.
    """
    peers = list(peers)
    start = {each: scrape(sidecar).probes(peers) for each, sidecar in sidecars.items()}

    def ask() -> dict[str, Scrape] | None:
        now = {each: scrape(sidecar) for each, sidecar in sidecars.items()}
        for each, one in now.items():
            look(each, one)
        enough = all(
            count >= start[each][peer] + times
            for each, one in now.items()
            for peer, count in one.probes(peers).items()
        )
        return now if enough else None

    return until(f"{times} more probes of {', '.join(peers)}", ask, PATIENCE)
