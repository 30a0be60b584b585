"""Make the pictures of the README, from a real incident; it takes about eight minutes."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Final

import click
from playwright.sync_api import Page

from pictures.camera import Frame, camera
from pictures.play import play
from pictures.timeline import document
from raft_exporter.demo.cluster import SidecarProcess
from raft_exporter.reporting import reported

_REPOSITORY: Final = Path(__file__).resolve().parents[1]
FOLDER: Final = _REPOSITORY / "docs" / "pictures"
STYLES: Final = (
    _REPOSITORY / "raft_exporter" / "web" / "static" / "page.css",
    Path(__file__).with_name("alerts.css"),
)
FRAMES: Final = {"page": Frame(1440, 1), "alerts": Frame(992, 1.5)}
"""By the name of the picture."""


@click.command(help=__doc__)
@reported
def main() -> None:
    """Play the incident and take the pictures."""
    FOLDER.mkdir(exist_ok=True)
    with camera(FOLDER) as taken, tempfile.TemporaryDirectory(prefix="raft-pictures-") as home:

        def look(sidecar: SidecarProcess) -> None:
            def live(page: Page) -> None:
                page.goto(sidecar.url)
                page.locator("#live[data-live=live]").wait_for()

            taken.take("page", FRAMES["page"], live)

        incident = play(Path(home), look)
        drawn = document(incident, [style.read_text() for style in STYLES])
        taken.take("alerts", FRAMES["alerts"], lambda page: page.set_content(drawn))
    for name in FRAMES:
        click.echo(f"{FOLDER / name}.png, and a dark one")


if __name__ == "__main__":
    main()
