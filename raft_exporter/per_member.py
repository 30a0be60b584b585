"""One task for each member, at its present place, no more and no less."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Generic, Protocol, TypeVar


class Worker(Protocol):
    """What works at one member until it is cancelled."""

    async def run(self) -> None:
        """Work; when cancelled, close what is open and end."""
        ...


Place = TypeVar("Place")
W = TypeVar("W", bound=Worker)


class PerMember(Generic[Place, W]):
    """The workers of one kind; ``make`` gives a new one for a member and its place."""

    def __init__(self, make: Callable[[str, Place], W]) -> None:
        self._make = make
        self._at_work: dict[str, tuple[Place, W, asyncio.Task[None]]] = {}
        self._leaving: set[asyncio.Task[None]] = set()

    def assign(self, wanted: Mapping[str, Place]) -> None:
        """Have a worker for each of ``wanted``: those at another place are replaced, the others stay."""
        for peer, (place, _, _) in list(self._at_work.items()):
            if wanted.get(peer) != place:
                self._stop(peer)
        for peer, place in wanted.items():
            if peer not in self._at_work:
                worker = self._make(peer, place)
                self._at_work[peer] = place, worker, asyncio.create_task(worker.run())

    def workers(self) -> list[W]:
        """Those at work."""
        return [worker for _, worker, _ in self._at_work.values()]

    def stop(self) -> set[asyncio.Task[None]]:
        """Cancel all; give the tasks that still have to end."""
        for peer in list(self._at_work):
            self._stop(peer)
        return set(self._leaving)

    def _stop(self, peer: str) -> None:
        _, _, task = self._at_work.pop(peer)
        task.cancel()
        self._leaving.add(task)
        task.add_done_callback(self._leaving.discard)
