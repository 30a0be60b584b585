"""What telemetry says as evidence: peers, roles, ages."""

from __future__ import annotations

import pytest

from raft_exporter.model.evidence import (
    HeartbeatsAnswered,
    LeaderHeard,
    NodeStatus,
    Role,
    RoleChanged,
    TelemetryHeard,
)
from raft_exporter.model.histogram import BOUNDS
from raft_exporter.sources.telemetry import Form
from tests.telemetry.listener import Listener


@pytest.fixture
def three() -> Listener:
    return Listener("n1", "n2", "n3")


def role(listener: Listener, now: float) -> Role:
    (status,) = [each for each in listener.turn(now) if isinstance(each, NodeStatus)]
    return status.role


def test_answers_are_gathered_by_peer_and_handed_out_once(three: Listener) -> None:
    telemetry = three.telemetry
    telemetry.heartbeat("n2", 0.0004, at=10.0)
    telemetry.heartbeat("n2", 0.02, at=10.2)
    telemetry.heartbeat("n3", 99.0, at=10.1)
    three.turn(10.5)
    two, other = three.of(HeartbeatsAnswered)
    assert (two.peer, two.count) == ("n2", 2)
    assert two.total == pytest.approx(0.0204)
    assert two.age == pytest.approx(0.3)
    assert two.buckets == (1, 0, 0, 0, 0, 1, *[0] * (len(BOUNDS) - 5))
    assert (other.peer, other.buckets[-1]) == ("n3", 1)
    assert three.turn(10.6) == []


def test_counts_of_a_scrape_add_up(three: Listener) -> None:
    buckets = [0, 3, *[0] * (len(BOUNDS) - 1)]
    three.telemetry.heartbeats("n2", 3, 0.003, buckets, at=1.0, form=Form.EXACT)
    three.telemetry.heartbeats("n2", 0, 0.0, [], at=1.0, form=Form.EXACT)
    three.telemetry.heartbeat("n2", 0.001, at=0.9)
    three.turn(1.0)
    (answered,) = three.of(HeartbeatsAnswered)
    assert (answered.count, answered.buckets[1], answered.age) == (4, 4, 0.0)


def test_the_role_is_told_before_the_heartbeats_that_count_under_it(three: Listener) -> None:
    three.telemetry.state(Role.LEADER, at=0.9)
    three.telemetry.heartbeat("n2", 0.001, at=1.0)
    kinds = [type(each) for each in three.turn(1.0)]
    assert kinds == [RoleChanged, NodeStatus, HeartbeatsAnswered, TelemetryHeard]


def test_a_status_tells_the_role_and_nothing_else(three: Listener) -> None:
    three.telemetry.state(Role.LEADER, at=0.75)
    three.turn(1.0)
    nothing = dict.fromkeys(
        (
            "term",
            "last_log_index",
            "commit_index",
            "applied_index",
            "snapshot_index",
            "fsm_pending",
            "protocol_version",
            "leader_id",
            "last_contact",
        )
    )
    assert three.of(NodeStatus) == [
        NodeStatus(role=Role.LEADER, leader_address="", age=0.25, heartbeats=False, **nothing)  # type: ignore[arg-type]
    ]


def test_where_another_source_tells_the_state_telemetry_does_not() -> None:
    listener = Listener("n1", "n2", speaks=False)
    listener.telemetry.state(Role.LEADER, at=1.0)
    listener.telemetry.leader_heard(at=1.0)
    listener.telemetry.heartbeat("n2", 0.001, at=1.0)
    assert [type(each) for each in listener.turn(1.0)] == [HeartbeatsAnswered, LeaderHeard, TelemetryHeard]
    listener.speaks = True
    listener.telemetry.heard(at=1.1)
    assert [type(each) for each in listener.turn(1.1)] == [NodeStatus, TelemetryHeard]


def test_silence_hands_out_nothing(three: Listener) -> None:
    assert three.turn(1.0) == []
    three.telemetry.leader_heard(at=1.0)
    three.turn(1.0)
    assert three.turn(2.0) == []
    assert three.turn(30.0) == []


def test_an_election_within_one_turn_is_told(three: Listener) -> None:
    for entered in (Role.FOLLOWER, Role.CANDIDATE, Role.LEADER):
        three.telemetry.state(entered, at=1.0)
    three.turn(1.5)
    told = three.of(RoleChanged)
    assert [each.role for each in told] == [Role.FOLLOWER, Role.CANDIDATE, Role.LEADER]
    assert {each.age for each in told} == {0.5}


def test_states_without_end_are_told_up_to_a_bound(three: Listener) -> None:
    for i in range(1000):
        three.telemetry.state(Role.LEADER if i == 999 else Role.CANDIDATE, at=1.0)
    three.turn(1.0)
    assert len(three.of(RoleChanged)) == 16
    assert three.of(RoleChanged)[-1].role is Role.LEADER


def test_a_role_is_unknown_until_something_proves_it(three: Listener) -> None:
    three.telemetry.heard(at=1.0)
    assert role(three, 1.0) is Role.UNKNOWN
    three.telemetry.leader_heard(at=2.0)
    assert role(three, 2.0) is Role.FOLLOWER


def test_a_candidate_is_one_until_it_hears_a_leader_or_is_one(three: Listener) -> None:
    three.telemetry.state(Role.CANDIDATE, at=1.0)
    three.telemetry.heard(at=9.0)
    assert role(three, 9.0) is Role.CANDIDATE
    three.telemetry.leader_heard(at=9.5)
    assert role(three, 9.5) is Role.FOLLOWER


def test_an_answer_that_was_on_its_way_does_not_bring_a_deposed_leader_back(three: Listener) -> None:
    three.telemetry.heartbeat("n2", 0.001, at=1.0)
    assert role(three, 1.0) is Role.LEADER
    three.telemetry.state(Role.FOLLOWER, at=2.0)
    three.telemetry.heartbeat("n2", 9.0, at=2.5)
    three.telemetry.heartbeat("n3", 9.0, at=2.5)
    assert role(three, 2.5) is Role.FOLLOWER


def test_a_leader_whose_entry_was_lost_is_told_by_its_peers_soon(three: Listener) -> None:
    three.telemetry.state(Role.CANDIDATE, at=1.0)
    for at in (2.0, 2.1, 2.2, 2.3):
        three.telemetry.heartbeat("n2", 0.001, at=at)
    assert role(three, 2.5) is Role.LEADER


def test_a_deposed_leader_that_comes_back_does_not_depose_its_successor(three: Listener) -> None:
    three.telemetry.state(Role.LEADER, at=1.0)
    for at in (2.0, 2.2, 2.4, 2.6):
        three.telemetry.leader_heard(at=at)
        three.telemetry.leader_heard(at=at)
        three.telemetry.heartbeat("n2", 0.001, at=at)
        assert role(three, at) is Role.LEADER


def test_a_leader_whose_end_was_lost_is_a_follower_by_the_third_heartbeat(three: Listener) -> None:
    three.telemetry.state(Role.LEADER, at=1.0)
    for at, expected in ((2.0, Role.LEADER), (2.1, Role.LEADER), (2.2, Role.FOLLOWER)):
        three.telemetry.leader_heard(at=at)
        assert role(three, at) is expected


def test_an_entered_role_stands_for_as_long_as_raft_speaks(three: Listener) -> None:
    three.telemetry.state(Role.LEADER, at=1.0)
    for at in range(2, 60):
        three.telemetry.heard(at=float(at))
        assert role(three, float(at)) is Role.LEADER
    three.telemetry.heard(at=70.0)
    assert role(three, 70.0) is Role.UNKNOWN


@pytest.mark.parametrize("proof", ["answer", "leader"])
def test_a_role_that_heartbeats_proved_ends_some_time_after_them(three: Listener, proof: str) -> None:
    for at in (1.0, 4.0):
        if proof == "answer":
            three.telemetry.heartbeat("n2", 0.001, at=at)
        else:
            three.telemetry.leader_heard(at=at)
    for at in range(5, 15):
        three.telemetry.heard(at=float(at))
        assert role(three, float(at)) is not Role.UNKNOWN
    three.telemetry.heard(at=14.5)
    assert role(three, 14.5) is Role.UNKNOWN


@pytest.mark.parametrize(
    ("form", "text"),
    [
        (Form.EXACT, "10.0.0.1:4647"),
        (Form.STATSD, "10.0.0.1_4647"),
        (Form.PROMETHEUS, "10_0_0_1:4647"),
    ],
)
def test_a_peer_is_known_as_each_sink_writes_it(form: Form, text: str) -> None:
    listener = Listener("10.0.0.1:4647", "n-2")
    listener.telemetry.heartbeats(text, 1, 0.0, [], at=1.0, form=form)
    listener.turn(1.0)
    assert listener.heartbeats == {"10.0.0.1:4647": 1}
    assert listener.rejected == {}


@pytest.mark.parametrize(
    ("form", "text", "expected"),
    [
        (Form.STATSD, "a_b", "ambiguous_peer"),
        (Form.STATSD, "a.b", None),
        (Form.STATSD, "a:b", "unknown_peer"),
        (Form.PROMETHEUS, "a_b", "ambiguous_peer"),
        (Form.EXACT, "a_b", None),
        (Form.EXACT, "a", "unknown_peer"),
        (Form.STATSD, "", "unknown_peer"),
    ],
)
def test_ids_that_are_written_alike_are_nobody(form: Form, text: str, expected: str | None) -> None:
    listener = Listener("a:b", "a_b", "a b", "a.b")
    listener.telemetry.heartbeats(text, 1, 0.0, [], at=1.0, form=form)
    listener.turn(1.0)
    assert listener.heartbeats == ({} if expected else {text: 1})
    assert listener.rejected == ({expected: 1} if expected else {})


def test_members_that_come_and_go_are_learned_at_each_turn(three: Listener) -> None:
    three.telemetry.heartbeat("n4", 0.001, at=1.0)
    three.members[:] = ["n1", "n4"]
    three.turn(1.0)
    three.telemetry.heartbeat("n4", 0.001, at=1.1)
    three.telemetry.heartbeat("n2", 0.001, at=1.1)
    three.turn(1.2)
    assert three.heartbeats == {"n4": 1}
    assert three.rejected == {"unknown_peer": 2}


def test_peers_without_end_are_counted_and_not_remembered(three: Listener) -> None:
    for i in range(20_000):
        three.telemetry.heartbeat(f"stranger-{i}", 0.001, at=1.0)
    three.turn(1.0)
    assert three.heartbeats == {}
    assert three.rejected == {"unknown_peer": 20_000}
    assert len(three.intake.rejected) < 20
    assert three.roles == [Role.UNKNOWN]
