"""The baselines that judge each pair by itself, by probes or by hashicorp/raft's own observations.

Each gets its observer's host, its own requests and the same world. Its parameters are those that its
users can set, in seconds and counts.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from functools import lru_cache, partial
from typing import Final, NamedTuple

from bench._measures import Pair, Say
from bench._prober import Connection
from bench._scenarios import Play
from bench._script import NEVER, NODES, Service
from bench._spans import Span
from bench._world import World

Said = dict[Pair, list[tuple[float, Say]]]
"""What each observer said of each target, from each time in seconds on."""

PAIRS: Final = tuple((a, b) for a in NODES for b in NODES if a != b)


class Probe(NamedTuple):
    """One probe of a series: when it was over, and whether it was answered."""

    at: float
    answered: bool


def single_probe(play: Play, *, interval: float, timeout: float) -> Said:
    """Offline is who does not answer one probe in time, online who does."""
    return fall_rise(play, fall=1, rise=1, interval=interval, timeout=timeout)


def fall_rise(play: Play, *, fall: int, rise: int, interval: float, timeout: float) -> Said:
    """Offline after ``fall`` failures in a row, online after ``rise`` answers in a row, as in HAProxy."""
    return by_pair(play, partial(_counted, fall=fall, rise=rise, interval=interval, timeout=timeout))


def blackbox(play: Play, *, interval: float, wait: float) -> Said:
    """Prometheus with blackbox_exporter: a TCP probe each ``interval``, and a rule with ``for: wait``.

    The probe's timeout is the interval, the rule is evaluated once an interval.
    """
    return by_pair(play, partial(_alerted, interval=interval, wait=wait))


def failed_heartbeat(play: Play, *, failures: int) -> Said:
    """hashicorp/raft's own observations: FailedHeartbeat on the leader, until ResumedHeartbeat.

    ``failures`` in a row are wanted. Who does not lead says nothing.
    """
    said: Said = {}
    for leader, peer in PAIRS:
        words = [(start, Say.ONLINE) for start, _ in play.raft.reigns(leader, play.world.until)]
        for at, count in play.raft.failures[leader, peer]:
            if count in {0, failures}:
                words.append((at, Say.OFFLINE if count else Say.ONLINE))
        words += [(end, Say.NEITHER) for _, end in play.raft.reigns(leader, play.world.until)]
        said[leader, peer] = sorted(words, key=lambda word: word[0])
    return said


def lives(world: World, node: str) -> Iterator[Span]:
    """From when to when one process of the detector at this node lives."""
    yield from world.down[Service.SIDECAR][node].gaps(world.until)


_Judge = Callable[[World, Pair, Span], list[tuple[float, Say]]]


def by_pair(play: Play, judge: _Judge) -> Said:
    """Judge each pair anew in each life of the observer; at its beginning the target is held online."""
    said: Said = {}
    for pair in PAIRS:
        words: list[tuple[float, Say]] = []
        for life in lives(play.world, pair[0]):
            words.append((life[0], Say.ONLINE))
            words += judge(play.world, pair, life)
        said[pair] = words
    return said


def _counted(
    world: World, pair: Pair, life: Span, *, fall: int, rise: int, interval: float, timeout: float
) -> list[tuple[float, Say]]:
    words: list[tuple[float, Say]] = []
    online, contrary = True, 0
    for at, answered in _series(world, pair, life, interval, timeout):
        contrary = 0 if answered is online else contrary + 1
        if contrary >= (fall if online else rise):
            online, contrary = not online, 0
            words.append((at, Say.ONLINE if online else Say.OFFLINE))
    return words


@lru_cache(maxsize=256)
def _series(world: World, pair: Pair, life: Span, interval: float, timeout: float) -> tuple[Probe, ...]:
    """Ask again and again on one connection, as the native prober does; it is closed after a failure."""
    rng = random.Random(f"{world.seed} {pair} {life[0]}")
    observer = pair[0]
    now = life[0] + rng.uniform(0, interval)
    connection: Connection | None = None
    probes: list[Probe] = []
    while True:
        now = world.running(observer, Service.SIDECAR, now)
        if now >= life[1]:
            return tuple(probes)
        over, asked, answers = now + timeout, now, NEVER
        if connection is None or connection.closes_at <= now:
            opened = world.connect(*pair, Service.RAFT, now, timeout)
            asked, over = opened.at, over if opened.open else opened.at
            connection = Connection(world, pair, opened.at) if opened.open else None
        if connection is not None:
            connection.ask(asked)
            over = min(over, connection.resets_at)
            answers = connection.answers_at
        # A detector that was frozen finds the answer before it finds the timeout.
        at = world.running(observer, Service.SIDECAR, min(over, answers))
        if answers > at:
            connection = None
        probes.append(Probe(at, answers <= at))
        now = max(now + interval, at)


def _alerted(
    world: World, pair: Pair, life: Span, *, interval: float, wait: float
) -> list[tuple[float, Say]]:
    rng = random.Random(f"{world.seed} {pair} {life[0]}")
    scrape, evaluate = life[0] + rng.uniform(0, interval), life[0] + rng.uniform(0, interval)
    samples: list[Probe] = []
    still = world.still[Service.SIDECAR][pair[0]]
    while scrape < life[1]:
        if scrape not in still:
            opened = world.connect(*pair, Service.RAFT, scrape, interval)
            samples.append(Probe(world.running(pair[0], Service.SIDECAR, opened.at), opened.open))
        scrape += interval
    words: list[tuple[float, Say]] = []
    pending: float | None = None
    firing, seen, up = False, 0, True
    while evaluate < life[1]:
        while seen < len(samples) and samples[seen].at <= evaluate:
            up, seen = samples[seen].answered, seen + 1
        if evaluate not in still:
            pending = None if up else evaluate if pending is None else pending
            fires = pending is not None and evaluate - pending >= wait
            if fires is not firing:
                firing = fires
                words.append((evaluate, Say.OFFLINE if fires else Say.ONLINE))
        evaluate += interval
    return words
