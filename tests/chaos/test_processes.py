"""Processes that die, freeze or hang, on hosts that live; and a host that dies."""

from __future__ import annotations

import pytest

from tests.chaos.arena import Arena, says
from tests.chaos.conftest import LONG
from tests.chaos.hosts import Host

pytestmark = pytest.mark.integration

FREEZES = (0.5, 1, 2, 3.5, 5) if LONG else (5,)
"""In H. A pause longer than this can't be told from a host without power."""


def test_a_killed_process_is_offline_for_every_other_sidecar(arena: Arena) -> None:
    with arena.scenario("kill"):
        victim = arena.some(1)[0]
        arena.kill(victim)
        arena.expect("offline", says("offline", victim), by=arena.others(victim))
        arena.watch(3 * arena.timeout)


def test_three_killed_of_five_are_offline_for_the_two_that_are_left(arena: Arena) -> None:
    with arena.scenario("three of five killed"):
        victims = arena.some(3)
        arena.kill(*victims)
        arena.expect("offline", says("offline", *victims), by=arena.others(*victims))
        arena.watch(3 * arena.timeout)


def test_a_host_without_power_is_offline_for_every_other_sidecar(arena: Arena) -> None:
    with arena.scenario("power off"):
        victim = arena.some(1)[0]
        arena.power_off(victim)
        arena.expect("offline", says("offline", victim), by=arena.others(victim), within=15)


@pytest.mark.parametrize("of", ["leader", "follower"] if LONG else ["leader"])
def test_a_frozen_process_is_stalled_and_never_offline(arena: Arena, of: str) -> None:
    with arena.scenario(f"freeze of the {of}"):
        for length in FREEZES:
            victim = _one(arena, of)
            arena.freeze(victim)
            if length == 5:
                arena.expect("stalled", says("stalled", victim), within=5)
            arena.watch_until_fault_is(length * arena.timeout)
            arena.thaw(victim)
            arena.expect("online", says("online", victim), within=5)
            arena.watch(arena.timeout)


def test_a_frozen_sidecar_is_accused_by_nobody_and_accuses_nobody_once_thawed(arena: Arena) -> None:
    with arena.scenario("freeze of a sidecar"):
        host = arena.some(1)[0]
        host.sidecar.freeze()
        arena.watch(8 * arena.timeout)
        host.sidecar.thaw()
        arena.watch(4 * arena.timeout)
        arena.never_said({"stalled", "asymmetric", "offline"})


@pytest.mark.parametrize("of", ["leader", "follower"])
def test_a_node_whose_store_hangs_is_stalled_and_never_offline(arena: Arena, of: str) -> None:
    with arena.scenario(f"stalled store of the {of}"):
        leader = arena.leader()
        victim = _one(arena, of)
        arena.stall_store(victim, leader)
        arena.expect("stalled", says("stalled", victim))
        arena.watch(5 * arena.timeout)


def _one(arena: Arena, of: str) -> Host:
    return arena.leader() if of == "leader" else arena.follower()
