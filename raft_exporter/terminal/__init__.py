"""The cluster in a terminal: every state and reason is written, and colour only helps."""

from __future__ import annotations

from typing import Final

from raft_exporter.model.judge import State

COLOURS: Final = {
    State.UNKNOWN: "yellow",
    State.ONLINE: "green",
    State.SUSPECT: "yellow",
    State.STALLED: "bold red",
    State.ASYMMETRIC: "yellow",
    State.OFFLINE: "bold red",
}
