"""What a go-metrics Prometheus body (text format 0.0.4) says of Raft's heartbeats and states.

Names are parts joined by ``_``, with a prefix of any kind before ``raft_``: the service's, and before gauges
the host's. Only the few lines with the names that count are read, so a large body costs little more than
the search for them.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator
from typing import Final, TypeAlias

from msgspec import Struct

from raft_exporter.model.evidence import Role
from raft_exporter.notation import is_text

MAX_LINES: Final = 4096
"""Lines that are read in one body: more than 256 peers have in both forms, with quantiles and comments."""
REASONS: Final = ("malformed", "too_many")
"""Why a line was not read."""

_MAX_LINE: Final = 1024
_MAX_BYTES: Final = 256 * 1024
"""Of all lines whose samples are read: twice what 256 peers have in both forms, and less than 20 ms."""
_MAX_PEER: Final = 256
_MAX_COUNT: Final = 2.0**53
"""Above it floats leave out whole numbers."""

_RAFT: Final = re.compile(rb"raft_")
_NEEDED: Final = re.compile(rb"raft_(?:replication_heartbeat|rpc_processHeartbeat|state_)")
_LABEL: Final = rb"[ \t]*+[A-Za-z_][A-Za-z0-9_]*+[ \t]*+=[ \t]*+\"(?:[^\"\\]|\\.)*+\"[ \t]*+"
# Name, labels, value, time; behind it OpenMetrics may have an exemplar. No part can be split in two ways.
_SAMPLE: Final = re.compile(
    rb"(?P<name>[^ \t{}\"#=,]++)[ \t]*+"
    rb"(?:\{(?P<labels>(?:" + _LABEL + rb"(?:," + _LABEL + rb")*+(?:,[ \t]*+)?)?+)\})?"
    rb"(?<=[ \t}])[ \t]*+(?P<value>[0-9A-Za-z.+-]++)(?:[ \t]++[0-9.eE+-]++)?[ \t]*+(?:#.*)?"
)
_PAIR: Final = re.compile(rb"([A-Za-z_][A-Za-z0-9_]*+)[ \t]*+=[ \t]*+\"((?:[^\"\\]|\\.)*+)\"")
_ESCAPE: Final = re.compile(r"\\(.)")
_UNESCAPED: Final = {"n": "\n"}
# What go-metrics replaces in a name; a ':' stays (nomad#10533).
_REPLACED: Final = str.maketrans(" .=-/", "_____")

_HEARTBEAT: Final = b"raft_replication_heartbeat"
_HEARD: Final = b"raft_rpc_processHeartbeat"
_STATE: Final = b"raft_state_"
_QUANTILE: Final = b'quantile="'
_ROLES: Final = {b"follower": Role.FOLLOWER, b"candidate": Role.CANDIDATE, b"leader": Role.LEADER}

Series: TypeAlias = tuple[bytes, tuple[tuple[bytes, bytes], ...]]
"""A name, without ``_count`` or ``_sum``, and the labels in the order of their names."""


class Heartbeats(Struct, frozen=True):
    """How many heartbeats a peer answered while the series stood, and their round trips in seconds.

    ``total`` is None where it is not told. ``legacy`` is the series that counts the same heartbeats with the
    peer in its name; None: this one is it, and ``peer`` may have had other characters.
    """

    peer: str
    count: int
    total: float | None
    legacy: Series | None


class Scrape(Struct, frozen=True):
    """What one body says, by series.

    ``raft``: there are series of Raft at all. ``heard`` is how many heartbeats of a leader came, ``entered``
    how often the node entered which state.
    """

    raft: bool
    heartbeats: dict[Series, Heartbeats]
    heard: dict[Series, int]
    entered: dict[Series, tuple[Role, int]]
    rejected: Counter[str]


def read(body: bytes) -> Scrape:
    """Read a body. Whatever it holds is no error: lines that are no samples are counted and skipped."""
    counts: dict[Series, int] = {}
    sums: dict[Series, float] = {}
    heard: dict[Series, int] = {}
    entered: dict[Series, tuple[Role, int]] = {}
    rejected: Counter[str] = Counter()
    left = _MAX_BYTES
    for number, line in enumerate(_lines(body, _NEEDED)):
        if number == MAX_LINES or left < 0:
            rejected["too_many"] += 1
            break
        if line.startswith(b"#") or _QUANTILE in line:
            continue
        left -= len(line)
        try:
            name, labels, value = _sample(line)
            if name.endswith(b"_sum"):
                sums[name.removesuffix(b"_sum"), labels] = value
            elif name.endswith(b"_count"):
                base = name.removesuffix(b"_count")
                kept = heard if _behind(_HEARD, base) == b"" else counts
                kept[base, labels] = _count(value)
            elif role := _ROLES.get((_behind(_STATE, name) or b"").removesuffix(b"_total")):
                entered[name, labels] = (role, _count(value))
        except ValueError:
            rejected["malformed"] += 1
    heartbeats: dict[Series, Heartbeats] = {}
    for series, count in counts.items():
        try:
            if about := _peer(series):
                heartbeats[series] = Heartbeats(about[0], count, _seconds(sums.get(series)), about[1])
        except ValueError:
            rejected["malformed"] += 1
    raft = bool(heartbeats or heard or entered) or _any_raft(body)
    return Scrape(raft, heartbeats, heard, entered, rejected)


def _lines(body: bytes, wanted: re.Pattern[bytes]) -> Iterator[bytes]:
    """Give each line that has ``wanted`` in it, without white space around it."""
    end = 0
    while match := wanted.search(body, end):
        begin = body.rfind(b"\n", 0, match.start()) + 1
        end = body.find(b"\n", match.end())
        if end < 0:
            # The format ends every line: this one is cut off, and its number may be, too.
            yield b"{"
            return
        yield body[begin:end].strip()


def _any_raft(body: bytes) -> bool:
    for number, line in enumerate(_lines(body, _RAFT)):
        if number == MAX_LINES:
            break
        if not line.startswith(b"#") and _behind(b"raft_", re.split(rb"[ \t{]", line, maxsplit=1)[0]):
            return True
    return False


def _sample(line: bytes) -> tuple[bytes, tuple[tuple[bytes, bytes], ...], float]:
    sample = _SAMPLE.fullmatch(line) if len(line) <= _MAX_LINE else None
    if sample is None:
        raise ValueError("expected name, labels and value")
    labels = tuple(sorted(_PAIR.findall(sample["labels"] or b"")))
    return sample["name"], labels, float(sample["value"])


def _behind(family: bytes, name: bytes) -> bytes | None:
    """Give what follows ``family`` in a name that has it, at its beginning or behind a prefix; else None."""
    at = name.find(family)
    if at < 0 or (at > 0 and name[at - 1] not in b"_:"):
        return None
    return name[at + len(family) :]


def _peer(series: Series) -> tuple[str, Series | None] | None:
    """Tell whom a series of heartbeats is about, and which other series is about the same."""
    name, labels = series
    behind = _behind(_HEARTBEAT, name)
    if behind is None or (behind and not behind.startswith(b"_")):
        return None
    told = dict(labels).get(b"peer_id")
    peer = behind[1:].decode() if told is None else _unescaped(told.decode())
    if told is None and not behind:
        return None
    if not is_text(peer, _MAX_PEER):
        raise ValueError("expected the id of a peer")
    if told is None:
        return peer, None
    others = tuple(label for label in labels if label[0] != b"peer_id")
    return peer, (b"%s_%s" % (name, peer.translate(_REPLACED).encode()), others)


def _unescaped(text: str) -> str:
    return _ESCAPE.sub(lambda match: _UNESCAPED.get(match[1], match[1]), text) if "\\" in text else text


def _count(value: float) -> int:
    if not (0 <= value < _MAX_COUNT and value.is_integer()):
        raise ValueError("expected a count")
    return int(value)


def _seconds(milliseconds: float | None) -> float | None:
    if milliseconds is None or not 0 <= milliseconds < math.inf:
        return None
    return milliseconds / 1000
