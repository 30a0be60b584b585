"""``python -m grafana``: writes the dashboards, from which nothing is changed by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from grafana import cluster, exporter, fleet, node
from grafana.release_9_4 import document

DASHBOARDS: Final = Path(__file__).parent / "dashboards"


def documents() -> dict[str, str]:
    """Give each dashboard's JSON by the name of its file."""
    return {
        "raft-fleet.json": document(fleet.build()),
        "raft-cluster.json": document(cluster.build()),
        "raft-node.json": document(node.build()),
        "raft-exporter.json": document(exporter.build()),
    }


def main() -> None:
    """Write them."""
    DASHBOARDS.mkdir(exist_ok=True)
    for name, text in documents().items():
        (DASHBOARDS / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
