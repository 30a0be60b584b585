"""The examples of deploy/examples: each is read by what will read it."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import hcl2
import pytest
import yaml

from raft_exporter import config
from tests.conftest import Need

ROOT = Path(__file__).parents[1]
EXAMPLES = ROOT / "deploy" / "examples"
SYSTEMS = sorted(path.name for path in EXAMPLES.iterdir() if path.is_dir())


def files(pattern: str) -> list[Path]:
    return sorted(EXAMPLES.glob(f"*/{pattern}"))


def ids(paths: list[Path]) -> list[str]:
    return [str(path.relative_to(EXAMPLES)) for path in paths]


def test_there_is_one_for_every_system() -> None:
    assert SYSTEMS == ["consul", "go-metrics", "nomad", "openbao", "rqlite", "vault"]
    assert [path.parent.name for path in files("raft-exporter.yml")] == SYSTEMS


@pytest.mark.parametrize("system", SYSTEMS)
def test_the_sidecar_takes_its_configuration(system: str) -> None:
    settings = config.load(EXAMPLES / system / "raft-exporter.yml")
    kind = {"go-metrics": None, "openbao": "vault"}.get(system, system)
    assert settings.node.api.kind == kind
    assert bool(settings.telemetry.listen) == (system != "rqlite")
    assert (settings.node.api.url is None) == (kind is None)


@pytest.mark.parametrize("path", files("*.hcl"), ids=ids(files("*.hcl")))
def test_what_goes_into_the_node_is_hcl(path: Path) -> None:
    found = hcl2.loads(path.read_text())
    assert set(found) - {"__comments__"} <= {"telemetry", "agent", "agent_prefix", "operator", "path"}
    assert found


def test_telemetry_goes_where_the_sidecar_listens() -> None:
    for path in files("telemetry.hcl"):
        (listen,) = config.load(path.parent / "raft-exporter.yml").telemetry.listen
        assert listen.removeprefix("udp:") in path.read_text(), path


def test_the_users_of_rqlite_are_json() -> None:
    (user,) = json.loads((EXAMPLES / "rqlite" / "auth.json").read_text())
    assert user["perms"] == ["status"]


def test_prometheus_takes_the_scrape_job(need: Need) -> None:
    path = EXAMPLES / "prometheus.yml"
    assert yaml.safe_load(path.read_text())["scrape_configs"]
    promtool = need("promtool", lambda: shutil.which("promtool"))
    result = subprocess.run(
        [promtool, "check", "config", str(path)], capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
