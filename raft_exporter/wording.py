"""How numbers are written for people, on the page and in the terminal."""

from __future__ import annotations

from raft_exporter.view import NodeView

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
    return "no known leader" if node.up else "leader not told"


def index(number: int | None) -> str:
    """Write a term or log index."""
    return UNKNOWN if number is None else str(number)
