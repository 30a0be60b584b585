"""The Raft cluster of the simulated world: who leads whom, and which heartbeats pass.

As hashicorp/raft v1.7 does it where a detector can see it: heartbeats each H/10 to H/5 with one
outstanding request of at most 10 s, back-off after failures, elections after H to 2 H without
contact with pre-vote, and a leader that steps down without a majority for H/2. No log is replicated.
"""

from __future__ import annotations

import heapq
import random
from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from bench._script import MAJORITY, NEVER, NODES, H, Kind, Service
from bench._spans import Spans
from bench._world import World
from raft_exporter.model.evidence import Role

_IO_TIMEOUT: Final = 10.0
"""Seconds that ``raft.NetworkTransport`` waits for an answer."""
_LEASE: Final = H / 2
"""LeaderLeaseTimeout."""
_BACKOFF: Final = 0.01
"""Seconds after the second failure in a row, doubled up to H/2 (replication.go, ``failureWait``)."""


class Standing(NamedTuple):
    """What a node holds of itself since ``at``: an empty ``leader`` means that it knows none."""

    at: float
    role: Role
    term: int
    leader: str


@dataclass(slots=True)
class History:
    """All that the cluster did. Times in seconds."""

    standings: dict[str, list[Standing]] = field(
        default_factory=lambda: {n: [Standing(0.0, Role.FOLLOWER, 1, "")] for n in NODES}
    )
    contacts: dict[str, list[float]] = field(default_factory=lambda: {n: [0.0] for n in NODES})
    """By follower when it handled a heartbeat of its leader."""
    answered: dict[tuple[str, str], list[float]] = field(
        default_factory=lambda: {(a, b): [] for a in NODES for b in NODES if a != b}
    )
    """By leader and follower when an answer came back."""
    failures: dict[tuple[str, str], list[tuple[float, int]]] = field(
        default_factory=lambda: {(a, b): [] for a in NODES for b in NODES if a != b}
    )
    """By leader and follower each failed heartbeat: the how many-th in a row, 0 for one that passes again."""

    def standing(self, node: str, at: float) -> Standing:
        """Give what a node held of itself at a time."""
        known = self.standings[node]
        return known[max(bisect_right(known, at, key=lambda each: each.at) - 1, 0)]

    def contact(self, node: str, at: float) -> float:
        """Give when a node last handled a heartbeat."""
        known = self.contacts[node]
        return known[max(bisect_right(known, at) - 1, 0)]

    def reigns(self, node: str, until: float) -> Spans:
        """When a node was leader."""
        known = self.standings[node]
        ends = [each.at for each in known[1:]] + [until]
        return Spans(
            (each.at, end) for each, end in zip(known, ends, strict=True) if each.role is Role.LEADER
        )


class Cluster:
    """Plays the cluster of one world; :meth:`play` gives its history."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.history = History()
        self._rng = random.Random(f"raft {world.seed}")
        self._heap: list[tuple[float, int, Callable[..., None], tuple[object, ...]]] = []
        self._pushed = 0
        self._now = 0.0
        self._patience = {node: self._rng.uniform(H, 2 * H) for node in NODES}
        self._contact = dict.fromkeys(NODES, 0.0)
        self._replied: dict[tuple[str, str], float] = {}
        self._epochs: dict[tuple[str, str], int] = {}

    def play(self, until: float) -> History:
        """Play from the beginning, with n1 as the first leader, until a time in seconds."""
        down = self.world.down[Service.RAFT]
        for node in NODES:
            for dies, returns in down[node]:
                self._push(dies, self._die, node)
                self._push(returns, self._start, node)
            self._push(0.0, self._check, node, 0)
        self._push(0.0, self._lead, NODES[0])
        while self._heap and self._heap[0][0] <= until:
            self._now, _, call, arguments = heapq.heappop(self._heap)
            call(*arguments)
        return self.history

    def _push(self, at: float, call: Callable[..., None], *arguments: object) -> None:
        if at < NEVER:
            self._pushed += 1
            heapq.heappush(self._heap, (at, self._pushed, call, arguments))

    def _stands(self, node: str) -> Standing:
        return self.history.standings[node][-1]

    def _set(self, node: str, role: Role, term: int, leader: str) -> None:
        stands = self._stands(node)
        if (role, term, leader) != stands[1:]:
            self.history.standings[node].append(Standing(self._now, role, term, leader))

    def _epoch(self, node: str) -> int:
        return self.world.epoch(node, Service.RAFT, self._now)

    def _die(self, node: str) -> None:
        self._set(node, Role.SHUTDOWN, self._stands(node).term, "")

    def _start(self, node: str) -> None:
        self._contact[node] = self._now
        self._set(node, Role.FOLLOWER, self._stands(node).term, "")
        self._push(self._now + self._patience[node], self._check, node, self._epoch(node))

    def _deferred(self, call: Callable[..., None], node: str, epoch: int) -> bool:
        """Whether the process that this was for is gone, or too frozen for it at present."""
        if epoch != self._epoch(node):
            return True
        runs = self.world.running(node, Service.RAFT, self._now)
        if runs > self._now:
            self._push(runs, call, node, epoch)
        return runs > self._now

    def _check(self, node: str, epoch: int) -> None:
        """Look whether a follower or candidate has waited too long for its leader."""
        if self._deferred(self._check, node, epoch) or self._stands(node).role is Role.LEADER:
            return
        due = self._contact[node] + self._patience[node]
        if due > self._now:
            self._push(due, self._check, node, epoch)
            return
        self._patience[node] = self._rng.uniform(H, 2 * H)
        self._set(node, Role.CANDIDATE, self._stands(node).term, "")
        if sum(self._votes(voter, node) for voter in NODES) >= MAJORITY:
            self._push(self._now + self._rng.uniform(0.01, 0.03), self._elect, node, epoch)
        else:
            self._push(self._now + self._patience[node], self._check, node, epoch)

    def _elect(self, node: str, epoch: int) -> None:
        if self._deferred(self._elect, node, epoch):
            return
        if self._stands(node).role is Role.CANDIDATE and not any(
            self._stands(other).leader and self._votes(other, node, asked=False) for other in NODES
        ):
            self._lead(node)
        else:
            self._push(self._now + self._patience[node], self._check, node, epoch)

    def _votes(self, voter: str, candidate: str, *, asked: bool = True) -> bool:
        """Whether ``voter`` is reached and grants its vote: it does when it knows no leader."""
        world = self.world
        if voter == candidate:
            return asked
        if self._now in world.down[Service.RAFT][voter] or self._now in world.still[Service.RAFT][voter]:
            return False
        cut = world.script.cut
        reached = not any(
            start <= self._now < end
            for way in ((voter, candidate), (candidate, voter))
            for start, end in cut[way]
        )
        return reached and (not asked or not self._stands(voter).leader)

    def _lead(self, node: str) -> None:
        term = max(self._stands(each).term for each in NODES) + 1
        self._set(node, Role.LEADER, term, node)
        for peer in NODES:
            if peer != node:
                self._replied[node, peer] = self._now
                self._epochs.pop((node, peer), None)
                self._push(self._now, self._beat, node, term, peer, 0)
        self._push(self._now + _LEASE, self._hold_lease, node, term)

    def _leads(self, node: str, term: int) -> bool:
        stands = self._stands(node)
        return stands.role is Role.LEADER and stands.term == term

    def _step_down(self, node: str, term: int) -> None:
        self._set(node, Role.FOLLOWER, term, "")
        self._contact[node] = self._now
        self._push(self._now + self._patience[node], self._check, node, self._epoch(node))

    def _hold_lease(self, node: str, term: int) -> None:
        if not self._leads(node, term):
            return
        runs = self.world.running(node, Service.RAFT, self._now)
        if runs > self._now:
            self._push(runs + _LEASE / 5, self._hold_lease, node, term)
            return
        reached = sum(self._now - self._replied[node, peer] <= _LEASE for peer in NODES if peer != node)
        if reached + 1 < MAJORITY:
            self._step_down(node, term)
        else:
            self._push(self._now + _LEASE / 2, self._hold_lease, node, term)

    def _beat(self, node: str, term: int, peer: str, failed: int) -> None:
        if not self._leads(node, term):
            return
        world, now = self.world, self._now
        runs = world.running(node, Service.RAFT, now)
        if runs > now:
            self._push(runs, self._beat, node, term, peer, failed)
            return
        began = now
        if (node, peer) not in self._epochs:
            opened = world.connect(node, peer, Service.RAFT, now, _IO_TIMEOUT)
            if not opened.open:
                self._push(opened.at, self._failed, node, term, peer, failed)
                return
            now = opened.at
            self._epochs[node, peer] = world.epoch(peer, Service.RAFT, now)
        reply = world.request(
            node, peer, Service.RAFT, now, Kind.HEARTBEAT,
            epoch=self._epochs[node, peer], until=began + _IO_TIMEOUT,
        )  # fmt: skip
        self._push(reply.handled, self._heard, peer, term, node)
        ends = min(reply.reset, began + _IO_TIMEOUT)
        if reply.answered < ends:
            self._push(reply.answered, self._passed, node, term, peer, failed)
        else:
            self._push(ends, self._failed, node, term, peer, failed)

    def _heard(self, peer: str, term: int, leader: str) -> None:
        stands = self._stands(peer)
        if term < stands.term or stands.role is Role.SHUTDOWN:
            return
        self._contact[peer] = self._now
        self._set(peer, Role.FOLLOWER, term, leader)
        self.history.contacts[peer].append(self._now)
        if stands.role is Role.LEADER:
            self._push(self._now + self._patience[peer], self._check, peer, self._epoch(peer))

    def _passed(self, node: str, term: int, peer: str, failed: int) -> None:
        if not self._leads(node, term):
            return
        if self._stands(peer).term > term:
            self._step_down(node, self._stands(peer).term)
            return
        self._replied[node, peer] = self._now
        self.history.answered[node, peer].append(self._now)
        if failed:
            self.history.failures[node, peer].append((self._now, 0))
        self._push(self._now + self._rng.uniform(H / 10, H / 5), self._beat, node, term, peer, 0)

    def _failed(self, node: str, term: int, peer: str, failed: int) -> None:
        if not self._leads(node, term):
            return
        failed += 1
        self._epochs.pop((node, peer), None)
        self.history.failures[node, peer].append((self._now, failed))
        wait = 0.0 if failed < 2 else min(_BACKOFF * 2 ** min(failed - 2, 10), H / 2)
        self._push(self._now + wait + 1e-3, self._beat, node, term, peer, failed)
