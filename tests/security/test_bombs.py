"""Requests that are far too large: none costs memory, and the next scrape is served."""

from __future__ import annotations

import itertools
import socket
import threading
import time
import zlib
from collections.abc import Iterable, Iterator

import pytest

from tests.security.target import HOST, Target
from tests.security.test_smuggling import PUT

MEGABYTE = 1 << 20
SIZE = 100 * MEGABYTE
PATIENCE = 5.0
"""Seconds, half of what Prometheus gives a scrape: a busy machine takes one of them."""
GROWTH = 24 * MEGABYTE
"""What the target may have taken, with the buffers of one connection and whatever Python keeps for later."""

BLOCK = b"a" * 65536
GET = "GET /metrics HTTP/1.1\r\nHost: localhost\r\n"


def repeated(block: bytes) -> Iterator[bytes]:
    return itertools.repeat(block, SIZE // len(block))


def packed(head: str) -> Iterator[bytes]:
    """A hundred megabytes of zeros, as gzip."""
    pack = zlib.compressobj(1, wbits=31)
    body = b"".join([*map(pack.compress, repeated(bytes(MEGABYTE))), pack.flush()])
    yield f"{head}Content-Encoding: gzip\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    yield body


def with_head(head: str, rest: Iterable[bytes]) -> Iterator[bytes]:
    return itertools.chain([head.encode()], rest)


BOMBS = {
    "a body of known length": with_head(f"{PUT}Content-Length: {SIZE}\r\n\r\n", repeated(BLOCK)),
    "a body that nobody asked for": with_head(f"{GET}Content-Length: {SIZE}\r\n\r\n", repeated(BLOCK)),
    "a body in chunks": with_head(
        f"{PUT}Transfer-Encoding: chunked\r\n\r\n", repeated(b"10000\r\n%b\r\n" % BLOCK)
    ),
    "a body in chunks of one byte": with_head(
        f"{PUT}Transfer-Encoding: chunked\r\n\r\n", repeated(b"1\r\na\r\n" * 10000)
    ),
    "one endless chunk": with_head(f"{PUT}Transfer-Encoding: chunked\r\n\r\nffffffff\r\n", repeated(BLOCK)),
    "a chunk's endless extension": with_head(f"{PUT}Transfer-Encoding: chunked\r\n\r\n1;", repeated(BLOCK)),
    "an endless trailer": with_head(
        f"{PUT}Transfer-Encoding: chunked\r\n\r\n0\r\n", repeated(b"a: b\r\n" * 10000)
    ),
    "a packed body": packed(PUT),
    "a packed body that nobody asked for": packed(GET),
    "a header line of a megabyte": [GET.encode(), b"A: ", b"a" * MEGABYTE, b"\r\n\r\n"],
    "a name of a megabyte": [GET.encode(), b"a" * MEGABYTE, b": b\r\n\r\n"],
    "a path of a megabyte": [b"GET /", b"a" * MEGABYTE, b" HTTP/1.1\r\nHost: x\r\n\r\n"],
    "a method of a megabyte": [b"a" * MEGABYTE, b" / HTTP/1.1\r\nHost: x\r\n\r\n"],
    "ten thousand headers": [GET.encode(), *(b"a%d: b\r\n" % number for number in range(10000)), b"\r\n"],
    "endless headers": with_head(GET, repeated(b"a: b\r\n" * 10000)),
    "endless large headers": with_head(GET, repeated(b"a: %b\r\n" % (b"b" * 8000))),
    "endless empty lines": repeated(b"\r\n" * 32768),
    "ten thousand requests": [b"GET /-/healthy HTTP/1.1\r\nHost: x\r\n\r\n" * 10000],
}


class Sender(threading.Thread):
    """Sends all of it, or as much as is taken; what is answered is read and thrown away, or not read."""

    def __init__(self, victim: Target, bomb: Iterable[bytes], *, reads: bool) -> None:
        super().__init__()
        self._bomb = bomb
        self.sock = socket.create_connection((HOST, victim.port))
        self._reader = threading.Thread(target=self._read) if reads else None

    def run(self) -> None:
        if self._reader:
            self._reader.start()
        try:
            for block in self._bomb:
                self.sock.sendall(block)
            self.sock.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # enough of it
        if self._reader:
            self._reader.join()

    def _read(self) -> None:
        try:
            while self.sock.recv(MEGABYTE):
                pass
        except OSError:
            pass


def scrape(victim: Target) -> float:
    """Scrape on a new connection; give the seconds it took."""
    began = time.monotonic()
    with socket.create_connection((HOST, victim.port), timeout=10.0) as sock:
        sock.sendall(f"{GET}Connection: close\r\n\r\n".encode())
        answer = b"".join(iter(lambda: sock.recv(65536), b""))
    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b'raft_series{number="199"} 199.0' in answer
    return time.monotonic() - began


@pytest.mark.parametrize("bomb", BOMBS.values(), ids=BOMBS.keys())
def test_a_request_that_is_far_too_large_costs_no_memory_and_no_scrape(
    victim: Target, bomb: Iterable[bytes]
) -> None:
    scrape(victim)
    before = victim.resident
    sender = Sender(victim, bomb, reads=True)
    sender.start()
    slowest, most = 0.0, before
    while sender.is_alive():
        slowest = max(slowest, scrape(victim))
        most = max(most, victim.resident)
        sender.join(0.05)
    sender.sock.close()
    assert slowest < PATIENCE
    assert most - before < GROWTH


def test_answers_that_are_not_read_are_not_made(victim: Target) -> None:
    scrape(victim)
    before = victim.resident
    wanted = b"GET /page/page.js HTTP/1.1\r\nHost: x\r\n\r\n" * 10000
    senders = [Sender(victim, [wanted], reads=False) for _ in range(20)]
    try:
        for sender in senders:
            sender.start()
        assert max(scrape(victim) for _ in range(20)) < PATIENCE
        assert victim.resident - before < GROWTH
    finally:
        for sender in senders:
            sender.sock.shutdown(socket.SHUT_RDWR)
            sender.join()
            sender.sock.close()
