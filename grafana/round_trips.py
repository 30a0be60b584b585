"""How long heartbeats and probes take: quantiles and histograms, and what failed."""

from __future__ import annotations

from grafana_foundation_sdk.builders.dashboard import Dashboard

from grafana import panels
from grafana.panels import Built, Size, Words
from grafana.promql import of, where

_RANGE = "[$__rate_interval]"


def add(begun: Dashboard) -> None:
    """Add the panels."""
    _round_trips(
        begun,
        "Heartbeats",
        "Round trips of the heartbeats that the leader's members answered.",
        of("raft_peer_heartbeat_duration_seconds_bucket"),
        "no heartbeat was answered, or the observer is not connected",
    )
    _round_trips(
        begun,
        "Main loop",
        "Round trips of answered native probes: how long the member's main loop takes. A stall shows here "
        "first.",
        of("raft_peer_probe_duration_seconds_bucket", where("probe", "raft")),
        "no probe was answered, or the probe is turned off",
    )
    begun.with_panel(_failed_heartbeats())
    begun.with_panel(_probes())
    begun.with_panel(_failed_probes())


def _round_trips(begun: Dashboard, what: str, description: str, metric: str, no_data: str) -> None:
    by_member = f"sum by (cluster, peer, le) (rate({metric}{_RANGE}))"
    begun.with_panel(
        panels.lines(
            Words(f"{what}: median and 99th percentile", description, no_data),
            Size(12, 8),
            (f"histogram_quantile(0.99, {by_member})", "{{cluster}} {{peer}} p99"),
            (f"histogram_quantile(0.5, {by_member})", "{{cluster}} {{peer}} p50"),
            unit="s",
        )
    )
    begun.with_panel(
        panels.buckets(
            Words(f"{what}: all round trips", f"{description} All members together.", no_data),
            Size(12, 8),
            f"sum by (le) (increase({metric}{_RANGE}))",
        )
    )


def _failed_heartbeats() -> Built:
    failures = f"rate({of('raft_peer_heartbeat_failures_total')}{_RANGE})"
    return panels.lines(
        Words(
            "Failed heartbeats",
            "Heartbeats of the leader that failed. Attempts back off: few failures do not mean a short "
            "outage.",
            "the observer is not connected",
        ),
        Size(8, 8),
        (f"sum by (cluster, peer) ({failures})", "{{cluster}} {{peer}}"),
        unit="ops",
    )


def _probes() -> Built:
    probes = f"rate({of('raft_peer_probes_total')}{_RANGE})"
    return panels.lines(
        Words(
            "Probes",
            "Outcomes of probes of each kind, of all sidecars: the native one of the Raft port, and the "
            "reports of the other sidecars.",
            "no sidecar probes",
        ),
        Size(8, 8),
        (f"sum by (cluster, probe) ({probes})", "{{cluster}} {{probe}}"),
        unit="ops",
    )


def _failed_probes() -> Built:
    failures = f"rate({of('raft_peer_probe_failures_total')}{_RANGE})"
    return panels.lines(
        Words(
            "Failed probes by reason",
            "A refused one is proof that the process is gone; a timeout is silence.",
            "no sidecar probes",
        ),
        Size(8, 8),
        (
            f"sum by (cluster, peer, probe, reason) ({failures}) > 0",
            "{{cluster}} {{peer}} {{probe}} {{reason}}",
        ),
        unit="ops",
    )
