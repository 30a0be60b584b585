"""The packets' sockets, and where packets go on to."""

from __future__ import annotations

import asyncio
import logging
import socket
import stat
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import pytest

from raft_exporter.errors import StartError
from raft_exporter.model.evidence import HeartbeatsAnswered, Role
from raft_exporter.sources import statsd
from raft_exporter.sources.datagrams import SO_RCVBUFFORCE
from raft_exporter.sources.telemetry import SOURCE
from tests.conftest import Need
from tests.telemetry.captured import RAFT, packets
from tests.telemetry.listener import Listener
from tests.waiting import until

LEADER = b"s.raft.state.leader:1.000000|c\n"


@asynccontextmanager
async def listening(*where: str) -> AsyncIterator[Listener]:
    listener = Listener("n1", "n2", "n3")
    await listener.listen(*where)
    try:
        yield listener
    finally:
        listener.source.close()


@contextmanager
def datagrams(family: int = socket.AF_INET, to: object = None) -> Iterator[socket.socket]:
    with socket.socket(family, socket.SOCK_DGRAM) as sock:
        if to is not None:
            sock.connect(to)  # type: ignore[arg-type]
        yield sock


@contextmanager
def reader(path: Path | None = None) -> Iterator[socket.socket]:
    with datagrams(socket.AF_INET if path is None else socket.AF_UNIX) as sock:
        sock.bind(("127.0.0.1", 0) if path is None else str(path))
        sock.setblocking(False)
        yield sock


def url(sock: socket.socket) -> str:
    return f"udp:127.0.0.1:{sock.getsockname()[1]}"


async def received(sock: socket.socket) -> bytes:
    async with asyncio.timeout(10):
        return await asyncio.get_running_loop().sock_recv(sock, 300_000)


def ipv6() -> bool:
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as sock:
        sock.bind(("::1", 0))
    return True


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]"])
async def test_packets_come_by_udp(host: str, need: Need) -> None:
    if host == "[::1]":
        need("IPv6", ipv6)
    async with listening(f"udp:{host}:0") as listener:
        (address,) = listener.source.addresses
        with datagrams(socket.AF_INET6 if "[" in host else socket.AF_INET, address) as node:
            for _, packet in packets(f"{RAFT}leader-idle")[:10]:
                node.send(packet)
            await until(lambda: listener.turn(1.0) and listener.heartbeats.get("n3", 0) >= 3)
    assert listener.rejected == {}


async def test_no_host_is_all_addresses_of_both_kinds(need: Need) -> None:
    need("IPv6", ipv6)
    async with listening("udp::0") as listener:
        assert [address[0] for address in listener.source.addresses] == ["0.0.0.0", "::"]


async def test_packets_come_by_a_unix_socket_which_goes_with_the_sidecar(tmp_path: Path) -> None:
    path = tmp_path / "new" / "telemetry.sock"
    async with listening(f"unixgram:{path}") as listener:
        assert stat.S_IMODE(path.stat().st_mode) == 0o660
        with datagrams(socket.AF_UNIX, str(path)) as node:
            node.send(LEADER)
            await until(lambda: listener.telemetry.heard_at == 0.0)
    assert not path.exists()


async def test_a_socket_that_nobody_reads_is_replaced_and_one_that_is_read_is_not(tmp_path: Path) -> None:
    path = tmp_path / "s"
    with reader(path):
        with pytest.raises(StartError, match=r"telemetry\.listen: .*another process listens there"):
            await Listener().listen(f"unixgram:{path}")
    assert path.is_socket()
    async with listening(f"unixgram:{path}"):
        assert path.is_socket()


@pytest.mark.parametrize("where", ["udp:192.0.2.1:8125", f"udp:{'x' * 70}:8125"])
async def test_an_address_that_cannot_be_had_is_an_error_in_one_line(where: str) -> None:
    with pytest.raises(StartError, match=rf"telemetry\.listen: can't listen on {where}: \w"):
        await Listener().listen(where)
    with pytest.raises(StartError, match=r"telemetry\.listen: can't listen on unixgram:/proc/s: \w"):
        await Listener().listen("unixgram:/proc/s")


async def test_the_receive_buffer_is_as_large_as_the_system_gives() -> None:
    async with listening("udp:127.0.0.1:0") as listener:
        (sock,) = listener.source._dropped
        with datagrams() as other:
            other.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 * 1024 * 1024)
            granted = other.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)
        assert granted <= sock.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) <= 8 * 1024 * 1024


class Unprivileged(socket.socket):
    """A socket of a machine without IPv6, where no buffer goes beyond the system's limit."""

    def __init__(self, family: int = socket.AF_INET, *more: int) -> None:
        if family == socket.AF_INET6:
            raise OSError(97, "Address family not supported by protocol")
        super().__init__(family, *more)

    def setsockopt(self, level: int, option: int, value: int) -> None:  # type: ignore[override]
        if option == SO_RCVBUFFORCE:
            raise PermissionError(1, "Operation not permitted")
        super().setsockopt(level, option, value)


async def test_without_ipv6_and_privileges_it_listens_as_well_as_it_can(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(socket, "socket", Unprivileged)
        listener = Listener("n1")
        await listener.listen("udp::0")
    try:
        (sock,) = listener.source._dropped
        assert sock.family == socket.AF_INET
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) > 100_000
    finally:
        listener.source.close()


class Broken(socket.socket):
    """A socket that can't be read."""

    def recvmsg_into(self, *_: object) -> tuple[int, list[tuple[int, int, bytes]], int, object]:
        raise OSError(5, "Input/output error")


def test_a_socket_that_cannot_be_read_is_counted() -> None:
    listener = Listener("n1")
    with Broken() as sock:
        listener.source._readable(sock)
    assert listener.rejected == {"unreadable": 1}


async def test_what_the_kernel_drops_is_counted() -> None:
    async with listening("udp:127.0.0.1:0") as listener:
        (sock,) = listener.source._dropped
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
        with datagrams(to=listener.source.addresses[0]) as node:
            for _ in range(1000):
                node.send(LEADER)
            await until(lambda: listener.telemetry.heard_at == 0.0)
            await asyncio.sleep(0)  # what was in the buffer is read in one turn
            node.send(LEADER)  # the kernel tells its drops with the next packet that it takes
            await until(lambda: listener.rejected.get("dropped_by_kernel", 0))
            told = listener.rejected["dropped_by_kernel"]
            assert 900 < told < 1000
            node.send(LEADER)
            await until(lambda: _is_empty(sock))
            assert listener.rejected["dropped_by_kernel"] == told


def _is_empty(sock: socket.socket) -> bool:
    try:
        sock.recv(1, socket.MSG_PEEK)
    except BlockingIOError:
        return True
    return False


async def test_a_flood_leaves_the_event_loop_its_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[int] = []
    async with listening("udp:127.0.0.1:0") as listener:
        monkeypatch.setattr(listener.source, "take", lambda data, _at, **_: taken.append(len(data)))
        with datagrams(to=listener.source.addresses[0]) as node:
            for _ in range(200):
                node.send(LEADER)
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            assert 0 < len(taken) <= 2 * statsd._PACKETS_A_TURN
            await until(lambda: len(taken) == 200)
            taken.clear()
            for _ in range(5):
                node.send(b"x" * 60_000)
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            assert 0 < len(taken) < 5


async def test_every_packet_goes_on_unchanged() -> None:
    sent = [packet for _, packet in packets("openbao-2.7.2-dogstatsd")[:50]] + [b"\x00\xff", b"x" * 65_000]
    with reader() as old:
        async with listening("udp:127.0.0.1:0") as listener:
            await listener.relay(url(old))
            with datagrams(to=listener.source.addresses[0]) as node:
                for packet in sent:
                    node.send(packet)
                    assert await received(old) == packet
    assert "not_relayed" not in listener.rejected


async def test_packets_go_on_to_a_unix_socket_that_may_come_and_go(tmp_path: Path) -> None:
    path = tmp_path / "old"
    async with listening("udp:127.0.0.1:0") as listener:
        await listener.relay(f"unixgram:{path}")
        with datagrams(to=listener.source.addresses[0]) as node:
            node.send(LEADER)
            await until(lambda: listener.rejected.get("not_relayed") == 1)
            for _ in range(2):
                with reader(path) as old:
                    node.send(LEADER)
                    assert await received(old) == LEADER
                path.unlink()
            assert listener.rejected == {"not_relayed": 1}


async def test_a_relay_that_is_full_is_not_waited_for(tmp_path: Path) -> None:
    with reader(tmp_path / "old"):
        async with listening("udp:127.0.0.1:0") as listener:
            await listener.relay(f"unixgram:{tmp_path / 'old'}")
            with datagrams(to=listener.source.addresses[0]) as node:
                for _ in range(600):
                    node.send(LEADER)
                await until(lambda: listener.rejected.get("not_relayed", 0) > 50)
                assert listener.telemetry.heard_at == 0.0


async def test_a_relay_that_is_gone_is_counted_said_once_and_found_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with reader() as sock:
        where, address = url(sock), sock.getsockname()
    with caplog.at_level(logging.INFO, "raft_exporter"):
        async with listening("udp:127.0.0.1:0") as listener:
            await listener.relay(where)
            with datagrams(to=listener.source.addresses[0]) as node:
                for sent in range(1, 21):
                    listener.now = float(sent)
                    node.send(LEADER)
                    await until(lambda now=sent: listener.telemetry.heard_at == now)  # type: ignore[misc]
                assert 15 <= listener.rejected["not_relayed"] <= 20
                with datagrams() as back:
                    back.setblocking(False)
                    back.bind(address)
                    node.send(LEADER)
                    assert await received(back) == LEADER
    assert sum("not_relayed" in record.getMessage() for record in caplog.records) <= 1
    assert len(caplog.records) < 5


@pytest.mark.parametrize("own", ["127.0.0.1", "", "localhost"])
async def test_packets_never_go_round_in_a_circle(own: str) -> None:
    async with listening(f"udp:{own}:0") as listener:
        port = listener.source.addresses[0][1]
        with pytest.raises(StartError, match=r"telemetry\.relay: expected another address"):
            await listener.relay(f"udp:127.0.0.1:{port}")


async def test_a_socket_is_not_relayed_to_itself(tmp_path: Path) -> None:
    async with listening(f"unixgram:{tmp_path / 's'}") as listener:
        with pytest.raises(StartError, match="expected another address"):
            await listener.relay(f"unixgram:{tmp_path / 's'}")


async def test_a_relay_of_no_such_host_is_an_error_in_one_line() -> None:
    with pytest.raises(StartError, match=r"telemetry\.relay: can't send to udp:x+:1: no such host name"):
        await Listener().relay(f"udp:{'x' * 70}:1")


async def test_a_packet_that_is_too_long_for_the_relay_is_taken_and_counted(tmp_path: Path) -> None:
    async with listening(f"unixgram:{tmp_path / 's'}") as listener:
        with reader() as old:
            await listener.relay(url(old))
            with datagrams(socket.AF_UNIX, str(tmp_path / "s")) as node:
                node.send(LEADER * 3000)
                await until(lambda: listener.telemetry.heard_at == 0.0)
    assert listener.rejected == {"not_relayed": 1}


async def test_a_packet_that_is_longer_than_any_is_cut_counted_and_not_relayed(tmp_path: Path) -> None:
    async with listening(f"unixgram:{tmp_path / 's'}") as listener:
        with reader() as old:
            await listener.relay(url(old))
            with datagrams(socket.AF_UNIX, str(tmp_path / "s")) as node:
                node.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1_000_000)
                if node.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF) < 300_000:
                    pytest.skip("this system sends no such packets")
                node.send(LEADER + b"s.raft.state.follower:1|c" * 11_000)
                await until(lambda: "oversized" in listener.rejected)
                node.send(LEADER)
                assert await received(old) == LEADER
    assert listener.rejected == {"oversized": 1, "not_relayed": 1}


def test_it_is_up_while_raft_speaks_and_for_three_seconds_more() -> None:
    listener = Listener("n1")
    listener.source.turn(0.0, 1.0)
    assert listener.intake.up[SOURCE] is False
    listener.hear("x.y:1|c", at=1.0)
    listener.source.turn(1.0, 1.0)
    assert listener.intake.up[SOURCE] is False
    listener.hear("s.raft.apply:1.000000|c", at=1.0)
    for now, patience, expected in (
        (3.9, 1.0, True),
        (4.0, 1.0, False),
        (10.9, 10.0, True),
        (11.0, 10.0, False),
    ):
        listener.source.turn(now, patience)
        assert listener.intake.up[SOURCE] is expected


def test_the_order_of_a_packet_is_kept() -> None:
    listener = Listener("n1", "n2", "n3")
    listener.hear("s.raft.replication.heartbeat.n2:0.3|ms", "s.raft.state.follower:1|c", at=1.0)
    listener.turn(1.0)
    assert listener.roles == [Role.FOLLOWER]
    listener.hear("s.raft.rpc.processHeartbeat:0.3|ms", "s.raft.state.candidate:1|c", at=2.0)
    listener.turn(2.0)
    assert listener.roles == [Role.FOLLOWER, Role.CANDIDATE]


def test_nomads_lines_are_those_of_its_peers() -> None:
    listener = Listener("10.0.0.1:4647", "10.0.0.2:4647")
    line = "nomad.raft.replication.heartbeat.10.0.0.2_4647.box:{}|ms"
    for at in (1.0, 2.0, 3.0):
        listener.hear(
            "nomad.raft.thread.main.saturation.box:0.0|ms", line.format(0.4), line.format(0.41), at=at
        )
    listener.turn(3.0)
    (answered,) = listener.of(HeartbeatsAnswered)
    assert (answered.peer, answered.count) == ("10.0.0.2:4647", 3)


def test_a_reason_is_said_once_and_every_one_is_there_from_the_start(
    caplog: pytest.LogCaptureFixture,
) -> None:
    listener = Listener()
    known = {reason for source, reason in listener.intake.rejected if source == SOURCE}
    assert known == {*statsd.REASONS, "unknown_peer", "ambiguous_peer"}
    for _ in range(100):
        listener.source.take(b"secret\xffraft.state.leader\n", 1.0)
        listener.hear("raft.state.leader:secret", at=1.0)
    assert len(caplog.records) == 2
    assert "secret" not in caplog.text
