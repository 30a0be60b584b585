from __future__ import annotations

import asyncio
import gzip
import os
import random
import shutil
import sqlite3
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec
import pytest

from raft_exporter.database import Batch, Block, Database, Limits
from raft_exporter.errors import StoreError
from raft_exporter.evidence_log import (
    Adopted,
    Began,
    Judged,
    Losses,
    Record,
    Recorder,
    Restored,
    Took,
    newest,
    read_file,
    read_store,
    write_file,
)
from raft_exporter.model.evidence import (
    Configuration,
    Evidence,
    NodeIdentity,
    Outcome,
    ProbeKind,
    ProbeResult,
    Role,
    Server,
    Suffrage,
)
from raft_exporter.model.memory import Memory
from raft_exporter.model.policy import Multiples, Policy
from raft_exporter.model.table import Table
from raft_exporter.model.transition import Transition
from raft_exporter.store import Store
from tests.model.story import N1, N2, N3, answered, report, row, status

WALL = 1_700_000_000.0


class Sidecar:
    """A table that is recorded as the sidecar does it; its clock is turned by hand."""

    def __init__(
        self, keep: Callable[[Block], None], static: Iterable[Server] = (), wall: float = WALL, h: float = 1.0
    ) -> None:
        self.at = 0.0
        self.wall = wall
        self.static = tuple(static)
        self.table = Table(Policy.of(h, Multiples(gone_after=6.0)), self.static, self.at)
        self.moved: list[tuple[float, Transition]] = []
        self.recorder = Recorder(keep, lambda: self.wall)
        self.recorder.began(self.table, self.static)

    def restore(self, memory: Memory, age: float) -> None:
        self.recorder.restored(memory, age, self.at)
        self.table.restore(memory, age, self.at)

    def tell(self, *evidence: Evidence) -> None:
        for each in evidence:
            self.recorder.took(each, self.at)
            self.table.take(each, self.at)

    def adopt(self, static: Iterable[Server], multiples: Multiples) -> None:
        self.static = tuple(static)
        self.table.adopt(Policy.of(self.table.policy.heartbeat_timeout, multiples), self.static, self.at)
        self.recorder.adopted(self.table, self.static, self.at)

    def judge(self) -> None:
        self.moved += [(self.at, each) for each in self.table.judge(self.at)]
        self.recorder.judged(self.table, self.at)

    def live(self, seconds: float, *evidence: Evidence, every: float = 0.5) -> None:
        for _ in range(round(seconds / every)):
            self.at = round(self.at + every, 6)
            self.wall = round(self.wall + every, 6)
            self.tell(*evidence)
            self.judge()

    def begin(self) -> None:
        self.tell(NodeIdentity("n1", N1.address, 1.0), Configuration((N1, N2, N3), 1))


def alive(*peers: str) -> list[Evidence]:
    return [status(), *(answered(peer) for peer in peers)]


def told(records: Iterable[Record]) -> list[Evidence]:
    return [each.evidence for each in records if isinstance(each, Took)]


def stored(path: Path, blocks: Iterable[Block], limits: Limits | None = None) -> Path:
    database = Database(path)
    for block in blocks:
        database.write(Batch(blocks=(block,)), limits or Limits(), block.wall)
    database.close()
    return path


def read(path: Path, after: float = 0.0) -> tuple[list[Record], Losses]:
    losses = Losses()
    return list(read_store(path, losses, after)), losses


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state.db"


def a_day(seconds: float = 20.0, wall: float = WALL) -> tuple[Sidecar, list[Block]]:
    blocks: list[Block] = []
    sidecar = Sidecar(blocks.append, wall=wall)
    sidecar.begin()
    sidecar.live(seconds, *alive("n1", "n2", "n3"))
    sidecar.recorder.flush()
    return sidecar, blocks


def test_records_come_back_as_the_calls_that_they_were(path: Path) -> None:
    blocks: list[Block] = []
    sidecar = Sidecar(blocks.append, static=[Server("n9", "10.0.0.9:1", Suffrage.NONVOTER)], h=2.0)
    memory = Memory("n1", ())
    sidecar.restore(memory, 12.5)
    sidecar.tell(NodeIdentity("n1", N1.address))
    sidecar.live(0.5, report("n2", row("n3", raft=0.1)))
    sidecar.recorder.flush()
    records, losses = read(stored(path, blocks))
    assert records[:3] == [
        Began(0.0, WALL, 2.0, Multiples(gone_after=6.0), (Server("n9", "10.0.0.9:1", Suffrage.NONVOTER),)),
        Restored(0.0, memory, 12.5),
        Took(0.0, NodeIdentity("n1", N1.address)),
    ]
    assert records[3:5] == [Took(0.5, report("n2", row("n3", raft=0.1))), Judged(0.5, WALL + 0.5)]
    assert len(records) == 5
    assert losses == Losses()


def test_a_block_is_given_each_second_and_a_seed_each_five_minutes() -> None:
    _, blocks = a_day(700.0)
    assert [block.wall for block in blocks if block.seed] == [WALL, WALL + 300.0, WALL + 600.0]
    whole = [block for block in blocks if not block.seed]
    assert [block.seq for block in whole] == list(range(len(whole)))
    assert 690 <= len(whole) <= 701
    assert {block.run for block in blocks} == {int(WALL * 1000)}


def test_a_flood_makes_more_blocks_not_larger_ones() -> None:
    blocks: list[Block] = []
    sidecar = Sidecar(blocks.append)
    for _ in range(20):
        sidecar.tell(*[answered("n2")] * 1000)
        sidecar.judge()
    assert max(block.count for block in blocks) < 6100


def test_a_run_is_continued_over_its_seeds(path: Path) -> None:
    _, blocks = a_day(700.0)
    records, losses = read(stored(path, blocks))
    assert sum(isinstance(each, Began) for each in records) == 1
    assert sum(isinstance(each, Judged) for each in records) == 1400
    assert losses == Losses()


def test_after_a_gap_a_replay_begins_anew_at_the_next_seed(path: Path) -> None:
    _, blocks = a_day(700.0)
    del blocks[100]
    records, losses = read(stored(path, blocks))
    began = [each for each in records if isinstance(each, Began)]
    assert [each.at for each in began] == [0.0, 300.0]
    assert 190 < losses.cut_off < 210


def test_without_its_beginning_a_run_begins_at_its_first_seed(path: Path) -> None:
    _, blocks = a_day(700.0)
    records, losses = read(stored(path, blocks[150:]))
    assert isinstance(records[0], Began)
    assert records[0].at == 300.0
    assert told(records)[:2] == [NodeIdentity("n1", N1.address), Configuration((N1, N2, N3), 1)]
    assert losses.cut_off > 100


def test_a_seed_makes_a_table_that_knows_the_same(path: Path) -> None:
    sidecar, blocks = a_day(305.0)
    records, _ = read(stored(path, blocks[2:]))
    assert isinstance(records[0], Began)
    table = Table(
        Policy.of(records[0].heartbeat_timeout, records[0].multiples), records[0].static, records[0].at
    )
    for each in records[1:]:
        match each:
            case Took():
                table.take(each.evidence, each.at)
            case Restored():
                assert table.restore(each.memory, each.age, each.at)
            case Judged():
                table.judge(each.at)
    states = {peer: member.verdict.state for peer, member in sidecar.table.members.items()}
    assert {peer: member.verdict.state for peer, member in table.members.items()} == states
    assert table.node.id == "n1"
    assert table.node.role is Role.FOLLOWER


def test_only_the_end_is_read_where_that_is_enough(path: Path) -> None:
    _, blocks = a_day(1000.0)
    records, losses = read(stored(path, blocks), after=WALL + 700)
    assert isinstance(records[0], Began)
    assert records[0].at == 600.0
    assert losses == Losses()
    assert read(path, after=WALL + 5000)[0] == []


def test_the_newest_evidence_tells_its_time(path: Path) -> None:
    Database(path).close()
    assert newest(path) == 0.0
    _, blocks = a_day(10.0)
    assert newest(stored(path, blocks)) == WALL + 10.0


def test_runs_come_one_after_the_other_even_of_two_sidecars_on_one_file(path: Path) -> None:
    _, one = a_day(10.0)
    _, two = a_day(10.0, wall=WALL + 5)
    mixed = [block for pair in zip(one, two, strict=True) for block in pair]
    records, losses = read(stored(path, mixed))
    assert [each.wall for each in records if isinstance(each, Began)] == [WALL, WALL + 5]
    assert losses == Losses()
    assert len(records) == sum(block.count for block in mixed)


async def test_a_store_in_use_is_read_and_is_none_the_worse(path: Path) -> None:
    store = Store(path, Limits(), lambda: WALL)
    await store.open()
    sidecar = Sidecar(store.log)
    sidecar.begin()
    for _ in range(20):
        sidecar.live(5.0, *alive("n1", "n2", "n3"))
        assert await store.keep(())
        records, losses = await asyncio.to_thread(read, path)
        assert losses == Losses()
        assert max(each.at for each in records if isinstance(each, Judged)) >= sidecar.at - 1.0
    assert store.errors == 0
    await store.close()


@contextmanager
def unprivileged() -> Iterator[None]:
    """Root may write anywhere, so that it has to be somebody else."""
    if os.geteuid():
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


def test_a_store_is_read_where_nothing_can_be_written(path: Path) -> None:
    _, blocks = a_day(10.0)
    stored(path, blocks)
    with TemporaryDirectory() as name:
        place = Path(name) / "state.db"
        shutil.copy(path, place)
        place.chmod(0o444)
        place.parent.chmod(0o555)
        with unprivileged():
            assert len(read(place)[0]) == sum(block.count for block in blocks)
            assert newest(place) == WALL + 10.0
        assert [each.name for each in place.parent.iterdir()] == ["state.db"]
        place.parent.chmod(0o755)


def test_a_store_that_one_may_not_read_is_one_clear_error() -> None:
    with TemporaryDirectory() as name:
        place = Path(name) / "state.db"
        place.touch()
        place.chmod(0)
        place.parent.chmod(0o755)
        with unprivileged(), pytest.raises(StoreError, match="unable to open database file"):
            read(place)


def test_a_damaged_block_costs_no_more_than_the_time_to_the_next_seed(path: Path) -> None:
    _, blocks = a_day(700.0)
    stored(path, blocks)
    with closing(sqlite3.connect(path)) as connection:
        rows = [row for (row,) in connection.execute("SELECT row FROM evidence WHERE NOT seed ORDER BY row")]
        for number, garbage in zip(
            rows[10:60:10],
            [
                b"",
                b"garbage",
                zlib.compress(b"garbage"),
                zlib.compress(b"\x91\x92\xa5began"),
                zlib.compress(b"x")[:-1],
            ],
            strict=True,
        ):
            connection.execute("UPDATE evidence SET records = ? WHERE row = ?", (garbage, number))
        connection.execute("UPDATE evidence SET records = 'text' WHERE row = ?", (rows[60],))
        connection.commit()
    records, losses = read(path)
    assert [each.at for each in records if isinstance(each, Began)] == [0.0, 300.0]
    assert losses.damaged == 6
    assert sum(isinstance(each, Judged) for each in records) > 800


def test_a_block_that_unpacks_to_gigabytes_is_damaged(path: Path) -> None:
    _, blocks = a_day(3.0)
    bomb = zlib.compressobj()
    packed = b"".join(bomb.compress(bytes(1 << 20)) for _ in range(100)) + bomb.flush()
    stored(path, blocks)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("UPDATE evidence SET records = ? WHERE NOT seed", (packed,))
        connection.commit()
    assert read(path)[1].damaged == len(blocks) - 1


def test_deeply_nested_garbage_is_damaged_and_no_traceback(path: Path) -> None:
    _, blocks = a_day(3.0)
    nested = b"\x91" * 100_000
    records, losses = read(stored(path, [msgspec.structs.replace(each, records=nested) for each in blocks]))
    assert (records, losses.damaged) == ([], len(blocks))


@pytest.mark.parametrize("content", [b"", b"garbage", b"garbage" * 1000, b"SQLite format 3\0" + bytes(5000)])
def test_what_is_no_store_is_one_clear_error(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    with pytest.raises(StoreError, match=r"state\.db: "):
        read(path)
    assert path.read_bytes() == content


def test_another_programs_database_is_one_clear_error(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE evidence (row, run)")
    with pytest.raises(StoreError, match="expected a database of raft-exporter, got another program's"):
        read(path)
    with pytest.raises(StoreError, match="another program's"):
        newest(path)


def test_no_store_is_one_clear_error_and_makes_none(path: Path) -> None:
    with pytest.raises(StoreError, match="expected the file of a store, got none"):
        read(path)
    with pytest.raises(StoreError, match="got none"):
        read(path.parent)
    assert not path.exists()


@pytest.mark.parametrize("seed", range(20))
def test_flipped_bytes_in_a_store_are_an_error_or_a_loss_and_never_a_traceback(path: Path, seed: int) -> None:
    _, blocks = a_day(60.0)
    data = bytearray(stored(path, blocks).read_bytes())
    rng = random.Random(seed)
    for _ in range(rng.choice([1, 10, 100])):
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    path.write_bytes(data)
    try:
        records, _ = read(path)
    except StoreError:
        return
    assert len(records) <= sum(block.count for block in blocks)


# --- files ---


@pytest.mark.parametrize("name", ["evidence.jsonl", "evidence.jsonl.gz"])
def test_a_file_gives_the_same_records_as_the_store(path: Path, tmp_path: Path, name: str) -> None:
    sidecar, blocks = a_day(20.0)
    sidecar.tell(ProbeResult("n2", ProbeKind.RAFT, Outcome.OK, round_trip=0.1 + 0.2, host_age=1e-9))
    sidecar.recorder.flush()
    records, _ = read(stored(path, blocks))
    assert write_file(tmp_path / name, records) == len(records)
    assert list(read_file(tmp_path / name)) == records


def test_a_file_is_readable_and_packed_if_it_is_named_so(tmp_path: Path) -> None:
    record = Judged(1.5, WALL)
    write_file(tmp_path / "a", [record])
    write_file(tmp_path / "a.gz", [record])
    text = b'{"format":"raft-exporter evidence","version":1}\n["judged",1.5,1700000000.0]\n'
    assert (tmp_path / "a").read_bytes() == text
    assert gzip.decompress((tmp_path / "a.gz").read_bytes()) == text


def test_a_file_that_is_there_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "a").touch()
    with pytest.raises(StoreError, match="a: File exists"):
        write_file(tmp_path / "a", [])


def test_an_error_while_exporting_names_the_store_and_not_the_file(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"^[^ ]*/no\.db: expected the file of a store, got none$"):
        write_file(tmp_path / "a", read_store(tmp_path / "no.db", Losses()))


HEADER = b'{"format":"raft-exporter evidence","version":1}\n'
PACKED = gzip.compress(HEADER + b'["judged",1.5,1.0]\n' * 1000)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "expected a file of evidence written by raft-exporter, got another"),
        (b"garbage\n", "got another"),
        (b"\0" * 100_000, "got another"),
        (HEADER.replace(b"1}", b"2}"), "got another"),
        (gzip.compress(b"garbage"), "got another"),
        (HEADER + b"garbage\n", "line 2: expected a record of evidence"),
        (HEADER + b'["judged",1.5,1.0]\n["judged",1.5,1.0', "line 3: expected a whole line"),
        (HEADER + b'["judged",null,1.0]\n', "line 2: .*Expected `float`, got `null`"),
        (HEADER + b'["judged",1e999,1.0]\n', "line 2: "),
        (HEADER + b'["judged",-1,1.0]\n', "line 2: "),
        (HEADER + b'["judged",1' + b"0" * 5000 + b",1.0]\n", "line 2: "),
        (HEADER + b'["judged",1.5,1e300]\n', "line 2: "),
        (HEADER + b'["no such",1.5]\n', "line 2: .*Invalid value 'no such'"),
        (HEADER + b'["took",1.5,{"type":"HeartbeatFailed","peer":"\xff"}]\n', "line 2: "),
        (HEADER + b"[" * 100_000 + b"\n", "line 2: "),
        (HEADER + b"x" * (17 << 20) + b"\n", "line 2: expected a whole line, got the end or too much"),
        (PACKED[:-20], r"line \d+: expected a whole gzip file"),
        (PACKED[:30] + b"\xff\xff" + PACKED[32:], r"line \d+: expected a whole gzip file"),
        (PACKED[:-8] + bytes(8), r"line \d+: expected a whole gzip file"),
        (PACKED[:5], r"line \d+: expected a whole gzip file"),
    ],
)
def test_a_bad_file_is_one_clear_error(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "a").write_bytes(content)
    with pytest.raises(StoreError, match=r"^[^\n]*/a: [^\n]*" + message) as caught:
        list(read_file(tmp_path / "a"))
    assert "\n" not in str(caught.value)


def test_a_file_that_is_none_is_one_clear_error(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="no: No such file or directory"):
        list(read_file(tmp_path / "no"))
    with pytest.raises(StoreError, match="Is a directory"):
        list(read_file(tmp_path))


def test_what_was_adopted_comes_back_as_the_call_that_it_was(path: Path) -> None:
    blocks: list[Block] = []
    sidecar = Sidecar(blocks.append, static=[N1], h=2.0)
    sidecar.adopt([N1, N2], Multiples(gone_after=7.0))
    sidecar.recorder.flush()
    records, _ = read(stored(path, blocks))
    assert records[1:] == [Adopted(0.0, 2.0, Multiples(gone_after=7.0), (N1, N2))]


def test_a_log_that_begins_in_the_middle_begins_with_a_seed(path: Path) -> None:
    sidecar, _ = a_day()
    blocks: list[Block] = []
    sidecar.recorder = Recorder(blocks.append, lambda: sidecar.wall)
    sidecar.recorder.moved_in(sidecar.table, (), sidecar.at)
    sidecar.live(3.0, *alive("n1", "n2", "n3"))
    sidecar.recorder.flush()
    records, losses = read(stored(path, blocks))
    assert losses == Losses()
    assert isinstance(records[0], Began)
    assert records[0].at == 20.0
    assert told(records)[:2] == [NodeIdentity("n1", N1.address), Configuration((N1, N2, N3), 1)]
    assert sum(isinstance(each, Judged) for each in records) == 6
