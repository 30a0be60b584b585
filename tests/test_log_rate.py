"""How often one message may be logged, on a clock that the tests drive."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raft_exporter.log_rate import BURST, WINDOW, LogRate, Message, Repeated
from raft_exporter.logs import LogfmtFormatter, Output

ONE = Message("raft_exporter.a", logging.WARNING, "rejected")
OTHER = Message("raft_exporter.b", logging.WARNING, "rejected")


def record(
    msg: object = "rejected", level: int = logging.WARNING, name: str = "raft_exporter.a", /, **fields: object
) -> logging.LogRecord:
    made = logging.LogRecord(name, level, "", 0, msg, None, None)
    made.fields = fields
    return made


class Desk:
    """An output with a clock and a timer of the test's own."""

    def __init__(self, burst: int = 2) -> None:
        self.now = 1000.0
        self.timers: list[tuple[float, Callable[[], None]]] = []
        self.output = Output(LogRate(burst), lambda: self.now, self._later)
        self.output.setFormatter(LogfmtFormatter())

    def log(self, times: int, made: logging.LogRecord | None = None) -> None:
        for _ in range(times):
            self.output.handle(made or record())

    def advance(self, seconds: float) -> None:
        """Let time pass, and every timer ring in its time."""
        end = self.now + seconds
        while self.timers and min(self.timers)[0] <= end:
            ring = min(self.timers)
            self.timers.remove(ring)
            self.now = ring[0]
            ring[1]()
        self.now = end

    def _later(self, seconds: float, act: Callable[[], None]) -> None:
        self.timers.append((self.now + seconds, act))


def lines(capsys: pytest.CaptureFixture[str]) -> list[str]:
    """What was written since the last time, without times of day."""
    return [line.split(" ", 1)[1] for line in capsys.readouterr().err.splitlines()]


LINE = "level=warning logger=raft_exporter.a msg=rejected"
SUMMARY = 'level=warning logger=raft_exporter.a msg="message repeated" message=rejected times={} within=60s'


# the rate


def test_a_message_passes_so_often_in_a_window_and_again_in_the_next() -> None:
    rate = LogRate(burst=2, window=10.0)
    assert [rate.passes(ONE, at) for at in (0.0, 5.0, 9.0, 9.9)] == [True, True, False, False]
    assert rate.rest(9.9) == pytest.approx(0.1)
    assert rate.over(9.99) == []
    assert rate.over(10.0) == [Repeated(ONE, 2)]
    assert rate.rest(10.0) is None
    assert rate.passes(ONE, 10.0)


def test_messages_do_not_count_for_each_other() -> None:
    rate = LogRate(burst=1, window=10.0)
    assert [rate.passes(message, 0.0) for message in (ONE, OTHER, ONE, OTHER)] == [True, True, False, False]
    assert rate.over(10.0) == [Repeated(ONE, 1), Repeated(OTHER, 1)]


def test_a_message_that_did_not_come_too_often_is_not_summed_up() -> None:
    rate = LogRate(burst=2, window=10.0)
    assert rate.passes(ONE, 0.0)
    assert rate.rest(0.0) is None
    assert rate.over(10.0) == []


def test_a_flood_of_different_messages_shares_one_window_a_level() -> None:
    rate = LogRate(burst=3, window=10.0, kinds=5)
    flood = [Message("x", logging.DEBUG, str(number)) for number in range(100)]
    assert sum(rate.passes(message, 0.0) for message in flood) == 5 + 3
    assert rate.passes(Message("x", logging.ERROR, "broke"), 0.0)
    (shared,) = rate.over(10.0)
    assert shared.message.text == "various messages"
    assert shared.times == 100 - 5 - 3


@given(
    st.lists(
        st.tuples(st.sampled_from("abcdefgh"), st.sampled_from((0.0, 0.1, 1.0, 7.0))),
        min_size=1,
        max_size=300,
    )
)
def test_whatever_is_said_every_message_is_written_or_counted(said: list[tuple[str, float]]) -> None:
    rate = LogRate(burst=3, window=5.0, kinds=4)
    now, written, held_back = 0.0, 0, 0
    for text, pause in said:
        now += pause
        held_back += sum(times for _, times in rate.over(now))
        written += rate.passes(Message("x", logging.INFO, text), now)
    held_back += sum(times for _, times in rate.over(float("inf")))
    assert written + held_back == len(said)
    assert rate.over(float("inf")) == []


def test_by_default_a_cluster_of_thirty_that_fails_and_comes_back_is_written_in_full() -> None:
    states = ("suspect", "offline", "online")
    assert len(states) * 30 <= BURST
    assert BURST / WINDOW < 2


# what is the same message


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (record(peer="n1"), record(peer="n2")),
        (
            record("Task exception was never retrieved\nfuture: 1"),
            record("Task exception was never retrieved\n2"),
        ),
        (record("broke", logging.ERROR, error="a"), record("broke", logging.CRITICAL, error="a")),
        (record("broke", logging.WARNING, error="a"), record("broke", logging.WARNING, error="b")),
    ],
)
def test_the_same_message(one: logging.LogRecord, other: logging.LogRecord) -> None:
    assert Message.of(one) == Message.of(other)


def raised(error: Exception) -> logging.LogRecord:
    made = record("broke", logging.ERROR)
    made.exc_info = (type(error), error, None)
    return made


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (record("a"), record("b")),
        (record(), record("rejected", logging.INFO)),
        (record(), record("rejected", logging.WARNING, "raft_exporter.b")),
        (
            record("broke", logging.ERROR, error="ValueError()"),
            record("broke", logging.ERROR, error="KeyError()"),
        ),
        (record("broke", logging.ERROR, fault="a"), record("broke", logging.ERROR, fault="b")),
        (raised(ValueError()), raised(KeyError())),
    ],
)
def test_different_messages(one: logging.LogRecord, other: logging.LogRecord) -> None:
    assert Message.of(one) != Message.of(other)


def test_of_what_a_stranger_can_make_long_little_is_kept() -> None:
    assert len(Message.of(record("broke", logging.ERROR, error="x" * 10_000)).fault) <= 200


# the output


def test_what_is_held_back_is_summed_up_when_its_window_is_over(capsys: pytest.CaptureFixture[str]) -> None:
    desk = Desk()
    desk.log(1)
    desk.advance(50)
    desk.log(9)
    assert lines(capsys) == [LINE] * 2
    assert desk.output.suppressed == 8
    desk.advance(9.9)
    assert lines(capsys) == []
    desk.advance(0.1)
    assert lines(capsys) == [SUMMARY.format(8)]
    desk.advance(1000)
    assert lines(capsys) == []
    assert desk.timers == []
    assert desk.output.written == {"debug": 0, "info": 0, "warning": 3, "error": 0}


def test_a_late_timer_does_not_keep_the_sum_from_the_next_line(capsys: pytest.CaptureFixture[str]) -> None:
    desk = Desk()
    desk.log(5)
    desk.now += 61
    desk.log(1)
    assert lines(capsys) == [LINE, LINE, SUMMARY.format(3), LINE]
    desk.advance(1000)
    assert lines(capsys) == []


def test_two_messages_are_each_summed_up_in_time(capsys: pytest.CaptureFixture[str]) -> None:
    desk = Desk()
    desk.log(3)
    desk.advance(20)
    desk.log(4, record("other"))
    lines(capsys)
    assert len(desk.timers) == 1
    desk.advance(40)
    assert lines(capsys) == [SUMMARY.format(1)]
    desk.advance(20)
    assert lines(capsys) == [SUMMARY.format(2).replace("message=rejected", "message=other")]


def test_what_is_held_back_at_the_end_of_the_process_is_summed_up(capsys: pytest.CaptureFixture[str]) -> None:
    desk = Desk()
    desk.log(5)
    desk.output.close()
    assert lines(capsys) == [LINE, LINE, SUMMARY.format(3)]


def test_lines_of_many_threads_are_all_written_or_counted(capsys: pytest.CaptureFixture[str]) -> None:
    desk = Desk(burst=50)
    threads = [threading.Thread(target=desk.log, args=(100,)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert lines(capsys) == [LINE] * 50
    assert desk.output.suppressed == 750
    assert desk.output.written["warning"] == 50


class Broken:
    """A standard error that nobody reads."""

    def write(self, _: str) -> int:
        raise BrokenPipeError

    def flush(self) -> None:
        raise BrokenPipeError


@pytest.mark.parametrize("stream", [None, Broken()])
def test_where_nobody_reads_the_log_all_goes_on(monkeypatch: pytest.MonkeyPatch, stream: object) -> None:
    desk = Desk()
    monkeypatch.setattr("sys.stderr", stream)
    desk.log(5)
    desk.advance(60)
    desk.log(5)
    desk.output.close()
    assert desk.output.suppressed == 6


def test_a_record_that_cannot_be_read_is_a_complaint_and_no_exception(
    capsys: pytest.CaptureFixture[str],
) -> None:
    class Odd:
        def __str__(self) -> str:
            raise ValueError("odd")

    Desk().log(1, record(Odd()))
    assert "ValueError: odd" in capsys.readouterr().err
