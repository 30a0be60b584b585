"""What happens to the simulated cluster, by scenario; all times are drawn from the seed.

A play lasts until each node has had its turn. No node fails twice in one play (but for the crash
loop), so that the flap damping of one fault does not colour the next; more samples are more plays.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Final, NamedTuple

from bench._raft import Cluster, History
from bench._script import NODES, Script
from bench._spans import Span
from bench._world import World
from raft_exporter.model.evidence import Role

RESTART: Final = "-restart"
"""The suffix of a scenario in which a sidecar is restarted in the middle of each fault."""

_SETTLE: Final = 25.0
_DOWN: Final = 40.0
"""Seconds that a fault lasts: longer than the slowest baseline takes to see it (30 s)."""
_UP: Final = 35.0
_BOOT: Final = 1.0
"""Seconds from the power until process and sidecar run."""
_RESTART: Final = 1.0
"""Seconds that a restart of a sidecar takes."""
_HOUR: Final = 3600.0

_Author = Callable[[Script, random.Random], None]


class Play(NamedTuple):
    """One world with the history of its cluster."""

    world: World
    raft: History


def _turns(rng: random.Random, down: float = _DOWN, up: float = _UP) -> Iterator[tuple[str, Span]]:
    """Give each node its turn, in an order and at phases of the seed."""
    at = _SETTLE
    for node in rng.sample(NODES, len(NODES)):
        at += rng.uniform(0, 5)
        yield node, (at, at + down)
        at += down + up


def _observer(rng: random.Random, *targets: str) -> str:
    return rng.choice([node for node in NODES if node not in targets])


def _pauses(rng: random.Random, until: float) -> Iterator[tuple[str, Span]]:
    """Random nodes, one at a time, for half a second to five, seconds apart."""
    at = _SETTLE
    while at < until - 15:
        at += rng.uniform(2, 10)
        span = (at, at + rng.uniform(0.5, 5.0))
        yield rng.choice(NODES), span
        at = span[1]


def _fault(script: Script, rng: random.Random, span: Span, *targets: str) -> None:
    """Note the middle of a fault, for a restart of an observer then."""
    middle = sum(span) / 2
    script.restarts.append((_observer(rng, *targets), middle))


def _kill(script: Script, rng: random.Random) -> None:
    for node, span in _turns(rng):
        script.process_down[node].append(span)
        _fault(script, rng, span, node)


def _power_off(script: Script, rng: random.Random) -> None:
    for node, (off, on) in _turns(rng):
        script.host_down[node].append((off, on))
        script.process_down[node].append((off, on + _BOOT))
        script.sidecar_down[node].append((off, on + _BOOT))
        _fault(script, rng, (off, on), node)


def _power_off_loss30(script: Script, rng: random.Random) -> None:
    script.loss = 0.3
    _power_off(script, rng)


def _quietly(script: Script, rng: random.Random) -> None:
    """No fault but the noise: a restart comes now and then all the same."""
    for node, span in _turns(rng):
        _fault(script, rng, span, node)


def _loss30(script: Script, rng: random.Random) -> None:
    script.loss = 0.3
    _quietly(script, rng)


def _sigstop(script: Script, rng: random.Random) -> None:
    for node, span in _pauses(rng, script.until):
        script.process_frozen[node].append(span)
        if rng.random() < 0.1:
            _fault(script, rng, span, node)


def _vm_pause(script: Script, rng: random.Random) -> None:
    for node, span in _pauses(rng, script.until):
        script.host_paused[node].append(span)
        if rng.random() < 0.1:
            _fault(script, rng, span, node)


def _slow_cpu(script: Script, rng: random.Random) -> None:
    script.slow = 0.2
    _quietly(script, rng)


def _slow_cpu_loss10(script: Script, rng: random.Random) -> None:
    script.loss = 0.1
    _slow_cpu(script, rng)


def _jitter(script: Script, rng: random.Random) -> None:
    script.jitter = 0.1
    _quietly(script, rng)


def _burst_loss(script: Script, rng: random.Random) -> None:
    """Bursts of half a second to three in which 90 % is lost, of a link or of all links of a host."""
    script.burst_loss = 0.9
    at = _SETTLE
    while at < script.until - 10:
        at += rng.uniform(1, 8)
        span = (at, at + rng.uniform(0.5, 3.0))
        node, whole = rng.choice(NODES), rng.random() < 0.5
        other = _observer(rng, node)
        for way, bursts in script.bursts.items():
            if node in way and (whole or other in way):
                bursts.append(span)
    _quietly(script, rng)


def _one_way_cut(script: Script, rng: random.Random) -> None:
    for node, span in _turns(rng):
        script.cut[node, _observer(rng, node)].append(span)
        _fault(script, rng, span, node)


def _one_link_cut(script: Script, rng: random.Random) -> None:
    for node, span in _turns(rng):
        other = _observer(rng, node)
        script.cut[node, other].append(span)
        script.cut[other, node].append(span)
        _fault(script, rng, span, node)


def _minority(script: Script, rng: random.Random) -> None:
    """Two nodes are cut from the three others; the pairs are such that no node is in two of them."""
    nodes = rng.sample(NODES, len(NODES))
    for turn, (_, span) in enumerate(_turns(rng)):
        if turn in {0, 3}:
            pair = tuple(nodes[:2] if turn == 0 else nodes[2:4])
            script.split(pair, span)
            _fault(script, rng, span)


def _leader_isolated(script: Script, rng: random.Random) -> None:
    """The leader of the moment is cut from everybody; three times, so that few are cut twice."""
    for turn, (_, span) in enumerate(_turns(rng)):
        if turn % 2 == 0:
            leader = _leader(script, rng, span[0])
            script.split((leader,), span)
            _fault(script, rng, span, leader)


def _majority_dead(script: Script, rng: random.Random) -> None:
    for turn, (node, span) in enumerate(_turns(rng)):
        if turn == 2:
            dead = [node, *rng.sample([each for each in NODES if each != node], 2)]
            for each in dead:
                script.process_down[each].append(span)
            _fault(script, rng, span, *dead)


def _majority_off(script: Script, rng: random.Random) -> None:
    for turn, (node, span) in enumerate(_turns(rng)):
        if turn == 2:
            dead = [node, *rng.sample([each for each in NODES if each != node], 2)]
            for each in dead:
                script.host_down[each].append(span)
                script.process_down[each].append((span[0], span[1] + _BOOT))
                script.sidecar_down[each].append((span[0], span[1] + _BOOT))
            _fault(script, rng, span, *dead)


def _crash_loop(script: Script, rng: random.Random) -> None:
    """One process dies one to six seconds after each start, and starts one to ten after each death."""
    node, at = rng.choice(NODES), _SETTLE
    while at < script.until - 60:
        back = at + rng.uniform(1, 10)
        script.process_down[node].append((at, back))
        if rng.random() < 0.1:
            _fault(script, rng, (at, back), node)
        at = back + rng.uniform(1, 6)


def _sidecar_frozen(script: Script, rng: random.Random) -> None:
    at = _SETTLE
    while at < script.until - 45:
        at += rng.uniform(3, 10)
        span = (at, at + rng.uniform(2, 30))
        node = rng.choice(NODES)
        script.sidecar_frozen[node].append(span)
        _fault(script, rng, span, node)
        at = span[1]


def _clock_step(script: Script, rng: random.Random) -> None:
    """Wall clocks step by an hour, all through the play, while processes are killed and come back."""
    _kill(script, rng)
    at = _SETTLE
    while at < script.until:
        script.clock_steps[rng.choice(NODES)].append((at, rng.choice((-_HOUR, _HOUR))))
        at += rng.uniform(20, 60)
    for observer, middle in script.restarts:
        script.clock_steps[observer].append((middle + _RESTART / 2, rng.choice((-_HOUR, _HOUR))))


_AUTHORS: Final[dict[str, _Author]] = {
    "kill": _kill,
    "power-off": _power_off,
    "power-off-loss30": _power_off_loss30,
    "loss30": _loss30,
    "sigstop": _sigstop,
    "vm-pause": _vm_pause,
    "slow-cpu-loss10": _slow_cpu_loss10,
    "one-way-cut": _one_way_cut,
    "minority": _minority,
    "burst-loss": _burst_loss,
    "jitter": _jitter,
    "slow-cpu": _slow_cpu,
    "one-link-cut": _one_link_cut,
    "leader-isolated": _leader_isolated,
    "majority-dead": _majority_dead,
    "majority-off": _majority_off,
    "crash-loop": _crash_loop,
    "sidecar-frozen": _sidecar_frozen,
    "clock-step": _clock_step,
}

SCENARIOS: Final = (*_AUTHORS, *(f"{name}{RESTART}" for name in _AUTHORS))
"""Their names, first those without a restart."""

PLAY: Final = _SETTLE + len(NODES) * (_DOWN + _UP + 5.0)
"""Seconds that a play lasts."""


@lru_cache(maxsize=8)
def play(scenario: str, seed: int, number: int) -> Play:
    """Give the ``number``-th play of a scenario: the same world for every detector."""
    script = write(scenario, seed, number)
    world = World(script, _world_seed(seed, number))
    return Play(world, Cluster(world).play(script.until))


def write(scenario: str, seed: int, number: int) -> Script:
    """Write the script of one play. ValueError for a scenario that does not exist."""
    name = scenario.removesuffix(RESTART)
    if name not in _AUTHORS:
        raise ValueError(f"unknown scenario {scenario!r}, expected one of {', '.join(SCENARIOS)}")
    rng = random.Random(f"{name} {seed} {number}")
    script = Script(until=PLAY, seed=_world_seed(seed, number))
    _AUTHORS[name](script, rng)
    if scenario.endswith(RESTART):
        for observer, at in script.restarts:
            script.sidecar_down[observer].append((at, at + _RESTART))
    return script


def _world_seed(seed: int, number: int) -> int:
    return seed * 1000 + number


def _leader(script: Script, rng: random.Random, at: float) -> str:
    """Who leads at a time, as far as the script is written; any node where nobody does."""
    history = Cluster(World(script, script.seed)).play(at)
    leaders = [node for node in NODES if history.standing(node, at).role is Role.LEADER]
    return leaders[0] if leaders else rng.choice(NODES)
