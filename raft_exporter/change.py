"""A change of the configuration while the sidecar runs: whole, or not at all."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

from raft_exporter.config import Config


class Change(Protocol):
    """What one part prepared for a new configuration; either method is called, once, and none fails."""

    async def commit(self) -> None:
        """Take it up: what did not change keeps its connections and evidence, what went is closed."""
        ...

    async def discard(self) -> None:
        """Close what was opened for it; all is as before."""
        ...


Prepare = Callable[[Config], Awaitable[Change]]
"""Gets ready for a configuration all that can fail, as sockets and certificates; StartError when that fails."""


async def change_all(parts: Sequence[Prepare], config: Config) -> None:
    """Have every part take up ``config``, or, when one can't be made ready for it, none; then StartError."""
    changes: list[Change] = []
    try:
        for prepare in parts:
            changes.append(await prepare(config))  # noqa: PERF401 - what is ready must be known when one fails
    except BaseException:
        for change in reversed(changes):
            await change.discard()
        raise
    for change in changes:
        await change.commit()
