"""The few lines of go-metrics' statsd and dogstatsd sinks that tell of Raft, found in a packet.

A line is ``<prefix>.[<host>.]raft.<name>[.<label>...]:<value>|<type>``; dogstatsd puts ``|#<tags>`` behind.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from msgspec import Struct

from raft_exporter.model.evidence import Role

REASONS: Final = ("oversized", "not_text", "malformed", "bad_value")
"""Every reason for which a packet or a line of it is rejected."""
MAX_HEARTBEAT: Final = 86_400.0
"""Seconds of one round trip: far above any transport timeout."""

_RAFT: Final = re.compile(
    rb"raft\.(?:replication|rpc|net|thread|leader|state|transition|candidate|fsm|apply|commit)"
)
"""A line of the library itself, whatever else is called raft: a service, a host."""
_WANTED: Final = re.compile(
    rb"raft\.(?:replication\.heartbeat|rpc\.processHeartbeat|state\.(?:follower|candidate|leader)"
    rb"|transition\.(?:heartbeat_timeout|leader_lease_timeout)|thread\.main\.saturation|leader\.lastContact)"
    rb"(?=[.:])"
)
_VALUE: Final = re.compile(rb"([0-9]{1,15}(?:\.[0-9]{1,12})?)\|([a-z]{1,2})((?:\|[^|]*)*)")
_NEWLINE: Final = 0x0A
_DOT: Final = 0x2E
_TEXT: Final = bytes([_NEWLINE, *range(0x20, 0x7F), *range(0x80, 0x100)])
_ROLES: Final = {
    b"raft.state.follower": Role.FOLLOWER,
    b"raft.state.candidate": Role.CANDIDATE,
    b"raft.state.leader": Role.LEADER,
    b"raft.transition.heartbeat_timeout": Role.CANDIDATE,
    b"raft.transition.leader_lease_timeout": Role.FOLLOWER,
}
_MAX_NAME: Final = 512
"""Bytes of what stands before a name, or behind it: an id has at most 256 characters, and a host its own."""
_FLUSH: Final = 0.25
"""Seconds from one packet of the statsd sink to the next, every 100 ms, with room for a busy machine."""
_APART: Final = 0.010
"""Seconds by which the second line of a heartbeat is the longer; in the captures at most 0.00042."""
_SURE: Final = 16
"""How far belief in pairs goes up and down; pairs of a packet count once from half of the way down."""
_LONE: Final = 4
_UNTAGGED: Final = 16
"""Plain lines in a row, none with a tag between them, after which they are taken for heartbeats again."""
_MAX_PEERS: Final = 1024


class Heartbeat(Struct, frozen=True):
    """A heartbeat that ``peer`` answered; in its plain form the peer's name may have the host behind it.

    ``tagged`` is dogstatsd's form, where the peer is a tag.
    """

    peer: str
    seconds: float
    tagged: bool = False


class Entered(Struct, frozen=True):
    """The node entered ``role``."""

    role: Role
    behind: str


class LeaderSpoke(Struct, frozen=True):
    """The node took a heartbeat of a leader."""

    behind: str


class Sign(Struct, frozen=True):
    """The node's main loop turned; ``behind`` is what stands behind a name that has no labels of its own."""

    behind: str


Line = Heartbeat | Entered | LeaderSpoke | Sign


class Packet(Struct, frozen=True):
    """What one packet said: ``raft`` whether anything of Raft, and ``faults`` a reason for each bad line."""

    raft: bool = False
    lines: tuple[Line, ...] = ()
    faults: tuple[str, ...] = ()


class Once:
    """Gives each heartbeat once: hashicorp/raft tells it with a label and, one call later, by a plain name.

    The statsd sink writes both alike, so that a key comes twice, the second time a little longer: in one
    packet, or, where a packet ended between them, last in one and first in the next. dogstatsd tags the
    first. With NoLegacyTelemetry there is no second, which is found out: two of a packet that fit make
    belief in pairs grow by one, a lone one makes it fall by four. Nomad's sink writes the host behind
    every name; it is learned from the names that have no label.
    """

    def __init__(self) -> None:
        self._pending: dict[str, tuple[float, float]] = {}
        self._pairs = 0
        self._lone = False
        self._host = ""
        self._untagged: int | None = None

    def take(self, lines: Sequence[Line], at: float) -> list[Heartbeat]:
        """Give the heartbeats of one packet that came ``at``, each once and without the host."""
        heartbeats = []
        for line in lines:
            if isinstance(line, Heartbeat):
                heartbeats.append(line)
            else:
                self._host = f".{line.behind}" if line.behind else ""
        plain: dict[str, list[float]] = {}
        once: list[Heartbeat] = []
        for heartbeat in heartbeats:
            if heartbeat.tagged:
                once += [heartbeat] if self._is_first_tagged(heartbeat) else []
            elif not self._is_told_by_tag():
                plain.setdefault(heartbeat.peer.removesuffix(self._host), []).append(heartbeat.seconds)
        for peer, values in plain.items():
            once += [Heartbeat(peer, seconds) for seconds in self._singles(peer, values, at)]
        # Once a packet at most: one that was lost leaves every peer's line alone.
        if self._lone:
            self._believe(-_LONE)
            self._lone = False
        return once

    def _is_first_tagged(self, line: Heartbeat) -> bool:
        """Whether it is news: the very first with a tag may come after its plain twin."""
        before, self._untagged = self._untagged, 0
        twin = self._pending.pop(line.peer, None)
        return before is not None or twin is None or not _fits(line.seconds, twin[0])

    def _is_told_by_tag(self) -> bool:
        if self._untagged is not None:
            self._untagged += 1
            if self._untagged > _UNTAGGED:
                self._untagged = None
        return self._untagged is not None

    def _singles(self, peer: str, values: list[float], at: float) -> list[float]:
        singles = []
        pending = self._pending.pop(peer, None)
        i = 0
        if pending is not None:
            # An even number is complete in itself: a pair that a packet's end divided leaves an odd one.
            divided = len(values) % 2 == 1 and at - pending[1] <= _FLUSH and _fits(pending[0], values[0])
            i = int(divided and self._pairs > 0)
            self._believe(i)
            self._lone |= not i
        while i < len(values):
            pair = values[i : i + 2]
            if len(pair) == 1:
                self._await(peer, pair[0], at)
            elif _fits(*pair):
                self._believe(1)
                i += 1
                pair = pair[: 1 if self._pairs > -_SURE // 2 else 2]
            else:
                self._believe(-_LONE)
                pair = pair[:1]
            singles += pair
            i += 1
        return singles

    def _believe(self, by: int) -> None:
        self._pairs = max(-_SURE, min(self._pairs + by, _SURE))

    def _await(self, peer: str, seconds: float, at: float) -> None:
        if len(self._pending) >= _MAX_PEERS:
            self._pending.clear()
        self._pending[peer] = (seconds, at)


def _fits(first: float, second: float) -> bool:
    return 0 <= second - first <= _APART


def read(packet: bytes, *, cut: bool = False) -> Packet:
    """Read one packet, whatever it is; ``cut``: its end is missing, and with it its last line."""
    faults = ["oversized"] if cut else []
    if not _is_text(packet):
        faults.append("not_text")
    lines: list[Line] = []
    heard = False
    end = -1
    for match in _WANTED.finditer(packet):
        start, name_end = match.span()
        if start < end or not _begins_name(packet, start):
            continue
        heard = True
        end = packet.find(b"\n", name_end)
        if end < 0:
            end = len(packet)
            if cut:
                continue
        line = _line(match[0], packet[name_end:end])
        if isinstance(line, str):
            faults.append(line)
        elif line is not None:
            lines.append(line)
    return Packet(raft=heard or _is_raft(packet), lines=tuple(lines), faults=tuple(faults))


def _is_text(packet: bytes) -> bool:
    if packet.translate(None, _TEXT):
        return False
    if packet.isascii():
        return True
    try:
        packet.decode()
    except UnicodeDecodeError:
        return False
    return True


def _is_raft(packet: bytes) -> bool:
    return any(_begins_name(packet, match.start()) for match in _RAFT.finditer(packet))


def _begins_name(packet: bytes, at: int) -> bool:
    """Whether what begins ``at`` is a metric's name after its prefix: not a piece of a word, nor of a tag."""
    before = packet[at - 1] if at else _NEWLINE
    if before != _DOT:
        return before == _NEWLINE
    reach = at - _MAX_NAME if at > _MAX_NAME else 0
    start = packet.rfind(b"\n", reach, at) + 1
    return (start > 0 or reach == 0) and packet.find(b":", start, at) < 0


def _line(name: bytes, rest: bytes) -> Line | str | None:
    """Read what stands behind ``name``; give the reason when it can't be, None when it says nothing."""
    behind_name, colon, values = rest.partition(b":")
    value = _VALUE.fullmatch(values)
    if not colon or value is None or len(behind_name) > _MAX_NAME:
        return "malformed"
    try:
        behind = behind_name.decode().removeprefix(".")
        return _told(name, behind, float(value[1]), value[2], value[3])
    except UnicodeDecodeError:
        return "malformed"


def _told(name: bytes, behind: str, number: float, kind: bytes, sections: bytes) -> Line | str | None:
    if kind != (b"c" if name in _ROLES else b"ms"):
        return "malformed"
    if name in _ROLES:
        return Entered(_ROLES[name], behind) if number > 0 else None
    if name == b"raft.rpc.processHeartbeat":
        return LeaderSpoke(behind)
    if name != b"raft.replication.heartbeat":
        return Sign(behind)
    seconds = number / 1000
    if seconds > MAX_HEARTBEAT:
        return "bad_value"
    peer = _tag(sections, b"peer_id:")
    if peer is None and not behind:
        return "malformed"
    return Heartbeat(peer=peer or behind, seconds=seconds, tagged=peer is not None)


def _tag(sections: bytes, key: bytes) -> str | None:
    for section in sections.split(b"|"):
        if section.startswith(b"#"):
            for tag in section[1:].split(b","):
                if tag.startswith(key):
                    return tag[len(key) :].decode()
    return None
