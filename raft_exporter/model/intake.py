"""How the sources fare."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from raft_exporter.model.evidence import ObservationKind


@dataclass(slots=True)
class Intake:
    """How the sources fare: what was taken, dropped and rejected, and which of them are up."""

    observations: Counter[ObservationKind] = field(default_factory=Counter)
    dropped: int = 0
    rejected: Counter[tuple[str, str]] = field(default_factory=Counter)
    up: dict[str, bool | None] = field(default_factory=dict)
    """By source whether it is connected; None: it is not insisted on, and never came."""
    heard: bool = False
    """Any evidence has come at all; that the node has a name is none."""
