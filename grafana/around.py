"""What all dashboards have around their panels: variables, links, annotations."""

from __future__ import annotations

from typing import Final

from grafana_foundation_sdk.builders.dashboard import AnnotationQuery, Dashboard, DashboardLink
from grafana_foundation_sdk.models.dashboard import DashboardCursorSync, DashboardLinkType

from grafana import palette, panels, variables
from grafana.alerts import FIRING, RUNBOOK
from grafana.panels import Built, Size, Words
from grafana.promql import of

TITLES: Final[dict[str, str]] = {
    "raft-fleet": "Raft / Fleet",
    "raft-cluster": "Raft / Cluster",
    "raft-node": "Raft / Node",
    "raft-exporter": "Raft / Exporter",
}
_STEP: Final = "15s"


def dashboard(uid: str, description: str, *, several_clusters: bool) -> Dashboard:
    """Begin a dashboard: uneditable, for it is generated; the last hour, anew every 30 s."""
    begun = (
        Dashboard(TITLES[uid])
        .uid(uid)
        .description(description)
        .tags(["raft-exporter"])
        .readonly()
        .time("now-1h", "now")
        .refresh("30s")
        .tooltip(DashboardCursorSync.CROSSHAIR)
        .with_variable(variables.datasource())
        .with_variable(variables.cluster(several=several_clusters))
        .with_variable(variables.job())
        .with_variable(variables.instance())
    )
    for other, title in TITLES.items():
        if other != uid:
            begun.link(_link(title, f"/d/{other}").include_vars(True).keep_time(True))
    return begun.link(_link("Runbook", RUNBOOK).icon("doc").target_blank(True))


def with_annotations(begun: Dashboard) -> Dashboard:
    """Draw changes of state and firing alerts over everything that has a time axis."""
    changes = f"count by (cluster, peer, to) (increase({of('raft_peer_transitions_total')}[1m]) > 0)"
    return begun.annotation(
        _annotation("Changes of state", palette.SKY)
        .expr(changes)
        .title_format("{{peer}} is {{to}}")
        .text_format("{{cluster}} {{peer}} became {{to}}, by one sidecar or more")
        .tag_keys("cluster,peer,to")
    ).annotation(
        _annotation("Alerts", palette.VERMILION)
        .expr(FIRING)
        .title_format("{{alertname}} {{peer}}")
        .text_format("{{severity}}: {{alertname}} fires for {{cluster}} {{peer}}")
        .tag_keys("severity,alertname,cluster,peer")
    )


def alerts_that_fire() -> Built:
    """Write the alerts of :func:`variables.alerts`, which the dashboard must have."""
    return panels.words_only(
        Words(
            "Alerts that fire",
            "From the alert rules, by severity, with a link into the runbook. Needs the rules to be loaded.",
            "not known: no rules of raft-exporter in this Prometheus",
        ),
        Size(24, 3),
        "${alerts:csv}",
    )


def _annotation(name: str, colour: str) -> AnnotationQuery:
    query = AnnotationQuery().name(name).datasource(variables.DATASOURCE).enable(True)
    return query.icon_color(colour).step(_STEP)


def _link(title: str, url: str) -> DashboardLink:
    link = DashboardLink(title).type(DashboardLinkType.LINK).url(url)
    return link.icon("external link").tooltip(title)
