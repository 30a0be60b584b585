"""Who is a member: joins, leaves, addresses."""

from __future__ import annotations

from raft_exporter.model.evidence import (
    Configuration,
    NodeIdentity,
    ProbeKind,
    Server,
    Suffrage,
)
from raft_exporter.model.judge import NEVER, Reason, State, Verdict
from raft_exporter.model.policy import Multiples, Policy
from raft_exporter.model.table import Table
from tests.model.story import (
    N1,
    N2,
    N3,
    Story,
    dead,
    hears,
    probe,
    refused,
)


def test_members_come_from_the_operator_until_the_node_tells_its_configuration() -> None:
    table = Table(Policy.of(1.0), (N2, N3), 0.0)
    assert set(table.members) == {"n2", "n3"}
    table.take(NodeIdentity(id="n1", address=N1.address), 0.0)
    assert set(table.members) == {"n1", "n2", "n3"}
    table.take(Configuration(servers=(N1, N2)), 1.0)
    assert set(table.members) == {"n1", "n2"}


def test_own_node_counts_even_where_its_address_is_not_known() -> None:
    table = Table(Policy.of(1.0), (N2, N3), 0.0)
    table.take(NodeIdentity(id="n1", address=""), 0.0)
    quorum = table.quorum(2.0)
    assert quorum is not None
    assert quorum.voters == 3


def test_own_node_may_stand_in_the_operators_list() -> None:
    table = Table(Policy.of(1.0), (N1, N2), 0.0)
    table.take(NodeIdentity(id="n1", address="10.9.9.9:1"), 0.0)
    assert table.members["n1"].server.address == N1.address


def test_empty_configuration_of_a_node_never_bootstrapped_says_nothing() -> None:
    story = Story()
    story.tell(Configuration(servers=()), at=1.0)
    assert set(story.table.members) == {"n1", "n2", "n3"}


def test_a_member_that_left_is_gone_and_told_once() -> None:
    story = Story()
    story.judge(at=0.5)
    story.tell(Configuration(servers=(N1, N2)), at=1.0)
    left = [change for change in story.table.judge(1.1) if change.after is None]
    assert [change.peer for change in left] == ["n3"]
    assert not [change for change in story.table.judge(1.2) if change.after is None]
    assert set(story.table.members) == {"n1", "n2"}


def test_a_member_that_joins_late_has_grace_and_the_first_ones_have_none() -> None:
    story = Story(N1, N2)
    story.tell(Configuration(servers=(N1, N2, N3)), at=1.0)
    for step in range(10):
        story.tell(refused("n2"), refused("n3"), at=2.0 + step * 0.3)
    states = story.judge()
    assert (states["n2"], states["n3"]) == ("offline", "unknown")
    assert story.reason("n3") is Reason.JOINED
    assert story.judge(at=16.5)["n3"] == "offline"


def test_a_new_address_resets_the_evidence_and_keeps_the_counts() -> None:
    story = Story()
    story.tell(probe("n2"), at=1.0)
    story.judge()
    moved = Server(id="n2", address="10.0.0.99:7000", suffrage=Suffrage.NONVOTER)
    story.tell(Configuration(servers=(N1, moved, N3)), at=1.1)
    member = story.table.members["n2"]
    assert member.server == moved
    assert member.evidence().main_loop_at == NEVER
    assert member.probes[ProbeKind.RAFT].total == 1
    assert story.judge()["n2"] == "unknown"


def test_the_heartbeat_timeout_that_the_node_tells_is_the_unit_of_the_policy() -> None:
    story = Story(h=5.0)
    assert story.table.policy == Policy.of(5.0)
    story.tell(NodeIdentity(id="n1", address=N1.address, heartbeat_timeout=None))
    assert story.table.policy == Policy.of(5.0)


def test_transitions_are_given_once_and_counted() -> None:
    story = Story()
    story.tell(probe("n2"), at=1.0)
    changes = story.table.judge(1.0)
    told = [(each.peer, each.before, each.after) for each in changes]
    unknown = Verdict(state=State.UNKNOWN, reason=Reason.NO_EVIDENCE, since=0.0)
    assert told == [("n2", unknown, Verdict(state=State.ONLINE, reason=Reason.FRESH, since=1.0))]
    assert story.table.judge(1.1) == []
    assert story.table.members["n2"].transitions == {State.ONLINE: 1}


def test_a_cluster_of_nobody_is_judged_without_a_word() -> None:
    table = Table(Policy.of(1.0), (), 0.0)
    assert table.judge(1.0) == []
    assert not table.isolated
    assert table.members == {}


def test_who_joins_late_and_is_heard_once_has_no_grace_left() -> None:
    story = Story(N1, N2)
    story.tell(Configuration(servers=(N1, N2, N3), index=2), at=1.0)
    story.tell(probe("n3"), at=2.0)
    story.judge()
    story.live(4.0, probe("n2"), refused("n3"))
    assert story.state("n3") is State.OFFLINE


def test_who_joins_late_is_unknown_for_fifteen_h_whatever_is_said_and_then_judged() -> None:
    story = Story(N1, N2)
    story.tell(Configuration(servers=(N1, N2, N3), index=2), at=1.0)
    story.judge()
    changes = story.live(30.0, probe("n2"), dead("n3"), hears("n2", "n3"))
    assert changes == [(16.0, State.ASYMMETRIC)]


def test_a_join_is_told_also_where_no_grace_is_given() -> None:
    table = Table(Policy.of(1.0, Multiples(join_grace=0.0)), (), 0.0)
    table.take(Configuration(servers=(N1, N2)), 0.0)
    assert not table.judge(0.1)
    table.take(Configuration(servers=(N1, N2, N3)), 1.0)
    (joined,) = table.judge(1.1)
    assert (joined.peer, joined.before) == ("n3", None)


def test_who_leaves_and_comes_back_at_once_starts_anew_with_grace() -> None:
    story = Story()
    story.tell(probe("n3"), at=0.1)
    story.live(4.0, probe("n2"), refused("n3"), hears("n2", "n3"))
    assert story.state("n3") is State.OFFLINE
    story.tell(Configuration(servers=(N1, N2), index=2))
    story.tell(Configuration(servers=(N1, N2, N3), index=3))
    changes = story.table.judge(4.1)
    assert [(each.peer, each.before is None, each.after is None) for each in changes] == [
        ("n3", False, True),
        ("n3", True, False),
    ]
    verdict = story.verdict("n3")
    assert (verdict.state, verdict.reason, verdict.penalty) == (State.UNKNOWN, Reason.JOINED, 0.0)
    assert story.table.members["n3"].report_silence(4.1) is None, "what was said of it went with it"


def test_an_address_change_keeps_the_penalty_and_starts_the_silence_anew() -> None:
    story = Story()
    story.live(3.0, probe("n2"), refused("n3"))
    story.live(8.0, probe("n2"), probe("n3"))
    penalty = story.verdict("n3").penalty
    moved = Server(id="n3", address="10.0.0.33:7000")
    story.tell(Configuration(servers=(N1, N2, moved), index=2))
    assert story.live(30.0, probe("n2"), dead("n3")) == [
        (8.5, State.UNKNOWN),
        (10.0, State.SUSPECT),
        (23.0, State.OFFLINE),
    ]
    assert penalty == 1.0
    assert story.verdict("n3").penalty > 1.9


def test_other_static_members_join_late_leave_and_move() -> None:
    table = Table(Policy.of(1.0), (N1, N2), 0.0)
    table.take(NodeIdentity(id="n1", address=N1.address), 0.0)
    for at in (1.0, 1.3, 1.6):
        table.take(probe("n2"), at)
        table.judge(at)
    assert table.members["n2"].verdict.state is State.ONLINE
    table.adopt(Policy.of(1.0), (N1, N2, N3), 2.0)
    (joined,) = table.judge(2.1)
    assert (joined.peer, joined.before) == ("n3", None)
    assert table.members["n3"].verdict.reason is Reason.JOINED
    assert table.members["n2"].verdict.state is State.ONLINE
    table.adopt(Policy.of(1.0), (N1, Server("n2", "10.0.0.9:7000")), 3.0)
    assert set(table.members) == {"n1", "n2"}
    assert table.members["n2"].server.address == "10.0.0.9:7000"
    assert [change.peer for change in table.judge(3.1) if change.after is None] == ["n3"]


def test_static_members_adopted_later_are_none_once_the_node_told_its_configuration() -> None:
    story = Story()
    story.table.adopt(Policy.of(1.0), (N1, Server("n9", "10.0.0.9:7000")), 1.0)
    assert set(story.table.members) == {"n1", "n2", "n3"}


def test_thresholds_change_and_what_the_node_told_of_its_timeout_stays() -> None:
    table = Table(Policy.of(1.0), (N1, N2), 0.0)
    table.adopt(Policy.of(4.0, Multiples(suspect_after=3.0)), (N1, N2), 1.0)
    assert (table.policy.heartbeat_timeout, table.policy.suspect_after) == (4.0, 12.0)
    table.take(NodeIdentity(id="n1", address=N1.address, heartbeat_timeout=2.0), 2.0)
    table.adopt(Policy.of(9.0, Multiples(suspect_after=5.0)), (N1, N2), 3.0)
    assert (table.policy.heartbeat_timeout, table.policy.suspect_after) == (2.0, 10.0)
