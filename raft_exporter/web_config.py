"""Prometheus' web configuration file: TLS, basic auth, headers and a rate limit of the HTTP server.

The format is that of the exporter-toolkit, docs/web-configuration.md there. What it can ask of Go and not of
Python is a fault. Relative paths are relative to the file.
"""

from __future__ import annotations

import ipaddress
import re
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Final, Literal, TypeAlias

import bcrypt
import msgspec
from msgspec import Meta, Struct

from raft_exporter import notation
from raft_exporter.bounds import check_bounds
from raft_exporter.errors import ConfigError, system_reason
from raft_exporter.file_state import FileState, state_of
from raft_exporter.notation import parse_duration, shown
from raft_exporter.server_tls import TlsServerConfig, server_context
from raft_exporter.strict_yaml import MAX_BYTES, Faults, Notation, Tree, join_path, read_tree, to_struct

MAX_COST: Final = 14
"""The most that a bcrypt hash may cost: more keeps a processor busy for seconds, at each wrong password."""

_HASH: Final = re.compile(r"(?P<salt>\$2[aby]\$(?P<cost>[0-9]{2})\$[./A-Za-z0-9]{22})[./A-Za-z0-9]{31}")
_SECRET_KEYS: Final = re.compile(r"|basic_auth_users.*|tls_server_config(\.(cert|key|client_ca))?", re.DOTALL)
_HEADER: Final = "a header's value of visible ASCII characters and spaces"


def _header(text: str) -> str:
    if not (text.isascii() and text.isprintable()):
        raise ConfigError([f"expected {_HEADER}, got {shown(text)}"])
    return text.strip()


_Header: TypeAlias = Annotated[str, Notation(_HEADER, _header)]


class HeadersConfig(Struct, frozen=True):
    """Headers of every answer; they go over those that the server sets by itself. An empty one is not set."""

    csp: Annotated[_Header, Meta(description="What a page may load.")] = msgspec.field(
        default="", name="Content-Security-Policy"
    )
    frame: Annotated[
        Literal["", "deny", "sameorigin"], Meta(description="Whose pages may have it in a frame.")
    ] = msgspec.field(default="", name="X-Frame-Options")
    content_type: Annotated[
        Literal["", "nosniff"], Meta(description="Whether a browser may guess a content's type.")
    ] = msgspec.field(default="", name="X-Content-Type-Options")
    xss: Annotated[_Header, Meta(description="What old browsers filter.")] = msgspec.field(
        default="", name="X-XSS-Protection"
    )
    sts: Annotated[_Header, Meta(description="For how long browsers insist on TLS.")] = msgspec.field(
        default="", name="Strict-Transport-Security"
    )


class HttpServerConfig(Struct, frozen=True):
    """The section ``http_server_config``."""

    http2: Annotated[bool, Meta(description="HTTP/2, which there is not: false, or not given.")] = False
    headers: Annotated[HeadersConfig, Meta(description="Headers of every answer.")] = HeadersConfig()


class RateLimitConfig(Struct, frozen=True):
    """The section ``rate_limit``: of all requests together, the reports' too."""

    interval: Annotated[
        float,
        Notation(notation.DURATION, parse_duration),
        Meta(ge=0.0, le=3600.0, description="Time from one request to the next; 0 is no limit."),
    ] = 0.0
    burst: Annotated[int, Meta(ge=0, le=1_000_000, description="Requests that may come at once.")] = 0


class WebFile(Struct, frozen=True):
    """The whole file."""

    tls_server_config: Annotated[TlsServerConfig, Meta(description="TLS.")] = TlsServerConfig()
    http_server_config: Annotated[HttpServerConfig, Meta(description="HTTP.")] = HttpServerConfig()
    basic_auth_users: Annotated[
        None, Meta(description="By name the bcrypt hash of a user's password; all may read everything.")
    ] = None
    rate_limit: Annotated[RateLimitConfig, Meta(description="How many requests are answered.")] = (
        RateLimitConfig()
    )


@dataclass(frozen=True)
class WebSettings:
    """What the file says, ready for use. It never shows what is secret."""

    context: ssl.SSLContext | None = field(default=None, repr=False)
    """What connections are accepted with; None without TLS."""
    requires_certificate: bool = False
    allowed_sans: frozenset[str] | None = None
    """Of these a client's certificate has to have one; as ``san`` writes them."""
    users: Mapping[str, bytes] = field(default_factory=dict, repr=False)
    """By name the bcrypt hash of the password."""
    headers: Mapping[str, str] = field(default_factory=dict)
    rate_limit: RateLimitConfig = field(default_factory=RateLimitConfig)
    files: tuple[Path, ...] = ()
    """The file itself, and those that it names."""
    state: FileState = ()
    """What ``files`` were like before they were read."""

    def changed(self) -> bool:
        """Whether one of the files is another one by now."""
        return state_of(self.files) != self.state


def san(text: str) -> str:
    """Write a Subject Alternate Name in the one way in which two are compared."""
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        return text


def load(path: Path) -> WebSettings:
    """Read a web configuration file and all that it names; ConfigError has a line for each fault.

    No line shows a key, a hash or what stands in their place.
    """
    faults = _DiscreetFaults(str(path))
    before = state_of([path])
    tree = read_tree(_text(path, faults), faults)
    file, users = _read(tree, faults)
    faults.raise_any()
    tls = file.tls_server_config
    named = [path.parent / each for each in (tls.cert_file, tls.key_file, tls.client_ca_file) if each]
    state = before + state_of(named)
    context = server_context(tls, path.parent, "tls_server_config", faults) if tls.wanted else None
    _check(file, faults)
    faults.raise_any()
    headers = msgspec.to_builtins(file.http_server_config.headers)
    sans = tls.client_allowed_sans
    return WebSettings(
        context=context,
        requires_certificate=tls.requires_certificate,
        allowed_sans=None if sans is None else frozenset(map(san, sans)),
        users=users,
        headers={name: value for name, value in headers.items() if value},
        rate_limit=file.rate_limit,
        files=(path, *named),
        state=state,
    )


class _DiscreetFaults(Faults):
    """Faults that don't show what came where a secret may have been put."""

    def add(self, path: str, text: str) -> None:
        if _SECRET_KEYS.fullmatch(path) or "PRIVATE KEY" in text:
            text = text.partition(", got ")[0]
        super().add(path, text)


def _text(path: Path, faults: Faults) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)  # one more is enough for ``read_tree`` to refuse it
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        faults.add("", "expected UTF-8 of at most 1 MiB")
    except OSError as error:
        faults.add("", f"expected a file that can be read: {system_reason(error)}")
    raise faults.error()


def _read(tree: Tree, faults: Faults) -> tuple[WebFile, dict[str, bytes]]:
    users: dict[str, bytes] = {}
    if isinstance(tree, dict):
        # Their keys are names, so that no struct can have them.
        users = _users(tree.pop("basic_auth_users", None), "basic_auth_users", faults)
        limit = tree.get("rate_limit")
        if isinstance(limit, dict) and limit.get("interval") == 0 and limit["interval"] is not False:
            del limit["interval"]  # as the format has it: 0, without a unit, is no limit
    return to_struct(tree, WebFile, "", faults), users


def _users(tree: Tree, path: str, faults: Faults) -> dict[str, bytes]:
    if tree is None:
        return {}
    if not isinstance(tree, dict):
        faults.add(path, "expected names, and a bcrypt hash for each")
        return {}
    users = {}
    for name, value in tree.items():
        fault = _fault_of_user(name, value)
        if fault:
            faults.add(join_path(path, name), fault)
        else:
            users[name] = str(value).encode()
    return users


def _fault_of_user(name: str, value: Tree) -> str | None:
    match = _HASH.fullmatch(value) if isinstance(value, str) else None
    if not name or ":" in name:
        return "expected a name without a colon"
    if match is None:
        return "expected a bcrypt hash such as 'htpasswd -nBC 10 NAME' prints behind the colon"
    if not 4 <= int(match["cost"]) <= MAX_COST:
        return f"expected a bcrypt hash of a cost from 4 to {MAX_COST}, got {match['cost']}"
    try:
        bcrypt.hashpw(b"", re.sub(r"\$[0-9]{2}\$", "$04$", match["salt"]).encode())
    except ValueError:
        return "expected a bcrypt hash, got one whose salt bcrypt does not take"
    return None


def _check(file: WebFile, faults: Faults) -> None:
    check_bounds(file, "", faults)
    if file.http_server_config.http2:
        faults.add("http_server_config.http2", "expected false, or no such key: HTTP/2 is not spoken")
    tls, defaults = file.tls_server_config, TlsServerConfig()
    if not tls.wanted and tls != defaults:
        faults.add("tls_server_config", "expected cert_file and key_file: without them there is no TLS")
    if file.rate_limit.interval and not file.rate_limit.burst:
        faults.add("rate_limit.burst", "expected at least 1 where there is an interval")
