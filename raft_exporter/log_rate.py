"""How often one message may be logged: what comes more often is counted, and summed up in the end."""

from __future__ import annotations

import logging
from itertools import takewhile
from typing import Final, NamedTuple, Self

BURST: Final = 100
"""Lines of one message in a window. Thirty members that fail and come back make ninety, all written."""

WINDOW: Final = 60.0
"""Seconds. A message that never ends makes 100 lines a minute, and one that says how many there were."""

KINDS: Final = 256
"""Messages that are told apart at a time. This program has some fifty, its libraries make up others."""

_FAULT: Final = 200
"""Characters of an error that tell it apart from others."""


class Message(NamedTuple):
    """What makes two log records the same message: all but their fields."""

    logger: str
    level: int
    text: str
    fault: str = ""

    @classmethod
    def of(cls, record: logging.LogRecord) -> Self:
        """Give the message of a record. Errors are the same only where they tell of the same fault."""
        level = min(max(record.levelno // 10 * 10, logging.DEBUG), logging.ERROR)
        # asyncio adds what it knows of a task on further lines, and no two tasks are alike.
        text = str(record.msg).partition("\n")[0]
        fault = _fault(record) if level == logging.ERROR else ""
        return cls(record.name, level, text, fault)


class Repeated(NamedTuple):
    """How often a message was held back in a window that is over."""

    message: Message
    times: int


class LogRate:
    """Lets each message pass ``burst`` times in a window of so many seconds, which begins with the first.

    Invariant: at most ``kinds`` windows are open, and one more for each level, which further messages share.
    """

    def __init__(self, burst: int = BURST, window: float = WINDOW, kinds: int = KINDS) -> None:
        self.window: Final = window
        self._burst = burst
        self._kinds = kinds
        self._open: dict[Message, _Window] = {}

    def passes(self, message: Message, now: float) -> bool:
        """Whether it may be written at ``now``, by a clock that never goes back; else it is counted."""
        if message not in self._open and len(self._open) >= self._kinds:
            message = Message(__name__, message.level, "various messages")
        window = self._open.setdefault(message, _Window(now + self.window))
        window.count += 1
        return window.count <= self._burst

    def over(self, now: float) -> list[Repeated]:
        """Close the windows that are over at ``now``; give what was held back in them."""
        # In the order in which they began they end: all are as long.
        ended = list(takewhile(lambda one: one[1].ends <= now, self._open.items()))
        for message, _ in ended:
            del self._open[message]
        return [
            Repeated(message, window.count - self._burst)
            for message, window in ended
            if window.count > self._burst
        ]

    def rest(self, now: float) -> float | None:
        """Seconds until a window ends in which something is held back; None where nothing is."""
        ends = (window.ends for window in self._open.values() if window.count > self._burst)
        end = next(ends, None)
        return None if end is None else max(end - now, 0.0)


class _Window:
    __slots__ = ("count", "ends")

    def __init__(self, ends: float) -> None:
        self.ends = ends
        self.count = 0


def _fault(record: logging.LogRecord) -> str:
    """Tell the kind of an error apart: by its exception, or by the field that tells of it."""
    if record.exc_info and record.exc_info[0] is not None:
        return record.exc_info[0].__name__
    fields = getattr(record, "fields", None)
    told = (fields.get("error"), fields.get("fault")) if isinstance(fields, dict) else ()
    return " ".join(str(each)[:_FAULT] for each in told if each is not None)
