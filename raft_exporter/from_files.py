"""What is made of files: made again when one of them changes, and kept as it was while that fails."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from raft_exporter.errors import RaftExporterError
from raft_exporter.file_state import state_of
from raft_exporter.logs import event

_log = logging.getLogger(__name__)

T = TypeVar("T")


class FromFiles(Generic[T]):
    """A value made of files, as secrets or a TLS context are; ``key`` is the one that names them.

    ``make`` raises what says why it can't: at first that is the caller's to see. Later the former value
    stays, since files that are replaced one after the other do not fit each other for a moment.
    """

    def __init__(self, key: str, paths: Sequence[str | None], make: Callable[[], T]) -> None:
        self._key = key
        self._paths = tuple(paths)
        self._make = make
        self._fault = ""
        self._state = state_of(self._paths)
        self._value = make()

    def refresh(self) -> None:
        """Make it again when a file has changed; the error of ``make`` when that fails."""
        state = state_of(self._paths)  # before it is made: what changes meanwhile is seen the next time
        if state != self._state:
            self._value = self._make()
            self._state = state
        self._fault = ""

    def get(self, failed: Callable[[], None] = lambda: None) -> T:
        """Give the present value; ``failed`` is called each time that it could not be made again."""
        try:
            self.refresh()
        except RaftExporterError as error:
            failed()
            if str(error) != self._fault:
                self._fault = str(error)
                event(_log, logging.WARNING, "what changed can't be used", key=self._key, error=error)
        return self._value
