"""What is remembered over a restart of the sidecar: seeds, never proof."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from raft_exporter.model.evidence import Configuration, Evidence, NodeIdentity, Server
from raft_exporter.model.judge import Reason, State
from raft_exporter.model.memory import Memory, RememberedMember
from raft_exporter.model.policy import Policy
from raft_exporter.model.table import Table
from tests.model.story import N1, N2, N3, N4, Story, dead, hears, probe, refused, status, unanswered

WAS_OFFLINE = RememberedMember(
    server=N3, state=State.OFFLINE, reason=Reason.REFUSED, state_for=100.0, contact_age=103.0, penalty=2.0
)
WAS_ONLINE = RememberedMember(
    server=N2,
    state=State.ONLINE,
    reason=Reason.FRESH,
    state_for=50.0,
    contact_age=0.1,
    penalty=4.0,
    flapping=True,
)
MEMORY = Memory(node="n1", members=(WAS_ONLINE, WAS_OFFLINE))


def restarted(memory: Memory = MEMORY, age: float = 60.0) -> Story:
    """A sidecar that began at 0 and was stopped for ``age`` seconds before."""
    story = Story()
    assert story.table.restore(memory, age, 0.0)
    return story


def test_online_is_unknown_until_the_first_success() -> None:
    story = restarted()
    assert (story.state("n2"), story.reason("n2")) == (State.UNKNOWN, Reason.RESTORED)
    assert story.judge(at=0.1)["n2"] == "unknown"
    story.tell(probe("n2"), at=0.2)
    assert story.judge()["n2"] == "online"
    assert not story.verdict("n2").restored


def test_offline_stays_while_nothing_contradicts_it() -> None:
    story = restarted()
    story.live(60.0, probe("n2"), dead("n3"))
    assert story.state("n3") is State.OFFLINE
    verdict = restarted().verdict("n3")
    assert (verdict.reason, verdict.restored, verdict.down) == (Reason.RESTORED, True, True)
    assert verdict.since == -160.0, "since before the restart"


def test_offline_that_nobody_asks_about_stays() -> None:
    story = restarted()
    assert story.judge(at=3000.0)["n3"] == "offline"
    assert story.verdict("n3").restored
    assert story.table.members["n3"].transitions == {}


def test_silence_for_all_confirms_what_was_restored_and_costs_nothing() -> None:
    story = restarted()
    story.live(20.0, probe("n2"), dead("n3"))
    verdict = story.verdict("n3")
    assert (verdict.reason, verdict.restored) == (Reason.SILENT_FOR_ALL, False)
    assert (verdict.penalty, verdict.since) == (2.0, -160.0)


@pytest.mark.parametrize(
    ("word", "state"),
    [
        pytest.param(probe("n3"), State.ONLINE, id="an answer"),
        pytest.param(hears("n2", "n3"), State.UNKNOWN, id="a report of a success"),
        pytest.param(dead("n3"), State.OFFLINE, id="silence"),
        pytest.param(refused("n3"), State.OFFLINE, id="a refusal"),
        pytest.param(unanswered("n3"), State.OFFLINE, id="its host"),
        pytest.param(hears("n2", "n3", age=2.0), State.OFFLINE, id="a report of an old success"),
        pytest.param(status(), State.OFFLINE, id="the own node's word about itself"),
    ],
)
def test_what_contradicts_a_restored_offline(word: Evidence, state: State) -> None:
    story = restarted()
    story.judge(at=0.1)
    story.tell(word, at=1.0)
    story.judge()
    assert story.state("n3") is state
    verdict = story.verdict("n3")
    assert verdict.restored is (state is State.OFFLINE)
    assert verdict.since == (-160.0 if state is State.OFFLINE else 1.0)
    assert verdict.penalty == 2.0


def test_who_comes_back_and_falls_again_pays_again() -> None:
    story = restarted()
    story.tell(probe("n3"), at=1.0)
    story.judge()
    assert story.live(4.0, refused("n3")) == [(2.0, State.OFFLINE)]
    assert story.verdict("n3").penalty_now(story.table.policy, 2.0) == pytest.approx(
        1 + 2 * 0.5 ** (62.0 / 300)
    )


def test_the_penalty_decays_over_the_time_away_and_flapping_stays() -> None:
    story = restarted(age=300.0)
    policy = story.table.policy
    assert story.verdict("n2").penalty_now(policy, 0.0) == pytest.approx(2.0)
    assert story.verdict("n3").penalty_now(policy, 0.0) == pytest.approx(1.0)
    story.judge(at=0.1)
    assert story.verdict("n2").flapping
    assert not story.verdict("n3").flapping
    story.judge(at=301.0)
    assert not story.verdict("n2").flapping, "below one"


@pytest.mark.parametrize(
    ("memory", "age", "taken"),
    [
        pytest.param(MEMORY, 0.0, True, id="just now"),
        pytest.param(MEMORY, 3600.0, True, id="an hour old"),
        pytest.param(MEMORY, 3600.1, False, id="older than an hour"),
        pytest.param(MEMORY, -0.1, False, id="from the future"),
        pytest.param(replace(MEMORY, node="n2"), 60.0, False, id="of another node"),
        pytest.param(Memory(node="n1", members=()), 60.0, True, id="of nobody"),
    ],
)
def test_what_is_not_used(memory: Memory, age: float, taken: bool) -> None:
    story = Story()
    assert story.table.restore(memory, age, 0.0) is taken
    assert (story.state("n3") is State.OFFLINE) is (taken and bool(memory.members))


def test_a_member_at_another_address_is_not_the_one_remembered() -> None:
    moved = replace(WAS_OFFLINE, server=Server(id="n3", address="10.9.9.9:7000"))
    assert restarted(Memory(node="n1", members=(moved,))).state("n3") is State.UNKNOWN


def test_an_address_told_later_withdraws_what_was_restored() -> None:
    table = Table(Policy.of(1.0), (), 0.0)
    assert table.restore(MEMORY, 60.0, 0.0)
    assert table.members["n3"].verdict.state is State.OFFLINE
    table.take(NodeIdentity(id="n1", address=N1.address), 0.1)
    moved = Server(id="n3", address="10.9.9.9:7000")
    table.take(Configuration(servers=(N1, N2, moved)), 0.2)
    table.judge(0.3)
    verdict = table.members["n3"].verdict
    assert (verdict.state, verdict.restored, verdict.down) == (State.UNKNOWN, False, False)
    assert verdict.penalty == 2.0, "damping is of the member, not of its address"


def test_what_was_offline_in_this_life_stays_offline_at_a_new_address() -> None:
    story = Story()
    story.live(3.0, refused("n3"))
    moved = Server(id="n3", address="10.9.9.9:7000")
    story.tell(Configuration(servers=(N1, N2, moved), index=2))
    assert story.judge()["n3"] == "offline"
    assert story.verdict("n3").penalty == 1.0
    assert story.live(7.0, probe("n3")) == [(6.5, State.ONLINE)]


def test_members_stand_in_for_those_that_no_source_has_told_yet() -> None:
    table = Table(Policy.of(1.0), (), 0.0)
    assert table.restore(MEMORY, 60.0, 0.0)
    assert set(table.members) == {"n2", "n3"}
    table.take(NodeIdentity(id="n1", address=N1.address), 0.1)
    assert set(table.members) == {"n1", "n2", "n3"}
    table.take(Configuration(servers=(N1, N3, N4)), 0.2)
    assert set(table.members) == {"n1", "n3", "n4"}
    assert table.members["n3"].verdict.state is State.OFFLINE


def test_the_operators_members_go_before_those_remembered() -> None:
    table = Table(Policy.of(1.0), (N3, N4), 0.0)
    assert table.restore(MEMORY, 60.0, 0.0)
    assert set(table.members) == {"n3", "n4"}
    assert table.members["n3"].verdict.state is State.OFFLINE


def test_a_member_told_by_the_first_configuration_is_seeded() -> None:
    table = Table(Policy.of(1.0), (N2,), 0.0)
    assert table.restore(MEMORY, 60.0, 0.0)
    table.take(Configuration(servers=(N1, N2, N3)), 5.0)
    verdict = table.members["n3"].verdict
    assert (verdict.state, verdict.since) == (State.OFFLINE, -160.0)


def test_another_name_of_the_node_takes_back_what_was_restored() -> None:
    table = Table(Policy.of(1.0), (), 0.0)
    assert table.restore(MEMORY, 60.0, 0.0)
    table.take(NodeIdentity(id="n7", address="10.0.0.7:7000"), 0.1)
    assert set(table.members) == {"n7"}
    named = Table(Policy.of(1.0), (N2, N3), 0.0)
    assert named.restore(MEMORY, 60.0, 0.0)
    named.take(NodeIdentity(id="n7", address="10.0.0.7:7000"), 0.1)
    assert {peer: member.verdict.state for peer, member in named.members.items()} == {
        "n2": State.UNKNOWN,
        "n3": State.UNKNOWN,
        "n7": State.UNKNOWN,
    }


def test_who_was_heard_before_the_memory_came_is_not_seeded() -> None:
    story = Story()
    story.tell(probe("n3"), at=0.1)
    story.judge()
    assert story.table.restore(MEMORY, 60.0, 0.1)
    assert story.state("n3") is State.ONLINE


def test_who_left_and_comes_back_under_its_id_starts_anew() -> None:
    story = restarted()
    story.live(10.0, probe("n2"), probe("n3"))
    story.tell(Configuration(servers=(N1, N2), index=2))
    story.tell(Configuration(servers=(N1, N2, N3), index=3), at=20.0)
    story.judge()
    verdict = story.verdict("n3")
    assert (verdict.state, verdict.reason, verdict.down) == (State.UNKNOWN, Reason.JOINED, False)
    story.tell(probe("n3"), at=21.0)
    assert story.judge()["n3"] == "online", "it was never offline in this life"


def test_who_joins_an_hour_later_is_not_seeded() -> None:
    story = Story(N1, N2)
    assert story.table.restore(MEMORY, 60.0, 0.0)
    story.tell(Configuration(servers=(N1, N2, N3), index=2), at=3541.0)
    assert story.state("n3") is State.UNKNOWN


def test_the_last_contact_is_known_over_any_number_of_restarts() -> None:
    story = restarted()
    member = story.table.members["n3"]
    assert (member.contact_age(0.0), member.silence(5.0)) == (163.0, 5.0)
    again = restarted(story.table.remember(10.0), age=20.0)
    assert again.table.members["n3"].contact_age(0.0) == pytest.approx(103.0 + 60.0 + 10.0 + 20.0)
    assert again.table.members["n2"].contact_age(0.0) == pytest.approx(0.1 + 60.0 + 10.0 + 20.0)
    assert again.table.members["n1"].contact_age(0.0) is None


def test_remembering_and_restoring_gives_the_same_back() -> None:
    story = Story(N1, N2, N3, N4)
    story.live(10.0, probe("n2"), refused("n3"), dead("n4"))
    memory = story.table.remember(12.0)
    assert memory.node == "n1"
    rows = {each.server.id: each for each in memory.members}
    assert rows["n3"] == RememberedMember(
        server=N3,
        state=State.OFFLINE,
        reason=Reason.REFUSED,
        state_for=12.0 - story.verdict("n3").since,
        contact_age=None,
        down=True,
        penalty=story.verdict("n3").penalty_now(story.table.policy, 12.0),
    )
    assert rows["n2"].contact_age == 2.0

    later = Story(N1, N2, N3, N4)
    assert later.table.restore(memory, 30.0, 0.0)
    kept = {each.server.id: each for each in later.table.remember(0.0).members}
    for peer, row in rows.items():
        assert kept[peer].server == row.server
        assert kept[peer].penalty == pytest.approx(row.penalty * 0.5 ** (30.0 / 300))
        assert (kept[peer].state is State.OFFLINE) is (row.state is State.OFFLINE)
        if row.state is State.OFFLINE:
            assert kept[peer].state_for == pytest.approx(row.state_for + 30.0)


def test_who_was_down_still_has_to_rise_after_a_restart_whatever_it_was_called() -> None:
    was = replace(WAS_ONLINE, state=State.UNKNOWN, reason=Reason.ISOLATED, down=True)
    story = restarted(Memory(node="n1", members=(was,)))
    peer = was.server.id
    story.tell(probe(peer), at=0.5)
    story.judge()
    assert (story.state(peer), story.reason(peer)) == (State.UNKNOWN, Reason.RECOVERING)
    story.live(30.0, probe(peer))
    assert story.state(peer) is State.ONLINE


def test_no_silence_makes_offline_before_gone_after_after_a_restart() -> None:
    """Whatever was remembered, and however many confirm it."""
    story = restarted(Memory(node="n1", members=(WAS_ONLINE, replace(WAS_OFFLINE, state=State.SUSPECT))))
    changes = story.live(5.4, probe("n2"), dead("n3"), every=0.1)
    assert State.OFFLINE not in {state for _, state in changes}
