"""Runs ``raft-exporter`` by a clock that somebody else turns: ``accelerated.py PACKAGE CONTROL ARGUMENT...``.

PACKAGE is the directory that holds the package, CONTROL the number of an open socket. The monotonic time
comes there, and when nothing is left to do at that time, one byte goes back. So an hour takes as long as what
is done in it, and however busy the machine is, nothing comes late by this clock. Only the standard library,
whatever version of the package it is that runs.
"""

from __future__ import annotations

import importlib
import selectors
import socket
import struct
import sys
import time
from pathlib import Path
from typing import Any, Final

TIME: Final = struct.Struct("=d")
"""How the time is sent, in seconds."""

IDLE: Final = b"."
"""What is answered."""

EPOCH: Final = 1.8e9
"""Unix time is so far ahead of the monotonic one."""


class Turned(selectors.DefaultSelector):
    """The event loop's selector; while it waits, the time stands still until another is sent."""

    control: socket.socket
    now = 0.0

    def __init__(self) -> None:
        super().__init__()
        self._answered = False
        self._key = self.register(self.control, selectors.EVENT_READ)

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """Wait for an event or for another time."""
        ready = super().select(0)
        if not ready and (timeout is None or timeout > 0):
            if not self._answered:
                self.control.sendall(IDLE)
                self._answered = True
            ready = super().select(None)
        if any(key is self._key for key, _ in ready):
            Turned.now = receive_time(self.control)
            self._answered = False
        return [(key, events) for key, events in ready if key is not self._key]


def receive_time(control: socket.socket) -> float:
    """Wait for the next time; whoever turned the clock is gone: end at once."""
    told = control.recv(TIME.size, socket.MSG_WAITALL)
    if len(told) < TIME.size:
        sys.exit("nobody turns the clock any more")
    (now,) = TIME.unpack(told)
    return float(now)


def main(package: str, control: str, *arguments: str) -> None:
    """Run the command line with these arguments."""
    Turned.control = socket.socket(fileno=int(control))
    Turned.now = receive_time(Turned.control)
    modules: Any = (time, selectors)
    modules[0].monotonic = lambda: Turned.now
    modules[0].time = lambda: EPOCH + Turned.now
    modules[1].DefaultSelector = Turned
    sys.path.insert(0, package)
    cli = importlib.import_module("raft_exporter.cli")
    if not Path(cli.__file__ or "").is_relative_to(package):
        sys.exit(f"expected the package in {package}, got {cli.__file__}")
    cli.main(arguments)


if __name__ == "__main__":
    main(*sys.argv[1:])
