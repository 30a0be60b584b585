"""What the service manager is told, by a socket that stands in for its own."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from raft_exporter.demo.cluster import until
from raft_exporter.service_manager import Notifier

SECOND = 1_000_000_000


class Clock:
    """A monotonic clock that the test drives, in nanoseconds."""

    def __init__(self) -> None:
        self.now = 100 * SECOND

    def __call__(self) -> int:
        return self.now


class Manager:
    """A service manager that keeps what it is told."""

    def __init__(self, address: str) -> None:
        self.address = address
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self._socket.bind(f"\0{address[1:]}" if address.startswith("@") else address)

    def told(self) -> list[str]:
        messages = []
        while True:
            try:
                messages.append(self._socket.recv(4096).decode())
            except BlockingIOError:
                return messages

    def close(self) -> None:
        self._socket.close()


@pytest.fixture(params=["path", "abstract"])
def manager(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Manager]:
    path = str(tmp_path / "notify")
    manager = Manager(path if request.param == "path" else f"@raft-exporter-test{path}")
    yield manager
    manager.close()


def environment(manager: Manager, **more: str) -> dict[str, str]:
    return {"NOTIFY_SOCKET": manager.address} | more


@pytest.fixture
def notifier(manager: Manager) -> Notifier:
    return Notifier.from_environment(environment(manager))


def test_each_state_is_told_with_a_text_for_people(manager: Manager, notifier: Notifier) -> None:
    notifier.ready()
    notifier.ready("serving http://127.0.0.1:9641")
    notifier.stopping()
    assert manager.told() == [
        "READY=1\nSTATUS=serving",
        "READY=1\nSTATUS=serving http://127.0.0.1:9641",
        "STOPPING=1\nSTATUS=stopping",
    ]


def test_a_reload_is_told_with_its_time_on_the_monotonic_clock(manager: Manager) -> None:
    notifier = Notifier(manager.address, clock=lambda: 1_234_567_890)
    notifier.reloading()
    notifier.ready()
    assert manager.told() == [
        "RELOADING=1\nMONOTONIC_USEC=1234567\nSTATUS=reloading the configuration",
        "READY=1\nSTATUS=serving",
    ]


def test_a_text_of_several_lines_can_not_assign_anything(manager: Manager, notifier: Notifier) -> None:
    notifier.ready("refused:\nMAINPID=1\r\n  line 2" + " and more" * 1000)
    (message,) = manager.told()
    first, second = message.splitlines()
    assert first == "READY=1"
    assert second.startswith("STATUS=refused: MAINPID=1 line 2 and more")
    assert len(second) < 500


def test_signs_of_life_are_given_twice_in_the_time_that_is_given(manager: Manager) -> None:
    clock = Clock()
    notifier = Notifier(manager.address, watchdog=30 * SECOND, clock=clock)
    for tenth in range(600):
        clock.now = (1000 + tenth) * SECOND // 10
        notifier.alive()
    assert manager.told() == ["WATCHDOG=1"] * 4


def test_without_a_watchdog_no_sign_of_life_is_given(manager: Manager, notifier: Notifier) -> None:
    notifier.alive()
    assert manager.told() == []


@pytest.mark.parametrize(
    ("more", "wanted"),
    [
        ({"WATCHDOG_USEC": "30000000"}, True),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": str(os.getpid())}, True),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": str(os.getpid() + 1)}, False),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": ""}, False),
        ({"WATCHDOG_USEC": "0"}, False),
        ({"WATCHDOG_USEC": "-1"}, False),
        ({"WATCHDOG_USEC": "30s"}, False),
        ({"WATCHDOG_USEC": "\N{SUPERSCRIPT TWO}"}, False),
        ({"WATCHDOG_USEC": ""}, False),
        ({}, False),
    ],
)
def test_the_watchdog_is_that_of_this_process_or_none(
    manager: Manager, more: dict[str, str], wanted: bool
) -> None:
    notifier = Notifier.from_environment(environment(manager, **more))
    notifier.alive()
    assert manager.told() == (["WATCHDOG=1"] if wanted else [])


@pytest.mark.parametrize("address", [None, "", "/", "@", "notify", "vsock:2:1234"])
def test_without_a_service_manager_nothing_is_done(address: str | None) -> None:
    given = {} if address is None else {"NOTIFY_SOCKET": address}
    notifier = Notifier.from_environment(given | {"WATCHDOG_USEC": "1000"})
    notifier.ready("here")
    notifier.reloading()
    notifier.alive()
    notifier.stopping()


@pytest.mark.parametrize("name", ["absent", "x" * 200])
def test_a_socket_that_can_not_be_reached_is_no_error(tmp_path: Path, name: str) -> None:
    notifier = Notifier.from_environment({"NOTIFY_SOCKET": f"{tmp_path}/{name}", "WATCHDOG_USEC": "1000"})
    notifier.ready()
    notifier.alive()


def test_a_full_queue_does_not_block_and_what_was_to_be_said_is_said_later(
    manager: Manager, notifier: Notifier
) -> None:
    for _ in range(5000):
        notifier.ready("filling")
    filled = len(manager.told())
    assert 0 < filled < 5000
    notifier.alive()
    notifier.alive()
    assert manager.told() == ["READY=1\nSTATUS=filling"]


def test_a_newer_state_takes_the_place_of_one_that_could_not_be_told(
    manager: Manager, notifier: Notifier
) -> None:
    for _ in range(5000):
        notifier.ready("filling")
    notifier.stopping()
    manager.told()
    notifier.alive()
    assert manager.told() == ["STOPPING=1\nSTATUS=stopping"]


def test_a_sidecar_tells_of_its_start_its_life_its_reload_and_its_end(tmp_path: Path) -> None:
    manager = Manager(str(tmp_path / "notify"))
    file = tmp_path / "raft-exporter.yml"
    file.write_text('{web: {listen: ["127.0.0.1:0"]}, observer: {listen: []}}')
    told: list[str] = []

    def heard(state: str) -> bool:
        told.extend(manager.told())
        return any(state in each for each in told)

    def hear(state: str) -> None:
        told.clear()
        until(f"{state} is told", lambda: heard(state))

    with subprocess.Popen(
        [sys.executable, "-m", "raft_exporter", "run", "--config", str(file)],
        env=os.environ | environment(manager, WATCHDOG_USEC="500000"),
        stderr=subprocess.DEVNULL,
    ) as sidecar:
        try:
            hear("READY=1")
            assert len(told) == 1
            hear("WATCHDOG=1")
            for text in ("{web: {listen: 1}}", file.read_text()):
                file.write_text(text)
                sidecar.send_signal(signal.SIGHUP)
                hear("READY=1")
                states = [each.splitlines()[0] for each in told if each != "WATCHDOG=1"]
                assert states == ["RELOADING=1", "READY=1"]
            sidecar.send_signal(signal.SIGTERM)
            hear("STOPPING=1")
            assert sidecar.wait(10) == 0
        finally:
            sidecar.kill()
    manager.close()
