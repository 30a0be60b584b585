"""The Dockerfile as a text, for where no engine is to build it with: test_image.py builds and runs it."""

from __future__ import annotations

import fnmatch
import json
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from raft_exporter import __version__
from tests.conftest import Need

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "Dockerfile").read_text()
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PACKED = PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]

Instructions = list[tuple[str, str]]


def stages() -> list[Instructions]:
    """Give the instructions of each stage, word and rest; what goes before the first one is left out."""
    lines = [line for line in TEXT.splitlines() if not line.startswith("#")]
    joined = re.sub(r"\\\n\s*", " ", "\n".join(lines))
    found: list[Instructions] = []
    for line in filter(None, joined.splitlines()):
        word, _, rest = line.partition(" ")
        if word == "FROM":
            found.append([])
        if found:
            found[-1].append((word, rest))
    return found


BUILD, FINAL = stages()


def rest_of(word: str, stage: Instructions = FINAL) -> str:
    (rest,) = [rest for each, rest in stage if each == word]
    return rest


def copied() -> list[str]:
    """Give what the first stage copies out of the tree."""
    return [source for word, rest in BUILD if word == "COPY" for source in shlex.split(rest)[:-1]]


def let_in(path: str) -> bool:
    """Whether .dockerignore lets a file in: its last pattern for the file or a folder above it says."""
    parts = Path(path).parts
    names = ["/".join(parts[:end]) for end in range(1, len(parts) + 1)]
    inside = True
    for line in (ROOT / ".dockerignore").read_text().splitlines():
        pattern = line.strip().removeprefix("!").removeprefix("**/")
        if pattern and not pattern.startswith("#") and any(fnmatch.fnmatch(name, pattern) for name in names):
            inside = line.startswith("!")
    return inside


@pytest.mark.parametrize("name", ["Dockerfile", "observer/Dockerfile"])
def test_hadolint_finds_nothing_and_is_told_to_ignore_nothing(name: str, need: Need) -> None:
    hadolint = need("hadolint", lambda: shutil.which("hadolint", path=str(Path(sys.executable).parent)))
    linted = subprocess.run([hadolint, ROOT / name], capture_output=True, text=True, check=False)
    assert (linted.returncode, linted.stdout) == (0, "")
    assert "hadolint" not in (ROOT / name).read_text()


def test_both_stages_have_one_base_and_its_minor_version_is_named() -> None:
    assert [rest_of("FROM", stage) for stage in (BUILD, FINAL)] == ["${BASE} AS build", "${BASE}"]
    base = re.search(r"^ARG BASE=python:(\d+)\.(\d+)-slim-[a-z]+$", TEXT, re.MULTILINE)
    assert base is not None
    (floor,) = re.findall(r">=3\.(\d+)$", PROJECT["project"]["requires-python"])
    assert (base[1], int(base[2]) >= int(floor)) == ("3", True)


def test_whatever_is_copied_is_in_the_tree_and_let_in() -> None:
    for source in copied():
        found = list(ROOT.glob(source))
        assert found, source
        assert all(let_in(str(path.relative_to(ROOT))) for path in found), source


def files(pattern: str) -> set[Path]:
    found = {path for place in ROOT.glob(pattern) for path in (place, *place.rglob("*"))}
    return {path for path in found if path.is_file() and "__pycache__" not in path.parts}


def test_whatever_is_packed_into_the_wheel_is_copied_before() -> None:
    packed = [*PACKED["packages"], *PACKED["force-include"], "pyproject.toml", "README.md", "LICENSE"]
    wanted = set().union(*map(files, packed))
    assert len(wanted) > 100
    assert wanted - set().union(*map(files, copied())) == set()


@pytest.mark.parametrize(
    "name", [".git/config", ".env", "tests/conftest.py", "build/raftnode", "deploy/x.pem"]
)
def test_what_the_image_is_not_made_of_is_kept_out(name: str) -> None:
    assert not let_in(name)


def test_what_is_installed_is_locked_by_hash_and_compiled_by_nobody() -> None:
    (both,) = [rest for word, rest in BUILD if word == "RUN" and "requirements" in rest]
    installs = [part for part in both.split("&&") if " install " in part]
    assert [re.findall(r"-r (\S+)", part) for part in installs] == [
        ["requirements-build.lock"],
        ["requirements.lock"],
    ]
    for part in installs:
        assert "--require-hashes" in part
        assert "--only-binary :all:" in part
    assert not re.search(r"apt-get|apk |curl|wget", TEXT)


def test_the_build_lock_holds_what_the_development_lock_holds() -> None:
    def locked(name: str) -> dict[str, str]:
        text = (ROOT / name).read_text()
        return dict(re.findall(r"^(\S+==\S+)(.*?)(?=^\S|\Z)", text, re.MULTILINE | re.DOTALL))

    build, development = locked("requirements-build.lock"), locked("requirements-dev.lock")
    assert build.items() <= development.items()
    names = {re.split(r"[=;]", each)[0] for each in build}
    assert {re.split(r"[>=]", each)[0] for each in PROJECT["build-system"]["requires"]} <= names


def test_the_last_stage_ends_as_a_user_that_is_not_root() -> None:
    user, group = map(int, rest_of("USER").split(":"))
    assert min(user, group) > 0
    words = [word for word, _ in FINAL]
    assert not {"RUN", "COPY", "ADD"} & set(words[words.index("USER") :])


@pytest.mark.parametrize("word", ["ENTRYPOINT", "CMD", "HEALTHCHECK"])
def test_no_shell_stands_between(word: str) -> None:
    form = rest_of(word).rpartition("CMD ")[2]
    expected = {
        "ENTRYPOINT": ["raft-exporter"],
        "CMD": ["run"],
        "HEALTHCHECK": ["raft-exporter", "healthcheck"],
    }
    assert json.loads(form) == expected[word]


def test_the_container_is_stopped_by_sigterm() -> None:
    assert rest_of("STOPSIGNAL") == "SIGTERM"


def test_the_labels_say_what_the_package_says() -> None:
    prefix = "org.opencontainers.image."
    labels = dict(part.split("=", 1) for part in shlex.split(rest_of("LABEL")))
    project = PROJECT["project"]
    expected = {
        "title": project["name"],
        "description": project["description"],
        "version": __version__,
        "licenses": project["license"],
    }
    assert {name: labels[prefix + name] for name in expected} == expected
    runbook = re.search(r"(https://\S+)/blob/main/docs/", (ROOT / "rules" / "raft.alerts.yml").read_text())
    assert runbook is not None
    assert labels[prefix + "source"] == runbook[1]
    page = labels[prefix + "documentation"].removeprefix(f"{runbook[1]}/blob/main/")
    assert (ROOT / page).is_file()
