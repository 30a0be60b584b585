"""``raft-exporter status``: once, and again and again through everything that may happen meanwhile."""

from __future__ import annotations

import io
import os
import pty
import select
import signal
import socket
import subprocess
import sys
import termios
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import msgspec
import pytest
import requests
from click.testing import CliRunner, Result
from requests_mock import Mocker
from rich.console import Console, ConsoleDimensions

from raft_exporter.answers import Event, Events
from raft_exporter.client import SidecarClient
from raft_exporter.errors import ClientError
from raft_exporter.journal import EntryKind
from raft_exporter.model.evidence import (
    Configuration,
    LeaderChanged,
    NodeIdentity,
    Report,
    ReportedMember,
    Server,
)
from raft_exporter.model.override import Override
from raft_exporter.model.policy import Policy
from raft_exporter.model.table import Table
from raft_exporter.secret import Secret
from raft_exporter.status_command import Watcher, status, watch_in_a_row, watch_in_place
from raft_exporter.view import ClusterView, cluster_view

URL = "http://127.0.0.1:9641"
API = f"{URL}/api/v1/cluster"
EVENTS = f"{URL}/api/v1/events"
ALTERNATE, MAIN, CURSOR = "\x1b[?1049h", "\x1b[?1049l", "\x1b[?25h"
"""What takes a terminal to its other page, and back; and what gives it its cursor again."""


def table() -> Table:
    table = Table(Policy.of(1.0), (), 0.0)
    servers = tuple(Server(id=f"n{number}", address=f"10.0.0.{number}:7000") for number in (1, 2, 3))
    table.take(NodeIdentity(id="n1", address="10.0.0.1:7000"), 0.0)
    table.take(Configuration(servers=servers, index=1), 0.0)
    table.take(LeaderChanged("n2", "10.0.0.2:7000"), 0.0)
    return table


def view() -> ClusterView:
    return cluster_view(table(), 75.0, 0.0)


def answer() -> bytes:
    return msgspec.json.encode(view())


def journal(*words: str) -> bytes:
    entries = (Event(i, 1_700_000_000.0 + i, EntryKind.JOINED, text=text) for i, text in enumerate(words))
    return msgspec.json.encode(Events(tuple(entries), len(words)))


def run(*args: str, env: dict[str, str] | None = None) -> Result:
    return CliRunner().invoke(status, args, env={"COLUMNS": "120"} | (env or {}))


# once


def test_every_member_is_shown_without_colour(requests_mock: Mocker) -> None:
    requests_mock.get(API, content=answer())
    result = run()
    assert result.exit_code == 0
    assert "n1 is of unknown role in term -, leader not told" in result.output
    assert "0 of 3 voters online, quorum 2, failure tolerance -2: quorum unsure, 3 unknown" in result.output
    assert "\x1b" not in result.output
    assert {"n1", "n2", "n3"} <= {line.split()[0] for line in result.output.splitlines() if line.strip()}


def test_nothing_is_left_out_in_80_columns(requests_mock: Mocker) -> None:
    requests_mock.get(API, content=answer())
    lines = run(env={"COLUMNS": "80"}).output.splitlines()
    assert all(len(line) <= 80 for line in lines)
    assert "…" not in "".join(lines)


def test_as_json_it_is_the_sidecars_answer(requests_mock: Mocker) -> None:
    requests_mock.get(API, content=answer())
    assert msgspec.json.decode(run("--json").output, type=ClusterView) == view()


def test_the_token_of_the_environment_is_sent_and_never_shown(requests_mock: Mocker) -> None:
    requests_mock.get(API, status_code=401)
    result = run(env={"RAFT_EXPORTER_TOKEN": "hush"})
    assert requests_mock.request_history[0].headers["Authorization"] == "Bearer hush"
    assert result.exit_code == 1
    assert "hush" not in result.output
    assert "hush" not in repr(Secret("hush")) + str(Secret("hush"))


@pytest.mark.parametrize(
    ("reply", "message"),
    [
        ({"status_code": 500}, "expected status 200, got 500"),
        ({"status_code": 302, "headers": {"Location": "http://elsewhere.example/"}}, "got 302"),
        ({"content": b"<html>"}, "expected a sidecar's answer"),
        ({"content": b"{}"}, "expected a sidecar's answer"),
        ({"content": b"abcd", "headers": {"Content-Encoding": "gzip"}}, "decompressing"),
        ({"content": b" " * 17_000_000}, "expected at most"),
        ({"exc": requests.exceptions.ReadTimeout}, "no answer within 5 s"),
        ({"exc": requests.exceptions.ConnectionError("no way\nthere")}, "no way"),
    ],
)
def test_a_sidecar_that_cannot_be_asked_is_a_line(
    requests_mock: Mocker, reply: dict[str, object], message: str
) -> None:
    requests_mock.get(API, **reply)  # type: ignore[arg-type]
    with pytest.raises(ClientError, match=f"^{API}: [^\n]*{message}[^\n]*$"):
        SidecarClient(URL).cluster()
    assert run().exit_code == 1


def test_a_sidecar_that_is_not_there_is_a_line() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        where = f"http://127.0.0.1:{free.getsockname()[1]}"
    assert run("--url", where).stderr == f"raft-exporter: {where}/api/v1/cluster: Connection refused\n"


def test_it_says_what_an_operator_masks_and_whose_reports_are_missing(requests_mock: Mocker) -> None:
    told = table()
    told.take(Report(reporter="n2", members=(ReportedMember(peer="n3", silence=0.5, raft=0.5),)), 1.0)
    told.judge(1.0)
    told.overrides = {"n3": Override(0.0, "n1", "offline", 3600.0, "eve", "disk swap", "n3")}
    requests_mock.get(API, content=msgspec.json.encode(cluster_view(told, 1.0, 0.0)))
    output = run(env={"COLUMNS": "80"}).output
    lines = [line.split() for line in output.splitlines()]
    assert ["n3", "offline", "override", "-"] in [line[:4] for line in lines]
    assert "override: n3 is shown as offline by eve for 1h00m more (disk swap); judged" in output
    assert "no reports from the sidecars of: n3" in output
    assert ["n2", "-", "-", "0.50s"] in lines
    assert max(map(len, output.splitlines())) <= 80


@pytest.mark.parametrize(
    "args", [("--interval", "0s"), ("--interval", "soon"), ("--url", "127.0.0.1:9641"), ("--watch", "--json")]
)
def test_wrong_usage_is_said_so(args: tuple[str, ...]) -> None:
    result = run(*args)
    assert result.exit_code == 2
    assert "expected" in result.stderr


# again and again


def screen_of(*, terminal: bool) -> Console:
    out = io.StringIO()
    return Console(file=out, width=120, height=40, force_terminal=terminal, color_system=None, _environ={})


class Watch:
    """A watch whose time passes at each pause, where each step happens; after the last one comes Ctrl-C."""

    def __init__(
        self, *steps: Callable[[], object], terminal: bool = False, console: Console | None = None
    ) -> None:
        self.now = 0.0
        self.shown: list[str] = []
        self._steps = iter(steps)
        self._console = console or screen_of(terminal=terminal)
        watcher = Watcher(SidecarClient(URL), URL, lambda: self.now, lambda: 1_700_000_000.0 + self.now)
        watch = watch_in_place if self._console.is_terminal else watch_in_a_row
        watch(watcher, self._console, self._pause)
        self.end = self._taken()

    def _taken(self) -> str:
        out = self._console.file
        assert isinstance(out, io.StringIO)
        text = out.getvalue()
        out.seek(0)
        out.truncate()
        return text

    def _pause(self) -> None:
        self.shown.append(self._taken())
        self.now += 6.0
        step = next(self._steps, None)
        if step is None:
            raise KeyboardInterrupt
        step()


def nothing() -> None:
    """Let time pass."""


@pytest.fixture
def sidecar(requests_mock: Mocker) -> Mocker:
    requests_mock.get(API, content=answer())
    requests_mock.get(EVENTS, content=journal("n2 joined the cluster"))
    return requests_mock


def down(mocker: Mocker) -> None:
    mocker.get(API, exc=requests.exceptions.ConnectionError("Connection refused"))


def up(mocker: Mocker) -> None:
    mocker.get(API, content=answer())


@pytest.mark.parametrize("terminal", [False, True])
def test_each_screen_has_its_time_the_members_and_what_happened_last(sidecar: Mocker, terminal: bool) -> None:
    watch = Watch(
        lambda: sidecar.get(EVENTS, content=journal("n2 joined the cluster", "n3 left the cluster")),
        terminal=terminal,
    )
    assert len(watch.shown) == 2
    assert all(":13:2" in text and f"  {URL}" in text and "n3" in text for text in watch.shown)
    assert ["n3 left the cluster" in text for text in watch.shown] == [False, True]
    assert all("n2 joined the cluster" in text for text in watch.shown)


def test_in_a_terminal_the_last_answer_stays_and_is_called_stale_until_there_is_one_again(
    sidecar: Mocker,
) -> None:
    watch = Watch(lambda: down(sidecar), nothing, lambda: up(sidecar), terminal=True)
    first, lost, longer, back = watch.shown
    reason = f"{API}: Connection refused; so it was at 11-1"
    assert "stale" not in first + back
    assert f"stale: no answer since 6.00s: {reason}" in lost
    assert f"stale: no answer since 12s: {reason}" in longer
    assert all("0 of 3 voters online" in text and "n2 joined" in text for text in watch.shown)


def test_in_a_pipe_a_time_without_an_answer_is_one_line(sidecar: Mocker) -> None:
    watch = Watch(lambda: down(sidecar), nothing, lambda: up(sidecar))
    assert watch.shown[1] == f"no answer since 6.00s: {API}: Connection refused\n"
    assert watch.shown[2] == f"no answer since 12s: {API}: Connection refused\n"
    assert "0 of 3 voters online" in watch.shown[3]
    assert "\x1b" not in "".join(watch.shown)


@pytest.mark.parametrize("terminal", [False, True])
def test_a_sidecar_that_was_never_there_is_said_so_until_it_comes(sidecar: Mocker, terminal: bool) -> None:
    down(sidecar)
    watch = Watch(nothing, lambda: up(sidecar), terminal=terminal)
    assert f"no answer since 0.00s: {API}: Connection refused" in watch.shown[0]
    assert f"no answer since 6.00s: {API}: Connection refused" in watch.shown[1]
    assert "stale" not in "".join(watch.shown)
    assert "0 of 3 voters online" in watch.shown[2]


@pytest.mark.parametrize("reply", [{"status_code": 404}, {"content": b"{}"}])
def test_a_sidecar_without_a_journal_is_shown_all_the_same(sidecar: Mocker, reply: dict[str, object]) -> None:
    sidecar.get(EVENTS, **reply)  # type: ignore[arg-type]
    watch = Watch(terminal=True)
    assert "0 of 3 voters online" in watch.shown[0]
    assert f"no journal: {EVENTS}" in watch.shown[0]
    assert "stale" not in watch.shown[0]


def test_as_many_entries_are_asked_for_as_the_terminal_has_lines(sidecar: Mocker) -> None:
    Watch(terminal=True)
    asked = [request.qs for request in sidecar.request_history if request.path.endswith("events")]
    assert [(each["after"], each["limit"]) for each in asked] == [(["0"], ["40"])]


def test_a_screen_never_scrolls_and_the_last_one_stays_in_the_terminal_as_a_whole(sidecar: Mocker) -> None:
    sidecar.get(EVENTS, content=journal(*(f"m{number} joined the cluster" for number in range(60))))
    watch = Watch(terminal=True)
    before, _, page = watch.shown[0].partition(ALTERNATE)
    assert "n1" not in before
    *_, drawn = page.split("\x1b[H")
    assert len(drawn.splitlines()) == 40
    page, _, rest = watch.end.partition(MAIN)
    assert "0 of 3 voters online" in rest
    assert CURSOR in watch.end
    assert rest.endswith("* the sidecar's own node\n")


def test_the_next_screen_has_the_new_size_of_the_terminal(sidecar: Mocker) -> None:
    console = screen_of(terminal=True)

    def shrink() -> None:
        console.size = ConsoleDimensions(60, 9)

    watch = Watch(shrink, console=console)
    lines = watch.shown[1].split("\x1b[H")[-1].splitlines()
    assert len(lines) == 9
    assert {len(line) for line in lines} == {60}


def test_the_command_watches_in_a_row_where_there_is_no_terminal(
    sidecar: Mocker, monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses: list[float] = []

    def pause(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 2:
            raise KeyboardInterrupt

    sidecar.get(API, [{"status_code": 500}, {"content": answer()}])
    monkeypatch.setattr("raft_exporter.status_command.time.sleep", pause)
    monkeypatch.setattr("raft_exporter.status_command.signal.signal", lambda *_: None)
    result = run("--watch", "--interval", "250ms")
    assert (result.exit_code, pauses) == (0, [0.25, 0.25])
    assert result.output.index("got 500") < result.output.index("leader not told")


# in a real terminal


class _Answers(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = answer() if self.path.endswith("cluster") else journal("n2 joined the cluster")
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def served() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), _Answers) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_in_a_real_terminal_it_follows_its_size_at_once_and_leaves_it_usable(number: signal.Signals) -> None:
    with served() as url, ExitStack() as stack:
        ours, theirs = pty.openpty()
        stack.callback(os.close, ours)
        termios.tcsetwinsize(ours, (24, 80))
        command = [
            sys.executable,
            "-m",
            "raft_exporter",
            "status",
            "--watch",
            "--interval",
            "1h",
            "--url",
            url,
        ]
        environment = {key: value for key, value in os.environ.items() if key not in {"COLUMNS", "LINES"}}
        process = stack.enter_context(
            subprocess.Popen(
                command,
                stdin=theirs,
                stdout=theirs,
                stderr=theirs,
                env=environment | {"TERM": "xterm-256color"},
            )
        )
        stack.callback(process.kill)
        os.close(theirs)

        def until(word: str) -> str:
            text = ""
            while word not in text:
                assert select.select([ours], [], [], 20)[0], text
                text += os.read(ours, 65536).decode(errors="replace")
            return text

        first = until("n2 joined the cluster")
        assert ALTERNATE in first
        termios.tcsetwinsize(ours, (7, 100))
        process.send_signal(signal.SIGWINCH)  # the kernel's, were it the process' controlling terminal
        assert len(until("too low").split("\x1b[H")[-1].splitlines()) == 7
        process.send_signal(number)
        last = until("own node")
        assert process.wait(20) == 0
        assert last.index(MAIN) < last.index("0 of 3 voters online")
        assert CURSOR in last
