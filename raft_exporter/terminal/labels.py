"""What is written for what came from elsewhere: printable text, and ids that are short enough."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Final, TypeVar

import msgspec
from msgspec import Struct
from rich.cells import cell_len

from raft_exporter.notation import one_line

_GAP: Final = ".."

_S = TypeVar("_S", bound=Struct)


def printable(struct: _S, encoding: str) -> _S:
    """Escape, in all texts of a struct, what would steer the terminal or what its encoding does not have."""
    return msgspec.convert(_escaped(msgspec.to_builtins(struct), encoding), type(struct))


def _escaped(value: Any, encoding: str) -> Any:
    match value:
        case str():
            return one_line(value).encode(encoding, "backslashreplace").decode(encoding)
        case dict():
            return {_escaped(key, encoding): _escaped(each, encoding) for key, each in value.items()}
        case list() | tuple():
            return [_escaped(each, encoding) for each in value]
        case _:
            return value


def labels(ids: Collection[str], limit: int) -> dict[str, str]:
    """Shorten ids by their middles to ``limit`` characters, or to as many as tell each from all others."""
    for size in range(limit, max(map(len, ids), default=0)):
        short = {each: _shortened(each, size) for each in ids}
        if len(set(short.values())) == len(short):
            return short
    return {each: each for each in ids}


def _shortened(text: str, size: int) -> str:
    if cell_len(text) <= size:
        return text
    tail = (size - len(_GAP)) // 2
    return text[: size - len(_GAP) - tail] + _GAP + text[len(text) - tail :]
