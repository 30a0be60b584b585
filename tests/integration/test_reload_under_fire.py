"""A sidecar whose configuration changes five hundred times, half of them to a broken one, under scrapes."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
import yaml
from aiohttp import ClientSession, ClientTimeout

from raft_exporter.demo.cluster import free_ports
from raft_exporter.model.histogram import BOUNDS
from tests.integration.scrape import Scrape
from tests.test_sidecar import RaftPort
from tests.unmeasured import unmeasured

pytestmark = pytest.mark.integration

RELOADS: Final = 500
SCRAPES_A_SECOND: Final = 20
WARM: Final = 50
"""Reloads after which memory and descriptors are looked at for the first time."""
TAKEN: Final = "raft_exporter_config_last_reload_successful"
ANSWERED: Final = "raft_peer_heartbeats_total"


class Fire:
    """One sidecar under scrapes, an observer that counts what it sent, and the configuration file."""

    def __init__(self, home: Path, session: ClientSession, n2: str) -> None:
        self.home = home
        self.session = session
        self.n2 = n2
        self.port, self.other = free_ports(2)
        self.url = f"http://127.0.0.1:{self.port}"
        self.file = home / "raft-exporter.yml"
        self.socket = home / "observer"
        self.failures: list[str] = []
        self.scrapes = 0
        self.heartbeats = 0
        self.ended = False

    def good(self, number: int) -> dict[str, Any]:
        """The configuration of that number: each is another than the one before it."""
        more = [{"id": "n3", "address": "127.0.0.1:9"}] if number % 4 == 0 else []
        listen = [f"127.0.0.1:{self.port}"] + [f"127.0.0.1:{self.other}"] * (number % 3 == 0)
        return {
            "node": {"id": "n1", "heartbeat_timeout": "500ms"},
            "peers": [{"id": "n2", "address": self.n2}, *more],
            "observer": {"listen": [f"unix:{self.socket}"]},
            "web": {"listen": listen},
            "policy": {"dwell": 5.0 + number % 7},
            "store": {"path": str(self.home / "state.db"), "journal_rows": 1000 + number},
            "log": {"level": ("info", "warning")[number % 2]},
        }

    def broken(self, number: int) -> dict[str, Any]:
        """A configuration that can't be taken up: by what it says, or by what can't be had."""
        changes: list[dict[str, Any]] = [
            {"policy": {"dwell": -1}},
            {"web": {"listen": [f"127.0.0.1:{self.port}", "192.0.2.1:1"]}},
            {"observer": {"listen": [f"unix:{self.home / 'new'}", "unix:/proc/s"]}},
            {"probe": {"tls": {"ca_file": str(self.home / "nowhere")}}},
            {"web": {"listen": [f"127.0.0.1:{self.port}"], "token_file": str(self.home / "nowhere")}},
            {"nonsense": True},
        ]
        return self.good(number) | changes[number % len(changes)]

    def write(self, config: dict[str, Any]) -> None:
        """Put another file in the place of the one before."""
        new = self.home / "new.yml"
        new.write_text(yaml.safe_dump(config))
        new.rename(self.file)

    async def scrape(self) -> Scrape:
        """Scrape once, on a connection of its own or on one that was kept."""
        return Scrape(await self.text())

    async def text(self) -> str:
        """Scrape once; give what came."""
        async with self.session.get(f"{self.url}/metrics") as response:
            assert response.status == 200
            return await response.text()

    async def scrape_on(self) -> None:
        """Scrape twenty times a second, and note what failed."""
        loop = asyncio.get_running_loop()
        due = loop.time()
        while not self.ended:
            self.scrapes += 1
            try:
                await self.text()
            except Exception as error:
                self.failures.append(repr(error))
            due += 1 / SCRAPES_A_SECOND
            await asyncio.sleep(max(due - loop.time(), 0))

    async def observe(self) -> None:
        """Be the observer of a leader: a heartbeat of n2 in each message."""
        _, writer = await asyncio.open_unix_connection(self.socket)
        peer = {"peer": "n2", "count": 1, "last_age_ms": 0, "sum_ms": 1, "buckets": [1] + [0] * len(BOUNDS)}
        writer.write(
            line(type="hello", stream_version=1, node_id="n1", heartbeat_timeout_ms=500)
            + line(type="stats", stats={"state": "Leader", "term": "3"})
        )
        while not self.ended:
            writer.write(line(type="heartbeats", peers=[peer]))
            self.heartbeats += 1
            await writer.drain()
            await asyncio.sleep(0.02)
        writer.write(line(type="dropped", count=7))
        await writer.drain()
        try:
            await until_it_is(self, "raft_exporter_observations_dropped_total", 7)
        finally:
            writer.close()
            await writer.wait_closed()


def line(**message: Any) -> bytes:
    return json.dumps({"age_ms": 0} | message).encode() + b"\n"


async def until_it_is(fire: Fire, metric: str, value: float) -> None:
    sample = f"\n{metric} {value:.1f}\n"
    async with asyncio.timeout(30):
        while sample not in await fire.text():
            await asyncio.sleep(0.01)


@pytest.fixture
def sidecar(tmp_path: Path) -> Iterator[list[subprocess.Popen[bytes]]]:
    started: list[subprocess.Popen[bytes]] = []
    yield started
    for process in started:
        process.kill()
        process.wait()


def start(config: Path, log: Path) -> subprocess.Popen[bytes]:
    with log.open("wb") as stderr:
        command = [sys.executable, "-m", "raft_exporter", "run", "--config", str(config)]
        # How much of it is run, others measure: here it would be slower.
        return subprocess.Popen(command, stderr=stderr, env=unmeasured())


def descriptors(process: subprocess.Popen[bytes]) -> int:
    return len(os.listdir(f"/proc/{process.pid}/fd"))


def resident(process: subprocess.Popen[bytes]) -> int:
    """Bytes of memory."""
    return int(Path(f"/proc/{process.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


async def test_five_hundred_reloads_half_of_them_broken_disturb_nothing(
    tmp_path: Path, sidecar: list[subprocess.Popen[bytes]]
) -> None:
    n2 = RaftPort(b"n2")
    async with n2.open() as address, ClientSession(timeout=ClientTimeout(total=10)) as session:
        fire = Fire(tmp_path, session, address)
        fire.write(fire.good(0))
        process = start(fire.file, tmp_path / "log")
        sidecar.append(process)
        async with asyncio.timeout(30):
            while not fire.socket.exists() or b"serving" not in (tmp_path / "log").read_bytes():
                assert process.poll() is None
                await asyncio.sleep(0.01)
        firing = [asyncio.create_task(fire.scrape_on()), asyncio.create_task(fire.observe())]
        await until_online(fire)
        before = (0, 0)
        for number in range(1, RELOADS + 1):
            broken = number % 2 == 0
            fire.write(fire.broken(number) if broken else fire.good(number))
            if number % 4 in {0, 1}:
                process.send_signal(signal.SIGHUP)
                await until_it_is(fire, TAKEN, 0 if broken else 1)
            else:
                async with session.post(f"{fire.url}/-/reload") as response:
                    assert response.status == (422 if broken else 200), await response.text()
            if number == WARM:
                before = descriptors(process), resident(process)
        fire.write(fire.good(0))
        async with session.post(f"{fire.url}/-/reload") as response:
            assert response.status == 200
        last = await fire.scrape()
        fire.ended = True
        await asyncio.gather(*firing)
        after = await fire.scrape()
        assert fire.failures == []
        assert fire.scrapes > RELOADS / 100 * SCRAPES_A_SECOND
        assert after.value(ANSWERED, peer="n2") == fire.heartbeats
        assert last.value("raft_exporter_source_up", source="observer") == 1
        assert n2.connections == 1
        assert last.states["n2"] == "online"
        assert last.value("raft_peer_transitions_total", peer="n2", to="suspect") == 0
        # Those of the scrapes themselves come and go.
        assert descriptors(process) <= before[0] + 5
        assert resident(process) <= before[1] + 8 * 2**20
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0


async def until_online(fire: Fire) -> None:
    async with asyncio.timeout(30):
        while (await fire.scrape()).states.get("n2") != "online":
            await asyncio.sleep(0.01)
