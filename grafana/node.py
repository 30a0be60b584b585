"""Raft / Node: one node from where its own sidecar stands."""

from __future__ import annotations

from grafana_foundation_sdk.builders.dashboard import Dashboard, Row

from grafana import panels, promql, states, tables
from grafana.around import dashboard, with_annotations
from grafana.panels import Built, Size, Words
from grafana.promql import SIDECAR, named, of, where
from grafana.tables import Column

_BY_NODE = "{{instance}}"
_UNTOLD = "the node does not tell it, or its sidecar does not answer"


def build() -> Dashboard:
    """Build the dashboard."""
    begun = dashboard(
        "raft-node",
        "Raft nodes as their own sidecars see them: role, term, log and main loop. Choose an instance.",
        several_clusters=True,
    )
    begun.with_row(Row("Role"))
    begun.with_panel(_nodes())
    begun.with_panel(_roles())
    begun.with_panel(_plain("Term", "raft_node_term", "The node's current term. It only ever grows."))
    begun.with_panel(_elections())
    begun.with_panel(_leader_changes())
    begun.with_row(Row("Main loop and leader"))
    begun.with_panel(
        _silence(
            "Main loop silence",
            "raft_node_main_loop_silence_seconds",
            "Time since the node's main loop last answered the native probe. A hanging disk shows here, "
            "while heartbeats pass.",
        )
    )
    begun.with_panel(
        _silence(
            "Leader silence",
            "raft_node_leader_silence_seconds",
            "Time since the leader last proved itself to this node.",
        )
    )
    begun.with_panel(_yes_no_over_time())
    begun.with_row(Row("Log"))
    begun.with_panel(_indices())
    begun.with_panel(_lag())
    begun.with_panel(
        _plain(
            "Waiting for the FSM",
            "raft_node_fsm_pending",
            "Entries that are committed and wait for the node's FSM to apply them.",
            width=12,
        )
    )
    begun.with_panel(_since_snapshot())
    return with_annotations(begun)


def _nodes() -> Built:
    def told(metric: str) -> str:
        info = f"group by (cluster, instance, job, id, address) ({of('raft_node_info')})"
        value = f"{info} * {SIDECAR} group_left () {of(metric)}"
        return named(f"max by (cluster, instance, id, address) ({value})")

    yes_no = states.yes_no(yes="yes", no="no")
    table = tables.rows(
        Words(
            "Nodes",
            "The node beside each sidecar. Heard: by its observer, or by the native probe of itself.",
            "no sidecar answers",
        ),
        Size(24, 7),
        Column(told("raft_up"), "Heard", mappings=yes_no),
        Column(told("raft_node_in_configuration"), "Member", mappings=yes_no),
        Column(told("raft_node_voter"), "Voter", mappings=states.plain({"1": "yes", "0": "no"})),
        Column(told("raft_node_has_leader"), "Has a leader", mappings=yes_no),
        Column(told("raft_node_isolated"), "Isolated", mappings=states.none_is_good("no")),
        Column(told("raft_node_term"), "Term"),
        Column(told("raft_node_last_log_index"), "Last index"),
        labels={"id": "Node", "address": "Raft address", "instance": "Instance", "cluster": "Cluster"},
        sort_by="Node",
    )
    return tables.unlabelled(table)


def _roles() -> Built:
    return panels.timeline(
        Words(
            "Role",
            "As the node itself says. Where its sidecar does not answer, it says so for an hour.",
            _UNTOLD,
        ),
        Size(24, 7),
        (promql.ROLE, "{{cluster}} {{reporter}}"),
        mappings=states.roles(),
    )


def _plain(title: str, metric: str, description: str, *, width: int = 8) -> Built:
    words = Words(title, description, _UNTOLD)
    return panels.lines(words, Size(width, 8), (of(metric), _BY_NODE), unit="none", decimals=0)


def _silence(title: str, metric: str, description: str) -> Built:
    thresholds = of("raft_exporter_threshold_seconds", 'threshold=~"suspect_after|gone_after"')
    panel = panels.lines(
        Words(title, description, _UNTOLD),
        Size(8, 8),
        (of(metric), _BY_NODE),
        (f"max by (threshold) ({thresholds})", "threshold {{threshold}}"),
        unit="s",
    )
    return panels.with_thresholds(panel)


def _elections() -> Built:
    elections = f"increase({of('raft_node_elections_total')}[$__rate_interval])"
    words = Words(
        "Elections", "Times that the node became a candidate; a pre-vote counts.", "no node was a candidate"
    )
    return panels.bars(words, Size(8, 8), (f"{elections} > 0", _BY_NODE), unit="none")


def _leader_changes() -> Built:
    changes = f"increase({of('raft_node_leader_changes_total')}[$__rate_interval])"
    words = Words("Changes of leader", "Leaderships that began, as each node saw it.", "no leader changed")
    return panels.bars(words, Size(8, 8), (f"{changes} > 0", _BY_NODE), unit="none")


def _yes_no_over_time() -> Built:
    observer = (
        f"max by (cluster, job, instance) ({of('raft_exporter_source_up', where('source', 'observer'))})"
    )
    return panels.samples(
        Words(
            "Heard, and observer connected",
            "Whether the node was heard lately, and whether its observer is connected. A hole is a time at "
            "which the sidecar did not answer.",
            "no sidecar answers",
        ),
        Size(8, 8),
        (of("raft_up"), f"{_BY_NODE} heard"),
        (f"{observer} >= 0", f"{_BY_NODE} observer"),
        mappings=states.yes_no(yes="yes", no="no"),
    )


def _indices() -> Built:
    return panels.lines(
        Words(
            "Log indices",
            "How far the log goes, how far it is committed, and how far it is applied. Committed standing "
            "still under a growing log means that nothing is written.",
            _UNTOLD,
        ),
        Size(12, 8),
        (of("raft_node_last_log_index"), f"{_BY_NODE} last"),
        (of("raft_node_commit_index"), f"{_BY_NODE} committed"),
        (of("raft_node_applied_index"), f"{_BY_NODE} applied"),
        unit="none",
        decimals=0,
        from_zero=False,
    )


def _lag() -> Built:
    return panels.lines(
        Words(
            "Entries behind the leader",
            "How many entries each member is behind the leader, as the leader's sidecar sees both. Needs "
            "the leader's sidecar in the scope of the variables.",
            "no sidecar of a leader answers",
        ),
        Size(12, 8),
        (promql.LOG_LAG, "{{cluster}} {{peer}}"),
        unit="none",
        decimals=0,
    )


def _since_snapshot() -> Built:
    entries = f"{of('raft_node_last_log_index')} - {SIDECAR} {of('raft_node_snapshot_index')}"
    return panels.lines(
        Words(
            "Entries since the last snapshot",
            "What the node would have to replay at a start.",
            _UNTOLD,
        ),
        Size(12, 8),
        (entries, _BY_NODE),
        unit="none",
        decimals=0,
    )
