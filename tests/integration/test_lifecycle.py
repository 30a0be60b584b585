"""A sidecar as its supervisor sees it: it starts where it can, says why where it cannot, ends when told."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, suppress
from pathlib import Path
from typing import Final

import msgpack
import pytest
from click.testing import CliRunner

from raft_exporter.cli import main
from raft_exporter.demo.cluster import until
from raft_exporter.wire import PROBE
from tests.conftest import Need
from tests.integration.life import Case, Life, by_shell
from tests.integration.observer_lines import hello
from tests.integration.scrape import PATIENCE, Scrape

pytestmark = pytest.mark.integration

AT_ONCE: Final = 1.2
"""Seconds in which a sidecar has to be gone once it is told to, beyond what an idle one takes just then.

One, and a fifth of one for what else goes on here: what is waited for one after the other takes longer.
"""

EARLY: Final = """
import signal, time
real, behind = time.time, [time.time() - 60]
time.time = lambda: real() - behind[0]
signal.signal(signal.SIGUSR1, lambda *_: behind.__setitem__(0, 0))
from raft_exporter.cli import main
main()
"""
"""Runs a sidecar whose wall clock stands at a minute past 1970, and is set right by SIGUSR1."""

PEERS: Final = ("--raft", "127.0.0.1:1", "--peer", "n2=127.0.0.1:2", "--peer", "n3=nowhere.invalid:7000")
SERVES: Final = {
    "no node, and peers that are not there": Case((), PEERS),
    "nothing around it": Case(
        by_shell(
            'unset HOME; export TMPDIR=/nonexistent; ulimit -n 64; mkdir x; cd x; rmdir ../x; exec "$@"',
            *("env", "-C", "{home}"),
        ),
        ("--store", "{home}/db"),
    ),
    "no standard streams": Case(by_shell('exec "$@" <&- >&- 2>&-')),
    "a full disk for its log": Case(by_shell('exec "$@" >/dev/full 2>/dev/full')),
    "a log that nobody reads": Case(by_shell('exec "$@" > >(exec true) 2>&1')),
    "a read-only disk": Case(
        by_shell('mkdir {home}/ro; mount -t tmpfs -o ro none {home}/ro; exec "$@"', "unshare", "-m"),
        ("--store", "{home}/ro/db"),
        r"level=error .*nothing is stored at present.*Read-only file system",
    ),
}
REFUSES: Final = [
    ("--observer", "unix:{home}/file", "observer.listen: can't listen on unix:{home}/file: "),
    ("--observer", "unix:{home}", "observer.listen: can't listen on unix:{home}: "),
    ("--observer", "unix:/proc/s", "observer.listen: can't listen on unix:/proc/s: "),
    ("--telemetry", "unixgram:{home}/file", "telemetry.listen: can't listen on unixgram:{home}/file: "),
    ("--config", "{home}/token.yml", "web.token_file: {home}: can't be read: Is a directory"),
    ("--listen", "192.0.2.1:1", "web.listen: can't listen on 192.0.2.1:1: "),
]
NO_NETWORK: Final = "no network"
TODAY: Final = "the clock of today"
IDLE: Final = "nobody connected"
OTHERS: Final = {
    NO_NETWORK: Case(("unshare", "-n"), ("--raft", "10.0.0.1:7000", "--peer", "n2=10.0.0.2:7000")),
    TODAY: Case(
        flags=(
            "--id",
            "n1",
            "--peer",
            "n2=127.0.0.1:1",
            "--heartbeat-timeout",
            "300ms",
            "--store",
            "{home}/db",
        )
    ),
    IDLE: Case(),
}
ANSWER: Final = b"\xa0" + msgpack.packb({"ID": b"n3", "Term": 3, "LastLog": 7}, use_bin_type=False)


@pytest.fixture(scope="module")
def unshare(need: Need) -> str:
    """Give what makes namespaces, where that is allowed."""
    found = need("util-linux", lambda: shutil.which("unshare"))

    def allowed() -> bool | None:
        return (
            subprocess.run([found, "-n", "-m", "true"], capture_output=True, check=False).returncode == 0
            or None
        )

    need("the right to make namespaces", allowed)
    return found


@pytest.fixture(scope="module")
def lives(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Life]]:
    """Start every case at once, in a directory each: to start is most of the work."""
    made: dict[str, Life] = {}
    with ExitStack() as stack:
        for name, case in (SERVES | OTHERS).items():
            home = tmp_path_factory.mktemp("life")
            before = tuple(word.replace("{home}", str(home)) for word in case.before)
            made[name] = life = Life(home, *case.flags, before=before)
            stack.callback(life.process.stop)
            life.process.start()
        yield made


@pytest.mark.parametrize("name", SERVES)
def test_it_serves_and_ends_well_with(
    name: str, lives: dict[str, Life], request: pytest.FixtureRequest
) -> None:
    if "unshare" in SERVES[name].before:
        request.getfixturevalue("unshare")
    life = lives[name]
    assert life.until_it_serves().value("raft_exporter_config_last_reload_successful") == 1
    life.end()
    assert re.search(SERVES[name].said, life.log)
    assert "Traceback" not in life.log
    assert not life.observer.exists()


@pytest.mark.parametrize(("flag", "value", "words"), REFUSES)
def test_it_says_in_a_line_why_it_cannot_start(
    tmp_path: Path, flag: str, value: str, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "raft_exporter.run_command.setup", lambda *_: None
    )  # the log of this process is pytest's
    (tmp_path / "file").write_text("of somebody else")
    (tmp_path / "token.yml").write_text(f"web: {{token_file: {tmp_path}}}\n")
    # A flag that is given again is one more address.
    standard = ["--listen", "127.0.0.1:0", "--observer", f"unix:{tmp_path}/s"]
    result = CliRunner().invoke(main, ["run", *standard, flag, value.format(home=tmp_path)])
    assert result.exit_code == 1
    assert result.stderr.startswith(f"raft-exporter: {words.format(home=tmp_path)}")
    assert result.stderr.count("\n") == 1
    assert (tmp_path / "file").read_text() == "of somebody else"


def test_with_no_network_it_blames_nobody_and_serves_once_there_is_one(
    lives: dict[str, Life], unshare: str, need: Need
) -> None:
    need("iproute2", lambda: shutil.which("ip"))
    life = lives[NO_NETWORK]
    get = f"exec 3<>/dev/tcp/127.0.0.1/{life.port}; printf 'GET /metrics HTTP/1.0\\r\\n\\r\\n' >&3; cat <&3"

    def ask() -> Scrape | None:
        """Raise loopback in there, and scrape."""
        command = ["nsenter", "-t", str(life.process.pid), "-n", "bash", "-c", f"ip link set lo up; {get}"]
        answer = subprocess.run(command, capture_output=True, text=True, check=False)
        return Scrape(answer.stdout.partition("\n\n")[2]) if answer.returncode == 0 else None

    until("it started", lambda: " msg=started" in life.log, PATIENCE)
    now = until("it serves", ask, PATIENCE)
    life.end()
    failures = now.by("reason", "raft_peer_probe_failures_total", peer="n2", probe="raft")
    assert sum(failures.values()) == failures["local_error"] > 0
    assert now.states["n2"] == "unknown"


def test_in_1970_it_serves_and_a_clock_that_is_set_right_makes_no_silence(lives: dict[str, Life]) -> None:
    today = lives[TODAY]
    today.until_it_serves()
    today.end()
    life = Life(today.home, *OTHERS[TODAY].flags, code=EARLY)
    life.process.start()
    try:
        now = life.until_it_serves()
        assert now.value("raft_exporter_config_last_reload_success_timestamp_seconds") < 3600
        os.kill(life.process.pid, signal.SIGUSR1)
        until(
            "the clock to be right", lambda: " 1970 " not in life.get("/-/healthy").headers["Date"], PATIENCE
        )
        after = life.scrape()
        assert after is not None
        assert all(0 <= age < 3600 for age in after.by("peer", "raft_peer_judged_state_age_seconds").values())
        assert after.value("raft_peer_silence_seconds", peer="n2", source="any") < 3600
    finally:
        life.process.stop()
    assert "ts=1970-" in life.log
    assert "Traceback" not in life.log


# the end


@pytest.fixture(scope="module")
def idle(lives: dict[str, Life]) -> float:
    """How many seconds a sidecar takes to end on this machine, as busy as it is."""
    lives[IDLE].until_it_serves()
    return lives[IDLE].end()


class Member:
    """What takes the native probe for a node, and owes the answer to it."""

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack
        self._listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        self.address = "{}:{}".format(*self._listener.getsockname())

    def until_asked(self) -> socket.socket:
        """Give the connection on which the question came."""
        self._listener.settimeout(PATIENCE)
        connection, _ = self._listener.accept()
        self._stack.enter_context(connection)
        connection.settimeout(PATIENCE)
        assert connection.recv(4096) == PROBE
        return connection


def call(life: Life, stack: ExitStack, request: str) -> socket.socket:
    """Connect to its web server and say this much."""
    client = stack.enter_context(socket.create_connection(("127.0.0.1", life.port), PATIENCE))
    client.sendall(request.replace("\n", "\r\n").encode())
    return client


def observe(life: Life, stack: ExitStack) -> socket.socket:
    """Connect as the observer."""
    observer = stack.enter_context(socket.socket(socket.AF_UNIX))
    observer.settimeout(PATIENCE)
    observer.connect(str(life.observer))
    observer.sendall(hello())
    return observer


def test_told_to_end_it_is_gone_in_a_second_whoever_is_connected_and_reads_what_it_asked_for(
    tmp_path: Path, idle: float
) -> None:
    with ExitStack() as stack:
        mute, slow = Member(stack), Member(stack)
        life = Life(tmp_path, "--peer", f"n2={mute.address}", "--peer", f"n3={slow.address}")
        stack.callback(life.process.stop)
        life.process.start()
        life.until_it_serves()
        observer = observe(life, stack)
        head = "GET /{} HTTP/1.1\nHost: 127.0.0.1\n"
        streams = [call(life, stack, head.format("api/v1/stream") + "\n") for _ in range(10)]
        for stream in streams:
            assert stream.recv(4096)
        put = head.format("api/v1/overrides/n2").replace("GET", "PUT") + "Content-Type: application/json\n"
        for _ in range(10):
            call(life, stack, head.format("metrics"))
            call(life, stack, head.format("-/healthy") + "\n").recv(4096)
            call(life, stack, put + "Content-Length: 99\n\n{")
        asked = [member.until_asked() for member in (mute, slow)]

        began = time.monotonic()
        os.kill(life.process.pid, signal.SIGTERM)
        while observer.recv(4096):
            pass
        asked[1].sendall(ANSWER)
        # Closed with an answer unread, a connection ends by a reset.
        assert [connection.recv(4096) for connection in asked] == [b"", b""]
        until("it ends", lambda: not life.process.running, PATIENCE)
        took = time.monotonic() - began
        assert life.process.stop() == 0
        assert took - idle < AT_ONCE, f"{took:.2f} s, idle {idle:.2f} s: {life.log}"
        assert not re.search(r"level=error|Traceback", life.log), life.log


def test_told_to_end_while_it_starts_it_does(tmp_path: Path, idle: float) -> None:
    database = tmp_path / "db"
    with closing(sqlite3.connect(database)) as locked:
        locked.execute("BEGIN EXCLUSIVE")
        life = Life(tmp_path, "--store", str(database))
        life.process.start()
        files = Path(f"/proc/{life.process.pid}/fd")
        try:
            until("it waits for its store", lambda: str(database) in links(files), PATIENCE)
            assert life.end() - idle < AT_ONCE, life.log
        finally:
            life.process.stop()


def links(directory: Path) -> set[str]:
    """Where the links of a directory that changes lead to."""
    found = set()
    for link in directory.iterdir():
        with suppress(OSError):
            found.add(str(link.readlink()))
    return found
