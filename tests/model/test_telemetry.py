"""What is known of a node that no observer speaks for: its API, and the heartbeats in its telemetry."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from raft_exporter.model.evidence import (
    Evidence,
    LeaderHeard,
    NodeIdentity,
    NodeStatus,
    Role,
    TelemetryHeard,
)
from raft_exporter.model.judge import State
from tests.model.story import N1, Story, answered, leading, probe, status


def told(role: Role, leader: str | None = None) -> NodeStatus:
    """The word of an API or of telemetry: heartbeats are none of it."""
    return replace(
        status(role),
        term=None,
        last_log_index=None,
        commit_index=None,
        applied_index=None,
        snapshot_index=None,
        fsm_pending=None,
        leader_id=leader,
        last_contact=None,
        heartbeats=False,
    )


LEADS = (told(Role.LEADER), TelemetryHeard())


def leader_story(*peers: str) -> Story:
    """The node leads, and telemetry tells the heartbeats that these answered."""
    story = Story()
    story.live(3.0, *LEADS, *map(answered, peers))
    return story


def test_who_leads_needs_nobody_to_name_the_leader() -> None:
    story = leader_story("n2", "n3")
    assert story.table.leader(story.now) == "n1"
    assert story.table.role_of("n1", story.now) is Role.LEADER
    assert story.table.role_of("n2", story.now) is Role.FOLLOWER
    story.tell(told(Role.FOLLOWER), at=3.5)
    assert story.table.leader(3.5) is None
    assert not story.table.has_leader(3.5)
    assert story.table.role_of("n2", 3.5) is Role.UNKNOWN


def test_heartbeats_in_telemetry_are_heard_and_their_silence_counts_while_it_speaks() -> None:
    story = leader_story("n2", "n3")
    assert story.judge() == {"n1": "online", "n2": "online", "n3": "online"}
    turns = story.live(6.0, *LEADS, answered("n2"))
    assert turns[0] == (5.0, State.SUSPECT)
    assert story.state("n2") is State.ONLINE


@pytest.mark.parametrize("everything", [True, False])
def test_telemetry_that_stops_accuses_nobody(everything: bool) -> None:
    story = leader_story("n2", "n3")
    # Its API may go on: that is no word of anybody's heartbeats.
    assert story.live(40.0, *([] if everything else [told(Role.LEADER)])) == [(6.0, State.UNKNOWN)]
    assert story.state("n2") is State.UNKNOWN
    assert not story.table.isolated


def test_a_follower_hears_a_leader_that_it_can_not_name() -> None:
    story = Story()
    heard: tuple[Evidence, ...] = (told(Role.FOLLOWER), LeaderHeard(), TelemetryHeard())
    story.live(3.0, *heard)
    assert story.table.has_leader(3.0)
    assert story.table.leader(3.0) is None
    assert story.table.leader_silence(3.0) == 0.0
    assert story.table.members["n2"].heartbeat_silence(3.0) is None
    story.live(6.0, told(Role.FOLLOWER), TelemetryHeard())
    assert story.table.leader_silence(6.0) == 3.0
    assert not story.table.has_leader(6.0)


def test_a_follower_s_api_names_the_leader_and_telemetry_says_that_it_is_heard() -> None:
    story = Story()
    story.live(3.0, told(Role.FOLLOWER, "n3"), LeaderHeard(), TelemetryHeard())
    assert story.table.leader(3.0) == "n3"
    assert story.table.members["n3"].heartbeat_silence(3.0) == 0.0
    assert story.table.members["n2"].heartbeat_silence(3.0) is None


def test_a_heartbeat_of_a_leader_to_a_candidate_proves_no_leader() -> None:
    story = Story()
    story.live(1.0, told(Role.CANDIDATE, ""), LeaderHeard(), TelemetryHeard())
    assert story.table.leader_silence(1.0) is None


def test_a_leader_that_is_not_named_any_more_is_not_known_for_ever() -> None:
    story = Story()
    story.live(1.0, told(Role.FOLLOWER, "n3"))
    assert story.table.leader(1.0) == "n3"
    story.live(3.5, told(Role.UNKNOWN))
    assert story.table.leader(3.5) == "n3"
    story.live(4.5, told(Role.UNKNOWN))
    assert story.table.leader(4.5) is None
    assert story.table.node.leader_changes_total == 0


def test_what_a_source_can_not_tell_does_not_unsay_what_another_told() -> None:
    story = Story()
    story.tell(probe("n1", term=7, last_log_index=20), told(Role.FOLLOWER), at=1.0)
    own = story.table.own
    assert own is not None
    assert (own.term, own.last_log_index) == (7, 20)
    story.tell(leading(term=8, last_log_index=21), at=2.0)
    assert (own.term, own.last_log_index) == (8, 21)


def test_a_source_that_knows_the_id_alone_does_not_unsay_the_address() -> None:
    story = Story()
    story.tell(NodeIdentity(id="n1", address=""))
    assert story.table.node.address == N1.address
    story.tell(NodeIdentity(id="n9", address=""))
    assert story.table.node.address == ""
