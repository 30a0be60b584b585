"""How a command ends: an error of ours is its lines on standard error and an exit code, never a traceback."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from typing import ParamSpec

import click

from raft_exporter.errors import ConfigError, RaftExporterError

_P = ParamSpec("_P")


def reported(command: Callable[_P, None]) -> Callable[_P, None]:
    """Turn an error of ours into its lines on standard error and an exit code."""

    @functools.wraps(command)
    def run(*args: _P.args, **kwargs: _P.kwargs) -> None:
        try:
            command(*args, **kwargs)
        except ConfigError as error:
            for fault in error.faults:
                click.echo(fault, err=True)
            sys.exit(2)
        except RaftExporterError as error:
            click.echo(f"raft-exporter: {error}", err=True)
            sys.exit(1)
        except KeyboardInterrupt:
            sys.exit(130)

    return run
