"""The HTTP face on a real aiohttp server."""

from __future__ import annotations

import gzip
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest
from aiohttp import ClientSession, web
from aiohttp.test_utils import TestServer
from prometheus_client.openmetrics.parser import text_string_to_metric_families
from yarl import URL

from grafana import palette
from raft_exporter.exposition import TableCollector, registry_of
from raft_exporter.model.evidence import Configuration, NodeIdentity, Server
from raft_exporter.model.judge import State
from raft_exporter.model.policy import Policy
from raft_exporter.model.table import Table
from raft_exporter.view import ClusterView, cluster_view
from raft_exporter.web import page
from raft_exporter.web.app import make_app
from raft_exporter.web.page import POLICY

STATIC = {path.name for path in (Path(page.__file__).parent / "static").iterdir()}
KINDS = {".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}


class Face:
    """A served table."""

    def __init__(self) -> None:
        self.table = Table(Policy.of(1.0), (), 0.0)
        self.ready = True
        self.broken = False
        collector = TableCollector(
            self.table,
            now=lambda: 1.0,
            perf=lambda: 0.0,
            wall=lambda: 0.0,
            lag=lambda: 0.0,
            store_errors=lambda: 0,
        )
        self.app = make_app(registry_of(collector), self.view, lambda: self.ready)

    def view(self) -> ClusterView:
        if self.broken:
            raise RuntimeError("a fault of ours")
        return cluster_view(self.table, 3.0, 0.0)


@asynccontextmanager
async def served(face: Face) -> AsyncIterator[tuple[ClientSession, str]]:
    async with TestServer(face.app) as server, ClientSession() as session:
        yield session, str(server.make_url(""))


async def test_healthy_and_ready_mean_different_things() -> None:
    face = Face()
    face.ready = False
    async with served(face) as (session, url):
        assert (await session.get(f"{url}/-/healthy")).status == 200
        waiting = await session.get(f"{url}/-/ready")
        assert (waiting.status, await waiting.json()) == (503, {"error": "waiting for the first evidence"})
        face.ready = True
        assert (await session.get(f"{url}/-/ready")).status == 200


async def test_metrics_as_plain_text_and_as_openmetrics() -> None:
    async with served(Face()) as (session, url):
        plain = await session.get(f"{url}/metrics", headers={"Accept": "text/plain"})
        assert plain.content_type == "text/plain"
        assert "# TYPE raft_up gauge" in await plain.text()
        openmetrics = await session.get(
            f"{url}/metrics", headers={"Accept": "application/openmetrics-text; version=1.0.0"}
        )
        assert openmetrics.content_type == "application/openmetrics-text"
        text = await openmetrics.text()
        assert text.endswith("# EOF\n")
        assert "raft_up" in {family.name for family in text_string_to_metric_families(text)}


async def test_metrics_are_compressed_for_who_asks_for_it() -> None:
    async with served(Face()) as (session, url):
        response = await session.get(
            f"{url}/metrics", headers={"Accept-Encoding": "gzip"}, auto_decompress=False
        )
        assert response.headers["Content-Encoding"] == "gzip"
        assert b"raft_up" in gzip.decompress(await response.read())
        plain = await session.get(f"{url}/metrics", headers={"Accept-Encoding": "identity"})
        assert "Content-Encoding" not in plain.headers


async def test_cluster_is_the_view_as_json() -> None:
    face = Face()
    face.table.take(NodeIdentity("n1", "a:1"), 0.0)
    face.table.take(Configuration((Server("n1", "a:1"), Server("n2", "b:1")), 5), 0.0)
    async with served(face) as (session, url):
        response = await session.get(f"{url}/api/v1/cluster")
        view = msgspec.json.decode(await response.read(), type=ClusterView)
    assert response.content_type == "application/json"
    assert view == face.view()
    assert [(member.id, member.own) for member in view.members] == [("n1", True), ("n2", False)]
    assert (view.quorum.voters, view.quorum.quorum, view.quorum.configuration_index) == (2, 2, 5)
    assert view.node.leader is None


async def test_the_page_and_all_its_parts_are_served_from_the_package_under_a_strict_policy() -> None:
    async with served(Face()) as (session, url):
        index = await session.get(f"{url}/")
        text = await index.text()
        parts = re.findall(r'(?:href|src)="(page/[^"]+)"', text)
        modules = ["page/page.js"]
        for module in modules:
            answer = await session.get(f"{url}/{module}")
            assert answer.headers["Content-Security-Policy"] == POLICY
            modules += [f"page/{name}" for name in re.findall(r'from "./([^"]+)"', await answer.text())]
        kinds = {part: (await session.get(f"{url}/{part}")).content_type for part in {*parts, *modules}}
    assert (index.content_type, index.charset) == ("text/html", "utf-8")
    assert index.headers["Content-Security-Policy"] == POLICY
    assert kinds == {f"page/{name}": KINDS[Path(name).suffix] for name in STATIC - {"index.html"}}
    assert "unsafe" not in POLICY
    assert "http" not in POLICY


@pytest.mark.parametrize("path", ["/page/", "/page/../page.py", "/page/%2e%2e/page.py", "/page/index.html"])
async def test_nothing_but_the_parts_of_the_page_is_served(path: str) -> None:
    async with served(Face()) as (session, url):
        assert (await session.get(URL(url + path, encoded=True))).status == 404


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/nothing", 404), ("POST", "/metrics", 405), ("DELETE", "/api/v1/cluster", 405)],
)
async def test_errors_are_json_with_a_reason(method: str, path: str, status: int) -> None:
    async with served(Face()) as (session, url):
        response = await session.request(method, url + path)
        body = await response.json()
    assert response.status == status
    assert list(body) == ["error"]
    assert (response.headers.get("Allow") == "GET,HEAD") == (status == 405)


async def test_a_fault_of_ours_is_an_answer_and_a_log_line(caplog: pytest.LogCaptureFixture) -> None:
    face = Face()
    face.broken = True
    async with served(face) as (session, url):
        response = await session.get(f"{url}/api/v1/cluster")
        assert (response.status, await response.json()) == (500, {"error": "internal error"})
        assert (await session.get(f"{url}/-/healthy")).status == 200
    assert [record.getMessage() for record in caplog.records] == ["request failed"]


async def test_redirects_pass_through() -> None:
    face = Face()

    async def moved(_: web.Request) -> web.Response:
        raise web.HTTPFound("/")

    face.app.router.add_get("/moved", moved)
    async with served(face) as (session, url):
        assert (await session.get(f"{url}/moved", allow_redirects=False)).status == 302


def test_a_state_has_the_same_colour_on_the_page_as_on_the_dashboards() -> None:
    style = (Path(page.__file__).parent / "static" / "page.css").read_text()
    colours = dict(re.findall(r"--(\w+): (#[0-9a-f]{6});", style))
    assert {state: colours[state].upper() for state in State} == {
        state: palette.STATES[state] for state in State
    }
    for state in State:
        assert f'[data-state="{state}"] {{ border-left-color: var(--{state}); }}' in style
