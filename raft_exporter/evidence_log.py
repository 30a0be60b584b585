"""The evidence log: everything that the table was told, so that it can be judged again (``rehearse``).

Each record is one call of the table: those of one run, in order, make another table say exactly the same.
Records are stored in blocks, one each second. Now and then a block is a *seed*: the records that make a new
table know about what the present one knows, so that a replay can begin there when the beginning of the run
is no longer stored, or a block is missing.
"""

from __future__ import annotations

import contextlib
import gzip
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Annotated, Any, Final, TypeAlias

import msgspec
from msgspec import Meta, Struct

from raft_exporter.database import Block
from raft_exporter.database_file import identify, read_only, told
from raft_exporter.errors import StoreError
from raft_exporter.model.evidence import Evidence, NodeIdentity, Server
from raft_exporter.model.memory import Memory
from raft_exporter.model.policy import Multiples
from raft_exporter.model.table import Table

_BLOCK: Final = 1.0
"""Observed seconds in one block: what a kill costs."""

_MOST: Final = 5000
"""Records in one block, however fast they come."""

_SEED: Final = 300.0
"""Observed seconds from one seed to the next."""

_MAX_BLOCK: Final = 64 << 20
"""Bytes of one block when unpacked: no file makes us take more memory."""

_MAX_LINE: Final = 16 << 20
"""Bytes of one line of a file: a report of a thousand members is a hundredth of it."""

Time = Annotated[float, Meta(ge=0, le=1e10)]
"""Unix time in seconds."""

Observed = Annotated[float, Meta(ge=0, le=1e10)]
"""Observed time in seconds, since the start of the sidecar."""

Seconds = Annotated[float, Meta(gt=0, le=1e6)]


class Began(Struct, frozen=True, tag="began", array_like=True):
    """The table was made: ``Table(Policy.of(heartbeat_timeout, multiples), static, at)``."""

    at: Observed
    wall: Time
    heartbeat_timeout: Seconds
    multiples: Multiples
    static: tuple[Server, ...]


class Restored(Struct, frozen=True, tag="restored", array_like=True):
    """``table.restore(memory, age, at)``."""

    at: Observed
    memory: Memory
    age: float


class Took(Struct, frozen=True, tag="took", array_like=True):
    """``table.take(evidence, at)``."""

    at: Observed
    evidence: Evidence


class Judged(Struct, frozen=True, tag="judged", array_like=True):
    """``table.judge(at)``, which was at the Unix time ``wall``."""

    at: Observed
    wall: Time


class Adopted(Struct, frozen=True, tag="adopted", array_like=True):
    """``table.adopt(Policy.of(heartbeat_timeout, multiples), static, at)``."""

    at: Observed
    heartbeat_timeout: Seconds
    multiples: Multiples
    static: tuple[Server, ...]


Record: TypeAlias = Began | Restored | Took | Judged | Adopted

_HEADER: Final = b'{"format":"raft-exporter evidence","version":1}'
"""The first line of a file."""

_encode: Final = msgspec.msgpack.Encoder().encode
_decode: Final = msgspec.msgpack.Decoder(list[Record]).decode


class Recorder:
    """Records what one table is told, and gives it away in blocks.

    Call it beside each call of the table, with the same times. ``keep`` takes the blocks, ``wall`` gives Unix
    time. Whoever does not keep a block loses no more than the time to the next seed.
    """

    def __init__(self, keep: Callable[[Block], None], wall: Callable[[], float]) -> None:
        self._keep = keep
        self._wall = wall
        self._run = int(wall() * 1000)
        self._seq = 0
        self._records: list[Record] = []
        self._static: tuple[Server, ...] = ()
        self._begun_at = self._seeded_at = 0.0

    def began(self, table: Table, static: Sequence[Server]) -> None:
        """Say that the table was just made, with these static members."""
        self._static = tuple(static)
        self._begun_at = self._seeded_at = table.started_at
        self._give([self._beginning(table, table.started_at)], seed=True)

    def moved_in(self, table: Table, static: Sequence[Server], at: float) -> None:
        """Say what a table knows that was made a while ago, with these static members at present."""
        self._static = tuple(static)
        self._begun_at = self._seeded_at = at
        self._give(self._seed(table, at), seed=True)

    def adopted(self, table: Table, static: Sequence[Server], at: float) -> None:
        """Say that the table has adopted its present policy and these static members."""
        self._static = tuple(static)
        policy = table.policy
        self._records.append(Adopted(at, policy.heartbeat_timeout, policy.multiples, self._static))

    def restored(self, memory: Memory, age: float, at: float) -> None:
        """Say that the table was given this memory."""
        self._records.append(Restored(at, memory, age))

    def took(self, evidence: Evidence, at: float) -> None:
        """Say that the table was given this evidence."""
        self._records.append(Took(at, evidence))

    def judged(self, table: Table, at: float) -> None:
        """Say that the table has judged; give a block away when it is time."""
        self._records.append(Judged(at, self._wall()))
        if at - self._begun_at >= _BLOCK or len(self._records) >= _MOST:
            self.flush()
            self._begun_at = at
            if at - self._seeded_at >= _SEED:
                self._seeded_at = at
                self._give(self._seed(table, at), seed=True)

    def flush(self) -> None:
        """Give away what there is, as before the end."""
        records, self._records = self._records, []
        if records:
            self._give(records, seed=False)
            self._seq += 1

    def _give(self, records: Sequence[Record], *, seed: bool) -> None:
        self._keep(Block(self._run, self._seq, seed, self._wall(), len(records), _encode(records)))

    def _beginning(self, table: Table, at: float) -> Began:
        policy = table.policy
        return Began(at, self._wall(), policy.heartbeat_timeout, policy.multiples, self._static)

    def _seed(self, table: Table, at: float) -> list[Record]:
        """Give what makes a new table know about the same; the verdicts as after a restart."""
        node = table.node
        records: list[Record] = [self._beginning(table, at)]
        if node.id is not None:
            records.append(Took(at, NodeIdentity(node.id, node.address)))
        if table.configuration is not None:
            records.append(Took(at, table.configuration))
        records.append(Restored(at, table.remember(at), 0.0))
        if node.status is not None and table.node_up(at):
            records.append(Took(at, msgspec.structs.replace(node.status, age=at - node.status_at)))
        return records


@dataclass(slots=True)
class Losses:
    """What of a log could not be used."""

    damaged: int = 0
    """Blocks that can't be read."""
    cut_off: int = 0
    """Blocks that come after a missing one, or before the first seed."""


def read_store(path: Path, losses: Losses, after: float = 0.0) -> Iterator[Record]:
    """Give the records of a store, also of one in use, read-only: run by run, in order.

    Each Began begins a new table. Of each run that lasted beyond the Unix time ``after``, it is what came
    since its last seed before that. What can't be used is counted in ``losses``; StoreError when nothing can.
    """
    expected: tuple[int, int] | None = None
    for block in _read_blocks(path, after):
        records = None if block is None else _decoded(block)
        if block is None or records is None:
            losses.damaged += 1
            continue
        here = (block.run, block.seq)
        if block.seed:
            if here != expected:
                yield from records
            expected = here
        elif here == expected:
            yield from records
            expected = (block.run, block.seq + 1)
        else:
            losses.cut_off += 1


def newest(path: Path) -> float:
    """Give the Unix time of the newest evidence of a store; 0: it has none."""
    with told(path), contextlib.closing(read_only(path)) as connection:
        if identify(connection):
            return 0.0
        (wall,) = connection.execute("SELECT max(wall) FROM evidence").fetchone()
        return wall if isinstance(wall, float) else 0.0


def write_file(path: Path, records: Iterable[Record]) -> int:
    """Write records to a new file, one JSON array a line, and give their number.

    It is compressed if it is named ``.gz``. StoreError when it is there already or can't be written.
    """
    number = 0
    encode = msgspec.json.Encoder().encode
    with told(path), gzip.open(path, "xb") if path.suffix == ".gz" else path.open("xb") as file:
        file.write(_HEADER + b"\n")
        for number, record in enumerate(records, 1):  # noqa: B007 - it is what we give
            file.write(encode(record) + b"\n")
    return number


def read_file(path: Path) -> Iterator[Record]:
    """Give the records of a file that ``write_file`` made; StoreError at the first fault."""
    decode = msgspec.json.Decoder(Record).decode
    with told(path), path.open("rb") as plain, _opened(plain) as file:
        number = 0
        try:
            if file.readline(len(_HEADER) + 1).rstrip() != _HEADER:
                raise StoreError(
                    "foreign", "expected a file of evidence written by raft-exporter, got another"
                )
            for number, line in enumerate(iter(lambda: file.readline(_MAX_LINE), b""), 2):
                if not line.endswith(b"\n"):
                    raise StoreError(
                        "damaged", f"line {number}: expected a whole line, got the end or too much"
                    )
                yield decode(line)
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise StoreError("damaged", f"line {number + 1}: expected a whole gzip file: {error}") from error
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise StoreError("damaged", f"line {number}: expected a record of evidence: {error}") from error


def _opened(file: IO[bytes]) -> IO[bytes]:
    packed = file.read(2) == b"\x1f\x8b"
    file.seek(0)
    return gzip.GzipFile(fileobj=file) if packed else file  # type: ignore[return-value]


def _read_blocks(path: Path, after: float) -> Iterator[Block | None]:
    """Give the blocks; None for a damaged one."""
    with told(path), contextlib.closing(read_only(path)) as connection:
        if identify(connection):
            raise StoreError("foreign", "expected a store of raft-exporter, got an empty file")
        connection.execute("BEGIN")  # one state of the file, whatever is written meanwhile
        runs = connection.execute(
            "SELECT run, max(CASE WHEN seed AND wall <= ?1 THEN row ELSE 0 END) FROM evidence "
            "GROUP BY run HAVING max(wall) >= ?1 ORDER BY run",
            (after,),
        ).fetchall()
        for run, first in runs:
            rows = connection.execute(
                "SELECT run, seq, seed, wall, records FROM evidence WHERE run = ? AND row >= ? ORDER BY row",
                (run, first),
            )
            yield from map(_block, rows)


def _block(row: tuple[Any, ...]) -> Block | None:
    try:
        run, seq, seed, wall, packed = msgspec.convert(row, tuple[int, int, int, float, bytes])
        unpacker = zlib.decompressobj()
        unpacked = unpacker.decompress(packed, _MAX_BLOCK)
    except (msgspec.ValidationError, zlib.error):
        return None
    return Block(run, seq, bool(seed), wall, 0, unpacked) if unpacker.eof else None


def _decoded(block: Block) -> list[Record] | None:
    try:
        return _decode(block.records)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
