"""A gentle load: a few keys written again and again, so that every log store has something to store."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from types import TracebackType
from typing import Final, Self

from msgspec import Struct

from raft_exporter.demo.staged import StagedNode

_INTERVAL: Final = 0.2
_PATIENCE: Final = 1.0
_KEYS: Final = 16
"""So many keys are written in turn: the nodes' memory stays as small as it is."""


class Progress(Struct, frozen=True):
    """How many writes were committed, and how many were not."""

    committed: int = 0
    failed: int = 0

    def plus(self, committed: bool) -> Progress:
        """Give the progress with one more write."""
        return Progress(self.committed + committed, self.failed + (not committed))


class Writer:
    """Writes five keys a second to whoever leads, one at a time, from a thread of its own.

    ``progress`` counts all writes, ``since_mark`` those that began after :meth:`mark`.
    """

    def __init__(self, nodes: Sequence[StagedNode]) -> None:
        self._nodes = nodes
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._write, name="writer")
        self.progress = self.since_mark = Progress()
        self._marked_at = 0.0

    def mark(self) -> None:
        """Begin to count anew; a write that is under way is not in that count."""
        self._marked_at = time.monotonic()
        self.since_mark = Progress()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()

    def _write(self) -> None:
        leader = self._nodes[0]
        while not self._stop.wait(_INTERVAL):
            began = time.monotonic()
            number = self.progress.committed + self.progress.failed
            committed = leader.put(f"demo-{number % _KEYS}", str(number), timeout=_PATIENCE)
            self.progress = self.progress.plus(committed)
            if began >= self._marked_at:
                self.since_mark = self.since_mark.plus(committed)
            if not committed:
                leader = self._leader() or leader

    def _leader(self) -> StagedNode | None:
        for node in self._nodes:
            if node.leads(_PATIENCE):
                return node
        return None
