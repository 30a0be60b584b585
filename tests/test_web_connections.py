"""Who may be connected: numbers, shares and times, over made-up connections."""

from __future__ import annotations

import resource
from collections import Counter

import pytest

from raft_exporter.web.connections import (
    CONNECTION_REASONS,
    HEADER_SECONDS,
    LEAVE_SECONDS,
    MAX_HEADER,
    MAX_OPEN,
    MAX_OPEN_TLS,
    SLOW_SECONDS,
    UNREAD_SECONDS,
    Connection,
    Connections,
    most_open,
)


class FakeLink:
    """A connection that ends as it is told."""

    def __init__(self) -> None:
        self.aborted = False
        self.hung_up = False
        self.waiting = 0

    def abort(self) -> None:
        self.aborted = True

    def hang_up(self) -> None:
        self.hung_up = True

    def unsent(self) -> int:
        return self.waiting


class House:
    """Room for eight, two of them of one address, and a clock."""

    def __init__(self, limit: int = 8) -> None:
        self.now = 100.0
        self.counted: Counter[str] = Counter()
        self.all = Connections(self._rejected, lambda: self.now, limit)

    def comes(self, origin: str | None = None, way: str = "way") -> tuple[FakeLink, Connection | None]:
        link = FakeLink()
        return link, self.all.admit(origin, link, way)

    def enters(self, origin: str | None = None, way: str = "way") -> tuple[FakeLink, Connection]:
        link, connection = self.comes(origin, way)
        assert connection is not None
        return link, connection

    def _rejected(self, reason: str) -> None:
        assert reason in CONNECTION_REASONS
        self.counted[reason] += 1


async def test_a_newcomer_gets_the_place_of_whoever_is_longest_without_a_whole_request() -> None:
    house = House()
    silent, half, idle, *others = [house.enters() for _ in range(8)]
    half[1].read(10)
    idle[1].handled()
    idle[1].answering()
    idle[1].answered()
    house.enters()
    assert (silent[0].aborted, half[0].aborted) == (True, False)
    house.enters()
    assert half[0].aborted
    for link, _ in others:
        house.enters()
        assert (link.aborted, idle[0].aborted) == (True, False)
    house.enters()
    assert idle[0].aborted
    assert (len(house.all), house.counted) == (8, {"shed": 8})


async def test_a_request_that_is_handled_keeps_its_place_and_the_newcomer_is_refused() -> None:
    house = House()
    handled = [house.enters() for _ in range(8)]
    for _, connection in handled:
        connection.handled()
    assert house.comes()[1] is None
    assert (house.counted, any(link.aborted for link, _ in handled)) == ({"full": 1}, False)


async def test_an_answer_that_is_read_slowly_keeps_its_place_for_some_seconds() -> None:
    house = House(limit=1)
    link, connection = house.enters()
    connection.handled()
    connection.answering()
    house.now += SLOW_SECONDS - 0.1
    assert house.comes()[1] is None
    house.now += 0.1
    house.enters()
    assert (link.aborted, house.counted) == (True, {"full": 1, "shed": 1})


async def test_one_address_has_a_quarter_and_gives_way_to_itself_alone() -> None:
    house = House()
    other, first, second = house.enters("b")[0], house.enters("a"), house.enters("a")
    third = house.enters("a")
    assert (first[0].aborted, second[0].aborted, other.aborted) == (True, False, False)
    for _, connection in (second, third):
        connection.handled()
    assert house.comes("a")[1] is None
    assert house.counted == {"shed": 1, "address": 1}
    house.enters("b")
    assert len(house.all) == 4


async def test_who_has_no_address_of_its_own_has_no_share_but_the_whole() -> None:
    house = House()
    for _ in range(8):
        house.enters(None)
    assert (len(house.all), house.counted) == (8, {})


async def test_an_address_that_left_is_forgotten_and_counted_anew() -> None:
    house = House()
    for _ in range(3):
        pair = [house.enters("a")[1] for _ in range(2)]
        for connection in pair:
            assert house.all.gone(connection)
    assert (len(house.all), house.counted, house.all.empty.is_set()) == (0, {}, True)


async def test_an_end_that_is_told_late_takes_nothing_from_those_who_came_since() -> None:
    house = House()
    first = house.enters("a")[1]
    house.all.gone(first)
    again = [house.enters("a")[0] for _ in range(2)]
    assert not house.all.gone(first)
    house.enters("a")
    assert ([link.aborted for link in again], house.counted) == ([True, False], {"shed": 1})


async def test_a_smaller_limit_makes_room_only_for_who_comes() -> None:
    house = House()
    links = [house.enters()[0] for _ in range(8)]
    house.all.limit = 4
    assert not any(link.aborted for link in links)
    house.enters()
    assert (len(house.all), [link.aborted for link in links]) == (4, [True] * 5 + [False] * 3)


async def test_a_header_has_to_be_whole_within_its_time_however_it_drips() -> None:
    house = House()
    (dripping, connection), (silent, _) = house.enters(), house.enters()
    for _ in range(10):
        assert connection.read(1)
        house.now += HEADER_SECONDS / 10 - 0.001
        house.all.sweep()
        assert not dripping.aborted
    house.now += 0.02
    house.all.sweep()
    assert (dripping.aborted, silent.aborted, house.counted) == (True, False, {"header": 1})


async def test_the_time_of_a_header_begins_with_its_first_byte_on_a_kept_connection_too() -> None:
    house = House()
    link, connection = house.enters()
    connection.read(1)
    connection.handled()
    house.now += 2 * HEADER_SECONDS
    connection.read(1)  # the rest of a body
    connection.answering()
    connection.answered()
    house.now += 2 * HEADER_SECONDS
    house.all.sweep()
    assert not link.aborted
    connection.read(1)
    house.now += HEADER_SECONDS
    house.all.sweep()
    assert link.aborted


async def test_a_header_without_end_is_not_read_on() -> None:
    house = House()
    _, connection = house.enters()
    assert all(connection.read(1024) for _ in range(MAX_HEADER // 1024 + 1))
    assert not connection.read(1)
    connection.handled()
    assert connection.read(2 * MAX_HEADER)


async def test_an_answer_of_which_nothing_is_taken_is_given_up() -> None:
    house = House()
    (stuck, _), (slow, _) = house.enters(), house.enters()
    stuck.waiting = slow.waiting = 5000
    for second in range(int(UNREAD_SECONDS)):
        house.all.sweep()
        assert not stuck.aborted, second
        house.now += 1.0
        slow.waiting -= 1
    house.all.sweep()
    assert (stuck.aborted, slow.aborted, house.counted) == (True, False, {"unread": 1})


async def test_who_came_by_a_way_that_is_closed_has_time_for_one_request() -> None:
    house = House()
    (leaves, leaving), (stays, staying) = house.enters(way="old"), house.enters(way="new")
    house.all.leave(lambda way: way == "new")
    assert (leaving.leaving, staying.leaving) == (True, False)
    house.now += LEAVE_SECONDS / 2
    house.all.leave(lambda way: way == "new")
    house.all.sweep()
    assert not leaves.hung_up
    house.now += LEAVE_SECONDS / 2
    house.all.sweep()
    assert (leaves.hung_up, stays.hung_up, house.counted) == (True, False, {})


@pytest.mark.parametrize(
    ("descriptors", "plain", "tls"),
    [
        (1024, 512, 256),
        (100, 50, 50),
        (1, 1, 1),
        (1 << 20, MAX_OPEN, MAX_OPEN_TLS),
        (-1, MAX_OPEN, MAX_OPEN_TLS),
    ],
)
def test_the_descriptors_of_the_process_are_left_to_the_others_by_half(
    monkeypatch: pytest.MonkeyPatch, descriptors: int, plain: int, tls: int
) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (descriptors, descriptors))
    assert (most_open(tls=False), most_open(tls=True)) == (plain, tls)
