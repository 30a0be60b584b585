"""Alerts that more than one module expects."""

from __future__ import annotations

from tests.rules.scenario import Alert


def offline(peer: str, by: str, cluster: str = "orders") -> Alert:
    return Alert(
        labels={"cluster": cluster, "peer": peer, "severity": "warning"},
        summary="A member is offline.",
        description=f"Cluster {cluster}: {peer} is offline{by}, and longer than a restart takes.",
    )


def at_risk(margin: str, lost: str = "", cluster: str = "orders") -> Alert:
    return Alert(
        labels={"cluster": cluster, "severity": "critical"},
        summary="The next failure loses the quorum.",
        description=f"Cluster {cluster}: {margin}none may fail any more."
        + (f" Lost: {lost}." if lost else ""),
    )


def quorum_lost(why: str, cluster: str = "orders") -> Alert:
    return Alert(
        labels={"cluster": cluster, "severity": "critical"},
        summary="The cluster has lost its quorum, and nothing can be written.",
        description=f"Cluster {cluster}: fewer voters are left than a quorum. {why}",
    )
