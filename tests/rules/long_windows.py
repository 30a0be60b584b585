"""What looks back over many minutes: RaftLeaderChurn, and RaftQuorumAtRisk for a voter that was removed."""

from __future__ import annotations

from typing import Final

from tests.rules.alerts import at_risk
from tests.rules.scenario import Alert, Story

EVERY: Final = 30

QUARTER: Final = 900
"""Seconds in the window of RaftLeaderChurn."""


def the_leader_changes_more_often_than_there_are_voters() -> Story:
    story = Story("RaftLeaderChurn begins above the number of voters, and ends at half of it", every=EVERY)
    cluster = story.cluster("orders")
    story.wait(90)
    cluster.export("raft_node_leader_changes_total", 3)
    story.wait(60)
    story.silent("RaftLeaderChurn")
    cluster.export("raft_node_leader_changes_total", 4)
    story.wait(EVERY)
    story.fires("RaftLeaderChurn", churn(4))
    cluster.stop()
    story.wait(240)
    story.fires("RaftLeaderChurn", churn(4))
    cluster.start()
    story.wait(QUARTER - 300)
    cluster.export("raft_node_leader_changes_total", 6)
    story.wait(240)
    story.fires("RaftLeaderChurn", churn(2))
    story.wait(QUARTER + 120)
    story.silent("RaftLeaderChurn")
    cluster.export("raft_node_leader_changes_total", 8)
    story.wait(60)
    story.silent("RaftLeaderChurn")
    return story


def one_reporter_sees_many_changes() -> Story:
    story = Story("RaftLeaderChurn takes the median of the reporters", every=EVERY)
    cluster = story.cluster("orders")
    story.wait(90)
    cluster.export("raft_node_leader_changes_total", 9, by=["n3"])
    story.wait(60)
    story.silent("RaftLeaderChurn")
    cluster.export("raft_node_leader_changes_total", 4, by=["n2"])
    story.wait(EVERY)
    story.fires("RaftLeaderChurn", churn(4))
    return story


def as_many_changes_as_a_rolling_restart_makes() -> Story:
    story = Story("RaftLeaderChurn counts whole changes, whatever increase() makes of them", every=EVERY)
    cluster = story.cluster("orders")
    cluster.export("raft_node_leader_changes_total", 7)
    cluster.stop()
    story.wait(0)
    cluster.start()
    story.wait(90)
    cluster.export("raft_node_leader_changes_total", 10)
    story.wait(QUARTER - 90)
    story.silent("RaftLeaderChurn")
    story.has_fired()
    return story


def churn(times: int) -> Alert:
    return Alert(
        labels={"cluster": "orders", "severity": "warning"},
        summary="The leader changes again and again.",
        description=f"Cluster orders: the leader changed {times} times in the last 15 minutes, more often "
        "than there are voters.",
    )


def a_voter_is_removed() -> Story:
    story = Story("RaftQuorumAtRisk tells for an hour that a removed voter left no tolerance", every=EVERY)
    cluster = story.cluster("orders")
    story.wait(90)
    cluster.forget("n3")
    cluster.leave("n3")
    story.wait(EVERY)
    story.silent("RaftQuorumAtRisk")
    story.wait(90)
    story.fires("RaftQuorumAtRisk", at_risk("2 of 2 voters are online, "))
    story.wait(3300)
    story.fires("RaftQuorumAtRisk", at_risk("2 of 2 voters are online, "))
    story.wait(480)
    story.silent("RaftQuorumAtRisk")
    story.has_fired("RaftQuorumAtRisk", cluster="orders")
    return story


def a_voter_is_replaced() -> Story:
    story = Story("RaftQuorumAtRisk is not for the minute in which a voter is replaced", every=EVERY)
    cluster = story.cluster("orders")
    story.wait(90)
    cluster.forget("n3")
    cluster.leave("n3")
    story.wait(EVERY)
    cluster.start("n4")
    cluster.join("n4")
    story.wait(120)
    story.silent("RaftQuorumAtRisk")
    story.has_fired()
    return story


STORIES = (
    the_leader_changes_more_often_than_there_are_voters,
    one_reporter_sees_many_changes,
    as_many_changes_as_a_rolling_restart_makes,
    a_voter_is_removed,
    a_voter_is_replaced,
)
