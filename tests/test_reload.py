"""Another configuration while a sidecar runs: all of it or nothing, and nothing else is disturbed."""

from __future__ import annotations

import asyncio
import logging
import random
import socket
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import bcrypt
import pytest
from aiohttp import ClientSession, encode_basic_auth
from msgspec.structs import replace
from prometheus_client.parser import text_string_to_metric_families

from raft_exporter import face, reloader, web_config
from raft_exporter.change import Change, Ready, change_all
from raft_exporter.config import Config, NodeConfig, ObserverConfig, PeerConfig, StoreConfig, WebConfig
from raft_exporter.demo.cluster import free_ports
from raft_exporter.errors import ConfigError, RaftExporterError, StartError
from raft_exporter.model.policy import Multiples
from raft_exporter.schema import ApiConfig, LogConfig, ProbeConfig, TelemetryConfig, TlsConfig
from raft_exporter.sidecar import Sidecar
from tests.test_sidecar import RaftPort, configuration, states, told
from tests.waiting import until

H = 0.1


class Reloaded:
    """A running sidecar and the configuration that it reads next; what stands in ``fault`` is its error."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.fault: RaftExporterError | None = None
        self.sidecar = Sidecar(config, random.Random(1), load=self.load)
        self.urls: list[str] = []

    def load(self) -> Config:
        if self.fault is not None:
            raise self.fault
        return self.config

    async def to(self, **changes: object) -> None:
        """Change these sections of the configuration, and have it read again."""
        self.config = replace(self.config, **changes)
        await self.sidecar.reload()

    async def metrics(self, url: str | None = None) -> dict[str, float]:
        """Scrape; give the samples without labels."""
        async with ClientSession() as session, session.get(f"{url or self.urls[0]}/metrics") as response:
            assert response.status == 200
            text = await response.text()
        families = text_string_to_metric_families(text)
        return {each.name: each.value for family in families for each in family.samples if not each.labels}


@asynccontextmanager
async def running(config: Config) -> AsyncIterator[Reloaded]:
    reloaded, stop = Reloaded(config), asyncio.Event()
    try:
        reloaded.urls = await reloaded.sidecar.start()
        judging = asyncio.create_task(reloaded.sidecar.judge_until(stop))
        yield reloaded
        stop.set()
        await judging
    finally:
        await reloaded.sidecar.stop()


def config(
    node: NodeConfig | None = None, peers: tuple[PeerConfig, ...] = (), observer: tuple[str, ...] = ()
) -> Config:
    return Config(
        node=node or NodeConfig(id="n1", heartbeat_timeout=H),
        peers=peers,
        observer=ObserverConfig(listen=observer),
        web=WebConfig(listen=("127.0.0.1:0",)),
    )


@pytest.mark.parametrize("fails_at", [0, 1, 2])
async def test_no_part_takes_up_what_one_of_them_cannot(fails_at: int) -> None:
    done: list[str] = []

    def part(number: int):  # type: ignore[no-untyped-def]
        async def prepare(_: Config) -> Change:
            if number == fails_at:
                raise StartError("no")
            done.append(f"prepare {number}")
            return Ready(called(f"commit {number}"), called(f"discard {number}"))

        return prepare

    def called(what: str):  # type: ignore[no-untyped-def]
        async def call() -> None:
            done.append(what)

        return call

    with pytest.raises(StartError, match="no"):
        await change_all([part(each) for each in range(3)], Config())
    assert done == [f"prepare {each}" for each in range(fails_at)] + [
        f"discard {each}" for each in reversed(range(fails_at))
    ]


async def test_a_member_that_stays_is_asked_on_by_the_same_connection_and_keeps_its_state() -> None:
    n2, n3 = RaftPort(b"n2"), RaftPort(b"n3")
    async with n2.open() as second, n3.open() as third:
        async with running(config(peers=(PeerConfig("n2", second),))) as it:
            await until(lambda: states(it.sidecar).get("n2") == "online")
            since = it.sidecar.table.members["n2"].verdict.since
            await it.to(peers=(PeerConfig("n2", second), PeerConfig("n3", third)))
            await until(lambda: states(it.sidecar).get("n3") == "online")
            assert it.sidecar.table.members["n2"].verdict.since == since
            assert (n2.connections, n3.connections) == (1, 1)
            await it.to(peers=(PeerConfig("n3", third),))
            assert set(it.sidecar.table.members) == {"n1", "n3"}
            await it.to(probe=ProbeConfig(enabled=False))
            asked = it.sidecar.table.members["n3"].probes
            total = sum(each.total for each in asked.values())
            await until(lambda: states(it.sidecar)["n3"] != "online")
            assert sum(each.total for each in asked.values()) <= total + 1
            assert (n2.connections, n3.connections) == (1, 1)


async def test_the_observer_stays_connected_while_everything_else_changes(tmp_path: Path) -> None:
    socket_path = f"unix:{tmp_path / 'observer'}"
    async with running(config(observer=(socket_path,))) as it:
        observer = await told(tmp_path / "observer", configuration(n1="127.0.0.1:1", n2="127.0.0.1:2"))
        await until(lambda: set(it.sidecar.table.members) == {"n1", "n2"})
        await it.to(policy=Multiples(suspect_after=3.0), peers=(PeerConfig("n9", "127.0.0.1:9"),))
        assert it.sidecar.table.intake.up["observer"]
        assert set(it.sidecar.table.members) == {"n1", "n2"}
        assert it.sidecar.table.policy.suspect_after == pytest.approx(3 * H)
        observer.close()
        await observer.wait_closed()


FAULTS: dict[str, dict[str, Any]] = {
    "file": {"fault": ConfigError(["c.yml: web.listen: expected an address, got 'x'", "c.yml: b: no"])},
    "observer": {"observer": ObserverConfig(listen=("unix:/proc/s",))},
    "telemetry": {"telemetry": TelemetryConfig(listen=("unixgram:/proc/s",))},
    "probe.tls": {"probe": ProbeConfig(tls=TlsConfig(ca_file="/nowhere"))},
    "node.api.tls": {
        "node": NodeConfig(
            id="n1",
            heartbeat_timeout=H,
            api=ApiConfig(url="https://127.0.0.1:1", tls=TlsConfig(ca_file="/nowhere")),
        )
    },
    "web.token_file": {"web": WebConfig(listen=("127.0.0.1:0",), token_file="/nowhere")},
    "web.config_file": {"web": WebConfig(listen=("127.0.0.1:0",), config_file="/nowhere")},
    "web.listen": {"web": WebConfig(listen=("127.0.0.1:0", "192.0.2.1:9641"))},
}


@pytest.mark.parametrize("where", FAULTS)
async def test_a_configuration_that_cannot_be_had_changes_nothing_and_is_said(
    where: str, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    n2 = RaftPort(b"n2")
    async with n2.open() as second, running(config(peers=(PeerConfig("n2", second),))) as it:
        await until(lambda: states(it.sidecar).get("n2") == "online")
        before, taken = (
            it.config,
            (await it.metrics())["raft_exporter_config_last_reload_success_timestamp_seconds"],
        )
        changes = dict(FAULTS[where])
        it.fault = changes.pop("fault", None)
        new = f"unix:{tmp_path / 'observer'}"
        others = {"observer": ObserverConfig(listen=(new,)), "peers": (), "policy": Multiples(dwell=9.0)}
        with pytest.raises((ConfigError, StartError)) as caught:
            await it.to(**(others | changes))
        assert "\n" not in str(caught.value)
        assert set(states(it.sidecar)) == {"n1", "n2"}
        assert it.sidecar.table.policy.dwell != pytest.approx(9 * H)
        assert not (tmp_path / "observer").exists()
        after = await it.metrics()
        assert after["raft_exporter_config_last_reload_successful"] == 0
        assert after["raft_exporter_config_last_reload_success_timestamp_seconds"] == taken
        said = [record for record in caplog.records if record.getMessage() == "configuration not taken up"]
        assert len(said) == (len(it.fault.faults) if isinstance(it.fault, ConfigError) else 1)
        it.fault, it.config = None, before
        await it.to(policy=Multiples(dwell=9.0))
        assert it.sidecar.table.policy.dwell == pytest.approx(9 * H)
        assert (await it.metrics())["raft_exporter_config_last_reload_successful"] == 1
        assert n2.connections == 1


async def test_a_fault_of_our_own_in_a_reload_is_said_and_the_sidecar_goes_on() -> None:
    async with running(config()) as it:
        it.fault = ZeroDivisionError("ours")  # type: ignore[assignment]
        with pytest.raises(StartError, match=r"internal error: ZeroDivisionError\('ours'\)"):
            await it.sidecar.reload()
        it.fault = None
        await it.sidecar.reload()
        assert (await it.metrics())["raft_exporter_config_last_reload_successful"] == 1


async def test_listen_addresses_change_and_a_kept_one_is_kept() -> None:
    kept, gone, new = (f"127.0.0.1:{port}" for port in free_ports(3))
    async with running(replace(config(), web=WebConfig(listen=(kept, gone)))) as it:
        await it.to(web=WebConfig(listen=(kept, new)))
        for each in (kept, new):
            await it.metrics(f"http://{each}")
        with socket.socket() as sock:
            host, _, port = gone.partition(":")
            assert sock.connect_ex((host, int(port))) != 0


async def test_the_store_moves_and_its_limits_change(tmp_path: Path) -> None:
    first, second = tmp_path / "first.db", tmp_path / "second.db"
    peers = (PeerConfig("n2", "127.0.0.1:1"), PeerConfig("n3", "127.0.0.1:1"))
    async with running(replace(config(peers=peers), store=StoreConfig(path=str(second)))) as it:
        await it.sidecar.set_override("n3", "offline", 600, "ann", "was stored there")
    async with running(replace(config(peers=peers), store=StoreConfig(path=str(first)))) as it:
        await it.sidecar.set_override("n2", "online", 600, "bob", "set before")
        await it.to(store=StoreConfig(path=str(second), journal_rows=100))
        assert {each.peer for each in it.sidecar.overrides()} == {"n2", "n3"}
        assert (await it.sidecar.set_override("n2", "offline", 600, "bob", "set after"))[1]
        await it.to(store=StoreConfig(path=str(second), journal_rows=200))
        await it.to(store=StoreConfig())
        assert not (await it.sidecar.set_override("n2", "online", 600, "bob", "kept nowhere"))[1]
    with closing(sqlite3.connect(second)) as connection:
        stored = [bytes(row[0]) for row in connection.execute("SELECT CAST(value AS BLOB) FROM overrides")]
    assert any(b"set after" in each for each in stored)
    assert not any(b"kept nowhere" in each for each in stored)


async def test_the_level_of_the_log_changes() -> None:
    root = logging.getLogger()
    level, handlers = root.level, list(root.handlers)
    try:
        async with running(config()) as it:
            await it.to(log=LogConfig(level="error"))
            assert root.level == logging.ERROR
            await it.to(log=LogConfig(level="debug", format="json"))
            assert root.level == logging.DEBUG
    finally:
        root.setLevel(level)
        root.handlers[:] = handlers


async def test_another_node_is_taken_for_another_and_no_name_for_the_same() -> None:
    async with running(config(NodeConfig(id="n1", raft="127.0.0.1:1", heartbeat_timeout=H))) as it:
        await it.to(node=NodeConfig(id="n7", raft="127.0.0.1:7", heartbeat_timeout=H))
        assert (it.sidecar.view().node.id, it.sidecar.view().node.address) == ("n7", "127.0.0.1:7")
        await it.to(node=NodeConfig(heartbeat_timeout=H))
        assert it.sidecar.view().node.id == "n7"


async def test_the_id_is_asked_of_the_node_at_its_new_address() -> None:
    own = RaftPort(b"n1")
    async with own.open() as address:
        async with running(config(NodeConfig(raft="127.0.0.1:1", heartbeat_timeout=H))) as it:
            assert it.sidecar.view().node.id is None
            await it.to(node=NodeConfig(raft=address, heartbeat_timeout=H))
            await until(lambda: it.sidecar.view().node.id == "n1")
            await until(lambda: states(it.sidecar) == {"n1": "online"})


async def test_a_web_configuration_that_changes_is_taken_up_and_a_broken_one_is_said_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "raft_exporter")
    monkeypatch.setattr(reloader, "_LOOK", 0.01)
    reads: list[Path] = []

    def load(path: Path) -> web_config.WebSettings:
        reads.append(path)
        return web_config.load(path)

    monkeypatch.setattr(face, "web_config", SimpleNamespace(load=load))
    file = tmp_path / "web.yml"

    def write(users: str) -> None:
        (tmp_path / "new").write_text(f"basic_auth_users: {{ann: {users}}}")
        (tmp_path / "new").rename(file)

    def hashed(password: str) -> str:
        return bcrypt.hashpw(password.encode(), bcrypt.gensalt(4)).decode()

    async def lets_in(password: str) -> bool:
        headers = {"Authorization": encode_basic_auth("ann", password)}
        async with session.get(f"{it.urls[0]}/-/healthy", headers=headers) as response:
            return response.status == 200

    write(hashed("first"))
    web = WebConfig(listen=("127.0.0.1:0",), config_file=str(file))
    async with running(replace(config(), web=web)) as it, ClientSession() as session:
        assert await lets_in("first")
        write(hashed("second"))
        await until(lambda: "configuration taken up" in caplog.messages)
        assert (await lets_in("first"), await lets_in("second")) == (False, True)
        write("nothing")
        read = len(reads)
        await until(lambda: len(reads) >= read + 5)
        assert caplog.messages.count("configuration not taken up") == 1
        assert not it.sidecar._reloader.reloads.successful
        assert await lets_in("second")
        write(hashed("third"))
        await until(lambda: it.sidecar._reloader.reloads.successful)
        assert (await lets_in("second"), await lets_in("third")) == (False, True)
