"""deploy/systemd: the unit, read by systemd's own tools; no service manager has to run for that."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import Need

FOLDER = Path(__file__).parents[2] / "deploy" / "systemd"
NAME = "raft-exporter.service"
UNIT = FOLDER / NAME
DROP_INS = sorted((FOLDER / f"{NAME}.d").glob("*.conf"))

EXPOSURE = 13
"""Tenths of systemd's own measure, 0 to 100. What is left is what a watcher on the network needs."""

Told = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def analyze(need: Need, tmp_path: Path) -> Told:
    """Run systemd-analyze with the text of a unit, its program being one that is there."""
    tool = need("systemd-analyze", lambda: shutil.which("systemd-analyze"))

    def run(
        text: str, verb: str, *flags: str, drop_ins: tuple[Path, ...] = ()
    ) -> subprocess.CompletedProcess[str]:
        there = text.replace("/opt/raft-exporter/bin/raft-exporter", "/usr/bin/env")
        assert there != text
        (tmp_path / NAME).write_text(there)
        for path in drop_ins:
            (tmp_path / f"{NAME}.d").mkdir(exist_ok=True)
            shutil.copy(path, tmp_path / f"{NAME}.d")
        command = [tool, verb, "--no-pager", *flags, str(tmp_path / NAME)]
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)

    return run


def settings(path: Path) -> dict[str, list[str]]:
    """Give what is assigned, by key."""
    found: dict[str, list[str]] = {}
    for line in path.read_text().splitlines():
        if match := re.fullmatch(r"(\w+)=(.*)", line):
            found.setdefault(match[1], []).append(match[2])
    return found


def test_systemd_takes_every_line_of_the_unit(analyze: Told) -> None:
    result = analyze(UNIT.read_text(), "verify", "--man=no")
    assert (result.returncode, result.stderr) == (0, "")


def test_systemd_takes_every_line_of_the_drop_ins(analyze: Told) -> None:
    assert len(DROP_INS) == 2
    result = analyze(UNIT.read_text(), "verify", "--man=no", drop_ins=tuple(DROP_INS))
    assert (result.returncode, result.stderr) == (0, "")


@pytest.mark.parametrize(
    "broken",
    ["ProtectSystem=strictly", "ExecStartPre=/absent", "NoSuchKey=1", "RestrictAddressFamilies=AF_NONE"],
)
def test_a_line_that_it_does_not_take_would_be_noticed(analyze: Told, broken: str) -> None:
    text = UNIT.read_text().replace("[Service]\n", f"[Service]\n{broken}\n")
    result = analyze(text, "verify", "--man=no")
    assert result.stderr


def test_little_of_the_machine_is_exposed(analyze: Told) -> None:
    text = UNIT.read_text()
    flags = ("--offline=true", f"--threshold={EXPOSURE}")
    result = analyze(text, "security", *flags)
    assert result.returncode == 0, result.stdout
    for line in (
        "RestrictNamespaces=true\n",
        "CapabilityBoundingSet=\n",
        "SystemCallFilter=@system-service\n",
    ):
        assert line in text
        assert analyze(text.replace(line, ""), "security", *flags).returncode != 0, line


def test_the_service_manager_is_told_of_start_reload_and_life() -> None:
    unit = settings(UNIT)
    assert unit["Type"] == ["notify"]
    assert unit["NotifyAccess"] == ["main"]
    assert unit["WatchdogSec"] == ["30s"]
    (start,) = unit["ExecStart"]
    check, signal = unit["ExecReload"]
    assert signal == "/bin/kill -HUP $MAINPID"
    assert start.replace("run --config", "check-config") == check


def test_the_drop_in_and_its_comment_name_the_same_credentials() -> None:
    path = FOLDER / f"{NAME}.d" / "credentials.conf"
    loaded = {text.partition(":")[0] for text in settings(path)["LoadCredential"]}
    assert set(re.findall(r"/run/credentials/raft-exporter\.service/([\w.]+)", path.read_text())) == loaded


def test_the_user_is_made_by_sysusers(need: Need) -> None:
    tool = need("systemd-sysusers", lambda: shutil.which("systemd-sysusers"))
    path = FOLDER / "sysusers.d" / "raft-exporter.conf"
    result = subprocess.run(
        [tool, "--dry-run", str(path)], capture_output=True, text=True, check=False, timeout=30
    )
    assert result.returncode == 0, result.stderr
    (user,) = settings(UNIT)["User"]
    assert re.search(rf"^u {user} ", path.read_text(), re.MULTILINE)
    assert settings(UNIT)["Group"] == [user]
