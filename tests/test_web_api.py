"""Reports, events and overrides over HTTP, on a real aiohttp server."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
from aiohttp import ClientSession, web
from aiohttp.test_utils import TestServer, make_mocked_request
from prometheus_client import CollectorRegistry

from raft_exporter import view
from raft_exporter.answers import (
    Event,
    Events,
    OverrideCleared,
    OverrideSet,
    StandingOverride,
    StandingOverrides,
)
from raft_exporter.checkup import Check, Checkup
from raft_exporter.discovery import TargetGroup
from raft_exporter.errors import ConfigError, RaftExporterError, StartError
from raft_exporter.journal import Entry, EntryKind, Journal, evidence_ages
from raft_exporter.model.evidence import Report, Role
from raft_exporter.model.judge import MemberEvidence, Reason, State
from raft_exporter.model.override import FORCED, MAX_SECONDS, Override, Overrides
from raft_exporter.report import Message, decode, encode
from raft_exporter.secret import Secret
from raft_exporter.view import ClusterView
from raft_exporter.web import api
from raft_exporter.web.access import Access, token_from
from raft_exporter.web.app import make_app
from raft_exporter.web.local import check_local

WALL = 1_700_000_000.0


class Desk:
    """A sidecar's operations, in memory."""

    def __init__(self) -> None:
        self.message: Message | None = Message(report=Report("n1", ()))
        self.journal = Journal(5000)
        self.held = Overrides()
        self.ids = {"n1", "n2", "a/b", "50% ü"}
        self.stored = True
        self.fault: RaftExporterError | None = None
        self.reloads = 0

    def report(self) -> bytes | None:
        return None if self.message is None else encode(self.message)

    def events(self, after: int, limit: int, peer: str | None) -> Sequence[Entry]:
        return self.journal.after(after, limit, peer)

    def overrides(self) -> Sequence[Override]:
        return tuple(self.held.standing(WALL).values())

    def members(self) -> set[str]:
        return self.ids

    def checkup(self) -> Checkup:
        return Checkup((Check("store", None, "nothing outlives a restart", "--store PATH"),))

    def targets(self, asked_at: str) -> Sequence[TargetGroup] | None:
        return None

    async def set_override(
        self, peer: str, state: str, seconds: float, author: str, reason: str
    ) -> tuple[Override, bool]:
        override = Override(WALL, "n1", state, WALL + seconds, author, reason, peer)
        self.held.merge([override])
        return override, self.stored

    async def reload(self) -> None:
        self.reloads += 1
        if self.fault is not None:
            raise self.fault

    async def clear_override(self, peer: str, author: str, reason: str) -> bool | None:
        if peer not in self.held.standing(WALL):
            return None
        self.held.merge([Override(WALL + 1, "n1", "", WALL, author, reason, peer)])
        return self.stored


def no_view() -> ClusterView:
    raise NotImplementedError


class Face:
    """A served desk, and who asks it."""

    def __init__(self, desk: Desk, session: ClientSession, url: str) -> None:
        self.desk = desk
        self._session = session
        self._url = url

    async def ask(self, method: str, path: str, **options: Any) -> tuple[int, Any]:
        async with self._session.request(method, self._url + path, **options) as response:
            assert response.content_type == "application/json"
            return response.status, await response.json()

    async def set(self, peer: str = "n2", /, headers: dict[str, str] | None = None, **fields: Any) -> Any:
        body = {"state": "offline", "reason": "disk swap", "author": "ann"} | fields
        return await self.ask("PUT", f"/api/v1/overrides/{peer}", json=body, headers=headers)

    async def clear(self, peer: str = "n2", /, query: str = "author=ann", **options: Any) -> Any:
        return await self.ask("DELETE", f"/api/v1/overrides/{peer}?{query}", **options)


@asynccontextmanager
async def serving(token: str | None = None) -> AsyncIterator[Face]:
    desk = Desk()
    access = Access(lambda _: None)
    access.take(Secret(token) if token is not None else None, None)
    app = make_app(CollectorRegistry(), no_view, lambda: True, desk, access)
    async with TestServer(app) as server, ClientSession() as session:
        yield Face(desk, session, str(server.make_url("")))


@pytest.fixture(autouse=True)
def fixed_wall(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api.routes, "__defaults__", (lambda: WALL,))


# reload


async def test_a_reload_says_whether_the_configuration_was_taken_up() -> None:
    async with serving() as face:
        async with face._session.post(f"{face._url}/-/reload") as response:
            assert (response.status, await response.text()) == (200, "ok\n")
        face.desk.fault = ConfigError(["c.yml: a: expected b, got c", "c.yml: d: no"])
        assert await face.ask("POST", "/-/reload") == (
            422,
            {"error": "c.yml: a: expected b, got c; c.yml: d: no"},
        )
        assert face.desk.reloads == 2


# reports and events


async def test_the_report_is_served_as_the_sidecar_writes_it() -> None:
    async with serving() as face:
        async with face._session.get(f"{face._url}/api/v1/report") as response:
            assert response.headers["Cache-Control"] == "no-store"
            assert decode(await response.read(), WALL) == face.desk.message
        face.desk.message = None
        assert await face.ask("GET", "/api/v1/report") == (
            503,
            {"error": "the node has not said its name yet"},
        )


async def test_a_checkup_is_served_as_it_is() -> None:
    async with serving() as face:
        answer = await face.ask("GET", "/api/v1/checkup")
    check = {"name": "store", "ok": None, "text": "nothing outlives a restart", "hint": "--store PATH"}
    assert answer == (200, {"checks": [check]})


async def test_events_come_with_their_sentence_and_the_latest_number() -> None:
    async with serving() as face:
        assert await face.ask("GET", "/api/v1/events") == (200, {"entries": [], "latest": 0})
        face.desk.journal.add(Entry(0, WALL, EntryKind.STARTED))
        face.desk.journal.add(
            Entry(
                0,
                WALL,
                EntryKind.STATE,
                "n2",
                State.ONLINE,
                State.SUSPECT,
                Reason.SILENT,
                12.0,
                evidence={"asked_at": 2.0},
            )
        )
        assert await face.ask("GET", "/api/v1/events") == (
            200,
            {
                "entries": [
                    {"id": 1, "at": WALL, "kind": "started", "text": "this sidecar started"},
                    {
                        "id": 2,
                        "at": WALL,
                        "kind": "state",
                        "peer": "n2",
                        "before": "online",
                        "after": "suspect",
                        "reason": "silent",
                        "before_for": 12.0,
                        "evidence": {"asked_at": 2.0},
                        "text": "n2 is suspect: it is not heard (was online for 12s)",
                    },
                ],
                "latest": 2,
            },
        )


def test_what_the_judge_knew_survives_the_way() -> None:
    evidence = evidence_ages(MemberEvidence(armed_at=1.0, path_proven=True, refusals=2), 4.5)
    event = Event.of(Entry(1, WALL, EntryKind.STATE, "n2", after=State.SUSPECT, evidence=evidence))
    answer = msgspec.json.encode(Events((event,), 1))
    assert msgspec.json.decode(answer, type=Events).entries == (event,)
    assert (evidence["armed_at"], evidence["path_proven"], evidence["refusals"]) == (3.5, True, 2)


@pytest.mark.parametrize(
    ("query", "ids"),
    [
        ("", list(range(101, 201))),
        ("after=198", [199, 200]),
        ("limit=2", [199, 200]),
        ("limit=1000", list(range(1, 201))),
        ("after=10&limit=3&peer=n1", [196, 198, 200]),
        ("peer=n9", []),
        ("after=500", []),
    ],
)
async def test_events_can_be_chosen(query: str, ids: list[int]) -> None:
    async with serving() as face:
        for number in range(1, 201):
            face.desk.journal.add(Entry(0, WALL, EntryKind.JOINED, "n2" if number % 2 else "n1"))
        status, answer = await face.ask("GET", f"/api/v1/events?{query}")
    assert status == 200
    assert [entry["id"] for entry in answer["entries"]] == ids
    assert answer["latest"] == 200


@pytest.mark.parametrize(
    "query",
    ["after=-1", "after=x", "after=", "after=99999999999999999999", "limit=0", "limit=1001", "limit=%D9%A1"],
)
async def test_a_number_that_is_none_is_said_so(query: str) -> None:
    async with serving() as face:
        status, answer = await face.ask("GET", f"/api/v1/events?{query}")
    assert status == 400
    assert answer["error"].startswith(f"{query.split('=', maxsplit=1)[0]}: expected a whole number from ")


# overrides


async def test_an_override_is_set_listed_and_cleared() -> None:
    async with serving() as face:
        assert await face.ask("GET", "/api/v1/overrides") == (200, {"overrides": []})
        standing = {
            "peer": "n2",
            "state": "offline",
            "reason": "disk swap",
            "author": "ann",
            "set_at": WALL,
            "expires_at": WALL + 60,
            "expires_in_seconds": 60.0,
            "node": "n1",
        }
        assert await face.set(for_seconds=60, reason=" disk swap ") == (
            200,
            {"override": standing, "stored": True},
        )
        assert await face.ask("GET", "/api/v1/overrides") == (200, {"overrides": [standing]})
        assert await face.clear() == (200, {"peer": "n2", "stored": True})
        assert await face.ask("GET", "/api/v1/overrides") == (200, {"overrides": []})
        assert await face.clear() == (404, {"error": "expected a member with an override, 'n2' has none"})


async def test_an_override_lasts_an_hour_unless_told_otherwise() -> None:
    async with serving() as face:
        _, answer = await face.set()
        assert answer["override"]["expires_in_seconds"] == 3600.0
        status, answer = await face.set(for_seconds=MAX_SECONDS)
    assert (status, answer["override"]["expires_in_seconds"]) == (200, MAX_SECONDS)


async def test_what_could_not_be_stored_stands_and_is_said_so() -> None:
    async with serving() as face:
        face.desk.stored = False
        status, answer = await face.set()
        assert (status, answer["stored"]) == (200, False)
        assert await face.clear() == (200, {"peer": "n2", "stored": False})


@pytest.mark.parametrize(("path", "peer"), [("a%2Fb", "a/b"), ("50%25%20%C3%BC", "50% ü")])
async def test_any_id_can_be_named(path: str, peer: str) -> None:
    async with serving() as face:
        from yarl import URL

        url = URL(f"{face._url}/api/v1/overrides/{path}", encoded=True)
        body = {"state": "ignore", "reason": "r", "author": "a"}
        async with face._session.put(url, json=body) as response:
            assert (await response.json())["override"]["peer"] == peer


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        (
            {"state": "broken"},
            "state: expected one of unknown, online, suspect, stalled, asymmetric, offline, ignore,",
        ),
        ({"state": ""}, "state: expected one of"),
        ({"state": 1}, "expected an object with state, reason, author and for_seconds: "),
        ({"for_secs": 60}, "expected an object"),
        ({"for_seconds": 0}, "expected an object"),
        ({"for_seconds": -1}, "expected an object"),
        ({"for_seconds": MAX_SECONDS + 1}, "expected an object"),
        ({"for_seconds": "1h"}, "expected an object"),
        ({"reason": ""}, "reason: expected 1 to 500 characters"),
        ({"reason": "  "}, "reason: expected 1 to 500 characters"),
        ({"reason": "x" * 501}, "reason: expected 1 to 500 characters"),
        ({"reason": "a\nb"}, "reason: expected 1 to 500 characters"),
        ({"author": "\x1b[31m"}, "author: expected 1 to 500 characters"),
        ({"author": None}, "expected an object"),
    ],
)
async def test_a_wish_that_breaks_the_rules_is_told_what_was_expected(
    fields: dict[str, Any], error: str
) -> None:
    async with serving() as face:
        status, answer = await face.set(**fields)
        assert status == 400
        assert answer["error"].startswith(error)
        assert not face.desk.overrides()


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b"\xff", b"[" * 50_000])
async def test_a_body_that_is_no_object_is_refused(body: bytes) -> None:
    async with serving() as face:
        status, answer = await face.ask(
            "PUT", "/api/v1/overrides/n2", data=body, headers={"Content-Type": "application/json"}
        )
    assert status == 400
    assert answer["error"].startswith("expected an object")


async def test_a_body_too_large_of_another_type_or_too_slow_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(api, "_PATIENCE", 0.01)
    forever = asyncio.Event()

    async def trickle() -> AsyncIterator[bytes]:
        yield b"{"
        await forever.wait()

    async with serving() as face:
        large = await face.set(reason="x" * 100_000)
        assert large[0] == 413
        plain = await face.ask(
            "PUT", "/api/v1/overrides/n2", data=b"{}", headers={"Content-Type": "text/plain"}
        )
        assert plain == (415, {"error": "expected the content type application/json"})
        slow = await face.ask(
            "PUT", "/api/v1/overrides/n2", data=trickle(), headers={"Content-Type": "application/json"}
        )
        assert slow[0] == 408


async def test_a_stranger_is_no_member() -> None:
    async with serving() as face:
        expected = (404, {"error": "expected a member of the cluster (50% ü, a/b, n1, n2), got 'n9'"})
        assert await face.set("n9") == expected
        assert await face.clear("n9") == expected
        face.desk.ids = set()
        assert "(none is known)" in (await face.set())[1]["error"]


@pytest.mark.parametrize(
    ("query", "error"),
    [("", "author: expected 1 to 500 characters"), ("author=a&reason=%0A%0A", "reason: expected 1 to 500")],
)
async def test_clearing_needs_an_author_and_words_that_can_be_read(query: str, error: str) -> None:
    async with serving() as face:
        await face.set()
        status, answer = await face.clear(query=query)
        assert (status, answer["error"].startswith(error)) == (400, True)
        assert face.desk.overrides()


@pytest.mark.parametrize(("method", "allowed"), [("POST", "DELETE,PUT"), ("GET", "DELETE,PUT")])
async def test_other_methods_are_refused(method: str, allowed: str) -> None:
    async with (
        serving() as face,
        face._session.request(method, f"{face._url}/api/v1/overrides/n2") as response,
    ):
        assert (response.status, response.headers["Allow"]) == (405, allowed)


# access


@pytest.mark.parametrize(
    "authorization",
    [None, "", "Bearer", "Bearer wrong", "Bearer hus", "Basic hush", "hush", "Bearer h\u00fcsh"],
)
async def test_with_a_token_only_its_bearer_may_change_anything(authorization: str | None) -> None:
    headers = {} if authorization is None else {"Authorization": authorization}
    async with serving("hush") as face:
        for status, answer in (await face.set(headers=headers), await face.clear(headers=headers)):
            assert (status, answer) == (401, {"error": "expected the bearer token of this sidecar"})
        async with face._session.put(f"{face._url}/api/v1/overrides/n2", headers=headers) as response:
            assert response.headers["WWW-Authenticate"] == "Bearer"
        assert not face.desk.overrides()
        assert (await face.ask("GET", "/api/v1/overrides"))[0] == 200


@pytest.mark.parametrize("authorization", ["Bearer hush", "bearer  hush"])
async def test_the_bearer_of_the_token_may(authorization: str) -> None:
    async with serving("hush") as face:
        headers = {"Authorization": authorization, "Host": "n1.example", "X-Forwarded-For": "10.0.0.1"}
        assert (await face.set(headers=headers))[0] == 200
        assert (await face.clear(headers=headers))[0] == 200


@pytest.mark.parametrize(
    ("headers", "error"),
    [
        ({"Host": "evil.example"}, "expected the host localhost"),
        ({"Host": "localhost.evil.example:1"}, "expected the host localhost"),
        ({"Host": "127.0.0.1.evil.example"}, "expected the host localhost"),
        ({"Host": "a b"}, "expected the host localhost"),
        ({"Host": "[::1"}, "expected the host localhost"),
        ({"Origin": "http://evil.example"}, "expected a call of no other origin"),
        ({"Origin": "null"}, "expected a call of no other origin"),
        ({"Host": "localhost:1", "Origin": "http://localhost:2"}, "expected a call of no other origin"),
        ({"X-Forwarded-For": "10.0.0.1"}, "expected a call from this machine itself"),
        ({"Forwarded": "for=10.0.0.1"}, "expected a call from this machine itself"),
    ],
)
async def test_without_a_token_a_page_of_another_site_or_a_proxy_may_not(
    headers: dict[str, str], error: str
) -> None:
    async with serving() as face:
        for status, answer in (await face.set(headers=headers), await face.clear(headers=headers)):
            assert (status, answer["error"].startswith(error)) == (403, True), answer
        assert not face.desk.overrides()


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Host": "localhost"},
        {"Host": "LOCALHOST:9641"},
        {"Host": "[::1]:9641"},
        {"Host": "10.0.0.1"},
        {"Host": "localhost:1", "Origin": "http://localhost:1"},
        {"Host": "localhost:1", "Origin": "https://localhost:1"},
    ],
)
async def test_without_a_token_this_machine_may(headers: dict[str, str]) -> None:
    async with serving() as face:
        assert (await face.set(headers=headers))[0] == 200


class Transport(asyncio.Transport):
    """A transport that comes from somewhere."""

    def __init__(self, peername: object) -> None:
        super().__init__({"peername": peername})


def request_from(peername: object) -> web.Request:
    return make_mocked_request("PUT", "/", {"Host": "localhost"}, transport=Transport(peername))


@pytest.mark.parametrize(
    "peername", [("127.0.0.1", 1), ("127.8.8.8", 1), ("::1", 1, 0, 0), ("::ffff:127.0.0.1", 1, 0, 0)]
)
def test_loopback_is_this_machine(peername: object) -> None:
    check_local(request_from(peername))


@pytest.mark.parametrize(
    "peername",
    [("10.0.0.1", 1), ("::ffff:10.0.0.1", 1, 0, 0), ("fe80::1%lo", 1, 0, 1), ("localhost", 1), "", None],
)
def test_whatever_is_not_loopback_is_not_this_machine(peername: object) -> None:
    with pytest.raises(web.HTTPForbidden):
        check_local(request_from(peername))


def test_a_request_without_a_transport_is_from_nowhere() -> None:
    request = request_from(("127.0.0.1", 1))
    request._protocol.transport = None
    with pytest.raises(web.HTTPForbidden):
        check_local(request)


def test_the_token_of_the_environment_goes_before_that_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_text("hush\n")
    found = [token_from(str(path), None), token_from(str(path), "env"), token_from(None, " env ")]
    assert [each.reveal() for each in found if each] == ["hush", "env", "env"]
    assert token_from(None, None) is None
    assert token_from(None, "") is None


@pytest.mark.parametrize("content", [b"", b"\n", b"two words", b"a\nb", b"\xff\xfe", b"x" * 5000])
def test_a_file_without_a_token_is_an_error_that_does_not_show_it(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "token"
    path.write_bytes(content)
    with pytest.raises(StartError, match="expected a token of visible ASCII characters") as caught:
        token_from(str(path), None)
    assert "two" not in str(caught.value)


def test_a_token_file_that_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(StartError, match=r"web\.token_file: .*none: can't be read: No such file"):
        token_from(str(tmp_path / "none"), None)


# what is documented is so

API = (Path(__file__).parents[1] / "docs" / "api.md").read_text()


def words(text: str) -> set[str]:
    return set(re.findall(r"[a-z][a-z_]+", text))


def test_every_path_is_documented_and_every_documented_path_is_served() -> None:
    app = make_app(CollectorRegistry(), no_view, lambda: True, Desk())
    served = {
        (route.method, route.resource.canonical)
        for route in app.router.routes()
        if route.resource is not None and route.method != "HEAD"
    }
    documented = set(re.findall(r"`(GET|POST|PUT|DELETE) (/[^`?]+)", API))
    apart = {
        (method, path) for method, path in served if path in {"/", "/metrics"} or path.startswith("/page/")
    }
    assert served - apart == documented


def test_the_documented_report_is_one_and_has_every_field() -> None:
    (example,) = re.findall(r"```json\n(\{.*?)```", API, re.DOTALL)
    message = decode(example.encode(), WALL)
    assert message.refused == ()
    assert msgspec.json.decode(encode(message)) == msgspec.json.decode(example)


@pytest.mark.parametrize(
    "struct",
    [
        ClusterView,
        *(view.NodeView, view.QuorumView, view.MemberView, view.OverrideView, view.SilenceView),
        *(view.ReporterView, view.SightView),
        *(Check, Checkup),
        *(Event, Events, StandingOverride, StandingOverrides, OverrideSet, OverrideCleared),
    ],
)
def test_every_field_of_an_answer_is_documented(struct: type[msgspec.Struct]) -> None:
    assert set(struct.__struct_fields__) <= words(API)


def test_every_word_that_an_answer_can_have_is_documented() -> None:
    assert {str(kind) for kind in EntryKind} | set(FORCED) <= words(API)
    assert {str(role) for role in Role} <= words(API)


async def test_a_body_that_is_not_encoded_as_it_says_is_an_error_of_the_caller() -> None:
    headers = {"Content-Type": "application/json", "Content-Encoding": "deflate"}
    async with serving() as face:
        status, answer = await face.ask("PUT", "/api/v1/overrides/n2", data=b"no deflate", headers=headers)
    assert (status, answer) == (400, {"error": "expected a whole body, encoded as it says"})
