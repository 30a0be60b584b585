"""The alerts of the group raft.exporter that say that a sidecar is not well."""

from __future__ import annotations

from typing import Final

from tests.rules.cluster import Cluster
from tests.rules.exporter import EVERY, N3, SETTLED
from tests.rules.scenario import LET_GO, Alert, Story

DROPS: Final = Alert(
    labels=N3,
    summary="Observations of hashicorp/raft are lost on their way to the sidecar.",
    description="Cluster orders: the observer of n3 goes on dropping observations, for its queue is full.",
)
RELOAD_FAILED: Final = Alert(
    labels=N3,
    summary="A sidecar could not take its new configuration.",
    description="Cluster orders: the sidecar n3:9106 of n3 runs on with its old configuration.",
)
STORE_FAILS: Final = Alert(
    labels=N3,
    summary="A sidecar can't read or write its database.",
    description="Cluster orders: the sidecar n3:9106 of n3 had failures of its database in the last ten "
    "minutes. It goes on watching, but a restart may lose what it knows.",
)


def drops_on_and_on() -> Story:
    story = Story("RaftObservationsDropped: on and on for five minutes, until none is for ten", every=EVERY)
    cluster = story.cluster("orders")
    story.wait(SETTLED)
    _dropped(cluster, 0, per_second=1)
    story.wait(300)
    story.silent("RaftObservationsDropped")
    story.wait(15)
    story.fires("RaftObservationsDropped", DROPS)
    # The dead band: once in five minutes is too little to begin it, and enough to go on.
    for count in (400, 401):
        _dropped(cluster, count)
        story.wait(300)
    story.fires("RaftObservationsDropped", DROPS)
    cluster.stop("n3")
    story.wait(900)
    story.fires("RaftObservationsDropped", DROPS)
    cluster.start("n3")
    story.wait(600 + LET_GO)
    story.silent("RaftObservationsDropped")
    story.has_fired("RaftExporterDown", "RaftObservationsDropped", cluster="orders")
    return story


def drops_now_and_then() -> Story:
    story = Story("RaftObservationsDropped: not for a burst, nor for one each five minutes", every=EVERY)
    cluster = story.cluster("orders")
    story.wait(SETTLED)
    for count in (1000, 1001, 1002, 1003):
        _dropped(cluster, count)
        story.wait(300)
        story.silent("RaftObservationsDropped")
    story.has_fired()
    return story


def reload_failed() -> Story:
    story = Story(
        "RaftExporterReloadFailed: at once, while its sidecar is silent, until it takes one", every=EVERY
    )
    cluster = story.cluster("orders")
    story.wait(SETTLED)
    story.silent("RaftExporterReloadFailed")
    cluster.export("raft_exporter_config_last_reload_successful", 0, by=["n3"])
    story.wait(15)
    story.fires("RaftExporterReloadFailed", RELOAD_FAILED)
    cluster.stop("n3")
    story.wait(LET_GO)
    story.fires("RaftExporterReloadFailed", RELOAD_FAILED)
    cluster.export("raft_exporter_config_last_reload_successful", 1, by=["n3"])
    cluster.start("n3")
    story.wait(LET_GO)
    story.silent("RaftExporterReloadFailed")
    return story


def store_fails() -> Story:
    story = Story(
        "RaftExporterStoreFailing: at the first failure, until there was none for ten minutes", every=EVERY
    )
    cluster = story.cluster("orders")
    story.wait(SETTLED)
    story.silent("RaftExporterStoreFailing")
    _failed(cluster, 1)
    story.wait(15)
    story.fires("RaftExporterStoreFailing", STORE_FAILS)
    story.wait(570)
    story.fires("RaftExporterStoreFailing", STORE_FAILS)
    story.wait(LET_GO)
    story.silent("RaftExporterStoreFailing")
    story.has_fired("RaftExporterStoreFailing", cluster="orders")
    return story


def store_fails_and_down() -> Story:
    story = Story(
        "RaftExporterStoreFailing: goes on while its sidecar is silent, ends when it is back and well",
        every=EVERY,
    )
    cluster = story.cluster("orders")
    story.wait(SETTLED)
    _failed(cluster, 3)
    story.wait(15)
    cluster.stop("n3")
    story.wait(900)
    story.fires("RaftExporterStoreFailing", STORE_FAILS)
    _failed(cluster, 0)
    cluster.start("n3")
    story.wait(LET_GO)
    story.silent("RaftExporterStoreFailing")
    _failed(cluster, 1)
    story.wait(15)
    story.fires("RaftExporterStoreFailing", STORE_FAILS)
    cluster.forget("n3")
    story.wait(LET_GO)
    story.silent("RaftExporterStoreFailing")
    return story


def store_lost_at_a_restart() -> Story:
    story = Story("RaftExporterStoreFailing: a database that a restart finds damaged is told", every=EVERY)
    cluster = story.cluster("orders")
    story.wait(SETTLED)
    cluster.stop("n3")
    story.wait(30)
    _failed(cluster, 1)
    cluster.start("n3")
    story.wait(15)
    story.fires("RaftExporterStoreFailing", STORE_FAILS)
    return story


def _dropped(cluster: Cluster, count: int, per_second: int = 0) -> None:
    cluster.export("raft_exporter_observations_dropped_total", count, per_second, by=["n3"])


def _failed(cluster: Cluster, times: int) -> None:
    cluster.export("raft_exporter_store_errors_total", times, by=["n3"])


STORIES = (
    drops_on_and_on,
    drops_now_and_then,
    reload_failed,
    store_fails,
    store_fails_and_down,
    store_lost_at_a_restart,
)
