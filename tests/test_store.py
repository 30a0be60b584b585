# ruff: noqa: ASYNC220, ASYNC221, ASYNC240 - a test may block its own loop

from __future__ import annotations

import logging
import random
import resource
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing
from pathlib import Path

import pytest

from raft_exporter import store as store_module
from raft_exporter.database import Batch, Block, Database, Limits, Stored
from raft_exporter.database_file import APPLICATION_ID, SCHEMA_VERSION
from raft_exporter.errors import StoreError
from raft_exporter.journal import Entry, EntryKind
from raft_exporter.model.evidence import Server
from raft_exporter.model.judge import Reason, State
from raft_exporter.model.memory import Memory, RememberedMember
from raft_exporter.model.override import Override
from raft_exporter.store import Store
from tests.waiting import until

NOW = 1_700_000_000.0
LIMITS = Limits()


def override(
    peer: str = "n2", state: str = "offline", set_at: float = NOW, reason: str = "disk swap"
) -> Override:
    return Override(
        set_at=set_at, node="n1", state=state, expires_at=NOW + 7200, author="ann", reason=reason, peer=peer
    )


def entry(number: int, at: float = NOW, kind: EntryKind = EntryKind.STATE) -> Entry:
    return Entry(
        id=number,
        at=at,
        kind=kind,
        peer="n2",
        before=State.ONLINE,
        after=State.OFFLINE,
        reason=Reason.REFUSED,
        before_for=12.5,
        evidence={"refusals": 2, "path_proven": True, "armed_at": 31.25},
    )


def memory(*peers: str, node: str | None = "n1") -> Memory:
    return Memory(
        node=node,
        members=tuple(
            RememberedMember(Server(peer, f"10.0.0.1:{7000 + index}"), State.ONLINE, Reason.FRESH, 4.5, 0.25)
            for index, peer in enumerate(peers)
        ),
    )


def block(seq: int, wall: float = NOW, count: int = 1, size: int = 100) -> Block:
    return Block(
        run=1, seq=seq, seed=False, wall=wall, count=count, records=random.Random(seq).randbytes(size)
    )


@asynccontextmanager
async def opened(
    path: Path,
    limits: Limits = LIMITS,
    retry: float = 3600.0,
    found: Callable[[Stored], None] | None = None,
) -> AsyncIterator[tuple[Store, Stored]]:
    store = Store(path, limits, lambda: NOW, retry=retry, found=found)
    stored = await store.open()
    try:
        yield store, stored
    finally:
        await store.close()


async def stored_in(path: Path) -> Stored:
    async with opened(path) as (_, stored):
        return stored


def rows(path: Path, query: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(query).fetchall()


def change(path: Path, *statements: str) -> None:
    with closing(sqlite3.connect(path)) as connection:
        for statement in statements:
            connection.execute(statement)
        connection.commit()


def aside(path: Path) -> list[str]:
    return sorted(each.name for each in path.parent.iterdir() if "-17" in each.name)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state.db"


async def filled(path: Path) -> None:
    async with opened(path) as (store, _):
        store.save(memory("n1", "n2"), NOW - 5)
        store.append([entry(1), entry(2)])
        assert await store.keep([override("n2"), override("n3", "")])


async def test_what_was_told_comes_back_after_a_restart(path: Path) -> None:
    await filled(path)
    assert await stored_in(path) == Stored(
        memory=memory("n1", "n2"),
        memory_at=NOW - 5,
        overrides=(override("n2"), override("n3", "")),
        journal=(entry(1), entry(2)),
    )


async def test_a_new_database_holds_nothing_and_is_for_its_owner_alone(path: Path) -> None:
    async with opened(path) as (store, stored):
        assert stored == Stored()
        assert store.ok
        assert store.errors == 0
        assert path.stat().st_mode & 0o007 == 0
    assert aside(path) == []


async def test_truth_values_in_the_evidence_of_an_entry_stay_truth_values(path: Path) -> None:
    await filled(path)
    assert (await stored_in(path)).journal[0].evidence["path_proven"] is True


async def test_an_operator_can_read_the_file(path: Path) -> None:
    await filled(path)
    assert rows(path, "SELECT peer, state, value ->> 'reason' FROM overrides ORDER BY peer")[0] == (
        "n2",
        "offline",
        "disk swap",
    )
    assert rows(path, "SELECT id, kind, value ->> 'after' FROM journal") == [
        (1, "state", "offline"),
        (2, "state", "offline"),
    ]
    assert rows(path, "SELECT peer, state FROM members") == [("n1", "online"), ("n2", "online")]
    assert rows(path, "PRAGMA application_id") == [(APPLICATION_ID,)]


async def test_only_the_latest_memory_and_overrides_are_kept(path: Path) -> None:
    async with opened(path) as (store, _):
        for at in range(50):
            store.save(memory("n1", f"n{at}"), NOW + at)
            store.keep([override(f"n{at}")])
    stored = await stored_in(path)
    assert stored.memory == memory("n1", "n49")
    assert stored.overrides == (override("n49"),)


async def test_a_memory_of_a_node_that_never_learned_its_id_comes_back(path: Path) -> None:
    async with opened(path) as (store, _):
        store.save(memory("n2", node=None), NOW)
    assert (await stored_in(path)).memory == memory("n2", node=None)


async def test_the_journal_is_given_oldest_first_and_only_the_latest_of_it(path: Path) -> None:
    async with opened(path) as (store, _):
        store.append([entry(number) for number in range(1, 11)])
    store = Store(path, Limits(), lambda: NOW, journal=3)
    assert [each.id for each in (await store.open()).journal] == [8, 9, 10]
    await store.close()


def test_rows_are_bounded_in_number_and_age(path: Path) -> None:
    database = Database(path)
    limits = Limits(journal_rows=20, journal_age=100, evidence_rows=50, evidence_age=1000)
    for number in range(1, 300):
        database.write(
            Batch(entries=(entry(number, NOW + number),), blocks=(block(number, NOW + number, 5),)),
            limits,
            NOW + number,
        )
    assert len(rows(path, "SELECT * FROM journal")) <= 20 + 64
    assert len(rows(path, "SELECT * FROM evidence")) <= 50 / 5 + 64
    database.write(Batch(), limits, NOW + 10_000)
    for _ in range(64):
        database.write(Batch(), limits, NOW + 10_000)
    assert rows(path, "SELECT * FROM journal UNION ALL SELECT * FROM evidence") == []
    database.close()


def test_the_bound_of_the_evidence_counts_its_records(path: Path) -> None:
    database = Database(path)
    limits = Limits(evidence_rows=50)
    for number in range(129):  # the last write prunes
        database.write(Batch(blocks=(block(number, count=5),)), limits, NOW)
    assert [seq for (seq,) in rows(path, "SELECT seq FROM evidence")] == list(range(119, 129))
    database.close()


def test_the_file_ceases_to_grow_and_shrinks_with_its_bounds(path: Path) -> None:
    database = Database(path)

    def write(count: int, evidence_rows: int) -> int:
        for _ in range(count):
            batch = Batch(blocks=tuple(block(seq, size=1000) for seq in range(10)))
            database.write(batch, Limits(evidence_rows=evidence_rows), NOW)
        database._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        return path.stat().st_size

    once = write(1000, 5000)
    assert once > 5_000_000
    assert write(500, 5000) <= once * 1.3
    assert write(700, 500) < once / 2
    database.close()


async def test_a_row_that_cannot_be_read_is_skipped_and_counted(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    await filled(path)
    change(
        path,
        "UPDATE journal SET value = '{\"id\":1' WHERE id = 1",
        "UPDATE overrides SET value = x'ff00' WHERE peer = 'n3'",
        "INSERT INTO members VALUES ('n9', 'online', '{\"state\":\"no such\"}')",
        "INSERT INTO members VALUES ('n8', 'online', 17)",
        "INSERT INTO overrides SELECT 'n8', 'broken', expires_at, replace(value, 'offline', 'broken') "
        "FROM overrides WHERE peer = 'n2'",
    )
    async with opened(path) as (store, stored):
        assert stored.journal == (entry(2),)
        assert stored.overrides == (override("n2"),)
        assert stored.memory == memory("n1", "n2")
        assert stored.skipped == 5
        assert store.errors == 1
        assert store.ok
    assert "unreadable rows skipped" in caplog.text


# --- files that are of no use ---


async def replaced(path: Path, word: str, caplog: pytest.LogCaptureFixture) -> None:
    """The file was set aside, and a new one works."""
    before = path.read_bytes()
    async with opened(path) as (store, stored):
        assert stored == Stored()
        assert store.ok
        assert store.errors == 1
        assert await store.keep([override()])
    assert aside(path) == [f"state.db.{word}-1700000000"]
    assert path.with_name(f"state.db.{word}-1700000000").read_bytes() == before
    assert "database set aside" in caplog.text
    assert (await stored_in(path)).overrides == (override(),)


@pytest.mark.parametrize(
    "garbage", [b"x", b"not a database " * 500, bytes(8192), b"SQLite format 3\0" + b"\xff" * 4080]
)
async def test_garbage_is_set_aside(path: Path, garbage: bytes, caplog: pytest.LogCaptureFixture) -> None:
    path.write_bytes(garbage)
    await replaced(path, "damaged", caplog)


async def test_an_empty_file_is_taken_for_a_new_one(path: Path) -> None:
    path.touch()
    async with opened(path) as (store, _):
        assert await store.keep([override()])
        assert store.errors == 0
    assert aside(path) == []


async def test_a_database_of_another_program_is_set_aside_untouched(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    change(path, "CREATE TABLE accounts (name TEXT)", "INSERT INTO accounts VALUES ('ann')")
    await replaced(path, "foreign", caplog)
    assert rows(path.with_name(aside(path)[0]), "SELECT name FROM accounts") == [("ann",)]


async def test_a_database_of_another_application_id_is_set_aside(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    change(path, "PRAGMA application_id = 4711")
    await replaced(path, "foreign", caplog)


async def test_a_database_of_a_later_version_is_set_aside(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    await filled(path)
    change(path, f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    await replaced(path, "foreign", caplog)
    assert "later raft-exporter" in str(caplog.records[0].__dict__["fields"])


@pytest.mark.parametrize(
    "statement", ["DROP TABLE journal", "PRAGMA user_version = 0", "ALTER TABLE journal DROP COLUMN value"]
)
async def test_a_database_without_our_tables_is_set_aside(
    path: Path, statement: str, caplog: pytest.LogCaptureFixture
) -> None:
    await filled(path)
    change(path, statement)
    await replaced(path, "damaged", caplog)


async def test_a_truncated_database_is_set_aside(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    await filled(path)
    path.write_bytes(path.read_bytes()[: -2 * 4096])
    await replaced(path, "damaged", caplog)


@pytest.mark.parametrize("seed", range(30))
async def test_flipped_bytes_anywhere_never_stop_the_store(path: Path, seed: int) -> None:
    await filled(path)
    rng = random.Random(seed)
    data = bytearray(path.read_bytes())
    for _ in range(rng.choice([1, 8, 64, 512])):
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    path.write_bytes(data)
    async with opened(path) as (store, _):
        assert await store.keep([override("n4")])
        store.append([entry(3)])
    stored = await stored_in(path)
    assert stored.overrides == (override("n4"),)
    assert stored.journal[-1] == entry(3)


async def test_damage_that_shows_only_when_writing_has_the_file_replaced(path: Path) -> None:
    await filled(path)
    async with opened(path) as (store, _):
        assert store._database is not None
        change(path, "DROP TABLE journal")
        store.append([entry(3)])
        assert await store.keep([override("n5")])
        assert store.ok
        assert store.errors == 1
    stored = await stored_in(path)
    assert (stored.journal, stored.overrides) == ((entry(3),), (override("n5"),))
    assert len(aside(path)) == 1


async def test_too_many_files_are_not_set_aside(path: Path) -> None:
    for number in range(8):
        path.with_name(f"state.db.damaged-{1_700_000_000 - number}").touch()
    path.write_bytes(b"garbage" * 100)
    async with opened(path) as (store, _):
        assert not store.ok
        assert not await store.keep([override()])
    assert len(aside(path)) <= 8
    assert path.read_bytes() == b"garbage" * 100


# --- places and disks that are of no use ---


async def test_without_a_directory_it_goes_on_and_stores_once_there_is_one(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    path = tmp_path / "later" / "state.db"
    async with opened(path, retry=0.01) as (store, stored):
        assert stored == Stored()
        store.save(memory("n1"), NOW)
        store.append([entry(1)])
        assert not await store.keep([override()])
        await until(lambda: store.errors > 3)
        assert not store.ok
        assert caplog.text.count("nothing is stored at present") == 1
        path.parent.mkdir()
        await until(lambda: store.ok)
        assert "storing again" in caplog.text
    stored = await stored_in(path)
    assert (stored.memory, stored.overrides, stored.journal) == (memory("n1"), (override(),), (entry(1),))


@pytest.mark.parametrize("kind", ["below a file", "directory", "device", "fifo", "/proc"])
async def test_a_path_that_can_hold_no_file_is_an_error_counted(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "state.db"
    match kind:
        case "below a file":
            path.touch()
            path = path / "state.db"
        case "directory":
            path.mkdir()
        case "device":
            path.symlink_to("/dev/null")
        case "fifo":
            subprocess.run(["mkfifo", path], check=True)
        case _:
            path = Path("/proc/self/state.db")
    async with opened(path) as (store, stored):
        assert stored == Stored()
        assert not await store.keep([override()])
        assert not store.ok
        assert store.errors == 2


async def test_a_full_disk_is_an_error_and_nothing_is_lost_once_there_is_room(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with opened(path, retry=0.01) as (store, _):
        assert await store.keep([override("n2")])
        assert store._database is not None
        # In the thread that owns the connection, before its next write.
        write = store._database.write
        store._database.write = lambda *args: limit(store, write, *args)  # type: ignore[method-assign]
        store.append([entry(number) for number in range(1, 500)])
        assert not await store.keep([override("n3")])
        await until(lambda: store.ok)  # a new connection knows of no limit
    assert "full" in str([record.__dict__.get("fields") for record in caplog.records])
    stored = await stored_in(path)
    assert stored.overrides == (override("n3"),)
    assert [each.id for each in stored.journal] == list(range(1, 500))


def limit(store: Store, write: Callable[..., None], *args: object) -> None:
    assert store._database is not None
    (pages,) = store._database._connection.execute("PRAGMA page_count").fetchone()
    store._database._connection.execute(f"PRAGMA max_page_count={pages}").fetchone()
    write(*args)


_NO_ROOM = """
import asyncio, resource, sys
from pathlib import Path
from raft_exporter.store import Store, Limits
from tests.test_store import entry, override

async def main():
    resource.setrlimit(resource.RLIMIT_FSIZE, (65536, resource.RLIM_INFINITY))
    store = Store(Path(sys.argv[1]), Limits(), lambda: 1.7e9, retry=0.01)
    await store.open()
    number, kept = 0, True
    while kept and number < 5000:
        number += 1
        store.append([entry(number)])
        kept = await store.keep([override(reason=str(number))])
    assert not kept and not store.ok and store.errors
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    assert await store.keep([override(reason="room")]), store.errors
    await store.close()
    print(number)

asyncio.run(main())
"""


async def test_a_kernel_that_gives_no_more_room_is_an_error_and_nothing_is_lost(path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _NO_ROOM, path], check=False, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    stored = await stored_in(path)
    assert [each.id for each in stored.journal] == list(
        range(max(1, int(done.stdout) - 1999), int(done.stdout) + 1)
    )
    assert stored.overrides[0].reason == "room"
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] == resource.RLIM_INFINITY


async def test_a_database_that_is_deleted_while_in_use_is_made_anew_with_all_that_stands(path: Path) -> None:
    async with opened(path) as (store, _):
        store.save(memory("n1"), NOW)
        assert await store.keep([override()])
        for each in path.parent.iterdir():
            each.unlink()
        store.append([entry(1)])
        assert await until_written(store, path)
        assert store.ok
        assert store.errors == 1
    stored = await stored_in(path)
    assert (stored.memory, stored.overrides, stored.journal) == (memory("n1"), (override(),), (entry(1),))


async def until_written(store: Store, path: Path) -> bool:
    await until(lambda: path.exists() and rows(path, "SELECT count(*) FROM sqlite_schema") > [(0,)])
    await until(lambda: rows(path, "SELECT id FROM journal"))
    return True


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("raft_exporter.database.BUSY", 0.01)


@pytest.mark.usefixtures("impatient")
async def test_a_lock_of_somebody_else_is_an_error_and_never_a_hang(path: Path) -> None:
    async with opened(path, retry=0.01) as (store, _):
        with closing(sqlite3.connect(path)) as other:
            other.execute("BEGIN IMMEDIATE")
            assert not await store.keep([override()])
            assert not store.ok
            other.rollback()
            await until(lambda: store.ok)
    assert (await stored_in(path)).overrides == (override(),)
    assert aside(path) == []


@pytest.mark.usefixtures("impatient")
async def test_what_a_locked_database_holds_is_found_later_and_loses_no_override(path: Path) -> None:
    await filled(path)
    late: list[Stored] = []
    with closing(sqlite3.connect(path)) as other:
        other.execute("PRAGMA journal_mode=DELETE")
        other.execute("BEGIN EXCLUSIVE")
        async with opened(path, retry=0.01, found=late.append) as (store, stored):
            assert stored == Stored()
            assert not await store.keep([override("n7")])
            other.rollback()
            await until(lambda: store.ok and late)
            assert late[0].overrides == (override("n2"), override("n3", ""))
    assert {each.peer for each in (await stored_in(path)).overrides} == {"n2", "n3", "n7"}
    assert aside(path) == []


async def test_two_sidecars_on_one_file_lose_no_entry(path: Path) -> None:
    async with opened(path, retry=0.01) as (one, _), opened(path, retry=0.01) as (two, _):
        for number in range(1, 101):
            one.append([entry(number)])
            two.append([entry(number)])
            if number % 10 == 0:
                one.keep([override()])
                await two.keep([override()])
    stored = await stored_in(path)
    assert sorted(each.id for each in stored.journal) == sorted([*range(1, 101), *range(1, 101)])
    assert aside(path) == []


async def test_a_disk_that_hangs_holds_up_nobody(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    await filled(path)
    hangs = threading.Event()
    late: list[Stored] = []
    monkeypatch.setattr(store_module, "_PATIENCE", 0.01)

    def slow(path: Path) -> Database:
        hangs.wait()
        return Database(path)

    monkeypatch.setattr(store_module, "Database", slow)
    store = Store(path, Limits(), lambda: NOW, found=late.append)
    try:
        assert await store.open() == Stored()
        assert not await store.keep([override("n7")])
        await store.close()
    finally:
        hangs.set()
    await until(lambda: late)
    assert not await store.keep([override("n8")])


async def test_what_no_file_can_hold_is_dropped_and_the_rest_goes_on(path: Path) -> None:
    async with opened(path) as (store, _):
        assert not await store.keep([override("\ud800")])
        assert not await store.keep([override(state="x" * 10, set_at=float("nan"), reason="\udfff")])
        assert await store.keep([override("n2")])
        assert store.ok
        assert store.errors == 2
    assert (await stored_in(path)).overrides == (override("n2"),)
    assert aside(path) == []


async def test_a_number_that_sqlite_cannot_hold_does_not_cost_the_file(path: Path) -> None:
    async with opened(path) as (store, _):
        store.append([entry(2**70)])
        store.append([entry(1, at=float("nan"))])
        await until(lambda: store.errors)
        assert await store.keep([override("n2")])
    assert aside(path) == []


async def test_what_waits_is_bounded(tmp_path: Path) -> None:
    async with opened(tmp_path / "no" / "state.db") as (store, _):
        store.append([entry(number) for number in range(6000)])
        assert not await store.keep([override()])
        for number in range(200):
            store.log(block(number))
        await until(lambda: store._waiting.overrides)
        assert len(store._waiting.entries) == 5000
        assert store._waiting.entries[-1].id == 5999
        assert len(store._waiting.blocks) == 64


async def test_a_fault_of_our_own_costs_what_was_to_be_written_and_no_more(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with opened(path) as (store, _):
        assert store._database is not None
        store._database.write = None  # type: ignore[assignment, method-assign]
        assert not await store.keep([override("n2")])
        assert await store.keep([override("n3")])
        assert store.errors == 1
    assert "the store failed" in caplog.text
    assert (await stored_in(path)).overrides == (override("n3"),)


async def test_a_crash_while_the_file_is_made_leaves_one_that_is_taken_for_new(path: Path) -> None:
    change(path, "PRAGMA auto_vacuum = INCREMENTAL", "PRAGMA journal_mode = WAL", "VACUUM")
    assert path.stat().st_size
    async with opened(path) as (store, _):
        assert await store.keep([override()])
        assert store.errors == 0


async def test_a_power_cut_anywhere_leaves_a_beginning_of_what_was_written(
    path: Path, tmp_path: Path
) -> None:
    wal, rng = path.with_name("state.db-wal"), random.Random(1)
    async with opened(path) as (store, _):
        for number in range(1, 30):
            store.append([entry(number)])
            assert await store.keep([override(reason=str(number))])
        whole, log = path.read_bytes(), wal.read_bytes()
    for length in sorted(rng.randrange(len(log) + 1) for _ in range(40)):
        place = tmp_path / f"cut-{length}" / "state.db"
        place.parent.mkdir()
        place.write_bytes(whole)
        place.with_name("state.db-wal").write_bytes(log[:length])
        async with opened(place) as (store, stored):
            assert store.errors == 0
        assert [each.id for each in stored.journal] == list(range(1, len(stored.journal) + 1))
        assert [each.reason for each in stored.overrides] == [str(len(stored.journal))] * bool(stored.journal)
        assert aside(place) == []


async def test_a_database_too_large_to_be_checked_soon_is_used_unchecked(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with opened(path) as (store, _):
        store.append([entry(number) for number in range(1, 4000)])
    monkeypatch.setattr("raft_exporter.database_file._CHECK", -1.0)
    async with opened(path) as (store, stored):
        assert (store.errors, stored.journal[-1].id) == (0, 3999)


async def test_closing_a_store_that_was_never_opened_does_nothing(path: Path) -> None:
    store = Store(path, Limits(), lambda: NOW)
    store.append([entry(1)])
    await store.close()
    assert not path.exists()


# --- kill -9 ---

_WRITER = """
import asyncio, sys
from pathlib import Path
from raft_exporter.store import Block, Limits, Store
from tests.test_store import entry, memory, override

async def main():
    store = Store(Path(sys.argv[1]), Limits(), lambda: 1.7e9)
    stored = await store.open()
    assert store.ok and not store.errors, store.errors
    number = stored.journal[-1].id if stored.journal else 0
    while True:
        number += 1
        store.append([entry(number)])
        store.save(memory("n1", f"n{number}"), float(number))
        store.log(Block(1, number, False, 1.7e9, 1, b"x" * 3000))
        if await store.keep([override(reason=str(number))]):
            print(number, flush=True)

asyncio.run(main())
"""


async def test_kill_9_at_any_moment_loses_no_override_and_no_entry(path: Path) -> None:
    rng = random.Random(9)
    last = 0
    for _ in range(20):
        writer = subprocess.Popen([sys.executable, "-c", _WRITER, path], stdout=subprocess.PIPE, text=True)
        assert writer.stdout is not None
        for _ in range(rng.randrange(1, 120)):
            last = int(writer.stdout.readline())
        writer.send_signal(signal.SIGKILL)
        last = int(([str(last), *writer.stdout.read().split()])[-1])
        writer.stdout.close()
        writer.wait()
        stored = await stored_in(path)
        assert stored.skipped == 0
        assert int(stored.overrides[0].reason) in {last, last + 1}
        ids = [each.id for each in stored.journal]
        assert ids == list(range(ids[0], ids[-1] + 1))
        assert ids[-1] in {last, last + 1}
        assert stored.memory is not None
        assert stored.memory_at >= last - 1
    assert aside(path) == []
    assert rows(path, "PRAGMA integrity_check") == [("ok",)]


def test_an_error_names_the_file_and_says_what_was_wrong(path: Path) -> None:
    path.mkdir()
    with pytest.raises(StoreError, match=r"state\.db: expected a file or nothing yet, got something else"):
        Database(path)
