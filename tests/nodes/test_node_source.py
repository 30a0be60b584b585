"""The loop that asks the node, and how it finds out what the node is."""

from __future__ import annotations

import logging
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from raft_exporter.errors import NodeError
from raft_exporter.model.evidence import Configuration, Evidence, NodeIdentity, NodeStatus, StatusLost
from raft_exporter.model.intake import Intake
from raft_exporter.schema import ApiConfig, Kind
from raft_exporter.sources.node import SOURCE, ApiTiming, NodeSource
from raft_exporter.sources.nodes import adapter_of, headers_of
from raft_exporter.sources.nodes.detection import detect
from raft_exporter.sources.reports import open_session
from tests.nodes.bodies import consul_self, rqlite_status
from tests.nodes.fake import HASTE, PATIENCE, Handler, Node, asking, denied, hangs, says, served

SEAL: Handler = says({"sealed": False, "storage_type": "raft", "initialized": True})


class Source:
    """A source beside a fake node, asked turn by turn."""

    def __init__(self, node: Node) -> None:
        self.node = node
        self.intake = Intake()
        self.told: list[Evidence] = []
        self.timing = ApiTiming(1.0, PATIENCE)
        self.made: NodeSource | None = None

    async def turn(self) -> list[Evidence]:
        assert self.made is not None
        self.told.clear()
        await self.made.ask()
        return list(self.told)

    @property
    def rejected(self) -> dict[str, int]:
        return {reason: count for (_, reason), count in self.intake.rejected.items() if count}


@asynccontextmanager
async def beside(node: Node, **config: Any) -> AsyncIterator[Source]:
    source = Source(node)
    async with served(node) as url, open_session() as session:
        source.made = NodeSource(
            ApiConfig(url=url, **config),
            session,
            timing=lambda: source.timing,
            take=source.told.append,
            intake=source.intake,
        )
        yield source


async def test_it_finds_out_the_kind_once_and_hands_on_what_the_node_says() -> None:
    node = Node({"/status": says(rqlite_status())})
    async with beside(node) as source:
        assert [type(each) for each in await source.turn()] == [NodeIdentity, Configuration, NodeStatus]
        assert source.made is not None
        assert source.made.kind == "rqlite"
        assert source.intake.up[SOURCE] is True
        node.paths()
        await source.turn()
        assert node.paths() == ["/status"]
    assert source.rejected == {}


async def test_a_given_kind_is_not_asked_for() -> None:
    node = Node({"/status": says(rqlite_status())})
    async with beside(node, kind="rqlite") as source:
        await source.turn()
        assert node.paths() == ["/status"]


async def test_what_the_node_said_is_lost_after_three_failures_and_comes_back() -> None:
    node = Node({"/status": says(rqlite_status())})
    async with beside(node, kind="rqlite") as source:
        await source.turn()
        node.answers["/status"] = says({}, 500)
        assert await source.turn() == []
        assert await source.turn() == []
        assert await source.turn() == [StatusLost()]
        assert await source.turn() == []
        assert source.intake.up[SOURCE] is False
        assert source.rejected == {"status": 4}
        node.answers["/status"] = says(rqlite_status())
        assert isinstance((await source.turn())[-1], NodeStatus)
        assert source.intake.up[SOURCE] is True


async def test_a_node_that_refuses_is_gone_at_once(caplog: pytest.LogCaptureFixture) -> None:
    node = Node({"/status": says(rqlite_status())})
    source = Source(node)
    async with open_session() as session:
        async with served(node) as url:
            source.made = NodeSource(
                ApiConfig(url=url, kind="rqlite"),
                session,
                timing=lambda: source.timing,
                take=source.told.append,
                intake=source.intake,
            )
            await source.turn()
        caplog.clear()
        assert await source.turn() == [StatusLost()]
        assert await source.turn() == []
    assert [record.levelno for record in caplog.records] == [logging.WARNING]  # it is said once


async def test_all_answers_of_a_turn_have_one_time() -> None:
    async with beside(Node({"/status": hangs}), kind="rqlite") as source:
        source.timing = ApiTiming(1.0, HASTE)
        await source.turn()
    assert source.rejected == {"timeout": 1}


async def test_a_fault_of_ours_ends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    node = Node({"/status": says(rqlite_status())})
    async with beside(node, kind="rqlite") as source:
        assert source.made is not None
        turns = iter([RuntimeError("a fault of ours"), NodeError("status", "over")])

        class OverError(BaseException):
            pass

        async def ask() -> None:
            if isinstance(error := next(turns), RuntimeError):
                raise error
            raise OverError

        monkeypatch.setattr(source.made, "ask", ask)
        source.timing = ApiTiming(0.0, 1.0)
        with pytest.raises(OverError):
            await source.made.run()


async def test_the_token_is_read_again_when_its_file_changes_and_never_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "token"
    node = Node({"/v1/agent/self": says(consul_self()), "/v1/operator/raft/configuration": denied()})
    with caplog.at_level(logging.DEBUG):
        async with beside(node, kind="consul", token_file=str(file)) as source:
            await source.turn()
            assert source.rejected == {"token_file": 1}
            file.write_text("first-secret\n")
            await source.turn()
            assert {headers["X-Consul-Token"] for headers in node.headers} == {"first-secret"}
            node.headers.clear()
            file.write_text("second-secret\n")
            os.utime(file, ns=(1, 1))
            await source.turn()
            assert {headers["X-Consul-Token"] for headers in node.headers} == {"second-secret"}
            node.answers["/v1/agent/self"] = denied()
            node.answers["/v1/status/leader"] = says("10.1.10.11:8300")
            node.answers["/v1/status/peers"] = says(["10.1.10.11:8300"])
            await source.turn()
            assert source.made is not None
            assert "agent:read" in source.made.hints["/v1/agent/self"]
            file.write_text("two\nlines\n")
            await source.turn()
            assert source.rejected["token_file"] == 2
    assert "secret" not in caplog.text
    assert "more could be seen of the node" in caplog.text


async def test_https_needs_files_that_can_be_used(tmp_path: Path) -> None:
    async with beside(Node({}), kind="rqlite") as source, open_session() as session:
        config = ApiConfig(url="https://127.0.0.1:1", kind="rqlite")
        for tls in (
            replace(config.tls, ca_file=str(tmp_path / "none.pem")),
            replace(config.tls, cert_file=str(tmp_path / "none.pem")),
        ):
            source.made = NodeSource(
                replace(config, tls=tls),
                session,
                timing=lambda: source.timing,
                take=source.told.append,
                intake=source.intake,
            )
            await source.turn()
            assert source.rejected == {"tls": 1}


@pytest.mark.parametrize(
    ("answers", "kind"),
    [
        ({"/v1/sys/seal-status": SEAL}, "vault"),
        ({"/v1/regions": says(["global"]), "/v1/status/leader": says("10.0.0.1:4647")}, "nomad"),
        ({"/v1/status/leader": says("10.0.0.1:8300")}, "consul"),
        ({"/v1/status/leader": says("")}, "consul"),
        ({"/status": says({"store": {"open": False}})}, "rqlite"),
    ],
)
async def test_each_system_is_known_by_what_it_alone_answers(answers: dict[str, Handler], kind: Kind) -> None:
    async with asking(Node(answers), adapter_of("rqlite", ApiConfig())) as api:
        assert await detect(api) == kind


@pytest.mark.parametrize(
    ("answers", "words"),
    [
        ({}, "recognised none: set node.api.kind"),
        ({"/status": denied()}, "recognised none (/status refused): set node.api.kind"),
        ({"/v1/regions": says([]), "/v1/status/leader": says(1), "/status": says([])}, "recognised none"),
        ({"/v1/sys/seal-status": says(b"<html>", 200, "text/html")}, "recognised none"),
    ],
)
async def test_what_is_none_of_them_is_said_in_one_line(answers: dict[str, Handler], words: str) -> None:
    async with asking(Node(answers), adapter_of("rqlite", ApiConfig())) as api:
        with pytest.raises(NodeError, match="expected one of vault, nomad, consul, rqlite") as caught:
            await detect(api)
    assert words in str(caught.value)


async def test_a_node_that_does_not_answer_is_not_taken_for_another_kind() -> None:
    node = Node({"/v1/sys/seal-status": hangs, "/status": says(rqlite_status())})
    async with asking(node, adapter_of("rqlite", ApiConfig()), within=HASTE) as api:
        with pytest.raises(NodeError, match="no answer within"):
            await detect(api)


@pytest.mark.parametrize("kind", ["consul", "nomad", "vault", "rqlite", "json"])
def test_every_kind_has_its_adapter(kind: Kind) -> None:
    adapter = adapter_of(kind, ApiConfig())
    assert adapter.kind == kind
    assert headers_of(kind, None) == adapter.headers(None)
    assert headers_of(None, None) == {}


@pytest.mark.parametrize(
    ("h", "config", "expected"),
    [
        (1.0, ApiConfig(), (1.0, 0.8)),
        (0.5, ApiConfig(), (0.5, 0.4)),
        (5.0, ApiConfig(), (1.0, 0.8)),
        (5.0, ApiConfig(interval=0.5, timeout=3.0), (0.5, 0.4)),
        (5.0, ApiConfig(interval=9.0, timeout=0.1), (1.0, 0.1)),
    ],
)
def test_an_answer_takes_less_than_the_interval(
    h: float, config: ApiConfig, expected: tuple[float, float]
) -> None:
    timing = ApiTiming.of(h, config)
    assert (timing.interval, timing.timeout) == pytest.approx(expected)
