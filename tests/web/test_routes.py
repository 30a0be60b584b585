"""Every route of the app's own router by every method: without, with wrong and with right credentials."""

from __future__ import annotations

import base64
import itertools
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import bcrypt
import msgspec
import pytest
from aiohttp import ClientSession, ClientTimeout, web
from aiohttp.test_utils import TestServer
from msgspec import Struct
from prometheus_client import CollectorRegistry

from raft_exporter.report_proof import Question
from raft_exporter.secret import Secret
from raft_exporter.web.access import Access
from raft_exporter.web.app import make_app
from raft_exporter.web_config import WebSettings
from tests.web.face import Face, cluster, member

METHODS: Final = ("GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE")
TOKEN: Final = Secret("the-token-of-operators")
SHARED: Final = Secret("the-secret-of-sidecars")
PASSWORD: Final = "the-password-of-ann"
USERS: Final = WebSettings(users={"ann": bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(4))})


class Route(Struct, frozen=True):
    """What answers those who are let in: to a request without body and query."""

    status: int
    changes: bool = False
    report: bool = False


READ: Final = Route(200)
ROUTES: Final = {
    ("GET", "/"): READ,
    ("GET", "/metrics"): READ,
    ("GET", "/-/healthy"): READ,
    ("GET", "/-/ready"): READ,
    ("POST", "/-/reload"): Route(200, changes=True),
    ("GET", "/sd"): Route(503),
    ("GET", "/api/openapi.json"): READ,
    ("GET", "/api/v1/cluster"): READ,
    ("GET", "/api/v1/checkup"): READ,
    ("GET", "/api/v1/events"): READ,
    ("GET", "/api/v1/stream"): READ,
    ("GET", "/api/v1/report"): Route(503, report=True),
    ("GET", "/api/v1/overrides"): READ,
    ("PUT", "/api/v1/overrides/{peer}"): Route(415, changes=True),
    ("DELETE", "/api/v1/overrides/{peer}"): Route(400, changes=True),
}
"""All but the parts of the page; where GET is, HEAD is. A new route needs an entry here."""


def basic(password: str) -> str:
    return f"Basic {base64.b64encode(f'ann:{password}'.encode()).decode()}"


CREDENTIALS: Final = {
    "nothing": None,
    "a wrong password": basic("hush"),
    "a wrong token": "Bearer hush",
    "a wrong proof": Question("n1", [Secret("not-the-one-of-them")]).authorization,
    "a password": basic(PASSWORD),
    "the token": f"Bearer {TOKEN.reveal()}",
    "the sidecars' secret": f"Bearer {SHARED.reveal()}",
    "a proof": Question("n1", [SHARED]).authorization,
}


class Gate(Struct, frozen=True):
    """How a sidecar is configured, and what lets in to each kind of route."""

    settings: WebSettings | None
    token: Secret | None
    secret: Secret | None
    reading: frozenset[str] = frozenset(CREDENTIALS)
    reporting: frozenset[str] = frozenset(CREDENTIALS)
    changing: frozenset[str] = frozenset(CREDENTIALS)

    def lets_in(self, route: Route | None) -> frozenset[str]:
        if route is not None and route.report:
            return self.reporting
        return self.changing if route is not None and route.changes else self.reading


OPERATOR: Final = frozenset({"the token"})
USER: Final = OPERATOR | {"a password"}
SIDECAR: Final = OPERATOR | {"the sidecars' secret", "a proof"}
GATES: Final = {
    "nothing": Gate(None, None, None),
    "a token": Gate(None, TOKEN, None, changing=OPERATOR),
    "a secret": Gate(None, TOKEN, SHARED, reporting=SIDECAR, changing=OPERATOR),
    "users": Gate(USERS, TOKEN, None, USER, USER, OPERATOR),
    "users and a secret": Gate(USERS, TOKEN, SHARED, USER, SIDECAR, OPERATOR),
    "users and no token": Gate(USERS, None, None, *[frozenset({"a password"})] * 3),
}


class Sidecar:
    """A served app, its routes, and why it refused."""

    def __init__(self, gate: Gate) -> None:
        self.refused: Counter[str] = Counter()
        clock = itertools.count(0.0, 1000.0)  # whoever failed may try again the next time
        access = Access(self._count, lambda: next(clock))
        secret = gate.secret
        access.take(gate.token, gate.settings, None if secret is None else lambda: [secret])
        face = Face(cluster(member("n1")))
        self.app = make_app(CollectorRegistry(), lambda: face.view, lambda: True, face, access)

    def routes(self) -> dict[tuple[str, str], Route]:
        found: dict[tuple[str, str], Route] = {}
        for route in self.app.router.routes():
            assert route.resource is not None
            path = route.resource.canonical
            get = ("GET" if route.method == "HEAD" else route.method, path)
            found[route.method, path] = READ if path.startswith("/page/") else ROUTES[get]
        return found

    def _count(self, reason: str) -> None:
        self.refused[reason] += 1


@asynccontextmanager
async def serving(app: web.Application) -> AsyncIterator[tuple[ClientSession, str]]:
    async with TestServer(app) as server, ClientSession(timeout=ClientTimeout(total=10)) as session:
        yield session, str(server.make_url(""))


def test_every_route_has_its_entry_and_every_entry_is_a_route() -> None:
    served = {
        (route.method, route.resource.canonical)
        for route in Sidecar(GATES["nothing"]).app.router.routes()
        if route.resource is not None and route.method != "HEAD"
    }
    assert {(method, path) for method, path in served if not path.startswith("/page/")} == ROUTES.keys()


@pytest.mark.parametrize("configured", GATES)
async def test_every_route_lets_in_whom_it_should_and_nobody_else(configured: str) -> None:
    gate = GATES[configured]
    sidecar = Sidecar(gate)
    routes = sidecar.routes()
    parts = sorted(path for method, path in routes if path.startswith("/page/") and method == "GET")
    paths = sorted({path for _, path in routes} - set(parts[1:]) | {"/nothing", "/page/../nothing"})
    refused = 0
    async with serving(sidecar.app) as (session, url):
        for path, method, (shown, authorization) in itertools.product(paths, METHODS, CREDENTIALS.items()):
            route = routes.get((method, path))
            status = route.status if route is not None else 404 if path.endswith("/nothing") else 405
            status = status if shown in gate.lets_in(route) else 401
            headers = {} if authorization is None else {"Authorization": authorization}
            where = url + path.replace("{peer}", "n1")
            async with session.request(method, where, headers=headers) as response:
                told = f"{method} {path} with {shown} where {configured} is configured"
                assert response.status == status, told
                assert ("WWW-Authenticate" in response.headers) == (status == 401), told
                assert response.headers["X-Content-Type-Options"] == "nosniff", told
                if status >= 400 and method != "HEAD":
                    body = await response.read()
                    assert list(msgspec.json.decode(body)) == ["error"], told
                    assert not [each for each in (PASSWORD, *secrets()) if each.encode() in body], told
            refused += status == 401
    assert sidecar.refused.total() == refused


async def test_no_part_of_the_page_is_given_without_credentials() -> None:
    sidecar = Sidecar(GATES["users"])
    async with serving(sidecar.app) as (session, url):
        for method, path in sidecar.routes():
            if path.startswith("/page/"):
                for authorization, status in ((None, 401), (CREDENTIALS["a password"], 200)):
                    headers = {} if authorization is None else {"Authorization": authorization}
                    async with session.request(method, url + path, headers=headers) as response:
                        assert (path, response.status) == (path, status)


def secrets() -> tuple[str, str]:
    return TOKEN.reveal(), SHARED.reveal()
