"""The store: what outlives a restart, kept in a database off the event loop.

A database that is damaged, foreign, locked, read-only or without room never stops the watching: it is
counted, logged when that begins and ends, set aside where it can be of no more use, and tried again.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Final, TypeVarTuple

import msgspec

from raft_exporter.database import Backlog, Batch, Block, Database, Limits, Saved, Stored
from raft_exporter.database_file import set_aside
from raft_exporter.errors import StoreError
from raft_exporter.journal import Entry
from raft_exporter.logs import event
from raft_exporter.model.memory import Memory
from raft_exporter.model.override import Override, Overrides

__all__ = ["Block", "Limits", "Store", "Stored"]

_log = logging.getLogger(__name__)
_Ts = TypeVarTuple("_Ts")

_PATIENCE: Final = 5.0
"""Seconds that anybody waits for the database: a disk that hangs is what we are here to report."""

_FAREWELL: Final = 0.8
"""Seconds that the end of the sidecar may take for it."""

_RETRY: Final = 30.0
"""Seconds from one attempt to the next while it does not work."""

_NOTHING: Final = Batch()

_JOURNAL: Final = 2000
"""Entries that are read at the opening, unless told otherwise."""


class Store:
    """Keeps memory, overrides, journal and evidence in the database ``path``; ``wall`` gives Unix time.

    All but :meth:`open` and :meth:`close` return at once. Invariant: one thread of its own does all that
    touches the disk, in the order in which it was told. ``found`` is called, in the event loop, with what
    was stored, should it be readable only after :meth:`open` gave up on it.
    """

    def __init__(
        self,
        path: Path,
        limits: Limits,
        wall: Callable[[], float],
        *,
        journal: int = _JOURNAL,
        found: Callable[[Stored], None] | None = None,
        retry: float = _RETRY,
    ) -> None:
        self.errors = 0
        """What went wrong so far: attempts that failed, files set aside, rows that could not be read."""
        self.ok = False
        """Whether it stores at present."""
        self._path = path
        self._limits = limits
        self._wall = wall
        self._journal = journal
        self._found = found
        self._retry = retry
        self._lock = threading.Condition()
        self._waiting = Backlog()
        self._askers: list[asyncio.Future[bool]] = []
        self._urgent = self._closing = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._opened: asyncio.Future[Stored]
        self._closed: asyncio.Future[bool]
        # Of the thread alone:
        self._database: Database | None = None
        self._loaded = False
        self._stored: Stored | None = None
        self._memory: Saved | None = None
        self._overrides: tuple[Override, ...] | None = None
        self._said = False

    async def open(self) -> Stored:
        """Open the database and give what it holds: nothing, if that can't be had within 5 s."""
        self._loop = asyncio.get_running_loop()
        self._opened = self._loop.create_future()
        self._closed = self._loop.create_future()
        # A daemon: a disk that hangs must not hold up the end of the process.
        threading.Thread(target=self._work, name="store", daemon=True).start()
        try:
            async with asyncio.timeout(_PATIENCE):
                return await asyncio.shield(self._opened)
        except TimeoutError:
            self._opened.cancel()
            return Stored()

    def limit(self, limits: Limits) -> None:
        """Hold other limits from the next writing on."""
        self._limits = limits

    def save(self, memory: Memory, at: float) -> None:
        """Keep the table's memory as of the Unix time ``at``, in the place of the one before."""
        with self._lock:
            self._waiting.memory = Saved(memory, at)
            self._lock.notify()

    def append(self, entries: Sequence[Entry]) -> None:
        """Add to the journal, in this order."""
        with self._lock:
            self._waiting.entries.extend(entries)
            self._lock.notify()

    def log(self, block: Block) -> None:
        """Add to the evidence log."""
        with self._lock:
            self._waiting.blocks.append(block)
            self._lock.notify()

    def keep(self, overrides: Sequence[Override]) -> Awaitable[bool]:
        """Keep all overrides, in the place of those before, and whatever was told until now.

        Whoever cares may wait for it: True when it is on the disk, so that even a power cut does not lose
        it; False when it is not, after 5 s at most. It is tried again even then.
        """
        loop = asyncio.get_running_loop()
        asker: asyncio.Future[bool] = loop.create_future()
        patience = loop.call_later(_PATIENCE, _settle, asker, False)
        asker.add_done_callback(lambda _: patience.cancel())
        with self._lock:
            if self._closing:
                asker.set_result(False)
                return asker
            self._waiting.overrides = tuple(overrides)
            self._askers.append(asker)
            self._urgent = True
            self._lock.notify()
        return asker

    async def close(self) -> None:
        """Write what waits and close the database, in a second at most; what comes later is not kept."""
        if self._loop is None:
            return
        with self._lock:
            self._closing = True
            self._lock.notify()
        try:
            async with asyncio.timeout(_FAREWELL):
                await asyncio.shield(self._closed)
        except TimeoutError:
            self._closed.cancel()
            event(_log, logging.WARNING, "the store did not close in time", path=self._path)

    def _work(self) -> None:
        """The thread: write what waits, until it is closed."""
        self._attempt(Batch())
        closing = False
        while not closing:
            closing, batch, askers = self._next()
            error = self._attempt(batch)
            for asker in askers:
                self._tell(_settle, asker, error is None)
            if error is not None and error.fault != "refused":
                with self._lock:
                    self._waiting.give_back(batch)
        self._shut()
        self._tell(_settle, self._closed, True)

    def _next(self) -> tuple[bool, Batch, list[asyncio.Future[bool]]]:
        """Wait for something to write, or, while it does not work, for the time to try again."""
        due = time.monotonic() + self._retry
        with self._lock:
            while not self._closing:
                rest = None if self.ok else due - time.monotonic()
                if self._urgent or (self._waiting.any() if rest is None else rest <= 0):
                    break
                self._lock.wait(rest)
            self._urgent = False
            askers, self._askers = self._askers, []
            return self._closing, self._waiting.take(), askers

    def _attempt(self, batch: Batch) -> StoreError | None:
        """Write a batch, and say how the store fares since."""
        problem = self._try(batch)
        if problem is None or problem.fault != "refused":
            self._set_ok(problem)
        stored, self._stored = self._stored, None
        self._tell(self._deliver, stored or Stored())
        return problem

    def _try(self, batch: Batch) -> StoreError | None:
        """Write a batch; into a new file, if the present one turns out to be of no more use."""
        self._memory = batch.memory or self._memory
        self._overrides = self._overrides if batch.overrides is None else batch.overrides
        problem: StoreError | None = None
        for _ in range(2):
            try:
                self._write(batch, problem)
            except StoreError as error:
                problem = error
                self.errors += 1
                if error.fault == "refused":
                    # No file would take these values: to try again is in vain.
                    self._memory = self._overrides = None
                    event(_log, logging.ERROR, "not storable", error=error)
                    return error
                self._shut()
                if error.fault == "unavailable":
                    break
            except Exception as error:
                # A fault of our own must not end the thread: without this batch it goes on.
                self.errors += 1
                self._shut()
                event(_log, logging.ERROR, "the store failed", exc_info=error)
                return StoreError("refused", str(error), self._path)
            else:
                return None
        return problem

    def _write(self, batch: Batch, problem: StoreError | None) -> None:
        if self._database is None:
            if problem is not None and problem.fault in {"damaged", "foreign"}:
                place = set_aside(self._path, problem.fault, self._wall())
                event(_log, logging.ERROR, "database set aside", error=problem, to=place)
            self._database = Database(self._path)
        if not self._loaded:
            self._load(self._database)
            batch = msgspec.structs.replace(batch, overrides=self._overrides)
        if self._database.fresh:
            batch = msgspec.structs.replace(batch, memory=self._memory, overrides=self._overrides)
        if batch != _NOTHING:
            self._database.write(batch, self._limits, self._wall())

    def _load(self, database: Database) -> None:
        """Give what is stored, once; overrides told before that are no reason to lose those on the disk."""
        stored = database.load(self._journal)
        self._loaded = True
        if self._overrides is not None:
            self._overrides = Overrides((*stored.overrides, *self._overrides)).entries()
            with self._lock:
                if self._waiting.overrides is None:
                    self._waiting.overrides = self._overrides
        if stored.skipped:
            self.errors += 1
            event(_log, logging.ERROR, "unreadable rows skipped", path=self._path, rows=stored.skipped)
        self._stored = stored

    def _deliver(self, stored: Stored) -> None:
        if not self._opened.done():
            self._opened.set_result(stored)
        elif self._found is not None and stored != Stored():
            self._found(stored)

    def _shut(self) -> None:
        if self._database is not None:
            self._database.close()
            self._database = None

    def _set_ok(self, problem: StoreError | None) -> None:
        """Say so when it begins or ceases to work, and not each time."""
        ok, said = problem is None, self._said
        if ok is not self.ok or not (ok or said):
            self._said = not ok
            if not ok:
                event(_log, logging.ERROR, "nothing is stored at present", error=problem)
            elif said:
                event(_log, logging.INFO, "storing again", path=self._path)
        self.ok = ok

    def _tell(self, what: Callable[[*_Ts], None], *facts: *_Ts) -> None:
        assert self._loop is not None  # noqa: S101 - it started the thread
        with contextlib.suppress(RuntimeError):  # the loop ended without waiting for us
            self._loop.call_soon_threadsafe(what, *facts)


def _settle(asker: asyncio.Future[bool], done: bool) -> None:
    if not asker.done():
        asker.set_result(done)
