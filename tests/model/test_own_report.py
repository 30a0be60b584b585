"""What this sidecar tells the others, and the configuration that goes round with it."""

from __future__ import annotations

import pytest

from raft_exporter.model.evidence import (
    Configuration,
    Outcome,
    ReportedMember,
    Role,
    RoleChanged,
    Server,
)
from raft_exporter.model.reports import latest_configuration
from tests.model.story import (
    N1,
    N2,
    N3,
    N4,
    Story,
    answered,
    dead,
    leading,
    probe,
    refused,
    report,
    status,
)


def test_a_report_tells_direct_ages_and_no_verdict() -> None:
    story = Story()
    story.tell(leading(), at=9.0)
    story.tell(leading(), probe("n1"), answered("n2", age=0.25), probe("n2"), refused("n3"), at=10.0)
    story.tell(leading(), refused("n3"), at=10.75)
    told = story.table.report(11.0)
    assert told is not None
    assert (told.reporter, told.isolated, told.installing_snapshot) == ("n1", False, False)
    rows = {each.peer: each for each in told.members}
    assert rows["n1"] == ReportedMember(peer="n1", silence=0.25, heartbeat=0.25, raft=1.0)
    assert rows["n2"] == ReportedMember(peer="n2", silence=1.0, heartbeat=1.25, raft=1.0)
    assert rows["n3"] == ReportedMember(peer="n3", silence=11.0, refusals=2, refused_for=0.75)
    assert told.configuration == story.table.configuration


def test_a_node_without_a_name_reports_nothing() -> None:
    story = Story()
    story.table.node.id = None
    assert story.table.report(1.0) is None


def test_a_report_tells_isolation_and_a_snapshot() -> None:
    story = Story()
    story.live(6.0, dead("n2"), dead("n3"), status(contact=None, installing_snapshot=True))
    told = story.table.report(6.0)
    assert told is not None
    assert told.isolated
    assert told.installing_snapshot


def test_what_nobody_asked_confirms_no_silence() -> None:
    """A follower's silence about another follower is no evidence: not for the others either."""
    story = Story()
    story.live(30.0, status(contact=None))
    told = story.table.report(30.0)
    assert told is not None
    assert [each.peer for each in told.members] == ["n1"]
    story.tell(dead("n3"), at=30.5)
    told = story.table.report(30.5)
    assert told is not None
    assert [each.peer for each in told.members] == ["n1", "n3"]


def test_an_error_of_our_own_confirms_no_silence() -> None:
    story = Story()
    story.tell(probe("n3"), at=1.0)
    story.live(30.0, probe("n3", Outcome.LOCAL_ERROR, host_age=None))
    told = story.table.report(30.0)
    assert told is not None
    assert "n3" not in {each.peer for each in told.members}


def test_heartbeats_of_a_leadership_that_ended_are_not_told() -> None:
    story = Story()
    story.tell(leading(), answered("n2"), at=1.0)
    story.tell(RoleChanged(role=Role.FOLLOWER), at=1.1)
    told = story.table.report(1.2)
    assert told is not None
    assert "n2" not in {each.peer for each in told.members}


def test_refusals_that_may_come_from_somebody_else_are_not_told() -> None:
    """A sidecar whose own probe goes astray must not tell the others that its node is gone."""
    story = Story()
    for step in range(4):
        story.tell(status(contact=None), at=1.0 + step)
        story.tell(refused("n1"), at=1.05 + step)
        story.tell(refused("n1"), at=1.6 + step)
        told = story.table.report(1.7 + step)
        assert told is not None
        assert told.members[0].refusals == 0
    story.tell(refused("n1"), at=9.0)
    told = story.table.report(9.0)
    assert told is not None
    assert told.members[0].refusals == 3, "the node's own word is stale: then its closed port counts"


# the configuration


def configured(
    story: Story, *servers: Server, index: int | None, reporter: str = "n2", **more: object
) -> None:
    told = Configuration(servers=servers, index=index)
    story.tell(report(reporter, configuration=told, **more))


def test_the_configuration_with_the_highest_index_wins() -> None:
    story = Story()
    configured(story, N1, N2, N3, N4, index=3)
    assert set(story.table.members) == {"n1", "n2", "n3", "n4"}
    configured(story, N1, N2, index=2, reporter="n3")
    assert set(story.table.members) == {"n1", "n2", "n3", "n4"}
    story.tell(Configuration(servers=(N1, N2), index=2))
    assert set(story.table.members) == {"n1", "n2", "n3", "n4"}, "my own node is behind"
    story.tell(Configuration(servers=(N1, N2, N3), index=4))
    assert set(story.table.members) == {"n1", "n2", "n3"}


@pytest.mark.parametrize(
    ("index", "more"),
    [
        pytest.param(3, {"isolated": True}, id="told by an isolated one"),
        pytest.param(None, {}, id="without an index"),
        pytest.param(1, {}, id="with the index that I have"),
        pytest.param(3, {"reporter": "n9"}, id="told by a stranger"),
    ],
)
def test_a_configuration_that_is_not_taken(index: int | None, more: dict[str, str]) -> None:
    story = Story()
    configured(story, N1, N2, index=index, **more)
    assert set(story.table.members) == {"n1", "n2", "n3"}


def test_what_another_node_told_goes_no_further() -> None:
    story = Story()
    configured(story, N1, N2, N3, N4, index=9)
    told = story.table.report(1.0)
    assert told is not None
    assert told.configuration == Configuration(servers=(N1, N2, N3), index=1)


def test_a_cluster_that_was_bootstrapped_anew_counts_from_one_again() -> None:
    story = Story()
    story.tell(Configuration(servers=(N1, N2, N3, N4), index=1000), at=1.0)
    configured(story, N1, N2, N3, N4, index=1000)
    story.tell(Configuration(servers=(N1, N2, N3), index=2), at=2.0)
    assert "n4" in story.table.members, "n2 has the old one still: mine may be catching up"
    configured(story, N1, N2, N3, index=2)
    assert set(story.table.members) == {"n1", "n2", "n3"}
    configured(story, N1, N2, N3, N4, index=3, reporter="n3")
    assert "n4" in story.table.members


def test_a_node_that_lost_its_log_alone_goes_by_what_the_others_tell() -> None:
    story = Story()
    story.tell(Configuration(servers=(N1, N2, N3, N4), index=9), at=1.0)
    configured(story, N1, N2, N3, N4, index=9)
    members = dict(story.table.members)
    for index, servers in ((1, (N1,)), (5, (N1, N2)), (9, (N1, N2, N3, N4)), (12, (N1, N2, N3, N4))):
        story.tell(Configuration(servers=servers, index=index), at=2.0)
        assert story.table.members == members


def test_the_sidecar_of_another_cluster_with_the_same_ids_is_not_believed() -> None:
    story = Story()
    others = [Server(id=each.id, address=each.address.replace("7000", "8000")) for each in (N1, N2, N3)]
    configured(story, *others, index=99)
    assert story.table.members["n2"].server == N2
    assert not story.table.reports.latest()
    assert story.table.intake.rejected == {("report", "another_cluster"): 1}


def test_an_empty_configuration_is_not_taken() -> None:
    story = Story()
    configured(story, index=9)
    assert set(story.table.members) == {"n1", "n2", "n3"}


def test_my_own_configuration_without_an_index_gives_way_to_none() -> None:
    story = Story()
    story.tell(Configuration(servers=(N1, N2, N3, N4)))
    configured(story, N1, N2, index=99)
    assert set(story.table.members) == {"n1", "n2", "n3", "n4"}
    told = story.table.report(1.0)
    assert told is not None
    assert told.configuration == Configuration(servers=(N1, N2, N3, N4))


@pytest.mark.parametrize(
    ("known", "told", "wins"),
    [
        (None, None, None),
        (None, 1, 1),
        (1, None, 1),
        (1, 2, 2),
        (2, 1, 2),
        (0, 0, 0),
    ],
)
def test_latest_configuration(known: int | None, told: int | None, wins: int | None) -> None:
    one = None if known is None else Configuration(servers=(N1,), index=known)
    other = None if told is None else Configuration(servers=(N1, N2), index=told)
    latest = latest_configuration(one, other)
    assert (latest and latest.index) == wins
    assert latest is None or latest is one or latest is other
