"""Who is let in: passwords, tokens, proofs and certificates, and how often one may be wrong."""

from __future__ import annotations

import asyncio
import base64
import ssl
import threading
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import bcrypt
import pytest
import trustme
from aiohttp import (
    ClientConnectorError,
    ClientOSError,
    ClientSession,
    ServerDisconnectedError,
    TCPConnector,
    web,
)
from aiohttp.test_utils import TestServer, make_mocked_request
from hypothesis import given
from hypothesis import settings as effort
from hypothesis import strategies as st
from multidict import CIMultiDict
from prometheus_client import CollectorRegistry

from raft_exporter.report_proof import HEADER, Question
from raft_exporter.secret import Secret
from raft_exporter.web import attempts, credentials
from raft_exporter.web.access import HTTP_REASONS, Access
from raft_exporter.web.app import make_app
from raft_exporter.web_config import RateLimitConfig, WebSettings, load
from tests.test_web_api import Desk
from tests.web.face import cluster, member

PASSWORD = "hush"
TOKEN = Secret("a-token")
SHARED = Secret("shared-by-all-sidecars")


def hashed(password: str | bytes) -> bytes:
    return bcrypt.hashpw(password if isinstance(password, bytes) else password.encode(), bcrypt.gensalt(4))


ANN = hashed(PASSWORD)
USERS = WebSettings(users={"ann": ANN})


def basic(name: str = "ann", password: str | bytes = PASSWORD) -> str:
    secret = password if isinstance(password, bytes) else password.encode()
    return f"Basic {base64.b64encode(name.encode() + b':' + secret).decode()}"


class Clock:
    """The time, as the test sets it."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class Transport(asyncio.Transport):
    """A transport that comes from somewhere."""

    def __init__(self, host: str) -> None:
        super().__init__({"peername": (host, 1)})


class Gate:
    """An access with its clock, what it refused, and requests to it from anywhere, without a server."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.refused: Counter[str] = Counter()
        self.access = Access(self._count, self.clock)

    def _count(self, reason: str) -> None:
        assert reason in HTTP_REASONS
        self.refused[reason] += 1

    async def ask(self, *authorization: str, client: str = "10.0.0.1", path: str = "/") -> int:
        return (await self.answer(*authorization, client=client, path=path)).status

    async def answer(
        self, *authorization: str, client: str = "10.0.0.1", path: str = "/"
    ) -> web.StreamResponse:
        headers = CIMultiDict([("Authorization", each) for each in authorization])
        request = make_mocked_request("GET", path, headers, transport=Transport(client))

        async def handler(_: web.Request) -> web.Response:
            return web.Response()

        try:
            return await self.access.answer(request, handler)
        except web.HTTPException as refusal:
            return refusal


@pytest.fixture
def gate() -> Gate:
    gate = Gate()
    gate.access.take(TOKEN, USERS, lambda: [SHARED])
    return gate


@pytest.fixture
def compared(monkeypatch: pytest.MonkeyPatch) -> list[tuple[bytes, bytes, threading.Thread]]:
    """What bcrypt compared, and in which thread."""
    calls: list[tuple[bytes, bytes, threading.Thread]] = []
    compare = bcrypt.checkpw

    def checkpw(password: bytes, stored: bytes) -> bool:
        calls.append((password, stored, threading.current_thread()))
        return compare(password, stored)

    monkeypatch.setattr(bcrypt, "checkpw", checkpw)
    return calls


Compared = list[tuple[bytes, bytes, threading.Thread]]


# passwords


@pytest.mark.parametrize(
    "authorization",
    [
        basic(password=""),
        basic(password="Hush"),
        basic(name="bob"),
        basic(name=""),
        basic(password=b"\x00"),
        basic(password=b"\xff\xfe"),
        "Basic",
        "Basic !",
        f"Basic {base64.b64encode(b'ann').decode()}",
        f"Basic {base64.b64encode(bytes([255]) + b':hush').decode()}",
        basic().removesuffix("="),
        "Basic ü",
    ],
)
async def test_a_wrong_password_is_none(gate: Gate, authorization: str) -> None:
    answer = await gate.answer(authorization)
    assert (answer.status, answer.headers["WWW-Authenticate"]) == (
        401,
        'Basic realm="raft-exporter", charset="UTF-8"',
    )
    assert gate.refused == {"wrong_password": 1}


@pytest.mark.parametrize("authorization", ["", "Digest x", "basic" + basic()[5:] + ", x", "Bearer"])
async def test_what_is_no_credential_is_refused(gate: Gate, authorization: str) -> None:
    assert await gate.ask(authorization) == 401


async def test_the_scheme_may_be_written_in_any_case(gate: Gate) -> None:
    assert await gate.ask("bASIC" + basic()[5:]) == 200
    assert await gate.ask("BEARER a-token") == 200


@pytest.mark.parametrize("kind", [b"$2a$", b"$2b$", b"$2y$"])
async def test_a_hash_may_be_of_any_kind_that_is_made_today(gate: Gate, kind: bytes) -> None:
    gate.access.take(None, WebSettings(users={"ann": ANN.replace(b"$2b$", kind)}))
    assert (await gate.ask(basic()), await gate.ask(basic(password="x"))) == (200, 401)


@effort(max_examples=50)
@given(
    st.text(max_size=30) | st.binary(max_size=30).map(lambda each: f"Basic {base64.b64encode(each).decode()}")
)
async def test_whatever_is_shown_is_refused_and_breaks_nothing(authorization: str) -> None:
    gate = Gate()
    gate.access.take(TOKEN, USERS, lambda: [SHARED])
    assert await gate.ask(authorization) == 401
    assert gate.refused.total() == 1


async def test_of_two_credentials_none_counts(gate: Gate) -> None:
    assert await gate.ask(basic(), basic()) == 401
    assert await gate.ask("Bearer a-token", basic(password="x")) == 401
    assert gate.refused == {"no_credentials": 2}


async def test_bcrypt_looks_at_72_bytes_and_a_longer_password_is_wrong(
    gate: Gate, compared: Compared
) -> None:
    most = b"x" * 72
    gate.access.take(None, WebSettings(users={"ann": hashed(most)}))
    assert await gate.ask(basic(password=most + b"x")) == 401
    assert compared == []
    assert await gate.ask(basic(password=most)) == 200


async def test_what_bcrypt_does_not_take_is_wrong(gate: Gate, monkeypatch: pytest.MonkeyPatch) -> None:
    def checkpw(*_: bytes) -> bool:
        raise ValueError

    monkeypatch.setattr(bcrypt, "checkpw", checkpw)
    assert await gate.ask(basic()) == 401


async def test_a_password_is_compared_once_for_a_client_and_not_by_the_event_loop(
    gate: Gate, compared: Compared
) -> None:
    assert await asyncio.gather(*(gate.ask(basic()) for _ in range(20))) == [200] * 20
    assert [(password, stored) for password, stored, _ in compared] == [(b"hush", ANN)]
    assert compared[0][2] is not threading.main_thread()
    assert await gate.ask(basic(), client="10.0.0.2") == 200
    assert len(compared) == 2


async def test_an_unknown_user_costs_as_much_as_the_dearest(gate: Gate, compared: Compared) -> None:
    dear = bcrypt.hashpw(b"x", bcrypt.gensalt(5))
    gate.access.take(None, WebSettings(users={"ann": ANN, "bob": dear}))
    assert await gate.ask(basic(name="eve")) == 401
    ((_, stored, _),) = compared
    assert stored[4:6] == b"05"


async def test_what_is_remembered_is_bounded_and_shows_nothing(
    gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(credentials, "MAX_KNOWN", 4)
    for number in range(9):
        assert await gate.ask("Bearer a-token", client=f"10.1.0.{number}") == 200
    assert len(gate.access._known._known) == 4
    held = repr(vars(gate.access)) + repr(vars(gate.access._known)) + repr(gate.access._settings)
    assert "a-token" not in held
    assert ANN.decode() not in held


# other users, another token


async def test_a_password_that_changed_is_wrong_at_once_and_one_that_did_not_costs_nothing(
    gate: Gate, compared: Compared
) -> None:
    assert await gate.ask(basic()) == 200
    rights = gate.access.rights
    gate.access.take(TOKEN, WebSettings(users={"ann": ANN}), lambda: [SHARED])
    assert gate.access.rights is rights
    assert await gate.ask(basic()) == 200
    assert len(compared) == 1
    gate.access.take(TOKEN, WebSettings(users={"ann": hashed("other")}))
    assert gate.access.rights is not rights
    assert await gate.ask(basic()) == 401
    gate.access.take(TOKEN, WebSettings(users={"bob": ANN}))
    assert await gate.ask(basic()) == 401


async def test_a_password_that_changes_while_it_is_compared_is_wrong(
    gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def right(*_: object) -> bool:
        gate.access.take(TOKEN, WebSettings(users={"ann": hashed("other")}))
        return True

    monkeypatch.setattr(credentials.Passwords, "right", right)
    assert await gate.ask(basic()) == 401


async def test_a_token_that_changed_is_wrong_at_once(gate: Gate) -> None:
    assert await gate.ask("Bearer a-token") == 200
    gate.access.take(Secret("another"), USERS)
    assert await gate.ask("Bearer a-token") == 401
    assert await gate.ask("Bearer another") == 200
    gate.access.take(None, None)
    assert await gate.ask() == 200


# how often one may be wrong


async def test_who_fails_too_often_waits_whatever_it_tries_next(gate: Gate, compared: Compared) -> None:
    for number in range(attempts.CLIENT_BURST):
        assert await gate.ask(basic(password=str(number))) == 401
    for authorization in (basic(), basic(password="x"), "Bearer a-token", "Bearer x"):
        answer = await gate.answer(authorization)
        assert (answer.status, answer.headers["Retry-After"]) == (429, "6")
    assert len(compared) == attempts.CLIENT_BURST
    assert gate.refused == {"wrong_password": attempts.CLIENT_BURST, "failed_logins": 4}
    assert await gate.ask(basic(), client="10.0.0.2") == 200
    gate.clock.now += attempts.CLIENT_INTERVAL
    assert await gate.ask("Bearer x") == 401
    assert await gate.ask("Bearer x") == 429
    gate.clock.now += attempts.CLIENT_INTERVAL
    assert await gate.ask(basic()) == 200


async def test_who_was_right_before_is_never_locked_out(gate: Gate) -> None:
    assert (await gate.ask(basic()), await gate.ask("Bearer a-token")) == (200, 200)
    for _ in range(3 * attempts.CLIENT_BURST):
        assert await gate.ask("Bearer x") in {401, 429}
    assert (await gate.ask(basic()), await gate.ask("Bearer a-token")) == (200, 200)


async def test_an_attack_from_everywhere_costs_only_so_many_comparisons(
    gate: Gate, compared: Compared
) -> None:
    assert await gate.ask(basic()) == 200
    asked = [await gate.ask(basic(password="x"), client=f"10.2.0.{number}") for number in range(50)]
    assert asked == [401] * attempts.ALL_BURST + [429] * (50 - attempts.ALL_BURST)
    assert len(compared) == 1 + attempts.ALL_BURST
    assert await gate.ask(basic()) == 200
    assert await gate.ask("Bearer a-token", client="10.2.1.1") == 200


async def test_the_addresses_of_one_ipv6_network_are_one_client(gate: Gate) -> None:
    asked = [await gate.ask("Bearer x", client=f"2001:db8::{number:x}") for number in range(11)]
    assert asked == [401] * 10 + [429]
    assert await gate.ask("Bearer x", client="2001:db8:0:1::") == 401
    assert [await gate.ask("Bearer x", client="::ffff:10.3.0.1") for _ in range(10)] == [401] * 10
    assert await gate.ask("Bearer x", client="10.3.0.1") == 429


async def test_the_clients_that_are_told_apart_are_bounded(gate: Gate) -> None:
    for number in range(attempts.MAX_CLIENTS + 5):
        gate.access._failed.failed(str(number))
    assert len(gate.access._failed._clients) == attempts.MAX_CLIENTS


def test_a_bucket_gives_its_burst_then_one_each_interval() -> None:
    bucket = attempts.Bucket(2.0, 3, 100.0)
    assert [bucket.take(100.0) for _ in range(4)] == [0, 0, 0, pytest.approx(2.0)]
    assert bucket.take(101.5) == pytest.approx(0.5)
    assert [bucket.take(102.0), bucket.take(102.0)] == [0, pytest.approx(2.0)]
    assert bucket.take(90.0) == pytest.approx(2.0)  # a clock that goes back gives nothing
    assert [bucket.take(1000.0) for _ in range(4)] == [0, 0, 0, pytest.approx(2.0)]


async def test_a_rate_limit_is_of_all_requests_the_right_ones_too(gate: Gate) -> None:
    gate.access.take(None, WebSettings(rate_limit=RateLimitConfig(interval=2.0, burst=2)))
    assert [await gate.ask() for _ in range(2)] == [200, 200]
    refused = await gate.answer(client="10.0.0.2")
    assert (refused.status, refused.headers["Retry-After"]) == (429, "2")
    assert gate.refused == {"rate_limit": 1}
    gate.access.take(TOKEN, WebSettings(rate_limit=RateLimitConfig(interval=2.0, burst=2)))
    assert await gate.ask() == 429
    gate.clock.now += 2.0
    assert await gate.ask() == 200
    gate.access.take(None, None)
    assert [await gate.ask() for _ in range(5)] == [200] * 5


# on a server


class Served:
    """The app behind a gate, and a session to it."""

    def __init__(self, gate: Gate, desk: Desk, server: TestServer, session: ClientSession) -> None:
        self.gate, self.desk = gate, desk
        self._server, self._session = server, session

    async def ask(
        self, path: str, authorization: str | None = None, method: str = "GET", **options: Any
    ) -> tuple[int, bytes, Mapping[str, str]]:
        headers = {} if authorization is None else {"Authorization": authorization}
        url = self._server.make_url(path)
        async with self._session.request(method, url, headers=headers, **options) as response:
            return response.status, await response.read(), response.headers


@asynccontextmanager
async def serving(
    settings: WebSettings | None,
    *,
    tls: ssl.SSLContext | None = None,
    client: ssl.SSLContext | None = None,
) -> AsyncIterator[Served]:
    gate, desk = Gate(), Desk()
    gate.access.take(TOKEN, settings, lambda: [SHARED])
    app = make_app(
        CollectorRegistry(), lambda: cluster(member("n1"), member("n2")), lambda: True, desk, gate.access
    )
    server = TestServer(app, scheme="http" if tls is None else "https")
    await server.start_server(ssl=tls)
    try:
        connector = TCPConnector(ssl=client) if client is not None else TCPConnector()
        async with ClientSession(connector=connector) as session:
            yield Served(gate, desk, server, session)
    finally:
        await server.close()


async def test_an_open_page_follows_by_password_and_changes_by_token() -> None:
    async with serving(USERS) as served:
        body = {"state": "offline", "reason": "disk swap", "author": "ann"}
        url = served._server.make_url("/api/v1/stream")
        async with served._session.get(url, headers={"Authorization": basic()}) as stream:
            assert (stream.status, await stream.content.readline()) == (200, b"event: hello\n")
            path = "/api/v1/overrides/n2"
            status, _, headers = await served.ask(path, basic(), "PUT", json=body)
            assert (status, headers["WWW-Authenticate"]) == (401, "Bearer")  # no browser asks for a password
            assert served.desk.overrides() == ()
            assert (await served.ask(path, "Bearer a-token", "PUT", json=body))[0] == 200
        assert [each.peer for each in served.desk.overrides()] == ["n2"]


async def test_without_a_token_a_user_may_change_something_from_this_machine_alone() -> None:
    async with serving(USERS) as served:
        served.gate.access.take(None, USERS)
        path = "/api/v1/overrides/n2?author=ann"
        assert (await served.ask(path, method="DELETE"))[0] == 401
        assert (await served.ask(path, basic(), "DELETE"))[0] == 404  # it is let in, and has none to clear
        forwarded = {"Authorization": basic(), "X-Forwarded-For": "10.0.0.1"}
        url = served._server.make_url(path)
        async with served._session.delete(url, headers=forwarded) as response:
            assert response.status == 403
        assert served.gate.refused == {"no_credentials": 1, "not_local": 1}


@pytest.mark.parametrize("named", [True, False])
async def test_a_report_is_proved_to_who_proves_its_question_whatever_it_says(named: bool) -> None:
    async with serving(None) as served:
        if not named:
            served.desk.message = None
        question = Question("n1", [SHARED])
        status, body, headers = await served.ask("/api/v1/report", question.authorization)
        assert status == (200 if named else 503)
        assert question.is_answered_by(headers[HEADER], status, body)
        _, _, unasked = await served.ask("/api/v1/report", "Bearer a-token")
        assert HEADER not in unasked


async def test_with_a_secret_between_sidecars_a_report_is_given_to_nobody_without() -> None:
    async with serving(None) as served:
        stranger = Question("n1", [Secret("not-the-one-of-them")]).authorization
        asked = [
            (await served.ask("/api/v1/report", each))[0]
            for each in (None, basic(), stranger, "Bearer x", f"Bearer {SHARED.reveal()}", "Bearer a-token")
        ]
        assert asked == [401, 401, 401, 401, 200, 200]
        proof = Question("n1", [SHARED]).authorization
        assert (await served.ask("/api/v1/cluster", proof))[0] == 200  # which everybody may read
        assert served.gate.refused == {"no_credentials": 2, "wrong_proof": 1, "wrong_token": 1}


async def test_a_right_proof_waits_for_nothing() -> None:
    async with serving(None) as served:
        stranger = Question("n1", [Secret("not-the-one-of-them")]).authorization
        asked = [(await served.ask("/api/v1/report", stranger))[0] for _ in range(12)]
        assert asked == [401] * 10 + [429] * 2
        assert (await served.ask("/api/v1/report", stranger))[2]["Retry-After"] == "6"
        assert (await served.ask("/api/v1/report", Question("n1", [SHARED]).authorization))[0] == 200


async def test_headers_of_the_web_configuration_are_on_every_answer_over_our_own() -> None:
    headers = {"Content-Security-Policy": "default-src 'self'", "X-Frame-Options": "deny"}
    async with serving(WebSettings(users={"ann": ANN}, headers=headers)) as served:
        for path, authorization, status in (
            ("/", basic(), 200),
            ("/", None, 401),
            ("/none", basic(), 404),
            ("/metrics", basic(), 200),
        ):
            answered = await served.ask(path, authorization)
            assert answered[0] == status
            assert {name: answered[2][name] for name in headers} == headers
            assert answered[2]["X-Content-Type-Options"] == "nosniff"


# client certificates


class Authority:
    """Certificates, and files of a web configuration that wants them."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._authority = trustme.CA()
        self._authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(folder / "both")
        self._authority.cert_pem.write_to_path(folder / "ca")

    def settings(self, *lines: str) -> WebSettings:
        path = self._folder / "web.yml"
        path.write_text(
            "\n".join(
                [
                    "tls_server_config:",
                    *(f"  {line}" for line in ("cert_file: both", "key_file: both", *lines)),
                ]
            )
        )
        return load(path)

    def client(self, *names: str, authority: trustme.CA | None = None) -> ssl.SSLContext:
        context = ssl.create_default_context()
        self._authority.configure_trust(context)
        if names:
            (authority or self._authority).issue_cert(*names).configure_cert(context)
        return context


REQUIRED = ("client_ca_file: ca", "client_auth_type: RequireAndVerifyClientCert")


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.mark.parametrize(
    ("names", "status"),
    [
        (("prometheus.example",), 200),
        (("other.example", "10.0.0.7"), 200),
        (("fd00::7",), 200),
        (("ann@example.org",), 200),
        (("other.example", "10.0.0.8", "sub.prometheus.example"), 403),
        (("Ann@example.org",), 403),
    ],
)
async def test_a_client_certificate_has_to_have_an_allowed_name(
    authority: Authority, names: tuple[str, ...], status: int
) -> None:
    allowed = "client_allowed_sans: [prometheus.example, 10.0.0.7, 'fd00:0::7', ann@example.org]"
    settings = authority.settings(*REQUIRED, allowed)
    async with serving(settings, tls=settings.context, client=authority.client(*names)) as served:
        answer = await served.ask("/-/healthy")
        assert answer[0] == status
        assert (answer[2].get("Connection") == "close") == (status == 403)
        assert served.gate.refused == ({} if status == 200 else {"wrong_certificate": 1})


@pytest.mark.parametrize("names", [(), ("prometheus.example",)])
async def test_no_certificate_or_one_of_another_authority_gets_no_connection(
    authority: Authority, names: tuple[str, ...]
) -> None:
    settings = authority.settings(*REQUIRED)
    client = authority.client(*names, authority=trustme.CA())
    async with serving(settings, tls=settings.context, client=client) as served:
        with pytest.raises((ClientConnectorError, ClientOSError, ServerDisconnectedError)):
            await served.ask("/-/healthy")
    assert served.gate.refused == {}


async def test_a_connection_from_before_a_certificate_was_asked_for_is_closed(authority: Authority) -> None:
    before = authority.settings()
    async with serving(before, tls=before.context, client=authority.client()) as served:
        assert (await served.ask("/-/healthy"))[0] == 200
        served.gate.access.take(TOKEN, authority.settings(*REQUIRED))
        status, _, headers = await served.ask("/-/healthy")
        assert (status, headers["Connection"]) == (403, "close")
