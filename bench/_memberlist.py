"""hashicorp/memberlist with its LAN defaults, reimplemented in simple form: SWIM with Lifeguard.

Probes with acknowledgements, indirect probes with nacks, a TCP probe besides, suspicion whose timeout
confirmations shorten, refutation, gossip with retransmission, and a full exchange now and then. An
agent lives in the Raft process, as in Consul and Nomad. Encryption, user events, leaving and
compression are left out, and so are the limits of a packet's size.
"""

from __future__ import annotations

import heapq
import math
import random
from collections.abc import Callable
from typing import Final

from bench._baselines import PAIRS, Said
from bench._measures import Say
from bench._scenarios import Play
from bench._script import NEVER, NODES, Kind, Service
from bench._swim import Config, Health, Known, Rumour, suspicion_timeout
from bench._world import World

_GOSSIP_INTERVAL: Final = 0.2
_GOSSIP_NODES: Final = 3
_RETRANSMIT: Final = 4 * math.ceil(math.log10(len(NODES) + 1))
_INDIRECT: Final = 3
_AWARENESS_MAX: Final = 8
_EXCHANGE: Final = 30.0
"""Seconds between full exchanges (PushPullInterval), and between Serf's attempts to reconnect."""
_TO_THE_DEAD: Final = 30.0
"""Seconds for which the dead are gossiped to as well (GossipToTheDeadTime)."""


def memberlist(
    play: Play, *, interval: float = 1.0, timeout: float = 0.5, suspicion: int = 4, suspicion_max: int = 6
) -> Said:
    """Give what each agent said of each member."""
    return _Gossip(play.world, Config(interval, timeout, suspicion, suspicion_max)).run()


class _Gossip:
    """All agents in one world."""

    def __init__(self, world: World, config: Config) -> None:
        self.world, self.config = world, config
        self.said: Said = {pair: [] for pair in PAIRS}
        self.agents: dict[str, _Agent] = {}
        self._heap: list[tuple[float, int, _Agent | None, Callable[[float], None]]] = []
        self._pushed = 0

    def run(self) -> Said:
        """Run to the end of the world."""
        for node in NODES:
            for start, end in self.world.down[Service.RAFT][node].gaps(self.world.until):
                self.at(start, self._starter(node, end), None)
        heap = self._heap
        while heap and heap[0][0] < self.world.until:
            now, _, agent, call = heapq.heappop(heap)
            if agent is not None:
                if now >= agent.ends:
                    continue
                runs = self.world.running(agent.node, Service.RAFT, now)
                if runs > now:
                    self.at(runs, call, agent)
                    continue
            call(now)
        return self.said

    def at(self, at: float, call: Callable[[float], None], agent: _Agent | None) -> None:
        """Have something called in the name of an agent, later if it is frozen then."""
        if at < NEVER:
            self._pushed += 1
            heapq.heappush(self._heap, (at, self._pushed, agent, call))

    def _starter(self, node: str, ends: float) -> Callable[[float], None]:
        def start(now: float) -> None:
            self.agents[node] = _Agent(self, node, now, ends)

        return start

    def packet(
        self, source: _Agent, target: str, now: float, call: Callable[[_Agent, float], None], kind: int
    ) -> None:
        """Send one UDP packet; what the sender has to gossip rides along."""
        rumours = source.outgoing()
        arrives = self.world.packet(source.node, target, now, kind)
        if arrives == NEVER:
            return
        done, runs = self.world.handled(target, Service.RAFT, arrives)
        if runs:
            self.at(done, lambda now: self._receive(target, rumours, call, now), None)

    def _receive(
        self, target: str, rumours: list[Rumour], call: Callable[[_Agent, float], None], now: float
    ) -> None:
        agent = self.agents[target]
        for rumour in rumours:
            agent.hear(rumour, now)
        call(agent, now)


class _Agent:
    """One agent, from the start of its process until it ends."""

    def __init__(self, gossip: _Gossip, node: str, now: float, ends: float) -> None:
        self.gossip, self.world, self.config = gossip, gossip.world, gossip.config
        self.node, self.ends = node, ends
        self.incarnation = 1
        self.known = {each: Known(since=now, incarnation=int(now == 0)) for each in NODES if each != node}
        self._rng = random.Random(f"{self.world.seed} {node} {now}")
        self._score = 0
        self._queue: list[tuple[int, Rumour]] = []
        self._round: list[str] = []
        self._acked = False
        self._nacks = 0
        self._probes = 0
        for peer in self.known:
            gossip.said[node, peer].append((now, Say.ONLINE))
        self._at(now + self._rng.uniform(0, self.config.interval), self._probe)
        self._at(now + self._rng.uniform(0, _GOSSIP_INTERVAL), self._gossip)
        self._at(now + (0.05 if now > 0 else self._rng.uniform(0, _EXCHANGE)), self._exchange)
        self._at(now + self._rng.uniform(0, _EXCHANGE), self._reconnect)

    def outgoing(self) -> list[Rumour]:
        """Give what is to be gossiped, the least often told first, and count it."""
        told = [rumour for _, rumour in self._queue]
        self._queue = sorted(
            ((times + 1, rumour) for times, rumour in self._queue if times + 1 < _RETRANSMIT),
            key=lambda each: each[0],
        )
        return told

    def hear(self, rumour: Rumour, now: float) -> None:
        """Take one rumour: refute what is said of oneself, believe what is newer or worse."""
        if rumour.about == self.node:
            if rumour.health is not Health.ALIVE and rumour.incarnation >= self.incarnation:
                self.incarnation = rumour.incarnation + 1
                self._scored(+1)
                self._spread(Rumour(self.node, Health.ALIVE, self.incarnation, self.node))
            return
        known = self.known[rumour.about]
        if rumour.health is Health.ALIVE:
            if rumour.incarnation > known.incarnation:
                self._set(rumour, now)
        elif rumour.incarnation < known.incarnation or known.health is Health.DEAD:
            return
        elif rumour.health is Health.SUSPECT and known.health is Health.SUSPECT:
            if (
                rumour.source not in known.suspected_by
                and len(known.suspected_by) <= self.config.suspicion - 2
            ):
                known.suspected_by.add(rumour.source)
                self._spread(rumour)
                self._time_suspicion(rumour.about, now)
        else:
            self._set(rumour, now)

    def _set(self, rumour: Rumour, now: float) -> None:
        known = self.known[rumour.about]
        was_dead = known.health is Health.DEAD
        known.health, known.incarnation, known.since = rumour.health, rumour.incarnation, now
        known.suspected_by = {rumour.source} if rumour.health is Health.SUSPECT else set()
        self._spread(rumour)
        if rumour.health is Health.SUSPECT:
            self._time_suspicion(rumour.about, now)
        if was_dead is not (known.health is Health.DEAD):
            say = Say.ONLINE if was_dead else Say.OFFLINE
            self.gossip.said[self.node, rumour.about].append((now, say))

    def _time_suspicion(self, about: str, now: float) -> None:
        known = self.known[about]
        since, confirmations = known.since, len(known.suspected_by) - 1

        def expire(now: float) -> None:
            if known.health is Health.SUSPECT and known.since == since:
                self._set(Rumour(about, Health.DEAD, known.incarnation, self.node), now)

        self._at(max(since + suspicion_timeout(self.config, confirmations), now), expire)

    def _spread(self, rumour: Rumour) -> None:
        self._queue = [each for each in self._queue if each[1].about != rumour.about]
        self._queue.insert(0, (0, rumour))

    def _scored(self, by: int) -> None:
        self._score = min(max(self._score + by, 0), _AWARENESS_MAX - 1)

    def _at(self, at: float, call: Callable[[float], None]) -> None:
        self.gossip.at(at, call, self)

    def _probe(self, now: float) -> None:
        """Probe the next member of the round, then two more ways if it does not acknowledge."""
        interval = self.config.interval * (self._score + 1)
        self._at(now + interval, self._probe)
        if not self._round:
            self._round = self._rng.sample(sorted(self.known), len(self.known))
        target = self._round.pop()
        known = self.known[target]
        if known.health is Health.DEAD:
            return
        self._probes += 1
        self._acked, self._nacks = False, 0
        number = self._probes
        if known.health is Health.SUSPECT:
            self._spread(Rumour(target, Health.SUSPECT, known.incarnation, self.node))
        self._ping(target, now, number)
        self._at(now + self.config.timeout, lambda now: self._probe_otherwise(target, number, now))
        self._at(now + interval - 1e-6, lambda now: self._conclude(target, number, now))

    def _ping(self, target: str, now: float, number: int) -> None:
        def pinged(agent: _Agent, now: float) -> None:
            self.gossip.packet(agent, self.node, now, lambda _, __: self._ack(number), Kind.PING + 20)

        self.gossip.packet(self, target, now, pinged, Kind.PING)

    def _ack(self, number: int) -> None:
        self._acked |= number == self._probes

    def _nack(self, number: int) -> None:
        self._nacks += number == self._probes

    def _probe_otherwise(self, target: str, number: int, now: float) -> None:
        if self._acked or number != self._probes:
            return
        helpers = [
            each for each, known in self.known.items() if each != target and known.health is Health.ALIVE
        ]
        self._asked = min(len(helpers), _INDIRECT)
        for helper in self._rng.sample(helpers, self._asked):
            self.gossip.packet(
                self,
                helper,
                now,
                lambda agent, now: self._relay(agent, target, number, now),
                Kind.GOSSIP + 30,
            )
        opened = self.world.connect(self.node, target, Service.RAFT, now, self.config.interval)
        if opened.open:
            epoch = self.world.epoch(target, Service.RAFT, opened.at)
            reply = self.world.request(
                self.node, target, Service.RAFT, opened.at, Kind.PING + 40, epoch=epoch, until=opened.at + 10
            )
            self._at(reply.answered, lambda _: self._ack(number))

    def _relay(self, helper: _Agent, target: str, number: int, now: float) -> None:
        """A helper pings the target for us, and says so when that fails."""
        acked = False

        def relayed(_: _Agent, now: float) -> None:
            nonlocal acked
            acked = True
            self.gossip.packet(helper, self.node, now, lambda _, __: self._ack(number), Kind.PING + 60)

        def pinged(agent: _Agent, now: float) -> None:
            self.gossip.packet(agent, helper.node, now, relayed, Kind.PING + 80)

        def failed(now: float) -> None:
            if not acked:
                self.gossip.packet(helper, self.node, now, lambda _, __: self._nack(number), Kind.PING + 90)

        self.gossip.packet(helper, target, now, pinged, Kind.PING + 70)
        self.gossip.at(now + 0.8 * self.config.timeout, failed, helper)

    def _conclude(self, target: str, number: int, now: float) -> None:
        if number != self._probes:
            return
        if self._acked:
            self._scored(-1)
            return
        missing = self._asked - self._nacks
        self._scored(missing if self._asked else 1)
        known = self.known[target]
        self.hear(Rumour(target, Health.SUSPECT, known.incarnation, self.node), now)

    _asked = 0

    def _gossip(self, now: float) -> None:
        self._at(now + _GOSSIP_INTERVAL, self._gossip)
        if not self._queue:
            return
        peers = [
            each
            for each, known in self.known.items()
            if known.health is not Health.DEAD or now - known.since < _TO_THE_DEAD
        ]
        for peer in self._rng.sample(peers, min(len(peers), _GOSSIP_NODES)):
            if self._queue:
                self.gossip.packet(self, peer, now, lambda _, __: None, Kind.GOSSIP)

    def _exchange(self, now: float) -> None:
        """Exchange everything with one member that is held alive."""
        self._at(now + _EXCHANGE, self._exchange)
        self._meet([each for each, known in self.known.items() if known.health is Health.ALIVE], now)

    def _reconnect(self, now: float) -> None:
        """Try one of the dead again, as Serf does."""
        self._at(now + _EXCHANGE, self._reconnect)
        self._meet([each for each, known in self.known.items() if known.health is Health.DEAD], now)

    def _meet(self, peers: list[str], now: float) -> None:
        if not peers:
            return
        peer = self._rng.choice(peers)
        opened = self.world.connect(self.node, peer, Service.RAFT, now, 10.0)
        if not opened.open:
            return
        epoch = self.world.epoch(peer, Service.RAFT, opened.at)
        reply = self.world.request(
            self.node, peer, Service.RAFT, opened.at, Kind.GOSSIP + 50, epoch=epoch, until=opened.at + 10
        )
        self.gossip.at(reply.handled, lambda now: self._merge(peer, reply.answered, now), None)

    def _merge(self, peer: str, answered: float, now: float) -> None:
        other = self.gossip.agents[peer]
        mine, theirs = self._state(), other._state()
        for rumour in mine:
            other.hear(rumour, now)
        # What the other refuted at once is in its answer.
        theirs[0] = Rumour(peer, Health.ALIVE, other.incarnation, peer)

        def merge(now: float) -> None:
            for rumour in theirs:
                self.hear(rumour, now)

        self._at(answered, merge)

    def _state(self) -> list[Rumour]:
        """Everything known; the dead are told as suspects, as in mergeState."""
        own = Rumour(self.node, Health.ALIVE, self.incarnation, self.node)
        return [
            own,
            *(
                Rumour(each, min(known.health, Health.SUSPECT), known.incarnation, self.node)
                for each, known in self.known.items()
            ),
        ]
