"""The sidecar's log: one line an event on standard error, in logfmt or JSON.

Every line has ``ts`` (RFC 3339, UTC, milliseconds), ``level``, ``logger`` and ``msg``, then the
event's own fields. Whatever would break the line is escaped; a traceback becomes one field. A message
that comes too often is held back, and summed up when its window is over (``log_rate``).
"""

from __future__ import annotations

import contextlib
import json
import logging
import math
import re
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Final, Literal, TypeAlias, get_args

from raft_exporter.log_rate import LogRate, Message

Level: TypeAlias = Literal["debug", "info", "warning", "error"]
Format: TypeAlias = Literal["logfmt", "json"]
Value: TypeAlias = str | int | float | bool | None

_OWN_KEYS = frozenset({"ts", "level", "logger", "msg", "exception", "stack"})
_NOT_IN_KEY = re.compile(r'[\s="\\]|[^ -~]')
_BARE = re.compile(r'[^\s="\\]+')


class LogfmtFormatter(logging.Formatter):
    """``ts=... level=info logger=... msg="..." key=value``."""

    def format(self, record: logging.LogRecord) -> str:
        """Write one record as one line."""
        return " ".join(f"{_key(key)}={_logfmt(value)}" for key, value in _pairs(self, record))


class JsonFormatter(logging.Formatter):
    """One JSON object, in ASCII."""

    def format(self, record: logging.LogRecord) -> str:
        """Write one record as one line."""
        return json.dumps({_key(key): _json(value) for key, value in _pairs(self, record)}, allow_nan=False)


def _in_a_thread(seconds: float, act: Callable[[], None]) -> None:
    timer = threading.Timer(seconds, act)
    timer.daemon = True
    timer.start()


class Output(logging.Handler):
    """Standard error; counts the lines that it writes by level, and those that it holds back.

    ``clock`` never goes back, ``later`` has something done after so many seconds. Invariant: what was held
    back is summed up when its window is over, or at the end of the process.
    """

    def __init__(
        self,
        rate: LogRate,
        clock: Callable[[], float] = time.monotonic,
        later: Callable[[float, Callable[[], None]], None] = _in_a_thread,
    ) -> None:
        super().__init__()
        self.written: dict[str, int] = dict.fromkeys(get_args(Level), 0)
        self.suppressed = 0
        self._rate = rate
        self._clock = clock
        self._later = later
        self._waiting = False

    def emit(self, record: logging.LogRecord) -> None:
        """Write one record, unless its message came too often; logging.Handler holds the lock meanwhile."""
        try:
            now = self._clock()
            self._sum_up(now)
            message = Message.of(record)
            if self._rate.passes(message, now):
                self._write(record, message.level)
            else:
                self.suppressed += 1
                self._wait(now)
        except OSError:
            pass  # nobody reads the log any more, and there is no other place to say so
        except Exception:
            self.handleError(record)

    def close(self) -> None:
        """Sum up what is held back: logging calls this at the end of the process."""
        with contextlib.suppress(OSError):
            self._sum_up(math.inf)
        super().close()

    def _sum_up(self, now: float) -> None:
        for message, times in self._rate.over(now):
            record = logging.LogRecord(message.logger, message.level, "", 0, "message repeated", None, None)
            record.fields = {"message": message.text, "times": times, "within": f"{self._rate.window:g}s"}
            self._write(record, message.level)

    def _wait(self, now: float) -> None:
        """Sum up in time, even if nothing else is ever logged."""
        rest = self._rate.rest(now)
        if rest is not None and not self._waiting:
            self._waiting = True
            self._later(rest, self._turn)

    def _turn(self) -> None:
        self.acquire()
        try:
            self._waiting = False
            now = self._clock()
            with contextlib.suppress(OSError):
                self._sum_up(now)
            self._wait(now)
        finally:
            self.release()

    def _write(self, record: logging.LogRecord, level: int) -> None:
        self.written[logging.getLevelName(level).lower()] += 1
        if sys.stderr is not None:  # it is None where the process was started without
            sys.stderr.write(f"{self.format(record)}\n")
            sys.stderr.flush()


OUTPUT: Final = Output(LogRate())
"""The one of this process, as logging is."""


def setup(level: Level, format: Format) -> None:  # noqa: A002 -- the key's name in the configuration
    """Send the root logger to standard error; called again, it loses and doubles no line."""
    OUTPUT.setFormatter(LogfmtFormatter() if format == "logfmt" else JsonFormatter())
    root = logging.getLogger()
    root.addHandler(OUTPUT)  # once: logging adds no handler twice
    root.setLevel(level.upper())


def event(
    logger: logging.Logger,
    level: int,
    msg: str,
    /,
    *,
    exc_info: BaseException | None = None,
    **fields: object,
) -> None:
    """Log a fixed message with its facts as fields: ``event(log, logging.INFO, "joined", peer="n2")``."""
    # '%' in the message is text: without arguments, logging formats nothing.
    logger.log(level, msg, exc_info=exc_info, extra={"fields": fields}, stacklevel=2)


def _pairs(formatter: logging.Formatter, record: logging.LogRecord) -> Iterator[tuple[str, Value]]:
    when = datetime.fromtimestamp(record.created, UTC)
    yield "ts", when.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    yield "level", record.levelname.lower()
    yield "logger", record.name
    yield "msg", record.getMessage()
    fields = getattr(record, "fields", None)
    for key, value in fields.items() if isinstance(fields, Mapping) else ():
        name = str(key)
        plain = value is None or isinstance(value, str | int | float)
        # A field never passes itself off as one of the line's own keys.
        yield f"{name}_" if name in _OWN_KEYS else name, value if plain else str(value)
    if record.exc_info and record.exc_info[0] is not None:
        yield "exception", formatter.formatException(record.exc_info)
    if record.stack_info:
        yield "stack", record.stack_info


def _key(key: str) -> str:
    return _NOT_IN_KEY.sub("_", key) or "_"


def _logfmt(value: Value) -> str:
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    text = str(value)
    if _BARE.fullmatch(text) and text.isprintable():
        return text
    return '"' + "".join(_escape(char) for char in text) + '"'


def _escape(char: str) -> str:
    # JSON's escapes, also for what JSON lets pass and a terminal or a line reader would not.
    return char if char.isprintable() and char not in '"\\' else json.dumps(char)[1:-1]


def _json(value: Value) -> Value:
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value
