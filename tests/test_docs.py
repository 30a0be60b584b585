"""The documents: that they lead somewhere, name what there is, and that their commands do what they say."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import cache
from pathlib import Path

import click
import pytest
import yaml

from raft_exporter import config
from raft_exporter.cli import main
from raft_exporter.demo.cluster import Process, free_ports, until
from raft_exporter.metrics import METRICS
from raft_exporter.reference import SHARED, sections
from raft_exporter.web import attempts, connections, requests, stream
from tests.conftest import Need

ROOT = Path(__file__).resolve().parents[1]
DOCS = sorted((ROOT / "docs").glob("*.md"))
PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "observer/README.md")),
    *DOCS,
    *sorted((ROOT / "deploy").rglob("*.md")),
]
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
SECURITY = (ROOT / "docs" / "security.md").read_text()

pages = pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))


def blocks(text: str, *languages: str) -> list[str]:
    return [content for language, content in BLOCK.findall(text) if language in languages]


@cache
def anchors(path: Path) -> set[str]:
    """What GitHub makes of the headings."""
    found = set()
    for heading in re.findall(r"^#+ (.+)$", BLOCK.sub("", path.read_text()), re.MULTILINE):
        words = re.sub(r"\[([^]]+)\]\([^)]*\)", r"\1", heading).lower()
        found.add(re.sub(r"[^\w\- ]", "", words).replace(" ", "-"))
    return found


@pages
def test_every_link_leads_somewhere(page: Path) -> None:
    lost = []
    for link in re.findall(r"\]\(([^)\s]+)\)", BLOCK.sub("", page.read_text())):
        if link.startswith(("https://", "http://")):
            continue
        name, _, anchor = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            lost.append(link)
    assert lost == []


def test_the_readme_leads_to_every_document() -> None:
    text = (ROOT / "README.md").read_text()
    assert [page.name for page in DOCS if f"docs/{page.name}" not in text] == []


def commands(text: str) -> Iterator[list[str]]:
    """Every command of ours, in blocks and in the running text, as words."""
    inline = [code for code in re.findall(r"`([^`\n]+)`", BLOCK.sub("", text)) if "--" in code]
    lines = [
        line for block in blocks(text, "sh", "console") for line in block.replace("\\\n", "").splitlines()
    ]
    for line in lines + inline:
        found = re.search(r"^(?:\$ )?(?:\S*/)?raft-exporter ([a-z].*)$", line)
        if found is not None:
            yield shlex.split(re.split(r" [|<>#] ?| &&", found[1])[0])


@pages
def test_every_command_and_flag_that_is_shown_is_one_that_there_is(page: Path) -> None:
    unknown = []
    for words in commands(page.read_text()):
        command: click.Command | None = main
        names = list(words)
        while isinstance(command, click.Group) and names:
            command = command.commands.get(names.pop(0))
        known = {flag for option in command.params for flag in option.opts} if command else set()
        flags = {word.partition("=")[0] for word in names if word.startswith("--")} - {"--help"}
        if command is None or not flags <= known:
            unknown.append(shlex.join(words))
    assert unknown == []


@pages
def test_every_metric_that_is_named_is_exported(page: Path) -> None:
    exported = {metric.name for metric in METRICS}
    named = set(
        re.findall(r"`(raft_(?:exporter|peer|node|cluster)_[a-z_]+)(?:\{[^`]*\})?`", page.read_text())
    )
    suffixes = ("_bucket", "_sum", "_count")
    assert {name for name in named if name not in exported and not name.endswith(suffixes)} == set()


@pytest.mark.parametrize(
    "page", [page for page in PAGES if page.name != "api.md"], ids=lambda path: path.name
)
def test_every_key_that_is_named_is_one_that_there_is(page: Path) -> None:
    keys = {
        f"{name}.{field}".replace("[]", "")
        for name, cls in sections()
        if cls not in SHARED
        for field in cls.__struct_fields__
    }
    groups = "node|web|observer|telemetry|probe|reports|policy|store|log"
    named = set(re.findall(rf"`((?:{groups})\.[a-z_]+(?:\.[a-z_]+)*)`", page.read_text()))
    shared = tuple(f"{key}." for key in keys if key.endswith(".tls"))
    assert {
        name for name in named - keys if not name.startswith(shared) and not name.endswith(".py")
    } == set()


CONFIGS = [
    (page, text) for page in PAGES for text in blocks(page.read_text(), "yaml") if "\nreports:" in f"\n{text}"
]


def test_a_configuration_that_is_shown_is_taken() -> None:
    assert len(CONFIGS) >= 3
    for page, text in CONFIGS:
        assert config.parse(text, page.name) != config.Config()


@pytest.mark.parametrize("page", ["deploy.md", "security.md"])
def test_prometheus_takes_the_scrape_job(page: str, tmp_path: Path, need: Need) -> None:
    promtool = need("promtool", lambda: shutil.which("promtool"))
    (text,) = [
        text for text in blocks((ROOT / "docs" / page).read_text(), "yaml") if "scrape_configs" in text
    ]
    files = set(re.findall(r"/etc/prometheus/raft/(\S+)", text))
    for name in files:
        (tmp_path / name).touch()
    file = tmp_path / "prometheus.yml"
    file.write_text(text.replace("/etc/prometheus/raft", str(tmp_path)))
    check = [promtool, "check", "config", "--syntax-only", str(file)]
    result = subprocess.run(check, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr


def test_the_limits_are_those_of_the_code() -> None:
    table = SECURITY.partition("\n## Limits\n")[2].partition("\n## ")[0]
    for limit in (
        f"{connections.MAX_OPEN}, with TLS {connections.MAX_OPEN_TLS};",
        f"{connections.HEADER_SECONDS:g} s and {connections.MAX_HEADER // 1024} KiB",
        f"{connections.UNREAD_SECONDS:g} s, and {connections.SLOW_SECONDS:g} s when others wait",
        f"| {requests.IDLE_SECONDS:g} s |",
        f"| {stream.MAX_STREAMS} |",
        f"{attempts.CLIENT_BURST} of one address, then one in {attempts.CLIENT_INTERVAL:g} s",
        f"{attempts.ALL_BURST} from all addresses together",
    ):
        assert limit in table
    assert (connections.ONE_ADDRESS, connections.DESCRIPTORS, attempts.ALL_INTERVAL) == (4, 2, 0.5)


class Hosts:
    """Three loopback addresses that stand for the hosts of the walk, a directory for each."""

    def __init__(self, home: Path) -> None:
        self._home = home
        web, raft = free_ports(2)
        self._real = {":9641": f":{web}", ":7000": f":{raft}", "10.0.0.": "127.64.0."}
        self._walk = SECURITY.partition("\n## All of it, on three hosts\n")[2]
        self._sh = blocks(self._walk, "sh")
        self._yaml = {text.splitlines()[0]: text for text in blocks(self._walk, "yaml")}

    def real(self, text: str) -> str:
        for shown, real in self._real.items():
            text = text.replace(shown, real)
        text = text.replace("/opt/raft-exporter/bin/python", sys.executable)
        return text.replace("\nraft-exporter ", f"\n{sys.executable} -m raft_exporter ")

    def sh(self, number: int) -> subprocess.CompletedProcess[str]:
        """Run one of the blocks as it stands there."""
        script = f"set -euo pipefail\n{self.real(self._sh[number])}"
        return subprocess.run(
            ["bash", "-c", script], cwd=self._home, capture_output=True, text=True, check=False, timeout=60
        )

    def install(self, host: str, hashed: str) -> Path:
        """Put on a host what belongs there; n1's files are shown, another host has its own name in them."""
        directory = self._home / host
        directory.mkdir()
        for name in ("ca.pem", f"{host}.pem", f"{host}.key", "cluster.secret", "token"):
            (directory / name).write_bytes((self._home / name).read_bytes())
        number = host.removeprefix("n")
        swapped = {"n1": host, host: "n1", "10.0.0.1": f"10.0.0.{number}", f"10.0.0.{number}": "10.0.0.1"}
        for heading, text in self._yaml.items():
            if heading.startswith("# "):
                own = re.sub(r"\bn\d\b|10\.0\.0\.\d", lambda found: swapped.get(found[0], found[0]), text)
                own = re.sub(r"\$2b\$10\$PUT\S+", lambda _: hashed, own)
                own = self.real(own).replace("/etc/raft-exporter", str(directory))
                (directory / heading.removeprefix("# ")).write_text(own)
        return directory


def test_the_walk_to_three_closed_sidecars_works_as_it_is_written(tmp_path: Path, need: Need) -> None:
    for tool in ("openssl", "curl", "bash"):
        need(tool, lambda tool=tool: shutil.which(tool))  # type: ignore[misc]
    hosts = Hosts(tmp_path)
    for number in (0, 1):
        result = hosts.sh(number)
        assert result.returncode == 0, result.stderr
    hashed = result.stdout.strip()
    assert hashed.startswith("$2b$10$")
    running: list[Process] = []
    with ThreadPoolExecutor() as ending, ExitStack() as stack:
        stack.callback(lambda: list(ending.map(Process.stop, running)))
        for host in ("n1", "n2", "n3"):
            directory = hosts.install(host, hashed)
            settings = directory / "raft-exporter.yml"
            assert yaml.safe_load(settings.read_text())["node"]["id"] == host
            command = [sys.executable, "-m", "raft_exporter", "run", "--config", str(settings)]
            command += ["--observer", f"unix:{directory}/observer.sock"]
            process = Process(f"sidecar of {host}", command, directory / "log")
            process.start()
            running.append(process)

        def heard() -> dict[str, float]:
            shown = re.findall(r'peer="(n\d)".* ([0-9.e+-]+|NaN)$', hosts.sh(2).stdout, re.MULTILINE)
            return {peer: float(seconds) for peer, seconds in shown if float(seconds) < 2}

        until("n1 believes the reports of n2 and n3", lambda: {"n2", "n3"} <= heard().keys())
        status = hosts.sh(3)
        assert status.stdout.startswith("n1 is "), status.stderr
        log = (tmp_path / "n1" / "log").read_text()
        for secret in ("cluster.secret", "token", "prometheus.password"):
            assert (tmp_path / secret).read_text().strip() not in log
        for file in ("prometheus.password", "token"):
            (tmp_path / file).write_text("another")
        assert hosts.sh(2).returncode != 0
        assert "401" in hosts.sh(3).stderr
