"""Ours: one sidecar a node, each with the project's own Table and ObservedClock, in the simulated world.

What is fed to the table is what the sources would give it: the observer's stream, the native prober's
outcomes, the other sidecars' reports. Nothing of the judge is copied here.
"""

from __future__ import annotations

import heapq
import random
from bisect import bisect_left, bisect_right
from functools import partial
from typing import Final

from bench._fetcher import FETCHING, Fetcher
from bench._measures import Pair, Say
from bench._prober import Call, Prober
from bench._raft import History, Standing
from bench._scenarios import Play
from bench._script import NEVER, NODES, H, Kind, Service
from bench._world import World
from raft_exporter.model.evidence import (
    Configuration,
    Evidence,
    HeartbeatsAnswered,
    LeaderChanged,
    NodeIdentity,
    NodeStatus,
    Report,
    Role,
    RoleChanged,
    Server,
    StatusLost,
)
from raft_exporter.model.histogram import BOUNDS
from raft_exporter.model.judge import State
from raft_exporter.model.memory import Memory
from raft_exporter.model.observed_clock import ObservedClock
from raft_exporter.model.policy import DEFAULTS, Multiples, Policy
from raft_exporter.model.table import Table

SERVERS: Final = tuple(Server(id=node, address=f"{node}:7000") for node in NODES)

_TICK: Final = H / 10
_TELLS: Final = 1.0
"""The stream's status and heartbeats come each H, at most a second apart."""
_SAVED: Final = 1.0
"""The memory is saved so often, in seconds."""
_TO_THE_SIDECAR: Final = 0.001
"""Seconds that a line of the stream takes."""
_BUCKETS: Final = (0,) * (len(BOUNDS) + 1)

States = dict[Pair, list[tuple[float, State]]]
"""By observer and target its states, each from its time in seconds on."""


class Seen:
    """What all sidecars came to say, and when each of them found itself isolated."""

    def __init__(self) -> None:
        self.states: States = {(a, b): [] for a in NODES for b in NODES if a != b}
        self.isolated: dict[str, list[tuple[float, bool]]] = {node: [] for node in NODES}

    def words(self, pair: Pair) -> list[tuple[float, Say]]:
        """Give what an observer said of a target: anything but online and offline claims neither."""
        says = {State.ONLINE: Say.ONLINE, State.OFFLINE: Say.OFFLINE}
        return [(at, says.get(state, Say.NEITHER)) for at, state in self.states[pair]]


class Simulation:
    """All five sidecars in one world."""

    def __init__(self, play: Play, multiples: Multiples = DEFAULTS) -> None:
        self.world: World = play.world
        self.raft: History = play.raft
        self.multiples = multiples
        self.seen = Seen()
        self.sidecars: dict[str, Sidecar] = {}
        self._heap: list[tuple[float, bool, int, Sidecar | None, Call]] = []
        self._pushed = 0

    def run(self) -> Seen:
        """Run to the end of the world."""
        for node in NODES:
            for start, end in self.world.down[Service.SIDECAR][node].gaps(self.world.until):
                self.at(start, self._starter(node, end))
        heap, until = self._heap, self.world.until
        still = self.world.still[Service.SIDECAR]
        while heap and heap[0][0] < until:
            now, timer, _, sidecar, call = heapq.heappop(heap)
            if sidecar is not None:
                if now >= sidecar.ends:
                    continue
                frozen = still[sidecar.node]
                if frozen and now in frozen:
                    self.at(frozen.over(now), call, timer=timer, sidecar=sidecar)
                    continue
            call(now)
        return self.seen

    def at(self, at: float, call: Call, *, timer: bool = False, sidecar: Sidecar | None = None) -> None:
        """Have something called, in the name of a sidecar that must still run then."""
        if at < NEVER:
            self._pushed += 1
            heapq.heappush(self._heap, (at, timer, self._pushed, sidecar, call))

    def report(self, node: str, now: float) -> Report | None:
        """Have the sidecar at a node make its report."""
        return self.sidecars[node].report(now)

    def _starter(self, node: str, ends: float) -> Call:
        def start(now: float) -> None:
            before = self.sidecars.get(node)
            kept = None if before is None else before.kept
            self.sidecars[node] = Sidecar(self, node, now, ends, kept)

        return start


class Sidecar:
    """One sidecar from its start until it ends at ``ends``; ``kept`` is what the last one had saved."""

    def __init__(
        self, simulation: Simulation, node: str, now: float, ends: float, kept: tuple[Memory, float] | None
    ) -> None:
        self.simulation, self.node, self.ends = simulation, node, ends
        self.world, self.raft, self.seen = simulation.world, simulation.raft, simulation.seen
        self.kept = kept
        self._saved_at = now
        self._rng = random.Random(f"{self.world.seed} {node} {now}")
        self._clock = ObservedClock(now, limit=H)
        policy = Policy.of(H, simulation.multiples)
        self.table = Table(policy, static=(), now=0.0)
        if kept is not None:
            self.table.restore(kept[0], self.world.wall(node, now) - kept[1], 0.0)
        self._observed(NodeIdentity(id=node, address=f"{node}:7000"), now)
        self._told_at = now
        for peer in NODES:
            if peer != node:
                known = self.table.members.get(peer)
                state = State.UNKNOWN if known is None else known.verdict.state
                self.seen.states[node, peer].append((now, state))
                fetcher = Fetcher(
                    self.world,
                    (node, peer),
                    at=self._at,
                    serve_at=simulation.at,
                    ask=simulation.report,
                    take=self._observed,
                    rng=self._rng,
                )
                self._at(now + self._rng.uniform(0, FETCHING.interval), fetcher.begin, timer=True)
            prober = Prober(self.world, (node, peer), at=self._at, take=self._observed, rng=self._rng)
            self._at(now + self._rng.uniform(0, 0.05), prober.begin, timer=True)
        self.seen.isolated[node].append((now, False))
        self._at(now + self._rng.uniform(0, _TICK), self._tick, timer=True)
        self._listen(now)

    def report(self, now: float) -> Report | None:
        """Give the own report."""
        return self.table.report(self._clock.read(now))

    def _at(self, at: float, call: Call, *, timer: bool = False) -> None:
        self.simulation.at(at, call, timer=timer, sidecar=self)

    def _observed(self, evidence: Evidence, now: float) -> None:
        self.table.take(evidence, self._clock.read(now))

    def _tick(self, now: float) -> None:
        observed = self._clock.tick(now)
        isolated = self.table.isolated
        for moved in self.table.judge(observed):
            if moved.peer != self.node and moved.after is not None:
                self.seen.states[self.node, moved.peer].append((now, moved.after.state))
        if self.table.isolated is not isolated:
            self.seen.isolated[self.node].append((now, self.table.isolated))
        # Only what was saved last before an end is ever read.
        if now - self._saved_at >= _SAVED and self.ends - now <= 2 * _SAVED:
            self.kept = (self.table.remember(observed), self.world.wall(self.node, now))
            self._saved_at = now
        slow = self.world.script.slow
        late = self.world.delay(slow / 4, (self.node, self.node), Kind.TICK, now) if slow else 0.0
        self._at(now + _TICK + late, self._tick, timer=True)

    def _listen(self, now: float) -> None:
        """Follow the own node's stream: a hello whenever its process starts, or we do."""
        down = self.world.down[Service.RAFT][self.node]
        for start, end in down.gaps(self.world.until):
            if end > now:
                self._at(max(start, now) + _TO_THE_SIDECAR, self._hello)
                self._at(end + _TO_THE_SIDECAR, self._lost)
        for standing in self.raft.standings[self.node]:
            if standing.at > now and standing.role is not Role.SHUTDOWN:
                self._at(standing.at + _TO_THE_SIDECAR, self._teller(standing))

    def _hello(self, now: float) -> None:
        self._observed(NodeIdentity(id=self.node, address=f"{self.node}:7000", heartbeat_timeout=H), now)
        self._observed(Configuration(servers=SERVERS, index=1), now)
        self._told_at = now
        self._status(self.world.epoch(self.node, Service.RAFT, now), now)

    def _lost(self, now: float) -> None:
        self._observed(StatusLost(), now)

    def _teller(self, standing: Standing) -> Call:
        def tell(now: float) -> None:
            leader = standing.leader
            age = now - standing.at
            self._observed(RoleChanged(role=standing.role, age=age), now)
            self._observed(
                LeaderChanged(leader_id=leader, leader_address=f"{leader}:7000" if leader else "", age=age),
                now,
            )

        return tell

    def _status(self, epoch: int, now: float) -> None:
        """Take what the node says each second while its process runs."""
        runs = self.world.running(self.node, Service.RAFT, now)
        again = partial(self._status, epoch)
        if runs > now:
            self._at(runs, again)
            return
        if self.world.epoch(self.node, Service.RAFT, now) != epoch:
            return
        stands = self.raft.standing(self.node, now)
        leads = stands.role is Role.LEADER
        self._observed(
            NodeStatus(
                role=stands.role,
                term=stands.term,
                last_log_index=1,
                commit_index=1,
                applied_index=1,
                snapshot_index=0,
                fsm_pending=0,
                protocol_version=3,
                leader_id=stands.leader,
                leader_address=f"{stands.leader}:7000" if stands.leader else "",
                last_contact=None if leads else now - self.raft.contact(self.node, now),
            ),
            now,
        )
        if leads:
            self._heartbeats(now)
        self._told_at = now
        self._at(now + _TELLS, again, timer=True)

    def _heartbeats(self, now: float) -> None:
        for peer in NODES:
            if peer == self.node:
                continue
            answered = self.raft.answered[self.node, peer]
            first, end = bisect_left(answered, self._told_at), bisect_right(answered, now)
            if end > first:
                self._observed(
                    HeartbeatsAnswered(
                        peer=peer, count=end - first, total=0.0, buckets=_BUCKETS, age=now - answered[end - 1]
                    ),
                    now,
                )
