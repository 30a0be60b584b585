"""What all commands have in common that ask a running sidecar: where it is, and what it is shown."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, Final, TypeVar

import click

from raft_exporter.client import Credentials, SidecarClient
from raft_exporter.errors import ClientError
from raft_exporter.schema import TlsConfig
from raft_exporter.secret import Secret

_F = TypeVar("_F", bound=Callable[..., Any])

TOKEN: Final = "RAFT_EXPORTER_TOKEN"  # noqa: S105 - the name of the variable
"""The environment variable with the bearer token; it can be given in no other way."""
USER: Final = "RAFT_EXPORTER_USER"
PASSWORD: Final = "RAFT_EXPORTER_PASSWORD"  # noqa: S105 - the name of the variable
"""Those with a user's name and password, for a sidecar that asks for them; the token goes before them."""

_META: Final = "raft_exporter.tls_files"
_TLS_FILES: Final = {
    "ca_file": "The CA certificates that are trusted, for https; the usual ones by default.",
    "cert_file": "The client certificate to show.",
    "key_file": "Its key; by default in the same file.",
}


def url_option(command: _F) -> _F:
    """Give a command its ``--url``, and the options for TLS, which :func:`client_of` finds by itself."""
    for name, text in reversed(_TLS_FILES.items()):
        command = click.option(
            f"--{name.replace('_', '-')}",
            type=click.Path(exists=True, dir_okay=False),
            expose_value=False,
            callback=_kept,
            help=text,
        )(command)
    return click.option(
        "--url",
        default="http://127.0.0.1:9641",
        show_default=True,
        callback=_base_url,
        help=f"Base URL of the sidecar. Credentials come from the environment: {TOKEN}, or {USER} and "
        f"{PASSWORD}.",
    )(command)


def client_of(url: str) -> SidecarClient:
    """Make the client of a sidecar, with the environment's credentials; ClientError when half is there."""
    token, user, password = map(os.environ.get, (TOKEN, USER, PASSWORD))
    token = (token or "").strip()
    if not token.isascii() or not token.isprintable():
        raise ClientError(f"{TOKEN}: expected a token of visible ASCII characters, got something else")
    if (user is None) != (password is None) or ":" in (user or ""):
        raise ClientError(f"expected {USER} without a colon and {PASSWORD}, both or neither")
    credentials = Credentials(
        Secret(token) if token else None, user, Secret(password) if password is not None else None
    )
    files: dict[str, str] = click.get_current_context().meta.get(_META, {})
    ca_file, cert_file, key_file = map(files.get, _TLS_FILES)
    if key_file and not cert_file:
        raise click.UsageError("--key-file is the key of --cert-file: expected both")
    return SidecarClient(url, credentials, TlsConfig(ca_file, cert_file, key_file))


def _kept(context: click.Context, parameter: click.Parameter, path: str | None) -> None:
    if path is not None and parameter.name is not None:
        context.meta.setdefault(_META, {})[parameter.name] = path


def _base_url(_: click.Context, __: click.Parameter, text: str) -> str:
    if "@" in text:
        raise click.BadParameter(
            f"expected a URL without a user, as everybody on the machine sees a command line: "
            f"set {USER} and {PASSWORD} in the environment"
        )
    if not text.startswith(("http://", "https://")):
        raise click.BadParameter(f"expected a URL such as http://127.0.0.1:9641, got {text!r}")
    return text
