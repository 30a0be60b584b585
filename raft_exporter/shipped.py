"""The files that are shipped beside the code: inside the package in a wheel, in the tree in a checkout."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Final

from raft_exporter.errors import RaftExporterError, system_reason

RULE_FILES: Final = ("raft.rules.yml", "raft.alerts.yml")
"""In the order in which they are read: the alerts stand on the recording rules."""

DASHBOARD_FILES: Final = ("raft-fleet.json", "raft-cluster.json", "raft-node.json", "raft-exporter.json")
"""From the whole to the part."""
PROVISIONING_FILES: Final = ("datasources/raft.yml", "dashboards/raft.yml")
"""What has Grafana read the dashboards by itself, where they lie in its folder ``provisioning``."""


def rule_texts() -> dict[str, str]:
    """Give the text of each rule file by its name; RaftExporterError where the installation has none."""
    return {name: _text("rules", name) for name in RULE_FILES}


def dashboard_texts() -> dict[str, str]:
    """Give the text of each dashboard by its name; RaftExporterError where the installation has none."""
    return {name: _text("grafana/dashboards", name) for name in DASHBOARD_FILES}


def provisioning_texts() -> dict[str, str]:
    """Give the text of each of Grafana's provisioning files; RaftExporterError where there are none."""
    return {name: _text("grafana/provisioning", name) for name in PROVISIONING_FILES}


def alertmanager_text() -> str:
    """Give Alertmanager's example configuration; RaftExporterError where the installation has none."""
    return _text("deploy/alertmanager", "alertmanager.yml")


def openbao_policy() -> str:
    """Give the least policy for the sidecar's token; RaftExporterError where the installation has none."""
    return _text("deploy/examples/openbao", "policy.hcl")


def write_out(directory: Path, texts: dict[str, str]) -> Iterator[Path]:
    """Write each text into a file of its name below the directory; RaftExporterError where that fails.

    Gives each path as soon as its file is written.
    """
    for name, text in texts.items():
        path = directory / name
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        except OSError as error:
            raise RaftExporterError(f"{path}: {system_reason(error)}") from error
        yield path


def _text(folder: str, name: str) -> str:
    for place in (files("raft_exporter") / folder, Path(__file__).parents[1] / folder):
        if (place / name).is_file():
            return (place / name).read_text(encoding="utf-8")
    raise RaftExporterError(f"this installation lacks {name}: expected it in the package, or in {folder}/")
