"""Whose word counts for whom: how the table folds what the sources say."""

from __future__ import annotations

import pytest

from raft_exporter.model.evidence import (
    Configuration,
    Evidence,
    HeartbeatFailed,
    LeaderChanged,
    Role,
    RoleChanged,
    StatusLost,
)
from raft_exporter.model.judge import Reason
from tests.model.story import (
    N1,
    N2,
    N3,
    Story,
    answered,
    leading,
    probe,
    status,
)


def test_leader_hears_followers_by_heartbeat_and_itself_by_its_status() -> None:
    story = Story()
    story.tell(leading(), answered("n2"), answered("n3"), at=1.0)
    assert story.judge() == {"n1": "online", "n2": "online", "n3": "online"}


def test_follower_hears_its_leader_and_knows_nothing_of_the_other_follower() -> None:
    story = Story()
    story.tell(status(), at=1.0)
    story.tell(status(), at=2.0)
    assert story.judge() == {"n1": "online", "n2": "online", "n3": "unknown"}
    assert story.table.members["n3"].heartbeat_silence(story.now) is None


def test_silence_about_another_follower_is_no_evidence_however_long() -> None:
    story = Story()
    for second in range(1, 100):
        story.tell(status(), at=float(second))
    assert story.judge()["n3"] == "unknown"
    assert story.reason("n3") is Reason.NO_EVIDENCE


def test_heartbeats_told_by_a_follower_are_counted_and_prove_nothing() -> None:
    story = Story()
    story.tell(status(), answered("n3"), at=1.0)
    assert story.judge()["n3"] == "unknown"
    assert story.table.members["n3"].heartbeats_total == 1


def test_heartbeats_answered_under_an_earlier_leadership_prove_nothing() -> None:
    story = Story()
    story.tell(leading(), at=5.0)
    story.tell(answered("n2", age=3.0), at=6.0)
    assert story.table.members["n2"].heartbeat_silence(6.0) is None


@pytest.mark.parametrize(
    "end",
    [
        pytest.param(RoleChanged(role=Role.FOLLOWER), id="it stops being leader"),
        pytest.param(LeaderChanged(leader_id="n2", leader_address=""), id="another leads"),
        pytest.param(LeaderChanged(leader_id="", leader_address=""), id="the leader is lost"),
        pytest.param(Configuration(servers=(N1, N2)), id="the configuration changes"),
        pytest.param(StatusLost(), id="the source goes away"),
    ],
)
def test_evidence_of_a_leadership_ends_with_it(end: Evidence) -> None:
    story = Story()
    story.tell(leading(), answered("n2"), at=1.0)
    assert story.judge()["n2"] == "online"
    story.tell(end, at=1.5)
    assert story.judge()["n2"] == "unknown"
    assert story.judge(at=60.0)["n2"] == "unknown", "the old leader's silence accuses nobody"


def test_the_same_configuration_told_again_drops_nothing() -> None:
    story = Story()
    story.tell(leading(), answered("n2"), at=1.0)
    story.tell(Configuration(servers=(N1, N2, N3), index=1), at=1.1)
    assert story.judge()["n2"] == "online"


def test_contact_before_this_leadership_is_not_the_leaders_word() -> None:
    """Granting a vote counts as contact in hashicorp/raft, and says nothing of who won."""
    story = Story()
    story.tell(status(contact=0.5), at=1.0)
    assert story.table.members["n2"].heartbeat_silence(1.0) is None
    story.tell(status(contact=0.5), at=2.0)
    assert story.table.members["n2"].heartbeat_silence(2.0) == 0.5


def test_the_same_contact_told_twice_is_one_success() -> None:
    story = Story()
    story.tell(status(), at=1.0)
    story.tell(status(contact=0.2), at=2.0)
    story.tell(status(contact=1.2), at=3.0)
    assert story.table.members["n2"].evidence().run_count == 1


def test_stale_status_makes_heartbeat_silence_mean_nothing() -> None:
    """A leader that is frozen hears no heartbeats; its followers are not to blame."""
    story = Story()
    story.tell(leading(), answered("n2"), at=1.0)
    assert story.judge(at=3.5)["n2"] == "suspect", "the node still speaks: two and a half H of silence"
    assert story.judge(at=4.0)["n2"] == "unknown"


def test_status_lost_takes_the_own_node_word_about_itself() -> None:
    story = Story()
    story.tell(status(), at=1.0)
    story.tell(StatusLost(), at=1.1)
    assert story.judge()["n1"] == "unknown"
    assert not story.table.node_up(1.1)
    assert story.table.role(1.1) is Role.UNKNOWN


def test_a_leader_that_is_no_member_proves_nothing() -> None:
    story = Story()
    story.tell(status(leader="n9"), at=1.0)
    story.tell(status(leader="n9"), at=2.0)
    assert story.table.leader_silence(2.0) is None


def test_status_of_a_node_outside_its_configuration_is_kept_and_judges_nobody() -> None:
    story = Story(N2, N3)
    story.tell(status(), at=1.0)
    story.tell(StatusLost(), at=1.5)
    assert story.table.own is None
    assert story.judge() == {"n2": "unknown", "n3": "unknown"}


def test_word_of_a_stranger_makes_no_member() -> None:
    story = Story()
    story.tell(leading(), probe("n9"), answered("n9"), HeartbeatFailed(peer="n9"), at=1.0)
    assert set(story.table.members) == {"n1", "n2", "n3"}


def test_failed_heartbeats_are_counted_and_never_judged_by() -> None:
    story = Story()
    story.tell(leading(), answered("n2"), *[HeartbeatFailed(peer="n2")] * 50, at=1.0)
    assert story.table.members["n2"].heartbeat_failures_total == 50
    assert story.judge()["n2"] == "online"
