"""``raft-exporter check-config``: what is wrong with a configuration file."""

from __future__ import annotations

from pathlib import Path

import click

from raft_exporter import config as configuration
from raft_exporter import web_config
from raft_exporter.reporting import reported


@click.command("check-config")
@click.argument("path", type=click.Path(path_type=Path))
@reported
def check_config(path: Path) -> None:
    """Check a configuration file, and the web configuration that it names.

    One line for each fault; exit code 2 if there is any.
    """
    named = configuration.load(path).web.config_file
    if named is not None:
        web_config.load(Path(named))
    click.echo(f"{path}: ok")
