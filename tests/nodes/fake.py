"""A node's HTTP API of the test's own: it answers as told, or not at all."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress

import aiohttp
from aiohttp import web

from raft_exporter.schema import TlsConfig
from raft_exporter.secret import Secret
from raft_exporter.sources.node_api import Answer, Api
from raft_exporter.sources.nodes.adapter import Adapter

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
PATIENCE = 10.0
"""Seconds for an answer that comes."""
HASTE = 0.05
"""Seconds for one that does not."""


def says(body: object, status: int = 200, kind: str = "application/json") -> Handler:
    """Answer with bytes as they are, with anything else as JSON."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()

    async def answer(_: web.Request) -> web.Response:
        return web.Response(body=data, status=status, headers={"Content-Type": kind})

    return answer


def denied(words: bytes = b"Permission denied") -> Handler:
    return says(words, 403, "text/plain; charset=utf-8")


async def hangs(_: web.Request) -> web.StreamResponse:
    await asyncio.Event().wait()
    raise AssertionError


def forwards(answer: Handler) -> Handler:
    """Answer at once only where ``?stale`` keeps the node from forwarding: there is no leader."""

    async def serve(request: web.Request) -> web.StreamResponse:
        if "stale" in request.query:
            return await answer(request)
        return await hangs(request)

    return serve


class Node:
    """What is asked of a fake node, and what it answers by path; 404 where it was told nothing."""

    def __init__(self, answers: Mapping[str, Handler]) -> None:
        self.answers = dict(answers)
        self.asked: list[str] = []
        self.headers: list[Mapping[str, str]] = []
        self.url = ""
        self.sent = 0

    def paths(self) -> list[str]:
        """Give the paths asked for since the last time."""
        asked, self.asked = self.asked, []
        return asked

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.asked.append(request.path)
        self.headers.append(request.headers)
        told = self.answers.get(request.path, says(b"404 page not found", 404, "text/plain"))
        return await told(request)

    def streams(self, piece: bytes, size: int, headers: Mapping[str, str] | None = None) -> Handler:
        """Answer with ``size`` bytes of JSON, as fast as they are read."""

        async def serve(request: web.Request) -> web.StreamResponse:
            response = web.StreamResponse(headers={"Content-Type": "application/json"} | dict(headers or {}))
            with suppress(ConnectionError):
                await response.prepare(request)
                while self.sent < size:
                    await response.write(piece)
                    self.sent += len(piece)
            return response

        return serve


def trickles(piece: bytes = b" ") -> Handler:
    """Answer a little at a time, for ever."""

    async def serve(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        with suppress(ConnectionError):
            await response.prepare(request)
            while True:
                await response.write(piece)
                await asyncio.sleep(HASTE / 10)
        return response

    return serve


@asynccontextmanager
async def served(node: Node) -> AsyncIterator[str]:
    """Serve a node on loopback; gives its URL."""
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", node.answer)
    runner = web.AppRunner(app, shutdown_timeout=0.0, handler_cancellation=True)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        node.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        yield node.url
    finally:
        await runner.cleanup()


@asynccontextmanager
async def asking(
    node: Node, adapter: Adapter, *, token: str | None = None, within: float = PATIENCE, path: str = ""
) -> AsyncIterator[Api]:
    """Serve a node, and be ready to ask it as this adapter does."""
    headers = adapter.headers(None if token is None else Secret(token))
    async with served(node) as url, aiohttp.ClientSession() as session:
        yield Api(session, url + path, within, headers=headers, tls=TlsConfig(), context=None)


class Canned(Api):
    """Answers every question alike, without a network."""

    def __init__(self, body: bytes) -> None:
        self._body = body

    async def get(self, path: str) -> Answer:
        return Answer(200, "application/json", self._body)
