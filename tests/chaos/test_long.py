"""What only ``make chaos`` has the time for."""

from __future__ import annotations

import pytest

from tests.chaos.arena import Arena, says

pytestmark = pytest.mark.integration


@pytest.mark.parametrize("share", [0.2, 0.3])
def test_a_host_without_power_is_found_although_frames_are_lost(arena: Arena, share: float) -> None:
    with arena.scenario(f"{share:.0%} loss and power off"):
        victim = arena.some(1)[0]
        arena.lose(share)
        arena.watch(3 * arena.timeout)
        arena.power_off(victim)
        arena.expect("offline", says("offline", victim), by=arena.others(victim), within=15)


def test_a_network_that_falls_apart_again_and_again_makes_nobody_of_its_majority_offline(
    arena: Arena,
) -> None:
    with arena.scenario("cuts of any length"):
        for _ in range(5):
            arena.cut_off(*arena.some(arena.random.choice([1, 2])))
            arena.watch_until_fault_is(arena.random.uniform(0.5, 8) * arena.timeout)
            arena.heal()
