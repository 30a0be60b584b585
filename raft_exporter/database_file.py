"""The file of the database: whose it is, whether it is whole, and what to do with one that is not.

Whatever goes wrong with it comes out as a StoreError that names it.
"""

from __future__ import annotations

import contextlib
import glob
import sqlite3
import stat
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final
from urllib.parse import quote

from raft_exporter.errors import Fault, StoreError, system_reason

APPLICATION_ID: Final = 0x72616674
"""``PRAGMA application_id`` of our files: "raft" in ASCII."""

SCHEMA_VERSION: Final = 1
"""``PRAGMA user_version``; a file with a greater one was written by a later raft-exporter."""

_TABLES: Final = {
    "memory": "one INTEGER PRIMARY KEY CHECK (one = 1), at REAL NOT NULL, node TEXT",
    "members": "peer TEXT PRIMARY KEY, state TEXT NOT NULL, value TEXT NOT NULL",
    "overrides": "peer TEXT PRIMARY KEY, state TEXT NOT NULL, expires_at REAL NOT NULL, value TEXT NOT NULL",
    # ``id`` is the journal's own number, and no key: two sidecars that share a file lose no entry.
    "journal": "row INTEGER PRIMARY KEY, id INTEGER NOT NULL, at REAL NOT NULL, kind TEXT NOT NULL, "
    "peer TEXT, value TEXT NOT NULL",
    # ``row`` numbers the last record in the block, so that the bound on records is one on rows.
    "evidence": "row INTEGER PRIMARY KEY, run INTEGER NOT NULL, seq INTEGER NOT NULL, seed INTEGER NOT NULL, "
    "wall REAL NOT NULL, records BLOB NOT NULL",
}
_SCHEMA: Final = {
    **{name.encode(): f"CREATE TABLE {name} ({columns})".encode() for name, columns in _TABLES.items()},
    b"evidence_run": b"CREATE INDEX evidence_run ON evidence (run)",
}
"""By name the text that SQLite keeps of each: whatever else it says there is not as we made it."""

BUSY: Final = 1.0
"""Seconds to wait for somebody else's lock: it is ours alone, but for an operator who looks into it."""

_SMALLEST: Final = 512
"""Bytes of the smallest database."""

_CHECK: Final = 2.0
"""Seconds that the check at the opening may take; a file too large for it is used unchecked."""

_MAX_ASIDE: Final = 8
"""Files set aside, after which nothing is stored any more: what spoils them would fill the disk."""

_FAULTS: Final[dict[int, Fault]] = {
    sqlite3.SQLITE_CORRUPT: "damaged",
    sqlite3.SQLITE_NOTADB: "damaged",
    sqlite3.SQLITE_FORMAT: "damaged",
    sqlite3.SQLITE_ERROR: "damaged",
    sqlite3.SQLITE_CONSTRAINT: "refused",
    sqlite3.SQLITE_MISMATCH: "refused",
    sqlite3.SQLITE_TOOBIG: "refused",
}
"""By primary result code what no waiting cures; ERROR is a table that is not as we made it."""


def set_aside(path: Path, fault: str, wall: float) -> Path:
    """Move a file that can't be used out of the way, and its WAL; give its new place, or raise StoreError."""
    place = path.with_name(f"{path.name}.{fault}-{int(wall)}")
    with told(path):
        before = list(path.parent.glob(f"{glob.escape(path.name)}.*-*[0-9]"))
        if len(before) >= _MAX_ASIDE or place in before:
            raise StoreError(
                "unavailable", f"{fault}, and so were others before: remove {path.name}.{fault}-*"
            )
        path.rename(place)
        for part in ("-wal", "-shm", "-journal"):
            with contextlib.suppress(FileNotFoundError):
                path.with_name(path.name + part).rename(place.with_name(place.name + part))
    return place


@contextlib.contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """Commit at the end, or nothing at all."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        with contextlib.suppress(sqlite3.Error):
            connection.execute("ROLLBACK")
        raise


def identify(connection: sqlite3.Connection) -> bool:
    """Whether the file is still empty; StoreError when it is neither empty nor ours, before it is touched."""
    connection.text_factory = bytes
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    query = "SELECT name, sql FROM sqlite_schema WHERE sql IS NOT NULL"
    made = {(name, sql) for name, sql in connection.execute(query)}
    if not application and not version and not made:
        return True
    if application != APPLICATION_ID:
        raise StoreError("foreign", "expected a database of raft-exporter, got another program's")
    if version > SCHEMA_VERSION:
        raise StoreError(
            "foreign", f"expected schema version {SCHEMA_VERSION}, got {version}: of a later raft-exporter"
        )
    if version != SCHEMA_VERSION or not made >= _SCHEMA.items():
        raise StoreError("damaged", "expected the tables of a raft-exporter database, got others")
    return False


def create(connection: sqlite3.Connection) -> None:
    """Make an empty file ours, in one step."""
    with transaction(connection):
        if identify(connection):  # nobody else made it meanwhile
            for sql in _SCHEMA.values():
                connection.execute(sql.decode())
        connection.execute(f"PRAGMA application_id={APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version={SCHEMA_VERSION}")


def check(connection: sqlite3.Connection, *, closely: bool = False) -> None:
    """Look through the file for damage, as long as that is soon done; ``closely``: indices too."""
    deadline = time.monotonic() + _CHECK
    connection.set_progress_handler(lambda: time.monotonic() > deadline, 10_000)
    try:
        (found,) = connection.execute(f"PRAGMA {'integrity' if closely else 'quick'}_check(1)").fetchone()
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_INTERRUPT:
            raise
        found = b"ok"
    finally:
        connection.set_progress_handler(None, 0)
    if found != b"ok":
        raise StoreError("damaged", f"damaged: {' '.join(found.decode('utf-8', 'replace').split())}")


def read_only(path: Path) -> sqlite3.Connection:
    """Open without writing; where no WAL is and none can be made, the file is read as it lies."""
    if not path.is_file():
        raise StoreError("unavailable", "expected the file of a store, got none")
    uri = f"file:{quote(str(path.absolute()))}?mode=ro"
    connection = sqlite3.connect(uri, uri=True, timeout=BUSY, isolation_level=None)
    try:
        connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    except sqlite3.OperationalError as error:
        connection.close()
        cant = error.sqlite_errorcode & 0xFF in {sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY}
        if not cant or path.with_name(f"{path.name}-wal").exists():
            raise
        return sqlite3.connect(f"{uri}&immutable=1", uri=True, isolation_level=None)
    except BaseException:
        connection.close()
        raise
    return connection


def regular(path: Path) -> None:
    """Refuse what opening alone would harm or hang on: a device, a socket, a FIFO."""
    with contextlib.suppress(FileNotFoundError):
        found = path.stat()
        if not stat.S_ISREG(found.st_mode):
            raise StoreError("unavailable", "expected a file or nothing yet, got something else")
        if 0 < found.st_size < _SMALLEST:  # SQLite would take it for an empty one
            raise StoreError("damaged", f"expected a database, got {found.st_size} bytes")


def inode(path: Path) -> tuple[int, int] | None:
    """What tells the file from another one under its name; None: there is none."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino


@contextlib.contextmanager
def told(path: Path) -> Iterator[None]:
    """Turn what goes wrong with ``path`` into a StoreError that names it."""
    try:
        yield
    except StoreError as error:
        if error.path is not None:
            raise
        raise StoreError(error.fault, str(error), path) from error
    except sqlite3.Error as error:
        code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_MISUSE) & 0xFF
        raise StoreError(_FAULTS.get(code, "unavailable"), " ".join(str(error).split()), path) from error
    except OSError as error:
        raise StoreError("unavailable", system_reason(error), path) from error
    except UnicodeDecodeError as error:  # in a message of SQLite about it
        raise StoreError("damaged", "expected UTF-8, got other bytes", path) from error
    except (TypeError, ValueError, OverflowError) as error:
        raise StoreError("refused", str(error), path) from error
