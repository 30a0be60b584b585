"""Thresholds, each with its reason and its formula.

All are multiples of H, the node's own HeartbeatTimeout: Consul and Vault run at five times the
default, and fixed milliseconds would flap there.
"""

from __future__ import annotations

from msgspec import Struct


class Policy(Struct, frozen=True):
    """The thresholds in force. Times are in seconds. Build one with :meth:`of`."""

    heartbeat_timeout: float
    """H. hashicorp/raft heartbeats every H/10 to H/5, so one H of silence is five to ten lost ones."""

    suspect_after: float
    """2 H: silence that makes a member suspect, and that makes any evidence stale."""

    refusals: int
    """2: one refusal may be a restart between two accepts, two are a closed port."""

    refusal_span: float
    """0.5 H: the least time between the first and the last of them."""

    probe_failures: int
    """3: unanswered probes in a row before silence is held against a member (the lower bound of memberlist's
    suspicion.go)."""

    host_fresh: float
    """2 H, at least 2.5 s: how long a host's last sign of life counts. The kernel's TCP keepalive, which
    asks the host without the process, comes once a second at its fastest."""

    stall_after: float
    """10 H: a process whose host answers and which is silent for so long is taken for gone."""

    join_grace: float
    """15 H: a member that just joined may need so long to start."""

    rise: int
    """4: successes in a row that bring a member back from offline."""

    rise_span: float
    """3 H: the least time between the first and the last of them, so that a crash loop stays offline."""

    @classmethod
    def of(cls, heartbeat_timeout: float) -> Policy:
        """Give the policy for a node whose HeartbeatTimeout is ``heartbeat_timeout`` seconds."""
        h = heartbeat_timeout
        return cls(
            heartbeat_timeout=h,
            suspect_after=2 * h,
            refusals=2,
            refusal_span=0.5 * h,
            probe_failures=3,
            host_fresh=max(2 * h, 2.5),
            stall_after=10 * h,
            join_grace=15 * h,
            rise=4,
            rise_span=3 * h,
        )

    def thresholds(self) -> dict[str, float]:
        """Each threshold that is a time, by the name it has in ``raft_exporter_threshold_seconds``."""
        return {
            "heartbeat_timeout": self.heartbeat_timeout,
            "suspect_after": self.suspect_after,
            "refusal_span": self.refusal_span,
            "host_fresh": self.host_fresh,
            "stall_after": self.stall_after,
            "join_grace": self.join_grace,
            "rise_span": self.rise_span,
        }
