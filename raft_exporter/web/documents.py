"""Two documents for programs: where all sidecars are, and what this one's API is (docs/api.md)."""

from __future__ import annotations

import msgspec
from aiohttp import web

from raft_exporter.web.api import Operations
from raft_exporter.web.openapi import document


def document_routes(operations: Operations) -> list[web.RouteDef]:
    """Give the routes."""
    openapi = msgspec.json.encode(document())

    async def discovery(request: web.Request) -> web.Response:
        groups = operations.targets(f"{request.scheme}://{request.host}")
        if groups is None:
            raise web.HTTPServiceUnavailable(
                reason="it is not known yet who the members are, or where their sidecars are"
            )
        return web.Response(body=msgspec.json.encode(groups), content_type="application/json")

    async def api(_: web.Request) -> web.Response:
        return web.Response(body=openapi, content_type="application/json")

    return [web.get("/sd", discovery), web.get("/api/openapi.json", api)]
