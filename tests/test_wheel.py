"""What is installed: the shipped files are inside the package, and the commands find them there."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from raft_exporter.shipped import RULE_FILES
from tests.unmeasured import unmeasured

ROOT = Path(__file__).parents[1]
GRAFANA = ROOT / "grafana"
STATIC = Path("raft_exporter/web/static")


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The content of the wheel that is built of this tree."""
    directory = tmp_path_factory.mktemp("wheel")
    build = [*(sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "--no-index")]
    build += ["--quiet", "--disable-pip-version-check", "--wheel-dir", str(directory), str(ROOT)]
    subprocess.run(build, check=True, capture_output=True, timeout=120)
    (wheel,) = directory.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(directory / "unpacked")
    return directory / "unpacked"


@pytest.mark.parametrize(
    ("command", "source", "names"),
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
    command: str, source: Path, names: list[Path], unpacked: Path, tmp_path: Path
) -> None:
    code = "import raft_exporter.cli; print(raft_exporter.__file__); raft_exporter.cli.main()"
    result = subprocess.run(
        [sys.executable, "-c", code, command, "--to", "out"],
        cwd=tmp_path,
        env=unmeasured() | {"PYTHONPATH": str(unpacked)},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert result.stdout.splitlines()[0] == str(unpacked / "raft_exporter" / "__init__.py")
    out = tmp_path / "out"
    written = {path.relative_to(out): path.read_bytes() for path in out.rglob("*") if path.is_file()}
    assert written == {name: (source / name).read_bytes() for name in names}
    assert len(names) >= 2


def test_the_page_and_the_examples_that_the_demo_uses_are_inside_the_package(unpacked: Path) -> None:
    for place in ("deploy/alertmanager/alertmanager.yml", "deploy/examples/openbao/policy.hcl"):
        assert (unpacked / "raft_exporter" / place).read_bytes() == (ROOT / place).read_bytes()
    parts = {path.name: path.read_bytes() for path in (ROOT / STATIC).iterdir()}
    assert {path.name: path.read_bytes() for path in (unpacked / STATIC).iterdir()} == parts
    assert "index.html" in parts
    assert not (unpacked / "grafana").exists()
