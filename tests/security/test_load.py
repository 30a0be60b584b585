"""Far more clients than there are places, and scrapes that go on."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from raft_exporter.web.connections import MAX_OPEN
from tests.security.target import HOST, Target, all_descriptors
from tests.security.test_bombs import MEGABYTE, scrape

MANY = 10_000
LOT = 500
SLOW = 500
OTHERS = 100
"""Descriptors that each of the two processes needs for anything else."""


class Scraper(threading.Thread):
    """Scrapes on a new connection every 50 ms, until it is told that it is enough."""

    def __init__(self, victim: Target) -> None:
        super().__init__()
        self._victim = victim
        self._enough = threading.Event()
        self.took: list[float] = []
        self.failed: Exception | None = None

    def run(self) -> None:
        try:
            while not self._enough.wait(0.05):
                self.took.append(scrape(self._victim))
        except Exception as error:
            self.failed = error

    def stop(self) -> None:
        self._enough.set()
        self.join()


@contextmanager
def scrapes_that_go_on(victim: Target, within: float) -> Iterator[None]:
    """Scrape all the while, and at least twenty times: each within so many seconds."""
    scraper = Scraper(victim)
    scraper.start()
    try:
        yield
        while scraper.failed is None and len(scraper.took) < 20:
            time.sleep(0.01)
    finally:
        scraper.stop()
    if scraper.failed is not None:
        raise scraper.failed
    assert max(scraper.took) < within


def connection(victim: Target, everything: ExitStack) -> socket.socket:
    sock = everything.enter_context(socket.socket())
    sock.connect((HOST, victim.port))
    sock.setblocking(False)
    return sock


def test_five_hundred_slow_clients_keep_no_scrape_waiting(victim: Target) -> None:
    everyone = ExitStack()
    with everyone, scrapes_that_go_on(victim, within=1.0):
        slow = [connection(victim, everyone) for _ in range(SLOW)]
        for byte in b"GET /metrics HTTP/1.1\r\n":
            for sock in slow:
                sock.send(bytes([byte]))
            time.sleep(0.05)
        assert victim.descriptors > SLOW  # none is out of its time yet


def test_ten_thousand_connections_leave_room_for_scrapes(victim: Target) -> None:
    many = min(MANY, all_descriptors() - OTHERS)
    scrape(victim)
    before = victim.resident
    everyone = ExitStack()
    with everyone, scrapes_that_go_on(victim, within=5.0):
        for number in range(many):
            connection(victim, everyone)
            if number % LOT == 0:
                scrape(victim)  # those before it are accepted by now
        assert MAX_OPEN / 2 < victim.descriptors < MAX_OPEN + OTHERS
        assert victim.resident - before < 64 * MEGABYTE
