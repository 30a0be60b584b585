"""What hashicorp/raft says of itself in text: ``raft.Raft.Stats()``, durations, a printed configuration."""

from __future__ import annotations

import re
from typing import Annotated, Final, TypeAlias

from msgspec import Meta, Struct

from raft_exporter.model.evidence import Configuration, NodeStatus, Role, Server, Suffrage

MAX_SERVERS: Final = 256
"""Servers in one configuration: it makes the series, so it is bounded."""

ROLES: Final = {
    "Follower": Role.FOLLOWER,
    "Candidate": Role.CANDIDATE,
    "Leader": Role.LEADER,
    "Shutdown": Role.SHUTDOWN,
}
"""``raft.RaftState``, as Go prints it."""
SUFFRAGES: Final = {"Voter": Suffrage.VOTER, "Nonvoter": Suffrage.NONVOTER, "Staging": Suffrage.STAGING}
"""``raft.ServerSuffrage``, as Go prints it."""

_PART: Final = r"([0-9]+(?:\.[0-9]+)?)(ns|us|µs|ms|s|m|h)"
_GO_DURATION: Final = re.compile(_PART)
_GO_UNITS: Final = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_NO_CONTACT: Final = {"never", "0"}
"""There never was one; and what the leader says of itself."""
_SERVER: Final = re.compile(r"\{Suffrage:([A-Za-z]+) ID:(\S{1,256}) Address:(\S{0,256})\}(?: |$)")

Id: TypeAlias = Annotated[str, Meta(min_length=1, max_length=256)]
Address: TypeAlias = Annotated[str, Meta(max_length=256)]
"""A Raft address; it stands for an id where none is known, so it is no longer than one."""
GoDuration: TypeAlias = Annotated[str, Meta(max_length=40, pattern=rf"\A(?:{_PART})+\Z")]
Count: TypeAlias = Annotated[int, Meta(ge=0, le=2**63 - 1)] | Annotated[str, Meta(pattern=r"\A[0-9]{1,19}\Z")]
"""A number, or its digits: ``Stats()`` has strings, and some services make numbers of them."""
Contact: TypeAlias = (
    Annotated[int, Meta(ge=0, le=0)]
    | Annotated[str, Meta(max_length=40, pattern=rf"\A(?:never|0|(?:{_PART})+)\Z")]
)


def integer(text: str) -> int | None:
    """Read a decimal number below 2^64; None when it is none."""
    if not (text.isascii() and text.isdigit() and len(text) <= 20 and int(text) < 1 << 64):
        return None
    return int(text)


def duration(text: str) -> float | None:
    """Read a Go duration such as ``1m2.3s``, of at most 40 characters, as seconds; None when it is none."""
    total, end = 0.0, 0
    for part in _GO_DURATION.finditer(text[:40]):
        if part.start() != end:
            break
        total += float(part[1]) * _GO_UNITS[part[2]]
        end = part.end()
    return total if end and end == len(text) else None


def has_contact(text: str) -> bool:
    """Whether a ``last_contact`` tells any: neither the leader's "0" nor "never"."""
    return text not in _NO_CONTACT


class RaftStats(Struct, frozen=True):
    """``raft.Raft.Stats()`` as an API passes it on; None is what it left out."""

    state: str
    term: Count | None = None
    last_log_index: Count | None = None
    commit_index: Count | None = None
    applied_index: Count | None = None
    last_snapshot_index: Count | None = None
    fsm_pending: Count | None = None
    protocol_version: Count | None = None
    last_contact: Contact | None = None
    latest_configuration: str = ""
    latest_configuration_index: Count | None = None

    def status(self, leader_id: str | None, leader_address: str) -> NodeStatus:
        """Give the state of a node that has these and knows this leader; heartbeats are not among them."""
        contact = str(self.last_contact or 0)
        return NodeStatus(
            role=ROLES.get(self.state, Role.UNKNOWN),
            term=number(self.term),
            last_log_index=number(self.last_log_index),
            commit_index=number(self.commit_index),
            applied_index=number(self.applied_index),
            snapshot_index=number(self.last_snapshot_index),
            fsm_pending=number(self.fsm_pending),
            protocol_version=number(self.protocol_version),
            leader_id=leader_id,
            leader_address=leader_address,
            last_contact=duration(contact) if has_contact(contact) else None,
            heartbeats=False,
        )

    def configuration(self) -> Configuration | None:
        """Read ``latest_configuration``, Go's ``%+v`` of its servers.

        None when it is not all of one list: nothing in it tells an id with spaces from the next field.
        """
        text = self.latest_configuration
        if not (text.startswith("[") and text.endswith("]")):
            return None
        servers, end, inner = list[Server](), 0, text[1:-1]
        for part in _SERVER.finditer(inner):
            suffrage = SUFFRAGES.get(part[1])
            if part.start() != end or suffrage is None:
                return None
            servers.append(Server(part[2], part[3], suffrage))
            end = part.end()
        whole = end == len(inner) and not inner.endswith(" ")
        if not whole or not is_configuration(servers):
            return None
        # hashicorp/raft up to 1.7.3 always says 0 here.
        return Configuration(tuple(servers), index=number(self.latest_configuration_index) or None)


def number(count: Count | None) -> int | None:
    """Give the number of a count, None of none."""
    return None if count is None else int(count)


def is_configuration(servers: list[Server]) -> bool:
    """Whether servers can be one configuration: not too many, and each id once."""
    return len(servers) <= MAX_SERVERS and len({server.id for server in servers}) == len(servers)
