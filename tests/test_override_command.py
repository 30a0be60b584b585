"""``raft-exporter override``: what it asks of the sidecar and what it prints."""

from __future__ import annotations

import json

import click
import pytest
from click.testing import CliRunner, Result
from requests_mock import Mocker

from raft_exporter.override_command import override
from raft_exporter.wording import local_time

URL = "http://127.0.0.1:9641/api/v1/overrides"
STANDING = {
    "peer": "n2",
    "state": "offline",
    "reason": "disk swap",
    "author": "ann",
    "set_at": 1_700_000_000.0,
    "expires_at": 1_700_007_200.0,
    "expires_in_seconds": 7200.0,
    "node": "n1",
}
UNTIL = local_time(1_700_007_200.0)


@click.group(context_settings={"auto_envvar_prefix": "RAFT_EXPORTER"})
def main() -> None:
    """Stand in for the command line."""


main.add_command(override)


def run(*args: str, env: dict[str, str] | None = None) -> Result:
    return CliRunner().invoke(main, ["override", *args], env={"COLUMNS": "120", "USER": "me"} | (env or {}))


def set_one(*args: str, env: dict[str, str] | None = None) -> Result:
    return run("set", "n2", "offline", "--reason", "disk swap", *args, env=env)


def test_set_asks_for_what_was_said_and_says_what_stands(requests_mock: Mocker) -> None:
    requests_mock.put(f"{URL}/n2", json={"override": STANDING, "stored": True})
    result = set_one("--for", "2h", "--author", "ann")
    assert (result.exit_code, result.stdout, result.stderr) == (
        0,
        f"n2 is shown as offline until {UNTIL} by ann: disk swap\n",
        "",
    )
    (request,) = requests_mock.request_history
    assert request.json() == {
        "state": "offline",
        "for_seconds": 7200.0,
        "author": "ann",
        "reason": "disk swap",
    }
    assert request.headers["Content-Type"] == "application/json"
    assert "Authorization" not in request.headers


def test_set_lasts_an_hour_and_is_by_the_user_unless_told_otherwise(
    requests_mock: Mocker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("LOGNAME", raising=False)
    requests_mock.put(f"{URL}/n2", json={"override": STANDING | {"state": "ignore"}, "stored": True})
    result = run("set", "n2", "ignore", "--reason", "r")
    assert result.output.startswith("n2 is ignored until ")
    assert requests_mock.request_history[0].json()["author"] == "me"
    assert requests_mock.request_history[0].json()["for_seconds"] == 3600.0


def test_a_user_without_a_name_has_to_give_one(monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody() -> str:
        raise KeyError("getpwuid(): uid not found: 4711")

    monkeypatch.setattr("getpass.getuser", nobody)
    result = set_one()
    assert result.exit_code == 2
    assert "expected a name: this user has none" in result.stderr


def test_flags_can_be_given_in_the_environment(requests_mock: Mocker) -> None:
    requests_mock.put("http://n1:1/api/v1/overrides/n2", json={"override": STANDING, "stored": True})
    env = {"RAFT_EXPORTER_OVERRIDE_SET_AUTHOR": "bob", "RAFT_EXPORTER_OVERRIDE_SET_URL": "http://n1:1/"}
    assert set_one(env=env).exit_code == 0
    assert requests_mock.request_history[0].json()["author"] == "bob"


def test_what_is_not_stored_is_said_so(requests_mock: Mocker) -> None:
    requests_mock.put(f"{URL}/n2", json={"override": STANDING, "stored": False})
    requests_mock.delete(f"{URL}/n2", json={"peer": "n2", "stored": False})
    for result in (set_one(), run("clear", "n2")):
        assert result.exit_code == 0
        assert "not stored: a restart of this sidecar forgets it" in result.stderr


def test_the_token_of_the_environment_goes_along_and_is_never_shown(requests_mock: Mocker) -> None:
    requests_mock.put(f"{URL}/n2", status_code=401, json={"error": "expected the bearer token"})
    result = set_one(env={"RAFT_EXPORTER_TOKEN": "hush"})
    assert requests_mock.request_history[0].headers["Authorization"] == "Bearer hush"
    assert result.exit_code == 1
    assert "hush" not in result.output


def test_a_refusal_is_one_line_with_the_sidecars_words(requests_mock: Mocker) -> None:
    requests_mock.put(f"{URL}/n2", status_code=404, json={"error": "expected a member\n\x1b[31m"})
    result = set_one()
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == (
        f"raft-exporter: {URL}/n2: expected status 200, got 404: expected a member\\n\\x1b[31m\n"
    )


@pytest.mark.parametrize(
    "args",
    [
        ("set", "n2", "broken", "--reason", "r"),
        ("set", "n2", "offline"),
        ("set", "n2", "offline", "--reason", "r", "--for", "soon"),
        ("set", "n2", "offline", "--reason", "r", "--for", "0s"),
        ("set", "n2", "offline", "--reason", "r", "--for", "31d"),
        ("set", "n2", "offline", "--reason", "r", "--url", "n1:1"),
        ("clear",),
    ],
)
def test_wrong_usage_asks_nothing(args: tuple[str, ...], requests_mock: Mocker) -> None:
    assert run(*args).exit_code == 2
    assert not requests_mock.request_history


def test_clear_names_who_and_why(requests_mock: Mocker) -> None:
    requests_mock.delete(f"{URL}/a%2Fb%20c", json={"peer": "a/b c", "stored": True})
    result = run("clear", "a/b c", "--author", "ann", "--reason", "done & gone")
    assert (result.exit_code, result.output) == (0, "the override of a/b c is cleared\n")
    (request,) = requests_mock.request_history
    assert request.path == "/api/v1/overrides/a%2fb%20c"
    assert request.query == "author=ann&reason=done+%26+gone"


def test_clear_needs_no_reason(requests_mock: Mocker) -> None:
    requests_mock.delete(f"{URL}/n2", json={"peer": "n2", "stored": True})
    assert run("clear", "n2", "--author", "ann").exit_code == 0
    assert requests_mock.request_history[0].query == "author=ann"


def test_list_shows_who_says_what_until_when(requests_mock: Mocker) -> None:
    odd = STANDING | {"peer": "n3", "reason": "[bold]x\x1b[31m"}
    requests_mock.get(URL, json={"overrides": [STANDING, odd]})
    head, first, second = run("list").output.splitlines()
    assert head.split() == ["member", "state", "for", "until", "author", "reason"]
    assert first.split() == ["n2", "offline", "2h00m", *UNTIL.split(), "ann", "disk", "swap"]
    assert second.endswith("[bold]x\\x1b[31m")


def test_list_says_that_there_is_none(requests_mock: Mocker) -> None:
    requests_mock.get(URL, json={"overrides": []})
    assert run("list").output == "no override stands\n"


def test_list_as_json_is_the_sidecars_answer(requests_mock: Mocker) -> None:
    requests_mock.get(URL, json={"overrides": [STANDING]})
    assert json.loads(run("list", "--json").output) == {"overrides": [STANDING]}


@pytest.mark.parametrize("body", [b"<html>", b"{}", b'{"overrides": [{}]}', b"\xff"])
def test_something_else_than_a_sidecar_is_a_line(requests_mock: Mocker, body: bytes) -> None:
    requests_mock.get(URL, content=body)
    result = run("list")
    assert result.exit_code == 1
    (line,) = result.stderr.splitlines()
    assert line.startswith(f"raft-exporter: {URL}: expected a sidecar's answer, got something else: ")
