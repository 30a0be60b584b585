"""The expressions that several panels share.

Nothing here stands on our recording rules: a dashboard shows data on a Prometheus without them, and the
checks of Grafana's dashboard-linter want ``job`` and ``instance`` on every selector, which series that are
recorded for a whole cluster do not have. What is counted is the same: only credible sidecars have a vote
(docs/rules.md).
"""

from __future__ import annotations

from typing import Final

from grafana.states import NO_WORD, NO_WORD_MARGIN, ROLE_NUMBERS, STATE_NUMBERS

SCOPE: Final = 'cluster=~"$cluster", job=~"$job", instance=~"$instance"'
SIDECAR: Final = "on (cluster, job, instance)"
IDENTIFIED: Final = 'id!=""'
"""Of nodes that know their own id."""
REMEMBERED: Final = "1h"
"""For how long what stopped answering is still drawn, as "no word"."""


def of(metric: str, *matchers: str) -> str:
    """Select the metric's series in the scope of the variables."""
    return f"{metric}{{{', '.join([*matchers, SCOPE])}}}"


def where(label: str, value: str) -> str:
    """Write one matcher."""
    return f'{label}="{value}"'


CREDIBLE: Final = (
    f"({of('raft_node_isolated')} == 0 unless {SIDECAR} {of('raft_node_in_configuration')} == 0)"
)
"""The sidecars that have a vote: their node reaches a majority, and is a member."""


def credible(expression: str) -> str:
    """Keep what the credible sidecars say."""
    return f"({expression} and {SIDECAR} {CREDIBLE})"


def named(expression: str) -> str:
    """Give series without a cluster the label ``All``, which a link to another dashboard can pass on."""
    return f'label_replace({expression}, "cluster", "All", "cluster", "")'


def reporter(expression: str) -> str:
    """Name the sidecar's node as ``reporter``; by its instance, where it does not know its own id."""
    info = f'label_replace({of("raft_node_info")}, "reporter", "$1", "instance", "(.+)")'
    name = f'label_replace({info}, "reporter", "$1", "id", "(.+)")'
    return f"{expression} * {SIDECAR} group_left (reporter) topk by (cluster, job, instance) (1, {name})"


# --- What the credible sidecars say together ---------------------------------------------------------


def _majority(metric: str, state: str) -> str:
    votes = credible(of(metric, where("state", state)))
    return f"(avg by (cluster, peer) {votes} > bool 0.5)"


_STATE_BY_MAJORITY: Final = " + ".join(
    f"{number} * {_majority('raft_peer_judged_state', state)}" for state, number in STATE_NUMBERS.items()
)
STATE: Final = (
    f"{_STATE_BY_MAJORITY} or on (cluster, peer) "
    f"{NO_WORD} * group by (cluster, peer) (last_over_time({of('raft_peer_info')}[{REMEMBERED}]))"
)
"""The state of each member by the majority of credible sidecars, as a number of ``states``."""

SAID_STATE: Final = (
    "sum without (state) ("
    + " or ".join(
        f"{number} * {of('raft_peer_judged_state', where('state', state))}"
        for state, number in STATE_NUMBERS.items()
    )
    + ")"
)
"""The state of each member by each sidecar, as a number of ``states``."""

_SAID_ROLE: Final = (
    "sum without (role) ("
    + " or ".join(
        f"{number} * {of('raft_node_role', where('role', role))}" for role, number in ROLE_NUMBERS.items()
    )
    + ")"
)
_LAST_INFO: Final = f"last_over_time({of('raft_node_info', IDENTIFIED)}[{REMEMBERED}])"
_REMEMBERED_NODES: Final = f'label_replace({_LAST_INFO}, "reporter", "$1", "id", "(.+)")'
ROLE: Final = (
    f"max by (cluster, instance, reporter) ({reporter(_SAID_ROLE)}) or on (cluster, instance) "
    f"{NO_WORD} * group by (cluster, instance, reporter) ({_REMEMBERED_NODES})"
)
"""The role of each node, as a number of ``states``."""

_VOTER: Final = f"group by (cluster, peer) {credible(of('raft_peer_info', where('suffrage', 'voter')))}"
_SHOWN_ONLINE: Final = _majority("raft_peer_state", "online")
VOTERS: Final = f"count by (cluster) ({_VOTER})"
VOTERS_ONLINE: Final = f"sum by (cluster) ({_VOTER} * {_SHOWN_ONLINE})"
QUORUM: Final = f"(floor({VOTERS} / 2) + 1)"
FAILURE_TOLERANCE: Final = f"({VOTERS_ONLINE} - {QUORUM})"
KNOWN: Final = f"group by (cluster) (last_over_time({of('raft_up')}[{REMEMBERED}]))"
"""Clusters of which a sidecar answered within the last hour."""
MARGIN: Final = f"({FAILURE_TOLERANCE} or on (cluster) {NO_WORD_MARGIN} * {KNOWN})"
"""The failure tolerance, and what stands for it where no credible sidecar answers."""
MARGIN_LOST: Final = f"({VOTERS} - {VOTERS_ONLINE})"
"""How much of the failure tolerance is gone."""
NOT_ONLINE: Final = f"sum by (cluster) (1 - {_SHOWN_ONLINE})"

_NAMED_LEADER: Final = of("raft_node_leader_info", 'leader!=""')
LEADER: Final = f"topk by (cluster) (1, count by (cluster, leader) ({_NAMED_LEADER} == 1))"
_LEADERS_TERM: Final = (
    f"{of('raft_node_term')} and {SIDECAR} {of('raft_node_role', where('role', 'leader'))} == 1"
)
TERM: Final = f"(max by (cluster) ({_LEADERS_TERM}) or max by (cluster) ({of('raft_node_term')} >= 0))"
SIDECARS_UP: Final = f"count by (cluster) ({of('raft_node_isolated')})"
SIDECAR_SILENT: Final = f"({of('up')} == 0 and {SIDECAR} last_over_time({of('raft_up')}[{REMEMBERED}]))"
"""Targets that were sidecars within the last hour and do not answer."""
ISOLATED: Final = f"sum by (cluster) ({of('raft_node_isolated')})"
OVERRIDDEN: Final = f"(max by (cluster, peer, state) ({of('raft_peer_override')}) == 1)"
LOG_LAG: Final = (
    f"max by (cluster, peer) (clamp_min(({of('raft_node_last_log_index')} and {SIDECAR} "
    f"{of('raft_node_role', where('role', 'leader'))} == 1) - {SIDECAR} group_right () "
    f"{of('raft_peer_last_log_index')}, 0))"
)
