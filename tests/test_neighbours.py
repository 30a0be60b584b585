"""The other sidecars: what their messages come to, and how they are asked after another configuration."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path

import pytest
from msgspec.structs import replace

from raft_exporter.config import Config, ReportsConfig, SidecarConfig
from raft_exporter.errors import StartError
from raft_exporter.model.evidence import Configuration, NodeIdentity, ProbeResult, Report, Server
from raft_exporter.model.override import Override
from raft_exporter.model.policy import Policy
from raft_exporter.model.table import Table
from raft_exporter.neighbours import Neighbours
from raft_exporter.report import Message, encode
from raft_exporter.schema import TlsConfig
from raft_exporter.sources.reports import ReportFetcher
from tests.serving import Handler, serving
from tests.test_report_source import http
from tests.waiting import until

OVERRIDE = Override(1e9, "n2", "offline", 2e9, "eve", "disk swap", "n2")
SECRET = "a-secret-of-the-cluster"


def servers(port: int) -> Configuration:
    return Configuration(tuple(Server(f"n{each}", f"10.0.0.{each}:{port}") for each in (1, 2, 3)), 7)


def make_table() -> Table:
    table = Table(Policy.of(0.1), (), 0.0)
    table.take(NodeIdentity("n1", "10.0.0.1:7000"), 0.0)
    table.take(servers(7000), 0.0)
    return table


class Asking:
    """Neighbours of n1, with all that they heard."""

    def __init__(self) -> None:
        self.table = make_table()
        self.heard: list[ProbeResult | Report] = []
        self.overrides: list[Override] = []
        self.neighbours = Neighbours(self.table, self.heard.append, self.overrides.extend, random.Random(1))

    async def turn_to(self, reports: ReportsConfig) -> None:
        change = await self.neighbours.prepare(Config(reports=reports))
        await change.commit()
        self.neighbours.watch()

    def fetchers(self) -> dict[str, ReportFetcher]:
        return {fetcher.peer: fetcher for fetcher in self.neighbours._fetchers.workers()}

    async def reports_of(self, *peers: str) -> None:
        """Wait for a new report of each."""
        self.heard.clear()
        await until(lambda: {each.reporter for each in self.heard if isinstance(each, Report)} >= set(peers))


class Counted:
    """Sidecars of a test that count connections; each answers with the report of its member."""

    def __init__(self) -> None:
        self.connections: list[str] = []

    def reporting(self, peer: str) -> Handler:
        answer = http(encode(Message(report=Report(peer, ()))))

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            self.connections.append(peer)
            while True:
                await reader.readuntil(b"\r\n\r\n")
                writer.write(answer)

        return serve


def sidecars(**ports: int) -> tuple[SidecarConfig, ...]:
    return tuple(SidecarConfig(peer, f"http://127.0.0.1:{port}") for peer, port in ports.items())


async def test_overrides_of_another_cluster_are_passed_over() -> None:
    asking = Asking()
    for port in (8000, 7000):
        report = Report("n2", (), configuration=servers(port))
        asking.neighbours._message(Message(report=report, overrides=(OVERRIDE,)))
        assert asking.overrides == ([] if port == 8000 else [OVERRIDE])
    await asking.neighbours.close()


async def test_after_another_configuration_only_who_is_elsewhere_is_asked_anew() -> None:
    asking, counted = Asking(), Counted()
    async with serving(counted.reporting("n2")) as two, serving(counted.reporting("n3")) as three:
        async with serving(counted.reporting("n3")) as moved:
            await asking.turn_to(ReportsConfig(sidecars=sidecars(n2=two, n3=three)))
            await asking.reports_of("n2", "n3")
            before = asking.fetchers()
            await asking.turn_to(
                ReportsConfig(sidecars=sidecars(n2=two, n3=moved), timeout=0.3, interval=0.01)
            )
            await asking.reports_of("n2", "n3")
            after = asking.fetchers()
            assert after["n2"] is before["n2"]
            assert after["n3"] is not before["n3"]
            assert after["n2"].timing.timeout == 0.3
            assert counted.connections == ["n2", "n3", "n3"]
            await asking.neighbours.close()


async def test_what_was_told_outlives_a_configuration_and_no_reports_ends_the_asking() -> None:
    asking, counted = Asking(), Counted()
    async with serving(counted.reporting("n2")) as port:
        told = {"n2": f"http://127.0.0.1:{port}"}
        await asking.turn_to(ReportsConfig())
        asking.neighbours._message(Message(report=Report("n3", ()), sidecars=told))
        for enabled in (True, False, True):
            await asking.turn_to(ReportsConfig(enabled=enabled, advertise="http://me:1"))
            assert asking.neighbours.known() == ({"n2"} if enabled else set())
            assert asking.neighbours.places() == {"n1": "http://me:1"}
        await asking.reports_of("n2")
        await until(lambda: asking.neighbours.places() == told | {"n1": "http://me:1"})
        await asking.neighbours.close()


async def test_who_is_asked_with_another_secret_is_asked_anew(tmp_path: Path) -> None:
    asking, counted = Asking(), Counted()
    file = tmp_path / "secret"
    file.write_text(SECRET)
    async with serving(counted.reporting("n2")) as port:
        plain = ReportsConfig(sidecars=sidecars(n2=port))
        await asking.turn_to(plain)
        await asking.reports_of("n2")
        assert asking.neighbours.secrets() is None
        first = asking.fetchers()["n2"]
        await asking.turn_to(replace(plain, token_file=str(file)))
        second = asking.fetchers()["n2"]
        assert second is not first
        await asking.turn_to(replace(plain, token_file=str(file), tls=TlsConfig(verify=False)))
        assert asking.fetchers()["n2"] is second, "http knows no TLS"
        await until(lambda: asking.table.intake.rejected["report", "unproved"])
        assert "does not prove the secret" in asking.neighbours.hints()["n2"]
        secrets = asking.neighbours.secrets()
        assert secrets is not None
        assert [each.reveal() for each in secrets] == [SECRET]
        await asking.neighbours.close()


@pytest.mark.parametrize(
    ("text", "reports", "expected"),
    [
        (
            None,
            ReportsConfig(token_file="s"),
            r"^reports\.token_file: a relative path of .*: No such file",
        ),
        (
            "short",
            ReportsConfig(token_file="s"),
            r"^reports\.token_file: a relative path of .*: expected one secret",
        ),
        (None, ReportsConfig(tls=TlsConfig(ca_file="s")), r"^reports\.tls: TLS files: No such file"),
        ("none", ReportsConfig(tls=TlsConfig(cert_file="s")), r"^reports\.tls: TLS files: "),
    ],
)
async def test_a_file_that_is_no_use_is_named_and_all_stays_as_it_was(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    text: str | None,
    reports: ReportsConfig,
    expected: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    if text is not None:
        (tmp_path / "s").write_text(text)
    asking, counted = Asking(), Counted()
    async with serving(counted.reporting("n2")) as port:
        await asking.turn_to(ReportsConfig(sidecars=sidecars(n2=port)))
        with pytest.raises(StartError, match=expected):
            await asking.neighbours.prepare(Config(reports=reports))
        change = await asking.neighbours.prepare(Config(reports=ReportsConfig(enabled=False)))
        await change.discard()
        asking.neighbours.watch()
        await asking.reports_of("n2")
        assert counted.connections == ["n2"]
        await asking.neighbours.close()


async def test_a_file_that_became_no_use_stops_the_next_configuration(tmp_path: Path) -> None:
    asking, file = Asking(), tmp_path / "s"
    file.write_text(SECRET)
    reports = ReportsConfig(token_file=str(file))
    await asking.turn_to(reports)
    file.write_text("short")
    with pytest.raises(StartError, match=r"^reports\.token_file: "):
        await asking.neighbours.prepare(Config(reports=reports))
    assert asking.neighbours.secrets() is not None
    await asking.neighbours.close()
