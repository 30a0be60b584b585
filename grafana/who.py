"""Who is down, who says so, and since when: the middle of Raft / Cluster."""

from __future__ import annotations

from grafana_foundation_sdk.builders.dashboard import Dashboard

from grafana import panels, problems, promql, states, tables
from grafana.alerts import RUNBOOK
from grafana.panels import Built, Size, Words
from grafana.promql import credible, named, of, reporter, where
from grafana.tables import Column

_TO_NODE = (
    "/d/raft-node?${datasource:queryparam}&${cluster:queryparam}&var-instance=${__value.raw}"
    "&${__url_time_range}"
)
_NO_SIDECAR = "no sidecar answers"
_SEEN_BY = "from"


def add(begun: Dashboard) -> None:
    """Add the panels."""
    for panel in (_wrong(), _matrix(), _members(), _states(), _overrides(), _reporters()):
        begun.with_panel(panel)


def _wrong() -> Built:
    table = tables.rows(
        Words(
            "What is wrong now",
            "By the evidence itself, without the rules: a doubt shows here long before an alert. Since when "
            "at the sidecar that has seen it for the longest; of an isolated node, since it last heard a "
            "leader.",
            "nothing, or no sidecar answers",
        ),
        Size(12, 9),
        Column(problems.SINCE, "For", unit="s", decimals=0),
        Column(problems.SAID_BY, "Sidecars that say so"),
        labels={"problem": "Problem", "peer": "Member", "cluster": "Cluster", "runbook": "Runbook"},
        sort_by="For",
        descending=True,
    )
    tables.coloured(table, "Problem", states.state_names())
    tables.unlabelled(table)
    return tables.linked(table, "Runbook", "Open the runbook", f"{RUNBOOK}#${{__value.raw}}")


def _seen_by_each() -> str:
    """Give every sidecar's own judgement; the sidecar is called ``cluster/node`` where there are clusters."""
    full = f'label_join({reporter(promql.SAID_STATE)}, "{_SEEN_BY}", "/", "cluster", "reporter")'
    return f'max by ({_SEEN_BY}, peer) (label_replace({full}, "{_SEEN_BY}", "$1", "{_SEEN_BY}", "/(.*)"))'


def _matrix() -> Built:
    return tables.matrix(
        Words(
            "Who sees whom, now",
            "Each row is one sidecar, each column a member as that sidecar judges it, whatever an override "
            "says. A row that differs from all others is a node that is cut off; a column that is the same "
            "in all rows is a member that is down.",
            _NO_SIDECAR,
        ),
        Size(12, 9),
        _seen_by_each(),
        row=_SEEN_BY,
        column="peer",
        mappings=states.states(),
    )


def _members() -> Built:
    by_member = "by (cluster, peer)"
    votes = f"sum by (cluster, peer, state) {credible(of('raft_peer_judged_state'))}"
    voters = f"group {by_member} ({of('raft_peer_info', where('suffrage', 'voter'))})"
    flapping = f"max {by_member} ({of('raft_peer_flapping')})"
    table = tables.rows(
        Words(
            "Members",
            "Each member as the majority of credible sidecars judges it. The age of the state is the median "
            "of theirs; silence is that at the sidecar that heard it last.",
            _NO_SIDECAR,
        ),
        Size(24, 8),
        Column(named(f"({promql.STATE})"), "State", mappings=states.states()),
        Column(named(f"max {by_member} ({votes})"), "Sidecars that agree"),
        Column(
            named(f"quantile {by_member} (0.5, {credible(of('raft_peer_judged_state_age_seconds'))})"),
            "For",
            unit="s",
            decimals=0,
        ),
        Column(
            named(f"min {by_member} ({of('raft_peer_silence_seconds', where('source', 'any'))})"),
            "Silent for",
            unit="s",
            decimals=1,
        ),
        Column(
            named(f"max {by_member} ({of('raft_peer_last_contact_timestamp_seconds')} > 0) * 1000"),
            "Last heard",
            unit="dateTimeAsIso",
        ),
        Column(
            named(f"({voters} or 0 * group {by_member} ({of('raft_peer_info')}))"),
            "Suffrage",
            mappings=states.plain({"1": "voter", "0": "nonvoter"}),
        ),
        Column(named(f"max {by_member} ({of('raft_peer_term')} >= 0)"), "Term"),
        Column(named(promql.LOG_LAG), "Entries behind"),
        Column(named(flapping), "Flapping", mappings=states.plain({"1": "yes", "0": "no"})),
        labels={"peer": "Member", "cluster": "Cluster"},
        sort_by="Member",
    )
    return tables.unlabelled(table)


def _states() -> Built:
    return panels.samples(
        Words(
            "State of each member",
            "By the majority of credible sidecars, at each sample. Where none of them answers it says so, "
            "for an hour; after that there is a hole.",
            _NO_SIDECAR,
        ),
        Size(24, 8),
        (promql.STATE, "{{cluster}} {{peer}}"),
        mappings=states.states(),
    )


def _overrides() -> Built:
    by = "by (cluster, peer, state)"
    ends = f"max by (cluster, peer) ({of('raft_peer_override_expiry_timestamp_seconds')} > 0) * 1000"
    table = tables.rows(
        Words(
            "Overrides",
            "What operators force on members, and until when. No alert is raised for them meanwhile. By "
            "whom and why says `raft-exporter override list`.",
            "no override stands",
        ),
        Size(10, 8),
        Column(
            named(f"({promql.OVERRIDDEN} * on (cluster, peer) group_left () ({ends}))"),
            "Until",
            unit="dateTimeAsIso",
        ),
        Column(named(f"sum {by} ({of('raft_peer_override')} == 1)"), "Sidecars that hold it"),
        labels={"peer": "Member", "state": "Shown as", "cluster": "Cluster"},
        sort_by="Until",
    )
    tables.unlabelled(table)
    return tables.coloured(table, "Shown as", states.state_names())


def _reporters() -> Built:
    def said(metric: str, *matchers: str) -> str:
        # The comparison leaves out NaN, which is not known.
        expression = reporter(f"({of(metric, *matchers)} > {states.NO_WORD_MARGIN})")
        return named(f"max by (cluster, instance, reporter) ({expression})")

    table = tables.rows(
        Words(
            "What each sidecar counts",
            "The margin from where each one stands. A sidecar whose node is isolated, or no member, has no "
            "vote. The instance leads to its node.",
            _NO_SIDECAR,
        ),
        Size(14, 8),
        Column(said("raft_node_isolated"), "Isolated", mappings=states.none_is_good("no")),
        Column(
            said("raft_node_in_configuration"),
            "Member",
            mappings=states.yes_no(yes="yes", no="no"),
        ),
        Column(said("raft_node_has_leader"), "Has a leader", mappings=states.yes_no(yes="yes", no="no")),
        Column(said("raft_cluster_failure_tolerance"), "Tolerance", mappings=states.margin()),
        Column(said("raft_cluster_voters_online"), "Online"),
        Column(said("raft_cluster_quorum"), "Quorum"),
        Column(said("raft_cluster_members", where("suffrage", "voter")), "Voters"),
        Column(said("raft_configuration_index"), "Configuration"),
        labels={"reporter": "Sidecar of", "instance": "Instance", "cluster": "Cluster"},
        sort_by="Sidecar of",
    )
    tables.unlabelled(table)
    return tables.linked(table, "Instance", "Show this node", _TO_NODE)


def seen_over_time() -> Built:
    """Draw how each sidecar judged each member over time."""
    return panels.samples(
        Words(
            "Who sees whom, over time",
            "A row for each pair: how the sidecar on the left judges the member on the right. A hole is a "
            "time at which the sidecar did not answer.",
            _NO_SIDECAR,
        ),
        Size(24, 16),
        (_seen_by_each(), f"{{{{{_SEEN_BY}}}}} → {{{{peer}}}}"),
        mappings=states.states(),
    )
