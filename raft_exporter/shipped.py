"""The files that are shipped beside the code: inside the package in a wheel, in the tree in a checkout."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import Final

from raft_exporter.errors import RaftExporterError

RULE_FILES: Final = ("raft.rules.yml", "raft.alerts.yml")
"""In the order in which they are read: the alerts stand on the recording rules."""


def rule_texts() -> dict[str, str]:
    """Give the text of each rule file by its name; RaftExporterError where the installation has none."""
    return {name: _text("rules", name) for name in RULE_FILES}


def alertmanager_text() -> str:
    """Give Alertmanager's example configuration; RaftExporterError where the installation has none."""
    return _text("deploy/alertmanager", "alertmanager.yml")


def _text(folder: str, name: str) -> str:
    for place in (files("raft_exporter") / folder, Path(__file__).parents[1] / folder):
        if (place / name).is_file():
            return (place / name).read_text(encoding="utf-8")
    raise RaftExporterError(f"this installation lacks {name}: expected it in the package, or in {folder}/")
