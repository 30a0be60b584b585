"""``raft-exporter doctor``, and the table of what is seen of each system."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from requests_mock import Mocker

from raft_exporter.cli import main

URL = "http://127.0.0.1:9641/api/v1/checkup"
SYSTEMS = (Path(__file__).parents[1] / "docs" / "systems.md").read_text()


def doctor(requests_mock: Mocker, *checks: dict[str, object]) -> Result:
    requests_mock.get(URL, json={"checks": list(checks)})
    return CliRunner().invoke(main, ["doctor"], env={"COLUMNS": "80"})


def test_each_check_is_a_line_with_its_hint(requests_mock: Mocker) -> None:
    result = doctor(
        requests_mock,
        {"name": "node", "ok": True, "text": "n1 at a:1, vault", "hint": ""},
        {"name": "store", "ok": None, "text": "nothing outlives a restart", "hint": "--store PATH"},
    )
    assert result.exit_code == 0
    lines = [line.rstrip() for line in result.stdout.splitlines()]
    assert lines == [
        "ok  node   n1 at a:1, vault",
        "-   store  nothing outlives a restart",
        "           --store PATH",
    ]


def test_anything_that_fails_is_the_exit_code(requests_mock: Mocker) -> None:
    result = doctor(requests_mock, {"name": "API", "ok": False, "text": "silent", "hint": "is it there?"})
    assert result.exit_code == 1
    assert result.stdout.startswith("FAIL")


def test_no_line_is_longer_than_the_screen(requests_mock: Mocker) -> None:
    result = doctor(
        requests_mock, {"name": "x" * 90, "ok": False, "text": "word " * 40, "hint": "hint " * 40}
    )
    assert max(map(len, result.stdout.splitlines())) <= 80
    assert result.stdout.count("word") == 40


def test_a_sidecar_that_does_not_answer_is_one_line(requests_mock: Mocker) -> None:
    requests_mock.get(URL, status_code=404, json={"error": "Not Found"})
    result = CliRunner().invoke(main, ["doctor"])
    assert (result.exit_code, result.stdout) == (1, "")
    assert len(result.stderr.splitlines()) == 1


@pytest.mark.parametrize("system", ["Consul", "Nomad", "Vault, OpenBao", "rqlite"])
def test_the_table_of_systems_has_no_blank(system: str) -> None:
    (row,) = [line for line in SYSTEMS.splitlines() if line.startswith(f"| {system} |")]
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    assert len(cells) == 5
    assert all(cells)
