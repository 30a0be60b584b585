"""Whose reports are believed: who knows the cluster's secret, and whose certificate is right."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import trustme
from aiohttp import web

from raft_exporter.model.evidence import Outcome, Report
from raft_exporter.report import Message, encode
from raft_exporter.report_proof import HEADER, Question, verify_request
from raft_exporter.schema import ReportsConfig, TlsConfig
from raft_exporter.secret import Secret
from raft_exporter.sources.report_trust import ReportTrust
from tests.serving import Handler, serving
from tests.test_report_source import GOOD, Heard, always, closed_port, fetching, http, once, sidecar
from tests.waiting import until

SECRET, ANOTHER = "a-secret-of-the-cluster", "another-secret-of-it"
BODY = encode(Message(report=Report("n2", ())))
WITH_DATE = {"Date": "Tue, 14 Nov 2023 22:13:20 GMT"}


def trust(tmp_path: Path, *secrets: str) -> ReportTrust:
    """What reports are asked for with, where the file has these secrets."""
    file = tmp_path / "secret"
    file.write_text("\n".join(secrets))
    return ReportTrust.of(ReportsConfig(token_file=str(file)), ReportTrust())


Answer = Callable[[str], bytes]
"""What is answered to a question's Authorization header."""


def to_question(answer: Answer) -> Handler:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            given = next(line for line in head.split("\r\n") if line.startswith("Authorization: "))
            writer.write(answer(given.removeprefix("Authorization: ")))
            await writer.drain()

    return serve


def proved(body: bytes, proof: str) -> bytes:
    return http(body, extra=f"{HEADER}: {proof}\r\nDate: {WITH_DATE['Date']}\r\n")


def sidecar_of(peer: str, *secrets: str) -> Answer:
    """A sidecar as it should be."""

    def answer(authorization: str) -> bytes:
        asked = verify_request(authorization, [Secret(each) for each in secrets])
        if asked is None:
            return http(b'{"error": "no"}', status="401 Unauthorized")
        body = encode(Message(report=Report(peer, ())))
        return proved(body, asked.proof(200, body))

    return answer


def replaying(authorization: str) -> bytes:
    """Answer with what the right sidecar answered to an earlier question."""
    return sidecar_of("n2", SECRET)(Question("n2", [Secret(SECRET)], "0" * 32).authorization)


def guessing(authorization: str) -> bytes:
    """Prove by a secret of the attacker's own, about the right question."""
    nonce = authorization.split("nonce=")[1][:32]
    return sidecar_of("n2", ANOTHER)(Question("n2", [Secret(ANOTHER)], nonce).authorization)


def reflecting(authorization: str) -> bytes:
    return proved(BODY, authorization[-64:])


def tampering(authorization: str) -> bytes:
    """Alter what the right sidecar answered to this very question."""
    return sidecar_of("n2", SECRET)(authorization).replace(b'"isolated":false', b'"isolated":true ')


FALSE: list[tuple[str, Answer, str]] = [
    ("no proof", lambda _: GOOD, "unproved"),
    ("an empty proof", lambda _: proved(BODY, ""), "wrong_proof"),
    ("no proof at all but some bytes", lambda _: proved(BODY, "é"), "wrong_proof"),
    ("another secret", guessing, "wrong_proof"),
    ("an old answer", replaying, "wrong_proof"),
    ("the question sent back", reflecting, "wrong_proof"),
    ("an answer that was altered", tampering, "wrong_proof"),
    ("another member's right answer", sidecar_of("n3", SECRET), "wrong_node"),
    ("the asker's own right answer", sidecar_of("n1", SECRET), "wrong_node"),
    ("a sidecar with another secret", sidecar_of("n2", ANOTHER), "unauthorized"),
    ("one that had enough of it", lambda _: http(b"", status="429 Too Many Requests"), "too_many_requests"),
    ("a page", lambda _: http(b"<html>", kind="text/html"), "content_type"),
    ("an error", lambda _: http(b"", status="500 Internal Server Error"), "status"),
    ("no report", lambda _: b"SSH-2.0-OpenSSH_9.2\r\n", "broken"),
]


@pytest.mark.parametrize(("answer", "reason"), [each[1:] for each in FALSE], ids=[each[0] for each in FALSE])
async def test_who_answers_without_the_secret_is_told_apart_and_proves_nothing(
    tmp_path: Path, answer: Answer, reason: str
) -> None:
    heard = Heard()
    heard.urls.told({"n2": "http://told:1"}, ["n2"])
    handler = once(answer("")) if reason == "broken" else to_question(answer)
    async with sidecar(handler) as url, fetching(url, heard, trust=trust(tmp_path, SECRET)) as fetcher:
        await until(lambda: len(heard.probes) >= 2)
        assert set(heard.rejected) == {reason}
        assert bool(fetcher.hint) == (reason not in {"content_type", "status"})
    assert {(each.outcome, each.host_age) for each in heard.probes} == {(Outcome.BAD_ANSWER, None)}
    assert not heard.reports
    assert not heard.messages
    assert heard.urls.telling(None) == {}
    assert bool(heard.clocks) == (reason == "wrong_node")


async def test_who_has_the_secret_is_believed_whatever_others_answered_before(tmp_path: Path) -> None:
    answers = [answer for _, answer, reason in FALSE if reason != "broken"]
    heard = Heard()

    def in_turn(authorization: str) -> bytes:
        return (answers.pop(0) if answers else sidecar_of("n2", SECRET))(authorization)

    async with sidecar(to_question(in_turn)) as url:
        async with fetching(url, heard, trust=trust(tmp_path, SECRET), on_host=False) as fetcher:
            await until(lambda: len(heard.reports) >= 2)
            assert fetcher.hint == ""
    assert [each.outcome for each in heard.probes].count(Outcome.OK) == len(heard.reports)
    assert heard.rejected.total() == len(FALSE) - 1


async def test_a_refused_connection_proves_the_host_also_where_answers_have_to_be_proved(
    tmp_path: Path,
) -> None:
    heard = Heard()
    async with fetching(await closed_port(), heard, trust=trust(tmp_path, SECRET)):
        await until(lambda: len(heard.probes) >= 2)
    assert {(each.outcome, each.host_age) for each in heard.probes} == {(Outcome.REFUSED, 0.0)}


async def test_the_secret_is_never_sent_and_no_nonce_comes_twice(tmp_path: Path) -> None:
    heads: list[str] = []

    async def noting(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            heads.append((await reader.readuntil(b"\r\n\r\n")).decode())
            writer.write(GOOD)

    async with sidecar(noting) as url, fetching(url, Heard(), trust=trust(tmp_path, SECRET, ANOTHER)):
        await until(lambda: len(heads) >= 20)
    assert not [head for head in heads if SECRET in head or ANOTHER in head]
    assert len({head.split("nonce=")[1][:32] for head in heads}) == len(heads)


async def test_a_sidecar_without_the_secret_is_told_why_it_gets_nothing() -> None:
    heard = Heard()
    async with sidecar(always(http(b"{}", status="401 Unauthorized"))) as url:
        async with fetching(url, heard) as fetcher:
            await until(lambda: heard.rejected["unauthorized"])
            assert "reports.token_file is missing here, or has another one" in fetcher.hint


async def test_a_new_secret_is_taken_up_with_no_report_lost(tmp_path: Path) -> None:
    asking = trust(tmp_path, SECRET)
    (tmp_path / "there").mkdir()
    there = trust(tmp_path / "there", SECRET).secrets
    assert there is not None
    heard = Heard()

    def answer(authorization: str) -> bytes:
        return sidecar_of("n2", *(each.reveal() for each in there.get()))(authorization)

    steps = [
        (tmp_path, f"{ANOTHER}\n{SECRET}"),
        (tmp_path / "there", f"{ANOTHER}\n{SECRET}"),
        (tmp_path, ANOTHER),
        (tmp_path / "there", ANOTHER),
        (tmp_path, ""),
    ]
    async with sidecar(to_question(answer)) as url, fetching(url, heard, trust=asking):
        for home, text in steps:
            (home / "secret").write_text(text)
            seen = len(heard.reports)
            await until(lambda seen=seen: len(heard.reports) >= seen + 2)  # type: ignore[misc]
    assert set(heard.rejected) == {"token_file"}


# TLS

CA, OTHER_CA = trustme.CA(), trustme.CA()
YESTERDAY = datetime.now(UTC) - timedelta(days=1)


def context(leaf: trustme.LeafCert, *, demanding: trustme.CA | None) -> ssl.SSLContext:
    """A server's side of TLS."""
    found = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    leaf.configure_cert(found)
    if demanding is not None:
        demanding.configure_trust(found)
        found.verify_mode = ssl.CERT_REQUIRED
    return found


@asynccontextmanager
async def tls_sidecar(tls: ssl.SSLContext) -> AsyncIterator[str]:
    """The sidecar of n2, without a secret, on the server that real ones use."""

    async def report(_: web.Request) -> web.Response:
        return web.Response(body=BODY, content_type="application/json")

    app = web.Application()
    app.add_routes([web.get("/api/v1/report", report)])
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls).start()
    try:
        yield f"https://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


def client(
    tmp_path: Path, leaf: trustme.LeafCert | None, *, trusted: trustme.CA = CA, **more: Any
) -> ReportTrust:
    ca, both = tmp_path / "ca.pem", tmp_path / "both.pem"
    trusted.cert_pem.write_to_path(ca)
    if leaf is not None:
        leaf.private_key_and_cert_chain_pem.write_to_path(both)
    tls = TlsConfig(ca_file=str(ca), cert_file=None if leaf is None else str(both), **more)
    return ReportTrust.of(ReportsConfig(tls=tls), ReportTrust())


def expired(ca: trustme.CA) -> trustme.LeafCert:
    return ca.issue_cert("127.0.0.1", not_before=YESTERDAY - timedelta(days=1), not_after=YESTERDAY)


SERVERS: dict[str, Callable[[], tuple[trustme.LeafCert, dict[str, Any]]]] = {
    "right": lambda: (CA.issue_cert("127.0.0.1"), {}),
    "right by another name": lambda: (CA.issue_cert("n2.raft"), {"server_name": "n2.raft"}),
    "wrong but not looked at": lambda: (OTHER_CA.issue_cert("n9.raft"), {"verify": False}),
    "wrong CA": lambda: (OTHER_CA.issue_cert("127.0.0.1"), {}),
    "expired": lambda: (expired(CA), {}),
    "wrong name": lambda: (CA.issue_cert("127.0.0.2"), {}),
    "wrong server name": lambda: (CA.issue_cert("127.0.0.1"), {"server_name": "n2.raft"}),
}
CLIENTS: dict[str, Callable[[], trustme.LeafCert | None]] = {
    "right": lambda: CA.issue_cert("n1.raft"),
    "none": lambda: None,
    "wrong CA": lambda: OTHER_CA.issue_cert("n1.raft"),
    "expired": lambda: expired(CA),
}


@pytest.mark.parametrize("shown", CLIENTS)
@pytest.mark.parametrize("served", SERVERS)
async def test_reports_come_when_both_certificates_are_right_and_else_it_is_counted_why(
    tmp_path: Path, served: str, shown: str
) -> None:
    heard = Heard()
    leaf, more = SERVERS[served]()
    asking = client(tmp_path, CLIENTS[shown](), **more)
    taken = served in {"right", "right by another name", "wrong but not looked at"}
    async with tls_sidecar(context(leaf, demanding=CA)) as url, fetching(url, heard, trust=asking):
        await until(lambda: len(heard.probes) >= 2)
    if taken and shown == "right":
        assert not heard.rejected
        assert heard.reports
    else:
        # asyncio's server sends no alert when it refuses a certificate.
        assert set(heard.rejected) == {"broken" if taken else "tls"}
        assert not heard.reports
        looked_at = served != "wrong but not looked at"
        assert {each.host_age for each in heard.probes} == {None if looked_at else 0.0}


@pytest.mark.parametrize("shown", ["none", "wrong CA", "expired"])
async def test_the_alert_of_a_server_that_refuses_the_certificate_is_counted_as_tls(
    tmp_path: Path, shown: str
) -> None:
    tls = context(CA.issue_cert("127.0.0.1"), demanding=CA)

    async def refusing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        handshake = tls.wrap_bio(incoming, outgoing, server_side=True)
        while data := await reader.read(65536):  # closing with a byte unread would overtake the alert
            incoming.write(data)
            with suppress(ssl.SSLError):
                handshake.do_handshake()
            writer.write(outgoing.read())

    heard = Heard()
    async with serving(refusing) as port:
        asking = client(tmp_path, CLIENTS[shown]())
        async with fetching(f"https://127.0.0.1:{port}", heard, trust=asking):
            await until(lambda: len(heard.probes) >= 2)
    assert set(heard.rejected) == {"tls"}
    assert {each.host_age for each in heard.probes} == {None}


async def test_a_plain_server_where_tls_is_asked_for_proves_nothing(tmp_path: Path) -> None:
    async def plain(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(GOOD)

    heard = Heard()
    async with sidecar(plain) as url:
        async with fetching(url.replace("http:", "https:"), heard, trust=client(tmp_path, None)):
            await until(lambda: len(heard.probes) >= 2)
    assert {each.host_age for each in heard.probes} == {None}
    assert set(heard.rejected) == {"tls"}


async def test_other_certificate_files_are_used_once_they_fit_and_the_former_until_then(
    tmp_path: Path,
) -> None:
    heard = Heard()
    asking = client(tmp_path, CA.issue_cert("n1.raft"))
    both = tmp_path / "both.pem"
    async with tls_sidecar(context(CA.issue_cert("127.0.0.1"), demanding=CA)) as url:
        async with fetching(url, heard, trust=asking):
            await until(lambda: heard.reports)
            both.write_bytes(CA.issue_cert("n1.raft").private_key_pem.bytes())
            seen = len(heard.reports)
            await until(lambda: len(heard.reports) >= seen + 2)
            assert heard.rejected.keys() == {"tls"}
            OTHER_CA.issue_cert("n1.raft").private_key_and_cert_chain_pem.write_to_path(both)
            await until(lambda: heard.probes[-1].outcome is Outcome.BAD_ANSWER)
            CA.issue_cert("n1.raft").private_key_and_cert_chain_pem.write_to_path(both)
            await until(lambda: heard.probes[-1].outcome is Outcome.OK)


async def test_over_tls_too_only_a_report_proves_the_host(tmp_path: Path) -> None:
    """Whether a connection ended in its handshake or after it can't be told."""
    heard = Heard()
    asking = client(tmp_path, CA.issue_cert("n1.raft"))
    async with tls_sidecar(context(CA.issue_cert("127.0.0.1"), demanding=CA)) as url:
        async with fetching(f"{url}/nowhere", heard, trust=asking):
            await until(lambda: heard.rejected["status"])
    assert {each.host_age for each in heard.probes} == {None}
