"""What the service manager (systemd) is told: sd_notify(3) and sd_watchdog_enabled(3), without a library.

Where no service manager asks for it, nothing is done. Nothing here fails or blocks.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Mapping
from typing import Final

NOTIFY_SOCKET: Final = "NOTIFY_SOCKET"
WATCHDOG_USEC: Final = "WATCHDOG_USEC"
WATCHDOG_PID: Final = "WATCHDOG_PID"

_LONGEST: Final = 400
"""Characters of a status text: it is for one line of ``systemctl status``."""


class Notifier:
    """Tells the service manager how this process is.

    A message about the state that could not be sent, for the queue was full, goes out with the next
    :meth:`alive`. ``address`` is that of the socket, None: nobody listens; ``watchdog`` the nanoseconds
    within which a sign of life has to come, None: none is wanted; ``clock`` is CLOCK_MONOTONIC in them.
    """

    def __init__(
        self,
        address: str | None,
        watchdog: int | None = None,
        clock: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        # In Linux' abstract name space, written with '@' in front, an address begins with a zero byte.
        self._address = f"\0{address[1:]}" if address is not None and address.startswith("@") else address
        self._watchdog = watchdog
        self._clock = clock
        self._due = 0
        self._owed = ""

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Notifier:
        """Read where to tell it, and how often, from what the service manager sets; bad values are none."""
        address = environment.get(NOTIFY_SOCKET, "")
        listens = address.startswith(("/", "@")) and len(address) > 1
        return cls(address if listens else None, _watchdog(environment))

    def ready(self, status: str = "serving") -> None:
        """Tell that it serves: after the start, and after each reload, whatever came of it."""
        self._tell("READY=1", status)

    def reloading(self) -> None:
        """Tell that a reload has begun; :meth:`ready` ends it."""
        self._tell(f"RELOADING=1\nMONOTONIC_USEC={self._clock() // 1000}", "reloading the configuration")

    def stopping(self) -> None:
        """Tell that it stops."""
        self._tell("STOPPING=1", "stopping")

    def alive(self) -> None:
        """Give a sign of life, if one is wanted and due; called in each turn of what must not hang."""
        if self._owed and self._send(self._owed):
            self._owed = ""
        if self._watchdog is not None and self._clock() >= self._due and self._send("WATCHDOG=1"):
            # Twice in the time that is given, as sd_watchdog_enabled(3) says.
            self._due = self._clock() + self._watchdog // 2

    def _tell(self, state: str, status: str) -> None:
        # A line feed would begin another assignment; and a text stands until the next one.
        message = f"{state}\nSTATUS={' '.join(status.split())[:_LONGEST]}"
        self._owed = "" if self._send(message) else message

    def _send(self, message: str) -> bool:
        if self._address is None:
            return True
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as sender:
                sender.sendto(message.encode(errors="replace"), self._address)
        except OSError:
            return False
        return True


def _watchdog(environment: Mapping[str, str]) -> int | None:
    text, pid = environment.get(WATCHDOG_USEC, ""), environment.get(WATCHDOG_PID)
    if not (text.isascii() and text.isdigit() and int(text) > 0) or pid not in {None, str(os.getpid())}:
        return None
    return int(text) * 1000
