"""The catalogue of metrics: the contract with Prometheus, rules and dashboards.

docs/metrics.md is generated from it (``make docs``), and nothing is exported that is not in it. No
metric has a label for the cluster, the instance or the job: those belong to Prometheus.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from msgspec import Struct


class Kind(StrEnum):
    """The type of a metric family, as Prometheus names it."""

    GAUGE = "gauge"
    COUNTER = "counter"
    HISTOGRAM = "histogram"
    INFO = "info"


class Metric(Struct, frozen=True):
    """One metric family: its name as it is scraped, its labels, its type and its help text."""

    name: str
    kind: Kind
    help: str
    labels: tuple[str, ...] = ()

    @property
    def family(self) -> str:
        """The name without the suffix that its type brings."""
        suffixes = {Kind.COUNTER: "_total", Kind.INFO: "_info"}
        return self.name.removesuffix(suffixes.get(self.kind, ""))


_G, _C, _H, _I = Kind.GAUGE, Kind.COUNTER, Kind.HISTOGRAM, Kind.INFO
_UNKNOWN = "NaN while it is not known."

NODE_UP: Final = Metric(
    "raft_up",
    _G,
    "Whether the node was heard lately: by its status source, or, where it has none, by the native probe of "
    "itself.",
)
NODE_INFO: Final = Metric(
    "raft_node_info",
    _I,
    "The node beside this sidecar. Labels are empty while they are not known.",
    ("id", "address", "kind", "protocol_version"),
)
NODE_ROLE: Final = Metric(
    "raft_node_role", _G, "1 for the role that the node says it has, else 0.", ("role",)
)
NODE_TERM: Final = Metric("raft_node_term", _G, f"The node's current term. {_UNKNOWN}")
NODE_LAST_LOG_INDEX: Final = Metric(
    "raft_node_last_log_index", _G, f"Index of the last entry in the node's log. {_UNKNOWN}"
)
NODE_COMMIT_INDEX: Final = Metric(
    "raft_node_commit_index", _G, f"Index of the last entry that the node knows to be committed. {_UNKNOWN}"
)
NODE_APPLIED_INDEX: Final = Metric(
    "raft_node_applied_index", _G, f"Index of the last entry that the node's FSM has applied. {_UNKNOWN}"
)
NODE_SNAPSHOT_INDEX: Final = Metric(
    "raft_node_snapshot_index", _G, f"Index of the last entry in the node's latest snapshot. {_UNKNOWN}"
)
NODE_FSM_PENDING: Final = Metric(
    "raft_node_fsm_pending", _G, f"Entries that wait for the node's FSM. {_UNKNOWN}"
)
NODE_VOTER: Final = Metric(
    "raft_node_voter", _G, f"Whether the node is a voter in the configuration that it knows. {_UNKNOWN}"
)
NODE_IN_CONFIGURATION: Final = Metric(
    "raft_node_in_configuration", _G, f"Whether the node is in the configuration that it knows. {_UNKNOWN}"
)
NODE_HAS_LEADER: Final = Metric(
    "raft_node_has_leader", _G, "Whether the node says that it knows a leader. NaN while it says nothing."
)
NODE_ISOLATED: Final = Metric(
    "raft_node_isolated",
    _G,
    "Whether this node reaches, or is answered by the hosts of, fewer voters than a majority, itself "
    "included. It blames nobody for its silence then.",
)
NODE_LEADER_INFO: Final = Metric(
    "raft_node_leader_info",
    _G,
    "1 for the leader that the node knows; labels are empty when it knows none.",
    ("leader", "address"),
)
NODE_LEADER_SILENCE: Final = Metric(
    "raft_node_leader_silence_seconds",
    _G,
    "Time since the leader last proved itself: by its word to this node, or, on the leader, by a main loop "
    "that answers. NaN while none ever did.",
)
NODE_MAIN_LOOP_SILENCE: Final = Metric(
    "raft_node_main_loop_silence_seconds",
    _G,
    "Time since the node's main loop last answered the native probe; since it is known, if it never did. "
    "NaN while it is not probed.",
)
NODE_LEADER_CHANGES: Final = Metric(
    "raft_node_leader_changes_total", _C, "Leaderships that began, as the node saw it, after the first one."
)
NODE_ELECTIONS: Final = Metric(
    "raft_node_elections_total", _C, "Times that the node became a candidate (pre-vote counts)."
)

CLUSTER_MEMBERS: Final = Metric(
    "raft_cluster_members", _G, f"Members of the configuration in force. {_UNKNOWN}", ("suffrage",)
)
CLUSTER_QUORUM: Final = Metric("raft_cluster_quorum", _G, f"Voters that make a majority. {_UNKNOWN}")
CLUSTER_VOTERS_ONLINE: Final = Metric(
    "raft_cluster_voters_online",
    _G,
    "Voters that this sidecar judges online, its own node included. NaN until each was heard or has had "
    "suspect_after for it.",
)
CLUSTER_FAILURE_TOLERANCE: Final = Metric(
    "raft_cluster_failure_tolerance",
    _G,
    "How many more online voters may fail before the majority is lost; below 0, so many are missing. NaN "
    "as long as raft_cluster_voters_online is.",
)
CONFIGURATION_INDEX: Final = Metric(
    "raft_configuration_index",
    _G,
    "Log index of the configuration in force. NaN while it is not known: hashicorp/raft up to 1.7.3 does "
    "not tell it, a service may (observer.Config.ConfigurationIndex).",
)

PEER_INFO: Final = Metric(
    "raft_peer_info", _G, "1 for each member, the own node included.", ("peer", "address", "suffrage")
)
PEER_STATE: Final = Metric(
    "raft_peer_state",
    _G,
    "1 for the state that the member is shown in, else 0: the judged one, unless an override masks it.",
    ("peer", "state"),
)
PEER_JUDGED_STATE: Final = Metric(
    "raft_peer_judged_state",
    _G,
    "1 for the state that the member is judged to be in, whatever an override says, else 0.",
    ("peer", "state"),
)
PEER_STATE_AGE: Final = Metric(
    "raft_peer_judged_state_age_seconds",
    _G,
    "For how long the member has been judged to be in the state that it is in. Monotonic, without the "
    "sidecar's own pauses; goes on over a restart of the sidecar that has a store.",
    ("peer",),
)
PEER_SILENCE: Final = Metric(
    "raft_peer_silence_seconds",
    _G,
    "Time since the member was last heard: by heartbeat (as leader of its answers, as follower of the "
    "leader's word; NaN when heartbeats do not speak of it), by the native probe (raft), through its own "
    "sidecar's report (sidecar: its host, NaN if never), by any of the first two; and by what credible "
    "sidecars report of it (report, NaN if never). Monotonic, without the sidecar's own pauses.",
    ("peer", "source"),
)
PEER_LAST_CONTACT: Final = Metric(
    "raft_peer_last_contact_timestamp_seconds",
    _G,
    "When the member was last heard by any source, Unix time; 0 for never.",
    ("peer",),
)
PEER_HEARTBEATS: Final = Metric(
    "raft_peer_heartbeats_total",
    _C,
    "Heartbeats of the own node, as leader, that the member answered.",
    ("peer",),
)
PEER_HEARTBEAT_FAILURES: Final = Metric(
    "raft_peer_heartbeat_failures_total",
    _C,
    "Heartbeats of the own node to the member that failed. Attempts back off: this is no measure of time.",
    ("peer",),
)
PEER_HEARTBEAT_DURATION: Final = Metric(
    "raft_peer_heartbeat_duration_seconds", _H, "Round trips of answered heartbeats.", ("peer",)
)
PEER_PROBES: Final = Metric(
    "raft_peer_probes_total",
    _C,
    "Outcomes of probes: raft (native), tls (a greeting that Vault or OpenBao refuses as it should), sidecar "
    "(its report). A probe that stays unanswered has one outcome each time its timeout passes.",
    ("peer", "probe"),
)
PEER_PROBE_FAILURES: Final = Metric(
    "raft_peer_probe_failures_total", _C, "Those of them that failed, by reason.", ("peer", "probe", "reason")
)
PEER_PROBE_DURATION: Final = Metric(
    "raft_peer_probe_duration_seconds",
    _H,
    "Round trips of answered probes; of the native one, the latency of the member's main loop.",
    ("peer", "probe"),
)
PEER_TERM: Final = Metric("raft_peer_term", _G, f"The term that the member last told. {_UNKNOWN}", ("peer",))
PEER_LAST_LOG_INDEX: Final = Metric(
    "raft_peer_last_log_index", _G, f"The last log index that the member last told. {_UNKNOWN}", ("peer",)
)
PEER_TRANSITIONS: Final = Metric(
    "raft_peer_transitions_total",
    _C,
    "Changes of the member's judged state, by the new state.",
    ("peer", "to"),
)

PEER_FLAPPING: Final = Metric(
    "raft_peer_flapping",
    _G,
    "Whether the member went offline so often lately that its flap penalty is above flapping_above and has "
    "not decayed below flapping_below since.",
    ("peer",),
)
PEER_OVERRIDE: Final = Metric(
    "raft_peer_override",
    _G,
    "1 for what an operator forces on the member at present (a state, or ignore), else 0.",
    ("peer", "state"),
)
PEER_OVERRIDE_EXPIRY: Final = Metric(
    "raft_peer_override_expiry_timestamp_seconds",
    _G,
    "When the member's override ends by itself, Unix time; 0 without one.",
    ("peer",),
)

THRESHOLD: Final = Metric(
    "raft_exporter_threshold_seconds",
    _G,
    "The policy in force, so that rules need no numbers of their own (raft_exporter/model/policy.py).",
    ("threshold",),
)
BUILD_INFO: Final = Metric(
    "raft_exporter_build_info", _G, "1, with the versions of this sidecar.", ("version", "python_version")
)
RELOAD_SUCCESSFUL: Final = Metric(
    "raft_exporter_config_last_reload_successful",
    _G,
    "Whether the configuration was taken when it was last read; the start counts.",
)
RELOAD_SUCCESS_TIMESTAMP: Final = Metric(
    "raft_exporter_config_last_reload_success_timestamp_seconds",
    _G,
    "When a configuration was last read and taken, Unix time.",
)
SOURCE_UP: Final = Metric(
    "raft_exporter_source_up",
    _G,
    "Whether the source is connected. NaN for an observer that nobody asked for and that never came.",
    ("source",),
)
OBSERVATIONS: Final = Metric(
    "raft_exporter_observations_total",
    _C,
    "Observations of hashicorp/raft that the observer sent.",
    ("kind",),
)
OBSERVATIONS_DROPPED: Final = Metric(
    "raft_exporter_observations_dropped_total",
    _C,
    "Observations that never reached the stream, because a queue in the node was full.",
)
REJECTED: Final = Metric(
    "raft_exporter_rejected_total",
    _C,
    "Input that was rejected and skipped.",
    ("source", "reason"),
)
EVENT_LOOP_LAG: Final = Metric(
    "raft_exporter_event_loop_lag_seconds", _G, "How late the last turn of the judging came."
)
LOG_MESSAGES: Final = Metric(
    "raft_exporter_log_messages_total", _C, "Lines that this process logged, by level.", ("level",)
)
LOG_MESSAGES_SUPPRESSED: Final = Metric(
    "raft_exporter_log_messages_suppressed_total",
    _C,
    "Messages that were not logged because the same one came too often; one line sums them up.",
)
STORE_ERRORS: Final = Metric(
    "raft_exporter_store_errors_total",
    _C,
    "Failures of the database: what could not be read or written. The watching goes on without it.",
)
SCRAPE_DURATION: Final = Metric(
    "raft_exporter_scrape_duration_seconds", _G, "Time it took to make the metrics of this scrape."
)

METRICS: Final[tuple[Metric, ...]] = tuple(
    value for value in list(globals().values()) if isinstance(value, Metric)
)
"""All of them, in the order of docs/metrics.md."""
