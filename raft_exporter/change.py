"""A change of the configuration while the sidecar runs: whole, or not at all."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any, Protocol, TypeAlias

from raft_exporter.config import Config

Done: TypeAlias = Coroutine[Any, Any, None]


class Change(Protocol):
    """What one part prepared for a new configuration; either method is called, once, and none fails."""

    async def commit(self) -> None:
        """Take it up: what did not change keeps its connections and evidence, what went is closed."""
        ...

    async def discard(self) -> None:
        """Close what was opened for it; all is as before."""
        ...


Prepare = Callable[[Config], Awaitable[Change]]
"""Gets ready for a configuration what can fail, as sockets and certificates; StartError when that fails."""


async def _nothing() -> None:
    pass


class Ready:
    """A change that is these two calls."""

    def __init__(self, commit: Callable[[], Done], discard: Callable[[], Done] = _nothing) -> None:
        self.commit = commit
        self.discard = discard


async def change_all(parts: Sequence[Prepare], config: Config) -> None:
    """Have every part take up ``config``, or, when one can't be made ready for it, none; then it raises."""
    changes: list[Change] = []
    try:
        for prepare in parts:
            changes += [await prepare(config)]
    except BaseException:
        for change in reversed(changes):
            await change.discard()
        raise
    for change in changes:
        await change.commit()
