"""The HTTP server on real sockets: addresses and TLS that change, and limits by a clock of the test's own."""

from __future__ import annotations

import asyncio
import errno
import gc
import os
import socket
import ssl
from asyncio.sslproto import SSLProtocol
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest
import trustme
from aiohttp import ClientSession, TCPConnector, web

from raft_exporter.errors import StartError
from raft_exporter.web import listening, server
from raft_exporter.web.connections import HEADER_SECONDS, LEAVE_SECONDS, UNREAD_SECONDS
from raft_exporter.web.server import WebServer
from tests.waiting import until

HOST = "127.0.0.1"
ANY = f"{HOST}:0"


class Site:
    """A server whose requests wait for the test's word, where they ask for that."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.counted: Counter[str] = Counter()
        self.go_on = asyncio.Event()
        self.waiting = 0
        self.stopped = False
        self.turn = 0
        self.began_at: list[int] = []
        app = web.Application()
        for name in ("hello", "wait", "large", "body", "broken", "begin"):
            app.router.add_get(f"/{name}".removesuffix("hello"), getattr(self, f"_{name}"))
        app.on_shutdown.append(self._on_shutdown)
        self.server = WebServer(app, lambda reason: self.counted.update([reason]), lambda: self.now)

    async def change(self, *listen: str, context: ssl.SSLContext | None = None) -> list[str]:
        """Take up a configuration; give the base URLs."""
        await (await self.server.prepare(listen, context)).commit()
        return self.server.urls

    @property
    def port(self) -> int:
        return int(self.server.urls[0].rpartition(":")[2])

    async def _hello(self, _: web.Request) -> web.Response:
        return web.Response(text="hello")

    async def _wait(self, _: web.Request) -> web.Response:
        self.waiting += 1
        await self.go_on.wait()
        return web.Response(text="waited")

    async def _large(self, _: web.Request) -> web.Response:
        return web.Response(body=bytes(16 << 20))

    async def _body(self, request: web.Request) -> web.Response:
        self.waiting += 1
        return web.Response(body=await request.read())

    async def _broken(self, _: web.Request) -> web.Response:
        raise RuntimeError("a fault of ours")

    async def _begin(self, _: web.Request) -> web.Response:
        self.began_at.append(self.turn)
        return web.Response()

    async def _on_shutdown(self, _: web.Application) -> None:
        self.stopped = True


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    site = Site()
    yield site
    site.go_on.set()
    await site.server.close()


class Client:
    """One connection, byte by byte."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self.writer = writer

    async def ask(self, path: str = "/", head: str = "") -> tuple[int, str]:
        """Give the status and the body of an answer; the connection stays."""
        self.send(f"GET {path} HTTP/1.1\r\nHost: x\r\n{head}\r\n")
        return await self.answer()

    def send(self, text: str) -> None:
        self.writer.write(text.encode("latin-1"))

    async def answer(self) -> tuple[int, str]:
        head = (await self._reader.readuntil(b"\r\n\r\n")).decode()
        length = int(head.partition("Content-Length: ")[2].partition("\r\n")[0])
        return int(head.split()[1]), (await self._reader.readexactly(length)).decode()

    async def rest(self) -> bytes:
        """Whatever comes until the end; nothing when it is an abrupt one."""
        async with asyncio.timeout(10.0):
            try:
                return await self._reader.read()
            except ConnectionError:
                return b""


@asynccontextmanager
async def client(port: int, host: str = HOST, context: ssl.SSLContext | None = None) -> AsyncIterator[Client]:
    reader, writer = await asyncio.open_connection(host, port, ssl=context)
    try:
        yield Client(reader, writer)
    finally:
        writer.transport.abort()


class Authority:
    """A CA of the test's own, and contexts of both ends by it."""

    def __init__(self) -> None:
        self._ca = trustme.CA(key_type=trustme.KeyType.ECDSA)

    def serving(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._ca.issue_cert(HOST, key_type=trustme.KeyType.ECDSA).configure_cert(context)
        return context

    def asking(self) -> ssl.SSLContext:
        context = ssl.create_default_context()
        self._ca.configure_trust(context)
        return context


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority()


def clients(site: Site) -> int:
    return len(site.server._connections)


async def test_an_address_that_stays_is_not_touched_whatever_else_changes(site: Site) -> None:
    (first,) = await site.change(ANY)
    async with client(site.port) as kept:
        assert await kept.ask() == (200, "hello")
        both = await site.change(ANY, f"localhost:{site.port}")
        assert both[0] == first
        for listen in ((first.removeprefix("http://"),), (ANY,)):
            await site.change(*listen)
            assert (await kept.ask())[0] == 200
        site.now += LEAVE_SECONDS
        site.server.sweep()
        assert (await kept.ask())[0] == 200


async def test_a_new_address_is_served_when_it_is_taken_up_and_not_before(site: Site) -> None:
    await site.change(ANY)
    ready = await site.server.prepare((ANY, "[::1]:0"), None)
    assert len(site.server.urls) == 1
    await ready.commit()
    async with ClientSession() as session:
        for url in site.server.urls:
            async with session.get(url) as answer:
                assert await answer.text() == "hello"


async def test_an_address_that_is_not_taken_up_is_free_again(site: Site) -> None:
    await site.change(ANY)
    with socket.create_server((HOST, 0)) as free:
        port = free.getsockname()[1]
    ready = await site.server.prepare((f"{HOST}:{port}",), None)
    await ready.discard()
    socket.create_server((HOST, port)).close()
    async with client(site.port) as other:
        assert (await other.ask())[0] == 200


@pytest.mark.parametrize("reason", [errno.EADDRINUSE, errno.EADDRNOTAVAIL])
async def test_an_address_that_can_not_be_had_is_said_and_all_is_as_before(site: Site, reason: int) -> None:
    await site.change(ANY)
    with socket.create_server((HOST, 0)) as taken:
        port = taken.getsockname()[1]
        wrong = f"{HOST}:{port}" if reason == errno.EADDRINUSE else f"192.0.2.1:{port}"
        descriptors = len(os.listdir("/proc/self/fd"))
        with pytest.raises(StartError) as failed:
            await site.server.prepare((ANY, "[::1]:0", wrong), None)
        assert str(failed.value) == f"web.listen: can't listen on {wrong}: {os.strerror(reason)}"
        assert len(os.listdir("/proc/self/fd")) == descriptors
    async with client(site.port) as other:
        assert (await other.ask())[0] == 200


async def test_a_name_that_is_not_known_is_said(site: Site) -> None:
    with pytest.raises(StartError, match=r"^web\.listen: can't listen on no\.such\.invalid:9641: "):
        await site.server.prepare(("no.such.invalid:9641",), None)


async def test_of_the_addresses_of_a_name_one_is_enough(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    async def both(*_: object, **__: object) -> Sequence[tuple[object, ...]]:
        found = (("192.0.2.1", 0), (HOST, 0))
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", address) for address in found]

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", both)
    assert len(await site.change("name:0")) == 1
    assert len(await site.change("name:0")) == 1


@pytest.mark.parametrize("way", [("0.0.0.0", HOST), (HOST, "0.0.0.0"), ("[::]", "[::1]"), ("[::1]", "[::]")])
async def test_all_addresses_and_one_change_places_on_the_same_port(site: Site, way: tuple[str, str]) -> None:
    before, after = way
    host = "::1" if ":" in before else HOST
    await site.change(f"{before}:0")
    port = site.port
    async with client(port, host) as kept:
        waits = socket.create_connection((host, port))  # nobody has accepted it when the change comes
        waits.sendall(b"GET / HTTP/1.0\r\nConnection: close\r\n\r\n")
        assert await site.change(f"{after}:{port}") == [f"http://{after}:{port}"]
        assert (await kept.ask())[0] == 200
        async with client(port, host) as new:
            assert (await new.ask())[0] == 200
        waits.setblocking(False)
        loop = asyncio.get_running_loop()
        assert (await loop.sock_recv(waits, 100)).startswith(b"HTTP/1.0 200")
        waits.close()


@pytest.mark.parametrize("way", [("0.0.0.0", HOST), (HOST, "0.0.0.0")])
async def test_who_came_while_a_change_of_places_was_thought_of_is_served(
    site: Site, way: tuple[str, str]
) -> None:
    before, after = way
    await site.change(f"{before}:0")
    ready = await site.server.prepare((f"{after}:{site.port}",), None)
    async with client(site.port) as between:
        await ready.discard()
        assert (await between.ask())[0] == 200
    async with client(site.port) as later:
        assert (await later.ask())[0] == 200


async def test_no_other_program_gets_the_port_after_a_change_of_places(site: Site) -> None:
    await site.change(ANY)
    for host in ("0.0.0.0", HOST):
        await site.change(f"{host}:{site.port}")
        with pytest.raises(OSError, match="in use"):
            socket.create_server((HOST, site.port))


async def test_a_request_at_an_address_that_goes_is_answered_and_its_connection_closed(site: Site) -> None:
    await site.change(ANY)
    old = site.port
    async with client(old) as kept, client(old) as asking, client(old) as silent:
        await kept.ask()
        asking.send("GET /wait HTTP/1.1\r\nHost: x\r\n\r\n")
        await until(lambda: site.waiting)
        await site.change("[::1]:0")
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection(HOST, old)
        site.go_on.set()
        assert await asking.answer() == (200, "waited")
        assert await asking.rest() == b""
        assert await kept.ask() == (200, "hello")
        assert await kept.rest() == b""
        site.now += LEAVE_SECONDS
        site.server.sweep()
        assert await silent.rest() == b""
    assert (site.counted, clients(site)) == ({}, 0)


async def test_a_request_that_never_ends_leaves_with_its_address(site: Site) -> None:
    await site.change(ANY)
    async with client(site.port) as stream:
        stream.send("GET /wait HTTP/1.1\r\nHost: x\r\n\r\n")
        await until(lambda: site.waiting)
        await site.change("[::1]:0")
        site.now += LEAVE_SECONDS
        site.server.sweep()
        assert await stream.rest() == b""


async def test_tls_comes_changes_and_goes_on_the_same_socket(site: Site, authority: Authority) -> None:
    await site.change(ANY)
    port, first, second, asking = site.port, authority.serving(), authority.serving(), authority.asking()
    seen = []
    for context in (None, first, second, None):
        urls = await site.change(ANY, context=context)
        assert urls == [f"{'http' if context is None else 'https'}://{HOST}:{port}"]
        with pytest.raises((ssl.SSLError, ConnectionError, asyncio.IncompleteReadError)):
            async with client(port, context=asking if context is None else None) as wrong:
                await wrong.ask()
        async with client(port, context=asking if context else None) as right:
            assert (await right.ask())[0] == 200
            tls = right.writer.get_extra_info("ssl_object")
            seen.append(tls and tls.getpeercert(binary_form=True))
    assert seen[0] is seen[3] is None
    assert len({*seen[1:3]}) == 2
    await until(lambda: not clients(site))


async def test_a_connection_under_the_old_tls_has_one_more_request(site: Site, authority: Authority) -> None:
    await site.change(ANY, context=authority.serving())
    async with client(site.port, context=authority.asking()) as old:
        await old.ask()
        await site.change(ANY, context=authority.serving())
        assert await old.ask() == (200, "hello")
        assert await old.rest() == b""


async def test_no_scrape_is_lost_while_tls_and_addresses_change(site: Site, authority: Authority) -> None:
    (url,) = await site.change(ANY, context=authority.serving())
    port, trusted, done = site.port, authority.asking(), asyncio.Event()
    scrapes = 0

    async def scrape(connector: TCPConnector) -> None:
        nonlocal scrapes
        async with ClientSession(connector=connector) as session:
            while not done.is_set():
                async with session.get(url, ssl=trusted) as answer:
                    assert (answer.status, await answer.text()) == (200, "hello")
                    scrapes += 1

    async with asyncio.TaskGroup() as group:
        group.create_task(scrape(TCPConnector()))
        group.create_task(scrape(TCPConnector(force_close=True)))
        for number in range(40):
            host = ("0.0.0.0", HOST)[number % 2]
            await site.change(f"{host}:{port}", context=authority.serving())
            seen = scrapes
            await until(lambda seen=seen: scrapes > seen + 1)  # type: ignore[misc]
        done.set()
    assert set(site.counted) <= {"handshake"}


async def test_a_handshake_that_is_none_is_counted_and_the_place_free_again(
    site: Site, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(server._TLS_TIMES, "ssl_handshake_timeout", 0.05)
    await site.change(ANY, context=authority.serving())
    async with client(site.port) as plain, client(site.port) as silent:
        plain.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        await plain.rest()
        assert await silent.rest() == b""
    await until(lambda: not clients(site))
    assert site.counted == {"handshake": 2}


async def test_a_header_that_drips_is_cut_off_and_others_are_served(site: Site) -> None:
    await site.change(ANY)
    async with client(site.port) as dripping, client(site.port) as other:
        dripping.send("GET / HTTP/1.1\r\n")
        await until(lambda: clients(site) == 2)
        await other.ask()
        site.now += HEADER_SECONDS - 0.1
        dripping.send("A: b\r\n")
        await other.ask()
        site.server.sweep()
        assert site.counted == {}
        site.now += 0.1
        site.server.sweep()
        assert await dripping.rest() == b""
        assert (await other.ask())[0] == 200
    assert site.counted == {"header": 1}


async def test_the_rest_of_a_body_that_nobody_wants_is_no_header(site: Site) -> None:
    await site.change(ANY)
    async with client(site.port) as sender:
        sender.send("GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nab")
        assert (await sender.answer())[0] == 200
        sender.send("cd")
        assert (await sender.ask())[0] == 200
        site.now += 2 * HEADER_SECONDS
        site.server.sweep()
        assert (await sender.ask())[0] == 200


@pytest.mark.parametrize("tls", [False, True])
async def test_an_answer_that_is_not_read_is_given_up(site: Site, authority: Authority, tls: bool) -> None:
    await site.change(ANY, context=authority.serving() if tls else None)
    async with client(site.port, context=authority.asking() if tls else None) as deaf:
        deaf.writer.transport.pause_reading()  # type: ignore[attr-defined]
        deaf.send("GET /large HTTP/1.1\r\nHost: x\r\n\r\n")
        (connection,) = site.server._connections._all.open
        await until(connection.link.unsent)
        steady = 0
        while steady < 20:  # until the buffers of both ends are full
            before = connection.link.unsent()
            await asyncio.sleep(0.001)
            steady = steady + 1 if connection.link.unsent() == before else 0
        site.server.sweep()
        site.now += UNREAD_SECONDS
        site.server.sweep()
    assert site.counted == {"unread": 1}
    await until(lambda: not clients(site))


async def test_when_all_places_are_taken_the_newcomer_gets_that_of_an_idle_one(site: Site) -> None:
    await site.change(ANY)
    site.server._connections.limit = 2
    async with client(site.port) as idle, client(site.port) as stream:
        assert (await idle.ask())[0] == 200
        stream.send("GET /wait HTTP/1.1\r\nHost: x\r\n\r\n")
        await until(lambda: site.waiting)
        async with client(site.port) as new:
            assert (await new.ask())[0] == 200
            assert await idle.rest() == b""
            assert site.counted == {"shed": 1}
            new.send("GET /wait HTTP/1.1\r\nHost: x\r\n\r\n")
            await until(lambda: site.waiting == 2)
            async with client(site.port) as refused:
                assert await refused.rest() == b""
            assert site.counted == {"shed": 1, "full": 1}
            site.go_on.set()
            assert await stream.answer() == await new.answer() == (200, "waited")


async def test_a_newcomer_takes_the_place_of_one_that_only_shakes_hands(
    site: Site, authority: Authority
) -> None:
    await site.change(ANY, context=authority.serving())
    site.server._connections.limit = 1
    async with client(site.port) as silent:
        await until(lambda: clients(site))
        async with client(site.port, context=authority.asking()) as new:
            assert (await new.ask())[0] == 200
        assert await silent.rest() == b""
    assert site.counted == {"shed": 1}


async def test_without_a_descriptor_it_accepts_later_and_the_loop_is_free(
    site: Site, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(listening, "_PAUSE", 0.05)
    await site.change(ANY)
    (listener,) = site.server._listeners
    real, asked = listener.sock, 0

    class Exhausted:
        def accept(self) -> None:
            nonlocal asked
            asked += 1
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

        def __getattr__(self, name: str) -> object:
            return getattr(real, name)

    monkeypatch.setattr(listener, "sock", Exhausted())
    async with client(site.port) as waits:
        waits.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        await until(lambda: asked == 2)
        turns = 0
        while asked == 2:
            await asyncio.sleep(0)
            turns += 1
        assert turns > 100
        monkeypatch.setattr(listener, "sock", real)
        assert await waits.answer() == (200, "hello")
    assert "can't accept a connection" in caplog.text


async def test_a_server_that_closes_lets_requests_finish_and_tells_the_application(site: Site) -> None:
    await site.change(ANY)
    async with client(site.port) as asking, client(site.port) as idle:
        await idle.ask()
        asking.send("GET /wait HTTP/1.1\r\nHost: x\r\n\r\n")
        await until(lambda: site.waiting)
        closing = asyncio.create_task(site.server.close())
        await until(lambda: site.stopped)
        site.go_on.set()
        assert await asking.answer() == (200, "waited")
        await closing
        assert await idle.rest() == b""
    assert (site.server.urls, clients(site)) == ([], 0)


async def test_a_server_that_closes_waits_for_no_handshake_and_no_deaf_client(
    site: Site, authority: Authority, tmp_path: Path
) -> None:
    await site.change(ANY, context=authority.serving())
    async with client(site.port), client(site.port, context=authority.asking()) as deaf:
        deaf.writer.transport.pause_reading()  # type: ignore[attr-defined]
        deaf.send("GET /large HTTP/1.1\r\nHost: x\r\n\r\n")
        await until(lambda: clients(site) == 2)
        async with asyncio.timeout(2.5):
            await site.server.close()
    assert clients(site) == 0


async def test_a_header_that_is_too_long_as_a_whole_is_refused(site: Site) -> None:
    await site.change(ANY)
    async with client(site.port) as sender:
        sender.send("GET / HTTP/1.1\r\nHost: x\r\n")
        while not site.counted:
            sender.send(f"A: {'a' * 8000}\r\n")
            for _ in range(10):
                await asyncio.sleep(0)
        assert (await sender.rest()).startswith(b"HTTP/1.1 431 ")
    assert site.counted == {"header": 1}


async def test_what_is_no_http_is_counted_and_fills_no_log(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    await site.change(ANY)
    broken = "GET /wait HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"
    site.go_on.set()
    for text in ("\x16\x03\x01\r\n\r\n", "GET / HTTP/1.1\r\n A: b\r\n\r\n", broken):
        async with client(site.port) as sender:
            sender.send(text)
            await sender.rest()
    async with client(site.port) as sender:
        assert (await sender.ask())[0] == 200
        sender.send("G\0T / HTTP/1.1\r\n\r\n")
        assert b"expected an HTTP request, got something else" in await sender.rest()
    assert site.counted["malformed"] >= 3
    assert caplog.text == ""


async def test_a_fault_of_ours_is_logged_and_the_next_request_served(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    await site.change(ANY)
    async with client(site.port) as other:
        assert (await other.ask("/broken"))[0] == 500
        assert "a fault of ours" in caplog.text
    async with client(site.port) as other:
        assert (await other.ask())[0] == 200


async def test_who_leaves_in_the_middle_of_a_body_is_no_fault_of_ours(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    await site.change(ANY)
    async with client(site.port) as sender:
        sender.send("GET /body HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nabc")
        await until(lambda: site.waiting)
    await until(lambda: not clients(site))
    assert caplog.text == ""


async def test_of_many_requests_at_once_one_begins_in_a_turn_of_the_loop(site: Site) -> None:
    await site.change(ANY)
    async with AsyncExitStack() as everyone:
        asking = [await everyone.enter_async_context(client(site.port)) for _ in range(20)]
        for each in asking:
            each.send("GET /begin HTTP/1.1\r\nHost: x\r\n\r\n")
        while len(site.began_at) < len(asking):
            site.turn += 1
            await asyncio.sleep(0)
    assert len(set(site.began_at)) == len(asking)


async def test_what_waits_in_a_socket_that_has_no_descriptor_left_is_closed_with_it(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    await site.change(ANY)
    (listener,) = site.server._listeners

    def refuse(*_: object) -> None:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    monkeypatch.setattr(socket.socket, "_accept", refuse)
    async with client(site.port):
        await until(lambda: listener._paused is not None)
        await site.change("[::1]:0")
        assert listener._paused is not None
        assert listener._paused.cancelled()


@pytest.mark.parametrize(
    ("host", "origin"),
    [
        ("127.0.0.1", None),
        ("127.8.9.10", None),
        ("::1", None),
        ("10.1.2.3", "10.1.2.3"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
    ],
)
def test_a_connection_counts_to_its_address_or_to_its_network_of_one_host(
    host: str, origin: str | None
) -> None:
    assert server._origin(host) == origin


async def test_a_handshake_that_failed_holds_no_memory_until_the_next_garbage_collection(
    site: Site, authority: Authority
) -> None:
    def held() -> int:
        return sum(isinstance(each, SSLProtocol) for each in gc.get_objects())

    await site.change(ANY, context=authority.serving())
    gc.collect()
    gc.disable()
    try:
        for _ in range(20):
            async with client(site.port) as plain:
                plain.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n")
                await plain.rest()
        await until(lambda: site.counted["handshake"] == 20 and not clients(site))
        await asyncio.sleep(0)
        assert held() < 5
    finally:
        gc.enable()
