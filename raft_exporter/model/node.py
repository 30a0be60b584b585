"""What the node beside this sidecar said of itself."""

from __future__ import annotations

from dataclasses import dataclass

from raft_exporter.model.evidence import NodeStatus, Role
from raft_exporter.model.judge import NEVER


@dataclass(slots=True)
class Node:
    """What the node beside this sidecar said of itself; times of the observed clock in seconds."""

    id: str | None = None
    address: str = ""
    status: NodeStatus | None = None
    status_at: float = NEVER
    role: Role = Role.UNKNOWN
    leader_id: str = ""
    leader_address: str = ""
    introduced_at: float = NEVER
    """When it last said who it is: at the beginning of its stream."""
    leader_since: float = NEVER
    leader_proved_at: float = NEVER
    leader_told_at: float = NEVER
    """When the node last said whom it follows, or that it follows nobody."""
    leader_heard_at: float = NEVER
    """When telemetry last told a heartbeat of the leader, whoever that is."""
    telemetry_at: float = NEVER
    led_before: bool = False
    leader_changes_total: int = 0
    elections_total: int = 0

    def set_role(self, role: Role) -> bool:
        """Take a role; True when it is another one, so that the evidence of the last leadership ends."""
        if role is self.role:
            return False
        self.elections_total += role is Role.CANDIDATE
        self.role = role
        return True

    def set_leader(self, leader_id: str, address: str, at: float) -> bool:
        """Take a leader, an empty id for none; True when it is another one than before."""
        self.leader_address = address
        self.leader_told_at = max(self.leader_told_at, at)
        if leader_id == self.leader_id:
            return False
        self.leader_id = leader_id
        self.leader_since = at
        if leader_id:
            self.leader_changes_total += self.led_before
            self.led_before = True
        return True
