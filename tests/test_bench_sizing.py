"""The benchmark of what a sidecar costs: its members are such as a sidecar believes, its sums are right."""

from __future__ import annotations

import sqlite3
import time
from pathlib import Path

import aiohttp
import pytest

from bench._sizing_cluster import OWN, Members
from bench.sizing import Watched, Window, cost_of, lay_out
from raft_exporter import config
from raft_exporter.notation import parse_address
from raft_exporter.report import decode
from raft_exporter.sources.raft_port import Front
from raft_exporter.sources.raft_probe import ask_once


async def test_a_made_up_member_answers_as_a_real_one() -> None:
    members = Members(3)
    async with members.serving(), aiohttp.ClientSession() as session:
        settings = config.parse(members.config("127.0.0.1:0", "/a.db"), "f.yml")
        assert {peer.id: peer.address for peer in settings.peers} == {
            each: address for each, address in members.raft.items() if each != OWN
        }
        reply = await ask_once(*parse_address(members.raft["n2"]), 5.0, Front.of("plain", None))
        assert (reply.answer.id, reply.answer.term) == ("n2", 2)
        (url,) = [sidecar.url for sidecar in settings.reports.sidecars if sidecar.id == "n3"]
        async with session.get(f"{url}/api/v1/report") as answer:
            message = decode(await answer.read(), time.time())
        assert message.report.reporter == "n3"
        assert (members.probes, members.reports) == (1, 1)


def watched(home: Path, size: int, cpu: list[float]) -> Watched:
    one = Watched(size, home)
    one.windows = [Window(cpu=each, probes=2.0 * size, reports=1.0) for each in cpu]
    one.text = "# HELP a b\na 1\nb 2\n"
    connection = sqlite3.connect(one.store)
    connection.execute("CREATE TABLE evidence (row INTEGER, wall REAL, records BLOB)")
    connection.executemany(
        "INSERT INTO evidence VALUES (?, ?, ?)", [(50, 0.0, b"x" * 500), (100, 10.0, b"x" * 1500)]
    )
    connection.commit()
    connection.close()
    return one


def test_sizes_are_compared_within_each_window(tmp_path: Path) -> None:
    small, large = watched(tmp_path, 3, [10.0, 20.0, 40.0]), watched(tmp_path, 50, [50.0, 40.0, 80.0])
    cost = cost_of(large, small, resident=60.0)
    assert (cost.cpu, cost.cpu_ratio) == (50.0, 2.0)
    assert (cost.scrape_series, cost.scrape_bytes) == (2, 19)
    assert cost.evidence_hours == pytest.approx(500_000 / 10 / 3600)
    assert cost.store_bytes == pytest.approx(20 * 500_000)
    table = lay_out([cost_of(small, small, resident=57.0), cost]).splitlines()
    assert table[-2].split("|")[-2].strip() == "5,000"
