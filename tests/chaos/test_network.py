"""Networks that lose frames, break between two hosts, or fall apart."""

from __future__ import annotations

import pytest

from tests.chaos.arena import Arena, says
from tests.chaos.conftest import FORM, LONG
from tests.chaos.recorder import Said

pytestmark = pytest.mark.integration


@pytest.mark.parametrize("share", [0.2, 0.3] if LONG else [0.3])
def test_lost_frames_make_nobody_offline(arena: Arena, share: float) -> None:
    with arena.scenario(f"{share:.0%} loss"):
        arena.lose(share)
        arena.watch(FORM.loss_seconds)
        assert arena.network.lost_share() == pytest.approx(share, abs=0.05)


@pytest.mark.parametrize("both_ways", [True, False], ids=["both ways", "one way"])
def test_a_broken_link_is_asymmetric_at_both_ends_and_nowhere_else(arena: Arena, both_ways: bool) -> None:
    with arena.scenario("one link cut" if both_ways else "one-way cut"):
        one, other = arena.some(2)
        others = arena.others(one, other)
        arena.break_link(one, other, both_ways=both_ways)
        arena.expect("asymmetric at one end", says("asymmetric", other), by=[one], within=10)
        arena.expect("asymmetric at the other", says("asymmetric", one), by=[other], within=10)
        arena.expect("online elsewhere", says("online", one, other), by=others, within=10)
        arena.watch(4 * arena.timeout)


def test_a_minority_says_that_it_is_isolated_and_not_that_all_others_are_down(arena: Arena) -> None:
    with arena.scenario("minority of two cut off"):
        minority = arena.some(2)
        majority = arena.others(*minority)
        arena.cut_off(*minority)
        unknown = says("unknown", *majority)
        arena.expect("isolated", lambda said: said.isolated and unknown(said), by=minority)
        arena.expect("offline", says("offline", *minority), by=majority, within=15)
        arena.expect("not isolated", lambda said: not said.isolated, by=majority)
        arena.watch(5 * arena.timeout)


def test_a_leader_that_is_cut_off_is_isolated_and_another_leads(arena: Arena) -> None:
    with arena.scenario("leader cut off"):
        old = arena.leader()
        majority = arena.others(old)
        arena.cut_off(old)

        def follows_another(said: Said) -> bool:
            return said.leader not in {None, old.id} and not said.isolated

        arena.expect("another leader", follows_another, by=majority, within=15)
        arena.expect("isolated", lambda said: said.isolated and not said.leader, by=[old])
        arena.expect("offline", says("offline", old), by=majority, within=15)
        arena.expect("unknown", says("unknown", *majority), by=[old])
        arena.watch(5 * arena.timeout)
