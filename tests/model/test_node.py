"""The node beside the sidecar: its role, its leader, its margin."""

from __future__ import annotations

import pytest

from raft_exporter.model.evidence import (
    Configuration,
    LeaderChanged,
    NodeIdentity,
    Role,
    RoleChanged,
    Server,
    StatusLost,
    Suffrage,
)
from raft_exporter.model.policy import Policy
from raft_exporter.model.quorum import Quorum
from raft_exporter.model.table import Table
from tests.model.story import (
    N1,
    N2,
    N3,
    Story,
    leading,
    probe,
    status,
    unanswered,
)


def test_elections_and_leader_changes_are_counted() -> None:
    story = Story()
    story.tell(status(), at=1.0)
    assert (story.table.node.elections_total, story.table.node.leader_changes_total) == (0, 0)
    story.tell(RoleChanged(role=Role.CANDIDATE), LeaderChanged(leader_id="", leader_address=""), at=2.0)
    story.tell(RoleChanged(role=Role.CANDIDATE), at=2.1)
    story.tell(RoleChanged(role=Role.LEADER), LeaderChanged(leader_id="n1", leader_address=""), at=3.0)
    assert (story.table.node.elections_total, story.table.node.leader_changes_total) == (1, 1)


def test_an_edge_older_than_the_status_changes_nothing() -> None:
    """The observer sends what it had queued while the sidecar was away, after the status."""
    story = Story()
    story.tell(NodeIdentity(id="n1", address=N1.address), status(), at=60.0)
    story.tell(RoleChanged(role=Role.LEADER, age=50.0), LeaderChanged("n1", "", age=50.0), at=60.1)
    assert (story.table.node.role, story.table.node.leader_id) == (Role.FOLLOWER, "n2")
    story.tell(status(), at=60.2)
    story.tell(RoleChanged(role=Role.CANDIDATE, age=0.15), at=60.3)
    assert story.table.node.role is Role.CANDIDATE, (
        "an edge of this stream counts, whatever came in one batch"
    )


def test_roles_are_told_only_as_proved() -> None:
    story = Story()
    roles = [story.table.role_of(peer, 0.0) for peer in ("n1", "n2", "n3")]
    assert roles == [Role.UNKNOWN] * 3
    story.tell(status(), at=1.0)
    roles = [story.table.role_of(peer, 1.0) for peer in ("n1", "n2", "n3")]
    assert roles == [Role.FOLLOWER, Role.LEADER, Role.FOLLOWER]


def test_leader_proves_itself_by_its_main_loop_and_follower_by_its_leaders_word() -> None:
    follower = Story()
    follower.tell(status(), at=1.0)
    follower.tell(status(contact=0.3), at=2.0)
    assert follower.table.leader_silence(2.0) == pytest.approx(0.3)
    leader = Story()
    leader.tell(leading(), at=1.0)
    leader.tell(leading(), at=9.0)
    assert leader.table.leader_silence(9.0) is None, "its own word proves nothing"
    risen = Story()
    risen.tell(status(), at=1.0)
    risen.tell(status(contact=0.3), leading(), at=2.0)
    assert risen.table.leader_silence(60.0) is None, "a leader that can't be probed is not a hanging one"
    leader.tell(probe("n1"), at=9.5)
    assert leader.table.leader_silence(10.0) == 0.5


def test_main_loop_silence_counts_from_the_first_probe_on() -> None:
    story = Story()
    assert story.table.main_loop_silence(5.0) is None
    story.tell(unanswered("n1"), at=6.0)
    assert story.table.main_loop_silence(6.0) == 6.0
    story.tell(probe("n1"), at=7.0)
    assert story.table.main_loop_silence(7.5) == 0.5
    story.tell(Configuration(servers=(N2, N3)), at=8.0)
    assert story.table.main_loop_silence(8.0) is None


def test_a_name_is_no_evidence() -> None:
    table = Table(Policy.of(1.0), (), 0.0)
    table.take(NodeIdentity(id="n1", address=N1.address), 0.0)
    assert not table.intake.heard
    table.take(StatusLost(), 0.0)
    assert table.intake.heard


def test_only_voters_count_in_the_quorum() -> None:
    observer = Server(id="n4", address="10.0.0.4:7000", suffrage=Suffrage.NONVOTER)
    story = Story(N1, N2, N3, observer)
    story.tell(leading(), probe("n2"), probe("n4"), at=1.0)
    story.judge()
    assert story.table.quorum(3.0) == Quorum(voters=3, quorum=2, voters_online=2, failure_tolerance=0)


def test_the_margin_is_not_guessed_before_the_voters_had_time_to_be_heard() -> None:
    table = Table(Policy.of(1.0), (), 0.0)
    assert table.quorum(60.0) is None, "no member is known"
    story = Story(N1, N2)
    assert story.table.quorum(1.9) is None
    story.tell(status(leader="n2"), probe("n2"), at=1.9)
    story.judge()
    assert story.table.quorum(1.9) == Quorum(voters=2, quorum=2, voters_online=2, failure_tolerance=0)
    silent = Story(N1, N2)
    assert silent.table.quorum(2.0) == Quorum(voters=2, quorum=2, voters_online=0, failure_tolerance=-2)


def test_up_is_the_nodes_own_word_or_where_it_has_none_its_answer_to_the_probe() -> None:
    story = Story()
    assert not story.table.up(0.0)
    story.tell(probe("n1"), at=1.0)
    assert story.table.up(1.0)
    assert not story.table.up(3.0)
    story.tell(status(), at=3.0)
    story.tell(StatusLost(), probe("n1"), at=3.1)
    assert not story.table.up(3.1), "a node that has a word and does not give it"


@pytest.mark.parametrize(
    ("online", "expected"),
    [
        ([], Quorum(0, 0, 0, 0)),
        ([True], Quorum(1, 1, 1, 0)),
        ([False], Quorum(1, 1, 0, -1)),
        ([True, True], Quorum(2, 2, 2, 0)),
        ([True, True, True], Quorum(3, 2, 3, 1)),
        ([True] * 4, Quorum(4, 3, 4, 1)),
        ([True] * 5, Quorum(5, 3, 5, 2)),
        ([True, False, False, False, False], Quorum(5, 3, 1, -2)),
        ([True] * 7, Quorum(7, 4, 7, 3)),
    ],
)
def test_quorum_arithmetic(online: list[bool], expected: Quorum) -> None:
    assert Quorum.of(online) == expected


def test_a_node_that_begins_to_lead_has_no_term_until_it_is_told() -> None:
    story = Story()
    story.tell(status(), at=1.0)
    assert story.table.own is not None
    assert story.table.own.term == 3
    story.tell(RoleChanged(role=Role.LEADER), at=1.1)
    assert story.table.own.term is None
    story.tell(leading(term=4), at=2.0)
    story.tell(RoleChanged(role=Role.LEADER), at=2.1)
    assert story.table.own.term == 4
