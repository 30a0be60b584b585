"""hashicorp/raft's RPC framing, and the one request that we may send.

A request is a type byte and one msgpack map; an answer is a msgpack string (the error, empty for
none) and a map or nil. There is no length prefix. Source: net_transport.go of hashicorp/raft v1.7.3;
measured in docs/hashicorp-raft.md.
"""

from __future__ import annotations

from collections import deque
from typing import Final

import msgpack
from msgspec import Struct

from raft_exporter.errors import WireError

PROBE: Final = b"\x00\x81\xafProtocolVersion\x03"
"""AppendEntries with nothing but the protocol version: its term is 0, by absence.

Term 0 is below the term of every bootstrapped node, which answers it before any side effect and
through its main loop. A higher term would depose a leader: so there is no way to ask for one.
"""

MAX_ANSWER: Final = 64 * 1024
"""Bytes that one answer may take. A real one takes 86 and the lengths of its id and address."""

_MAX_UINT64: Final = 2**64 - 1
_MAX_TEXT: Final = 1024


class Answer(Struct, frozen=True):
    """A node's answer to :data:`PROBE`.

    ``error`` is the node's own word and empty for none; an error is still an answer of its main loop,
    without a term. ``id`` and ``address`` are the answering node's; empty before hashicorp/raft v1.3.7.
    """

    error: str
    id: str = ""
    address: str = ""
    term: int | None = None
    last_log_index: int | None = None


class AnswerReader:
    """Reads answers from the bytes of one connection, in any pieces.

    Any bytes give answers or :class:`WireError`, never another exception; after an error the
    connection can't be read any further. Memory is bounded by :data:`MAX_ANSWER`.
    """

    def __init__(self) -> None:
        self._unpacker = msgpack.Unpacker(raw=True, strict_map_key=False, max_buffer_size=MAX_ANSWER)
        self._objects: deque[object] = deque()

    def feed(self, data: bytes) -> list[Answer]:
        """Take the next bytes and give the answers that are complete with them."""
        try:
            self._unpacker.feed(data)
            self._objects.extend(self._unpacker)
        except Exception as error:  # msgpack raises what its input makes Python raise
            raise WireError(f"expected msgpack, got {type(error).__name__}") from error
        answers = []
        while len(self._objects) >= 2:
            answers.append(_answer(self._objects.popleft(), self._objects.popleft()))
        return answers


def _answer(error: object, body: object) -> Answer:
    if not isinstance(error, bytes):
        raise WireError(f"expected an error string, got {type(error).__name__}")
    message = _text(error, "error")
    if body is None:
        if not message:
            raise WireError("expected an answer or an error, got neither")
        return Answer(error=message)
    if not isinstance(body, dict):
        raise WireError(f"expected a map as answer, got {type(body).__name__}")
    if message:
        return Answer(error=message)
    return Answer(
        error="",
        id=_text(body.get(b"ID"), "ID"),
        address=_text(body.get(b"Addr"), "Addr"),
        term=_uint64(body.get(b"Term"), "Term"),
        last_log_index=_uint64(body.get(b"LastLog"), "LastLog"),
    )


def _text(value: object, key: str) -> str:
    if value is None:
        return ""
    if not isinstance(value, bytes) or len(value) > _MAX_TEXT:
        raise WireError(f"expected a string of at most {_MAX_TEXT} bytes as {key}")
    return value.decode("utf-8", "replace")


def _uint64(value: object, key: str) -> int:
    if type(value) is not int or not 0 <= value <= _MAX_UINT64:
        raise WireError(f"expected an unsigned integer as {key}")
    return value
