"""The recorded packets of ``tests/captures``: see its README."""

from __future__ import annotations

import re
from pathlib import Path

CAPTURES = Path(__file__).parents[1] / "captures"
RAFT = "raft-1.7.3-statsd-"
_HEADER = re.compile(
    rb"^(?:# t=(?P<t>\S+) len=(?P<len>\d+) lines=\d+|@@(?P<at>\S+) \d+ (?P<bytes>\d+))\n", re.MULTILINE
)
_HEARTBEAT = re.compile(rb"raft\.replication\.heartbeat\.([^:]+):")


def text(name: str) -> bytes:
    """Give a whole recording, headers included."""
    return (CAPTURES / f"{name}.txt").read_bytes()


def packets(name: str) -> list[tuple[float, bytes]]:
    """Give the packets of one recording with their times; the last one may end where the recording does."""
    whole = text(name)
    found = list(_HEADER.finditer(whole))
    return [
        (float(each["t"] or each["at"]), whole[each.end() :][: int(each["len"] or each["bytes"])])
        for each in found
    ]


def without_legacy(recorded: list[tuple[float, bytes]]) -> list[tuple[float, bytes]]:
    """Give the same as if the node had NoLegacyTelemetry: of each heartbeat, only its first line."""
    lines: dict[bytes, int] = {}
    single = []
    for at, packet in recorded:
        kept = []
        for line in packet.splitlines(keepends=True):
            if key := _HEARTBEAT.search(line):
                lines[key[1]] = lines.get(key[1], 0) + 1
                if lines[key[1]] % 2 == 0:
                    continue
            kept.append(line)
        single.append((at, b"".join(kept)))
    return single
