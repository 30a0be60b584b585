"""Raft / Exporter: the watcher itself."""

from __future__ import annotations

from grafana_foundation_sdk.builders.dashboard import Dashboard, Row

from grafana import panels, promql, states, tables
from grafana.around import dashboard, with_annotations
from grafana.panels import Built, Size, Words
from grafana.promql import SIDECAR, named, of
from grafana.tables import Column

_NO_SIDECAR = "no sidecar answers"
_BY_SIDECAR = "{{instance}}"


def build() -> Dashboard:
    """Build the dashboard."""
    begun = dashboard(
        "raft-exporter",
        "The sidecars themselves: whether they answer, get their evidence, keep up, and can store what they "
        "know.",
        several_clusters=True,
    )
    begun.with_row(Row("The sidecars"))
    begun.with_panel(_sidecars())
    begun.with_panel(_versions())
    begun.with_panel(_answers())
    begun.with_panel(_sources())
    begun.with_row(Row("Work"))
    begun.with_panel(
        _seconds(
            "Event loop lag",
            "raft_exporter_event_loop_lag_seconds",
            "How late the last turn of the judging came. Grows where the sidecar gets too little CPU.",
        )
    )
    begun.with_panel(
        _seconds(
            "Time for a scrape",
            "raft_exporter_scrape_duration_seconds",
            "Time it took to make the metrics of the last scrape.",
        )
    )
    begun.with_panel(
        _rate(
            "Store errors", "raft_exporter_store_errors_total", "Failures of the database.", "", "no errors"
        )
    )
    begun.with_row(Row("Evidence"))
    begun.with_panel(
        _rate(
            "Observations",
            "raft_exporter_observations_total",
            "Observations of hashicorp/raft that the observers sent, by kind.",
            "kind",
            "no observation came in this time",
        )
    )
    begun.with_panel(
        _rate(
            "Dropped observations",
            "raft_exporter_observations_dropped_total",
            "Observations that a full queue in the node lost.",
            "",
            "the observer is not connected",
        )
    )
    begun.with_panel(
        _rate(
            "Rejected input",
            "raft_exporter_rejected_total",
            "Input that was rejected and skipped, by source and reason.",
            "source, reason",
            "nothing was rejected in this time",
        )
    )
    begun.with_panel(
        _rate(
            "Failed probes",
            "raft_peer_probe_failures_total",
            "Probes that failed, by kind and reason. A local error is the sidecar's own fault.",
            "probe, reason",
            "no probe failed in this time",
        )
    )
    return with_annotations(begun)


def _sidecars() -> Built:
    by_sidecar = "by (cluster, job, instance)"
    reloaded = of("raft_exporter_config_last_reload_success_timestamp_seconds")
    build_info = of("raft_exporter_build_info")
    answers = f"({of('up')} and {SIDECAR} last_over_time({of('raft_up')}[{promql.REMEMBERED}]))"
    table = tables.rows(
        Words(
            "Sidecars",
            "Those that answered in the last hour, with their versions.",
            "no sidecar answered in the last hour",
        ),
        Size(16, 8),
        Column(
            named(f"max {by_sidecar} ({answers})"),
            "Answers",
            mappings=states.yes_no(yes="yes", no="no"),
        ),
        Column(named(f"max by (cluster, job, instance, version, python_version) ({build_info})"), ""),
        Column(
            named(f"max {by_sidecar} ({of('raft_exporter_config_last_reload_successful')})"),
            "Configuration taken",
            mappings=states.yes_no(yes="yes", no="no"),
        ),
        Column(named(f"max {by_sidecar} ({reloaded}) * 1000"), "Taken at", unit="dateTimeAsIso"),
        labels={
            "instance": "Instance",
            "job": "Job",
            "cluster": "Cluster",
            "version": "Version",
            "python_version": "Python",
        },
        sort_by="Instance",
    )
    return tables.unlabelled(table)


def _versions() -> Built:
    return panels.counts(
        Words("Versions", "How many sidecars run which version.", _NO_SIDECAR),
        Size(8, 8),
        f"count by (version) ({of('raft_exporter_build_info')})",
        "version",
    )


def _answers() -> Built:
    answers = f"({of('up')} and {SIDECAR} last_over_time({of('raft_up')}[{promql.REMEMBERED}]))"
    return panels.samples(
        Words(
            "Answers Prometheus",
            "Whether the sidecar answered each scrape. A hole is a time at which it was no target.",
            "no sidecar answered in the last hour",
        ),
        Size(12, 8),
        (f"max by (cluster, job, instance) ({answers})", _BY_SIDECAR),
        mappings=states.yes_no(yes="yes", no="no"),
    )


def _sources() -> Built:
    return panels.samples(
        Words(
            "Sources connected",
            "Whether each source of evidence is connected. An observer that nobody asked for is left out.",
            _NO_SIDECAR,
        ),
        Size(12, 8),
        (f"{of('raft_exporter_source_up')} >= 0", f"{_BY_SIDECAR} {{{{source}}}}"),
        mappings=states.yes_no(yes="connected", no="not connected"),
    )


def _seconds(title: str, metric: str, description: str) -> Built:
    words = Words(title, description, _NO_SIDECAR)
    return panels.lines(words, Size(8, 8), (of(metric), _BY_SIDECAR), unit="s")


def _rate(title: str, metric: str, description: str, labels: str, no_data: str) -> Built:
    names = ["instance", *labels.split(", ")] if labels else ["instance"]
    rate = f"sum by (cluster, job, {', '.join(names)}) (rate({of(metric)}[$__rate_interval]))"
    legend = " ".join(f"{{{{{name}}}}}" for name in names)
    shown = f"{rate} > 0" if labels else rate
    size = Size(8, 8) if title == "Store errors" else Size(6, 8)
    return panels.lines(Words(title, description, no_data), size, (shown, legend), unit="ops")
