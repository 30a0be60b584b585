"""``raft-exporter dashboards``: the shipped dashboards, verbatim, as files or in ConfigMaps."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result

from raft_exporter import shipped
from raft_exporter.cli import main
from raft_exporter.shipped import DASHBOARD_FILES, PROVISIONING_FILES, dashboard_texts, provisioning_texts

ROOT = Path(__file__).parents[1]
GRAFANA = ROOT / "grafana"
FILES = [f"dashboards/{name}" for name in DASHBOARD_FILES] + [
    f"provisioning/{name}" for name in PROVISIONING_FILES
]
KUBECTL_APPLY = 262144
"""Bytes that a resource's annotations may have; ``kubectl apply`` notes the whole resource in one of them."""


def run(*flags: str, env: dict[str, str] | None = None) -> Result:
    return CliRunner().invoke(main, ["dashboards", *flags], env=env)


def printed(*flags: str) -> str:
    result = run(*flags)
    assert (result.exit_code, result.stderr) == (0, "")
    return result.stdout


def config_maps(*flags: str) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all(printed("--format", "kubernetes", *flags)))


def test_all_that_is_there_is_shipped() -> None:
    assert sorted(DASHBOARD_FILES) == sorted(path.name for path in (GRAFANA / "dashboards").iterdir())
    found = (GRAFANA / "provisioning").rglob("*.yml")
    assert sorted(PROVISIONING_FILES) == sorted(
        str(path.relative_to(GRAFANA / "provisioning")) for path in found
    )


def test_the_files_are_written_as_they_are_into_directories_that_are_made(tmp_path: Path) -> None:
    place = tmp_path / "etc" / "grafana"
    assert printed("--to", str(place)) == "".join(f"wrote {place / name}\n" for name in FILES)
    assert sorted(str(path.relative_to(place)) for path in place.rglob("*.*")) == sorted(FILES)
    for name in FILES:
        assert (place / name).read_bytes() == (GRAFANA / name).read_bytes()


def test_each_dashboard_is_a_config_map_that_grafanas_helm_charts_find() -> None:
    maps = config_maps()
    assert [one["metadata"]["name"] for one in maps] == [
        f"raft-exporter-dashboard-{which}" for which in ("fleet", "cluster", "node", "exporter")
    ]
    assert {(one["apiVersion"], one["kind"]) for one in maps} == {("v1", "ConfigMap")}
    assert all(one["metadata"]["labels"] == {"grafana_dashboard": "1"} for one in maps)
    assert {name: text for one in maps for name, text in one["data"].items()} == dashboard_texts()


def test_no_config_map_is_too_large_for_kubectl_apply() -> None:
    assert max(len(json.dumps(one).encode()) for one in config_maps()) < KUBECTL_APPLY


def test_config_maps_have_the_namespace_and_the_labels_that_are_asked_for() -> None:
    for one in config_maps("--namespace", "monitoring", "--label", "a=b", "--label", "grafana_dashboard=yes"):
        assert one["metadata"]["namespace"] == "monitoring"
        assert one["metadata"]["labels"] == {"grafana_dashboard": "yes", "a": "b"}


def test_config_maps_go_into_one_file(tmp_path: Path) -> None:
    path = tmp_path / "raft-exporter.dashboards.yml"
    assert printed("--format", "kubernetes", "--to", str(tmp_path)) == f"wrote {path}\n"
    assert path.read_text() == printed("--format", "kubernetes")


def test_every_flag_can_be_given_in_the_environment() -> None:
    result = run(
        env={"RAFT_EXPORTER_DASHBOARDS_FORMAT": "kubernetes", "RAFT_EXPORTER_DASHBOARDS_LABEL": "a=1 b=2"}
    )
    first = next(iter(yaml.safe_load_all(result.stdout)))
    assert first["metadata"]["labels"] == {"grafana_dashboard": "1", "a": "1", "b": "2"}


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ((), "expected --to DIR: these are several files"),
        (
            ("--to", "x", "--namespace", "monitoring"),
            "--namespace and --label are of use with --format kubernetes",
        ),
        (
            ("--to", "x", "--label", "a=b"),
            "--namespace and --label are of use with --format kubernetes alone",
        ),
        (("--format", "kubernetes", "--label", "release"), "expected KEY=VALUE, as Kubernetes takes labels"),
        (("--format", "kubernetes", "--namespace", "Up"), "expected the name of a Kubernetes namespace"),
        (("--format", "json"), "is not one of 'grafana', 'kubernetes'"),
    ],
)
def test_wrong_usage_is_said_in_one_line(flags: tuple[str, ...], said: str) -> None:
    result = run(*flags)
    assert (result.exit_code, result.stdout) == (2, "")
    assert said in result.stderr.splitlines()[-1]


def test_a_place_that_cannot_be_written_is_said_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("")
    result = run("--to", str(tmp_path / "taken"))
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == f"raft-exporter: {tmp_path}/taken/dashboards/raft-fleet.json: Not a directory\n"


def test_an_installation_without_the_files_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(shipped, "files", lambda _: tmp_path)
    monkeypatch.setattr(shipped, "__file__", str(tmp_path / "raft_exporter" / "shipped.py"))
    result = run("--format", "kubernetes")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == (
        "raft-exporter: this installation lacks raft-fleet.json: expected it in the package, or in "
        "grafana/dashboards/\n"
    )


def test_the_provisioning_files_say_what_grafana_asks_for() -> None:
    files = {name: yaml.safe_load(text) for name, text in provisioning_texts().items()}
    assert all(file["apiVersion"] == 1 for file in files.values())
    (datasource,) = files["datasources/raft.yml"]["datasources"]
    assert (datasource["type"], datasource["url"]) == ("prometheus", "http://localhost:9090")
    assert "uid" not in datasource
    (provider,) = files["dashboards/raft.yml"]["providers"]
    assert (provider["type"], provider["options"]["path"]) == ("file", "/var/lib/grafana/dashboards")
