"""Reports of other sidecars, from servers of the test: where they are asked for, and what is made of them."""

from __future__ import annotations

import asyncio
import errno
import logging
import random
import ssl
from collections import Counter
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, suppress

import aiohttp
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from raft_exporter.model.evidence import Outcome, ProbeKind, ProbeResult, Report, ReportedMember
from raft_exporter.model.override import Override
from raft_exporter.report import Message, encode
from raft_exporter.sources import reports
from raft_exporter.sources.no_report import REJECTIONS, no_report
from raft_exporter.sources.report_trust import ReportTrust
from raft_exporter.sources.reports import FetchTiming, ReportFetcher, Told, open_session
from raft_exporter.sources.sidecar_urls import SidecarPlace, SidecarUrls
from tests.serving import Handler, serving
from tests.waiting import until

FAST = FetchTiming(interval=0.005, timeout=5, connect=5)
IMPATIENT = FetchTiming(interval=0.005, timeout=0.02, connect=0.02)
WALL = 1_700_000_000.0
OVERRIDE = Override(WALL, "n2", "ignore", WALL + 60, "ann", "test", "n3")
MESSAGE = Message(
    report=Report("n2", (ReportedMember("n1", 1.5),)),
    overrides=(OVERRIDE,),
    sidecars={"n3": "http://c:9641"},
)


class Heard:
    """All that a fetcher said."""

    def __init__(self, urls: SidecarUrls | None = None) -> None:
        self.urls = urls or SidecarUrls({})
        self.probes: list[ProbeResult] = []
        self.reports: list[Report] = []
        self.messages: list[Message] = []
        self.rejected: Counter[str] = Counter()
        self.clocks: list[float] = []
        self.told = Told(self.take, self.messages.append, self.reject, self.clocks.append)

    def take(self, evidence: ProbeResult | Report) -> None:
        if isinstance(evidence, Report):
            self.reports.append(evidence)
        else:
            self.probes.append(evidence)

    def reject(self, reason: str) -> None:
        assert reason in REJECTIONS
        self.rejected[reason] += 1


def http(body: bytes, *, status: str = "200 OK", kind: str = "application/json", extra: str = "") -> bytes:
    head = f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n{extra}\r\n"
    return head.encode() + body


GOOD = http(encode(MESSAGE))


@asynccontextmanager
async def sidecar(handler: Handler) -> AsyncIterator[str]:
    """A server on loopback, by its base URL."""
    async with serving(handler) as port:
        yield f"http://127.0.0.1:{port}"


def always(answer: bytes) -> Handler:
    """Answer each request of each connection with ``answer``."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(answer)
            await writer.drain()

    return serve


def once(answer: bytes) -> Handler:
    """Answer the first request of each connection with ``answer``, and close."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        await writer.drain()

    return serve


@asynccontextmanager
async def fetching(
    url: str,
    heard: Heard,
    *,
    timing: FetchTiming = FAST,
    on_host: bool = True,
    told: bool = False,
    rng: random.Random | None = None,
    trust: ReportTrust | None = None,
) -> AsyncIterator[ReportFetcher]:
    place = SidecarPlace(url, on_host=on_host, told=told)
    async with open_session() as session:
        fetcher = ReportFetcher(
            "n2",
            place,
            timing,
            session=session,
            urls=heard.urls,
            told=heard.told,
            rng=rng or random.Random(1),
            trust=trust or ReportTrust(),
            wall=lambda: WALL,
        )
        task = asyncio.create_task(fetcher.run())
        try:
            yield fetcher
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task


async def closed_port() -> str:
    server = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    server.close()
    await server.wait_closed()
    return f"http://127.0.0.1:{port}"


async def test_a_report_is_evidence_with_the_age_of_its_way_and_its_sidecar_answered() -> None:
    heard = Heard()
    async with sidecar(always(GOOD)) as url, fetching(url, heard):
        await until(lambda: len(heard.messages) >= 3)
    probe = heard.probes[0]
    assert (probe.peer, probe.kind, probe.outcome) == ("n2", ProbeKind.SIDECAR, Outcome.OK)
    assert probe.host_age == 0.0
    assert probe.round_trip is not None
    assert 0 < probe.round_trip < 5
    assert heard.reports[0] == replace(MESSAGE.report, age=probe.round_trip)
    assert heard.messages[0] == MESSAGE
    assert heard.urls.telling(None) == {"n2": url}
    assert not heard.rejected


async def test_it_asks_one_at_a_time_on_one_connection_for_the_documented_path() -> None:
    requests: list[bytes] = []
    connections = 0

    async def strict(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        while True:
            requests.append(await reader.readuntil(b"\r\n\r\n"))
            await asyncio.sleep(0)
            assert not reader._buffer, "one outstanding request"  # type: ignore[attr-defined]
            writer.write(GOOD)

    heard = Heard()
    async with sidecar(strict) as url, fetching(url, heard):
        await until(lambda: len(heard.messages) >= 10)
    assert connections == 1
    assert requests[0].startswith(b"GET /api/v1/report HTTP/1.1\r\n")
    assert b"Accept-Encoding: identity\r\n" in requests[0]


FOREIGN = encode(replace(MESSAGE, report=replace(MESSAGE.report, reporter="n9")))


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (http(FOREIGN), "wrong_node"),
        (http(b"{"), "malformed"),
        (http(b'{"version": 2}'), "version"),
        (http(b" " * (1024 * 1024 + 1)), "too_large"),
        (http(encode(MESSAGE), kind="text/html"), "content_type"),
        (http(b"", status="302 Found", extra="Location: /elsewhere\r\n"), "status"),
        (http(b"", status="503 Service Unavailable"), "status"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "broken"),
        (b"", "broken"),
        (GOOD[:-5], "broken"),
        (http(b"\x1f\x8b", extra="Content-Encoding: gzip\r\n"), "malformed"),
    ],
)
async def test_a_bad_answer_is_counted_by_its_reason_and_proves_the_host(answer: bytes, reason: str) -> None:
    heard = Heard()
    async with sidecar(once(answer)) as url, fetching(url, heard):
        await until(lambda: len(heard.probes) >= 2)
    assert {(each.outcome, each.host_age) for each in heard.probes} == {(Outcome.BAD_ANSWER, 0.0)}
    assert set(heard.rejected) == {reason}
    assert not heard.reports
    assert not heard.messages
    assert heard.urls.telling(None) == {}


async def test_an_answer_that_never_ends_is_cut_off_at_its_bound() -> None:
    sent = 0

    async def endless(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n")
        while True:
            writer.write(b" " * 65536)
            sent += 65536
            await writer.drain()

    heard = Heard()
    async with sidecar(endless) as url, fetching(url, heard):
        await until(lambda: heard.rejected["too_large"])
        assert sent < 64 * 1024 * 1024


@pytest.mark.parametrize("begin", [b"", GOOD[:-5]])
async def test_a_sidecar_that_hangs_or_trickles_is_a_timeout_and_proves_nothing(begin: bytes) -> None:
    async def hanging(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(begin)
        for byte in GOOD[-5:]:
            await reader.read()  # until the other side gives up
            writer.write(bytes([byte]))

    heard = Heard()
    async with sidecar(hanging) as url, fetching(url, heard, timing=IMPATIENT):
        await until(lambda: len(heard.probes) >= 2)
    assert {(each.outcome, each.host_age) for each in heard.probes} == {(Outcome.TIMEOUT, None)}
    assert not heard.rejected


async def test_a_refusal_proves_the_host() -> None:
    heard = Heard()
    async with fetching(await closed_port(), heard):
        await until(lambda: len(heard.probes) >= 2)
    assert {(each.outcome, each.host_age) for each in heard.probes} == {(Outcome.REFUSED, 0.0)}
    assert not heard.rejected


async def test_a_host_that_can_not_be_a_name_is_our_own_fault() -> None:
    heard = Heard()
    url = f"http://{'a' * 64}.example:1"
    heard.urls.told({"n2": url}, ["n2"])
    heard.urls.told({"n2": "http://other:1"}, ["n2"])
    async with fetching(url, heard):
        await until(lambda: len(heard.probes) >= 3)
    assert {(each.outcome, each.host_age) for each in heard.probes} == {(Outcome.LOCAL_ERROR, None)}
    assert heard.urls.places({"n2": "b:1"}, "n1")["n2"].url == "http://other:1"


async def test_a_refusal_elsewhere_than_at_the_members_host_proves_nothing() -> None:
    heard = Heard()
    async with fetching(await closed_port(), heard, on_host=False):
        await until(lambda: len(heard.probes) >= 2)
    assert {(each.outcome, each.host_age) for each in heard.probes} == {(Outcome.REFUSED, None)}


async def test_once_the_members_report_came_from_there_any_answer_proves_its_host() -> None:
    answers = [GOOD, http(b"{"), http(FOREIGN), http(b"{")]

    async def changing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(answers.pop(0) if len(answers) > 1 else answers[0])

    heard = Heard()
    async with sidecar(changing) as url, fetching(url, heard, on_host=False):
        await until(lambda: len(heard.probes) >= 4)
    assert [each.host_age for each in heard.probes[:4]] == [0.0, 0.0, None, None]


async def test_a_told_url_of_another_node_is_dropped() -> None:
    heard = Heard()
    async with sidecar(always(http(FOREIGN))) as url:
        heard.urls.told({"n2": url}, ["n2"])
        assert heard.urls.places({"n2": "b:1"}, "n1") == {"n2": SidecarPlace(url, on_host=False, told=True)}
        async with fetching(url, heard, on_host=False, told=True):
            await until(lambda: heard.rejected["wrong_node"])
        heard.urls.told({"n2": url}, ["n2"])
    assert heard.urls.places({"n2": "b:1"}, "n1") == {}


async def test_a_bad_override_is_counted_and_the_report_stands() -> None:
    heard = Heard()
    bad = replace(MESSAGE, overrides=(replace(OVERRIDE, state="broken"), OVERRIDE))
    async with sidecar(always(http(encode(bad)))) as url, fetching(url, heard):
        await until(lambda: heard.messages)
    assert heard.rejected["override"] >= 1
    assert heard.messages[0].overrides == (OVERRIDE,)


async def test_a_fault_of_ours_is_logged_once_and_does_not_end_the_fetching(
    caplog: pytest.LogCaptureFixture,
) -> None:
    heard = Heard()
    asked = 0

    def broken(_: object) -> None:
        nonlocal asked
        asked += 1
        raise RuntimeError("a fault of ours")

    heard.told = replace(heard.told, message=broken)
    async with sidecar(always(GOOD)) as url, fetching(url, heard):
        await until(lambda: asked >= 3)
    assert [each.getMessage() for each in caplog.records if each.levelno >= logging.ERROR] == [
        "fetching a report failed"
    ]


async def test_only_changes_are_logged_and_a_single_failure_is_none(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger=reports.__name__)
    bad = http(b"{")
    answers = iter([GOOD, bad, GOOD, bad, bad, GOOD, *[bad] * 10])
    heard = Heard()

    async def changing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(next(answers, GOOD))

    async with sidecar(changing) as url, fetching(url, heard):
        await until(lambda: len(heard.probes) >= 25)
    assert [each.getMessage() for each in caplog.records] == [
        "reports come",
        "no reports come",
        "reports come",
    ]


async def test_a_told_url_that_never_worked_is_not_worth_a_line(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger=reports.__name__)
    heard = Heard()
    async with fetching(await closed_port(), heard, told=True):
        await until(lambda: len(heard.probes) >= 5)
    assert not caplog.records


async def test_another_timing_wakes_a_resting_fetcher() -> None:
    heard = Heard()
    slow = FetchTiming(interval=600, timeout=5, connect=5)
    async with sidecar(always(GOOD)) as url, fetching(url, heard, timing=slow) as fetcher:
        await until(lambda: heard.messages)
        fetcher.timing = slow
        await asyncio.sleep(0)
        assert len(heard.probes) == 1
        fetcher.timing = FAST
        await until(lambda: len(heard.probes) >= 3)
        assert fetcher.timing == FAST


class Calls:
    """A random source that says what it was asked."""

    def __init__(self) -> None:
        self.bounds: set[tuple[float, float]] = set()

    def uniform(self, low: float, high: float) -> float:
        self.bounds.add((low, high))
        return low


async def test_intervals_vary_by_the_injected_randomness() -> None:
    heard, rng = Heard(), Calls()
    async with sidecar(always(GOOD)) as url:
        async with fetching(url, heard, rng=rng):  # type: ignore[arg-type]
            await until(lambda: len(heard.probes) >= 3)
    assert rng.bounds == {(0.8, 1.2)}


@pytest.mark.parametrize(
    ("h", "interval", "timeout", "expected"),
    [
        (1.0, None, None, FetchTiming(0.5, 0.8, 0.25)),
        (5.0, None, None, FetchTiming(2.5, 4.0, 1.0)),
        (0.2, None, None, FetchTiming(0.1, 0.5, 0.25)),
        (1.0, 0.1, 0.2, FetchTiming(0.1, 0.2, 0.2)),
        (1.2, 60.0, 60.0, FetchTiming(1.0, 0.96, 0.25)),
    ],
)
def test_timing(h: float, interval: float | None, timeout: float | None, expected: FetchTiming) -> None:
    assert FetchTiming.of(h, interval, timeout) == expected


@given(h=st.floats(min_value=0.5, max_value=60))
def test_one_report_lost_in_vain_leaves_the_last_one_credible(h: float) -> None:
    timing = FetchTiming.of(h, None, None)
    assert 1.2 * timing.interval + timing.timeout + 0.2 * 1.2 * timing.interval < 2 * h


KEY = aiohttp.client_reqrep.ConnectionKey(
    "n2", 1, is_ssl=False, ssl=True, proxy=None, proxy_auth=None, proxy_headers_hash=None
)


@pytest.mark.parametrize(
    ("error", "outcome", "reason"),
    [
        (TimeoutError(), Outcome.TIMEOUT, None),
        (aiohttp.ServerTimeoutError(), Outcome.TIMEOUT, None),
        (aiohttp.InvalidURL("x"), Outcome.LOCAL_ERROR, None),
        (
            aiohttp.ClientConnectorError(KEY, ConnectionRefusedError(errno.ECONNREFUSED, "")),
            Outcome.REFUSED,
            None,
        ),
        (aiohttp.ClientConnectorError(KEY, OSError(errno.EHOSTUNREACH, "")), Outcome.TIMEOUT, None),
        (aiohttp.ClientConnectorError(KEY, OSError(errno.EMFILE, "")), Outcome.LOCAL_ERROR, None),
        (aiohttp.ClientConnectorSSLError(KEY, ssl.SSLError(1, "x")), Outcome.BAD_ANSWER, "tls"),
        (aiohttp.ClientConnectorError(KEY, ConnectionResetError()), Outcome.BAD_ANSWER, "broken"),
        (aiohttp.ClientConnectorError(KEY, ConnectionResetError(104, "")), Outcome.BAD_ANSWER, "broken"),
        (aiohttp.ClientOSError(errno.ECONNRESET, ""), Outcome.BAD_ANSWER, "broken"),
        (aiohttp.ClientOSError(errno.EHOSTUNREACH, ""), Outcome.TIMEOUT, None),
        (aiohttp.ClientConnectionResetError("closing"), Outcome.BAD_ANSWER, "broken"),
        (aiohttp.ServerDisconnectedError(), Outcome.BAD_ANSWER, "broken"),
        (aiohttp.ClientPayloadError(), Outcome.BAD_ANSWER, "broken"),
    ],
)
def test_errors_are_classed(error: Exception, outcome: Outcome, reason: str | None) -> None:
    found = no_report(error)
    assert (found.outcome, found.reason) == (outcome, reason)


# where the sidecars are

MEMBERS = {"n1": "10.0.0.1:7000", "n2": "10.0.0.2:7000", "n3": "[fd00::3]:7000"}
T = "http://{host}:9641"


def urls_of(urls: SidecarUrls, members: dict[str, str] = MEMBERS) -> dict[str, str]:
    return {peer: place.url for peer, place in urls.places(members, "n1").items()}


def test_the_template_has_the_host_of_each_other_member() -> None:
    assert SidecarUrls({}, T).places(MEMBERS, "n1") == {
        "n2": SidecarPlace("http://10.0.0.2:9641", on_host=True),
        "n3": SidecarPlace("http://[fd00::3]:9641", on_host=True),
    }


def test_a_configured_url_goes_before_the_template_and_both_before_what_is_told() -> None:
    urls = SidecarUrls({"n2": "http://proxy:1"}, T)
    urls.told({"n2": "http://told:1", "n3": "http://told:1"}, MEMBERS)
    assert urls.places(MEMBERS, "n1") == {
        "n2": SidecarPlace("http://proxy:1", on_host=False),
        "n3": SidecarPlace("http://[fd00::3]:9641", on_host=True),
    }


@pytest.mark.parametrize("address", ["nowhere", "[fe80::1%eth0]:7000", ""])
def test_an_address_that_makes_no_url_gives_way_to_what_is_told(address: str) -> None:
    urls = SidecarUrls({}, T)
    assert urls_of(urls, {"n2": address}) == {}
    urls.told({"n2": "http://told:1"}, ["n2"])
    assert urls_of(urls, {"n2": address}) == {"n2": "http://told:1"}


@pytest.mark.parametrize(
    ("url", "address", "on_host"),
    [
        ("http://10.0.0.2:1", "10.0.0.2:7000", True),
        ("https://[fd00:0::2]", "[fd00::2]:7000", True),
        ("http://N2.example:1", "n2.example:7000", True),
        ("http://10.0.0.3:1", "10.0.0.2:7000", False),
        ("http://n2:1", "nowhere", False),
    ],
)
def test_a_place_knows_whether_it_is_at_the_members_host(url: str, address: str, *, on_host: bool) -> None:
    assert SidecarUrls({"n2": url}).places({"n2": address}, "n1")["n2"].on_host is on_host


def test_only_members_can_be_told_of_and_who_leaves_is_forgotten() -> None:
    urls = SidecarUrls({})
    urls.told({"n2": "http://b:1", "n9": "http://x:1"}, MEMBERS)
    assert urls_of(urls) == {"n2": "http://b:1"}
    urls.succeeded("n2", "http://b:1")
    assert urls_of(urls, {"n1": "a:1"}) == {}
    assert urls_of(urls) == {}
    assert urls.telling("n1") == {}


def test_told_urls_are_tried_in_turn() -> None:
    urls = SidecarUrls({})
    for url in ("http://b:1", "http://b:2"):
        urls.told({"n2": url}, MEMBERS)
    tried = []
    for _ in range(9):
        (url,) = urls_of(urls).values()
        tried.append(url)
        urls.failed("n2", url)
    assert tried == ["http://b:1"] * 3 + ["http://b:2"] * 3 + ["http://b:1"] * 3


def test_a_told_url_that_works_stays() -> None:
    urls = SidecarUrls({})
    urls.told({"n2": "http://b:1"}, MEMBERS)
    urls.succeeded("n2", "http://b:1")
    for number in range(100):
        urls.told({"n2": f"http://b:{number + 2}"}, MEMBERS)
        urls.failed("n2", "http://b:1")
        urls.failed("n2", "http://b:1")
        urls.succeeded("n2", "http://b:1")
    assert urls_of(urls) == {"n2": "http://b:1"}


def test_among_many_told_urls_only_one_that_fails_gives_way() -> None:
    urls = SidecarUrls({})
    for number in range(1, 9):
        urls.told({"n2": f"http://b:{number}"}, MEMBERS)
    for _ in range(3):
        urls.failed("n2", "http://b:1")
    urls.told({"n2": "http://b:9"}, MEMBERS)
    urls.told({"n2": "http://b:10"}, MEMBERS)
    tried = []
    for _ in range(12):
        (url,) = urls_of(urls).values()
        tried.append(url)
        urls.failed("n2", url)
    assert tried[::3] == ["http://b:2", "http://b:3", "http://b:4", "http://b:9"]


def test_what_is_told_are_the_urls_that_work_and_the_own_one() -> None:
    urls = SidecarUrls({}, T, "http://me:9641")
    assert urls.telling(None) == {}
    assert urls.telling("n1") == {"n1": "http://me:9641"}
    ((peer, url), _) = urls_of(urls).items()
    urls.succeeded(peer, url)
    assert urls.telling("n1") == {"n1": "http://me:9641", "n2": "http://10.0.0.2:9641"}
    for _ in range(2):
        urls.failed(peer, url)
    assert "n2" in urls.telling("n1")
    urls.failed(peer, url)
    assert urls.telling("n1") == {"n1": "http://me:9641"}


def test_a_member_that_moved_is_told_at_its_old_place_no_more() -> None:
    urls = SidecarUrls({}, T)
    urls.succeeded("n2", urls_of(urls)["n2"])
    assert urls_of(urls, MEMBERS | {"n2": "10.0.0.9:7000"})["n2"] == "http://10.0.0.9:9641"
    assert urls.telling("n1") == {}


def test_a_configured_url_of_another_node_stays_but_is_told_to_nobody() -> None:
    urls = SidecarUrls({"n2": "http://b:1"})
    urls.succeeded("n2", "http://b:1")
    urls.belongs_to_another("n2", "http://b:1")
    assert urls.telling("n1") == {}
    assert urls_of(urls) == {"n2": "http://b:1"}


_URLS = st.sampled_from([f"http://b:{number}" for number in range(1, 9)])


@given(
    st.lists(
        st.tuples(st.sampled_from(["told", "succeeded", "failed", "belongs_to_another"]), _URLS), max_size=60
    )
)
def test_whatever_is_told_stays_bounded_and_what_was_another_nodes_never_comes_back(
    steps: Iterable[tuple[str, str]],
) -> None:
    urls = SidecarUrls({})
    gone: set[str] = set()
    for step, url in steps:
        current = urls_of(urls).get("n2")
        if step == "told":
            urls.told({"n2": url}, MEMBERS)
        elif current is not None:
            getattr(urls, step)("n2", current)
            gone |= {current} if step == "belongs_to_another" else set()
        assert urls_of(urls).get("n2") not in gone
        assert set(urls.telling("n1").values()) <= set(urls_of(urls).values())
        assert all(len(known) <= 4 for known in urls._told.values())


def test_another_configuration_leaves_what_was_told() -> None:
    urls = SidecarUrls({}, T, "http://me:1")
    urls.told({"n2": "http://told:2", "n3": "http://told:3"}, MEMBERS)
    urls.configure({"n3": "http://given:3"})
    assert urls_of(urls) == {"n2": "http://told:2", "n3": "http://given:3"}
    assert urls.telling("n1") == {}


@pytest.mark.parametrize(
    ("configured", "template", "advertised", "own"),
    [
        ({}, None, None, None),
        ({}, T, None, "http://10.0.0.1:9641"),
        ({"n1": "http://given:1"}, T, None, "http://given:1"),
        ({"n1": "http://given:1"}, T, "http://me:1", "http://me:1"),
    ],
)
def test_the_own_url_is_the_advertised_one_or_else_as_for_any_member_but_never_told(
    configured: dict[str, str], template: str | None, advertised: str | None, own: str | None
) -> None:
    urls = SidecarUrls(configured, template, advertised)
    urls.told({"n1": "http://told:1", "n2": "http://told:2"}, MEMBERS)
    found = urls.of_all(MEMBERS, "n1")
    assert found.get("n1") == own
    assert found.get("n2") == ("http://10.0.0.2:9641" if template else None)
    assert "n9" not in urls.of_all(MEMBERS, "n9")


def test_a_told_url_is_given_to_prometheus_once_the_report_came_from_it_and_stays_when_it_fails() -> None:
    urls = SidecarUrls({})
    urls.told({"n2": "http://told:2"}, MEMBERS)
    assert urls.of_all(MEMBERS, "n1") == {}
    urls.succeeded("n2", "http://told:2")
    for _ in range(10):
        urls.failed("n2", "http://told:2")
    assert urls.of_all(MEMBERS, "n1") == {"n2": "http://told:2"}
    urls.belongs_to_another("n2", "http://told:2")
    assert urls.of_all(MEMBERS, "n1") == {}


async def test_a_lost_syn_is_sent_again_before_the_kernel_would(monkeypatch: pytest.MonkeyPatch) -> None:
    """A socket that listens and is full drops what comes: a connection is neither made nor refused."""
    heard = Heard()
    attempts = 0
    once = ReportFetcher._fetch_once

    async def lossy(self: ReportFetcher, patience: float) -> bytes:
        nonlocal attempts
        attempts += 1
        if attempts <= 2:
            raise aiohttp.ConnectionTimeoutError
        return await once(self, patience)

    monkeypatch.setattr(ReportFetcher, "_fetch_once", lossy)
    async with sidecar(always(GOOD)) as url, fetching(url, heard):
        await until(lambda: heard.messages)
    assert [probe.outcome for probe in heard.probes[:1]] == [Outcome.OK]


async def test_connecting_ends_with_the_time_of_the_report(monkeypatch: pytest.MonkeyPatch) -> None:
    heard = Heard()

    async def lost(self: ReportFetcher, _: float) -> bytes:
        await asyncio.sleep(self.timing.connect)
        raise aiohttp.ConnectionTimeoutError

    monkeypatch.setattr(ReportFetcher, "_fetch_once", lost)
    timing = FetchTiming(interval=0.005, timeout=0.02, connect=0.005)
    async with fetching("http://127.0.0.1:1", heard, timing=timing):
        await until(lambda: heard.probes)
    assert (heard.probes[0].outcome, heard.probes[0].host_age) == (Outcome.TIMEOUT, None)
