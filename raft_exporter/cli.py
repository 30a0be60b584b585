"""The command line: thin, one function a command.

Exit codes: 0 done; 1 it could not be done; 2 wrong usage or configuration. Every flag can be given as an
environment variable, ``RAFT_EXPORTER_<COMMAND>_<FLAG>``, several values apart by spaces; a secret can be
given in no other way.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import Final

import click

from raft_exporter import __version__

_CONTEXT: Final = {"auto_envvar_prefix": "RAFT_EXPORTER", "help_option_names": ["-h", "--help"]}
_MODULES: Final = {
    "check-config": "check_config_command",
    "dashboards": "dashboards_command",
    "demo": "demo.command",
    "doctor": "doctor_command",
    "events": "events_command",
    "healthcheck": "healthcheck_command",
    "override": "override_command",
    "probe": "probe_command",
    "rehearse": "rehearse_command",
    "rules": "rules_command",
    "run": "run_command",
    "status": "status_command",
}


class _Commands(Mapping[str, click.Command]):
    """Imports a command when it is asked for: a health check every few seconds is to load no web server."""

    def __getitem__(self, name: str) -> click.Command:
        module = import_module(f"raft_exporter.{_MODULES[name]}")
        command: click.Command = getattr(module, name.replace("-", "_"))
        return command

    def __iter__(self) -> Iterator[str]:
        return iter(_MODULES)

    def __len__(self) -> int:
        return len(_MODULES)


@click.group(commands=_Commands(), context_settings=_CONTEXT)
@click.version_option(__version__, prog_name="raft-exporter")
def main() -> None:
    """Prometheus sidecar for HashiCorp Raft: who is really down, seen by whom, how near the quorum is."""
