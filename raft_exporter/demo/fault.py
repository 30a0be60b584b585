"""The faults that the demo can inject."""

from __future__ import annotations

import time
from enum import StrEnum

from msgspec import Struct

from raft_exporter.demo.cluster import Node
from raft_exporter.demo.staged import StagedCluster


class Fault(StrEnum):
    """What happens to a node."""

    KILL = "kill"
    FREEZE = "freeze"
    STALL_STORE = "stall-store"


class Injected(Struct, frozen=True):
    """A fault that was injected: into which node, when (Unix time in seconds), and in words."""

    fault: Fault
    node: str
    at: float
    text: str


def inject(fault: Fault, cluster: StagedCluster) -> Injected:
    """Inject ``fault`` into a follower; the log store stalls on the leader, for that is the worst case."""
    node = cluster.leader() if fault is Fault.STALL_STORE else cluster.followers()[0]
    at = time.time()
    match fault:
        case Fault.KILL:
            node.kill()
            text = f"kill -9 of {node.id}, a follower"
        case Fault.FREEZE:
            node.freeze()
            text = f"SIGSTOP of {node.id}, a follower"
        case Fault.STALL_STORE:
            assert isinstance(node, Node)  # noqa: S101 - nothing starts with another system
            node.fault("log", "stall")
            text = f"the log store of {node.id}, the leader, stalls: no write to it returns"
    return Injected(fault=fault, node=node.id, at=at, text=text)
