"""The sidecar's log: one line an event on standard error, in logfmt or JSON.

Every line has ``ts`` (RFC 3339, UTC, milliseconds), ``level``, ``logger`` and ``msg``, then the
event's own fields. Whatever would break the line is escaped; a traceback becomes one field.
"""

from __future__ import annotations

import json
import logging
import math
import re
import sys
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Literal, TypeAlias

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


def setup(level: Level, format: Format) -> None:  # noqa: A002 -- the key's name in the configuration
    """Send the root logger to standard error; called again, it replaces what it set up before."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(LogfmtFormatter() if format == "logfmt" else JsonFormatter())
    root = logging.getLogger()
    for old in [old for old in root.handlers if isinstance(old.formatter, LogfmtFormatter | JsonFormatter)]:
        root.removeHandler(old)
    root.addHandler(handler)
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
