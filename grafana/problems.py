"""What is wrong now by the evidence itself, with no rules: since when, and how many sidecars say so."""

from __future__ import annotations

from typing import Final

from grafana.alerts import anchor
from grafana.promql import (
    CREDIBLE,
    IDENTIFIED,
    REMEMBERED,
    SIDECAR,
    SIDECAR_SILENT,
    credible,
    named,
    of,
    where,
)

_STATES: Final[dict[str, str]] = {
    "offline": anchor("RaftPeerOffline"),
    "stalled": anchor("RaftNodeStalled"),
    "asymmetric": anchor("RaftPartialPartition"),
    "suspect": "how-to-read-it",
    "unknown": "how-to-read-it",
}
"""Every state but online, with the runbook's section on it."""


def _by_state(expression: str) -> str:
    problem = f'label_replace({expression}, "problem", "$1", "state", "(.+)")'
    for state, runbook in _STATES.items():
        problem = f'label_replace({problem}, "runbook", "{runbook}", "state", "{state}")'
    return f"sum by (cluster, peer, problem, runbook) ({problem})"


def _problem(expression: str, problem: str, runbook: str) -> str:
    text = f'label_replace({expression}, "problem", "{problem}", "", "")'
    return f'label_replace({text}, "runbook", "{runbook}", "", "")'


def _of_its_node(expression: str) -> str:
    """Name the node of a sidecar as ``peer``, as it last did; by the instance, where that is all there is."""
    by_instance = f'label_replace({expression}, "peer", "$1", "instance", "(.+)")'
    info = f"last_over_time({of('raft_node_info', IDENTIFIED)}[{REMEMBERED}])"
    name = f'topk by (cluster, job, instance) (1, label_replace({info}, "peer", "$1", "id", "(.+)"))'
    by_id = f"{expression} * {SIDECAR} group_left (peer) {name}"
    return f"max by (cluster, peer) ({by_id} or {SIDECAR} {by_instance})"


_OTHER_STATE: Final = of("raft_peer_judged_state", 'state!="online"')
_NOT_ONLINE: Final = f"({_OTHER_STATE} == 1 and {SIDECAR} {CREDIBLE})"
_FOR_HOW_LONG: Final = (
    f"{_NOT_ONLINE} * on (cluster, job, instance, peer) group_left () "
    f"{of('raft_peer_judged_state_age_seconds')}"
)
_ISOLATED: Final = f"({of('raft_node_isolated')} == 1)"
_LEADER_SILENCE: Final = credible(of("raft_node_leader_silence_seconds"))
_GONE_AFTER: Final = of("raft_exporter_threshold_seconds", where("threshold", "gone_after"))
_LEADERLESS: Final = f"(min by (cluster) {_LEADER_SILENCE} > on (cluster) max by (cluster) ({_GONE_AFTER}))"
_LAST_ANSWER: Final = f"max_over_time(timestamp({of('raft_up')})[1h:30s])"

SINCE: Final = named(
    "("
    + " or ".join(
        [
            _by_state(f"max by (cluster, peer, state) ({_FOR_HOW_LONG})"),
            _problem(
                _of_its_node(f"({_ISOLATED} * {SIDECAR} {of('raft_node_leader_silence_seconds')})"),
                "reaches no majority",
                anchor("RaftNodeIsolated"),
            ),
            _problem(_LEADERLESS, "no leader proves itself", anchor("RaftNoLeader")),
            _problem(
                _of_its_node(f"(time() - {_LAST_ANSWER} and {SIDECAR} {SIDECAR_SILENT})"),
                "its sidecar does not answer",
                anchor("RaftExporterDown"),
            ),
        ]
    )
    + ")"
)
"""Seconds since each problem began, at the sidecar that has seen it for the longest; of an isolated node,
since it last heard a leader."""

SAID_BY: Final = named(
    "("
    + " or ".join(
        [
            _by_state(f"count by (cluster, peer, state) ({_NOT_ONLINE})"),
            _problem(_of_its_node(_ISOLATED), "reaches no majority", anchor("RaftNodeIsolated")),
            _problem(
                f"count by (cluster) ({_LEADER_SILENCE}) and on (cluster) {_LEADERLESS}",
                "no leader proves itself",
                anchor("RaftNoLeader"),
            ),
        ]
    )
    + ")"
)
"""How many sidecars say so."""
