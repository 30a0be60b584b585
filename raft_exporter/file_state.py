"""Whether files are still those that were read."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TypeAlias

FileState: TypeAlias = tuple[tuple[int, int, int] | None, ...]
"""Of each file its time of change in nanoseconds, inode and size; None: it can't be seen."""


def state_of(paths: Iterable[str | Path | None]) -> FileState:
    """Give the state of these files; None stands for no file."""
    return tuple(None if path is None else _state(path) for path in paths)


def _state(path: str | Path) -> tuple[int, int, int] | None:
    try:
        found = Path(path).stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_ino, found.st_size
