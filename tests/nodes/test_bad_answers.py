"""Whatever a node answers is evidence or a NodeError: bounded in memory and time, and with no token in it."""

from __future__ import annotations

import asyncio
import gzip
import json
import logging
import tracemalloc
from collections.abc import Callable, Iterator
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Struct

from raft_exporter.errors import NodeError
from raft_exporter.model.evidence import Evidence
from raft_exporter.schema import JsonFieldsConfig, TlsConfig
from raft_exporter.secret import Secret
from raft_exporter.sources.node_api import MAX_BODY, REASONS, Api
from raft_exporter.sources.nodes.adapter import Adapter
from raft_exporter.sources.nodes.consul import ConsulAdapter
from raft_exporter.sources.nodes.json_api import JsonAdapter
from raft_exporter.sources.nodes.nomad import NomadAdapter
from raft_exporter.sources.nodes.rqlite import RqliteAdapter
from tests.nodes import bodies, test_json_api
from tests.nodes.fake import HASTE, Canned, Handler, Node, asking, hangs, says, served, trickles
from tests.serving import serving

SECRET = "ann:s3cret"


class System(Struct, frozen=True):
    """How one adapter is made, what it asks first, and what it should hear there."""

    make: Callable[[], Adapter]
    path: str
    body: object


SYSTEMS = {
    "consul": System(ConsulAdapter, "/v1/agent/self", bodies.consul_self()),
    "nomad": System(NomadAdapter, "/v1/agent/self", bodies.nomad_self()),
    "rqlite": System(RqliteAdapter, "/status", bodies.rqlite_status()),
    "json": System(lambda: JsonAdapter(test_json_api.FIELDS), "/", {"raft": test_json_api.RAFT}),
}
ANYTHING = JsonFieldsConfig(
    id="0",
    role="1",
    term="2",
    leader_id="3",
    last_contact="4",
    servers="5",
    server_id="0",
    server_address="1",
)


@pytest.fixture(params=SYSTEMS)
def system(request: pytest.FixtureRequest) -> System:
    return SYSTEMS[request.param]


async def error_of(system: System, answer: Handler, *, within: float = 10.0) -> NodeError:
    """Ask the node, whose one answer is bad; give what was said of it."""
    adapter, node = system.make(), Node({system.path: answer})
    async with asking(node, adapter, token=SECRET, within=within) as api:
        with pytest.raises(NodeError) as raised:
            await adapter.ask(api)
    assert raised.value.reason in REASONS
    assert "\n" not in str(raised.value)
    assert_hidden(raised.value, adapter)
    return raised.value


def assert_hidden(error: NodeError | None, adapter: Adapter) -> None:
    """Hold that nothing that is logged or shown has the secret, nor whatever an error was made from."""
    told, cause = [*adapter.hints, *adapter.hints.values()], error
    while isinstance(cause, BaseException):
        told.append(str(cause))
        cause = cause.__cause__ or cause.__context__  # type: ignore[assignment]
    assert not any("s3cret" in each for each in told)


@pytest.mark.parametrize(
    ("status", "reason", "words"),
    [
        (400, "status", "400 (Bad Request)"),
        (404, "not_found", "404 (Not Found)"),
        (429, "status", "429 (Too Many Requests)"),
        (500, "status", "500 (Internal Server Error)"),
        (501, "status", "501 (Not Implemented)"),
        (503, "status", "503 (Service Unavailable)"),
        (472, "status", "got 472"),
    ],
)
async def test_a_status_is_said_in_words(system: System, status: int, reason: str, words: str) -> None:
    error = await error_of(system, says(system.body, status))
    assert error.reason == reason
    assert words in str(error)


async def test_a_node_that_hangs_is_given_up_in_time(system: System) -> None:
    assert (await error_of(system, hangs, within=HASTE)).reason == "timeout"


async def test_a_trickling_answer_is_given_up_in_time(system: System) -> None:
    assert (await error_of(system, trickles(), within=HASTE)).reason == "timeout"


async def test_a_redirect_is_followed_nowhere(system: System) -> None:
    elsewhere = Node({system.path: says(system.body)})

    async def redirect(_: web.Request) -> web.StreamResponse:
        return web.Response(status=307, headers={"Location": elsewhere.url + system.path})

    async with served(elsewhere):
        error = await error_of(system, redirect)
    assert (error.reason, elsewhere.asked) == ("redirect", [])


@pytest.mark.parametrize(
    "kind", ["text/html", "application/octet-stream", "application/xml", f"s3cret/{SECRET}"]
)
async def test_another_content_type_is_not_read(system: System, kind: str) -> None:
    error = await error_of(system, says(system.body, kind=kind))
    assert error.reason == "content_type"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"null",
        b"[]",
        b"3",
        b"<html>",
        b"\xff\xfe",
        b'{"raft":{"state":"\xc3("}}',
        b'{"raft":{"state":"\\ud800"}}',
        b'{"raft":{"state":NaN}}',
        b"[" * 100_000,
        b"[" * 100_000 + b"]" * 100_000,
        b'{"x":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b'{"x":' * 100_000 + b"1" + b"}" * 100_000,
    ],
    ids=lambda body: f"{body[:20]!r}, {len(body)} bytes",
)
async def test_what_is_no_such_json_is_malformed(system: System, body: bytes) -> None:
    assert (await error_of(system, says(body))).reason == "malformed"


@pytest.fixture
def traced() -> Iterator[None]:
    tracemalloc.start()
    yield
    tracemalloc.stop()


@pytest.mark.usefixtures("traced")
async def test_a_body_of_100_mb_is_read_up_to_its_bound(system: System) -> None:
    node = Node({})
    node.answers[system.path] = node.streams(b'["' + b"x" * 65_533 + b'"', 100_000_000)
    adapter = system.make()
    async with asking(node, adapter) as api:
        with pytest.raises(NodeError) as raised:
            await adapter.ask(api)
    assert raised.value.reason == "too_large"
    assert MAX_BODY < node.sent < 50_000_000  # what is above the bound filled the sockets
    assert tracemalloc.get_traced_memory()[1] < 5 * MAX_BODY


@pytest.mark.usefixtures("traced")
async def test_a_small_answer_that_unpacks_to_100_mb_is_read_up_to_its_bound(system: System) -> None:
    packed = gzip.compress(b" " * 100_000_000, 1)

    async def serve(_: web.Request) -> web.StreamResponse:
        headers = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
        return web.Response(body=packed, headers=headers)

    tracemalloc.reset_peak()
    assert (await error_of(system, serve)).reason == "too_large"
    assert tracemalloc.get_traced_memory()[1] < 5 * MAX_BODY


@pytest.mark.parametrize("status", [200, 401, 403, 404, 429, 500, 503])
async def test_a_node_that_repeats_the_token_does_not_get_it_into_our_words(
    system: System, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    for body in (f'{{"{SECRET}": "{SECRET}"}}', f'"{SECRET}"', json.dumps(planted(system.body))):
        adapter, answer = system.make(), says(body.encode(), status)
        paths = (system.path, "/v1/status/leader", "/v1/operator/raft/configuration", "/v1/status/peers")
        node, error = Node(dict.fromkeys(paths, answer)), None
        async with asking(node, adapter, token=SECRET) as api:
            try:
                await adapter.ask(api)
            except NodeError as raised:
                error = raised
        assert_hidden(error, adapter)
    assert "s3cret" not in caplog.text


@pytest.mark.parametrize(
    "answer",
    [
        b"s3cret s3cret\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: s3cret\0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\ns3cret\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\ns3cret",
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 6\r\n\r\ns3cret",
        b"HTTP/1.1 200 s3cret\r\nContent-Type: s3cret\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 307 s3cret\r\nLocation: http://s3cret/\r\nContent-Length: 0\r\n\r\n",
    ],
    ids=str,
)
async def test_nor_does_an_answer_that_is_no_http(system: System, answer: bytes) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        await writer.drain()

    adapter = system.make()
    async with serving(serve) as port, aiohttp.ClientSession() as session:
        url, headers = f"http://127.0.0.1:{port}", adapter.headers(Secret(SECRET))
        api = Api(session, url, 10.0, headers=headers, tls=TlsConfig(), context=None)
        with pytest.raises(NodeError) as raised:
            await adapter.ask(api)
    assert raised.value.reason in {"broken", "content_type", "redirect"}
    assert "\n" not in str(raised.value)
    assert "s3cret" not in str(raised.value)


def planted(value: Any) -> Any:
    """Put the secret in the place of every text."""
    if isinstance(value, dict):
        return {key: planted(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [planted(inner) for inner in value]
    return SECRET if isinstance(value, str) else value


def test_no_adapter_asks_without_its_token_or_shows_it(system: System) -> None:
    adapter = system.make()
    assert adapter.headers(None) == {}
    assert len(adapter.headers(Secret(SECRET))) == 1
    assert "s3cret" not in repr(vars(adapter))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=6) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


def asked(adapter: Adapter, body: object) -> list[Evidence]:
    try:
        return list(asyncio.run(adapter.ask(Canned(json.dumps(body).encode()))))
    except NodeError as error:
        assert error.reason == "malformed" or "client agent" in str(error) or "not open" in str(error)
        assert "\n" not in str(error)
        return []


@given(JSON, st.sampled_from(sorted(SYSTEMS)))
def test_any_json_is_evidence_or_a_node_error(body: object, name: str) -> None:
    asked(SYSTEMS[name].make(), body)
    asked(JsonAdapter(ANYTHING), body)


def spots(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Give the place of every value inside another."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, each in inner:
        yield (*path, key)
        yield from spots(each, (*path, key))


@given(JSON, st.data(), st.sampled_from(sorted(SYSTEMS)))
def test_any_json_in_the_place_of_any_part_of_a_good_answer(
    other: object, data: st.DataObject, name: str
) -> None:
    body = json.loads(json.dumps(SYSTEMS[name].body))
    *path, last = data.draw(st.sampled_from(list(spots(body))))
    part = body
    for key in path:
        part = part[key]
    part[last] = other
    adapter = SYSTEMS[name].make()
    for _ in range(2):
        asked(adapter, body)
