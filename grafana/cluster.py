"""Raft / Cluster: the margin, who is down and who says so, since when, and what happened around it."""

from __future__ import annotations

from grafana_foundation_sdk.builders.dashboard import Dashboard, Row

from grafana import palette, panels, promql, round_trips, states, variables, who
from grafana.around import alerts_that_fire, dashboard, with_annotations
from grafana.panels import Built, Size, Words
from grafana.promql import credible, of, where

_NO_SIDECAR = "no sidecar answers"


def build() -> Dashboard:
    """Build the dashboard."""
    begun = dashboard(
        "raft-cluster",
        "One Raft cluster: its margin, who is down and who says so, since when, and what happened around it.",
        several_clusters=False,
    )
    begun.with_variable(variables.alerts())
    begun.with_row(Row("The margin"))
    _numbers(begun)
    begun.with_panel(alerts_that_fire())
    begun.with_row(Row("Who is down, and who says so"))
    who.add(begun)
    begun.with_row(Row("What happened around it"))
    begun.with_panel(_silence())
    begun.with_panel(_transitions())
    begun.with_panel(_margin_over_time())
    begun.with_panel(_roles())
    begun.with_panel(who.seen_over_time())
    begun.with_row(Row("Round trips"))
    round_trips.add(begun)
    return with_annotations(begun)


def _numbers(begun: Dashboard) -> None:
    for title, description, no_data, expression, unit, mappings, name in (
        (
            "Failure tolerance",
            "How many more voters may fail before the quorum is lost. Of several clusters the least.",
            _NO_SIDECAR,
            f"min({promql.FAILURE_TOLERANCE})",
            "none",
            states.margin(),
            "",
        ),
        (
            "Voters online",
            "Voters that the majority of credible sidecars shows as online; an override counts.",
            _NO_SIDECAR,
            f"sum({promql.VOTERS_ONLINE})",
            "none",
            None,
            "",
        ),
        (
            "Quorum",
            "How many voters make a majority of the configuration.",
            _NO_SIDECAR,
            f"max({promql.QUORUM})",
            "none",
            None,
            "",
        ),
        (
            "Leader",
            "The leader that most sidecars name.",
            "none is known",
            f"topk(1, {promql.LEADER})",
            "none",
            None,
            "leader",
        ),
        (
            "Term",
            "The leader's term; without a leader, the highest that a node is in.",
            _NO_SIDECAR,
            f"max({promql.TERM})",
            "none",
            None,
            "",
        ),
        (
            "Leader heard",
            "Time since a leader last proved itself to any credible sidecar.",
            "none has proved itself",
            f"min({credible(of('raft_node_leader_silence_seconds'))})",
            "s",
            None,
            "",
        ),
        (
            "Not online",
            "Members, voters or not, that the majority does not show as online.",
            _NO_SIDECAR,
            f"sum({promql.NOT_ONLINE})",
            "none",
            states.none_is_good(),
            "",
        ),
        (
            "Overridden",
            "Members that an operator's override masks.",
            _NO_SIDECAR,
            f"sum(max by (cluster, peer) ({of('raft_peer_override')}))",
            "none",
            None,
            "",
        ),
    ):
        words = Words(title, description, no_data)
        begun.with_panel(
            panels.number(words, Size(3, 4), expression, unit=unit, mappings=mappings, name=name)
        )


def _silence() -> Built:
    heard = f"min by (cluster, peer) ({of('raft_peer_silence_seconds', where('source', 'any'))})"
    thresholds = of(
        "raft_exporter_threshold_seconds", 'threshold=~"suspect_after|gone_after|stall_after|alone_after"'
    )
    panel = panels.lines(
        Words(
            "Silence of each member against its thresholds",
            "Time since the sidecar that heard the member last did so. Dashed: how long a silence makes a "
            "suspect, how long it may last before the judge acts on it, alone or with others "
            "(docs/architecture.md).",
            _NO_SIDECAR,
        ),
        Size(12, 10),
        (heard, "{{cluster}} {{peer}}"),
        (f"max by (cluster, threshold) ({thresholds})", "threshold {{threshold}} {{cluster}}"),
        unit="s",
    )
    return panels.with_thresholds(panel)


def _transitions() -> Built:
    changes = f"increase({of('raft_peer_transitions_total')}[$__rate_interval])"
    panel = panels.bars(
        Words(
            "Changes of state",
            "Changes of each member's judged state, by the new state, at the sidecar that saw most of them.",
            "no state changed in this time",
        ),
        Size(12, 10),
        (f"max by (cluster, peer, to) ({changes}) > 0", "{{cluster}} {{peer}} {{to}}"),
        unit="none",
    )
    return panels.with_colours(panel, palette.STATES)


def _margin_over_time() -> Built:
    return panels.samples(
        Words(
            "Failure tolerance over time",
            "By the majority of credible sidecars. Where none of them answers it says so, for an hour.",
            _NO_SIDECAR,
        ),
        Size(12, 6),
        (promql.MARGIN, "{{cluster}} failure tolerance"),
        mappings=states.margin(),
    )


def _roles() -> Built:
    return panels.timeline(
        Words(
            "Role of each node",
            "As the node itself says. Where its sidecar does not answer, it says so for an hour.",
            _NO_SIDECAR,
        ),
        Size(12, 6),
        (promql.ROLE, "{{cluster}} {{reporter}}"),
        mappings=states.roles(),
    )
