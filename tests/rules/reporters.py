"""Whose word counts, and for which cluster."""

from __future__ import annotations

from raft_exporter.model.judge import State
from tests.rules.alerts import at_risk, offline
from tests.rules.scenario import LET_GO, SETTLED, Alert, Story

ALL = ("RaftNoLeader", "RaftNodeStalled", "RaftPeerOffline", "RaftQuorumAtRisk", "RaftQuorumLost")


def one_scrape_is_missed() -> Story:
    story = Story("One scrape that is missed, of any sidecar, neither begins an alert nor ends one")
    well, edge, fault = story.cluster("well"), story.cluster("edge", size=5), story.cluster("fault")
    story.wait(SETTLED)
    edge.judge("n5", State.OFFLINE, by=["n1", "n2"])
    fault.judge("n3", State.OFFLINE)
    story.wait(20)
    for node in ("n1", "n2", "n3", "n4", "n5"):
        for cluster in (well, edge, fault):
            if node in cluster.sidecars:
                cluster.stop(node)
        story.wait(5)
        for cluster in (well, edge, fault):
            if node in cluster.sidecars:
                cluster.start(node)
        story.wait(LET_GO if node == "n5" else 5)
    by = " for 3 of 3 sidecars that reach a majority"
    story.fires("RaftPeerOffline", offline("n3", by, "fault"))
    story.fires("RaftQuorumAtRisk", at_risk("2 of 3 voters are online, ", "n3", "fault"))
    story.has_fired("RaftPeerOffline", "RaftQuorumAtRisk", cluster="fault")
    return story


def members_are_cut_off() -> Story:
    story = Story("Who is isolated has no vote, whatever it says of others")
    silent, wrong = story.cluster("silent", size=5), story.cluster("wrong", size=5)
    story.wait(SETTLED)
    for cluster in (silent, wrong):
        cluster.isolate("n4", "n5")
    for peer in ("n1", "n2", "n3"):
        wrong.judge(peer, State.OFFLINE, by=["n4", "n5"])
    wrong.judge("n1", State.OFFLINE, by=["n2"])
    story.wait(LET_GO)
    story.silent("RaftPeerOffline", "RaftQuorumAtRisk", "RaftQuorumLost", "RaftNoLeader")
    story.fires(
        "RaftNodeIsolated",
        *(
            Alert(
                labels={"cluster": cluster, "peer": peer, "severity": "warning"},
                summary="A node reaches no majority of the voters.",
                description=f"Cluster {cluster}: {peer} runs, but is cut off from most voters. It is the "
                "network that is broken, or the majority that is gone.",
            )
            for cluster in ("silent", "wrong")
            for peer in ("n4", "n5")
        ),
    )
    return story


def removed_nodes_speak() -> Story:
    story = Story("Who is no longer a member has no vote")
    cluster = story.cluster("orders", size=5)
    story.wait(SETTLED)
    for node in ("n4", "n5"):
        cluster.leave(node)
        cluster.export("raft_up", 0, by=[node])
    cluster.judge("n3", State.OFFLINE, by=["n1", "n4", "n5"])
    story.wait(LET_GO)
    story.has_fired()
    return story


def sidecars_start_with_nothing() -> Story:
    story = Story("Sidecars that have just started, and know no member yet, have no vote about the quorum")
    cluster = story.cluster("orders", size=5)
    story.wait(SETTLED)
    cluster.stop("n1")
    for peer in cluster.sidecars:
        cluster.leave(peer, by=["n4", "n5"])
    cluster.export("raft_node_in_configuration", float("nan"), by=["n4", "n5"])
    story.wait(30)
    story.has_fired()
    return story


def clocks_differ() -> Story:
    story = Story("The clocks of the sidecars may differ by a minute: no alert comes sooner or later")
    even, skewed = story.cluster("even"), story.cluster("skewed")
    for cluster, skew in ((even, 0), (skewed, 60)):
        for number, node in enumerate(cluster.sidecars, start=-1):
            for peer in cluster.sidecars:
                at = 1_800_000_000 + number * skew
                cluster.export("raft_peer_last_contact_timestamp_seconds", at, 1, [node], peer=peer)
                cluster.export("raft_peer_override_expiry_timestamp_seconds", at, 0, [node], peer=peer)
    story.wait(SETTLED)
    for cluster in (even, skewed):
        cluster.judge("n3", State.OFFLINE)
    by = " for 3 of 3 sidecars that reach a majority"
    story.wait(15)
    story.silent("RaftPeerOffline", "RaftQuorumAtRisk")
    story.wait(5)
    story.fires("RaftPeerOffline", *(offline("n3", by, name) for name in ("even", "skewed")))
    for cluster in (even, skewed):
        cluster.judge("n3", State.ONLINE)
    story.wait(LET_GO)
    story.silent("RaftPeerOffline", "RaftQuorumAtRisk")
    return story


def one_cluster_of_two_has_a_fault() -> Story:
    story = Story("Of two clusters in one Prometheus only the one with the fault has alerts")
    story.cluster("billing")
    cluster = story.cluster("orders")
    story.wait(SETTLED)
    cluster.judge("n3", State.OFFLINE)
    story.wait(30)
    story.fires("RaftPeerOffline", offline("n3", " for 3 of 3 sidecars that reach a majority"))
    story.has_fired("RaftPeerOffline", "RaftQuorumAtRisk", cluster="orders")
    cluster.judge("n2", State.STALLED)
    cluster.lose_leader()
    story.wait(30)
    story.has_fired(
        "RaftNoLeader",
        "RaftNodeStalled",
        "RaftPeerOffline",
        "RaftQuorumAtRisk",
        "RaftQuorumLost",
        cluster="orders",
    )
    return story


def the_same_with_no_cluster_label() -> Story:
    story = Story("The same alerts, for one cluster that has no label")
    cluster = story.cluster()
    story.wait(SETTLED)
    cluster.judge("n3", State.OFFLINE)
    story.wait(30)
    story.fires(
        "RaftPeerOffline",
        Alert(
            labels={"peer": "n3", "severity": "warning"},
            summary="A member is offline.",
            description="n3 is offline for 3 of 3 sidecars that reach a majority, and longer than a restart "
            "takes.",
        ),
    )
    story.has_fired("RaftPeerOffline", "RaftQuorumAtRisk")
    cluster.judge("n2", State.STALLED)
    cluster.lose_leader()
    story.wait(30)
    story.has_fired(
        "RaftNoLeader", "RaftNodeStalled", "RaftPeerOffline", "RaftQuorumAtRisk", "RaftQuorumLost"
    )
    return story


STORIES = (
    one_scrape_is_missed,
    members_are_cut_off,
    removed_nodes_speak,
    sidecars_start_with_nothing,
    clocks_differ,
    one_cluster_of_two_has_a_fault,
    the_same_with_no_cluster_label,
)
