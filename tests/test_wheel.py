"""What is shipped: the wheel alone, in an empty environment, is enough; the sdist is all that git keeps."""

from __future__ import annotations

import re
import shutil
import socket
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from raft_exporter import __version__
from raft_exporter.demo.cluster import Process, until
from raft_exporter.shipped import RULE_FILES
from tests.conftest import Need
from tests.unmeasured import unmeasured

ROOT = Path(__file__).parents[1]
GRAFANA = ROOT / "grafana"
STATIC = Path("raft_exporter/web/static")
SDIST = f"raft_exporter-{__version__}"


def build(tree: Path, kind: str, to: Path) -> Path:
    """Build a "wheel" or an "sdist" of a tree, with no network."""
    command = [sys.executable, "-m", "hatchling", "build", "--target", kind, "--directory", str(to)]
    subprocess.run(command, cwd=tree, check=True, capture_output=True, timeout=120)
    (made,) = to.iterdir()
    return made


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(ROOT, "wheel", tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tree that is in the sdist."""
    home = tmp_path_factory.mktemp("sdist")
    with tarfile.open(build(ROOT, "sdist", home / "built")) as archive:
        archive.extractall(home, filter="data")
    return home / SDIST


@pytest.fixture(scope="module")
def program(wheel: Path, need: Need, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The command as the wheel installs it, with what requirements.lock names and nothing else."""
    home = tmp_path_factory.mktemp("empty") / "venv"

    def uv(*arguments: str | Path) -> bool:
        command = [str(Path(sys.executable).parent / "uv"), *map(str, arguments)]
        done = subprocess.run(
            command, cwd=home.parent, capture_output=True, text=True, check=False, timeout=300
        )
        if done.returncode:
            raise OSError(done.stderr.strip())
        return True

    install = ("pip", "install", "--python", home / "bin" / "python")
    assert uv("venv", "--no-project", "--python", sys.executable, home)
    need("the package index", lambda: uv(*install, "--require-hashes", "-r", ROOT / "requirements.lock"))
    assert uv(*install, "--offline", "--no-deps", wheel)
    assert uv("pip", "check", "--python", home / "bin" / "python")
    return home / "bin" / "raft-exporter"


def run(program: Path, *arguments: str, cwd: Path) -> str:
    """Run the installed command where the tree is not, and give what it printed."""
    done = subprocess.run(
        [program, *arguments],
        cwd=cwd,
        env=unmeasured(),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def contents(wheel: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


@pytest.mark.parametrize(
    ("command", "origin", "names"),
    [
        ("rules", ROOT / "rules", [*map(Path, RULE_FILES)]),
        (
            "dashboards",
            GRAFANA,
            [
                path.relative_to(GRAFANA)
                for pattern in ("dashboards/*.json", "provisioning/*/*.yml")
                for path in GRAFANA.glob(pattern)
            ],
        ),
    ],
)
def test_a_command_writes_out_what_is_inside_the_package(
    command: str, origin: Path, names: list[Path], program: Path, tmp_path: Path
) -> None:
    run(program, command, "--to", "out", cwd=tmp_path)
    out = tmp_path / "out"
    written = {path.relative_to(out): path.read_bytes() for path in out.rglob("*") if path.is_file()}
    assert written == {name: (origin / name).read_bytes() for name in names}
    assert len(names) >= 2


def test_every_command_is_there_and_the_configuration_is_checked(program: Path, tmp_path: Path) -> None:
    assert run(program, "--version", cwd=tmp_path) == f"raft-exporter, version {__version__}\n"
    listed = run(program, "--help", cwd=tmp_path).partition("Commands:\n")[2]
    names = re.findall(r"^  (\S+)", listed, re.MULTILINE)
    assert {"check-config", "demo", "healthcheck", "run"} <= set(names)
    assert "--system" in run(program, "demo", "--help", cwd=tmp_path)
    (tmp_path / "raft-exporter.yml").write_text("node:\n  id: n1\n")
    checked = run(program, "check-config", "raft-exporter.yml", cwd=tmp_path)
    assert checked == "raft-exporter.yml: ok\n"


@pytest.fixture
def url(program: Path, tmp_path: Path) -> Iterator[str]:
    """Where the installed command serves."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        where = f"127.0.0.1:{free.getsockname()[1]}"
    process = Process(
        "sidecar",
        [str(program), "run", "--listen", where, "--observer", f"unix:{tmp_path}/observer.sock"],
        tmp_path / "log",
    )
    process.start()

    def answers() -> bool:
        try:
            return requests.get(f"http://{where}/-/healthy", timeout=5).ok
        except requests.RequestException:
            return False

    try:
        until(f"it serves; see {process.log}", answers)
        yield f"http://{where}"
    finally:
        process.stop()


def test_it_serves_metrics_and_the_whole_page_and_calls_itself_healthy(
    url: str, program: Path, tmp_path: Path
) -> None:
    assert "raft_exporter_build_info" in requests.get(f"{url}/metrics", timeout=10).text
    page = requests.get(f"{url}/", timeout=10)
    assert page.content == (ROOT / STATIC / "index.html").read_bytes()
    parts = {path.name: path.read_bytes() for path in (ROOT / STATIC).iterdir() if path.name != "index.html"}
    assert {name: requests.get(f"{url}/page/{name}", timeout=10).content for name in parts} == parts
    assert set(re.findall(r'(?:href|src)="page/([^"]+)"', page.text)) <= parts.keys()
    assert run(program, "healthcheck", "--url", url, cwd=tmp_path) == f"{url}/-/healthy: ok\n"


def test_what_the_demo_uses_and_the_licence_are_inside_the_wheel(wheel: Path) -> None:
    inside = contents(wheel)
    for place in ("deploy/alertmanager/alertmanager.yml", "deploy/examples/openbao/policy.hcl"):
        assert inside[f"raft_exporter/{place}"] == (ROOT / place).read_bytes()
    information = f"raft_exporter-{__version__}.dist-info"
    assert inside[f"{information}/licenses/LICENSE"] == (ROOT / "LICENSE").read_bytes()
    assert {name.partition("/")[0] for name in inside} == {"raft_exporter", information}


def test_the_wheel_of_the_sdist_is_that_of_the_tree(source: Path, wheel: Path, tmp_path: Path) -> None:
    assert contents(build(source, "wheel", tmp_path)) == contents(wheel)


def test_the_sdist_holds_every_file_that_is_kept(source: Path, need: Need) -> None:
    git = need("git", lambda: shutil.which("git"))
    need("a checkout", lambda: (ROOT / ".git").exists() or None)
    listed = subprocess.run(
        [git, "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout.split("\0")
    kept = {file for name in filter(None, listed) for file in files(ROOT / name)}
    assert len(kept) > 100
    assert {file for file in kept if not same(source / file.relative_to(ROOT), file)} == set()


def files(path: Path) -> list[Path]:
    """Give the file, or those that a link leads to: an sdist has no links."""
    return [each for each in (path, *path.glob("*")) if each.is_file()]


def same(one: Path, other: Path) -> bool:
    return one.is_file() and one.read_bytes() == other.read_bytes()
