"""Whether this node reaches a majority: the arithmetic, what counts as reaching, and what follows."""

from __future__ import annotations

import pytest

from raft_exporter.model.evidence import (
    Configuration,
    NodeIdentity,
    Outcome,
    ProbeKind,
    ProbeResult,
    Role,
    RoleChanged,
    Server,
    Suffrage,
)
from raft_exporter.model.judge import Reason, State
from raft_exporter.model.policy import Policy
from raft_exporter.model.table import Table
from tests.model.story import (
    N1,
    N2,
    N3,
    N4,
    N5,
    Story,
    answered,
    dead,
    hears,
    leading,
    probe,
    refused,
    status,
    unanswered,
)

NONVOTERS = tuple(Server(id=f"o{i}", address=f"10.1.0.{i}:7000", suffrage=Suffrage.NONVOTER) for i in (1, 2))


def asking(story: Story, reached: int) -> None:
    """Ask everybody but the own node for three H; the first ``reached`` of them answer."""
    others = [peer for peer in story.table.members if peer != "n1"]
    for step in range(7):
        answers = [probe(each) for each in others[:reached]]
        story.tell(*answers, *[dead(each) for each in others[reached:]], at=1.0 + step * 0.5)
        story.judge()


@pytest.mark.parametrize(
    ("members", "reached", "isolated"),
    [
        ((N1,), 0, False),
        ((N1, N2), 0, True),
        ((N1, N2), 1, False),
        ((N1, N2, N3), 0, True),
        ((N1, N2, N3), 1, False),
        ((N1, N2, N3, N4), 1, True),
        ((N1, N2, N3, N4), 2, False),
        ((N1, N2, N3, N4, N5), 1, True),
        ((N1, N2, N3, N4, N5), 2, False),
        ((N1, *NONVOTERS), 0, False),
        ((N1, N2, *NONVOTERS), 0, True),
        ((*NONVOTERS, N1, N2), 2, True),
        ((*NONVOTERS, N1, N2), 3, False),
        ((N2, N3, N4), 1, True),
        ((N2, N3, N4), 2, False),
        ((N2,), 0, True),
        (NONVOTERS, 0, False),
    ],
)
def test_a_majority_of_the_voters_counts_and_this_node_only_where_it_is_one(
    members: tuple[Server, ...], reached: int, isolated: bool
) -> None:
    story = Story(*members)
    asking(story, reached)
    assert story.table.isolated is isolated


def test_a_nonvoter_does_not_count_itself() -> None:
    own = Server(id="n1", address=N1.address, suffrage=Suffrage.NONVOTER)
    story = Story(own, N2, N3)
    asking(story, 1)
    assert story.table.isolated


def test_a_node_whose_own_id_is_not_known_counts_by_its_probe() -> None:
    table = Table(Policy.of(1.0), (N1, N2, N3), 0.0)
    for step in range(9):
        for each in (probe("n1"), dead("n2"), dead("n3")):
            table.take(each, 1.0 + step * 0.5)
        table.judge(1.0 + step * 0.5)
    assert table.isolated
    assert table.members["n1"].verdict.state is State.ONLINE
    assert table.members["n2"].verdict.reason is Reason.ISOLATED


@pytest.mark.parametrize(
    ("sign", "isolated"),
    [
        pytest.param(dead("n2"), True, id="nothing"),
        pytest.param(refused("n2"), False, id="a refusal"),
        pytest.param(unanswered("n2"), False, id="an acknowledgement"),
        pytest.param(unanswered("n2", host_age=2.5), True, id="an acknowledgement 2.5 s ago"),
        pytest.param(probe("n2", Outcome.BAD_ANSWER), False, id="somebody else's answer"),
        pytest.param(probe("n2", Outcome.LOCAL_ERROR, host_age=None), True, id="a local error"),
    ],
)
def test_what_counts_as_reached(sign: ProbeResult, isolated: bool) -> None:
    story = Story()
    story.live(6.0, sign, dead("n3"))
    assert story.table.isolated is isolated


def test_the_report_of_a_sidecar_reaches_its_host() -> None:
    story = Story()
    sidecar = ProbeResult(peer="n2", kind=ProbeKind.SIDECAR, outcome=Outcome.OK, host_age=0.0)
    story.live(6.0, dead("n2"), dead("n3"), sidecar)
    assert not story.table.isolated


def test_isolation_begins_after_two_h_of_silence() -> None:
    story = Story()
    story.tell(probe("n2"), probe("n3"), at=1.0)
    began = [(story.now, story.table.isolated)]
    for step in range(1, 40):
        story.tell(dead("n2"), dead("n3"), at=round(1.0 + step * 0.1, 6))
        story.judge()
        if story.table.isolated != began[-1][1]:
            began.append((story.now, story.table.isolated))
    # A host's last sign counts for 2.5 s: keepalive asks it once a second.
    assert began == [(1.0, False), (3.5, True)]


def test_what_nobody_asked_is_not_missed() -> None:
    story = Story()
    story.judge(at=60.0)
    assert not story.table.isolated
    story.live(120.0, status(contact=None))
    assert not story.table.isolated


def test_a_follower_without_probes_misses_only_its_leader() -> None:
    story = Story()
    story.tell(status(), at=1.0)
    story.tell(status(), at=2.0)
    for step in range(1, 10):
        story.tell(status(contact=0.1 + step), at=2.0 + step)
        story.judge()
    assert story.state("n2") is State.SUSPECT
    assert not story.table.isolated


def test_a_leader_without_probes_is_isolated_when_no_heartbeat_is_answered() -> None:
    story = Story()
    story.tell(leading(), answered("n2"), answered("n3"), at=1.0)
    story.live(4.0, leading())
    assert story.table.isolated
    assert story.reason("n2") is story.reason("n3") is Reason.ISOLATED
    story.tell(leading(), answered("n2"), at=4.5)
    assert story.judge() == {"n1": "online", "n2": "online", "n3": "unknown"}
    assert story.table.isolated, "one answer is no network that has healed"
    story.live(8.5, leading(), answered("n2"))
    assert not story.table.isolated


def test_a_leader_that_steps_down_is_not_isolated_by_heartbeats_it_no_longer_sends() -> None:
    story = Story()
    story.tell(leading(), answered("n2"), answered("n3"), at=1.0)
    story.live(4.0, leading())
    story.tell(RoleChanged(role=Role.FOLLOWER))
    story.judge()
    assert not story.table.isolated
    assert story.state("n2") is State.UNKNOWN


def test_an_isolated_node_is_never_sure_of_itself_being_gone() -> None:
    """Its own member is judged alike whatever it reaches."""
    story = Story()
    story.live(6.0, dead("n2"), dead("n3"), probe("n1"))
    assert story.table.isolated
    assert story.state("n1") is State.ONLINE


def test_silence_of_all_is_unknown_and_never_offline_while_isolated() -> None:
    story = Story()
    story.tell(probe("n2"), probe("n3"), at=0.5)
    story.judge()
    changes = story.live(120.0, dead("n2"), dead("n3"))
    assert [state for _, state in changes] == [State.SUSPECT, State.UNKNOWN]
    assert story.reason("n2") is story.reason("n3") is Reason.ISOLATED


@pytest.mark.parametrize("before", [State.OFFLINE, State.ASYMMETRIC])
def test_who_was_worse_before_is_unknown_while_isolated(before: State) -> None:
    story = Story()
    others = [hears("n2", "n3")] if before is State.ASYMMETRIC else []
    story.live(20.0, probe("n2"), dead("n3"), *others)
    assert story.state("n3") is before
    story.live(24.0, dead("n2"), dead("n3"))
    assert story.table.isolated
    assert story.state("n3") is State.UNKNOWN
    assert story.reason("n3") is Reason.ISOLATED


def test_who_was_offline_before_isolation_has_to_rise_after_it() -> None:
    story = Story()
    story.live(20.0, probe("n2"), dead("n3"))
    story.live(24.0, dead("n2"), dead("n3"))
    assert story.verdict("n3").down
    assert story.live(26.5, probe("n2"), probe("n3")) == []
    assert (story.state("n3"), story.reason("n3")) == (State.UNKNOWN, Reason.RECOVERING)
    assert story.live(30.0, probe("n2"), probe("n3")) == [(27.5, State.ONLINE)]
    assert story.verdict("n3").penalty == 1.0


def test_offline_again_after_isolation_is_the_same_fall() -> None:
    story = Story()
    story.live(20.0, probe("n2"), dead("n3"))
    for _ in range(3):
        story.live(story.now + 5.0, dead("n2"), dead("n3"))
        assert story.state("n3") is State.UNKNOWN
        story.live(story.now + 20.0, probe("n2"), dead("n3"))
        assert story.state("n3") is State.OFFLINE
    assert story.verdict("n3").penalty == 1.0
    assert not story.verdict("n3").flapping
    assert story.table.members["n3"].transitions[State.OFFLINE] == 4


def test_leaving_isolation_arms_every_silence_clock_anew() -> None:
    """Without it the healing of a network made false offlines."""
    story = Story(N1, N2, N3, N4, N5)
    story.live(30.0, dead("n2"), dead("n3"), dead("n4"), dead("n5"))
    changes = story.live(60.0, probe("n2"), dead("n3"), probe("n4"), probe("n5"))
    healed = 30.5 + 4.0  # as long as somebody is missing, it takes 4 H of reaching a majority
    assert changes == [
        (healed + 2.0, State.SUSPECT),
        (healed + 15.0, State.OFFLINE),
    ], "three probes have to fail anew, and the silence counts from the healing"


def test_probes_that_failed_while_isolated_are_held_against_nobody_after_it() -> None:
    story = Story()
    story.live(30.0, dead("n2"), dead("n3"))
    assert story.live(90.0, probe("n2")) == [], "n3 is not asked any more"
    assert (story.state("n3"), story.reason("n3")) == (State.UNKNOWN, Reason.NO_EVIDENCE)


def test_isolation_does_not_excuse_the_own_node() -> None:
    story = Story()
    story.tell(probe("n1"), at=1.0)
    story.live(6.0, dead("n1"), dead("n2"), dead("n3"))
    assert story.table.isolated
    assert (story.state("n1"), story.reason("n1")) == (State.SUSPECT, Reason.SILENT)


def test_hard_evidence_stands_while_isolated() -> None:
    story = Story()
    story.live(6.0, dead("n2"), dead("n3"))
    story.live(8.0, dead("n2"), refused("n3"))
    assert (story.state("n3"), story.reason("n3")) == (State.OFFLINE, Reason.REFUSED)
    assert story.reason("n2") is not Reason.SILENT_FOR_ALL


def test_two_of_five_left_of_a_crash_are_not_isolated() -> None:
    story = Story(N1, N2, N3, N4, N5)
    story.live(4.0, probe("n2"), probe("n3"), probe("n4"), probe("n5"))
    story.live(9.0, probe("n2"), refused("n3"), refused("n4"), refused("n5"))
    assert not story.table.isolated
    assert story.judge() == {
        "n1": "unknown",
        "n2": "online",
        "n3": "offline",
        "n4": "offline",
        "n5": "offline",
    }


# a cluster of two


def test_the_silent_one_of_two_is_unknown_and_never_offline() -> None:
    story = Story(N1, N2)
    story.tell(probe("n2"), at=1.0)
    story.judge()
    changes = story.live(90.0, dead("n2"))
    assert [state for _, state in changes] == [State.SUSPECT, State.UNKNOWN]
    assert story.table.isolated


def test_the_one_of_two_that_refuses_is_offline() -> None:
    story = Story(N1, N2)
    story.live(3.0, probe("n2"))
    assert story.live(5.0, refused("n2")) == [(3.5, State.SUSPECT), (4.0, State.OFFLINE)]
    assert not story.table.isolated


def test_the_frozen_one_of_two_is_stalled_then_offline() -> None:
    story = Story(N1, N2)
    story.tell(probe("n2"), at=1.0)
    story.judge()
    changes = story.live(15.0, unanswered("n2"))
    assert changes == [(3.0, State.STALLED), (11.0, State.OFFLINE)]


def test_a_cluster_of_one_is_never_isolated() -> None:
    story = Story(N1)
    for outcome in (dead("n1"), refused("n1"), probe("n1")):
        story.live(story.now + 30.0, outcome)
        assert not story.table.isolated


def test_reconfiguration_changes_the_majority_at_once() -> None:
    story = Story(N1, N2, N3, N4, N5)
    for _ in range(8):
        story.tell(probe("n2"), dead("n3"), dead("n4"), dead("n5"), at=story.now + 0.5)
        story.judge()
    assert story.table.isolated
    story.tell(Configuration(servers=(N1, N2, N3), index=2))
    story.judge()
    assert not story.table.isolated


def test_an_identity_told_late_is_counted_at_once() -> None:
    table = Table(Policy.of(1.0), (N1, N2, N3), 0.0)
    for step in range(9):
        for each in (dead("n1"), probe("n2"), dead("n3")):
            table.take(each, step * 0.5)
        table.judge(step * 0.5)
    assert table.isolated
    table.take(NodeIdentity(id="n1", address=N1.address), 4.1)
    table.judge(4.1)
    assert not table.isolated


def test_a_voter_that_is_heard_now_and_then_does_not_end_isolation_again_and_again() -> None:
    story = Story()
    story.tell(probe("n2"), probe("n3"), at=0.5)
    story.judge()
    isolated = []
    for _ in range(50):
        story.live(story.now + 3.0, dead("n2"), dead("n3"))
        story.live(story.now + 1.0, probe("n2"), dead("n3"))
        isolated.append(story.table.isolated)
    assert isolated[1:] == [True] * 49


def test_isolation_ends_at_once_when_nobody_is_missing_any_more() -> None:
    story = Story()
    story.live(10.0, dead("n2"), dead("n3"))
    assert story.table.isolated
    story.tell(probe("n2"), probe("n3"), at=10.5)
    story.judge()
    assert not story.table.isolated
