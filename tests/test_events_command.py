"""``raft-exporter events``: each event once, in order, beyond a restart of the sidecar."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
import requests
from click.testing import CliRunner, Result
from requests_mock import Mocker

from raft_exporter.answers import Event, Events
from raft_exporter.client import SidecarClient
from raft_exporter.events_command import Follower, events
from raft_exporter.journal import Entry, EntryKind, Journal
from raft_exporter.wording import local_time

URL = "http://127.0.0.1:9641/api/v1/events"
AT = 1_700_000_000.0


class Sidecar:
    """A journal behind the API, which can be lost as by a restart without a store."""

    def __init__(self, mocker: Mocker) -> None:
        self.journal = Journal(2000)
        self.started = AT
        self.down = False
        mocker.get(URL, content=self.answer)

    def happen(self, *peers: str) -> None:
        for peer in peers:
            self.journal.add(Entry(0, self.started, EntryKind.JOINED, peer))

    def restart(self) -> None:
        self.journal = Journal(2000)
        self.started += 60
        self.journal.add(Entry(0, self.started, EntryKind.STARTED))

    def answer(self, request: Any, _: object) -> bytes:
        if self.down:
            raise requests.exceptions.ConnectionError("Connection refused")
        after, limit = (int(request.qs[name][0]) for name in ("after", "limit"))
        (peer,) = request.qs.get("peer", [None])
        entries = self.journal.after(after, limit, peer)
        (latest,) = self.journal.after(0, 1) or [Entry(0, 0.0, EntryKind.STARTED)]
        return msgspec.json.encode(Events(tuple(map(Event.of, entries)), latest.id))


@pytest.fixture
def sidecar(requests_mock: Mocker) -> Sidecar:
    return Sidecar(requests_mock)


def run(*args: str) -> Result:
    return CliRunner().invoke(events, args)


def line(peer: str, at: float = AT) -> str:
    return f"{local_time(at)}  {peer} joined the cluster"


def test_the_latest_are_shown_oldest_first_with_local_time_and_offset(sidecar: Sidecar) -> None:
    sidecar.happen(*(f"n{number}" for number in range(30)))
    result = run("--limit", "2")
    assert (result.exit_code, result.output.splitlines()) == (0, [line("n28"), line("n29")])
    assert len(run().output.splitlines()) == 20


@pytest.mark.parametrize(
    ("zone", "text"), [("UTC", "2023-11-14 22:13:20+00:00"), ("Asia/Kolkata", "2023-11-15 03:43:20+05:30")]
)
def test_local_time_has_its_offset(zone: str, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    try:
        assert local_time(AT) == text
    finally:
        monkeypatch.undo()
        time.tzset()


@pytest.mark.parametrize("at", [1e18, -1e18, float("inf"), float("nan")])
def test_a_time_that_no_calendar_has_is_a_number(at: float) -> None:
    assert local_time(at) == f"{at:g}"


def test_one_members_events(sidecar: Sidecar) -> None:
    sidecar.happen("n1", "n2", "n1")
    assert run("--peer", "n1").output.splitlines() == [line("n1"), line("n1")]


def test_as_json_each_is_a_line(sidecar: Sidecar) -> None:
    sidecar.happen("n1", "n2")
    first, second = map(json.loads, run("--json").output.splitlines())
    assert first == {"id": 1, "at": AT, "kind": "joined", "peer": "n1", "text": "n1 joined the cluster"}
    assert second["id"] == 2


def test_what_would_break_a_line_is_escaped(sidecar: Sidecar) -> None:
    sidecar.happen("a\n\x1b[31m")
    assert run().output.splitlines() == [line("a\\n\\x1b[31m")]


@pytest.mark.parametrize("args", [("--limit", "0"), ("--limit", "1001"), ("--url", "n1")])
def test_wrong_usage(args: tuple[str, ...]) -> None:
    assert run(*args).exit_code == 2


def test_a_sidecar_that_is_not_there_is_a_line(sidecar: Sidecar) -> None:
    sidecar.down = True
    result = run("--follow")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == f"raft-exporter: {URL}: Connection refused\n"


def followed(monkeypatch: pytest.MonkeyPatch, args: tuple[str, ...], *steps: Callable[[], object]) -> Result:
    """Run with --follow; each step happens while it sleeps, and then comes Ctrl-C."""
    turns = iter(steps)

    def tick(seconds: float) -> None:
        assert seconds == 1.0
        step = next(turns, None)
        if step is None:
            raise KeyboardInterrupt
        step()

    monkeypatch.setattr("raft_exporter.events_command.time.sleep", tick)
    monkeypatch.setattr("raft_exporter.events_command.signal.signal", lambda *_: None)
    result = run("--follow", *args)
    assert result.exit_code == 0
    return result


def nothing() -> None:
    """Let a second pass."""


def test_follow_shows_each_event_once_until_ctrl_c(sidecar: Sidecar, monkeypatch: pytest.MonkeyPatch) -> None:
    sidecar.happen("n1", "n2")
    result = followed(
        monkeypatch,
        ("--limit", "1"),
        nothing,
        lambda: sidecar.happen("n3"),
        nothing,
        lambda: sidecar.happen("n4", "n5"),
    )
    assert result.stdout.splitlines() == [line(peer) for peer in ("n2", "n3", "n4", "n5")]
    assert result.stderr == ""


def test_follow_begins_with_an_empty_journal(sidecar: Sidecar, monkeypatch: pytest.MonkeyPatch) -> None:
    result = followed(monkeypatch, (), nothing, lambda: sidecar.happen("n1"), nothing)
    assert result.stdout.splitlines() == [line("n1")]


def test_follow_of_one_member_sees_its_first_event(sidecar: Sidecar, monkeypatch: pytest.MonkeyPatch) -> None:
    sidecar.happen("n1")
    result = followed(monkeypatch, ("--peer", "n2"), nothing, lambda: sidecar.happen("n2", "n1"), nothing)
    assert (result.stdout.splitlines(), result.stderr) == ([line("n2")], "")


def test_follow_says_once_that_the_sidecar_is_away_and_goes_on(
    sidecar: Sidecar, monkeypatch: pytest.MonkeyPatch
) -> None:
    sidecar.happen("n1")

    def down() -> None:
        sidecar.down = True

    def back() -> None:
        sidecar.down = False
        sidecar.happen("n2")

    result = followed(monkeypatch, (), down, nothing, nothing, back, nothing)
    assert result.stdout.splitlines() == [line("n1"), line("n2")]
    assert result.stderr == f"raft-exporter: {URL}: Connection refused: trying again\n"


@pytest.mark.parametrize("known", [1, 2, 5])
def test_follow_reads_a_journal_that_began_anew_from_its_beginning(
    sidecar: Sidecar, monkeypatch: pytest.MonkeyPatch, known: int
) -> None:
    sidecar.happen(*["n1"] * known)

    def restart() -> None:
        sidecar.restart()
        sidecar.happen("n2")

    result = followed(monkeypatch, (), restart, nothing)
    again = sidecar.started
    assert result.stdout.splitlines()[known:] == [
        f"{local_time(again)}  this sidecar started",
        line("n2", again),
    ]
    assert result.stderr == "raft-exporter: the sidecar restarted\n"


def test_follow_says_one_line_of_a_restart_that_it_saw_go_down(
    sidecar: Sidecar, monkeypatch: pytest.MonkeyPatch
) -> None:
    sidecar.happen("n1", "n2", "n3")

    def down() -> None:
        sidecar.down = True

    def back() -> None:
        sidecar.down = False
        sidecar.restart()

    result = followed(monkeypatch, (), down, back, nothing)
    assert result.stdout.splitlines()[-1].endswith("this sidecar started")
    assert len(result.stdout.splitlines()) == 4
    assert result.stderr.splitlines() == [f"raft-exporter: {URL}: Connection refused: trying again"]


def test_a_sidecar_that_goes_away_while_its_new_journal_is_read_loses_nothing(
    sidecar: Sidecar, requests_mock: Mocker
) -> None:
    follower = Follower(SidecarClient("http://127.0.0.1:9641"), None)
    sidecar.happen("n1", "n2")
    assert len(follower.first(10)) == 2
    sidecar.restart()
    answers: list[dict[str, Any]] = [
        {"content": sidecar.answer},
        {"exc": requests.exceptions.ReadTimeout},
        {"content": sidecar.answer},
    ]
    requests_mock.get(URL, answers)
    with pytest.raises(Exception, match="no answer within"):
        follower.more()
    (started,), _ = follower.more()
    assert started.kind is EntryKind.STARTED


def test_a_flood_of_events_is_no_restart(sidecar: Sidecar, monkeypatch: pytest.MonkeyPatch) -> None:
    sidecar.happen("n1")
    result = followed(monkeypatch, (), lambda: sidecar.happen(*["n2"] * 1500), nothing)
    assert result.stdout.splitlines() == [line("n1"), *[line("n2")] * 1000]
    assert result.stderr == ""
