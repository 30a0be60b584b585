"""An HTTP server of a test's own that says back what it was shown, in every place of an answer."""

from __future__ import annotations

import re
import socketserver
import ssl
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Final

_LONGEST: Final = 64 * 1024
_TOKEN: Final = re.compile(rb"(?im)^x-consul-token: (.*?)\r$")


def told_back(request: bytes) -> Sequence[bytes]:
    """Give answers with the request's token in them, as careless nodes and proxies have it."""
    match = _TOKEN.search(request)
    token = match[1] if match is not None else b"none"
    return (
        _answer(b"Permission denied: token %b" % token, b"403 Forbidden"),
        _answer(b"<p>%b</p>" % token, b"500 Internal Server Error", b"text/html"),
        _answer(b'{"Config": {"NodeID": "%b' % token, kind=b"application/json"),
        _answer(b'{"Config": "%b", "%b": 1}' % (token, token), kind=b"application/json"),
        _answer(b'{"Config": {"Server": "%b"}, "Stats": []}' % token, kind=b"application/json"),
        _answer(b'["%b"]' % token, kind=b"application/json"),
        _answer(b"\xff%b" % token, kind=b"application/json"),
        _answer(b"", kind=b"text/%b" % token),
        _answer(b"", b"307 Temporary Redirect", more=b"Location: http://127.0.0.1:1/%b\r\n" % token),
        _answer(b"", b"599 %b" % token),
        _answer(b"", b"%b OK" % token),
        _answer(b"", more=b"%b\x01: %b\r\n" % (token, token)),
        _answer(b"", more=b"Content-Encoding: %b\r\nSet-Cookie: a=%b\r\n" % (token, token)),
        b"%b\r\n\r\n%b" % (token, token),
        _answer(b"", more=b"Transfer-Encoding: chunked\r\n") + token,
    )


def false_reports(secret: bytes) -> Callable[[bytes], Sequence[bytes]]:
    """Give what makes reports that prove nothing, and answers that are none, with ``secret`` in them."""
    document = b'{"version": 1, "node": {"id": "%b"}, "members": [], "%b": 1}' % (secret, secret)
    return lambda _: (
        _answer(document, kind=b"application/json"),
        _answer(secret, b"401 Unauthorized"),
        _answer(document, kind=b"application/json", more=b"Raft-Report-Proof: %b\r\n" % secret),
        _answer(secret, b"500 Internal Server Error"),
    )


class Echo(socketserver.ThreadingTCPServer):
    """Gives one answer after the other, again and again; ``all_given`` is set after the first time."""

    daemon_threads = True

    def __init__(self, answers: Callable[[bytes], Sequence[bytes]], context: ssl.SSLContext | None) -> None:
        super().__init__(("127.0.0.1", 0), _Connection)
        self.answers = answers
        self.context = context
        self.given = 0
        self.all_given = threading.Event()
        self.turn = threading.Lock()

    @property
    def where(self) -> str:
        """Host and port."""
        return f"127.0.0.1:{self.server_address[1]}"

    def handle_error(self, request: object, client_address: object) -> None:
        """Leave it: whoever asked may go away at any time."""


class _Connection(socketserver.BaseRequestHandler):
    server: Echo

    def handle(self) -> None:
        sock = self.request
        if self.server.context is not None:
            sock = self.server.context.wrap_socket(sock, server_side=True)
        with sock:
            asked = b""
            while b"\r\n\r\n" not in asked and len(asked) < _LONGEST:
                piece = sock.recv(_LONGEST)
                if not piece:
                    return
                asked += piece
            answers = self.server.answers(asked)
            with self.server.turn:
                answer = answers[self.server.given % len(answers)]
                self.server.given += 1
            sock.sendall(answer)
            if self.server.given > len(answers):
                self.server.all_given.set()


@contextmanager
def echo(
    answers: Callable[[bytes], Sequence[bytes]], context: ssl.SSLContext | None = None
) -> Iterator[Echo]:
    """Serve."""
    with Echo(answers, context) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


def _answer(body: bytes, status: bytes = b"200 OK", kind: bytes = b"text/plain", more: bytes = b"") -> bytes:
    head = b"HTTP/1.1 %b\r\nContent-Type: %b\r\nConnection: close\r\n%b" % (status, kind, more)
    return head + b"Content-Length: %d\r\n\r\n%b" % (len(body), body)
