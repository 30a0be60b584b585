"""Whether a call comes from this machine itself, for who may change something where there is no token."""

from __future__ import annotations

import ipaddress
import re
from typing import Final

from aiohttp import web

_HOST: Final = re.compile(r"(?:\[(?P<v6>[^\]]+)\]|(?P<name>[^:\[\]]+))(?::[0-9]{1,5})?")
_BY_PROXY: Final = ("Forwarded", "X-Forwarded-For", "X-Real-IP", "Via")
_WEB: Final = ("http", "https")


def check_local(request: web.Request) -> None:
    """Refuse, by HTTPForbidden, what is not surely from this machine.

    It must come from a loopback address and through no proxy, name this machine by address or as localhost
    (a page of another site can have its name point here), and be of no other origin.
    """
    if any(name in request.headers for name in _BY_PROXY) or not _is_loopback(peer_of(request)):
        raise web.HTTPForbidden(
            reason="expected a call from this machine itself: configure a token to allow others"
        )
    if not _is_own_name(request.host):
        raise web.HTTPForbidden(reason="expected the host localhost or an IP address, got another name")
    origin = request.headers.get("Origin")
    if origin is not None and origin.lower() not in {f"{scheme}://{request.host.lower()}" for scheme in _WEB}:
        raise web.HTTPForbidden(reason="expected a call of no other origin")


def peer_of(request: web.Request) -> str:
    """Give the address that a request comes from; empty: it is not known."""
    name = request.transport.get_extra_info("peername") if request.transport is not None else None
    return str(name[0]) if isinstance(name, tuple) else ""


def client_of(request: web.Request) -> str:
    """Give what counts as one client: an IPv4 address, or the network of an IPv6 one, all of it a host's."""
    ip = _ip(peer_of(request))
    if isinstance(ip, ipaddress.IPv6Address):
        return str(ipaddress.ip_network((int(ip), 64), strict=False))
    return str(ip)


def _is_loopback(host: str) -> bool:
    ip = _ip(host)
    return ip is not None and ip.is_loopback


def _is_own_name(host: str) -> bool:
    match = _HOST.fullmatch(host)
    if match is None:
        return False
    name = match["v6"] or match["name"]
    return name.lower() == "localhost" or _ip(name) is not None


def _ip(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        ip = ipaddress.ip_address(text)
    except ValueError:
        return None
    return (ip.ipv4_mapped or ip) if isinstance(ip, ipaddress.IPv6Address) else ip
