"""How soon ours calls a condition by its name: isolated, asymmetric, stalled."""

from __future__ import annotations

from collections.abc import Iterator

from bench._ours import Seen
from bench._scenarios import Play
from bench._script import Service
from raft_exporter.model.judge import State

_LONG_ENOUGH = 3.0
"""Seconds of a pause from which on it should have been called stalled: it takes 2 H of silence."""


def named(play: Play, seen: Seen) -> dict[str, list[float | None]]:
    """Give for each condition how many seconds each observer took to name it; None: it never did."""
    return {
        "isolated": list(_isolated(play, seen)),
        "asymmetric": list(_asymmetric(play, seen)),
        "stalled": list(_stalled(play, seen)),
    }


def _isolated(play: Play, seen: Seen) -> Iterator[float | None]:
    for node, told in seen.isolated.items():
        for start, end in play.world.cut_off[node]:
            at = next((at for at, isolated in told if isolated and start <= at < end), None)
            yield None if at is None else at - start


def _asymmetric(play: Play, seen: Seen) -> Iterator[float | None]:
    world = play.world
    for way, spans in world.script.cut.items():
        for start, end in spans:
            if start in world.cut_off[way[0]] or start in world.cut_off[way[1]]:
                continue
            # Cut one way, it is broken for both ends: a question or its answer does not pass.
            for pair in (way, way[::-1]):
                if (way[::-1] == pair) and (start, end) in world.script.cut[pair]:
                    continue
                yield _first(seen, pair, State.ASYMMETRIC, start, end)


def _stalled(play: Play, seen: Seen) -> Iterator[float | None]:
    world = play.world
    for pair in seen.states:
        for start, end in world.script.process_frozen[pair[1]]:
            if end - start >= _LONG_ENOUGH and start in world.speaking(pair[0], Service.SIDECAR):
                yield _first(seen, pair, State.STALLED, start, end)


def _first(seen: Seen, pair: tuple[str, ...], state: State, start: float, end: float) -> float | None:
    told = seen.states[pair[0], pair[1]]
    at = next((at for at, each in told if each is state and start <= at < end), None)
    return None if at is None else at - start
