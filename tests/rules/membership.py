"""Planned restarts, growth and shrinkage, which wake nobody; RaftNotInConfiguration, which is for slips."""

from __future__ import annotations

import math

from raft_exporter.model.judge import State
from tests.rules.cluster import Cluster
from tests.rules.scenario import LET_GO, SETTLED, Alert, Story


def restart_in_turn(story: Story, cluster: Cluster, *, with_sidecar: bool) -> None:
    """Restart each node, the leader last: 8 s offline for all others, and the next one begins 22 s later."""
    for node in reversed([*cluster.sidecars]):
        others = [each for each in cluster.sidecars if each != node]
        cluster.judge(node, State.OFFLINE)
        cluster.export("raft_peer_transitions_total", 1, peer=node, to=str(State.OFFLINE))
        down(cluster, node)
        if node == "n1":
            cluster.lose_leader(by=others)
        if with_sidecar:
            cluster.stop(node)
        story.wait(8)
        cluster.judge(node, State.ONLINE)
        cluster.export("raft_up", 1, by=[node])
        cluster.lead("n2" if node == "n1" else "n1", 3 if node == "n1" else 2)
        cluster.start(node)
        if with_sidecar:
            for peer in others:
                cluster.judge(peer, State.UNKNOWN, by=[node])
        story.wait(7)
        for peer in others:
            cluster.judge(peer, State.ONLINE, by=[node])
        story.wait(15)


def down(cluster: Cluster, node: str) -> None:
    """Have a node's sidecar say that the process beside it does not run."""
    cluster.lose_leader(by=[node])
    cluster.export("raft_up", 0, by=[node])
    cluster.export("raft_node_has_leader", math.nan, by=[node])


def a_rolling_restart() -> Story:
    story = Story("A rolling restart of the nodes, of five and of three, is no alert")
    clusters = story.cluster("five", size=5), story.cluster("three")
    story.wait(SETTLED)
    for cluster in clusters:
        restart_in_turn(story, cluster, with_sidecar=False)
    story.wait(60)
    story.has_fired()
    return story


def a_rolling_restart_of_the_hosts() -> Story:
    story = Story("A rolling restart of nodes with their sidecars, of five and of three, is no alert")
    clusters = story.cluster("five", size=5), story.cluster("three")
    story.wait(SETTLED)
    for cluster in clusters:
        restart_in_turn(story, cluster, with_sidecar=True)
    story.wait(60)
    story.has_fired()
    return story


def grow_to_five(story: Story, cluster: Cluster) -> None:
    """Let n4 and n5 join: their sidecars come first, and the new members take a while to be heard."""
    for node in ("n4", "n5"):
        cluster.start(node)
        cluster.export("raft_node_in_configuration", 0, by=[node])
        story.wait(10)
        cluster.join(node)
        cluster.export("raft_node_in_configuration", 1, by=[node])
        cluster.judge(node, State.UNKNOWN, by=["n1", "n2", "n3"])
        story.wait(10)
        cluster.judge(node, State.ONLINE)
        story.wait(30)


def three_grow_to_five_and_shrink_again() -> Story:
    story = Story("Growth from three to five and back, where the sidecars go with the nodes, is no alert")
    cluster = story.cluster("orders")
    story.wait(SETTLED)
    grow_to_five(story, cluster)
    for node in ("n5", "n4"):
        cluster.leave(node)
        story.wait(10)
        cluster.forget(node)
        story.wait(30)
    story.wait(LET_GO)
    story.has_fired()
    return story


def the_sidecars_of_removed_nodes_stay() -> Story:
    story = Story("The sidecars of removed and stopped nodes stay, whether they know it or not: no alert")
    for name in ("knowing", "unknowing"):
        cluster = story.cluster(name)
        story.wait(SETTLED)
        grow_to_five(story, cluster)
        for node, members in (("n5", ["n1", "n2", "n3", "n4"]), ("n4", ["n1", "n2", "n3"])):
            cluster.leave(node, by=members)
            cluster.judge(node, State.OFFLINE, by=["n5", node])
            down(cluster, node)
            if name == "knowing":
                cluster.leave(node, by=[node])
            story.wait(40)
    story.wait(LET_GO)
    story.has_fired()
    return story


def removed_nodes_run_on() -> Story:
    story = Story("Removed nodes that run on and never learn of it are RaftNotInConfiguration, and no more")
    cluster = story.cluster("orders")
    story.wait(SETTLED)
    grow_to_five(story, cluster)
    for node in ("n5", "n4"):
        cluster.leave(node, by=["n1", "n2", "n3"])
        cluster.lose_leader(by=[node])
        story.wait(40)
    story.wait(LET_GO)
    story.fires(
        "RaftNotInConfiguration",
        not_in_configuration("n4"),
        not_in_configuration("n5"),
    )
    story.has_fired("RaftNotInConfiguration", cluster="orders")
    return story


def not_in_configuration(node: str) -> Alert:
    return Alert(
        labels={
            "cluster": "orders",
            "instance": f"{node}:9106",
            "job": "raft",
            "peer": node,
            "severity": "warning",
        },
        summary="A running node is not in the leader's configuration.",
        description=f"Cluster orders: {node} ({node}:9106) runs, but the leader does not count it as "
        "a member.",
    )


def a_node_is_not_in_the_configuration() -> Story:
    story = Story("RaftNotInConfiguration is for a node that runs, and that the leader does not know")
    cluster = story.cluster("orders")
    story.wait(SETTLED)
    cluster.leave("n3", by=["n1"])
    story.wait(60)
    story.silent("RaftNotInConfiguration")
    story.wait(5)
    story.fires("RaftNotInConfiguration", not_in_configuration("n3"))
    cluster.stop("n3")
    story.wait(LET_GO)
    story.fires("RaftNotInConfiguration", not_in_configuration("n3"))
    cluster.start("n3")
    cluster.export("raft_up", 0, by=["n3"])
    story.wait(LET_GO)
    story.silent("RaftNotInConfiguration")
    return story


def a_removed_node_is_known_to_an_operator() -> Story:
    story = Story("RaftNotInConfiguration needs a leader's word, and is silenced by an override")
    cluster = story.cluster("orders")
    story.wait(SETTLED)
    cluster.leave("n3", by=["n2"])
    story.wait(120)
    story.silent("RaftNotInConfiguration")
    cluster.override("n3", "ignore", by=["n1", "n3"])
    cluster.leave("n3", by=["n1"])
    story.wait(120)
    story.silent("RaftNotInConfiguration")
    cluster.lose_leader()
    story.wait(120)
    story.silent("RaftNotInConfiguration")
    return story


STORIES = (
    a_rolling_restart,
    a_rolling_restart_of_the_hosts,
    three_grow_to_five_and_shrink_again,
    the_sidecars_of_removed_nodes_stay,
    removed_nodes_run_on,
    a_node_is_not_in_the_configuration,
    a_removed_node_is_known_to_an_operator,
)
