"""The node's API and its telemetry beside each other, in a sidecar, without any change to the node."""

from __future__ import annotations

import asyncio
import json
import random
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession
from msgspec.structs import replace

from raft_exporter.config import Config
from raft_exporter.demo.cluster import free_ports
from raft_exporter.errors import StartError
from raft_exporter.model.evidence import Role
from raft_exporter.schema import (
    ApiConfig,
    NodeConfig,
    ObserverConfig,
    PeerConfig,
    ProbeConfig,
    PrometheusConfig,
    TelemetryConfig,
    TlsConfig,
    WebConfig,
)
from raft_exporter.sidecar import Sidecar
from tests.nodes.bodies import consul_self, rqlite_status
from tests.nodes.fake import Handler, Node, denied, says, served
from tests.waiting import until

H = 0.1
NOTHING = Config(
    node=NodeConfig(heartbeat_timeout=H),
    web=WebConfig(listen=("127.0.0.1:0",)),
    observer=ObserverConfig(listen=()),
    probe=ProbeConfig(enabled=False),
)


@asynccontextmanager
async def running(config: Config) -> AsyncIterator[Sidecar]:
    sidecar, stop = Sidecar(config, random.Random(1)), asyncio.Event()
    try:
        await sidecar.start()
        judging = asyncio.create_task(sidecar.judge_until(stop))
        yield sidecar
        stop.set()
        await judging
    finally:
        await sidecar.stop()


def asking(url: str, **more: Any) -> Config:
    return replace(NOTHING, node=replace(NOTHING.node, api=ApiConfig(url=url, **more)))


def checks(sidecar: Sidecar) -> dict[str, bool | None]:
    return {check.name: check.ok for check in sidecar.checkup().checks}


async def test_a_url_is_enough_to_know_the_node_and_its_cluster() -> None:
    (port,) = free_ports(1)
    web = WebConfig(listen=(f"127.0.0.1:{port}",))
    node = Node({"/status": says(rqlite_status())})
    async with served(node) as url, running(replace(asking(url), web=web)) as sidecar:
        await until(lambda: sidecar.view().node.up)
        view = sidecar.view()
        assert (view.node.id, view.node.role, view.node.term, view.node.leader) == ("1", "follower", 3, "2")
        assert [member.id for member in view.members] == ["1", "2", "3"]
        assert view.thresholds_seconds["heartbeat_timeout"] == 1.5
        found = checks(sidecar)
        assert (found["node"], found["API"], found["observer"]) == (True, True, None)
        async with ClientSession() as session, session.get(f"http://127.0.0.1:{port}/metrics") as answer:
            text = await answer.text()
        (info,) = [line for line in text.splitlines() if line.startswith("raft_node_info{")]
        assert 'kind="rqlite",protocol_version="3"' in info


async def test_an_api_that_goes_away_takes_the_role_with_it() -> None:
    node = Node({"/status": says(rqlite_status())})
    async with served(node) as url, running(asking(url)) as sidecar:
        await until(lambda: sidecar.view().node.up)
        node.answers["/status"] = says({}, 500)
        await until(lambda: sidecar.view().node.role is Role.UNKNOWN)
        assert checks(sidecar)["API"] is False


async def test_what_the_token_may_not_see_is_a_hint() -> None:
    answers: dict[str, Handler] = {
        "/v1/agent/self": denied(),
        "/v1/operator/raft/configuration": denied(),
        "/v1/status/leader": says("10.1.10.11:8300"),
        "/v1/status/peers": says(["10.1.10.10:8300", "10.1.10.11:8300"]),
    }
    async with served(Node(answers)) as url, running(asking(url)) as sidecar:
        await until(lambda: bool(sidecar.view().members))
        await until(lambda: "/v1/agent/self" in checks(sidecar))
        hints = {check.name: check.hint for check in sidecar.checkup().checks}
        assert "agent:read" in hints["/v1/agent/self"]
        assert [member.id for member in sidecar.view().members] == ["10.1.10.10:8300", "10.1.10.11:8300"]


@pytest.mark.parametrize(
    ("probe", "probed"),
    [(ProbeConfig(), False), (ProbeConfig(port="consul"), True), (ProbeConfig(enabled=True), True)],
)
async def test_consul_is_probed_where_a_line_says_so(probe: ProbeConfig, probed: bool) -> None:
    async with served(Node({"/v1/agent/self": says(consul_self())})) as url:
        async with running(replace(asking(url, kind="consul"), probe=probe)) as sidecar:
            await until(lambda: sidecar.view().node.up)
            texts = {check.name: check.text for check in sidecar.checkup().checks}
            ports = {name for name in texts if name.startswith("Raft port of")}
            assert len(ports) == 3
            assert {name for name in ports if texts[name] == "is not probed"} == (set() if probed else ports)


TELEMETRY = replace(
    NOTHING,
    node=replace(NOTHING.node, id="n1", raft="127.0.0.1:1"),
    peers=(PeerConfig("n2", "127.0.0.1:2"), PeerConfig("n3", "127.0.0.1:3")),
)


def sends(path: Path, *lines: str) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.sendto("".join(f"{line}\n" for line in lines).encode(), str(path))


def listening(path: Path, **more: Any) -> Config:
    return replace(TELEMETRY, telemetry=TelemetryConfig(listen=(f"unixgram:{path}",), **more))


async def test_packets_alone_tell_the_role_and_whom_the_leader_hears(tmp_path: Path) -> None:
    path = tmp_path / "statsd.sock"
    async with running(listening(path)) as sidecar:
        sends(path, "app.raft.state.leader:1.000000|c", "app.raft.replication.heartbeat.n2:0.500000|ms")
        await until(lambda: sidecar.view().node.role is Role.LEADER)
        view = sidecar.view()
        assert view.node.leader == "n1"
        heard = {member.id: member.silence_seconds.heartbeat is not None for member in view.members}
        assert heard == {"n1": False, "n2": True, "n3": False}
        assert checks(sidecar)["telemetry"] is True


async def test_a_follower_is_told_that_there_is_a_leader_and_not_who(tmp_path: Path) -> None:
    path = tmp_path / "statsd.sock"
    async with running(listening(path)) as sidecar:
        sends(path, "app.raft.rpc.processHeartbeat:0.020000|ms")
        await until(lambda: sidecar.view().node.role is Role.FOLLOWER)
        node = sidecar.view().node
        assert node.leader is None
        assert node.leader_silence_seconds is not None
        assert {member.id: str(member.role) for member in sidecar.view().members} == {
            "n1": "follower",
            "n2": "unknown",
            "n3": "unknown",
        }


async def test_every_packet_goes_on_to_where_it_went_before(tmp_path: Path) -> None:
    path, before = tmp_path / "statsd.sock", tmp_path / "before.sock"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(str(before))
        sock.setblocking(False)
        async with running(listening(path, relay=f"unixgram:{before}")):
            sends(path, "app.other:1|c")
            async with asyncio.timeout(10):
                assert await asyncio.get_running_loop().sock_recv(sock, 100) == b"app.other:1|c\n"


async def test_an_address_that_can_t_be_listened_on_is_one_line() -> None:
    with pytest.raises(StartError, match=r"telemetry\.listen: can't listen on unixgram:"):
        async with running(listening(Path("/proc/statsd.sock"))):
            pass


async def test_files_of_tls_that_can_t_be_used_are_one_line(tmp_path: Path) -> None:
    tls = TlsConfig(ca_file=str(tmp_path / "none.pem"))
    with pytest.raises(StartError, match=r"probe\.tls: TLS files: No such file or directory"):
        async with running(replace(NOTHING, probe=ProbeConfig(tls=tls))):
            pass


async def test_the_prometheus_endpoint_tells_the_same() -> None:
    count = 0

    async def metrics(request: Any) -> Any:
        nonlocal count
        count += 1
        body = f'app_raft_replication_heartbeat_count{{peer_id="n2"}} {count}\n'
        body += f'app_raft_replication_heartbeat_sum{{peer_id="n2"}} {count}\napp_raft_state_leader 1\n'
        return await says(body.encode(), 200, "text/plain; version=0.0.4")(request)

    async with served(Node({"/metrics": metrics})) as url:
        config = replace(
            TELEMETRY, telemetry=TelemetryConfig(prometheus=PrometheusConfig(url=f"{url}/metrics"))
        )
        async with running(config) as sidecar:
            await until(lambda: sidecar.view().node.role is Role.LEADER)
            await until(
                lambda: any(member.silence_seconds.heartbeat is not None for member in sidecar.view().members)
            )
            assert checks(sidecar)["telemetry"] is True


async def test_the_api_goes_before_telemetry_which_proves_what_the_api_can_t_tell(tmp_path: Path) -> None:
    path = tmp_path / "statsd.sock"
    body = rqlite_status()
    async with served(Node({"/status": says(body)})) as url:
        telemetry = TelemetryConfig(listen=(f"unixgram:{path}",))
        async with running(replace(asking(url, kind="rqlite"), telemetry=telemetry)) as sidecar:
            await until(lambda: sidecar.view().node.role is Role.FOLLOWER)
            sends(path, "app.raft.state.leader:1.000000|c")
            await until(lambda: bool(checks(sidecar)["telemetry"]))
            assert sidecar.view().node.role is Role.FOLLOWER


async def test_the_observer_goes_before_both(tmp_path: Path) -> None:
    path, stream = tmp_path / "statsd.sock", tmp_path / "observer.sock"
    telemetry = TelemetryConfig(listen=(f"unixgram:{path}",))
    async with served(Node({"/status": says(rqlite_status())})) as url:
        config = replace(
            asking(url, kind="rqlite"),
            telemetry=telemetry,
            observer=ObserverConfig(listen=(f"unix:{stream}",)),
        )
        async with running(config) as sidecar:
            _, writer = await asyncio.open_unix_connection(stream)
            hello = {"type": "hello", "stream_version": 1, "node_id": "o1", "age_ms": 0}
            writer.write(json.dumps(hello).encode() + b"\n")
            await until(lambda: sidecar.view().node.id == "o1")
            assert sidecar.table.intake.up["observer"] is True
            sends(path, "app.raft.state.leader:1.000000|c")
            await until(lambda: bool(checks(sidecar)["telemetry"] and checks(sidecar)["API"]))
            assert sidecar.view().node.id == "o1"
            assert sidecar.view().node.role is Role.UNKNOWN
            writer.close()
            await until(lambda: sidecar.view().node.id == "1")
