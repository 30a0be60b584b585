"""What all commands have in common that ask a running sidecar: where it is, and the token."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, Final, TypeVar

import click

from raft_exporter.client import SidecarClient
from raft_exporter.secret import Secret

_F = TypeVar("_F", bound=Callable[..., Any])

TOKEN: Final = "RAFT_EXPORTER_TOKEN"  # noqa: S105 - the name of the variable
"""The environment variable with the bearer token; it can be given in no other way."""


def url_option(command: _F) -> _F:
    """Give a command its ``--url``."""
    return click.option(
        "--url",
        default="http://127.0.0.1:9641",
        show_default=True,
        callback=_base_url,
        help="Base URL of the sidecar.",
    )(command)


def client_of(url: str) -> SidecarClient:
    """Make the client of a sidecar, with the token of the environment."""
    token = os.environ.get(TOKEN)
    return SidecarClient(url, Secret(token) if token else None)


def _base_url(_: click.Context, __: click.Parameter, text: str) -> str:
    if not text.startswith(("http://", "https://")):
        raise click.BadParameter(f"expected a URL such as http://127.0.0.1:9641, got {text!r}")
    return text
