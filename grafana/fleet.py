"""Raft / Fleet: every cluster, worst margin first. It has to stay readable with a hundred of them."""

from __future__ import annotations

from grafana_foundation_sdk.builders.dashboard import Dashboard, Row

from grafana import palette, panels, promql, states, tables, variables
from grafana.around import alerts_that_fire, dashboard, with_annotations
from grafana.panels import Built, Size, Words
from grafana.promql import named, of
from grafana.tables import Column

_TO_CLUSTER = "/d/raft-cluster?${datasource:queryparam}&var-cluster=${__value.raw}&${__url_time_range}"
# Asked once, at the end of the range, for all of it: the row of a cluster is either there or not.
_LOST_SOME = f"(max_over_time({promql.MARGIN_LOST}[$__range:$__interval] @ end()) > 0)"


def build() -> Dashboard:
    """Build the dashboard."""
    begun = dashboard(
        "raft-fleet",
        "All Raft clusters, the one with the least margin first. Choose one to see who is down, and who "
        "says so.",
        several_clusters=True,
    )
    begun.with_variable(variables.alerts())
    begun.with_row(Row("Now"))
    _numbers(begun)
    begun.with_panel(alerts_that_fire())
    begun.with_panel(_table())
    begun.with_row(Row("Over time"))
    begun.with_panel(_by_margin())
    begun.with_panel(_leadership())
    begun.with_panel(_margins())
    return with_annotations(begun)


def _numbers(begun: Dashboard) -> None:
    tolerance, up = promql.FAILURE_TOLERANCE, promql.SIDECARS_UP
    words = Words(
        "Clusters",
        "Clusters of which a sidecar answered in the last hour.",
        "no sidecar answered in the last hour",
    )
    begun.with_panel(panels.number(words, Size(3, 4), f"count({promql.KNOWN})"))
    for title, width, description, expression in (
        (
            "No word",
            3,
            "Clusters of which no credible sidecar answers: nothing is known of them.",
            f"count({promql.KNOWN} unless on (cluster) {tolerance}) or 0 * count({promql.KNOWN})",
        ),
        (
            "Quorum lost",
            4,
            "Clusters in which fewer voters are online than make a majority: nothing can be written there.",
            f"count({tolerance} < 0) or 0 * count({tolerance})",
        ),
        (
            "At risk",
            4,
            "Clusters of more than one voter that lose the quorum with the next failure.",
            f"count({tolerance} == 0 and {promql.VOTERS} > 1) or 0 * count({tolerance})",
        ),
        (
            "Without a leader",
            3,
            "Clusters in which no sidecar knows a leader.",
            f"count({up} unless on (cluster) {promql.LEADER}) or 0 * count({up})",
        ),
        (
            "Members not online",
            4,
            "Members of all clusters that the majority of credible sidecars does not show as online.",
            f"sum({promql.NOT_ONLINE})",
        ),
        (
            "Silent sidecars",
            3,
            "Sidecars that answered Prometheus in the last hour, are still targets, and do not answer now.",
            f"count({promql.SIDECAR_SILENT}) or 0 * count({promql.KNOWN})",
        ),
    ):
        words = Words(title, description, "no sidecar answers")
        begun.with_panel(panels.number(words, Size(width, 4), expression, mappings=states.none_is_good()))


def _table() -> Built:
    overridden = f"count by (cluster) (max by (cluster, peer) ({of('raft_peer_override')}) == 1)"
    table = tables.rows(
        Words(
            "Clusters, worst margin first",
            "Failure tolerance: how many more voters may fail. Counted by the majority of credible "
            "sidecars, as the alerts do. A cluster with no answering sidecar has no values. The name leads "
            "to the cluster.",
            "no sidecar answered in the last hour",
        ),
        Size(24, 12),
        Column(named(promql.MARGIN), "Failure tolerance", mappings=states.margin()),
        Column(named(promql.VOTERS_ONLINE), "Voters online"),
        Column(named(promql.VOTERS), "Voters"),
        Column(named(promql.LEADER), "Leader named by"),
        Column(named(promql.TERM), "Term"),
        Column(named(promql.NOT_ONLINE), "Members not online", mappings=states.none_is_good()),
        Column(named(promql.ISOLATED), "Isolated nodes", mappings=states.none_is_good()),
        Column(named(overridden), "Overrides"),
        Column(named(promql.SIDECARS_UP), "Sidecars"),
        Column(named(f"count by (cluster) ({promql.SIDECAR_SILENT})"), "Silent sidecars"),
        labels={"cluster": "Cluster", "leader": "Leader"},
        sort_by="Failure tolerance",
    )
    tables.linked(table, "Cluster", "Show this cluster", _TO_CLUSTER)
    return tables.unlabelled(table)


def _by_margin() -> Built:
    tolerance = promql.FAILURE_TOLERANCE
    panel = panels.lines(
        Words(
            "Clusters by margin",
            "How many clusters have lost their quorum, are one failure away from it, or can lose one or "
            "more voters.",
            "no sidecar answered in this time",
        ),
        Size(12, 8),
        (f"count({tolerance} < 0) or 0 * count({tolerance})", "quorum lost"),
        (f"count({tolerance} == 0) or 0 * count({tolerance})", "no failure tolerated"),
        (f"count({tolerance} > 0) or 0 * count({tolerance})", "one or more tolerated"),
        unit="none",
        decimals=0,
    )
    colours = {
        "quorum lost": palette.BAD,
        "no failure tolerated": palette.IN_DANGER,
        "one or more tolerated": palette.GOOD,
    }
    return panels.with_colours(panel, colours)


def _leadership() -> Built:
    changes = f"increase({of('raft_node_leader_changes_total')}[$__rate_interval])"
    return panels.bars(
        Words(
            "Changes of leader",
            "Leaderships that began, in each cluster that had any. By the sidecar that saw most of them.",
            "no leader changed in this time",
        ),
        Size(12, 8),
        (f"{named(f'max by (cluster) ({changes})')} > 0", "{{cluster}}"),
        unit="none",
    )


def _margins() -> Built:
    return panels.samples(
        Words(
            "Failure tolerance of clusters that lost some",
            "Only clusters in which a voter was not online at some time of the range; all others kept their "
            "full margin. A hole is a time at which no credible sidecar answered.",
            "no cluster lost any of its margin in this time",
        ),
        Size(24, 12),
        (named(f"({promql.FAILURE_TOLERANCE} and on (cluster) {_LOST_SOME})"), "{{cluster}}"),
        mappings=states.margin(),
    )
