"""The table: how evidence is folded, whose word counts for whom, who is a member."""

from __future__ import annotations

import pytest

from raft_exporter.model.evidence import (
    Configuration,
    Evidence,
    HeartbeatFailed,
    HeartbeatsAnswered,
    LeaderChanged,
    NodeIdentity,
    NodeStatus,
    Outcome,
    ProbeKind,
    ProbeResult,
    Role,
    RoleChanged,
    Server,
    StatusLost,
    Suffrage,
)
from raft_exporter.model.histogram import BOUNDS
from raft_exporter.model.judge import NEVER, Reason, State
from raft_exporter.model.policy import Policy
from raft_exporter.model.quorum import Quorum
from raft_exporter.model.table import Table

N1, N2, N3 = (Server(id=f"n{i}", address=f"10.0.0.{i}:7000") for i in (1, 2, 3))
BUCKETS = (1,) + (0,) * len(BOUNDS)


class Story:
    """A table and its clock: n1 is the own node; every step says what came and when."""

    def __init__(self, *servers: Server, h: float = 1.0) -> None:
        self.now = 0.0
        self.table = Table(Policy.of(h), (), self.now)
        self.tell(NodeIdentity(id="n1", address=N1.address, heartbeat_timeout=h))
        self.tell(Configuration(servers=servers or (N1, N2, N3), index=1))

    def tell(self, *evidence: Evidence, at: float | None = None) -> None:
        self.now = self.now if at is None else at
        for each in evidence:
            self.table.take(each, self.now)

    def judge(self, at: float | None = None) -> dict[str, str]:
        self.now = self.now if at is None else at
        self.table.judge(self.now)
        return {peer: str(member.verdict.state) for peer, member in self.table.members.items()}

    def reason(self, peer: str) -> Reason:
        return self.table.members[peer].verdict.reason


def status(
    role: Role = Role.FOLLOWER, leader: str = "n2", contact: float | None = 0.1, **more: object
) -> NodeStatus:
    facts: dict[str, object] = {
        "role": role,
        "term": 3,
        "last_log_index": 10,
        "commit_index": 9,
        "applied_index": 8,
        "snapshot_index": 0,
        "fsm_pending": 0,
        "protocol_version": 3,
        "leader_id": leader,
        "leader_address": "",
        "last_contact": contact,
    }
    return NodeStatus(**(facts | more))  # type: ignore[arg-type]


def leading(**more: object) -> NodeStatus:
    return status(Role.LEADER, "n1", None, **more)


def probe(
    peer: str, outcome: Outcome = Outcome.OK, host_age: float | None = 0.0, **more: object
) -> ProbeResult:
    if outcome is Outcome.OK:
        more = {"round_trip": 0.001, "term": 3, "last_log_index": 10} | more
    return ProbeResult(peer=peer, kind=ProbeKind.RAFT, outcome=outcome, host_age=host_age, **more)  # type: ignore[arg-type]


def answered(peer: str, age: float = 0.0, count: int = 1) -> HeartbeatsAnswered:
    return HeartbeatsAnswered(peer=peer, count=count, total=0.001, buckets=BUCKETS, age=age)


def refused(peer: str) -> ProbeResult:
    return probe(peer, Outcome.REFUSED)


def unanswered(peer: str, host_age: float | None = 0.0, waiting: float = 0.5) -> ProbeResult:
    return probe(peer, Outcome.TIMEOUT, host_age, waiting=None if host_age is None else waiting)


# whose word counts for whom


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


# probes


def test_two_refusals_over_half_an_h_are_offline() -> None:
    story = Story()
    story.tell(probe("n3"), at=1.0)
    story.tell(refused("n3"), at=1.1)
    assert story.judge()["n3"] == "suspect"
    story.tell(refused("n3"), at=1.35)
    assert story.judge()["n3"] == "suspect"
    story.tell(refused("n3"), at=1.6)
    assert story.judge()["n3"] == "offline"


def test_a_success_between_refusals_starts_them_anew() -> None:
    story = Story()
    story.tell(refused("n3"), at=1.0)
    story.tell(probe("n3"), at=1.2)
    story.tell(refused("n3"), at=1.6)
    assert story.judge()["n3"] == "suspect"


@pytest.mark.parametrize("outcome", [Outcome.TIMEOUT, Outcome.BAD_ANSWER])
def test_a_port_that_opened_again_takes_the_refusal_back(outcome: Outcome) -> None:
    story = Story()
    story.tell(refused("n3"), at=1.0)
    story.tell(probe("n3", outcome, host_age=0.0), at=1.2)
    assert story.table.members["n3"].evidence().refusals == 0


def test_an_unreachable_host_does_not_take_the_refusal_back() -> None:
    story = Story()
    story.tell(refused("n3"), at=1.0)
    story.tell(unanswered("n3", host_age=None), at=1.2)
    assert story.table.members["n3"].evidence().refusals == 1


def test_heartbeats_that_pass_contradict_a_probe_that_never_reached_the_member() -> None:
    """The address may be another's: then a closed port there says nothing of this member."""
    story = Story()
    story.tell(leading(), answered("n2"), at=0.9)
    for tenth in range(10, 200):
        now = tenth / 10
        story.tell(refused("n2"), at=now)
        if tenth % 10 == 0:
            story.tell(leading(), answered("n2", age=0.1), at=now)
        assert story.judge()["n2"] == "online"


def test_a_heartbeat_reported_late_does_not_contradict_a_refusal() -> None:
    story = Story()
    story.tell(leading(), probe("n2"), answered("n2"), at=1.0)
    story.tell(refused("n2"), at=1.50)
    story.tell(answered("n2", age=0.49), at=2.0)  # 1.51 by its age, from before the refusal in truth
    story.tell(refused("n2"), at=2.0)
    assert story.judge()["n2"] == "offline"


def test_local_errors_never_count_against_a_member() -> None:
    story = Story()
    story.tell(probe("n3"), at=1.0)
    for second in range(2, 60):
        story.tell(probe("n3", Outcome.LOCAL_ERROR, host_age=None), at=float(second))
        assert story.judge()["n3"] in {"online", "unknown"}
    failures = story.table.members["n3"].probes[ProbeKind.RAFT].failures
    assert failures == {Outcome.LOCAL_ERROR: 58}


def test_main_loop_silent_while_heartbeats_pass_is_stalled_on_follower_and_leader() -> None:
    story = Story()
    story.tell(leading(), probe("n1"), probe("n2"), at=1.0)
    for tenth in range(15, 40, 5):
        now = tenth / 10
        story.tell(leading(), answered("n2"), unanswered("n1"), unanswered("n2"), at=now)
    states = story.judge()
    assert states["n1"] == states["n2"] == "stalled"
    assert story.reason("n1") is story.reason("n2") is Reason.MAIN_LOOP_SILENT


def test_a_host_that_went_silent_with_its_process_is_never_stalled() -> None:
    """Power off: the last acknowledgement is from before the probe that is outstanding."""
    story = Story()
    story.tell(probe("n3"), at=1.0)
    for step in range(1, 60):
        now = 1.5 + step * 0.5
        waited = now - 1.5
        story.tell(unanswered("n3", host_age=now - 1.0, waiting=waited), at=now)
        assert story.judge()["n3"] in {"online", "suspect"}
    assert story.reason("n3") is Reason.SILENT


def test_a_snapshot_being_installed_explains_the_own_silent_main_loop() -> None:
    story = Story()
    story.tell(probe("n1"), at=1.0)
    for tenth in range(15, 40, 5):
        story.tell(status(installing_snapshot=True), unanswered("n1"), at=tenth / 10)
    assert story.judge()["n1"] == "online"
    assert story.reason("n1") is Reason.INSTALLING_SNAPSHOT


def test_crash_loop_stays_offline_until_it_has_risen() -> None:
    story = Story()
    for start in (1.0, 5.0, 9.0):
        for step in range(3):
            story.tell(refused("n3"), at=start + step * 0.3)
        assert story.judge()["n3"] == "offline"
        for step in range(5):
            story.tell(probe("n3"), at=start + 1 + step * 0.5)
            assert story.judge()["n3"] == "offline"
    for step in range(8):
        story.tell(probe("n3"), at=12.0 + step * 0.5)
    assert story.judge()["n3"] == "online"


def test_a_restarted_node_rises_while_its_main_loop_is_busy_with_a_snapshot() -> None:
    story = Story()
    for step in range(3):
        story.tell(refused("n1"), at=1.0 + step * 0.3)
    assert story.judge()["n1"] == "offline"
    seen = []
    for step in range(20):
        now = 2.0 + step * 0.5
        story.tell(status(installing_snapshot=True), unanswered("n1", waiting=now - 2.0), at=now)
        seen.append((story.judge()["n1"], story.reason("n1")))
    assert seen[0] == ("offline", Reason.RECOVERING)
    assert seen[-1] == ("online", Reason.INSTALLING_SNAPSHOT)


def test_a_gap_starts_the_run_of_successes_anew() -> None:
    story = Story()
    story.tell(probe("n3"), at=1.0)
    story.tell(probe("n3"), at=3.0)
    evidence = story.table.members["n3"].evidence()
    assert (evidence.run_count, evidence.run_first_at) == (1, 3.0)


def test_an_older_success_does_not_move_the_run_back() -> None:
    story = Story()
    story.tell(leading(), answered("n2", age=0.0), at=2.0)
    story.tell(probe("n2"), at=2.5)
    story.tell(answered("n2", age=0.4), at=2.6)
    assert story.table.members["n2"].evidence().run_last_at == 2.5


def test_an_error_answer_is_life_without_a_term() -> None:
    story = Story()
    story.tell(probe("n3", term=None, last_log_index=None), at=1.0)
    assert story.judge()["n3"] == "online"
    assert story.table.members["n3"].term is None


def test_somebody_elses_answers_make_a_member_suspect_and_never_offline() -> None:
    story = Story()
    story.tell(probe("n3"), at=1.0)
    for second in range(2, 60):
        story.tell(probe("n3", Outcome.BAD_ANSWER), at=float(second))
    assert story.judge()["n3"] == "suspect"
    assert story.reason("n3") is Reason.BAD_ANSWER


def test_silence_is_since_the_last_success_of_any_kind() -> None:
    story = Story()
    assert story.table.members["n2"].silence(0.5) == 0.5
    story.tell(leading(), probe("n2"), at=1.0)
    story.tell(answered("n2", age=0.2), at=2.0)
    story.tell(RoleChanged(role=Role.FOLLOWER), at=2.0)
    assert story.table.members["n2"].silence(3.0) == pytest.approx(1.2)


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


# the node


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


# membership


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
    assert [
        (change.peer, change.before.state, change.after and change.after.state) for change in changes
    ] == [("n2", State.UNKNOWN, State.ONLINE)]
    assert story.table.judge(1.1) == []
    assert story.table.members["n2"].transitions == {State.ONLINE: 1}


# quorum


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
