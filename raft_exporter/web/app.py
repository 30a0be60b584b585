"""Routes. Every error is JSON with a reason."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Final

import msgspec
from aiohttp import web
from aiohttp.typedefs import Handler
from prometheus_client import CollectorRegistry
from prometheus_client.aiohttp import make_aiohttp_handler

from raft_exporter.answers import Fault
from raft_exporter.logs import event
from raft_exporter.view import ClusterView
from raft_exporter.web.access import Access, prove_answer
from raft_exporter.web.api import Operations, routes
from raft_exporter.web.documents import document_routes
from raft_exporter.web.page import page_routes
from raft_exporter.web.stream import PageStream, Seconds

_log = logging.getLogger(__name__)

_MAX_BODY: Final = 64 * 1024
_OF_ERRORS: Final = {"Allow", "Retry-After", "WWW-Authenticate"}
_HEADERS: Final = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


def make_app(
    registry: CollectorRegistry,
    view: Callable[[], ClusterView],
    ready: Callable[[], bool],
    operations: Operations | None = None,
    access: Access | None = None,
) -> web.Application:
    """Build the application.

    ``view`` gives the cluster now, ``ready`` whether the sidecar can judge. ``operations`` are what reports,
    events and overrides are asked of. ``access`` says who is let in, and who may change something.
    """
    gate = access or Access(lambda _: None)

    async def healthy(_: web.Request) -> web.Response:
        return web.Response(text="ok\n")  # that it answers is the answer: the event loop turns

    async def is_ready(_: web.Request) -> web.Response:
        if not ready():
            return _error(503, "waiting for the first evidence")
        return web.Response(text="ok\n")

    async def cluster(_: web.Request) -> web.Response:
        return web.Response(body=msgspec.json.encode(view()), content_type="application/json")

    @web.middleware
    async def let_in(request: web.Request, handler: Handler) -> web.StreamResponse:
        return await gate.answer(request, handler)

    async def add_headers(_: web.Request, response: web.StreamResponse) -> None:
        for name, value in _HEADERS.items():
            response.headers.setdefault(name, value)
        response.headers.update(gate.headers)

    async def close(_: web.Application) -> None:
        gate.close()

    app = web.Application(middlewares=[prove_answer, _errors_as_json, let_in], client_max_size=_MAX_BODY)
    app.on_response_prepare.append(add_headers)
    app.on_cleanup.append(close)
    app.add_routes(
        [
            *page_routes(),
            web.get("/metrics", make_aiohttp_handler(registry)),
            web.get("/-/healthy", healthy),
            web.get("/-/ready", is_ready),
            web.get("/api/v1/cluster", cluster),
        ]
    )
    if operations is not None:
        app.add_routes(routes(operations, gate))
        app.add_routes(document_routes(operations))
        app.add_routes([web.get("/api/v1/stream", _stream(app, view, operations, gate).serve)])
    return app


def _stream(
    app: web.Application, view: Callable[[], ClusterView], operations: Operations, access: Access
) -> PageStream:
    seconds = Seconds()

    async def let_go(_: web.Application) -> None:
        seconds.stop()

    app.on_shutdown.append(let_go)
    return PageStream(view, operations.events, seconds, lambda: access.rights)


@web.middleware
async def _errors_as_json(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except web.HTTPException as error:
        if error.status < 400:
            raise
        response = _error(error.status, error.reason)
        for name in _OF_ERRORS & error.headers.keys():
            response.headers[name] = error.headers[name]
        if error.keep_alive is False:
            response.force_close()
        return response
    except ConnectionError:
        raise  # the caller has gone
    except (
        Exception
    ) as error:  # a fault of ours: the answer says so, the log says which, and the rest goes on
        event(_log, logging.ERROR, "request failed", path=request.path, error=repr(error))
        return _error(500, "internal error")


def _error(status: int, reason: str) -> web.Response:
    return web.Response(
        status=status, body=msgspec.json.encode(Fault(reason)), content_type="application/json"
    )
