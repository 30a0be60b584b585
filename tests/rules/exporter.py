"""The alerts of the group raft.exporter that say that a sidecar, or its source, is not there."""

from __future__ import annotations

from typing import Final

from raft_exporter.model.judge import State
from tests.rules.cluster import Cluster, Line, Sidecar
from tests.rules.scenario import LET_GO, Alert, Story

EVERY: Final = 15
"""Seconds between two scrapes: the group is evaluated no more often."""

SETTLED: Final = 75

N3: Final = {"cluster": "orders", "instance": "n3:9106", "job": "raft", "peer": "n3", "severity": "warning"}

IS_DOWN: Final = Alert(
    labels=N3,
    summary="A sidecar does not answer Prometheus.",
    description="Cluster orders: the sidecar n3:9106 of n3 has not answered for a minute. What fires already "
    "goes on firing.",
)
HAS_NO_SOURCE: Final = Alert(
    labels={**N3, "source": "observer"},
    summary="A source of evidence is not connected.",
    description="Cluster orders: the sidecar n3:9106 of n3 hears nothing from its source observer. It judges "
    "by what is left.",
)


def down() -> Story:
    story = Story("RaftExporterDown: no answer for a minute, until it answers", every=EVERY)
    cluster = story.cluster("orders")
    story.wait(SETTLED)
    cluster.stop("n3")
    story.wait(60)
    story.silent("RaftExporterDown")
    story.wait(15)
    story.fires("RaftExporterDown", IS_DOWN)
    story.wait(600)
    story.fires("RaftExporterDown", IS_DOWN)
    cluster.start("n3")
    story.wait(LET_GO)
    story.silent("RaftExporterDown")
    story.has_fired("RaftExporterDown", cluster="orders")
    return story


def down_for_a_restart() -> Story:
    story = Story(
        "RaftExporterDown: not for a restart, nor for a target that never was a sidecar", every=EVERY
    )
    cluster = story.cluster("orders")
    cluster.sidecars["n9"] = Sidecar("n9", up=False)
    story.wait(SETTLED)
    cluster.stop("n3")
    story.wait(60)
    cluster.start("n3")
    story.wait(LET_GO)
    story.silent("RaftExporterDown")
    story.has_fired()
    return story


def down_and_no_target() -> Story:
    story = Story("RaftExporterDown: lets go of a sidecar that is no target any more", every=EVERY)
    cluster = story.cluster("orders")
    story.wait(SETTLED)
    cluster.stop("n3")
    story.wait(75)
    story.fires("RaftExporterDown", IS_DOWN)
    cluster.forget("n3")
    story.wait(LET_GO)
    story.silent("RaftExporterDown")
    return story


def down_with_its_node() -> Story:
    story = Story(
        "RaftExporterDown: not with a member that is down anyway, but when that alone is back", every=EVERY
    )
    cluster = story.cluster("orders", size=5)
    story.wait(SETTLED)
    cluster.stop("n3")
    cluster.judge("n3", State.OFFLINE)
    story.wait(LET_GO)
    story.silent("RaftExporterDown")
    story.has_fired("RaftPeerOffline", cluster="orders")
    cluster.judge("n3", State.ONLINE)
    story.wait(75)
    story.fires("RaftExporterDown", IS_DOWN)
    return story


def no_reporter() -> Story:
    story = Story(
        "RaftReporterMissing: a member without a sidecar for ten minutes, until it has one", every=EVERY
    )
    cluster = story.cluster("orders")
    cluster.forget("n3")
    story.wait(585)
    story.silent("RaftReporterMissing")
    story.wait(15)
    story.fires(
        "RaftReporterMissing",
        Alert(
            labels={"cluster": "orders", "peer": "n3", "severity": "info"},
            summary="A member has no sidecar that Prometheus scrapes.",
            description="Cluster orders: no sidecar of n3 ever answered Prometheus. Its own point of view is "
            "missing, and its vote.",
        ),
    )
    story.has_fired()
    cluster.start("n3")
    story.wait(15)
    story.silent("RaftReporterMissing")
    return story


def reporter_that_is_down() -> Story:
    story = Story("RaftReporterMissing: a sidecar that answered once is down, not missing", every=EVERY)
    cluster = story.cluster("orders")
    story.wait(SETTLED)
    cluster.stop("n3")
    story.wait(660)
    story.silent("RaftReporterMissing")
    story.has_fired("RaftExporterDown", cluster="orders")
    return story


def no_source() -> Story:
    story = Story("RaftSourceDown: a source that is not connected for a minute, until it is", every=EVERY)
    cluster = story.cluster("orders")
    story.wait(SETTLED)
    _source(cluster, 0)
    story.wait(60)
    story.silent("RaftSourceDown")
    story.wait(15)
    story.fires("RaftSourceDown", HAS_NO_SOURCE)
    _source(cluster, 1)
    story.wait(LET_GO)
    story.silent("RaftSourceDown")
    story.has_fired("RaftSourceDown", cluster="orders")
    return story


def no_source_for_a_moment() -> Story:
    story = Story("RaftSourceDown: not for a moment, nor for an observer that nobody asked for", every=EVERY)
    cluster = story.cluster("orders")
    cluster.export("raft_exporter_source_up", float("nan"), by=["n2"], source="observer")
    story.wait(SETTLED)
    _source(cluster, 0)
    story.wait(60)
    _source(cluster, 1)
    story.wait(LET_GO)
    story.silent("RaftSourceDown")
    story.has_fired()
    return story


def no_source_and_down() -> Story:
    story = Story(
        "RaftSourceDown: goes on while its sidecar does not answer, ends when it is back and well",
        every=EVERY,
    )
    cluster = story.cluster("orders")
    story.wait(SETTLED)
    _source(cluster, 0)
    story.wait(75)
    cluster.stop("n3")
    story.wait(LET_GO)
    story.fires("RaftSourceDown", HAS_NO_SOURCE)
    _source(cluster, 1)
    cluster.start("n3")
    story.wait(LET_GO)
    story.silent("RaftSourceDown")
    return story


def no_source_and_no_target() -> Story:
    story = Story("RaftSourceDown: lets go of a sidecar that is no target any more", every=EVERY)
    cluster = story.cluster("orders")
    story.wait(SETTLED)
    _source(cluster, 0)
    story.wait(75)
    cluster.stop("n3")
    story.wait(LET_GO)
    story.fires("RaftSourceDown", HAS_NO_SOURCE)
    cluster.forget("n3")
    story.wait(LET_GO)
    story.silent("RaftSourceDown")
    return story


def no_source_of_a_node_that_is_down() -> Story:
    story = Story("RaftSourceDown: not with a member that is down anyway", every=EVERY)
    cluster = story.cluster("orders", size=5)
    story.wait(SETTLED)
    _source(cluster, 0)
    cluster.judge("n3", State.OFFLINE)
    story.wait(LET_GO)
    story.has_fired("RaftPeerOffline", cluster="orders")
    return story


def no_source_ever() -> Story:
    story = Story("RaftSourceDown: also where no observer ever came to say which node it is", every=EVERY)
    cluster = story.cluster("orders")
    n3 = cluster.sidecars["n3"]
    n3.withdraw("raft_node_info")
    n3.export("raft_node_info", Line(1), id="", address="", kind="raft", protocol_version="")
    _source(cluster, 0)
    story.wait(75)
    without_peer = {label: value for label, value in N3.items() if label != "peer"}
    story.fires(
        "RaftSourceDown",
        Alert(
            labels={**without_peer, "source": "observer"},
            summary=HAS_NO_SOURCE.summary,
            description="Cluster orders: the sidecar n3:9106 hears nothing from its source observer. It "
            "judges by what is left.",
        ),
    )
    return story


def _source(cluster: Cluster, up: int) -> None:
    cluster.export("raft_exporter_source_up", up, by=["n3"], source="observer")


STORIES = (
    down,
    down_for_a_restart,
    down_and_no_target,
    down_with_its_node,
    no_reporter,
    reporter_that_is_down,
    no_source,
    no_source_for_a_moment,
    no_source_and_down,
    no_source_and_no_target,
    no_source_of_a_node_that_is_down,
    no_source_ever,
)
