"""Real sidecars that have to prove who they are, and somebody at a member's address who can't."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
import trustme
from msgspec.structs import replace

from raft_exporter.config import (
    Config,
    NodeConfig,
    ObserverConfig,
    PeerConfig,
    ProbeConfig,
    ReportsConfig,
    SidecarConfig,
    WebConfig,
)
from raft_exporter.model.evidence import Report
from raft_exporter.model.judge import NEVER
from raft_exporter.report import Message, encode
from raft_exporter.schema import TlsConfig
from raft_exporter.sidecar import Sidecar
from tests.serving import serving
from tests.test_report_source import always, http
from tests.waiting import until

SECRET, ANOTHER = "a-secret-of-the-cluster", "another-secret-of-it"
FALSE = http(encode(Message(report=Report("n3", ()))))
CA, OTHER_CA = trustme.CA(), trustme.CA()


class Running:
    """A sidecar that takes up what ``config`` is at each reload."""

    def __init__(self, node: str, home: Path, *, tls: bool) -> None:
        self.home = home / node
        self.home.mkdir()
        self.write("secret", SECRET)
        others = [peer for peer in ("n1", "n2", "n3") if peer != node]
        self.config = Config(
            node=NodeConfig(id=node, raft="127.0.0.1:1", heartbeat_timeout=0.1),
            observer=ObserverConfig(listen=()),
            probe=ProbeConfig(enabled=False),
            peers=tuple(PeerConfig(peer, f"127.0.0.1:{int(peer[1]) + 1}") for peer in others),
            web=WebConfig(listen=("127.0.0.1:0",), config_file=str(self._web_config()) if tls else None),
            reports=ReportsConfig(
                token_file=str(self.home / "secret"),
                tls=TlsConfig(
                    ca_file=str(self.write("ca.pem", CA.cert_pem.bytes())), cert_file=str(self._client(CA))
                )
                if tls
                else TlsConfig(),
            ),
        )
        self.sidecar = Sidecar(self.config, random.Random(1), load=lambda: self.config)
        self.url = ""

    def write(self, name: str, content: str | bytes) -> Path:
        path = self.home / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    def show(self, ca: trustme.CA) -> None:
        """Show a client certificate of this authority from now on."""
        self._client(ca)

    def _client(self, ca: trustme.CA) -> Path:
        return self.write("client.pem", ca.issue_cert("sidecar.raft").private_key_and_cert_chain_pem.bytes())

    def _web_config(self) -> Path:
        leaf = CA.issue_cert("127.0.0.1")
        self.write("server.key", leaf.private_key_pem.bytes())
        self.write("server.crt", leaf.cert_chain_pems[0].bytes())
        self.write("client_ca.pem", CA.cert_pem.bytes())
        return self.write(
            "web.yml",
            "tls_server_config: {cert_file: server.crt, key_file: server.key, client_ca_file: client_ca.pem, "
            "client_auth_type: RequireAndVerifyClientCert}\n",
        )

    async def ask(self, **urls: str) -> None:
        """Ask these from now on."""
        sidecars = tuple(SidecarConfig(peer, url) for peer, url in urls.items())
        self.config = replace(self.config, reports=replace(self.config.reports, sidecars=sidecars))
        await self.sidecar.reload()

    def refused(self, source: str = "report") -> dict[str, int]:
        """What was refused so far."""
        rejected = self.sidecar.table.intake.rejected
        return {reason: count for (of, reason), count in rejected.items() if of == source and count}

    async def hears(self, peer: str) -> None:
        """Wait for the next report of a member."""
        reports = self.sidecar.table.reports
        before = reports.latest().get(peer)
        await until(lambda: reports.latest().get(peer) is not before)


@asynccontextmanager
async def pair(home: Path, *, tls: bool = False) -> AsyncIterator[tuple[Running, Running]]:
    """The sidecars of n1 and n2, which ask each other."""
    async with AsyncExitStack() as stack:
        both = Running("n1", home, tls=tls), Running("n2", home, tls=tls)
        for one in both:
            (one.url,) = await one.sidecar.start()
            stop = asyncio.Event()
            judging = asyncio.create_task(one.sidecar.judge_until(stop))
            stack.push_async_callback(one.sidecar.stop)
            stack.push_async_callback(asyncio.wait, [judging])
            stack.callback(stop.set)
        await both[0].ask(n2=both[1].url)
        await both[1].ask(n1=both[0].url)
        yield both


async def test_a_stranger_at_a_members_address_is_counted_and_the_others_reports_go_on(
    tmp_path: Path,
) -> None:
    async with serving(always(FALSE)) as stranger, pair(tmp_path) as (one, two):
        await one.ask(n2=two.url, n3=f"http://127.0.0.1:{stranger}")
        await until(lambda: one.refused().get("unproved", 0) >= 2)
        for _ in range(2):
            await one.hears("n2")
            await two.hears("n1")
        member = one.sidecar.table.members["n3"]
        assert "n3" not in one.sidecar.table.reports.latest()
        assert member._sidecar_host_at == NEVER
        assert set(one.refused()) == {"unproved"}
        assert two.refused() == {}
        hints = {check.name: check.hint for check in one.sidecar.checkup().checks}
        assert "it does not prove the secret" in hints["sidecar of n3"]


async def test_a_report_is_given_to_nobody_else_and_a_new_secret_goes_round_with_no_gap(
    tmp_path: Path,
) -> None:
    async with pair(tmp_path) as (one, two), aiohttp.ClientSession() as session:
        async with session.get(f"{one.url}/api/v1/report") as answer:
            assert answer.status == 401
            assert "n1" not in await answer.text()
        for text in (f"{ANOTHER}\n{SECRET}", ANOTHER):
            for each in (one, two):
                each.write("secret", text)
                await one.hears("n2")
                await two.hears("n1")
        assert one.refused() == two.refused() == {}
        one.write("secret", SECRET)
        await until(lambda: one.refused().get("unauthorized") and two.refused().get("unauthorized"))
        await until(lambda: one.refused("http").get("wrong_proof"))


@pytest.mark.parametrize("right", [True, False])
async def test_with_mutual_tls_both_have_to_show_a_right_certificate(tmp_path: Path, right: bool) -> None:
    async with pair(tmp_path, tls=True) as (one, two):
        assert one.url.startswith("https:")
        await one.hears("n2")
        await two.hears("n1")
        assert one.refused() == two.refused() == {}
        two.show(CA if right else OTHER_CA)
        if right:
            await two.hears("n1")
            assert two.refused() == {}
        else:
            await until(two.refused)
            assert set(two.refused()) <= {"tls", "broken"}
        await one.hears("n2")


async def test_who_goes_on_without_a_secret_hears_those_without_one_and_nobody_else(tmp_path: Path) -> None:
    async with pair(tmp_path) as (one, two):
        one.config = replace(one.config, reports=replace(one.config.reports, token_file=None))
        await one.sidecar.reload()
        await until(lambda: one.refused().get("unauthorized") and two.refused().get("unproved"))
        two.config = replace(two.config, reports=replace(two.config.reports, token_file=None))
        await two.sidecar.reload()
        await one.hears("n2")
        await two.hears("n1")
