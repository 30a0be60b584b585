"""Who may change something: the bearer of the token, or, where there is none, this machine alone."""

from __future__ import annotations

import hmac
import ipaddress
import re
from pathlib import Path
from typing import Final

from aiohttp import web

from raft_exporter.errors import StartError, system_reason
from raft_exporter.secret import Secret

_HOST: Final = re.compile(r"(?:\[(?P<v6>[^\]]+)\]|(?P<name>[^:\[\]]+))(?::[0-9]{1,5})?")
_BY_PROXY: Final = ("Forwarded", "X-Forwarded-For", "X-Real-IP", "Via")
_MAX_TOKEN: Final = 4096


def token_from(path: str | None, environment: str | None) -> Secret | None:
    """Give the token of the environment, else that of the file, else None; StartError when it is no token.

    White space around it does not count: editors put a newline at the end of a file.
    """
    source, text = "RAFT_EXPORTER_TOKEN", environment or ""
    if not text and path is not None:
        source = f"web.token_file: {path}"
        try:
            with Path(path).open("rb") as file:
                text = file.read(_MAX_TOKEN + 1).decode("ascii", "replace")
        except OSError as error:
            raise StartError(f"{source}: can't be read: {system_reason(error)}") from error
    elif not text:
        return None
    text = text.strip()
    if not text.isascii() or not text.isprintable() or " " in text or not 1 <= len(text) <= _MAX_TOKEN:
        raise StartError(f"{source}: expected a token of visible ASCII characters, got something else")
    return Secret(text)


def check_access(request: web.Request, token: Secret | None) -> None:
    """Refuse a call that changes something, by HTTPUnauthorized or HTTPForbidden.

    Without a token it must come from a loopback address and through no proxy, name this machine by address
    or as localhost (a page of another site can have its name point here), and be of no other origin.
    """
    if token is not None:
        _check_token(request.headers.get("Authorization", ""), token)
        return
    if any(name in request.headers for name in _BY_PROXY) or not _is_loopback(_peer(request)):
        raise web.HTTPForbidden(
            reason="expected a call from this machine itself: configure a token to allow others"
        )
    if not _is_own_name(request.host):
        raise web.HTTPForbidden(reason="expected the host localhost or an IP address, got another name")
    origin = request.headers.get("Origin")
    if origin is not None and origin.lower() not in {f"{scheme}://{request.host.lower()}" for scheme in _WEB}:
        raise web.HTTPForbidden(reason="expected a call of no other origin")


_WEB: Final = ("http", "https")


def _check_token(given: str, token: Secret) -> None:
    scheme, _, credentials = given.partition(" ")
    right = hmac.compare_digest(
        credentials.strip().encode("utf-8", "surrogateescape"), token.reveal().encode()
    )
    if scheme.lower() != "bearer" or not right:
        raise web.HTTPUnauthorized(
            reason="expected the bearer token of this sidecar", headers={"WWW-Authenticate": "Bearer"}
        )


def _peer(request: web.Request) -> str | None:
    name = request.transport.get_extra_info("peername") if request.transport is not None else None
    return name[0] if isinstance(name, tuple) else None


def _is_loopback(host: str | None) -> bool:
    ip = _ip(host or "")
    if isinstance(ip, ipaddress.IPv6Address) and ip.ipv4_mapped is not None:
        ip = ip.ipv4_mapped
    return ip is not None and ip.is_loopback


def _is_own_name(host: str) -> bool:
    match = _HOST.fullmatch(host)
    if match is None:
        return False
    name = match["v6"] or match["name"]
    return name.lower() == "localhost" or _ip(name) is not None


def _ip(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None
