"""What happens to the simulated world, as a scenario writes it: five nodes, their hosts and links."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from enum import IntEnum, StrEnum
from typing import Final

from bench._spans import Span

NODES: Final = ("n1", "n2", "n3", "n4", "n5")
MAJORITY: Final = 3
H: Final = 1.0
"""HeartbeatTimeout, seconds."""
NEVER: Final = math.inf


class Kind(IntEnum):
    """What is sent: the fates of different kinds at the same time are independent."""

    PROBE = 1
    REPORT = 2
    HEARTBEAT = 3
    GOSSIP = 4
    PING = 5
    CONNECT = 6
    KEEPALIVE = 7
    WORK = 8
    TICK = 9


class Service(StrEnum):
    """Who answers at a node."""

    RAFT = "raft"
    SIDECAR = "sidecar"


@dataclass(slots=True)
class Script:
    """All that happens to the world, as the scenario writes it. Times and delays in seconds."""

    until: float
    seed: int = 0
    restarts: list[tuple[str, float]] = field(default_factory=list)
    """Which sidecar is restarted, and when, in the scenarios with restarts."""
    process_down: dict[str, list[Span]] = field(default_factory=lambda: {node: [] for node in NODES})
    process_frozen: dict[str, list[Span]] = field(default_factory=lambda: {node: [] for node in NODES})
    host_down: dict[str, list[Span]] = field(default_factory=lambda: {node: [] for node in NODES})
    host_paused: dict[str, list[Span]] = field(default_factory=lambda: {node: [] for node in NODES})
    sidecar_down: dict[str, list[Span]] = field(default_factory=lambda: {node: [] for node in NODES})
    sidecar_frozen: dict[str, list[Span]] = field(default_factory=lambda: {node: [] for node in NODES})
    clock_steps: dict[str, list[tuple[float, float]]] = field(
        default_factory=lambda: {node: [] for node in NODES}
    )
    """By node when its wall clock is stepped, and by how many seconds."""
    cut: dict[tuple[str, str], list[Span]] = field(
        default_factory=lambda: {(a, b): [] for a in NODES for b in NODES if a != b}
    )
    """By direction when nothing passes."""
    bursts: dict[tuple[str, str], list[Span]] = field(
        default_factory=lambda: {(a, b): [] for a in NODES for b in NODES if a != b}
    )
    """By direction when packets are lost at the rate ``burst_loss``."""
    loss: float = 0.0
    burst_loss: float = 0.0
    jitter: float = 0.0
    """The mean of an exponential delay that each packet has besides."""
    slow: float = 0.0
    """The mean of an exponential delay that each handling of a request has besides."""

    def split(self, group: tuple[str, ...], span: Span) -> None:
        """Cut a group of nodes from all others, both ways."""
        for a, b in self.cut:
            if (a in group) is not (b in group):
                self.cut[a, b].append(span)
