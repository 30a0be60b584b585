"""How numbers are written for people, on the page and in the terminal."""

from __future__ import annotations

from raft_exporter.model.evidence import Role
from raft_exporter.view import NodeView, QuorumView

UNKNOWN = "-"


def duration(seconds: float | None) -> str:
    """Write seconds with as many digits as help: ``0.31s``, ``12s``, ``3m20s``, ``5h02m``."""
    if seconds is None:
        return UNKNOWN
    if seconds < 10:
        return f"{seconds:.2f}s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m{whole % 60:02d}s"
    return f"{whole // 3600}h{whole % 3600 // 60:02d}m"


def leadership(node: NodeView) -> str:
    """Write whom the node follows; a node that says nothing has not lost its leader."""
    if node.leader is not None:
        return f"leader {node.leader}"
    return "leader not told" if node.role is Role.UNKNOWN else "no known leader"


def margin(quorum: QuorumView) -> tuple[str, str]:
    """Write how many voters are online, and how many may fail."""
    if quorum.failure_tolerance is None:
        return "voters not heard yet", "failure tolerance not known"
    online = f"{quorum.voters_online} of {quorum.voters} voters online, quorum {quorum.quorum}"
    return online, f"failure tolerance {quorum.failure_tolerance}"


def index(number: int | None) -> str:
    """Write a term, an index or another whole number."""
    return UNKNOWN if number is None else str(number)
