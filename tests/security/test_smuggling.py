"""What a proxy could take for another request than we do, and paths that lead elsewhere.

The rules are those of RFC 9112, sections 2.2, 3.2, 5.1, 5.2, 6.1 to 6.3 and 7.1.
"""

from __future__ import annotations

import json
import socket

import pytest

from tests.security.target import HOST, Target

SMUGGLED = "GET /-/healthy HTTP/1.1\r\nHost: x\r\n\r\n"
"""A request of its own; whoever sees an answer to it has smuggled it."""
PUT = "PUT /api/v1/overrides/n2 HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"

MALFORMED = {
    "both lengths": f"{PUT}Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "both lengths, turned": f"{PUT}Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
    "two lengths": f"{PUT}Content-Length: 0\r\nContent-Length: {len(SMUGGLED)}\r\n\r\n",
    "two equal lengths": f"{PUT}Content-Length: 2\r\nContent-Length: 2\r\n\r\n{{}}",
    "a list of lengths": f"{PUT}Content-Length: 0, {len(SMUGGLED)}\r\n\r\n",
    "a length with a sign": f"{PUT}Content-Length: +0\r\n\r\n",
    "a negative length": f"{PUT}Content-Length: -1\r\n\r\n",
    "a length in hexadecimal": f"{PUT}Content-Length: 0x2\r\n\r\n{{}}",
    "a length beyond all numbers": f"{PUT}Content-Length: 18446744073709551618\r\n\r\n{{}}",
    "a length with a space in it": f"{PUT}Content-Length: 1 2\r\n\r\n",
    "an unknown transfer coding": f"{PUT}Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "chunked and then another": f"{PUT}Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
    "chunked twice": f"{PUT}Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "a folded header": f"{PUT}A: b\r\n Content-Length: 5\r\n\r\n",
    "a folded first header": "GET / HTTP/1.1\r\n Host: x\r\n\r\n",
    "a space before the colon": f"{PUT}Content-Length : {len(SMUGGLED)}\r\n\r\n",
    "a space before the colon of the coding": f"{PUT}Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
    "a header without a name": f"{PUT}: b\r\n\r\n",
    "a header without a colon": f"{PUT}Content-Length 5\r\n\r\n",
    "line feeds alone": "GET /metrics HTTP/1.1\nHost: x\n\n",
    "a carriage return alone": f"{PUT}A: b\rContent-Length: {len(SMUGGLED)}\r\n\r\n",
    "a NUL in a value": f"{PUT}A: b\0c\r\n\r\n",
    "a NUL in a name": f"{PUT}A\0: b\r\n\r\n",
    "a NUL in the path": "GET /metrics\0 HTTP/1.1\r\nHost: x\r\n\r\n",
    "a chunk's size that is none": f"{PUT}Transfer-Encoding: chunked\r\n\r\nxyz\r\n\r\n0\r\n\r\n",
    "a chunk's size with a sign": f"{PUT}Transfer-Encoding: chunked\r\n\r\n-1\r\n\r\n0\r\n\r\n",
    "a chunk's size with 0x": f"{PUT}Transfer-Encoding: chunked\r\n\r\n0x2\r\n{{}}\r\n0\r\n\r\n",
    "a chunk's size beyond all": f"{PUT}Transfer-Encoding: chunked\r\n\r\n{'f' * 17}2\r\n{{}}\r\n0\r\n\r\n",
    "a chunk longer than it says": f"{PUT}Transfer-Encoding: chunked\r\n\r\n1\r\n{{}}\r\n0\r\n\r\n",
    "a line feed alone after a chunk's size": f"{PUT}Transfer-Encoding: chunked\r\n\r\n2\n{{}}\r\n0\r\n\r\n",
    "no host": "GET /metrics HTTP/1.1\r\n\r\n",
    "two hosts": "GET /metrics HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n",
    "a whole URL": "GET http://localhost/metrics HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "a whole URL of another host": "GET http://example.org/metrics HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "a URL of another scheme": "GET file:///etc/passwd HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "an authority": "CONNECT localhost:22 HTTP/1.1\r\nHost: localhost:22\r\n\r\n",
    "an authority of a GET": "GET localhost:22 HTTP/1.1\r\nHost: localhost:22\r\n\r\n",
    "an asterisk": "OPTIONS * HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "no path": "GET  HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "a path without a slash": "GET metrics HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "a space in the path": "GET /metrics /x HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "another protocol": "GET /metrics HTTP/2.0\r\nHost: localhost\r\n\r\n",
    "the preface of HTTP/2": "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "a protocol of 1992": "GET /metrics\r\n",
    "a method that is none": "G=T /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "the beginning of TLS": "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
}
PATHS = (
    *(
        f"/page/{step}"
        for step in ("..", "../", "../app.py", "..%2fapp.py", "%2e%2e%2fapp.py", "%2e%2e/app.py")
    ),
    *("/..", "/../../../../etc/passwd", "/%2e%2e/%2e%2e/etc/passwd", "/..%2f..%2f..%2fetc%2fpasswd"),
    *(
        "/page/..%5c..%5capp.py",
        "/page/..\\app.py",
        "/page/....//....//app.py",
        "/page/%252e%252e%252fapp.py",
    ),
    *("/page/..%c0%afapp.py", "/page/%00", "/page/page.js%00", "/metrics%00", "/%00", "/page//etc/passwd"),
    *(
        "//",
        "//metrics",
        "//etc/passwd",
        "///etc/passwd",
        "//example.org/metrics",
        "/page/",
        "/page",
        "/page/.",
    ),
    *(
        "/.git/config",
        "/static/index.html",
        "/page/index.html",
        "/metrics/",
        "/metrics;x",
        "/%2fmetrics",
        "/./metrics",
    ),
    *(
        "/api/v1/overrides/..",
        "/api/v1/../metrics",
        "/api/v1/overrides/%2e%2e%2f%2e%2e",
        "/%ff%fe",
        "/\xff",
        "/%",
        "/%zz",
    ),
    *("/page/../metrics", "/" + "a" * 8000, "/" + "../" * 2000, "/" + "%2e%2e%2f" * 800),
)


def sent(victim: Target, text: str) -> bytes:
    """Everything that comes back until the connection is closed."""
    with socket.create_connection((HOST, victim.port), timeout=10.0) as sock:
        sock.sendall(text.encode("latin-1"))
        answer = b""
        try:
            while part := sock.recv(65536):
                answer += part
        except ConnectionResetError:
            pass  # it was closed while more was on its way
        return answer


def answers(text: bytes) -> list[tuple[int, bytes]]:
    """The status and body of each answer."""
    found = []
    while text:
        head, _, rest = text.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1."), head
        length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
        found.append((int(head.split()[1]), rest[:length]))
        text = rest[length:]
    return found


@pytest.mark.parametrize("request_", MALFORMED.values(), ids=MALFORMED.keys())
def test_what_can_be_read_in_two_ways_is_refused_and_nothing_behind_it_is_answered(
    victim: Target, request_: str
) -> None:
    ((status, body),) = answers(sent(victim, request_ + SMUGGLED))
    assert 400 <= status < 500
    assert json.loads(body).keys() == {"error"}


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path[:30])
def test_a_path_that_is_none_of_ours_leads_nowhere(victim: Target, path: str) -> None:
    for method in ("GET", "PUT", "DELETE", "POST", "OPTIONS"):
        head = (
            f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
        )
        ((status, body),) = answers(sent(victim, head))
        assert 400 <= status < 500, method
        assert json.loads(body).keys() == {"error"}


def test_requests_behind_each_other_are_answered_in_their_order(victim: Target) -> None:
    wanted = ["/-/healthy", "/nothing", "/-/ready", "/-/healthy"]
    text = "".join(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n" for path in wanted)
    found = answers(sent(victim, f"{text}GET / HTTP/1.0\r\n\r\n"))
    assert [status for status, _ in found] == [200, 404, 200, 200, 200]
    assert found[0] == found[2] == found[3] == (200, b"ok\n")
