"""Lines of the observer stream, as an observer of the test's own writes them (docs/observer-protocol.md)."""

from __future__ import annotations

import json


def line(**message: object) -> bytes:
    return json.dumps(message).encode() + b"\n"


def hello(**other: object) -> bytes:
    facts: dict[str, object] = {
        "type": "hello",
        "age_ms": 0,
        "stream_version": 1,
        "node_id": "n1",
        "address": "127.0.0.1:1",
        "heartbeat_timeout_ms": 1000,
        "election_timeout_ms": 1000,
        "library_version": "v1.7.3",
    }
    return line(**facts | other)


def observation(kind: str, **fields: object) -> bytes:
    return line(type="observation", age_ms=0, kind=kind, **fields)
