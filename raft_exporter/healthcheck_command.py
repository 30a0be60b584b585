"""``raft-exporter healthcheck``: whether a sidecar's event loop turns, for a container's health check.

It runs every few seconds beside the sidecar: it imports little, asks once, and ends within two seconds.
"""

from __future__ import annotations

import contextlib
import http.client
import ipaddress
import signal
import ssl
from collections.abc import Iterator
from typing import Final
from urllib.parse import SplitResult, urlsplit

import click

from raft_exporter.errors import ClientError, system_reason
from raft_exporter.reporting import reported

_PATH: Final = "/-/healthy"
_WITHIN: Final = 2.0
_ALIVE: Final = {200, 401, 429}
"""To refuse a caller without credentials, or one of too many, takes a loop that turns, too."""


def _base_url(_: click.Context, __: click.Parameter, text: str) -> SplitResult:
    visible = text.isascii() and text.isprintable() and " " not in text
    with contextlib.suppress(ValueError):  # of a name or a port that is none
        url = urlsplit(text)
        name = (url.hostname or "").encode("idna")
        if visible and url.scheme in {"http", "https"} and name and url.port != 0 and "@" not in url.netloc:
            return url
    raise click.BadParameter("expected a URL such as http://127.0.0.1:9641, and no password in it")


@click.command()
@click.option(
    "--url",
    default="http://127.0.0.1:9641",
    show_default=True,
    callback=_base_url,
    help="Base URL of the sidecar; of loopback addresses any certificate is taken.",
)
@reported
def healthcheck(url: SplitResult) -> None:
    """Tell whether a sidecar's event loop turns: exit code 0 when it answers within 2 s, 1 otherwise.

    Meant for the health check of a container. Whether the sidecar can judge is another question: /-/ready.
    """
    shown = f"{url.scheme}://{url.netloc}{url.path.rstrip('/')}{_PATH}"
    try:
        with _deadline(_WITHIN):
            fault = _fault_of(url)
    except TimeoutError as error:
        raise ClientError(f"{shown}: no answer within {_WITHIN:g} s") from error
    except http.client.HTTPException as error:
        raise ClientError(f"{shown}: no HTTP was answered: is it https?") from error
    except OSError as error:
        raise ClientError(f"{shown}: {_reason(error)}") from error
    if fault is not None:
        raise ClientError(f"{shown}: {fault}")
    click.echo(f"{shown}: ok")


def _fault_of(url: SplitResult) -> str | None:
    """Ask once, and give what is wrong with the answer; OSError or HTTPException where there is none."""
    host = url.hostname or ""
    if url.scheme == "http":
        return _answer_of(http.client.HTTPConnection(host, url.port), url.path)
    connection = http.client.HTTPSConnection(host, url.port, context=_context(host))
    try:
        return _answer_of(connection, url.path)
    except (ssl.SSLEOFError, http.client.RemoteDisconnected, ConnectionResetError, BrokenPipeError):
        # It asks for a client certificate: asyncio then hangs up with no alert. That takes a loop that turns.
        return None
    except ssl.SSLError as error:
        if "_ALERT_" in (error.reason or ""):
            return None
        raise


def _answer_of(connection: http.client.HTTPConnection, path: str) -> str | None:
    with contextlib.closing(connection):
        connection.request("GET", path.rstrip("/") + _PATH, headers={"Connection": "close"})
        status = connection.getresponse().status
    return None if status in _ALIVE else f"expected status 200, got {status}"


def _context(host: str) -> ssl.SSLContext:
    if not _is_loopback(host):
        return ssl.create_default_context()
    # Nobody is on the way who could be told apart, and its certificate is for the name that the others know.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _reason(error: OSError) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not trusted: {error.verify_message}"
    if isinstance(error, ssl.SSLError):
        return (
            "no TLS was answered: is it http?"
            if error.reason == "WRONG_VERSION_NUMBER"
            else f"{error.reason}"
        )
    return system_reason(error)


@contextlib.contextmanager
def _deadline(seconds: float) -> Iterator[None]:
    """Raise TimeoutError after so many seconds in all: a socket's own timeout is one for each piece."""

    def end(_: int, __: object) -> None:
        raise TimeoutError

    before = signal.signal(signal.SIGALRM, end)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
