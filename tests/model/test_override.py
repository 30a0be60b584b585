"""Overrides: precedence, expiry, and that every sidecar ends with the same."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from raft_exporter.model.judge import State
from raft_exporter.model.override import FORCED, IGNORE, MAX_SECONDS, Override, Overrides, shown_state

BASE = Override(
    set_at=100.0, node="n1", state="offline", expires_at=200.0, author="ann", reason="disk", peer="n3"
)
DAY = 86400.0


def entries() -> st.SearchStrategy[Override]:
    return st.builds(
        Override,
        set_at=st.integers(0, 4).map(float),
        node=st.sampled_from(["n1", "n2"]),
        state=st.sampled_from(["", "online", "offline", IGNORE]),
        expires_at=st.integers(5, 7).map(float),
        author=st.sampled_from(["ann", "bob"]),
        reason=st.sampled_from(["", "disk"]),
        peer=st.sampled_from(["n1", "n2", "n3"]),
    )


@pytest.mark.parametrize(
    "change",
    [
        {"set_at": 100.001},
        {"set_at": 100.001, "node": "a", "state": "", "expires_at": 0.0},
        {"node": "n2"},
        {"node": "n2", "state": ""},
        {"state": "online"},
        {"expires_at": 201.0},
        {"author": "bob"},
        {"reason": "disk swap"},
    ],
)
def test_the_later_word_wins_then_the_greater_node_then_whatever_differs(change: dict[str, object]) -> None:
    winner = replace(BASE, **change)
    for order in ((BASE, winner), (winner, BASE)):
        assert Overrides(order).entries() == (winner,)
        step = Overrides()
        for each in order:
            step.merge([each])
        assert step.entries() == (winner,)


@given(st.lists(entries(), max_size=12), st.randoms(use_true_random=False))
def test_any_order_any_grouping_and_any_repetition_give_the_same(
    given_entries: list[Override], chance: random.Random
) -> None:
    expected = Overrides(given_entries).entries()
    shuffled = given_entries + chance.choices(given_entries, k=5) if given_entries else []
    chance.shuffle(shuffled)
    grouped = Overrides()
    while shuffled:
        size = chance.randint(1, len(shuffled))
        grouped.merge(shuffled[:size])
        del shuffled[:size]
    assert grouped.entries() == expected
    assert grouped.merge(expected) == [], "nothing of it is news"
    for peer in {each.peer for each in given_entries}:
        assert max(each for each in given_entries if each.peer == peer) in expected


@given(st.lists(entries(), max_size=6), st.lists(entries(), max_size=6), st.lists(entries(), max_size=6))
def test_merging_is_commutative_associative_and_idempotent(
    a: list[Override], b: list[Override], c: list[Override]
) -> None:
    def merged(*many: list[Override]) -> list[Override]:
        result = Overrides()
        for each in many:
            result.merge(each)
        return list(result.entries())

    assert merged(a, b) == merged(b, a)
    assert merged(merged(a, b), c) == merged(a, merged(b, c))
    assert merged(a, a) == merged(a)


def test_merging_gives_what_was_news() -> None:
    overrides = Overrides([BASE])
    later, other = replace(BASE, set_at=101.0), replace(BASE, peer="n2")
    assert overrides.merge([BASE]) == []
    assert overrides.merge([later, BASE, replace(later, set_at=100.5), other]) == [later, other]
    assert overrides.entries() == (other, later)


def test_an_override_stands_until_it_expires() -> None:
    overrides = Overrides([BASE])
    assert overrides.standing(199.9) == {"n3": BASE}
    assert overrides.standing(200.0) == {}
    assert overrides.entries() == (BASE,), "and is its own tombstone after that"


def test_a_tombstone_clears_what_stood_before_and_not_what_comes_after() -> None:
    cleared = replace(BASE, set_at=110.0, state="")
    overrides = Overrides([BASE, cleared])
    assert cleared.cleared
    assert not BASE.cleared
    assert overrides.standing(111.0) == {}
    overrides.merge([BASE])
    assert overrides.standing(111.0) == {}, "an old word that comes late"
    again = replace(BASE, set_at=overrides.next_time("n3", 90.0))
    overrides.merge([again])
    assert overrides.standing(111.0) == {"n3": again}


def test_a_word_set_now_goes_before_one_from_a_clock_ahead() -> None:
    ahead = replace(BASE, set_at=1e9, node="zz")
    overrides = Overrides([ahead])
    assert overrides.next_time("n3", 500.0) > 1e9
    mine = replace(BASE, set_at=overrides.next_time("n3", 500.0), state="online", expires_at=600.0)
    assert overrides.merge([mine]) == [mine]
    assert overrides.standing(500.0) == {"n3": mine}
    assert overrides.next_time("n2", 500.0) == 500.0
    assert overrides.next_time("n3", 2e9) == 2e9


def test_what_is_too_old_to_matter_and_who_is_no_member_are_dropped() -> None:
    old = replace(BASE, set_at=0.0, state="")
    other = replace(BASE, peer="n9", set_at=MAX_SECONDS)
    overrides = Overrides([old, other])
    assert not overrides.drop(MAX_SECONDS + DAY, None)
    assert overrides.entries() == (old, other)
    assert overrides.drop(MAX_SECONDS + DAY + 1, None)
    assert overrides.entries() == (other,)
    overrides.drop(MAX_SECONDS, {"n3"})
    assert overrides.entries() == ()


def test_what_a_dropped_tombstone_had_cleared_never_stands_again() -> None:
    """It has expired by then: an override lasts for 30 days at most, a tombstone is kept for 31."""
    first = replace(BASE, set_at=0.0, expires_at=MAX_SECONDS)
    overrides = Overrides([first, replace(first, set_at=1.0, state="")])
    now = MAX_SECONDS + DAY + 1.1
    overrides.drop(now, None)
    overrides.merge([first])
    assert overrides.standing(now) == {}


@pytest.mark.parametrize("state", FORCED)
def test_an_override_masks_what_is_shown(state: str) -> None:
    forced = replace(BASE, state=state)
    for natural in State:
        assert shown_state(natural, forced) == (natural if state == IGNORE else state)
        assert shown_state(natural, None) is natural


WORDS = st.lists(
    st.tuples(st.integers(0, 3), st.sampled_from(["n1", "n2"]), st.sampled_from(["online", "offline", ""])),
    min_size=1,
    max_size=8,
)


@settings(max_examples=80)
@given(
    st.integers(2, 5),
    WORDS,
    st.lists(st.floats(-600, 600), min_size=5, max_size=5),
    st.randoms(use_true_random=False),
)
def test_two_operators_on_two_sidecars_end_the_same_everywhere(
    sidecars: int, words: list[tuple[int, str, str]], skews: list[float], chance: random.Random
) -> None:
    """Clocks differ, reports go one way at a time, in any order, and some are told late and again."""
    replicas = [Overrides() for _ in range(sidecars)]
    last: dict[str, Override] = {}
    under_way: list[tuple[int, tuple[Override, ...]]] = []
    for when, (where, peer, state) in enumerate(words):
        replica = replicas[where % sidecars]
        wall = 1000.0 + when + skews[where % sidecars]
        word = Override(
            set_at=replica.next_time(peer, wall),
            node=f"n{where % sidecars}",
            state=state,
            expires_at=wall + 3600,
            author="",
            reason="",
            peer=peer,
        )
        assert replica.merge([word]) == [word], "what is set here and now stands here and now"
        last[peer] = max(word, last.get(peer, word))
        for _ in range(chance.randint(0, 4)):
            under_way.append((chance.randrange(sidecars), chance.choice(replicas).entries()))
            to, told = chance.choice(under_way)
            replicas[to].merge(told)
    for to in range(sidecars):
        for source in chance.sample(range(sidecars), sidecars):
            replicas[to].merge(replicas[source].entries())
        for at, told in under_way:
            if at == to:
                replicas[to].merge(told)
    expected = tuple(last[peer] for peer in sorted(last))
    assert [each.entries() for each in replicas] == [expected] * sidecars
