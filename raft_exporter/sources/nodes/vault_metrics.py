"""The few of Vault's and OpenBao's own metrics, in Prometheus' form, that tell of their Raft."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Final

from msgspec import Struct

from raft_exporter.model.evidence import Role

_SAMPLE: Final = re.compile(
    rb"^(?:[A-Za-z0-9_:]*[_:])?raft_(?:"
    rb"storage_stats_(?P<fact>term|fsm_pending)"
    rb"|state_(?P<state>follower|candidate|leader)"
    rb")(?:\{(?P<labels>[^\n]*)\})? (?P<value>[^\s]{1,32})\n",
    re.MULTILINE,
)
"""The prefix is the service's, and before a gauge the host's, as the telemetry stanza has it.

The indices are there too, as 32-bit floats; ``sys/leader`` has them whole.
"""
_PEER: Final = re.compile(rb'(?:^|,)peer_id="((?:[^"\\\n]|\\.){1,256})"')
_ESCAPE: Final = re.compile(r"\\(.)")


class Metrics(Struct, frozen=True):
    """What one scrape says; None is what it does not. ``entered``: how often each state was entered."""

    node_id: str | None = None
    term: int | None = None
    fsm_pending: int | None = None
    entered: Mapping[Role, int] = {}


def read_metrics(body: bytes) -> Metrics:
    """Read a scrape; what is no number is passed over, and so is a node that goes by two ids.

    A gauge may be there twice, once as it was before the node became the active one or ceased to be, for its
    label ``cluster`` changes with that. A term only rises; of the rest nobody can tell which is the latest.
    """
    terms: list[int] = []
    pending: list[int] = []
    entered: dict[Role, int] = {}
    ids: set[str] = set()
    for sample in _SAMPLE.finditer(body):
        value = _integer(sample["value"])
        if value is None:
            continue
        if sample["state"] is not None:
            entered[Role(sample["state"].decode())] = value
            continue
        (terms if sample["fact"] == b"term" else pending).append(value)
        if (peer := _PEER.search(sample["labels"] or b"")) is not None:
            ids.add(_unescaped(peer[1].decode("utf-8", "replace")))
    if len(ids) != 1:
        return Metrics(entered=entered)
    return Metrics(
        node_id=ids.pop(),
        term=max(terms, default=None),
        fsm_pending=pending[0] if len(pending) == 1 else None,
        entered=entered,
    )


class StateEntries:
    """Which Raft state a node entered last, by the counts of its entries, turn by turn."""

    def __init__(self) -> None:
        self._before: Mapping[Role, int] = {}
        self._last: Role | None = None

    def last(self, entered: Mapping[Role, int]) -> Role | None:
        """Give it; None while it is not known.

        A count that is alone tells it, and so does the only one that rose. A count that fell or went begins
        anew: the process did, or its metrics expired, the oldest first.
        """
        before, self._before = self._before, entered
        began_anew = any(entered.get(role, -1) < count for role, count in before.items())
        moved = [role for role, count in entered.items() if began_anew or count != before.get(role)]
        if moved:
            self._last = moved[0] if len(moved) == 1 else None
        return self._last if entered else None


def _integer(text: bytes) -> int | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return int(value) if math.isfinite(value) and 0 <= value < 2**64 else None


def _unescaped(text: str) -> str:
    return _ESCAPE.sub(lambda match: "\n" if match[1] == "n" else match[1], text)
