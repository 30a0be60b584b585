"""The status page: static files of the package, drawn by the browser from the API's events."""

from __future__ import annotations

from importlib.resources import files
from typing import Final

from aiohttp import web

_TYPES: Final = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}

POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'"
)
"""The page's Content-Security-Policy: nothing inline, nothing from elsewhere, no text taken for markup."""


def page_routes() -> list[web.RouteDef]:
    """Give the page's routes: ``/``, and its parts under ``/page/``."""
    folder = files("raft_exporter.web") / "static"
    parts = {item.name: item.read_bytes() for item in folder.iterdir() if item.is_file()}
    routes = [_route("/", "index.html", parts.pop("index.html"))]
    return routes + [_route(f"/page/{name}", name, content) for name, content in sorted(parts.items())]


def _route(path: str, name: str, content: bytes) -> web.RouteDef:
    kind = _TYPES["." + name.rpartition(".")[2]]

    async def part(_: web.Request) -> web.Response:
        return web.Response(
            body=content,
            content_type=kind,
            charset="utf-8",
            headers={"Content-Security-Policy": POLICY},
        )

    return web.get(path, part)
