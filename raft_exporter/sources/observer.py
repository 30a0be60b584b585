"""The Go observer's stream: listens where the observer connects, and hands evidence on."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Final

from raft_exporter.change import Change, Ready
from raft_exporter.config import DEFAULT_OBSERVER_SOCKET, Config
from raft_exporter.errors import StartError, StreamError, system_reason
from raft_exporter.logs import event
from raft_exporter.model.evidence import Evidence, StatusLost
from raft_exporter.model.intake import Intake
from raft_exporter.notation import parse_observer_listen
from raft_exporter.sources import observer_stream as stream

_log = logging.getLogger(__name__)

SOURCE: Final = "observer"
_READ: Final = 65_536
"""Bytes a turn: after each the event loop does its other work, whatever the stream's speed."""


class _Listener:
    """One address that the observer may connect to."""

    def __init__(self, where: str, server: asyncio.Server, path: Path | None) -> None:
        self.where = where
        self._server = server
        self._path = path

    def close(self) -> None:
        self._server.close()
        if self._path is not None:
            self._path.unlink(missing_ok=True)

    async def closed(self) -> None:
        await self._server.wait_closed()


class ObserverSource:
    """Serves the observer where it is configured to. The latest connection is the node; it replaces older.

    Bad lines are counted by reason and skipped; nothing that arrives ends the source.
    """

    def __init__(self, take: Callable[[Evidence], None], intake: Intake) -> None:
        self._take = take
        self._intake = intake
        self._listeners: dict[str, _Listener] = {}
        self._current: asyncio.StreamWriter | None = None
        self._came_by: str | None = None
        """The address by which the present connection came."""
        self._closing = False
        self._told: set[str] = set()
        for reason in stream.REASONS:
            intake.rejected[SOURCE, reason] = 0

    async def prepare(self, config: Config) -> Change:
        """Get ready to listen where ``config`` says; StartError when an address of it can't be had.

        The default socket is not insisted on: an observer that never comes is nothing missing.
        """
        listen = config.observer.listen
        wanted = (DEFAULT_OBSERVER_SOCKET,) if listen is None else listen
        new: list[_Listener] = []
        try:
            for where in wanted:
                if where not in self._listeners:
                    new += [await self._listener(where)]
        except StartError as error:
            if listen is not None:
                for listener in new:
                    listener.close()
                raise
            event(_log, logging.WARNING, "no observer socket", error=error)

        async def go_over() -> None:
            self._listen_on(new, listen)

        async def close() -> None:
            for listener in new:
                listener.close()

        return Ready(go_over, close)

    async def close(self) -> None:
        """Stop listening and hang up, on who comes at the last moment too."""
        self._closing = True
        for listener in self._listeners.values():
            listener.close()
        if self._current is not None:
            self._current.close()
        for listener in self._listeners.values():
            await listener.closed()

    def _listen_on(self, new: Sequence[_Listener], configured: Sequence[str] | None) -> None:
        """Listen on the ``configured`` addresses, None: the default one; on others no more."""
        wanted = {DEFAULT_OBSERVER_SOCKET} if configured is None else set(configured)
        gone = [self._listeners.pop(where) for where in self._listeners.keys() - wanted]
        for listener in new:
            self._listeners[listener.where] = listener
            event(_log, logging.INFO, "waiting for the observer", address=listener.where)
        for listener in gone:
            listener.close()
        if self._current is not None and self._came_by not in self._listeners:
            self._current.close()
        if not self._listeners:
            self._intake.up.pop(SOURCE, None)
        elif not self._intake.up.get(SOURCE):
            self._intake.up[SOURCE] = None if configured is None else False

    async def _listener(self, where: str) -> _Listener:
        address = parse_observer_listen(where)
        serve = partial(self._serve, where)
        try:
            if isinstance(address, Path):
                server = await asyncio.start_unix_server(serve, sock=_bind(address), limit=_READ)
                return _Listener(where, server, address)
            server = await asyncio.start_server(serve, *address, limit=_READ)
        except OSError as error:
            raise StartError(f"observer.listen: can't listen on {where}: {system_reason(error)}") from error
        return _Listener(where, server, None)

    async def _serve(self, where: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._closing or where not in self._listeners:  # that configuration is not taken up yet
            writer.close()
            return
        if self._current is not None:
            self._current.close()
        self._current, self._came_by = writer, where
        try:
            await self._read(reader)
        except StreamError as error:
            self._reject(error)
        except OSError as error:
            event(_log, logging.INFO, "observer connection broke", error=error)
        finally:
            if self._current is writer:
                self._current = None
                self._lost()
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    async def _read(self, reader: asyncio.StreamReader) -> None:
        """Read until the observer hangs up. A StreamError that leaves here ends the connection."""
        lines = stream.Lines()
        greeted = False
        while data := await reader.read(_READ):
            complete, oversized = lines.feed(data)
            if oversized:
                self._intake.rejected[SOURCE, "oversized"] += oversized
            for line in complete:
                greeted = self._take_line(line, greeted)
            await asyncio.sleep(0)
        if lines.half:
            self._intake.rejected[SOURCE, "truncated"] += 1

    def _take_line(self, line: bytes, greeted: bool) -> bool:
        """Take one line; True when the hello has been seen."""
        try:
            message = stream.decode(line)
            if isinstance(message, stream.Hello):
                self._greet(message, first=not greeted)
                return True
            self._take_message(message, greeted)
        except StreamError as error:
            if error.reason == "unsupported_version":
                raise
            self._reject(error)
        return greeted

    def _greet(self, hello: stream.Hello, *, first: bool) -> None:
        identity = stream.identity(hello)
        self._take(identity)
        self._intake.up[SOURCE] = True
        if first:
            self._told.clear()
            event(_log, logging.INFO, "observer connected", node=identity.id, address=identity.address)

    def _take_message(self, message: stream.Message, greeted: bool) -> None:
        if not greeted:
            raise StreamError("no_hello", "expected hello as the first message")
        match message:
            case stream.Stats():
                self._take(stream.status(message))
            case stream.StreamConfiguration():
                self._take(stream.configuration(message))
            case stream.Heartbeats():
                for heartbeats in stream.heartbeats(message):
                    self._take(heartbeats)
            case stream.Dropped():
                self._intake.dropped += message.count
            case stream.Observation():
                kind, evidence = stream.observation(message)
                if kind is not None:
                    self._intake.observations[kind] += 1
                if evidence is not None:
                    self._take(evidence)

    def _reject(self, error: StreamError) -> None:
        """Count it, and say so the first time: one reason may come with every line, and go on."""
        self._intake.rejected[SOURCE, error.reason] += 1
        level = logging.DEBUG if error.reason in self._told else logging.WARNING
        self._told.add(error.reason)
        event(_log, level, "observer line rejected", reason=error.reason, error=error)

    def _lost(self) -> None:
        if self._intake.up.get(SOURCE):
            self._intake.up[SOURCE] = False
            self._take(StatusLost())
            event(_log, logging.WARNING, "observer disconnected")


def _bind(path: Path) -> socket.socket:
    """Make the socket; one that nobody listens on any more is replaced."""
    path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    if path.is_socket():
        if _answers(path):
            raise OSError(None, "another process listens there")
        path.unlink()
    elif path.exists():
        raise OSError(None, "something else than a socket stands there")
    sock = socket.socket(socket.AF_UNIX)
    try:
        sock.bind(str(path))
        path.chmod(0o660)  # the node may run as another user of the same group
    except OSError:
        sock.close()
        raise
    return sock


def _answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as sock:
        try:
            sock.connect(str(path))
        except OSError:
            return False
        return True
