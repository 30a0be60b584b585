"""The command line: what it prints and how it ends."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import msgpack
import pytest
import requests
from click.testing import CliRunner, Result

from raft_exporter import __version__
from raft_exporter.cli import main


def run(*args: str, env: dict[str, str] | None = None) -> Result:
    return CliRunner().invoke(main, args, env={"COLUMNS": "120"} | (env or {}))


@contextmanager
def raft_port(reply: bytes) -> Iterator[str]:
    """A port that sends ``reply`` to whoever asks, once; with none it hangs up."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(100)
                connection.sendall(reply)
                if reply:
                    connection.recv(100)

        thread = threading.Thread(target=serve)
        thread.start()
        yield f"127.0.0.1:{server.getsockname()[1]}"
        thread.join()


def closed_port() -> str:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{free.getsockname()[1]}"


def test_version() -> None:
    assert run("--version").output == f"raft-exporter, version {__version__}\n"


def test_every_command_has_its_help() -> None:
    for command in ("run", "probe", "status", "check-config", "demo"):
        result = run(command, "--help")
        assert result.exit_code == 0
        assert "Usage:" in result.output


# check-config and run


def test_check_config_says_ok(tmp_path: Path) -> None:
    path = tmp_path / "good.yml"
    path.write_text("node: {raft: 127.0.0.1:7000}\n")
    result = run("check-config", str(path))
    assert (result.exit_code, result.output) == (0, f"{path}: ok\n")


@pytest.mark.parametrize("command", ["check-config", "run"])
def test_every_fault_is_a_line_and_the_exit_code_is_2(tmp_path: Path, command: str) -> None:
    path = tmp_path / "bad.yml"
    path.write_text(
        "node: {heartbeat_timeout: soon, rft: x:1}\n"
        "probe: {enabled: 3}\n"
        "peers:\n  - {id: n2, address: b:1}\n  - {id: n2, address: c:1}\n"
    )
    args = [str(path)] if command == "check-config" else ["--config", str(path)]
    result = run(command, *args)
    lines = result.stderr.splitlines()
    assert result.exit_code == 2
    assert len(lines) == 4
    for key in ("node.heartbeat_timeout", "node.rft", "probe.enabled", "peers[1].id"):
        assert any(line.startswith(f"{path}: {key}: expected ") for line in lines), (key, lines)


def test_a_missing_file_is_a_line(tmp_path: Path) -> None:
    result = run("check-config", str(tmp_path / "none.yml"))
    assert result.exit_code == 2
    assert len(result.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("flag", "value"),
    [
        ("--raft", "nowhere"),
        ("--peer", "n2"),
        ("--peer", "n2=b:1,king"),
        ("--listen", "x"),
        ("--observer", "tcp:10.0.0.1:9"),
        ("--heartbeat-timeout", "soon"),
        ("--id", ""),
    ],
)
def test_a_bad_flag_is_a_line(flag: str, value: str) -> None:
    result = run("run", flag, value)
    assert result.exit_code == 2
    (line,) = result.stderr.splitlines()
    assert line.startswith(f"{flag}: expected ")


def test_flags_that_contradict_each_other_are_a_line() -> None:
    result = run("run", "--id", "n1", "--peer", "n1=b:1")
    assert result.exit_code == 2
    assert result.stderr.startswith("command line: peers[0].id: expected another id")


def test_a_port_in_use_is_a_line_and_the_exit_code_is_1() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        where = f"127.0.0.1:{taken.getsockname()[1]}"
        result = subprocess.run(
            [sys.executable, "-m", "raft_exporter", "run", "--listen", where, "--log-level", "error"],
            capture_output=True,
            text=True,
            check=False,
        )
    assert result.returncode == 1
    assert result.stderr == f"raft-exporter: web.listen: can't listen on {where}: Address already in use\n"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_run_serves_until_it_is_told_to_stop(tmp_path: Path, number: signal.Signals) -> None:
    config = tmp_path / "config.yml"
    config.write_text("log: {format: json}\nnode: {id: n1}\n")
    where = closed_port()
    command = [sys.executable, "-m", "raft_exporter", "run", "--config", str(config), "--listen", where]
    environment = os.environ | {"RAFT_EXPORTER_RUN_OBSERVER": f"unix:{tmp_path}/s"}
    started = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment)
    with started as process, ExitStack() as stack:
        stack.callback(process.kill)
        assert process.stderr is not None
        first = json.loads(process.stderr.readline())
        assert (first["msg"], first["address"]) == ("waiting for the observer", f"unix:{tmp_path}/s")
        second = json.loads(process.stderr.readline())
        assert (second["msg"], second["urls"]) == ("serving", f"http://{where}")
        assert requests.get(f"http://{where}/-/ready", timeout=5).status_code == 503
        process.send_signal(number)
        rest = [json.loads(line)["msg"] for line in process.stderr]
        assert process.wait(10) == 0
    assert rest == ["started", "stopping"]


# probe


def test_probe_tells_who_answers() -> None:
    body = {"ID": b"n2", "Addr": b"b:1", "Term": 3, "LastLog": 7}
    reply = b"\xa0" + bytes(msgpack.packb(body, use_bin_type=False))
    with raft_port(reply) as where:
        text = run("probe", where)
    with raft_port(reply) as where:
        as_json = run("probe", where, "--json")
    assert text.exit_code == as_json.exit_code == 0
    assert text.output.splitlines()[:4] == [
        "id:             n2",
        "address:        b:1",
        "term:           3",
        "last log index: 7",
    ]
    facts = json.loads(as_json.output)
    assert facts.pop("round_trip_seconds") > 0
    assert facts == {"error": "", "id": "n2", "address": "b:1", "term": 3, "last_log_index": 7}


def test_probe_tells_the_nodes_own_error() -> None:
    with raft_port(bytes(msgpack.packb("no such version", use_bin_type=False)) + b"\xc0") as where:
        result = run("probe", where)
    assert (result.exit_code, result.output) == (1, "error: no such version\n")


@pytest.mark.parametrize(("reply", "word"), [(b"HTTP/1.1 400\r\n", "got int"), (b"", "was closed")])
def test_probe_of_something_else_is_a_line(reply: bytes, word: str) -> None:
    with raft_port(reply) as where:
        result = run("probe", where)
    assert result.exit_code == 1
    (line,) = result.stderr.splitlines()
    assert line.startswith(f"raft-exporter: {where}: not the answer of a hashicorp/raft node: ")
    assert line.endswith(word)


def test_probe_of_nothing_is_a_line() -> None:
    where = closed_port()
    result = run("probe", where)
    assert (result.exit_code, result.stderr) == (1, f"raft-exporter: {where}: Connection refused\n")


def test_probe_that_is_not_answered_in_time_is_a_line() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        where = f"127.0.0.1:{silent.getsockname()[1]}"
        result = run("probe", where, "--timeout", "20ms")
    assert (result.exit_code, result.stderr) == (1, f"raft-exporter: {where}: no answer within 20ms\n")


@pytest.mark.parametrize(
    "args",
    [
        ("probe", "127.0.0.1:1", "--timeout", "0s"),
        ("probe", "127.0.0.1:1", "--timeout", "soon"),
    ],
)
def test_wrong_usage_is_said_so(args: tuple[str, ...]) -> None:
    result = run(*args)
    assert result.exit_code == 2
    assert "expected" in result.stderr


def test_probe_needs_an_address() -> None:
    assert run("probe", "nowhere").exit_code == 2
