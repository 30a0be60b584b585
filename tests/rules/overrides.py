"""Overrides: their own alerts, and what they silence of the others."""

from __future__ import annotations

from typing import Final

from raft_exporter.model.judge import State
from tests.rules.scenario import LET_GO, SETTLED, Alert, Story

N3: Final = {"cluster": "orders", "peer": "n3", "severity": "warning"}

N3_IS_OFFLINE: Final = Alert(
    labels=N3,
    summary="A member is offline.",
    description="Cluster orders: n3 is offline for 2 of 2 sidecars that reach a majority, and longer than a "
    "restart takes.",
)
N3_IS_STALLED: Final = Alert(
    labels=N3,
    summary="A node runs, but its Raft main loop hangs.",
    description="Cluster orders: n3 is heard, but its main loop does not answer, say 3 of 3 sidecars. Often "
    "it is a disk that hangs.",
)
N3_HAS_NO_SIDECAR: Final = Alert(
    labels={**N3, "instance": "n3:9106", "job": "raft"},
    summary="A sidecar does not answer Prometheus.",
    description="Cluster orders: the sidecar n3:9106 of n3 has not answered for a minute. What fires already "
    "goes on firing.",
)
N3_HAS_NO_SOURCE: Final = Alert(
    labels={**N3, "instance": "n3:9106", "job": "raft", "source": "observer"},
    summary="A source of evidence is not connected.",
    description="Cluster orders: the sidecar n3:9106 of n3 hears nothing from its source observer. It judges "
    "by what is left.",
)
N3_WAS_ONE_TOO_MANY: Final = Alert(
    labels={"cluster": "orders", "severity": "critical"},
    summary="The next failure loses the quorum.",
    description="Cluster orders: 2 of 3 voters are online, none may fail any more. Lost: n3.",
)


def stands() -> Story:
    story = Story("RaftOverrideActive: from its setting to its end, at once")
    cluster = story.cluster("orders")
    story.wait(SETTLED)
    story.silent("RaftOverrideActive")
    cluster.override("n3", "offline")
    story.wait(5)
    story.fires("RaftOverrideActive", _active("n3", "offline"))
    cluster.override("n3", "ignore")
    cluster.override("n2", "online")
    story.wait(5)
    story.fires("RaftOverrideActive", _active("n3", "ignore"), _active("n2", "online"))
    cluster.override("n3", "")
    cluster.override("n2", "")
    story.wait(5)
    story.silent("RaftOverrideActive")
    story.has_fired()
    return story


def during_an_outage() -> Story:
    story = Story("An override silences what fires of an offline member; when it ends, all is told again")
    cluster = story.cluster("orders")
    story.wait(SETTLED)
    cluster.stop("n3")
    cluster.judge("n3", State.OFFLINE)
    story.wait(20)
    story.fires("RaftPeerOffline", N3_IS_OFFLINE)
    story.fires("RaftQuorumAtRisk", N3_WAS_ONE_TOO_MANY)
    cluster.override("n3", "offline")
    story.wait(LET_GO)
    story.silent("RaftPeerOffline", "RaftQuorumAtRisk", "RaftExporterDown")
    story.fires("RaftOverrideActive", _active("n3", "offline"))
    cluster.override("n3", "")
    story.wait(5)
    story.fires("RaftPeerOffline", N3_IS_OFFLINE)
    story.fires("RaftQuorumAtRisk", N3_WAS_ONE_TOO_MANY)
    story.has_fired("RaftPeerOffline", "RaftQuorumAtRisk", cluster="orders")
    return story


def during_a_hang() -> Story:
    story = Story("An override silences what fires of a member that hangs; when it ends, all is told again")
    cluster = story.cluster("orders")
    story.wait(SETTLED)
    cluster.judge("n3", State.STALLED)
    story.wait(20)
    story.fires("RaftNodeStalled", N3_IS_STALLED)
    story.fires("RaftQuorumAtRisk", N3_WAS_ONE_TOO_MANY)
    cluster.override("n3", "ignore")
    story.wait(LET_GO)
    story.silent("RaftNodeStalled", "RaftQuorumAtRisk")
    cluster.override("n3", "")
    story.wait(5)
    story.fires("RaftNodeStalled", N3_IS_STALLED)
    story.fires("RaftQuorumAtRisk", N3_WAS_ONE_TOO_MANY)
    story.has_fired("RaftNodeStalled", "RaftQuorumAtRisk", cluster="orders")
    return story


def of_a_sidecar() -> Story:
    story = Story("An override silences what fires of its member's sidecar; when it ends, all is told again")
    cluster = story.cluster("orders")
    story.wait(SETTLED)
    cluster.export("raft_exporter_source_up", 0, by=["n3"], source="observer")
    story.wait(70)
    story.fires("RaftSourceDown", N3_HAS_NO_SOURCE)
    cluster.stop("n3")
    story.wait(70)
    story.fires("RaftExporterDown", N3_HAS_NO_SIDECAR)
    cluster.override("n3", "ignore")
    story.wait(LET_GO)
    story.silent("RaftExporterDown", "RaftSourceDown")
    cluster.override("n3", "")
    story.wait(65)
    story.fires("RaftExporterDown", N3_HAS_NO_SIDECAR)
    cluster.start("n3")
    story.wait(70)
    story.fires("RaftSourceDown", N3_HAS_NO_SOURCE)
    story.has_fired("RaftExporterDown", "RaftSourceDown", cluster="orders")
    return story


def during_everything_else() -> Story:
    story = Story("An override silences each alert of its member, and none of another")
    cluster = story.cluster("orders")
    story.wait(SETTLED)
    cluster.override("n3", "ignore")
    for node in ("n2", "n3"):
        cluster.export("raft_node_isolated", 1, by=[node])
        cluster.judge(node, State.ASYMMETRIC, by=["n1"])
        cluster.export("raft_peer_transitions_total", 3, peer=node, to="offline")
        cluster.export("raft_peer_term", 10 if node == "n2" else 9, by=["n1"], peer=node)
        cluster.export("raft_peer_last_log_index", 50, by=["n1"], peer=node)
        cluster.export("raft_exporter_config_last_reload_successful", 0, by=[node])
        cluster.export("raft_exporter_store_errors_total", 0, 1, by=[node])
        cluster.export("raft_exporter_observations_dropped_total", 0, 1, by=[node])
    story.wait(330)
    peer = {"cluster": "orders", "peer": "n2", "severity": "warning"}
    sidecar = {**peer, "instance": "n2:9106", "job": "raft"}
    for name, labels, summary, description in (
        (
            "RaftNodeIsolated",
            peer,
            "A node reaches no majority of the voters.",
            "n2 runs, but is cut off from most voters. It is the network that is broken, or the majority "
            "that is gone.",
        ),
        (
            "RaftPartialPartition",
            {**peer, "reporter": "n1"},
            "One node does not reach another that others reach.",
            "n1 does not reach n2, which others hear. The way between these two is broken.",
        ),
        (
            "RaftPeerFlapping",
            peer,
            "A member goes and comes again and again.",
            "n2 went offline 3 times in the last 15 minutes.",
        ),
        (
            "RaftTermRunaway",
            peer,
            "A member's term is above the leader's.",
            "n2 is in term 10, above the leader's. When it is heard again, the leader has to step down.",
        ),
        (
            "RaftFollowerLagging",
            peer,
            "A member falls behind the leader's log and does not catch up.",
            "n2 is 50 entries behind the leader, and the gap does not close.",
        ),
        (
            "RaftExporterReloadFailed",
            sidecar,
            "A sidecar could not take its new configuration.",
            "the sidecar n2:9106 of n2 runs on with its old configuration.",
        ),
        (
            "RaftExporterStoreFailing",
            sidecar,
            "A sidecar can't read or write its database.",
            "the sidecar n2:9106 of n2 had failures of its database in the last ten minutes. It goes on "
            "watching, but a restart may lose what it knows.",
        ),
        (
            "RaftObservationsDropped",
            sidecar,
            "Observations of hashicorp/raft are lost on their way to the sidecar.",
            "the observer of n2 goes on dropping observations, for its queue is full.",
        ),
    ):
        story.fires(name, Alert(labels, summary, f"Cluster orders: {description}"))
    return story


def planned_and_one_more() -> Story:
    story = Story(
        "RaftQuorumAtRisk: not for a member that is out of service, but for the next one that is lost"
    )
    cluster = story.cluster("orders", size=5)
    story.wait(SETTLED)
    cluster.override("n5", "offline")
    cluster.stop("n5")
    cluster.judge("n5", State.OFFLINE)
    story.wait(LET_GO)
    story.silent("RaftQuorumAtRisk", "RaftPeerOffline", "RaftExporterDown")
    cluster.judge("n4", State.OFFLINE)
    story.wait(15)
    story.silent("RaftQuorumAtRisk")
    story.wait(5)
    story.fires(
        "RaftQuorumAtRisk",
        Alert(
            labels={"cluster": "orders", "severity": "critical"},
            summary="The next failure loses the quorum.",
            description="Cluster orders: 3 of 5 voters are online, none may fail any more. Lost: n4.",
        ),
    )
    story.has_fired("RaftPeerOffline", "RaftQuorumAtRisk", cluster="orders")
    return story


def shown_as_online() -> Story:
    story = Story("An override `online` is the operator's word that the member is well, and counts as such")
    cluster = story.cluster("orders", size=5)
    story.wait(SETTLED)
    cluster.override("n5", "online")
    cluster.judge("n5", State.OFFLINE)
    cluster.judge("n4", State.OFFLINE)
    story.wait(LET_GO)
    story.fires("RaftOverrideActive", _active("n5", "online"))
    story.has_fired("RaftPeerOffline", cluster="orders")
    cluster.override("n5", "")
    story.wait(5)
    story.has_fired("RaftPeerOffline", "RaftQuorumAtRisk", cluster="orders")
    return story


def _active(peer: str, state: str) -> Alert:
    return Alert(
        labels={"cluster": "orders", "peer": peer, "state": state, "severity": "info"},
        summary="An operator's override masks a member.",
        description=f"Cluster orders: an override says {state} of {peer}; no alert is raised for it "
        "meanwhile.",
    )


STORIES = (
    stands,
    during_an_outage,
    during_a_hang,
    of_a_sidecar,
    during_everything_else,
    planned_and_one_more,
    shown_as_online,
)
