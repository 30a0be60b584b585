"""The baselines that ping without waiting: Akka's phi accrual detector, and the rule of Redis Sentinel."""

from __future__ import annotations

import itertools
import math
import random
from collections import deque
from collections.abc import Mapping
from functools import lru_cache, partial
from typing import Final, NamedTuple

from bench._baselines import PAIRS, Said, by_pair, lives
from bench._measures import Pair, Say
from bench._prober import Connection
from bench._scenarios import Play
from bench._script import NEVER, NODES, Kind, Service
from bench._spans import Span, Spans
from bench._world import World

_TILT: Final = 30.0
"""SENTINEL_TILT_PERIOD."""
_TILT_TRIGGER: Final = 2.0
"""SENTINEL_TILT_TRIGGER: the timer, which is due ten times a second, came so late."""
_ASK_PERIOD: Final = 1.0
_EXPECTED: Final = 1.0
"""expected-response-after of Akka's cluster, seconds."""
_LOOK: Final = 0.1
"""Seconds between two looks at the clock: Sentinel's timer, and as often as our judge looks."""
_STUCK: Final = 5.0
"""Seconds of silence after which the carrier of the heartbeats connects anew."""
_LONG: Final = 60.0


class Beat(NamedTuple):
    """One ping: when it was sent, when its answer was taken (infinity: never), and whether it was refused."""

    sent: float
    answered: float
    refused: bool


def phi_accrual(play: Play, *, threshold: float, pause: float, interval: float, min_std: float) -> Said:
    """Akka's detector (PhiAccrualFailureDetector.scala) over the last 200 intervals of heartbeats."""
    spread = _deviations(threshold)
    return by_pair(play, partial(_accrued, spread=spread, pause=pause, interval=interval, min_std=min_std))


def sentinel(play: Play, *, down_after: float, quorum: int) -> Said:
    """Redis Sentinel's rule: silent for ``down_after`` to this one, and to ``quorum`` of those asked."""
    world = play.world
    silent = {pair: _subjectively_down(world, pair, down_after) for pair in PAIRS}
    tilts = {node: _tilts(world, node) for node in NODES}
    said: Said = {}
    for pair in PAIRS:
        agreed = _objectively_down(world, pair, silent, tilts, quorum)
        said[pair] = _held(agreed, tilts[pair[0]], world.down[Service.SIDECAR][pair[0]], world.until)
    return said


@lru_cache(maxsize=256)
def _beats(world: World, pair: Pair, life: Span, interval: float, patience: float) -> tuple[Beat, ...]:
    """Ping on one connection, without waiting for answers; on a new one after ``patience`` of silence.

    A later ping's acknowledgement makes TCP send the lost one again at once (RACK), so that none is held up
    by another.
    """
    rng = random.Random(f"{world.seed} {pair} {life[0]}")
    now = life[0] + rng.uniform(0, interval)
    beats: list[Beat] = []
    first = 0  # of the present connection
    connection: Connection | None = None
    while (now := world.running(pair[0], Service.SIDECAR, now)) < life[1]:
        sent, refused = now, False
        if connection is not None:
            heard = [beat.answered for beat in beats[first:] if beat.answered <= now]
            stuck = now - max([connection.opened_at, *heard[-1:]]) > patience
            if stuck or connection.closes_at <= now:
                beats[first:] = [_unless_lost(beat, now) for beat in beats[first:]]
                connection = None
        if connection is None:
            opened = world.connect(*pair, Service.RAFT, now, interval)
            now, refused, first = opened.at, opened.refused, len(beats)
            connection = Connection(world, pair, now) if opened.open else None
        answered = NEVER
        if connection is not None:
            connection.ask(now)
            if connection.answers_at < connection.resets_at:
                answered = world.running(pair[0], Service.SIDECAR, connection.answers_at)
        beats.append(Beat(sent, answered, refused))
        now = max(sent + interval, now)
    return tuple(beats)


def _unless_lost(beat: Beat, now: float) -> Beat:
    """What was not answered before its connection was given up is never answered."""
    return beat if beat.answered <= now else beat._replace(answered=NEVER)


def _next_look(at: float) -> float:
    return math.ceil(at / _LOOK) * _LOOK


def _deviations(threshold: float) -> float:
    """How many deviations after the mean phi reaches the threshold; Akka's logistic approximation."""
    low, high = 0.0, 100.0
    wanted = math.log(10**-threshold / (1 - 10**-threshold))
    for _ in range(100):
        y = (low + high) / 2
        low, high = (y, high) if -y * (1.5976 + 0.070566 * y * y) > wanted else (low, y)
    return high


def _accrued(
    world: World, pair: Pair, life: Span, *, spread: float, pause: float, interval: float, min_std: float
) -> list[tuple[float, Say]]:
    beats = _beats(world, pair, life, interval, _STUCK)
    # Akka takes a first heartbeat for given, a second after it began to expect one.
    arrivals = sorted([life[0] + _EXPECTED, *(beat.answered for beat in beats if beat.answered < life[1])])
    history: deque[float] = deque((interval * 0.75, interval * 1.25), maxlen=200)
    words: list[tuple[float, Say]] = []
    for i, at in enumerate(arrivals):
        mean = sum(history) / len(history)
        std = math.sqrt(sum((each - mean) ** 2 for each in history) / len(history))
        deadline = at + mean + pause + spread * max(std, min_std)
        late = _next_look(world.running(pair[0], Service.SIDECAR, deadline))
        after = arrivals[i + 1] if i + 1 < len(arrivals) else life[1]
        if after <= late:
            if i + 1 < len(arrivals):
                history.append(after - at)
            continue
        words.append((late, Say.OFFLINE))
        if after < life[1]:
            words.append((after, Say.ONLINE))
    return words


def _subjectively_down(world: World, pair: Pair, down_after: float) -> Spans:
    """When this Sentinel by itself holds the target for down: since its first unanswered ping."""
    down: list[Span] = []
    for life in lives(world, pair[0]):
        beats = _beats(world, pair, life, _ASK_PERIOD, down_after / 2)
        pongs = sorted({life[0], *(beat.answered for beat in beats if beat.answered < life[1])})
        sent = 0
        for at, again in zip(pongs, [*pongs[1:], life[1]], strict=True):
            while sent < len(beats) and beats[sent].sent <= at:
                sent += 1
            if sent == len(beats):
                break
            since = at if beats[sent].refused else beats[sent].sent
            falls = _next_look(world.running(pair[0], Service.SIDECAR, since + down_after))
            down.append((falls, again))
    return Spans(down)


def _tilts(world: World, node: str) -> Spans:
    """When a Sentinel holds still because its wall clock and its timer disagree."""
    late = [end for start, end in world.still[Service.SIDECAR][node] if end - start > _TILT_TRIGGER]
    stepped = [at for at, _ in world.script.clock_steps[node]]
    return Spans((at, at + _TILT) for at in (*late, *stepped))


def _objectively_down(
    world: World, pair: Pair, silent: Mapping[Pair, Spans], tilts: Mapping[str, Spans], quorum: int
) -> Spans:
    """When enough others said within five periods that they find it down too."""
    observer, target = pair
    agreed: list[Span] = []
    others = [node for node in NODES if node not in pair]
    for start, end in silent[pair]:
        votes: list[Span] = []
        answers: dict[str, list[tuple[float, bool]]] = {node: [] for node in others}
        at = start
        while at < end:
            for node in others:
                epoch = world.epoch(node, Service.SIDECAR, at)
                reply = world.request(
                    observer, node, Service.SIDECAR, at, Kind.GOSSIP, epoch=epoch, until=at + _LONG
                )
                if reply.answered < end:
                    down = reply.handled in silent[node, target] and reply.handled not in tilts[node]
                    answers[node].append((reply.answered, down))
            at = world.running(observer, Service.SIDECAR, at + _ASK_PERIOD)
        for told in answers.values():
            told.sort()
            ends = [when for when, _ in told[1:]] + [end]
            votes += [
                (when, min(after, when + 5 * _ASK_PERIOD))
                for (when, down), after in zip(told, ends, strict=False)
                if down
            ]
        agreed += _covered(votes, quorum - 1, (start, end))
    return Spans(agreed)


def _covered(votes: list[Span], times: int, within: Span) -> list[Span]:
    """When at least so many of the spans hold at once."""
    if times <= 0:
        return [within]
    edges = sorted({within[0], within[1], *(edge for span in votes for edge in span)})
    return [
        (a, min(b, within[1]))
        for a, b in itertools.pairwise(edges)
        if a < within[1] and sum(start <= a < end for start, end in votes) >= times
    ]


def _held(agreed: Spans, tilts: Spans, down: Spans, until: float) -> list[tuple[float, Say]]:
    """Turn spans into words; in a tilt nothing is changed, and a new process begins with online."""
    words = [(start, Say.ONLINE) for start, _ in down.gaps(until)]
    for edge in sorted({edge for span in agreed for edge in span}):
        at = tilts.over(edge)
        words.append((at, Say.OFFLINE if at in agreed else Say.ONLINE))
    return sorted(words, key=lambda word: word[0])
