"""The native probe against servers of the test's own: what it sends, when, and what it makes of answers."""

from __future__ import annotations

import asyncio
import errno
import random
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import msgpack
import pytest

from raft_exporter.errors import WireError
from raft_exporter.model.evidence import Outcome, ProbeResult
from raft_exporter.sources import connection as connections
from raft_exporter.sources import prober as probers
from raft_exporter.sources import raft_connection
from raft_exporter.sources.connection import host_silence, outcome_of
from raft_exporter.sources.prober import Timing
from raft_exporter.sources.raft_connection import RaftConnection, Reply
from raft_exporter.sources.raft_probe import RaftProber, ask_once, identify
from raft_exporter.wire import PROBE
from tests.serving import serving
from tests.waiting import until

FAST = Timing(interval=0.01, timeout=5, retry=0.005)
IMPATIENT = Timing(interval=0.01, timeout=0.01, retry=0.005)


def answer(node_id: str = "n2", term: int = 3) -> bytes:
    body = {"ID": node_id.encode(), "Addr": b"a:1", "Term": term, "LastLog": 7, "Success": False}
    return b"\xa0" + bytes(msgpack.packb(body, use_bin_type=False))


@asynccontextmanager
async def probing(port: int, peer: str = "n2", timing: Timing = FAST) -> AsyncIterator[list[ProbeResult]]:
    results: list[ProbeResult] = []
    prober = RaftProber(peer, ("127.0.0.1", port), timing, results.append, random.Random(1))
    task = asyncio.create_task(prober.run())
    try:
        yield results
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


def outcomes(results: list[ProbeResult]) -> set[Outcome]:
    return {result.outcome for result in results}


async def test_it_sends_the_probe_and_nothing_else_on_one_connection() -> None:
    received = bytearray()
    connections_made = 0

    async def healthy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections_made
        connections_made += 1
        while data := await reader.read(1000):
            received.extend(data)
            assert len(data) == len(PROBE), "one outstanding request"
            writer.write(answer())

    async with serving(healthy) as port, probing(port) as results:
        await until(lambda: len(results) >= 20)
    assert bytes(received) == PROBE * (len(received) // len(PROBE))
    assert connections_made == 1
    assert outcomes(results) == {Outcome.OK}
    assert (results[0].term, results[0].last_log_index, results[0].host_age) == (3, 7, 0.0)
    assert all(result.round_trip is not None and 0 < result.round_trip < 5 for result in results)


async def test_while_unanswered_nothing_more_is_sent_and_no_connection_is_opened() -> None:
    received = bytearray()
    opened: list[asyncio.StreamWriter] = []
    release = asyncio.Event()

    async def stuck(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        opened.append(writer)
        received.extend(await reader.read(1000))
        await release.wait()
        writer.write(answer())
        while data := await reader.read(1000):
            received.extend(data)
            writer.write(answer())

    async with serving(stuck) as port, probing(port, timing=IMPATIENT) as results:
        await until(lambda: len(results) >= 10)
        assert outcomes(results) == {Outcome.TIMEOUT}
        assert bytes(received) == PROBE
        assert len(opened) == 1
        assert all(result.host_age is not None and result.host_age < 5 for result in results)
        release.set()
        await until(lambda: results[-1].outcome is Outcome.OK)
        late = next(result for result in results if result.outcome is Outcome.OK)
        assert late.round_trip is not None
        assert late.round_trip >= 10 * IMPATIENT.timeout
        assert len(opened) == 1


async def test_a_closed_port_is_refused_and_asked_again_soon() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    async with probing(port, timing=Timing(interval=3600, timeout=1, retry=0.001)) as results:
        await until(lambda: len(results) == 3)
    assert outcomes(results) == {Outcome.REFUSED}
    assert results[0].host_age == 0.0


async def test_a_connection_closed_at_rest_is_opened_anew_at_once() -> None:
    asked = 0

    async def leaving(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal asked
        await reader.readexactly(len(PROBE))
        asked += 1
        writer.write(answer())
        await writer.drain()

    async with (
        serving(leaving) as port,
        probing(port, timing=Timing(interval=3600, timeout=5, retry=0)) as results,
    ):
        await until(lambda: asked >= 3)
    assert outcomes(results) == {Outcome.OK}


async def test_a_request_lost_with_its_connection_is_repeated_once_on_a_new_one() -> None:
    opened = 0

    async def dying(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal opened
        opened += 1
        await reader.readexactly(len(PROBE))
        if opened > 1:
            return
        writer.write(answer())
        await reader.readexactly(len(PROBE))

    async with (
        serving(dying) as port,
        probing(port, timing=Timing(interval=0.02, timeout=1, retry=1)) as results,
    ):
        await until(lambda: len(results) >= 3)
    assert [result.outcome for result in results[:3]] == [Outcome.OK, Outcome.BAD_ANSWER, Outcome.BAD_ANSWER]


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"HTTP/1.1 400 Bad Request\r\n\r\n", id="another protocol"),
        pytest.param(answer("n7"), id="another member"),
        pytest.param(answer() + answer(), id="two answers to one request"),
        pytest.param(b"", id="none"),
    ],
)
async def test_bad_answers_are_no_proof_of_life(data: bytes) -> None:
    async def wrong(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(len(PROBE))
        writer.write(data)

    async with serving(wrong) as port, probing(port) as results:
        await until(lambda: len(results) >= 3)
    assert outcomes(results) == {Outcome.BAD_ANSWER}
    assert results[0].host_age == 0.0


async def test_an_answer_that_nobody_asked_for_ends_the_connection() -> None:
    async def chatty(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(answer())
        await asyncio.Event().wait()

    async with serving(chatty) as port:
        connection = await RaftConnection.open("127.0.0.1", port, Timing(interval=1, timeout=5, retry=1))
        async with asyncio.timeout(5):
            await connection.closed.wait()
        with pytest.raises(WireError, match="got more"):
            await connection.ask()
        assert connection.host_silence() is None
        await connection.close()


@pytest.mark.parametrize(
    ("peer", "outcome"), [("127.0.0.1:{}", Outcome.OK), ("127.0.0.9:{}", Outcome.BAD_ANSWER)]
)
async def test_a_member_known_by_its_address_alone_may_have_any_id(peer: str, outcome: Outcome) -> None:
    async def healthy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.read(1000):
            writer.write(answer("5f4c8d9e-uuid"))

    async with serving(healthy) as port, probing(port, peer.format(port)) as results:
        await until(lambda: len(results) >= 2)
    assert outcomes(results) == {outcome}


async def test_an_error_of_the_node_is_an_answer_of_its_main_loop() -> None:
    async def old(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.read(1000):
            writer.write(bytes(msgpack.packb("no such version", use_bin_type=False)) + b"\xc0")

    async with serving(old) as port, probing(port) as results:
        await until(lambda: len(results) >= 2)
    assert outcomes(results) == {Outcome.OK}
    assert results[0].term is None


async def test_two_requests_at_once_are_a_fault_of_the_program() -> None:
    async def silent(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        await reader.read()

    async with serving(silent) as port:
        connection = await RaftConnection.open("127.0.0.1", port, Timing(interval=1, timeout=5, retry=1))
        connection.ask()
        with pytest.raises(RuntimeError):
            connection.ask()
        await connection.close()


async def test_ending_waits_for_the_answer_so_that_none_is_left_unread() -> None:
    asked = asyncio.Event()
    unread = asyncio.get_running_loop().create_future()

    async def slow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(len(PROBE))
        asked.set()
        await asyncio.sleep(0)
        writer.write(answer())
        try:
            unread.set_result(await reader.read())
        except ConnectionResetError as error:
            unread.set_exception(error)

    async with serving(slow) as port:
        async with probing(port, timing=Timing(interval=3600, timeout=5, retry=1)):
            await asked.wait()
        assert await unread == b"", "the node sees a clean end, no reset"


async def test_a_fault_of_our_own_is_a_local_error_and_probing_goes_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def broken(*_: object) -> socket.socket:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(raft_connection, "connect", broken)
    async with probing(1) as results:
        await until(lambda: len(results) >= 3)
    assert outcomes(results) == {Outcome.LOCAL_ERROR}
    assert results[0].host_age is None


async def test_a_name_that_cannot_be_looked_up_is_a_local_error_and_probing_goes_on() -> None:
    results: list[ProbeResult] = []
    address = ("x" * 70 + ".example", 1)
    task = asyncio.create_task(RaftProber("n2", address, FAST, results.append, random.Random(1)).run())
    await until(lambda: len(results) >= 3)
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
    assert outcomes(results) == {Outcome.LOCAL_ERROR}


async def test_a_connection_that_the_kernel_gave_up_is_a_timeout_with_no_sign_of_the_host() -> None:
    async def silent(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        await reader.read()

    async with serving(silent) as port:
        connection = await RaftConnection.open("127.0.0.1", port, Timing(interval=1, timeout=5, retry=1))
        waiting = connection.ask()
        connection.connection_lost(TimeoutError(errno.ETIMEDOUT, "Connection timed out"))
        with pytest.raises(TimeoutError):
            await waiting
        await connection.close()

    results: list[ProbeResult] = []
    prober = RaftProber("n2", ("127.0.0.1", 1), FAST, results.append, random.Random(1))

    class GivenUp(RaftConnection):
        def ask(self) -> asyncio.Future[Reply]:
            waiting = super().ask()
            self.connection_lost(TimeoutError(errno.ETIMEDOUT, "Connection timed out"))
            return waiting

    async with serving(silent) as port:
        prober._connection = await GivenUp.open("127.0.0.1", port, Timing(interval=1, timeout=5, retry=1))
        task = asyncio.create_task(prober.run())
        await until(lambda: results)
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
    assert (results[0].outcome, results[0].host_age) == (Outcome.TIMEOUT, None)


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (ConnectionRefusedError(errno.ECONNREFUSED, ""), Outcome.REFUSED),
        (TimeoutError(), Outcome.TIMEOUT),
        (OSError(errno.EHOSTUNREACH, ""), Outcome.TIMEOUT),
        (ConnectionResetError(errno.ECONNRESET, ""), Outcome.TIMEOUT),
        (OSError(errno.ENETUNREACH, ""), Outcome.LOCAL_ERROR),
        (OSError(errno.EMFILE, ""), Outcome.LOCAL_ERROR),
        (socket.gaierror(socket.EAI_NONAME, ""), Outcome.LOCAL_ERROR),
    ],
)
def test_errors_of_connecting(error: OSError, outcome: Outcome) -> None:
    assert outcome_of(error) is outcome


def test_a_socket_without_tcp_knows_nothing_of_its_host() -> None:
    with socket.socket(socket.AF_UNIX) as sock:
        assert host_silence(sock) is None


def found_at(monkeypatch: pytest.MonkeyPatch, *addresses: tuple[str, int]) -> None:
    """Let every name stand for these addresses."""

    async def look_up(*_: object) -> object:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", address) for address in addresses]

    monkeypatch.setattr(connections, "_look_up", look_up)


async def connect() -> socket.socket:
    return await connections.connect("two.example", 1, dead_after=3.0, patience=5.0)


async def test_every_address_of_a_name_is_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    async def silent(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        await reader.read()

    async with serving(silent) as port:
        found_at(monkeypatch, ("127.0.0.9", port), ("127.0.0.1", port))
        sock = await connect()
        assert sock.getpeername() == ("127.0.0.1", port)
        sock.close()


@pytest.mark.parametrize("last", [("255.255.255.255", 1), ("not an address", 1)])
async def test_a_refusal_by_one_address_says_more_than_a_fault_of_our_own_at_another(
    monkeypatch: pytest.MonkeyPatch, last: tuple[str, int]
) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        closed = free.getsockname()
    found_at(monkeypatch, closed, last)
    with pytest.raises(ConnectionRefusedError):
        await connect()


async def test_a_name_without_addresses_is_our_own_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    found_at(monkeypatch)
    with pytest.raises(OSError, match="no address") as error:
        await connect()
    assert outcome_of(error.value) is Outcome.LOCAL_ERROR


async def test_a_name_that_is_not_found_in_time_is_our_own_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    async def never(*_: object, **__: object) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", never)
    with pytest.raises(socket.gaierror, match="not found in time") as error:
        await connections.connect("slow.example", 1, dead_after=3.0, patience=0.01)
    assert outcome_of(error.value) is Outcome.LOCAL_ERROR


async def test_one_that_closes_every_connection_is_not_asked_without_end() -> None:
    opened = 0

    async def hasty(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal opened
        opened += 1
        await reader.readexactly(len(PROBE))
        writer.write(answer())

    async with (
        serving(hasty) as port,
        probing(port, timing=Timing(interval=0.2, timeout=5, retry=0.1)) as results,
    ):
        began = asyncio.get_running_loop().time()
        await until(lambda: len(results) >= 5)
        assert asyncio.get_running_loop().time() - began >= 4 * 0.2 * 0.8
        assert opened == 5


async def test_another_timing_holds_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probers, "_NAP", 0.01)
    results: list[ProbeResult] = []
    prober = RaftProber("n2", ("127.0.0.1", 1), Timing(3600, 5, 3600), results.append, random.Random(1))
    task = asyncio.create_task(prober.run())
    await until(lambda: results)
    prober.timing = FAST
    await until(lambda: len(results) >= 5)
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


async def test_the_same_timing_told_again_wakes_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """The sidecar tells it with every turn of the judging."""
    naps = 0
    sleep = asyncio.sleep

    async def nap(seconds: float) -> None:
        nonlocal naps
        naps += seconds == probers._NAP
        await sleep(0)

    monkeypatch.setattr(asyncio, "sleep", nap)
    results: list[ProbeResult] = []
    prober = RaftProber("n2", ("127.0.0.1", 1), Timing(3600, 5, 3600), results.append, random.Random(1))
    task = asyncio.create_task(prober.run())
    for _ in range(20_000):
        prober.timing = Timing(3600, 5, 3600)
        if naps >= 5:
            break
        await sleep(0)
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
    assert naps >= 5
    assert len(results) == 1


async def test_a_member_that_comes_back_is_asked_twice_as_often_for_a_while(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    timing = Timing.of(1.0, None, None)
    prober = RaftProber("n2", ("127.0.0.1", 1), timing, lambda _: None, random.Random(1))
    now = 100.0
    monkeypatch.setattr(asyncio.get_running_loop(), "time", lambda: now)

    def delays() -> tuple[float, float]:
        found = [prober._delay() for _ in range(100)]
        return min(found), max(found)

    usual, often = (0.4, 0.6), (0.2, 0.3)
    prober._tell(Outcome.TIMEOUT)
    now += 1.9
    prober._tell(Outcome.OK)
    assert usual[0] <= delays()[0] <= delays()[1] <= usual[1], "it was away for less than 2 H"
    prober._tell(Outcome.TIMEOUT)
    now += 1.0
    prober._tell(Outcome.TIMEOUT)
    now += 1.0
    assert usual[0] <= delays()[0], "while it is away"
    prober._tell(Outcome.OK)
    now += 3.9
    prober._tell(Outcome.OK)
    assert often[0] <= delays()[0] <= delays()[1] <= often[1]
    now += 0.2
    assert usual[0] <= delays()[0] <= delays()[1] <= usual[1], "4 H after its return"


async def test_asking_once() -> None:
    async def healthy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(len(PROBE))
        writer.write(answer())

    async def silent(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        await reader.read()

    async with serving(healthy) as port:
        assert (await ask_once("127.0.0.1", port, 5)).answer.id == "n2"
    async with serving(silent) as port:
        with pytest.raises(TimeoutError):
            await ask_once("127.0.0.1", port, 0.01)


async def test_identifying_goes_on_until_there_is_an_answer() -> None:
    opened = 0

    async def late(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal opened
        opened += 1
        await reader.readexactly(len(PROBE))
        if opened == 3:
            writer.write(answer("n1"))

    async with serving(late) as port, asyncio.timeout(10):
        assert (await identify(("127.0.0.1", port), FAST)).id == "n1"


def test_timing_is_half_a_heartbeat_timeout_and_never_above_one() -> None:
    assert Timing.of(1.0, None, None) == Timing(interval=0.5, timeout=0.5, retry=0.25)
    assert Timing.of(5.0, 1.0, None) == Timing(interval=1.0, timeout=1.0, retry=1.0)
    assert Timing.of(1.0, 60.0, 90.0) == Timing(interval=1 / 1.2, timeout=1.0, retry=0.25)
    assert Timing.of(1.0, None, None).dead_after == 4.0
    assert Timing.of(0.1, None, None).dead_after == 3.0
