"""What this sidecar keeps for its next life: the table, the journal, the overrides, and the evidence."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from raft_exporter.evidence_log import Recorder
from raft_exporter.journal import Entry
from raft_exporter.model.evidence import Evidence, Server
from raft_exporter.model.judge import NEVER
from raft_exporter.model.memory import Memory
from raft_exporter.model.override import Override
from raft_exporter.model.table import Table
from raft_exporter.schema import StoreConfig
from raft_exporter.store import Limits, Store, Stored

JOURNAL: Final = 2000
"""Entries of the journal that are held in memory for the API."""

_SAVE_EACH: Final = 1.0
"""Observed seconds from one saving of the table to the next, while no state changes."""


class Keeper:
    """Keeps it in the configured database; where none is configured, it keeps nothing.

    ``found`` takes what was stored if that can be read only after :meth:`open` gave up waiting for it.
    """

    def __init__(
        self,
        config: StoreConfig,
        table: Table,
        wall: Callable[[], float],
        found: Callable[[Stored], None],
    ) -> None:
        self._table = table
        self._wall = wall
        self._found = found
        self._saved_at = NEVER
        self._past_errors = 0
        self._config = config
        self._make(config)

    @property
    def errors(self) -> int:
        """How often the database failed so far."""
        return self._past_errors + (self._store.errors if self._store is not None else 0)

    async def open(self, static: Sequence[Server]) -> Stored:
        """Give what is stored, within 5 s, and begin to record a table with these ``static`` members."""
        if self._recorder is not None:
            self._recorder.began(self._table, static)
        return await self._store.open() if self._store is not None else Stored()

    async def move(self, config: StoreConfig, static: Sequence[Server], now: float) -> Stored | None:
        """Keep it as ``config`` says from now on.

        Where that is another database, give what is stored there, within 5 s.
        """
        before, self._config = self._config, config
        if config.path == before.path:
            if self._store is not None:
                self._store.limit(_limits(config))
            return None
        self._save(now)
        if self._recorder is not None:
            self._recorder.flush()
        store = self._store
        self._past_errors = self.errors
        self._make(config)
        if self._recorder is not None:
            self._recorder.moved_in(self._table, static, now)
        if store is not None:
            await store.close()
        return await self._store.open() if self._store is not None else None

    def restored(self, memory: Memory, age: float, now: float) -> None:
        """Record that the table took up this memory."""
        if self._recorder is not None:
            self._recorder.restored(memory, age, now)

    def took(self, evidence: Evidence, now: float) -> None:
        """Record what the table is told."""
        if self._recorder is not None:
            self._recorder.took(evidence, now)

    def adopted(self, static: Sequence[Server], now: float) -> None:
        """Record that the table has adopted its present policy and these static members."""
        if self._recorder is not None:
            self._recorder.adopted(self._table, static, now)

    def judged(self, now: float, *, changed: bool) -> None:
        """Record that the table has judged, and save it now and then, at once when a state ``changed``."""
        if self._recorder is not None:
            self._recorder.judged(self._table, now)
        if changed or now - self._saved_at >= _SAVE_EACH:
            self._save(now)

    def append(self, entries: Sequence[Entry]) -> None:
        """Keep entries of the journal."""
        if self._store is not None:
            self._store.append(entries)

    def replace(self, overrides: Sequence[Override]) -> None:
        """Keep these overrides in the place of those before, and do not wait for it."""
        if self._store is not None:
            self._store.keep(overrides)

    async def keep(self, overrides: Sequence[Override]) -> bool:
        """Keep these overrides in the place of those before; give whether they are on the disk."""
        return self._store is not None and await self._store.keep(overrides)

    async def close(self, now: float) -> None:
        """Write what is left."""
        self._save(now)
        if self._recorder is not None:
            self._recorder.flush()
        if self._store is not None:
            await self._store.close()

    def _make(self, config: StoreConfig) -> None:
        self._store: Store | None = None
        self._recorder: Recorder | None = None
        if config.path is not None:
            self._store = Store(
                Path(config.path), _limits(config), self._wall, journal=JOURNAL, found=self._found
            )
            self._recorder = Recorder(self._store.log, self._wall)

    def _save(self, now: float) -> None:
        # A table that knows nobody yet is no reason to forget what is stored.
        if self._store is not None and self._table.members:
            self._saved_at = now
            self._store.save(self._table.remember(now), self._wall())


def _limits(config: StoreConfig) -> Limits:
    return Limits(config.journal_rows, config.journal_age, config.evidence_rows, config.evidence_age)
