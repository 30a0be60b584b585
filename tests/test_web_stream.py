"""What open pages are told, on a real aiohttp server; the turns are driven by the test."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

import msgspec
import pytest
from aiohttp import ClientResponse, ClientSession, ClientTimeout, web
from aiohttp.test_utils import BaseTestServer, TestServer

from raft_exporter import __version__
from raft_exporter.answers import Events
from raft_exporter.journal import Entry, EntryKind, Journal
from raft_exporter.model.evidence import Configuration, NodeIdentity, Server
from raft_exporter.model.policy import Policy
from raft_exporter.model.table import Table
from raft_exporter.view import ClusterView, cluster_view
from raft_exporter.web import stream
from raft_exporter.web.access import Rights
from raft_exporter.web.stream import MAX_STREAMS, SHOWN_EVENTS, PageStream, Seconds

PATIENCE: Final = 10.0


class Turns:
    """The pace as the test beats it."""

    def __init__(self) -> None:
        self.number = 0
        self._next: asyncio.Future[bool] = asyncio.get_running_loop().create_future()

    async def wait(self) -> bool:
        return await asyncio.shield(self._next)

    def turn(self) -> int:
        return self.number

    def beat(self, *, go_on: bool = True) -> None:
        self.number += 1
        waited, self._next = self._next, asyncio.get_running_loop().create_future()
        waited.set_result(go_on)


class Sidecar:
    """What the stream tells of, and how often it was asked for the cluster."""

    def __init__(self) -> None:
        self.table = Table(Policy.of(1.0), (), 0.0)
        self.table.take(NodeIdentity("n1", "a:1"), 0.0)
        self.table.take(Configuration((Server("n1", "a:1"), Server("n2", "b:1")), 5), 0.0)
        self.journal = Journal(1000)
        self.views = 0
        self.padding = ""
        self.rights = Rights(with_token=False)

    def view(self) -> ClusterView:
        self.views += 1
        view = cluster_view(self.table, float(self.views), 0.0)
        return msgspec.structs.replace(view, version=view.version + self.padding)

    def events(self, after: int, limit: int, peer: str | None) -> Sequence[Entry]:
        return self.journal.after(after, limit, peer)

    def happens(self, peer: str) -> None:
        self.journal.add(Entry(id=0, at=1.0, kind=EntryKind.JOINED, peer=peer))


class Page:
    """One reader of the stream."""

    def __init__(self, response: ClientResponse) -> None:
        self.response = response

    async def next(self) -> tuple[str, Any]:
        async with asyncio.timeout(PATIENCE):
            text = (await self.response.content.readuntil(b"\n\n")).decode()
        first, second, *rest = text.splitlines()
        assert rest == [""]
        return first.removeprefix("event: "), msgspec.json.decode(second.removeprefix("data: "))

    async def opening(self) -> dict[str, Any]:
        return dict([await self.next() for _ in range(3)])

    async def ended(self) -> bool:
        async with asyncio.timeout(PATIENCE):
            return not await self.response.content.read()


class Served:
    def __init__(
        self, sidecar: Sidecar, turns: Turns, server: BaseTestServer, session: ClientSession
    ) -> None:
        self.sidecar, self.turns = sidecar, turns
        self._server, self._session = server, session

    @asynccontextmanager
    async def page(self) -> AsyncIterator[Page]:
        async with self._session.get(self._server.make_url("/stream")) as response:
            yield Page(response)

    @property
    def port(self) -> int:
        assert self._server.port is not None
        return self._server.port


@asynccontextmanager
async def serving(*, with_token: bool = False) -> AsyncIterator[Served]:
    sidecar, turns = Sidecar(), Turns()
    sidecar.rights = Rights(with_token=with_token)
    pages = PageStream(sidecar.view, sidecar.events, turns, lambda: sidecar.rights)
    app = web.Application()
    app.add_routes([web.get("/stream", pages.serve)])
    timeout = ClientTimeout(total=None)
    async with TestServer(app) as server, ClientSession(timeout=timeout) as session:
        try:
            yield Served(sidecar, turns, server, session)
        finally:
            turns.beat(go_on=False)


@pytest.mark.parametrize(("with_token", "changes"), [(True, "token"), (False, "local")])
async def test_a_page_is_first_told_the_words_the_journal_and_the_cluster(
    with_token: bool, changes: str
) -> None:
    async with serving(with_token=with_token) as served:
        served.sidecar.happens("n2")
        async with served.page() as page:
            told = await page.opening()
            assert page.response.content_type == "text/event-stream"
    assert list(told) == ["hello", "journal", "cluster"]
    assert (told["hello"]["version"], told["hello"]["changes"]) == (__version__, changes)
    assert told["hello"]["reasons"]["fresh"] == "it is heard"
    assert told["hello"]["forced"][-1] == "ignore"
    assert [entry["text"] for entry in told["journal"]["entries"]] == ["n2 joined the cluster"]
    assert [member["id"] for member in told["cluster"]["members"]] == ["n1", "n2"]


async def test_the_cluster_is_told_each_turn_and_the_journal_as_it_grows() -> None:
    async with serving() as served, served.page() as page:
        await page.opening()
        served.turns.beat()
        assert (await page.next())[0] == "cluster"
        served.sidecar.happens("n3")
        served.turns.beat()
        kind, news = await page.next()
        assert (kind, [entry["peer"] for entry in news["entries"]]) == ("news", ["n3"])
        assert (await page.next())[0] == "cluster"
        served.turns.beat()
        assert (await page.next())[0] == "cluster"


async def test_what_all_pages_are_told_is_made_once_a_turn_and_not_without_a_page() -> None:
    async with serving() as served:
        async with served.page() as one, served.page() as two, served.page() as three:
            pages = (one, two, three)
            opened = [(await page.opening())["cluster"] for page in pages]
            served.turns.beat()
            told = [await page.next() for page in pages]
            assert served.sidecar.views == 2
        assert opened[0] == opened[1] == opened[2]
        assert told[0] == told[1] == told[2]
        for _ in range(3):
            served.turns.beat()
            await asyncio.sleep(0)
        assert served.sidecar.views <= 3  # a page that has just gone may still be told once


async def test_the_journal_begins_with_the_latest_entries() -> None:
    async with serving() as served:
        for number in range(SHOWN_EVENTS + 5):
            served.sidecar.happens(f"n{number}")
        async with served.page() as page:
            journal = msgspec.convert((await page.opening())["journal"], Events)
    assert [entry.id for entry in journal.entries] == list(range(6, SHOWN_EVENTS + 6))
    assert journal.latest == SHOWN_EVENTS + 5


async def test_more_pages_than_there_is_room_for_are_refused_until_one_goes() -> None:
    async with serving() as served:
        pages = [served.page() for _ in range(MAX_STREAMS)]
        opened = [await page.__aenter__() for page in pages]
        try:
            await opened[-1].opening()
            async with served.page() as refused:
                assert refused.response.status == 503
            opened[0].response.close()
            await pages[0].__aexit__(None, None, None)

            async def let_in() -> bool:
                served.turns.beat()
                async with served.page() as page:
                    return page.response.status == 200

            async with asyncio.timeout(PATIENCE):
                while not await let_in():
                    await asyncio.sleep(0)
        finally:
            for page in pages[1:]:
                await page.__aexit__(None, None, None)


async def test_a_page_that_does_not_read_is_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "_PATIENCE", 0.01)
    monkeypatch.setattr(stream, "MAX_STREAMS", 2)
    async with serving() as served:
        served.sidecar.padding = "x" * 400_000
        with socket.socket() as deaf:
            deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            deaf.connect(("127.0.0.1", served.port))
            deaf.sendall(b"GET /stream HTTP/1.1\r\nHost: x\r\n\r\n")
            await asyncio.to_thread(deaf.recv, 1)
            async with served.page() as page:
                await page.opening()

                async def place_is_free() -> bool:
                    served.turns.beat()
                    assert (await page.next())[0] == "cluster"
                    async with served.page() as another:
                        return another.response.status == 200

                assert not await place_is_free()
                async with asyncio.timeout(PATIENCE):
                    while not await place_is_free():
                        pass


async def test_a_page_that_goes_in_the_middle_harms_nobody() -> None:
    async with serving() as served, served.page() as staying:
        await staying.opening()
        with socket.create_connection(("127.0.0.1", served.port)) as gone:
            gone.sendall(b"GET /stream HTTP/1.1\r\nHost: x\r\n\r\n")
            await asyncio.to_thread(gone.recv, 65536)
            gone.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        for _ in range(3):
            served.turns.beat()
            assert (await staying.next())[0] == "cluster"


async def test_all_pages_are_let_go_when_the_sidecar_stops() -> None:
    async with serving() as served, served.page() as page:
        await page.opening()
        served.turns.beat(go_on=False)
        assert await page.ended()


async def test_a_page_has_to_come_again_when_others_may_come() -> None:
    async with serving() as served:
        async with served.page() as page:
            await page.opening()
            served.sidecar.rights = Rights(with_token=True)
            served.turns.beat()
            assert await page.ended()
        async with served.page() as page:
            assert (await page.opening())["hello"]["changes"] == "token"


async def test_seconds_wait_for_the_next_whole_one_and_end_when_stopped() -> None:
    seconds = Seconds(0.001)
    before = seconds.turn()
    assert await seconds.wait()
    assert seconds.turn() > before
    slow = Seconds(1e9)
    waiting = asyncio.ensure_future(slow.wait())
    await asyncio.sleep(0)
    slow.stop()
    assert not await waiting
