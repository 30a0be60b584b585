"""Open pages: clients that read the stream as a browser does, or real ones in Chromium."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Final, Protocol

import aiohttp
from playwright.async_api import Page, async_playwright

from pictures.camera import CHROMIUM_FLAGS, chromium
from raft_exporter.errors import DemoError

_PATIENCE: Final = 60.0
"""Seconds within which every page is open; Chromium takes its time for the first of many."""
_LOOK: Final = 0.05


class Traffic(Protocol):
    """What the open pages receive."""

    @property
    def received(self) -> int:
        """Bytes of events so far, all pages together; 0 where they are not counted."""

    async def check(self) -> None:
        """DemoError when a page is not live."""


class _Streams:
    """Readers of the stream, each on a connection of its own."""

    def __init__(self, url: str, session: aiohttp.ClientSession, count: int) -> None:
        self._url = url
        self._session = session
        self._told = [0] * count
        self._readers = [asyncio.create_task(self._read(number)) for number in range(count)]

    @property
    def received(self) -> int:
        """Bytes so far."""
        return sum(self._told)

    async def opened(self) -> None:
        """Wait until every reader has been told something; DemoError when one of them ended."""
        async with asyncio.timeout(_PATIENCE):
            while not all(self._told):
                await self.check()
                await asyncio.sleep(_LOOK)

    async def check(self) -> None:
        """DemoError when a reader has ended."""
        for reader in self._readers:
            if reader.done():
                raise DemoError(f"{self._url}: an open stream ended: {reader.exception() or 'closed'}")

    async def close(self) -> None:
        """Close every connection."""
        for reader in self._readers:
            reader.cancel()
        await asyncio.gather(*self._readers, return_exceptions=True)

    async def _read(self, number: int) -> None:
        headers = {"Accept": "text/event-stream", "Cache-Control": "no-cache"}
        async with self._session.get(self._url, headers=headers, raise_for_status=True) as response:
            async for piece in response.content.iter_any():
                self._told[number] += len(piece)


class _BrowserPages:
    """Pages that a browser draws; what they receive is not counted."""

    received = 0

    def __init__(self, pages: list[Page]) -> None:
        self._pages = pages

    async def check(self) -> None:
        """DemoError when a page does not call itself live."""
        for page in self._pages:
            said = await page.locator("#live").inner_text()
            if said != "live":
                raise DemoError(f"{page.url}: expected a live page, got {said!r}")


@asynccontextmanager
async def stream_pages(url: str, count: int) -> AsyncIterator[Traffic]:
    """Have so many clients read the stream of the sidecar at ``url``."""
    connector = aiohttp.TCPConnector(limit=0)
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=_PATIENCE, sock_read=_PATIENCE)
    async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session:
        streams = _Streams(f"{url}/api/v1/stream", session, count)
        try:
            await streams.opened()
            yield streams
        finally:
            await streams.close()


@asynccontextmanager
async def browser_pages(url: str, count: int) -> AsyncIterator[Traffic]:
    """Have so many pages open in Chromium, each in a context of its own: so they share no connections."""
    program = chromium()
    async with AsyncExitStack() as stack:
        playwright = await stack.enter_async_context(async_playwright())
        browser = await playwright.chromium.launch(executable_path=program, args=CHROMIUM_FLAGS)
        stack.push_async_callback(browser.close)
        pages = []
        for _ in range(count):
            pages.append(await browser.new_page())
            await pages[-1].goto(f"{url}/")
        for page in pages:
            await page.locator("#live[data-live=live]").wait_for(timeout=_PATIENCE * 1000)
        yield _BrowserPages(pages)
