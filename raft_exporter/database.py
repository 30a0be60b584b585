"""The database: one SQLite file, opened, checked, read and written by one thread.

Values stand as JSON text beside the keys that one looks up, so that ``sqlite3 FILE`` is readable. Every
function raises StoreError, whose ``fault`` says what is wrong with the file, and nothing else.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import zlib
from collections import deque
from pathlib import Path
from typing import Final, TypeVar

import msgspec
from msgspec import Struct

from raft_exporter.database_file import BUSY, check, create, identify, inode, regular, told, transaction
from raft_exporter.errors import StoreError
from raft_exporter.journal import Entry
from raft_exporter.model.memory import Memory, RememberedMember
from raft_exporter.model.override import FORCED, Override

_ENTRIES: Final = 5000
"""Journal entries that wait for a database that does not work; the oldest go first."""

_BLOCKS: Final = 64
"""The same for blocks of evidence."""

_PRUNE_EACH: Final = 64
"""Writes from one pruning to the next."""

_FREE_PAGES: Final = 1000
"""Unused pages of 4 KiB that are kept for the next rows; beyond a quarter of the file they are given back."""

_T = TypeVar("_T")


class Limits(Struct, frozen=True):
    """Bounds of what grows: rows (of the evidence: records) and ages in seconds."""

    journal_rows: int = 10_000
    journal_age: float = 30 * 86400.0
    evidence_rows: int = 500_000
    evidence_age: float = 86400.0


class Block(Struct, frozen=True):
    """Consecutive records of the evidence log as one row; see ``evidence_log``.

    ``run`` names one life of a sidecar, ``seq`` counts its blocks without a gap, a ``seed`` apart: that has
    the number of the block after it, before which a replay may begin with it. ``wall`` is Unix time.
    """

    run: int
    seq: int
    seed: bool
    wall: float
    count: int
    records: bytes


class Saved(Struct, frozen=True):
    """The table's memory, and the Unix time at which it was that."""

    memory: Memory
    at: float


class Batch(Struct, frozen=True):
    """What is written in one transaction; None: leave what stands there."""

    memory: Saved | None = None
    overrides: tuple[Override, ...] | None = None
    entries: tuple[Entry, ...] = ()
    blocks: tuple[Block, ...] = ()


class Backlog:
    """What is to be written, so far as it can be kept: of the journal and the evidence the latest."""

    def __init__(self) -> None:
        self.memory: Saved | None = None
        self.overrides: tuple[Override, ...] | None = None
        self.entries: deque[Entry] = deque(maxlen=_ENTRIES)
        self.blocks: deque[Block] = deque(maxlen=_BLOCKS)

    def any(self) -> bool:
        """Whether there is anything to write."""
        return bool(self.memory or self.overrides is not None or self.entries or self.blocks)

    def take(self) -> Batch:
        """Give all of it, and keep nothing."""
        batch = Batch(self.memory, self.overrides, tuple(self.entries), tuple(self.blocks))
        self.memory = self.overrides = None
        self.entries.clear()
        self.blocks.clear()
        return batch

    def give_back(self, batch: Batch) -> None:
        """Take what could not be written, unless there is newer."""
        self.memory = self.memory or batch.memory
        self.overrides = batch.overrides if self.overrides is None else self.overrides
        self.entries = deque((*batch.entries, *self.entries), maxlen=_ENTRIES)
        self.blocks = deque((*batch.blocks, *self.blocks), maxlen=_BLOCKS)


class Stored(Struct, frozen=True):
    """What a database held: the journal oldest first; ``skipped`` rows could not be read."""

    memory: Memory | None = None
    memory_at: float = 0.0
    overrides: tuple[Override, ...] = ()
    journal: tuple[Entry, ...] = ()
    skipped: int = 0


class Database:
    """One open file that is ours, of the present schema and passed as undamaged."""

    def __init__(self, path: Path) -> None:
        """Open ``path``, or make it; StoreError when it can't be used."""
        self._path = path
        self._writes = 0
        with told(path):
            regular(path)
            # Reasons and authors are nobody's business: SQLite would take 0644.
            with contextlib.suppress(FileExistsError):
                os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o640))
            self._connection = sqlite3.connect(path, timeout=BUSY, isolation_level=None)
            try:
                self._connection.text_factory = bytes
                self.fresh = identify(self._connection)
                self._connection.execute("PRAGMA auto_vacuum=INCREMENTAL")
                self._connection.execute("PRAGMA journal_mode=WAL")
                if self.fresh:
                    create(self._connection)
                else:
                    check(self._connection)
                self._inode = inode(path)
            except BaseException:
                self._connection.close()
                raise

    def load(self, journal: int) -> Stored:
        """Give what is stored, of the journal the latest entries; what can't be read is skipped."""
        with told(self._path):
            read = _Rows(self._connection)
            at, node = next(iter(self._connection.execute("SELECT at, node FROM memory")), (0.0, None))
            members = read.all(RememberedMember, "SELECT value FROM members ORDER BY rowid")
            memory = None
            if members and isinstance(at, float):
                memory = Memory(
                    node=node.decode("utf-8", "replace") if node else None, members=tuple(members)
                )
            held = read.all(Override, "SELECT value FROM overrides")
            overrides = [each for each in held if each.cleared or each.state in FORCED]
            entries = read.all(Entry, "SELECT value FROM journal ORDER BY row DESC LIMIT ?", journal)
            return Stored(
                memory=memory,
                memory_at=at if memory is not None else 0.0,
                overrides=tuple(overrides),
                journal=tuple(reversed(entries)),
                skipped=read.skipped + len(held) - len(overrides),
            )

    def write(self, batch: Batch, limits: Limits, wall: float) -> None:
        """Write a batch in one transaction, and now and then remove what is over ``limits``."""
        execute = self._connection.execute
        with told(self._path):
            if inode(self._path) != self._inode:
                raise StoreError("gone", "deleted or replaced while it was in use")
            # FULL also outlives a power cut. It costs an fsync, which a Raft log on the same disk would
            # feel each second: so only for what operators and the journal say. The rest outlives a kill.
            durable = batch.overrides is not None or batch.entries
            execute(f"PRAGMA synchronous={'FULL' if durable else 'NORMAL'}")
            prune = self._writes % _PRUNE_EACH == 0
            try:
                with transaction(self._connection):
                    self._put(batch)
                    if prune:
                        self._prune(limits, wall)
            except sqlite3.IntegrityError:
                check(self._connection, closely=True)  # is it the batch, or the file?
                raise
            self._writes += 1
            self.fresh = False
            if prune:
                self._shrink()

    def close(self) -> None:
        """Fold the WAL into the file, and let go of it."""
        with contextlib.suppress(sqlite3.Error):
            self._connection.close()

    def _put(self, batch: Batch) -> None:
        execute, many = self._connection.execute, self._connection.executemany
        if batch.memory is not None:
            memory = batch.memory.memory
            execute("INSERT OR REPLACE INTO memory VALUES (1, ?, ?)", (batch.memory.at, memory.node))
            execute("DELETE FROM members")
            members = [(each.server.id, each.state, _json(each)) for each in memory.members]
            many("INSERT OR REPLACE INTO members VALUES (?, ?, ?)", members)
        if batch.overrides is not None:
            execute("DELETE FROM overrides")
            overrides = [(each.peer, each.state, each.expires_at, _json(each)) for each in batch.overrides]
            many("INSERT OR REPLACE INTO overrides VALUES (?, ?, ?, ?)", overrides)
        entries = [(each.id, each.at, each.kind, each.peer, _json(each)) for each in batch.entries]
        many("INSERT INTO journal (id, at, kind, peer, value) VALUES (?, ?, ?, ?, ?)", entries)
        blocks = [
            (each.count, each.run, each.seq, each.seed, each.wall, zlib.compress(each.records))
            for each in batch.blocks
        ]
        insert = "INSERT INTO evidence SELECT coalesce(max(row), 0) + ?, ?, ?, ?, ?, ? FROM evidence"
        many(insert, blocks)

    def _prune(self, limits: Limits, wall: float) -> None:
        for table, at, rows, age in (
            ("journal", "at", limits.journal_rows, limits.journal_age),
            ("evidence", "wall", limits.evidence_rows, limits.evidence_age),
        ):
            # Rows are in the order of time, so that the scan for the first to stay ends early.
            self._connection.execute(
                f"DELETE FROM {table} WHERE row <= (SELECT max(row) FROM {table}) - ?1 OR row < coalesce("  # noqa: S608
                f"(SELECT row FROM {table} WHERE {at} >= ?2 ORDER BY row LIMIT 1),"
                f" (SELECT max(row) + 1 FROM {table}))",
                (rows, wall - age),
            )

    def _shrink(self) -> None:
        ((free,), (pages,)) = (
            self._connection.execute(f"PRAGMA {each}").fetchone() for each in ("freelist_count", "page_count")
        )
        if free > _FREE_PAGES and free > pages / 4:
            # It gives a row a page, and execute() takes one.
            self._connection.executescript(f"PRAGMA incremental_vacuum({_FREE_PAGES})")


class _Rows:
    """Reads values, and counts those that it can't."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self.skipped = 0

    def all(self, kind: type[_T], query: str, *parameters: object) -> list[_T]:
        found = []
        for (value,) in self._connection.execute(query, parameters):
            try:
                found.append(msgspec.json.decode(value, type=kind))
            except (TypeError, ValueError):  # msgspec's errors are ValueErrors
                self.skipped += 1
        return found


def _json(value: Struct) -> str:
    return msgspec.json.encode(value).decode()
