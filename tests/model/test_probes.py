"""What probes of a member come to, told to the table."""

from __future__ import annotations

import pytest

from raft_exporter.model.evidence import (
    Evidence,
    Outcome,
    ProbeKind,
    ProbeResult,
    Role,
    RoleChanged,
    StatusLost,
)
from raft_exporter.model.judge import Reason, State
from tests.model.story import (
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
        assert story.judge()["n3"] in ({"online", "suspect"} if now - 1.0 < 15 else {"offline"})
    assert story.reason("n3") is Reason.SILENT_FOR_ALL


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


def test_somebody_elses_answers_make_a_member_suspect_and_offline_once_it_is_silent_for_long() -> None:
    story = Story()
    story.tell(probe("n3"), at=1.0)
    seen = []
    for second in range(2, 20):
        story.tell(probe("n3", Outcome.BAD_ANSWER), at=float(second))
        state = story.judge()["n3"]
        seen.append((second, state, story.reason("n3")))
    assert seen[1] == (3, "suspect", Reason.BAD_ANSWER)
    assert seen[13] == (15, "suspect", Reason.BAD_ANSWER)
    assert seen[14] == (16, "offline", Reason.SILENT_FOR_ALL)


def test_silence_is_since_the_last_success_of_any_kind() -> None:
    story = Story()
    assert story.table.members["n2"].silence(0.5) == 0.5
    story.tell(leading(), probe("n2"), at=1.0)
    story.tell(answered("n2", age=0.2), at=2.0)
    story.tell(RoleChanged(role=Role.FOLLOWER), at=2.0)
    assert story.table.members["n2"].silence(3.0) == pytest.approx(1.2)


@pytest.mark.parametrize(
    "loss", [StatusLost(), RoleChanged(role=Role.FOLLOWER)], ids=["status", "leadership"]
)
@pytest.mark.parametrize("sign", [unanswered("n3"), dead("n3"), probe("n3", Outcome.BAD_ANSWER)])
def test_heartbeats_that_are_dropped_were_heard_all_the_same(loss: Evidence, sign: ProbeResult) -> None:
    """A probe that never gets through, and heartbeats that pass: when they end, the silence begins."""
    story = Story()
    for step in range(60):
        story.tell(leading(), answered("n3", age=0.05), sign, probe("n2"), at=1.0 + step * 0.5)
        story.judge()
    assert story.state("n3") in {State.ONLINE, State.STALLED}
    story.tell(loss)
    changes = story.live(60.0, probe("n2"), sign)
    offline = [at for at, state in changes if state is State.OFFLINE]
    assert len(offline) == 1
    assert offline[0] - 30.5 >= (9.9 if sign == unanswered("n3") else 14.9)
    told = story.table.report(story.now)
    assert told is not None
    assert {each.peer: each.silence for each in told.members}["n3"] == pytest.approx(60.0 - 30.45)


def test_a_refusal_that_is_never_confirmed_does_not_hide_the_silence_after_it() -> None:
    """The process stops and is refused once; then its host goes too."""
    story = Story()
    story.live(3.0, probe("n2"), probe("n3"))
    story.tell(refused("n3"), at=3.25)
    assert story.judge()["n3"] == "suspect"
    assert story.live(30.25, probe("n2"), dead("n3")) == [(18.25, State.OFFLINE)]
    assert story.reason("n3") is Reason.SILENT_FOR_ALL


def test_a_member_that_cannot_be_connected_to_is_not_stalled_by_an_earlier_sign_of_its_host() -> None:
    story = Story()
    story.live(3.0, probe("n2"), probe("n3"))
    assert story.live(10.0, probe("n2"), dead("n3"), every=0.25) == [(5.0, State.SUSPECT)]


def test_a_host_that_answers_its_sidecar_while_nobody_connects_is_stalled_without_flapping() -> None:
    story = Story()
    story.live(3.0, probe("n2"), probe("n3"))
    sidecar = ProbeResult(peer="n3", kind=ProbeKind.SIDECAR, outcome=Outcome.OK, host_age=0.0)
    changes = []
    for _ in range(30):
        changes += story.live(story.now + 0.25, probe("n2"), dead("n3"), every=0.25)
        changes += story.live(story.now + 0.25, sidecar, every=0.25)
    assert changes == [(5.0, State.STALLED), (13.0, State.OFFLINE)]


def test_silence_of_the_sidecar_is_since_its_last_report() -> None:
    story = Story()
    member = story.table.members["n3"]
    assert member.sidecar_silence(1.0) is None
    story.tell(ProbeResult(peer="n3", kind=ProbeKind.SIDECAR, outcome=Outcome.OK, host_age=0.0), at=1.0)
    story.tell(ProbeResult(peer="n3", kind=ProbeKind.SIDECAR, outcome=Outcome.REFUSED, host_age=0.0), at=2.0)
    assert member.sidecar_silence(4.0) == 3.0
    assert member.probes[ProbeKind.SIDECAR].failures == {Outcome.REFUSED: 1}
    assert story.judge()["n3"] == "unknown", "a sidecar is not its node"


def test_a_sidecar_that_answers_says_nothing_of_a_request_that_may_be_lost() -> None:
    story = Story()
    story.live(3.0, probe("n2"), probe("n3"))
    sidecar = ProbeResult(peer="n3", kind=ProbeKind.SIDECAR, outcome=Outcome.OK, host_age=0.0)
    for tick in range(1, 7):
        story.live(
            story.now + 0.5,
            probe("n2"),
            sidecar,
            unanswered("n3", host_age=2.0 + tick * 0.5, waiting=tick * 0.5),
        )
    assert story.state("n3") is State.SUSPECT


def test_a_main_loop_that_answers_others_is_not_stuck_because_our_connection_is() -> None:
    story = Story()
    story.live(3.0, probe("n2"), probe("n3"))
    for tick in range(1, 7):
        at = story.now + 0.5
        story.live(at, probe("n2"), hears("n2", "n3"), unanswered("n3", waiting=tick * 0.5))
    assert story.state("n3") is State.SUSPECT
