"""The commands and examples of the README, of docs/usage.md and docs/configuration.md, run.

Whatever stands there in a fenced block works.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Final

import pytest
import requests
import yaml

from raft_exporter import config
from raft_exporter.client import SidecarClient
from raft_exporter.demo.cluster import Cluster, Process, free_ports, until
from raft_exporter.errors import ClientError
from raft_exporter.metrics import METRICS
from tests.conftest import Need
from tests.integration.conftest import Home
from tests.integration.running_demo import Demo, timeline
from tests.integration.scrape import PATIENCE, until_healthy

ROOT: Final = Path(__file__).resolve().parents[2]
PAGES: Final = ("README.md", "docs/usage.md", "docs/configuration.md")
TEXT: Final = "\n".join((ROOT / page).read_text() for page in PAGES)

BLOCKS: Final = re.findall(r"^```(\w*)\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)
CONSOLE: Final = [text for language, text in BLOCKS if language == "console"]
GO: Final = [text for language, text in BLOCKS if language == "go"]
YAML: Final = [text for language, text in BLOCKS if language == "yaml"]
SCRAPES: Final = [text for text in YAML if "scrape_configs" in yaml.safe_load(text)]
CONFIGS: Final = {text.splitlines()[0].removeprefix("# "): text for text in YAML if text not in SCRAPES}
"""Our own configurations by the name of the file, which their first line gives."""

Step = tuple[str, list[str]]


def steps(block: str) -> list[Step]:
    """Split a console block into its commands, each with the output that is shown."""
    parts = re.split(r"^\$ (.*)\n", block, flags=re.MULTILINE)
    assert parts[0] == "", f"expected a command first, got {parts[0]!r}"
    return [(command, output.splitlines()) for command, output in zip(parts[1::2], parts[2::2], strict=True)]


STEPS: Final = [step for block in CONSOLE for step in steps(block)]
MAKE: Final = [step for step in STEPS if step[0].startswith("make ")]
SAMPLES: Final = [step for step in MAKE if step[1]]
RUN: Final = [step for step in STEPS if step[0].startswith("raft-exporter run ")]
ANSWERED: Final = (
    *("check-config", "status", "probe", "events", "override", "rehearse", "rules", "dashboards"),
)
ASK: Final = [step for step in STEPS if re.match(rf"raft-exporter ({'|'.join(ANSWERED)})\b", step[0])]

UNUSED: Final = ("127.0.0.1:8500", "127.0.0.1:8125", "127.0.0.1:8126")
"""Addresses of the examples that are nobody's here."""

ASKING: Final = ("STATUS", "EVENTS", "OVERRIDE_SET", "OVERRIDE_LIST", "OVERRIDE_CLEAR")
"""The commands that ask a running sidecar."""
ANY_LINES: Final = ("raft-exporter events", "raft-exporter rehearse")
"""What is shown of these is a part of what they say, of another day."""


def named(found: list[Step]) -> list[str]:
    return [command for command, _ in found]


def test_every_fenced_block_is_of_a_kind_that_is_tested() -> None:
    assert TEXT.count("```") == 2 * len(BLOCKS)
    assert {language for language, _ in BLOCKS} == {"console", "go", "yaml"}
    assert sorted(named(MAKE + RUN + ASK)) == sorted(named(STEPS))
    assert len(GO) == 1
    assert len(SCRAPES) == 1
    assert list(CONFIGS) == ["raft-exporter.yml", "every-key.yml"]


def test_every_metric_named_is_one_that_is_exported() -> None:
    exported = {metric.name for metric in METRICS}
    named = set(re.findall(r"`(raft_[a-z_]+)`", TEXT))
    assert named
    assert named <= exported


def test_the_go_lines_are_those_of_the_example_that_compiles() -> None:
    example = (ROOT / "observer" / "example_test.go").read_text()
    body = re.search(r"^func Example\(\) \{\n(.*?)^\}$", example, re.MULTILINE | re.DOTALL)
    assert body is not None
    assert textwrap.dedent(body[1]) == GO[0]


@pytest.mark.parametrize("name", CONFIGS)
def test_a_configuration_is_one_that_is_taken(name: str) -> None:
    assert config.parse(CONFIGS[name], name) != config.Config()


@pytest.mark.integration
@pytest.mark.parametrize("text", SCRAPES)
def test_prometheus_takes_the_scrape_job(text: str, tmp_path: Path, need: Need) -> None:
    promtool = need("promtool", lambda: shutil.which("promtool"))
    file = tmp_path / "prometheus.yml"
    file.write_text(text)
    result = subprocess.run(
        [promtool, "check", "config", str(file)], capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stdout + result.stderr


def dry_run(command: str, need: Need) -> str:
    """Give the commands that ``make`` would run."""
    make = need("make", lambda: shutil.which("make"))
    result = subprocess.run(
        [make, "--no-print-directory", "--dry-run", *shlex.split(command)[1:]],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


@pytest.mark.integration
@pytest.mark.parametrize("command", named(MAKE))
def test_make_has_the_target(command: str, need: Need) -> None:
    target = shlex.split(command)[1]
    assert {"demo": "raft-exporter demo", "test": "scripts/test"}[target] in dry_run(command, need)


@pytest.mark.integration
@pytest.mark.parametrize(("command", "shown"), SAMPLES, ids=named(SAMPLES))
def test_the_demo_says_what_is_shown(
    command: str, shown: list[str], need: Need, tmp_path: Path, raftnodes: Path
) -> None:
    for part in ("prometheus", "prometheus-alertmanager"):
        need(part, lambda name=part: shutil.which(name))  # type: ignore[misc]
    flags = shlex.split(dry_run(command, need).splitlines()[-1])[2:]
    demo = Demo(tmp_path, *flags)
    demo.until("FAULT:")
    demo.until_all_say("stalled")
    demo.until("Alertmanager: pager: RaftLeaderStalled")
    assert demo.ended(signal.SIGINT) == 0, demo.output

    def nameless(lines: list[str]) -> set[str]:
        return {re.sub(r"\d+", "0", line) for line in lines}

    assert nameless(timeline("\n".join(shown))) <= nameless(timeline(demo.output))
    in_words = [line for line in shown if line.startswith("hashicorp/raft ")]
    assert in_words
    assert nameless(in_words) <= nameless(demo.output.splitlines())


@pytest.fixture(scope="module")
def cluster(module_home: Home, raftnodes: Path) -> Cluster:
    cluster = module_home.cluster()
    until_healthy(cluster)
    return cluster


class Place:
    """Where the pages' commands run: their addresses are those of a real cluster, their files are here."""

    def __init__(self, cluster: Cluster, directory: Path) -> None:
        self.directory = directory
        own, second, third = cluster.nodes.values()
        self.listen = f"127.0.0.1:{free_ports(1)[0]}"
        self._real = {
            "127.0.0.1:7000": own.address,
            "10.0.0.2:7000": second.address,
            "10.0.0.3:7000": third.address,
            "127.0.0.1:9641": self.listen,
            **{
                example: f"127.0.0.1:{port}"
                for example, port in zip(UNUSED, free_ports(len(UNUSED)), strict=True)
            },
            "http://10.0.1.3:9641": cluster.sidecars[third.id].url,
            "/etc/raft-exporter": str(directory),
            "/var/lib/raft-exporter": str(directory),
            "/etc/prometheus": str(directory),
        }
        (directory / "token").write_text("a-token\n")
        self._stored = cluster.home / f"{second.id}.db"
        self.env = {
            **os.environ,
            "RAFT_EXPORTER_RUN_LISTEN": self.listen,
            "RAFT_EXPORTER_RUN_OBSERVER": f"unix:{directory / 'observer.sock'}",
            **{f"RAFT_EXPORTER_{asks}_URL": cluster.sidecars[second.id].url for asks in ASKING},
            "COLUMNS": "80",
        }
        for name, text in CONFIGS.items():
            (directory / name).write_text(self.real(text))

    def real(self, text: str) -> str:
        """Put the real addresses into a text."""
        for example, address in self._real.items():
            text = text.replace(example, address)
        return text

    def command(self, text: str) -> list[str]:
        """Give the command as it is run here."""
        if text.startswith("raft-exporter rehearse"):
            (self.directory / "raft-exporter.db").symlink_to(self._stored)
        return [sys.executable, "-m", "raft_exporter", *shlex.split(self.real(text))[1:]]


@pytest.fixture
def place(cluster: Cluster, tmp_path: Path) -> Place:
    return Place(cluster, tmp_path)


@pytest.mark.integration
@pytest.mark.parametrize(("command", "shown"), ASK, ids=named(ASK))
def test_a_question_is_answered_in_the_lines_that_are_shown(
    command: str, shown: list[str], place: Place
) -> None:
    result = subprocess.run(
        place.command(command),
        cwd=place.directory,
        env=place.env,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr

    def beginnings(lines: list[str]) -> list[str]:
        return [line.split(maxsplit=1)[0] for line in lines if line]

    def kinds(lines: list[str]) -> set[str]:
        return {re.sub(r"\d", "0", each) for each in beginnings(lines) if not re.fullmatch(r"\d\.\d+s", each)}

    lines = result.stdout.splitlines()
    assert shown
    if command.startswith(ANY_LINES):
        assert kinds(shown) <= kinds(lines)
        return
    assert beginnings(lines) == beginnings(shown)
    header = [line.split() for line in lines if line.startswith("member")]
    assert header == [line.split() for line in shown if line.startswith("member")]


@pytest.fixture
def in_place(place: Place, monkeypatch: pytest.MonkeyPatch) -> Place:
    """Be where the commands of the pages run, with their environment."""
    monkeypatch.chdir(place.directory)
    for key, value in place.env.items():
        monkeypatch.setenv(key, value)
    return place


ALONE: Final = [command for command in named(RUN) if "--node " not in command]


@pytest.mark.integration
@pytest.mark.parametrize("command", [command for command in named(RUN) if command not in ALONE])
def test_a_sidecar_serves_though_its_node_is_not_there_yet(command: str, in_place: Place, home: Home) -> None:
    home.run(Process("sidecar", in_place.command(command), home.path / "sidecar.log"))
    client = SidecarClient(f"http://{in_place.listen}")

    def api() -> bool | None:
        try:
            (check,) = [check for check in client.checkup().checks if check.name == "API"]
        except ClientError:
            return None
        return check.ok is False and "refused" in check.hint

    until("the doctor says that the API refuses", api, PATIENCE)


@pytest.mark.integration
@pytest.mark.parametrize("command", ALONE)
def test_a_sidecar_runs_as_is_shown_and_finds_all_members_online(
    command: str, in_place: Place, home: Home
) -> None:
    home.run(Process("sidecar", in_place.command(command), home.path / "sidecar.log"))
    client = SidecarClient(f"http://{in_place.listen}")

    def states() -> dict[str, str]:
        try:
            return {member.id: str(member.state) for member in client.cluster().members}
        except ClientError:
            return {}

    wanted = dict.fromkeys(("n1", "n2", "n3"), "online")
    until("all members online", lambda: states() == wanted, PATIENCE)
    page = requests.get(f"http://{in_place.listen}/", timeout=5)
    assert page.status_code == 200
