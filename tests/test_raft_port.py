"""The native probe through what stands before the protocol: prefix bytes and TLS (docs/hashicorp-raft.md)."""

from __future__ import annotations

import asyncio
import errno
import logging
import random
import socket
import ssl
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import get_args

import pytest
from click.testing import CliRunner

from raft_exporter.cli import main
from raft_exporter.demo.cluster import Cluster, raftnode
from raft_exporter.errors import NodeError, TlsError, WireError
from raft_exporter.model.evidence import Outcome, ProbeResult
from raft_exporter.schema import Port, TlsConfig
from raft_exporter.sources.prober import Timing
from raft_exporter.sources.raft_connection import RaftConnection
from raft_exporter.sources.raft_port import PLAIN, Front, RaftPort
from raft_exporter.sources.raft_probe import RaftProber, ask_once, identify
from raft_exporter.sources.tls import TlsLayer
from raft_exporter.wire import PROBE
from tests.certificates import Authority, openssl
from tests.conftest import Need
from tests.fronts import fronting
from tests.serving import serving
from tests.test_raft_probe import FAST, IMPATIENT, answer, outcomes
from tests.waiting import until

FIRST: dict[RaftPort, tuple[bytes, bytes, bytes]] = {
    "plain": (b"", b"", b""),
    "consul": (b"\x01", b"\x03", b"\x01"),
    "nomad": (b"\x02", b"\x04", b"\x02"),
    "rqlite": (b"\x01", b"", b"\x01"),
}
"""By port: what is sent first without TLS; with TLS before it, and inside of it."""
HERE = "IP:127.0.0.1"
PATIENT = Timing(interval=1, timeout=5, retry=1)


@pytest.fixture(scope="module")
def authority(need: Need, tmp_path_factory: pytest.TempPathFactory) -> Authority:
    need("openssl", openssl)
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def here(authority: Authority) -> Path:
    """The certificate of the servers of this module."""
    return authority.issue(HERE)


async def healthy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while True:
        assert await reader.readexactly(len(PROBE)) == PROBE
        writer.write(answer())


@asynccontextmanager
async def probing(port: int, front: Front, timing: Timing = FAST) -> AsyncIterator[list[ProbeResult]]:
    results: list[ProbeResult] = []
    address = ("127.0.0.1", port)
    prober = RaftProber("n2", address, timing, results.append, random.Random(1), front=front)
    task = asyncio.create_task(prober.run())
    try:
        yield results
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


def trusting(authority: Authority, **more: object) -> TlsConfig:
    return TlsConfig(ca_file=str(authority.certificate), **more)  # type: ignore[arg-type]


def test_every_port_but_vaults_has_a_front() -> None:
    assert {*get_args(RaftPort), "vault"} == set(get_args(Port))
    assert set(FIRST) == set(get_args(RaftPort))
    assert Front.of("plain", None) == PLAIN


@pytest.mark.parametrize("port", get_args(RaftPort))
async def test_the_prefix_is_sent_once_a_connection_before_the_first_request(port: RaftPort) -> None:
    async with (
        fronting(healthy, prefix=FIRST[port][0]) as (number, server),
        probing(number, Front.of(port, None)) as results,
    ):
        await until(lambda: len(results) >= 5)
    assert outcomes(results) == {Outcome.OK}
    assert (server.opened, results[0].term) == (1, 3)


@pytest.mark.parametrize("port", get_args(RaftPort))
async def test_with_tls_the_prefix_is_inside_and_what_says_so_before(
    port: RaftPort, authority: Authority, here: Path
) -> None:
    _, before, inside = FIRST[port]
    async with (
        fronting(healthy, before, inside, authority.serving(here)) as (number, server),
        probing(number, Front.of(port, trusting(authority))) as results,
    ):
        await until(lambda: len(results) >= 5)
    assert outcomes(results) == {Outcome.OK}
    assert server.opened == 1
    assert all(result.round_trip is not None and result.round_trip < 5 for result in results)


@pytest.mark.integration
@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
async def test_a_real_node_answers_behind_every_front(
    tls: bool, need: Need, tmp_path: Path, authority: Authority, here: Path
) -> None:
    need("raftnode", raftnode)
    cluster = Cluster(tmp_path, size=1)
    (node,) = cluster.nodes.values()
    host, _, number = node.address.partition(":")

    async def pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        from_node, to_node = await asyncio.open_connection(host, int(number))
        try:
            await asyncio.gather(copy(reader, to_node), copy(from_node, writer))
        finally:
            to_node.close()
            await to_node.wait_closed()

    async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(1000):
            writer.write(data)
        writer.close()

    try:
        node.start()
        await asyncio.to_thread(cluster.leader)
        for port, (plain, before, inside) in FIRST.items():
            context = authority.serving(here) if tls else None
            first = (before, inside) if tls else (b"", plain)
            front = Front.of(port, trusting(authority) if tls else None)
            async with fronting(pipe, *first, context) as (at, server):
                reply = await ask_once("127.0.0.1", at, 5.0, front)
                assert (reply.answer.id, reply.answer.address) == (node.id, node.address)
                assert await identify(("127.0.0.1", at), FAST, front) == reply.answer
                assert server.opened == 2
    finally:
        cluster.stop()


# TLS: whom it trusts, and how it fails


@contextmanager
def alerting(context: ssl.SSLContext) -> Iterator[int]:
    """A TLS server in a thread: unlike asyncio's, it tells by an alert why it ends a handshake."""

    def serve() -> None:
        while not ended.is_set():
            sock, _ = listening.accept()
            sock.settimeout(10)
            with context.wrap_socket(sock, server_side=True, do_handshake_on_connect=False) as connection:
                with suppress(OSError):
                    connection.do_handshake()
                with suppress(OSError):  # closed with something unread, the alert may be lost
                    connection.shutdown(socket.SHUT_WR)
                    while connection.recv(1000):
                        pass

    ended = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        try:
            yield listening.getsockname()[1]
        finally:
            ended.set()
            with socket.create_connection(listening.getsockname()):
                pass
            thread.join()


async def failing(
    number: int, front: Front, caplog: pytest.LogCaptureFixture, times: int = 4
) -> tuple[list[ProbeResult], str]:
    """What comes of probes that all fail, and the one line that says why."""
    caplog.set_level(logging.WARNING)
    async with probing(number, front) as results:
        await until(lambda: len(results) >= times)
    (record,) = [each for each in caplog.records if each.msg == "bad answer"]
    return results, str(record.fields["why"])  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("certificate", "server_name", "why"),
    [
        pytest.param((HERE, -1), None, "certificate has expired", id="expired"),
        pytest.param(("DNS:n2.example", 1), None, "IP address mismatch", id="another name"),
        pytest.param((HERE, 1), "server.dc1.consul", "Hostname mismatch", id="another name than is expected"),
    ],
)
async def test_a_certificate_that_is_not_the_members_is_a_bad_answer_and_logged_once(
    certificate: tuple[str, int],
    server_name: str | None,
    why: str,
    authority: Authority,
    caplog: pytest.LogCaptureFixture,
) -> None:
    context = authority.serving(authority.issue(*certificate))
    front = Front.of("consul", trusting(authority, server_name=server_name))
    async with fronting(healthy, b"\x03", b"\x01", context) as (number, server):
        results, said = await failing(number, front, caplog)
    assert outcomes(results) == {Outcome.BAD_ANSWER}
    assert results[0].host_age == 0.0
    assert said.startswith("the certificate is not trusted: ")
    assert why in said
    alerts = [error.reason for error in server.faults if isinstance(error, ssl.SSLError)]
    assert alerts, "the server is told why by an alert"
    assert set(alerts) <= {"SSLV3_ALERT_CERTIFICATE_EXPIRED", "SSLV3_ALERT_BAD_CERTIFICATE"}


async def test_a_node_that_is_not_trusted_is_not_asked_for_its_id_and_that_is_logged_once(
    here: Path, authority: Authority, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    front = Front.of("plain", trusting(authority, server_name="n2.example"))
    async with fronting(healthy, context=authority.serving(here)) as (number, server):
        task = asyncio.create_task(identify(("127.0.0.1", number), FAST, front))
        await until(lambda: server.opened >= 4)
        task.cancel()
        await asyncio.wait([task])
    (record,) = caplog.records
    assert record.msg == "the node can't be asked for its id"


async def test_a_certificate_of_another_authority_is_not_trusted(
    authority: Authority, here: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    front = Front.of("plain", trusting(Authority(tmp_path / "other")))
    async with fronting(healthy, context=authority.serving(here)) as (number, _):
        results, said = await failing(number, front, caplog)
    assert outcomes(results) == {Outcome.BAD_ANSWER}
    assert said.startswith("the certificate is not trusted: ")


async def test_the_certificate_may_be_for_a_name_that_is_given(authority: Authority) -> None:
    context = authority.serving(authority.issue("DNS:server.dc1.consul"))
    front = Front.of("consul", trusting(authority, server_name="server.dc1.consul"))
    async with fronting(healthy, b"\x03", b"\x01", context) as (number, _):
        assert (await ask_once("127.0.0.1", number, 5.0, front)).answer.id == "n2"


async def test_without_verification_any_certificate_will_do(authority: Authority) -> None:
    context = authority.serving(authority.issue("DNS:n9.example", -1))
    async with fronting(healthy, context=context) as (number, _):
        reply = await ask_once("127.0.0.1", number, 5.0, Front.of("plain", TlsConfig(verify=False)))
    assert reply.answer.id == "n2"


@pytest.mark.parametrize("newest", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_a_client_certificate_that_is_asked_for_has_to_be_shown(
    newest: ssl.TLSVersion, authority: Authority, here: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """In TLS 1.3 the refusal comes after the handshake, as the answer to the first request."""
    context = authority.serving(here, asks=True)
    context.maximum_version = newest
    shown = trusting(authority, cert_file=str(authority.issue("DNS:client")))
    async with fronting(healthy, b"\x04", b"\x02", context) as (number, _):
        assert (await ask_once("127.0.0.1", number, 5.0, Front.of("nomad", shown))).answer.id == "n2"
    with alerting(context) as number:
        results, said = await failing(number, Front.of("plain", trusting(authority)), caplog)
    assert outcomes(results) == {Outcome.BAD_ANSWER}
    assert said in {"TLS: tlsv13 alert certificate required", "TLS: sslv3 alert handshake failure"}


async def test_a_port_without_tls_is_no_tls(caplog: pytest.LogCaptureFixture) -> None:
    async def plain(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1000)
        writer.write(answer())
        await reader.read()

    async with serving(plain) as number:
        results, said = await failing(number, Front.of("plain", TlsConfig(verify=False)), caplog)
    assert outcomes(results) == {Outcome.BAD_ANSWER}
    assert said == "TLS: wrong version number"


async def test_a_port_that_turns_every_connection_away_says_so_in_the_end(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Consul does so with whoever speaks no TLS where it demands it."""

    async def deaf(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        await reader.read(1000)

    async with serving(deaf) as number:
        results, said = await failing(number, Front.of("consul", None), caplog, times=5)
    assert outcomes(results) == {Outcome.BAD_ANSWER}
    assert said == "expected an answer, the connection was closed"


async def test_a_process_that_ends_within_the_handshake_closes_the_connection() -> None:
    async def dying(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        await reader.read(10)  # with the rest unread, the kernel resets the connection

    async with serving(dying) as number:
        with pytest.raises(WireError, match="closed") as error:
            await ask_once("127.0.0.1", number, 5.0, Front.of("plain", TlsConfig(verify=False)))
    assert not isinstance(error.value, TlsError)


async def test_a_handshake_that_is_not_answered_is_waited_for_on_one_connection(
    authority: Authority, here: Path
) -> None:
    """A frozen process: its host acknowledges, so that the member is known to be stalled, not gone."""
    release, frozen = asyncio.Event(), 0

    async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal frozen
        frozen += 1
        await release.wait()
        from_server, to_server = await asyncio.open_connection("127.0.0.1", behind)
        for source, target in ((reader, to_server), (from_server, writer)):
            tasks.append(asyncio.create_task(copy(source, target)))
        with suppress(asyncio.CancelledError):
            await asyncio.gather(*tasks)
        to_server.close()

    async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(1000):
            writer.write(data)

    tasks: list[asyncio.Task[None]] = []
    front = Front.of("consul", trusting(authority))
    async with fronting(healthy, b"\x03", b"\x01", authority.serving(here)) as (behind, server):
        async with serving(relay) as number:
            async with probing(number, front, IMPATIENT) as results:
                await until(lambda: len(results) >= 10)
                assert outcomes(results) == {Outcome.TIMEOUT}
                assert all(result.host_age is not None and result.host_age < 5 for result in results)
                waits = [result.waiting or 0.0 for result in results]
                assert waits == sorted(waits)
                assert frozen == 1
                assert server.opened == 0
                release.set()
                await until(lambda: results[-1].outcome is Outcome.OK)
                assert (frozen, server.opened) == (1, 1)
            for task in tasks:
                task.cancel()


async def test_the_host_is_heard_of_under_tls_as_without(authority: Authority, here: Path) -> None:
    answers = 0

    async def stalling(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal answers
        await reader.readexactly(len(PROBE))
        writer.write(answer())
        answers += 1
        await reader.read()

    async with fronting(stalling, context=authority.serving(here)) as (number, _):
        connection = await RaftConnection.open(
            "127.0.0.1", number, PATIENT, Front.of("plain", trusting(authority))
        )
        round_trip = (await connection.ask()).round_trip
        assert 0 < round_trip < 5
        waiting = connection.ask()
        assert not (await asyncio.wait([waiting], timeout=0.05))[0]
        silence = connection.host_silence()
        assert silence is not None
        assert silence < 5
        await connection.close()
        with pytest.raises(WireError, match="closed"):
            await waiting


async def test_a_host_that_is_gone_within_the_handshake_is_a_timeout_with_no_sign_of_it() -> None:
    async def silent(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        await reader.read()

    async with serving(silent) as number:
        front = Front.of("plain", TlsConfig(verify=False))
        connection = await RaftConnection.open("127.0.0.1", number, PATIENT, front)
        waiting = connection.ask()
        connection.connection_lost(TimeoutError(errno.ETIMEDOUT, "Connection timed out"))
        with pytest.raises(TimeoutError):
            await waiting
        await connection.close()


async def test_the_end_is_told_inside_tls(authority: Authority, here: Path) -> None:
    """Go takes a connection that ends without it for a broken one, and logs an error."""
    ended = asyncio.get_running_loop().create_future()

    async def listening(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(len(PROBE))
        writer.write(answer())
        try:
            ended.set_result(await reader.read())
        except OSError as error:
            ended.set_exception(error)

    async with fronting(listening, context=authority.serving(here)) as (number, server):
        await ask_once("127.0.0.1", number, 5.0, Front.of("plain", trusting(authority)))
        assert await ended == b""
    assert server.faults == []


async def test_another_end_that_says_it_ends_is_a_closed_connection(authority: Authority, here: Path) -> None:
    async def leaving(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(len(PROBE))

    async with fronting(leaving, context=authority.serving(here)) as (number, _):
        with pytest.raises(WireError, match="closed"):
            await ask_once("127.0.0.1", number, 5.0, Front.of("plain", trusting(authority)))


async def test_a_request_that_tls_does_not_take_is_a_bad_answer(authority: Authority, here: Path) -> None:
    async with fronting(healthy, context=authority.serving(here)) as (number, _):
        front = Front.of("plain", trusting(authority))
        connection = await RaftConnection.open("127.0.0.1", number, PATIENT, front)
        await connection.ask()
        connection._end()
        with pytest.raises(TlsError):
            await connection.ask()
        await connection.close()


def test_files_that_are_no_certificates_are_said_so(tmp_path: Path) -> None:
    empty = tmp_path / "empty.pem"
    empty.write_text("")
    for tls in (TlsConfig(ca_file=str(tmp_path / "none.pem")), TlsConfig(cert_file=str(empty))):
        with pytest.raises(NodeError, match="TLS files: ") as error:
            Front.of("rqlite", tls)
        assert error.value.reason == "tls"


def test_the_scope_of_an_address_is_in_no_certificate() -> None:
    layer = Front.of("plain", TlsConfig()).layer("fe80::1%eth0")
    assert layer is not None
    assert layer.outgoing()


def test_what_comes_in_pieces_of_any_size_is_read(authority: Authority, here: Path) -> None:
    """Both ends without a network between them."""
    for size in (1, 7, 100_000):
        context = authority.serving(here)
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        server = context.wrap_bio(incoming, outgoing, server_side=True)
        layer = Front.of("plain", trusting(authority)).layer("127.0.0.1")
        assert layer is not None
        inside, shaken = b"", False
        for _ in range(6):
            incoming.write(layer.outgoing())
            try:
                if not shaken:
                    server.do_handshake()
                    server.write(answer())
                    shaken = True
            except ssl.SSLWantReadError:
                pass
            data = outgoing.read()
            for start in range(0, len(data), size):
                inside += layer.received(data[start : start + size])
        assert layer.established
        assert inside == answer()


@pytest.mark.parametrize("seed", range(5))
def test_any_bytes_in_the_place_of_tls_are_a_tls_error_or_nothing(seed: int) -> None:
    rng = random.Random(seed)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    for _ in range(300):
        layer = TlsLayer(context, "n2")
        layer.begin()
        kind = rng.choice((b"", b"\x16\x03\x03", b"\x15\x03\x03\x00\x02", b"\x17\x03\x03"))
        with suppress(TlsError):
            assert layer.received(kind + rng.randbytes(rng.randrange(200))) == b""
        layer.outgoing()


# the command


async def command(*args: str) -> tuple[int, str]:
    result = await asyncio.to_thread(CliRunner().invoke, main, ["probe", *args])
    return result.exit_code, result.output


async def test_the_command_probes_any_port(authority: Authority, here: Path) -> None:
    ca = ("--ca-file", str(authority.certificate))
    async with fronting(healthy, prefix=b"\x02") as (number, _):
        code, output = await command(f"127.0.0.1:{number}", "--port", "nomad")
        assert (code, output.splitlines()[0]) == (0, "id:             n2")
    async with fronting(healthy, b"\x03", b"\x01", authority.serving(here)) as (number, _):
        code, output = await command(f"127.0.0.1:{number}", "--port", "consul", *ca)
        assert (code, output.splitlines()[0]) == (0, "id:             n2")
        assert (await command(f"127.0.0.1:{number}", "--port", "consul", "--no-verify"))[0] == 0
        code, output = await command(f"127.0.0.1:{number}", "--port", "consul", *ca, "--server-name", "n2")
        assert code == 1
        assert (
            f"raft-exporter: 127.0.0.1:{number}: the certificate is not trusted: Hostname mismatch" in output
        )
    assert (await command("127.0.0.1:1", "--tls", "--ca-file", "/none.pem"))[0] == 1
