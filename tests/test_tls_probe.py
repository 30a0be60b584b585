"""What Vault and OpenBao tell without credentials, by how they turn a TLS hello away."""

from __future__ import annotations

import asyncio
import json
import logging
import random
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from raft_exporter.demo.openbao import OpenBaoCluster, bao
from raft_exporter.errors import WireError
from raft_exporter.model.evidence import Outcome, ProbeKind, ProbeResult
from raft_exporter.notation import parse_address
from raft_exporter.sources.prober import Timing
from raft_exporter.sources.tls_probe import SERVES_RAFT, HelloConnection, TlsProber, greet_once
from tests.certificates import Authority, openssl
from tests.conftest import Need
from tests.serving import Handler, serving
from tests.test_raft_port import command
from tests.test_raft_probe import FAST, IMPATIENT, outcomes
from tests.waiting import until

UNRECOGNIZED_NAME = b"\x15\x03\x01\x00\x02\x02\x70"
INTERNAL_ERROR = b"\x15\x03\x01\x00\x02\x02\x50"
HANDSHAKE_FAILURE = b"\x15\x03\x01\x00\x02\x02\x28"


def replying(data: bytes) -> Handler:
    async def reply(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(4000)
        writer.write(data)
        await reader.read()

    return reply


@asynccontextmanager
async def probing(port: int, timing: Timing = FAST) -> AsyncIterator[list[ProbeResult]]:
    results: list[ProbeResult] = []
    task = asyncio.create_task(
        TlsProber("n2", ("127.0.0.1", port), timing, results.append, random.Random(1)).run()
    )
    try:
        yield results
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


def test_the_alerts_are_those_that_openssl_names_so() -> None:
    for alert, name in ((UNRECOGNIZED_NAME, "UNRECOGNIZED_NAME"), (INTERNAL_ERROR, "INTERNAL_ERROR")):
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        client = ssl.create_default_context().wrap_bio(incoming, outgoing, server_hostname="n2")
        incoming.write(alert)
        with pytest.raises(ssl.SSLError) as error:
            client.do_handshake()
        assert str(error.value.reason).endswith(name)


async def test_it_greets_by_rafts_protocol_without_a_server_name_and_sends_nothing_else() -> None:
    received: list[bytes] = []

    async def cluster_port(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        hello = await reader.read(4000)
        writer.write(UNRECOGNIZED_NAME)
        received.append(hello + await reader.read())

    async with serving(cluster_port) as port, probing(port) as results:
        await until(lambda: len(received) >= 3)
    for hello in received:
        assert (hello[0], hello[5]) == (22, 1), "a handshake record, a ClientHello"
        assert len(hello) == 5 + int.from_bytes(hello[3:5]), "one record"
        assert hello.count(b"\x0fraft_storage_v1") == 1
        assert b"127.0.0.1" not in hello
        assert hello[11:43] != received[0][11:43] or hello is received[0], "no random twice"
    assert outcomes(results) == {Outcome.OK}
    assert {(each.kind, each.host_age, each.term, each.last_log_index) for each in results} == {
        (ProbeKind.TLS, 0.0, None, None)
    }
    assert all(each.round_trip is not None and 0 < each.round_trip < 5 for each in results)


async def test_an_alert_in_pieces_is_read() -> None:
    async def slow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(4000)
        for byte in UNRECOGNIZED_NAME:
            writer.write(bytes([byte]))
            await writer.drain()
            await asyncio.sleep(0)
        await reader.read()

    async with serving(slow) as port:
        assert (await greet_once("127.0.0.1", port, 5.0)).number == SERVES_RAFT


@pytest.mark.parametrize(
    ("alert", "why"),
    [
        (INTERNAL_ERROR, "sealed or not started"),
        (HANDSHAKE_FAILURE, "TLS alert 40: not the cluster port of Vault or OpenBao"),
    ],
)
async def test_another_alert_is_a_bad_answer_and_logged_once(
    alert: bytes, why: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    async with serving(replying(alert)) as port, probing(port) as results:
        await until(lambda: len(results) >= 4)
    assert outcomes(results) == {Outcome.BAD_ANSWER}
    assert results[0].host_age == 0.0
    (record,) = caplog.records
    assert record.fields == {"peer": "n2", "address": f"127.0.0.1:{port}", "why": why}  # type: ignore[attr-defined]


async def test_why_is_logged_anew_after_a_good_answer(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    alerts = [INTERNAL_ERROR, INTERNAL_ERROR, UNRECOGNIZED_NAME, INTERNAL_ERROR, INTERNAL_ERROR]

    async def changing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(4000)
        writer.write(alerts.pop(0) if alerts else UNRECOGNIZED_NAME)
        await reader.read()

    async with serving(changing) as port, probing(port) as results:
        await until(lambda: len(results) >= 6)
    assert len(caplog.records) == 2


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"HTTP/1.1 400 Bad Request\r\n\r\n", id="another protocol"),
        pytest.param(b"\x15\x03\x01\x00\x02\x01\x70", id="a warning, after which a handshake goes on"),
        pytest.param(b"\x16\x03\x03\x00\x7a\x02", id="a server that takes anybody"),
    ],
)
async def test_whatever_is_no_alert_is_a_bad_answer(data: bytes) -> None:
    async def wrong(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(4000)
        writer.write(data)

    async with serving(wrong) as port:
        with pytest.raises(WireError):
            await greet_once("127.0.0.1", port, 5.0)
        async with probing(port) as results:
            await until(lambda: len(results) >= 3)
    assert outcomes(results) == {Outcome.BAD_ANSWER}


async def test_a_server_that_takes_anybody_is_not_taken_for_it(need: Need, tmp_path: Path) -> None:
    need("openssl", openssl)
    authority = Authority(tmp_path)
    context = authority.serving(authority.issue("DNS:n2"))

    async def never(_: asyncio.StreamReader, __: asyncio.StreamWriter) -> None:
        raise AssertionError

    server = await asyncio.start_server(never, "127.0.0.1", 0, ssl=context)
    async with server:
        with pytest.raises(WireError, match="expected a TLS alert, got a byte 22"):
            await greet_once("127.0.0.1", server.sockets[0].getsockname()[1], 5.0)


async def test_an_alert_that_nobody_asked_for_ends_the_connection() -> None:
    async def hasty(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(UNRECOGNIZED_NAME)
        await reader.read()

    async with serving(hasty) as port:
        connection = await HelloConnection.open("127.0.0.1", port, FAST)
        async with asyncio.timeout(5):
            await connection.closed.wait()
        with pytest.raises(WireError, match="got more"):
            await connection.ask()
        await connection.close()


async def test_while_a_hello_is_unanswered_no_other_is_sent_and_no_connection_is_opened() -> None:
    opened, release = 0, asyncio.Event()
    received = bytearray()

    async def frozen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal opened
        opened += 1
        received.extend(await reader.read(4000))
        await release.wait()
        writer.write(UNRECOGNIZED_NAME)
        await reader.read()

    async with serving(frozen) as port, probing(port, IMPATIENT) as results:
        await until(lambda: len(results) >= 10)
        assert outcomes(results) == {Outcome.TIMEOUT}
        assert all(each.host_age is not None and each.waiting is not None for each in results)
        assert opened == 1
        assert len(received) == 5 + int.from_bytes(received[3:5])
        release.set()
        await until(lambda: results[-1].outcome is Outcome.OK)
        late = next(each for each in results if each.outcome is Outcome.OK)
        assert late.round_trip is not None
        assert late.round_trip >= 10 * IMPATIENT.timeout


async def test_a_closed_port_is_refused() -> None:
    async with serving(replying(b"")) as port:
        pass
    async with probing(port) as results:
        await until(lambda: len(results) >= 3)
    assert outcomes(results) == {Outcome.REFUSED}


async def test_the_command_greets_a_cluster_port() -> None:
    async with serving(replying(UNRECOGNIZED_NAME)) as port:
        where = f"127.0.0.1:{port}"
        code, output = await command(where, "--port", "vault")
        assert (code, output.splitlines()[0]) == (0, "the process runs and serves Raft")
        code, output = await command(where, "--port", "vault", "--json")
        facts = json.loads(output)
        assert facts.pop("round_trip_seconds") > 0
        assert (code, facts) == (0, {"alert": 112})
        assert (await command(where, "--port", "vault", "--tls"))[0] == 2
    async with serving(replying(INTERNAL_ERROR)) as port:
        code, output = await command(f"127.0.0.1:{port}", "--port", "vault")
    assert (code, output.strip()) == (1, f"raft-exporter: 127.0.0.1:{port}: sealed or not started")


@pytest.mark.integration
async def test_a_real_openbao_is_told_running_frozen_and_sealed(need: Need, tmp_path: Path) -> None:
    need("OpenBao", bao)
    cluster = OpenBaoCluster(tmp_path, size=2)
    node = cluster.nodes["n1"]
    try:
        await asyncio.to_thread(cluster.start)
        said = node.log.read_text().count("\n")
        host, port = parse_address(node.address)
        results: list[ProbeResult] = []
        timing = Timing(interval=0.05, timeout=0.2, retry=0.05)
        task = asyncio.create_task(
            TlsProber("n1", (host, port), timing, results.append, random.Random(1)).run()
        )

        async def until_told(outcome: Outcome) -> None:
            begun = len(results)
            await until(lambda: outcome in [each.outcome for each in results[begun:]])

        await until(lambda: len(results) >= 20)
        assert outcomes(results) == {Outcome.OK}
        assert node.log.read_text().count("\n") == said, "it leaves no line in the node's log"
        node.freeze()
        await until_told(Outcome.TIMEOUT)
        assert results[-1].host_age is not None
        node.thaw()
        await until_told(Outcome.OK)
        await asyncio.to_thread(node.seal)
        await until_told(Outcome.REFUSED)
        closed = len(results)
        await until(lambda: len(results) >= closed + 3)
        assert outcomes(results[closed:]) == {Outcome.REFUSED}
        task.cancel()
        await asyncio.wait([task])
    finally:
        cluster.stop()
