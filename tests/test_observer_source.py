"""The observer source on real sockets."""

from __future__ import annotations

import asyncio
import json
import socket
import stat
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from raft_exporter.config import Config, ObserverConfig
from raft_exporter.errors import StartError
from raft_exporter.model.evidence import (
    Configuration,
    Evidence,
    HeartbeatsAnswered,
    LeaderChanged,
    NodeIdentity,
    NodeStatus,
    ObservationKind,
    StatusLost,
)
from raft_exporter.model.histogram import BOUNDS
from raft_exporter.model.intake import Intake
from raft_exporter.sources import observer
from raft_exporter.sources.observer import SOURCE, ObserverSource
from tests.waiting import until

HELLO = {
    "type": "hello",
    "stream_version": 1,
    "node_id": "n1",
    "address": "a:1",
    "heartbeat_timeout_ms": 1000,
}
LEADER = {"type": "observation", "age_ms": 0, "kind": "leader", "leader_id": "n2", "leader_address": "b:1"}
DROPPED = {"type": "dropped", "age_ms": 0, "count": 3}


class Sidecar:
    """A source with its evidence and its counts."""

    def __init__(self) -> None:
        self.taken: list[Evidence] = []
        self.intake = Intake()
        self.source = ObserverSource(self.taken.append, self.intake)

    async def listen(self, *where: str) -> None:
        """Listen on these addresses, or, without any, where it does by default."""
        config = Config(observer=ObserverConfig(listen=where or None))
        await (await self.source.prepare(config)).commit()

    @property
    def up(self) -> bool | None:
        return self.intake.up[SOURCE]

    def rejected(self, reason: str) -> int:
        return self.intake.rejected[SOURCE, reason]


@asynccontextmanager
async def listening(path: Path) -> AsyncIterator[Sidecar]:
    sidecar = Sidecar()
    await sidecar.listen(f"unix:{path}")
    try:
        yield sidecar
    finally:
        await sidecar.source.close()


def lines(*messages: object) -> bytes:
    return b"".join(json.dumps(message).encode() + b"\n" for message in messages)


async def connected(path: Path, *messages: object) -> asyncio.StreamWriter:
    _, writer = await asyncio.open_unix_connection(path)
    writer.write(lines(*messages))
    await writer.drain()
    return writer


async def hang_up(writer: asyncio.StreamWriter) -> None:
    writer.close()
    await writer.wait_closed()


async def test_evidence_arrives_and_the_end_of_the_connection_is_evidence_too(tmp_path: Path) -> None:
    async with listening(tmp_path / "s") as sidecar:
        assert not sidecar.up
        writer = await connected(tmp_path / "s", HELLO, LEADER, DROPPED)
        await until(lambda: sidecar.intake.dropped == 3)
        assert sidecar.up
        assert sidecar.taken == [NodeIdentity("n1", "a:1", 1.0), LeaderChanged("n2", "b:1")]
        assert sidecar.intake.observations == {ObservationKind.LEADER: 1}
        await hang_up(writer)
        await until(lambda: not sidecar.up)
        assert sidecar.taken[-1] == StatusLost()


async def test_every_kind_of_message_is_handed_on(tmp_path: Path) -> None:
    peer = {"peer": "n2", "count": 1, "last_age_ms": 0, "sum_ms": 1, "buckets": [1] + [0] * len(BOUNDS)}
    async with listening(tmp_path / "s") as sidecar:
        writer = await connected(
            tmp_path / "s",
            HELLO,
            {"type": "stats", "age_ms": 0, "stats": {"state": "Leader", "term": "3"}},
            {"type": "configuration", "age_ms": 0, "servers": []},
            {"type": "heartbeats", "age_ms": 0, "peers": [peer]},
            {"type": "observation", "age_ms": 0, "kind": "request_vote"},
            {"type": "observation", "age_ms": 0, "kind": "news"},
            DROPPED,
        )
        await until(lambda: sidecar.intake.dropped)
        await hang_up(writer)
    kinds = [type(evidence) for evidence in sidecar.taken]
    assert kinds[:4] == [NodeIdentity, NodeStatus, Configuration, HeartbeatsAnswered]
    assert sidecar.intake.observations == {ObservationKind.REQUEST_VOTE: 1}
    assert not any(sidecar.intake.rejected.values())


async def test_an_observer_that_is_not_insisted_on_is_nothing_missing_until_it_came(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(observer, "DEFAULT_OBSERVER_SOCKET", f"unix:{tmp_path / 's'}")
    sidecar = Sidecar()
    await sidecar.listen()
    try:
        assert sidecar.up is None
        writer = await connected(tmp_path / "s", HELLO)
        await until(lambda: sidecar.up)
        await hang_up(writer)
        await until(lambda: sidecar.up is False)
    finally:
        await sidecar.source.close()


async def test_the_latest_connection_is_the_node(tmp_path: Path) -> None:
    async with listening(tmp_path / "s") as sidecar:
        first = await connected(tmp_path / "s", HELLO)
        await until(lambda: sidecar.up)
        second = await connected(tmp_path / "s", HELLO | {"node_id": "n9"})
        await until(lambda: len(sidecar.taken) == 2)
        await hang_up(first)
        assert sidecar.up
        assert StatusLost() not in sidecar.taken
        await hang_up(second)
        await until(lambda: not sidecar.up)


async def test_bad_lines_are_counted_and_skipped(tmp_path: Path) -> None:
    async with listening(tmp_path / "s") as sidecar:
        writer = await connected(tmp_path / "s", LEADER, HELLO, {"type": "gossip"})
        writer.write(b"garbage\n\n" + b"x" * 300_000 + b"\n" + lines(LEADER) + b'{"type":"st')
        await until(lambda: len(sidecar.taken) == 2)
        await hang_up(writer)
        await until(lambda: not sidecar.up)
    counts = {reason: count for (_, reason), count in sidecar.intake.rejected.items() if count}
    assert counts == {"no_hello": 1, "unknown_type": 1, "malformed": 1, "oversized": 1, "truncated": 1}


async def test_another_version_is_refused_by_hanging_up(tmp_path: Path) -> None:
    async with listening(tmp_path / "s") as sidecar:
        reader, writer = await asyncio.open_unix_connection(tmp_path / "s")
        writer.write(lines(HELLO | {"stream_version": 2}, LEADER))
        assert await reader.read() == b""
        await hang_up(writer)
        assert sidecar.rejected("unsupported_version") == 1
        assert (sidecar.up, sidecar.taken) == (False, [])


async def test_a_reset_connection_is_an_end_like_any_other(tmp_path: Path) -> None:
    sidecar = Sidecar()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    await sidecar.listen(f"tcp:127.0.0.1:{port}")
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(lines(HELLO))
        await until(lambda: sidecar.up)
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        writer.close()
        await until(lambda: not sidecar.up)
        assert sidecar.taken[-1] == StatusLost()
    finally:
        await sidecar.source.close()


async def test_a_stale_socket_file_is_replaced_and_removed_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / "run" / "s"
    path.parent.mkdir()
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(str(path))
    async with listening(path) as sidecar:
        assert stat.S_IMODE(path.stat().st_mode) == 0o660
        writer = await connected(path, HELLO)
        await until(lambda: sidecar.up)
        await hang_up(writer)
    assert not path.exists()


async def test_a_socket_that_another_process_serves_is_left_alone(tmp_path: Path) -> None:
    async with listening(tmp_path / "s") as sidecar:
        with pytest.raises(StartError, match="another process listens there"):
            await Sidecar().listen(f"unix:{tmp_path / 's'}")
        writer = await connected(tmp_path / "s", HELLO)
        await until(lambda: sidecar.up)
        await hang_up(writer)


@pytest.mark.parametrize("where", ["unix:{}/file/s", "unix:{}/file", "tcp:127.0.0.1:1"])
async def test_what_cannot_be_listened_on_is_one_line(
    tmp_path: Path, where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")

    async def denied(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(asyncio, "start_server", denied)
    with pytest.raises(StartError, match=r"^observer\.listen: can't listen on [^\n]+$"):
        await Sidecar().listen(where.format(tmp_path))
    assert (tmp_path / "file").read_text() == ""


async def test_other_addresses_are_taken_up_and_the_observer_at_a_kept_one_stays(tmp_path: Path) -> None:
    kept, gone, new = (f"unix:{tmp_path / name}" for name in ("kept", "gone", "new"))
    sidecar = Sidecar()
    await sidecar.listen(kept, gone)
    try:
        writer = await connected(tmp_path / "kept", HELLO)
        await until(lambda: sidecar.up)
        await sidecar.listen(kept, new)
        assert sidecar.up
        assert [(tmp_path / name).exists() for name in ("kept", "gone", "new")] == [True, False, True]
        writer.write(lines(LEADER))
        await until(lambda: LeaderChanged("n2", "b:1") in sidecar.taken)
        await sidecar.listen(new)
        await until(lambda: sidecar.up is False)
        assert sidecar.taken[-1] == StatusLost()
        await hang_up(writer)
        await hang_up(await connected(tmp_path / "new", HELLO))
        await until(lambda: [type(each) for each in sidecar.taken].count(NodeIdentity) == 2)
    finally:
        await sidecar.source.close()


async def test_what_is_not_taken_up_leaves_no_socket_and_no_observer(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    async with listening(tmp_path / "s") as sidecar:
        writer = await connected(tmp_path / "s", HELLO)
        await until(lambda: sidecar.up)
        with pytest.raises(StartError, match=r"observer\.listen: "):
            await sidecar.listen(f"unix:{tmp_path / 'new'}", f"unix:{tmp_path / 'file'}")
        assert not (tmp_path / "new").exists()
        assert sidecar.up
        prepared = await sidecar.source.prepare(
            Config(observer=ObserverConfig(listen=(f"unix:{tmp_path / 'new'}",)))
        )
        reader, early = await asyncio.open_unix_connection(tmp_path / "new")
        assert await reader.read() == b""
        await prepared.discard()
        assert not (tmp_path / "new").exists()
        await hang_up(early)
        assert [type(each) for each in sidecar.taken] == [NodeIdentity]
        await hang_up(writer)


async def test_no_address_at_all_takes_the_source_out_of_what_is_watched(tmp_path: Path) -> None:
    sidecar = Sidecar()
    await sidecar.listen(f"unix:{tmp_path / 's'}")
    assert sidecar.up is False
    await (await sidecar.source.prepare(Config(observer=ObserverConfig(listen=())))).commit()
    assert SOURCE not in sidecar.intake.up
    await sidecar.source.close()
