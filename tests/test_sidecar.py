"""The sidecar as a whole, in this process, against Raft ports and an observer of the test's own."""

from __future__ import annotations

import asyncio
import json
import random
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgpack
import pytest

from raft_exporter.config import Config, NodeConfig, ObserverConfig, PeerConfig, ProbeConfig, WebConfig
from raft_exporter.errors import StartError
from raft_exporter.model.evidence import NodeIdentity, Server
from raft_exporter.model.judge import Reason, State
from raft_exporter.model.memory import Memory, RememberedMember
from raft_exporter.model.override import Override
from raft_exporter.sidecar import Sidecar
from raft_exporter.store import Stored
from raft_exporter.wire import PROBE
from tests.waiting import until

H = 0.1


class RaftPort:
    """A port that answers the probe as ``node_id``; ``port`` is where."""

    def __init__(self, node_id: bytes) -> None:
        self.node_id = node_id
        self.connections = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        body = {"ID": self.node_id, "Addr": b"", "Term": 3, "LastLog": 7}
        while await reader.read(len(PROBE)):
            writer.write(b"\xa0" + msgpack.packb(body, use_bin_type=False))
        writer.close()

    @asynccontextmanager
    async def open(self) -> AsyncIterator[str]:
        server = await asyncio.start_server(self.serve, "127.0.0.1", 0)
        try:
            yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
        finally:
            server.close()
            await server.wait_closed()


@asynccontextmanager
async def running(config: Config) -> AsyncIterator[tuple[Sidecar, list[str]]]:
    sidecar, stop = Sidecar(config, random.Random(1)), asyncio.Event()
    urls = await sidecar.start()
    judging = asyncio.create_task(sidecar.judge_until(stop))
    try:
        yield sidecar, urls
    finally:
        stop.set()
        await judging
        await sidecar.stop()


def config(
    node: NodeConfig | None = None,
    peers: tuple[PeerConfig, ...] = (),
    observer: tuple[str, ...] = (),
    probe: ProbeConfig | None = None,
) -> Config:
    return Config(
        node=node or NodeConfig(heartbeat_timeout=H),
        peers=peers,
        observer=ObserverConfig(listen=observer),
        probe=probe or ProbeConfig(),
        web=WebConfig(listen=("127.0.0.1:0",)),
    )


def states(sidecar: Sidecar) -> dict[str, str]:
    return {member.id: str(member.state) for member in sidecar.view().members}


async def told(path: Path, *messages: dict[str, object]) -> asyncio.StreamWriter:
    _, writer = await asyncio.open_unix_connection(path)
    hello = {"type": "hello", "stream_version": 1, "node_id": "n1", "heartbeat_timeout_ms": H * 1000}
    for message in (hello, *messages):
        writer.write(json.dumps({"age_ms": 0} | message).encode() + b"\n")
    return writer


def configuration(**addresses: str) -> dict[str, object]:
    servers = [{"id": each, "address": address, "suffrage": "Voter"} for each, address in addresses.items()]
    return {"type": "configuration", "servers": servers}


async def test_flags_alone_the_own_id_is_learned_from_the_node() -> None:
    async with RaftPort(b"n1").open() as own, RaftPort(b"n2").open() as other:
        node = NodeConfig(raft=own, heartbeat_timeout=H)
        async with running(config(node, (PeerConfig("n2", other),))) as (sidecar, urls):
            assert len(urls) == 1
            await until(lambda: states(sidecar) == {"n1": "online", "n2": "online"})
            assert sidecar.view().node.id == "n1"
            assert sidecar.ready()


async def test_a_node_that_does_not_tell_its_id_is_said_so(caplog: pytest.LogCaptureFixture) -> None:
    async with RaftPort(b"").open() as own, running(config(NodeConfig(raft=own, heartbeat_timeout=H))):
        await until(lambda: "does not tell its id" in caplog.text)


async def test_the_id_given_needs_no_answer() -> None:
    node = NodeConfig(id="n1", heartbeat_timeout=H)
    async with running(config(node, probe=ProbeConfig(enabled=False))) as (sidecar, _):
        assert states(sidecar) == {"n1": "unknown"}


async def test_ready_after_its_deadline_even_with_no_evidence() -> None:
    async with running(config(probe=ProbeConfig(enabled=False))) as (sidecar, _):
        assert not sidecar.ready()
        await until(sidecar.ready)
        assert sidecar.view().members == ()


async def test_members_come_and_go_with_the_nodes_configuration(tmp_path: Path) -> None:
    n2, n3 = RaftPort(b"n2"), RaftPort(b"n3")
    async with n2.open() as second, n3.open() as third:
        async with running(config(observer=(f"unix:{tmp_path / 's'}",))) as (sidecar, _):
            writer = await told(tmp_path / "s", configuration(n2=second, n3=third))
            await until(lambda: states(sidecar) == {"n2": "online", "n3": "online"})
            writer.write(json.dumps(configuration(n3=third)).encode() + b"\n")
            await until(lambda: states(sidecar) == {"n3": "online"})
            assert (n2.connections, n3.connections) == (1, 1)
            writer.close()


async def test_a_member_that_moves_is_probed_where_it_is_now(tmp_path: Path) -> None:
    before, after = RaftPort(b"n2"), RaftPort(b"n2")
    async with before.open() as first, after.open() as second:
        async with running(config(observer=(f"unix:{tmp_path / 's'}",))) as (sidecar, _):
            writer = await told(tmp_path / "s", configuration(n2=first))
            await until(lambda: states(sidecar) == {"n2": "online"})
            writer.write(json.dumps(configuration(n2=second)).encode() + b"\n")
            await until(lambda: after.connections == 1)
            await until(lambda: states(sidecar) == {"n2": "online"})
            assert sidecar.view().members[0].address == second
            writer.close()


async def test_the_operators_address_is_dialled_before_that_of_the_configuration(tmp_path: Path) -> None:
    async with RaftPort(b"n2").open() as reachable:
        settings = config(peers=(PeerConfig("n2", reachable),), observer=(f"unix:{tmp_path / 's'}",))
        async with running(settings) as (sidecar, _):
            writer = await told(tmp_path / "s", configuration(n2="inside.example:7000"))
            await until(lambda: states(sidecar) == {"n2": "online"} and sidecar.table.configuration)
            assert sidecar.view().members[0].address == "inside.example:7000"
            writer.close()


async def test_an_address_that_is_none_is_not_probed(tmp_path: Path) -> None:
    async with running(config(observer=(f"unix:{tmp_path / 's'}",))) as (sidecar, _):
        writer = await told(tmp_path / "s", configuration(n2="nowhere"))
        await until(lambda: states(sidecar) == {"n2": "unknown"})
        writer.close()


async def test_a_port_in_use_is_one_line() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        where = f"127.0.0.1:{taken.getsockname()[1]}"
        sidecar = Sidecar(Config(web=WebConfig(listen=(where,))), random.Random(1))
        with pytest.raises(StartError, match=f"^web.listen: can't listen on {where}: [^\n]+$"):
            await sidecar.start()
        await sidecar.stop()


async def test_without_the_default_observer_socket_it_says_so_and_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setattr("raft_exporter.sources.observer.DEFAULT_OBSERVER_SOCKET", f"unix:{tmp_path}/file/s")
    settings = Config(web=WebConfig(listen=("[::1]:0",)))
    async with running(settings) as (_, urls):
        assert urls[0].startswith("http://[::1]:")
    assert "no observer socket" in caplog.text


async def test_stopping_while_the_own_id_is_still_asked_for() -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.set()
        await reader.read()
        writer.close()

    asked = asyncio.Event()
    server = await asyncio.start_server(silent, "127.0.0.1", 0)
    own = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with running(config(NodeConfig(raft=own, heartbeat_timeout=H))):
        await asked.wait()
    server.close()
    await server.wait_closed()


async def test_what_is_read_late_and_is_of_another_node_is_not_used(caplog: pytest.LogCaptureFixture) -> None:
    async with running(config(NodeConfig(id="n1", heartbeat_timeout=H))) as (sidecar, _):
        member = RememberedMember(Server("n1", ""), State.ONLINE, Reason.FRESH, 1.0)
        wall = 4e9  # it has not expired, whenever this runs
        told = Override(wall - 60, "n9", "offline", wall, "eve", "elsewhere", "n1")
        sidecar._take_up_late(Stored(Memory("n9", (member,)), wall, (told,)))
        assert not sidecar.overrides()
        assert "the stored state is of another node" in caplog.text
        sidecar._take_up_late(Stored(Memory("n1", (member,)), wall, (told,)))
        assert list(sidecar.overrides()) == [told]


async def test_a_smaller_heartbeat_timeout_does_not_turn_the_observed_clock_back() -> None:
    sidecar, real = Sidecar(config(NodeConfig(id="n1", heartbeat_timeout=5.0)), random.Random(1)), 1000.0
    sidecar._real = lambda: real
    sidecar._clock.tick(real)
    real += 3.0
    before = sidecar._now()
    sidecar._take(NodeIdentity(id="n1", address="", heartbeat_timeout=0.5))
    sidecar._judge()
    assert sidecar._now() >= before
    await sidecar.stop()
