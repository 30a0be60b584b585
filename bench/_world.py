"""The simulated world: five nodes, their hosts and links, and the fate of everything that is sent.

Nothing here depends on who watches. The fate of a packet is a pure function of the seed, its way, its
kind and the time at which it is sent, so that every detector lives in the same world.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from typing import Final, NamedTuple

from bench._script import MAJORITY, NEVER, NODES, Kind, Script, Service
from bench._spans import Span, Spans

_DELAY: Final = 0.0004
"""One way of a quiet local network, seconds."""
_WOBBLE: Final = 0.0004
"""The most that a quiet network adds to it."""
_LOOPBACK: Final = 0.00005
_RTO: Final = 0.2
"""The least retransmission timeout of Linux (TCP_RTO_MIN), doubled at each loss."""
_SYN_RTO: Final = 1.0
"""The first one of a connection attempt (RFC 6298), doubled likewise."""
_PATIENCE: Final = 60.0
"""For how long a host sends an answer again, seconds; it is longer than anybody here waits."""
_WORK: Final = 0.0002
"""What handling a request takes on a CPU that is free, seconds."""
_CAP: Final = 6.0
"""No delay is drawn above so many times its mean."""

_MASK: Final = (1 << 64) - 1
_SCALE: Final = 1.0 / (1 << 64)


class Sent(NamedTuple):
    """When sent data arrives at the other host, and when its acknowledgement is back; infinity: never."""

    arrives: float
    acknowledged: float


class Reply(NamedTuple):
    """What came of a request. ``answered`` and ``reset`` are times at the asker, ``handled`` at the asked."""

    answered: float
    reset: float
    handled: float
    acknowledged: float


class Connected(NamedTuple):
    """What came of an attempt to connect, and when; ``open`` and ``refused`` both false: it took too long."""

    at: float
    open: bool
    refused: bool


class Link:
    """One direction between two hosts."""

    __slots__ = ("burst_loss", "bursts", "clean", "cut", "jitter", "loss", "salt")

    def __init__(self, script: Script, way: tuple[str, str], salt: int) -> None:
        self.cut = Spans(script.cut[way])
        self.bursts = Spans(script.bursts[way])
        self.loss, self.burst_loss, self.jitter = script.loss, script.burst_loss, script.jitter
        self.salt = salt
        self.clean = not (self.cut or self.bursts or self.loss)


class World:
    """The world that a script makes of a seed; ``until`` is its end, seconds after its beginning."""

    def __init__(self, script: Script, seed: int) -> None:
        self.script = script
        self.seed = seed
        self.until = script.until
        self.host_down = _spans(script.host_down)
        self.host_paused = _spans(script.host_paused)
        self.down = {
            Service.RAFT: {n: Spans(script.process_down[n]).joined(self.host_down[n]) for n in NODES},
            Service.SIDECAR: {n: Spans(script.sidecar_down[n]).joined(self.host_down[n]) for n in NODES},
        }
        self.still = {
            Service.RAFT: {n: Spans(script.process_frozen[n]).joined(self.host_paused[n]) for n in NODES},
            Service.SIDECAR: {n: Spans(script.sidecar_frozen[n]).joined(self.host_paused[n]) for n in NODES},
        }
        self._salts = {(a, b): _salt(seed, i, j) for i, a in enumerate(NODES) for j, b in enumerate(NODES)}
        self._links = {way: Link(script, way, self._salts[way]) for way in script.cut}
        self.cut_off = _cut_off(self._links, script.until)

    def draw(self, way: tuple[str, str], kind: int, at: float) -> float:
        """Give the number from 0 to 1 that decides about what is sent on this way at this time."""
        mixed = (int(at * 1e7) * 0x9E3779B97F4A7C15 + self._salts[way] + kind * 0xD1B54A32D192ED03) & _MASK
        mixed = ((mixed ^ (mixed >> 32)) * 0xD6E8FEB86659FD93) & _MASK
        mixed = ((mixed ^ (mixed >> 29)) * 0xD6E8FEB86659FD93) & _MASK
        return (mixed ^ (mixed >> 32)) * _SCALE

    def delay(self, mean: float, way: tuple[str, str], kind: int, at: float) -> float:
        """Draw from an exponential distribution, cut off at six times its mean; seconds."""
        return mean * min(-math.log(1.0 - self.draw(way, kind + 100, at)), _CAP)

    def packet(self, source: str, target: str, at: float, kind: int) -> float:
        """Give when a packet arrives, infinity when it is lost. The host of ``source`` runs at ``at``.

        What comes to a paused virtual machine waits in its queue.
        """
        if source == target:
            return at + _LOOPBACK
        way = (source, target)
        link = self._links[way]
        if not link.clean:
            if link.cut and at in link.cut:
                return NEVER
            rate = link.burst_loss if link.bursts and at in link.bursts else link.loss
            if rate and self.draw(way, kind, at) < rate:
                return NEVER
        if link.jitter:
            arrives = at + _DELAY + self.delay(link.jitter, way, kind, at)
        else:
            arrives = at + _DELAY + _WOBBLE * self.draw(way, kind + 50, at)
        if (paused := self.host_paused[target]) and arrives in paused:
            arrives = paused.over(arrives)
        if (down := self.host_down[target]) and arrives in down:
            return NEVER
        return arrives

    def send(self, source: str, target: str, at: float, kind: int, until: float) -> Sent:
        """Send data on an open connection: what is not acknowledged is sent again, until ``until``."""
        arrives, rto = NEVER, _RTO
        while at <= until:
            at = self.host_paused[source].over(at)
            if at in self.host_down[source]:
                break
            there = self.packet(source, target, at, kind)
            if there < NEVER:
                arrives = min(arrives, there)
                back = self.packet(target, source, there, kind + 20)
                if back < NEVER:
                    return Sent(arrives, back)
            at += rto
            rto *= 2
        return Sent(arrives, NEVER)

    def running(self, node: str, service: Service, at: float) -> float:
        """Give when a service next runs, if it is not killed before: ``at`` itself, or the end of a pause."""
        still = self.still[service][node]
        return still.over(at) if still else at

    def handled(self, node: str, service: Service, at: float) -> tuple[float, bool]:
        """Give when a request that arrives at ``at`` is handled; or, False, when its connection is reset."""
        down = self.down[service][node]
        if at in down:
            return at, False
        slow = self.script.slow
        work = self.delay(slow, (node, node), Kind.WORK, at) if slow else 0.0
        done = self.running(node, service, self.running(node, service, at) + _WORK + work)
        dies = down.next_start(at)
        return (dies, False) if done >= dies else (done, True)

    def connect(self, source: str, target: str, service: Service, at: float, patience: float) -> Connected:
        """Open a connection: the kernel accepts for a frozen process, and refuses for a dead one."""
        began, end, rto, kind = at, at + patience, _SYN_RTO, Kind.CONNECT
        while at < end:
            at = self.host_paused[source].over(at)
            there = self.packet(source, target, at, kind)
            if there < NEVER:
                back = self.packet(target, source, there, kind + 20)
                if back <= end:
                    refused = there in self.down[service][target]
                    return Connected(back, not refused, refused)
            at += rto
            rto *= 2
        return Connected(began + patience, open=False, refused=False)

    def request(
        self, source: str, target: str, service: Service, at: float, kind: int, *, epoch: int, until: float
    ) -> Reply:
        """Ask on an open connection. ``epoch`` is that of the process with which it was opened."""
        there, acknowledged = self.send(source, target, at, kind, until)
        if there == NEVER:
            return Reply(NEVER, NEVER, NEVER, NEVER)
        done, answers = self.handled(target, service, there)
        if not answers or self.epoch(target, service, done) != epoch:
            if done in self.host_down[target]:
                return Reply(NEVER, NEVER, NEVER, acknowledged)
            reset = self.send(target, source, done, kind + 10, done + _PATIENCE).arrives
            return Reply(NEVER, reset, NEVER, acknowledged)
        answered = self.send(target, source, done, kind + 10, done + _PATIENCE).arrives
        return Reply(answered, NEVER, done, min(acknowledged, answered))

    def epoch(self, node: str, service: Service, at: float) -> int:
        """Count the processes of this service that have ended until ``at``."""
        return self.down[service][node].begun(at)

    def closes(self, source: str, target: str, service: Service, opened: float, kind: int) -> float:
        """Give when ``source`` learns that the process at the other end of its connection is gone.

        A host that lives closes the connections of its dead process; one without power tells nobody.
        """
        dies = self.down[service][target].next_start(opened)
        if dies == NEVER or dies in self.host_down[target]:
            return NEVER
        return self.send(target, source, dies, kind + 10, dies + _PATIENCE).arrives

    def wall(self, node: str, at: float) -> float:
        """Give what the wall clock of a host shows, in seconds; it starts at 1000000."""
        return 1e6 + at + sum(by for when, by in self.script.clock_steps[node] if when <= at)

    def offline(self, observer: str, target: str) -> Spans:
        """When a target is truly offline: its process or host is gone, or it is cut from the majority.

        For an observer that is itself cut off, only the process and the host count.
        """
        cut_off = self.cut_off[target].without(self.cut_off[observer])
        return self.down[Service.RAFT][target].joined(cut_off)

    def speaking(self, node: str, service: Service) -> Spans:
        """When a detector that lives in this service can say anything."""
        silent = self.down[service][node].joined(self.still[service][node])
        return silent.gaps(self.until)


def _spans(of: Mapping[str, list[Span]]) -> dict[str, Spans]:
    return {node: Spans(spans) for node, spans in of.items()}


def _salt(*parts: int) -> int:
    mixed = 0x2545F4914F6CDD1D
    for part in parts:
        mixed = ((mixed ^ (part + 1)) * 0x9E3779B97F4A7C15) & _MASK
        mixed ^= mixed >> 31
    return mixed


def _cut_off(links: Mapping[tuple[str, str], Link], until: float) -> dict[str, Spans]:
    """By node when no majority can be reached over links that work both ways, through others too."""
    edges = sorted({0.0, until, *(edge for link in links.values() for span in link.cut for edge in span)})
    found: dict[str, list[Span]] = {node: [] for node in NODES}
    for start, end in itertools.pairwise(edges):
        whole = {(a, b) for a, b in links if start not in links[a, b].cut and start not in links[b, a].cut}
        for node in NODES:
            if len(_component(node, whole)) < MAJORITY:
                found[node].append((start, end))
    return _spans(found)


def _component(node: str, whole: set[tuple[str, str]]) -> set[str]:
    reached, new = {node}, [node]
    while new:
        here = new.pop()
        for other in NODES:
            if other not in reached and (here, other) in whole:
                reached.add(other)
                new.append(other)
    return reached
