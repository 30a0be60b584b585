"""Reading the configuration again: on SIGHUP, on POST, and when a file of the web configuration changes."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from msgspec.structs import replace

from raft_exporter.change import Prepare, change_all
from raft_exporter.config import Config
from raft_exporter.errors import ConfigError, RaftExporterError, StartError
from raft_exporter.logs import event
from raft_exporter.reloads import Reloads

_log = logging.getLogger(__name__)

_LOOK: Final = 1.0
"""Seconds from one look at the files of the web configuration to the next."""


class Reloader:
    """Has all ``parts`` take up a configuration, one at a time.

    ``config`` is the first, ``load`` reads another, ``wall`` gives Unix time.
    """

    def __init__(
        self,
        config: Config,
        load: Callable[[], Config],
        parts: Sequence[Prepare],
        wall: Callable[[], float],
    ) -> None:
        self.reloads = Reloads(successful=True, succeeded_at=wall())
        """What became of it so far."""
        self._config = config
        self._load = load
        self._parts = tuple(parts)
        self._wall = wall
        self._lock = asyncio.Lock()

    async def begin(self) -> None:
        """Take up the first one; ConfigError or StartError when that can't be done."""
        async with self._lock:
            await change_all(self._parts, self._config)

    async def reload(self) -> None:
        """Read it again and take it up whole; ConfigError or StartError: all is as before."""
        async with self._lock:
            try:
                # Reading may take a while on some disks.
                config = await asyncio.to_thread(self._load)
                await change_all(self._parts, config)
            except RaftExporterError as error:
                self._failed(error)
                raise
            except Exception as error:
                # Whatever it is, it is a fault of ours, and no reason to stop watching.
                fault = StartError(f"internal error: {error!r}")
                self._failed(fault)
                raise fault from error
            self._config = config
            self._succeeded()

    async def follow(self, part: Prepare, changed: Callable[[], Awaitable[bool]]) -> None:
        """Have a ``part`` take up the present configuration once more whenever ``changed`` says so."""
        said = ""
        while True:
            await asyncio.sleep(_LOOK)
            # Before the lock: a disk that hangs must not hold up a reload.
            if not await changed():
                said = ""
                continue
            async with self._lock:
                try:
                    await change_all((part,), self._config)
                except RaftExporterError as error:
                    # Files are replaced one after the other: it is tried again, and said once.
                    if str(error) != said:
                        said = str(error)
                        self._failed(error)
                else:
                    said = ""
                    self._succeeded()

    def _succeeded(self) -> None:
        self.reloads = Reloads(successful=True, succeeded_at=self._wall())
        event(_log, logging.INFO, "configuration taken up")

    def _failed(self, error: RaftExporterError) -> None:
        self.reloads = replace(self.reloads, successful=False)
        for fault in error.faults if isinstance(error, ConfigError) else (str(error),):
            event(_log, logging.ERROR, "configuration not taken up", fault=fault)
