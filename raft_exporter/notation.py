"""How durations, addresses and server ids are written in the configuration file and in flags.

Every ``parse_`` function takes one text and raises ConfigError with one fault, which says what was
expected and what came. The caller puts the file and key, or the flag, in front of it.
"""

from __future__ import annotations

import ipaddress
import math
import re
import unicodedata
from fractions import Fraction
from pathlib import Path

from raft_exporter.errors import ConfigError

DURATION = "a duration such as '500ms', '1s' or '1m30s'"
ADDRESS = "an address 'host:port', with IPv6 in brackets as in '[::1]:7000'"
LISTEN_ADDRESS = "an address to listen on: 'host:port', '[v6]:port', or ':port' for all addresses"
OBSERVER_LISTEN = "'unix:/path/of/socket' or 'tcp:host:port' on a loopback host"
SERVER_ID = "a server id of 1 to 256 characters, none of them a control character"
SIDECAR_URL = "a sidecar's base URL such as 'http://10.0.0.2:9641', with nothing behind the port"
SIDECAR_TEMPLATE = "a sidecar's base URL with {host} for the member's host, such as 'http://{host}:9641'"
FILE_PATH = "the path of a file"
NODE_URL = "an http or https URL such as 'http://127.0.0.1:8500', without a user"
TELEMETRY_LISTEN = "'udp:host:port' or 'unixgram:/path/of/socket'"
HOST_NAME = "the name of a host"
FIELD_PATH = "keys and positions with dots between them, such as 'raft.peers.0'"
MAX_URL = 512
"""Characters of a sidecar's base URL."""

_UNITS = {
    "d": Fraction(86_400),
    "h": Fraction(3_600),
    "m": Fraction(60),
    "s": Fraction(1),
    "ms": Fraction(1, 1000),
}
# Nine digits hold 31 years in seconds, and keep a hostile text from making a huge number.
_DURATION = re.compile("".join(rf"(?:([0-9]{{1,9}}(?:\.[0-9]{{1,9}})?){unit})?" for unit in _UNITS))
_ADDRESS = re.compile(r"(?:\[(?P<v6>[^\[\]]+)\]|(?P<name>[^\[\]:]*)):(?P<port>0|[1-9][0-9]{0,4})")
_HOST_NAME = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_.-]{0,251}[A-Za-z0-9_.])?")
_IPV6 = re.compile(r"[0-9A-Fa-f:.]+(?:%[A-Za-z0-9_.-]+)?")
_BASE_URL = re.compile(
    r"(?P<scheme>https?)://(?P<host>\[[^\[\]%]+\]|[^\[\]/:@?#%]+)(?::(?P<port>[0-9]{1,5}))?/?"
)
_NODE_URL = re.compile(rf"{_BASE_URL.pattern.removesuffix('/?')}(?:[/?][!-~]*)?")
# sun_path of a Linux Unix socket has 108 bytes, the last of them a zero.
_SOCKET_PATH_BYTES = 107
# A user and a password in front of a host; what stands there is nobody's to see.
_USER = re.compile(r":.*@", re.DOTALL)


def shown(value: object, limit: int = 60) -> str:
    """Write a value for a message: on one line, escaped, and shortened to ``limit`` characters.

    What a URL or an address has before an '@' is not shown, as that may be a password.
    """
    if isinstance(value, str):
        value = _USER.sub(":***@", value)
    match value:
        case None:
            return "nothing"
        case bool():
            return "true" if value else "false"
        case dict():
            return "a mapping"
        case list():
            return "a list"
        case str() if len(value) > limit:
            return f"{value[:limit]!r}... ({len(value)} characters)"
        case str():
            return repr(value)
        case _:
            return str(value)


def one_line(text: str) -> str:
    """Escape whatever would break a line or hide in it; the rest stays as it is."""
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode("ascii") for char in text
    )


def parse_duration(text: str) -> float:
    """Read a duration such as ``500ms``, ``1s``, ``1m30s`` or ``2h`` as seconds.

    Units are d, h, m, s and ms, from the longest to the shortest, each at most once.
    """
    match = _DURATION.fullmatch(text)
    if not text or match is None:
        raise _fault(DURATION, text)
    parts = zip(match.groups(), _UNITS.values(), strict=True)
    return float(sum(Fraction(number) * unit for number, unit in parts if number is not None))


def format_duration(seconds: float) -> str:
    """Write seconds as ``parse_duration`` reads them; whole milliseconds come out exact."""
    if not 0 <= seconds < 1e9:
        return f"{seconds:g}s"
    rest, text = Fraction(round(seconds * 1000), 1000), ""
    if not math.isclose(float(rest), seconds):
        return f"{seconds:g}s"
    for unit, size in _UNITS.items():
        count, rest = divmod(rest, size)
        text += f"{count}{unit}" if count else ""
    return text or "0s"


def parse_address(text: str) -> tuple[str, int]:
    """Read ``host:port`` or ``[v6]:port`` as host (without brackets) and port, 1 to 65535."""
    parts = _split(text)
    if parts is None or not parts[0] or parts[1] == 0:
        raise _fault(ADDRESS, text)
    return parts


def parse_listen_address(text: str) -> tuple[str, int]:
    """Read an address to listen on as host and port.

    An empty host stands for all addresses, port 0 for one that the kernel chooses.
    """
    parts = _split(text)
    if parts is None:
        raise _fault(LISTEN_ADDRESS, text)
    return parts


def parse_observer_listen(text: str) -> Path | tuple[str, int]:
    """Read where the observer connects to: the path of a Unix socket, or a loopback host and port.

    Other hosts are refused: the stream has no authentication.
    """
    scheme, _, rest = text.partition(":")
    if scheme == "unix" and _is_socket_path(rest):
        return Path(rest)
    parts = _split(rest) if scheme == "tcp" else None
    if parts is None or not _is_loopback(parts[0]):
        raise _fault(OBSERVER_LISTEN, text)
    return parts


def parse_telemetry_listen(text: str) -> Path | tuple[str, int]:
    """Read where telemetry comes, or goes on to: the path of a Unix datagram socket, or a host and port."""
    scheme, _, rest = text.partition(":")
    if scheme == "unixgram" and _is_socket_path(rest):
        return Path(rest)
    parts = _split(rest) if scheme == "udp" else None
    if parts is None:
        raise _fault(TELEMETRY_LISTEN, text)
    return parts


def parse_server_id(text: str) -> str:
    """Check a Raft server id and give it back as it is."""
    if not is_text(text, 256):
        raise _fault(SERVER_ID, text)
    return text


def is_text(text: str, limit: int) -> bool:
    """Whether a text has 1 to ``limit`` characters, none of them a control character."""
    return 1 <= len(text) <= limit and not any(
        unicodedata.category(char) in {"Cc", "Cs", "Zl", "Zp"} for char in text
    )


def parse_file_path(text: str) -> str:
    """Check the path of a file and give it back as it is."""
    if not is_text(text, 4096):
        # Not shown: what has lines, or no end, may be the secret or key itself that the file was to hold.
        raise ConfigError([f"expected {FILE_PATH}, got a text of {len(text)} characters"])
    return text


def parse_host_name(text: str) -> str:
    """Check the name or address of a host and give it back as it is."""
    if _HOST_NAME.fullmatch(text) is None and _ip(text) is None:
        raise _fault(HOST_NAME, text)
    return text


def parse_field_path(text: str) -> str:
    """Check where a fact stands in a JSON value, and give it back as it is."""
    if not is_text(text, 256) or "" in text.split("."):
        raise _fault(FIELD_PATH, text)
    return text


def parse_node_url(text: str) -> str:
    """Read an http or https URL, path and query included; no user. No slash at its end."""
    match = _NODE_URL.fullmatch(text) if len(text) <= MAX_URL else None
    if match is None or _split(f"{match['host']}:{match['port'] or 1}") is None or match["port"] == "0":
        raise _fault(NODE_URL, text)
    return text.removesuffix("/")


def parse_sidecar_url(text: str) -> str:
    """Read a sidecar's base URL: http or https, host, port; no user, path or query. No slash at its end."""
    match = _BASE_URL.fullmatch(text) if len(text) <= MAX_URL else None
    if match is None or _split(f"{match['host']}:{match['port'] or 1}") is None or match["port"] == "0":
        raise _fault(SIDECAR_URL, text)
    return text.removesuffix("/")


def parse_sidecar_template(text: str) -> str:
    """Read a base URL in which ``{host}`` stands for the host of a member. No slash at its end."""
    before, host, after = text.partition("{host}")
    try:
        if not host or before not in {"http://", "https://"}:
            raise _fault(SIDECAR_TEMPLATE, text)
        parse_sidecar_url(f"{before}[::1]{after}")
    except ConfigError:
        raise _fault(SIDECAR_TEMPLATE, text) from None
    return text.removesuffix("/")


def host_of_url(url: str) -> str:
    """Give the host of a URL that ``parse_sidecar_url`` took, without brackets."""
    match = _BASE_URL.fullmatch(url)
    return match["host"].strip("[]") if match else ""


def same_host_key(host: str) -> str:
    """Give equal keys for two spellings of one host (case, long and short IPv6)."""
    return str(ipaddress.IPv6Address(host)) if ":" in host else host.lower()


def same_address_key(text: str) -> tuple[str, int]:
    """Give equal keys for two spellings of one address (case, long and short IPv6)."""
    host, port = parse_address(text)
    return (same_host_key(host), port)


def _fault(expected: str, text: str) -> ConfigError:
    return ConfigError([f"expected {expected}, got {shown(text)}"])


def _split(text: str) -> tuple[str, int] | None:
    match = _ADDRESS.fullmatch(text)
    if match is None:
        return None
    v6, name, port = match["v6"], match["name"], int(match["port"])
    if port > 65_535 or not (_is_ipv6(v6) if v6 is not None else _is_host(name)):
        return None
    return (name if v6 is None else v6, port)


def _is_socket_path(text: str) -> bool:
    return text.startswith("/") and text.isprintable() and len(text.encode()) <= _SOCKET_PATH_BYTES


def _is_ipv6(text: str) -> bool:
    return _IPV6.fullmatch(text) is not None and isinstance(_ip(text), ipaddress.IPv6Address)


def _is_host(name: str) -> bool:
    if not name or not name.strip("0123456789."):
        return not name or _ip(name) is not None
    return _HOST_NAME.fullmatch(name) is not None


def _is_loopback(host: str) -> bool:
    ip = _ip(host)
    return host.lower() == "localhost" if ip is None else ip.is_loopback


def _ip(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None
