"""RaftOverrideTooOld, over more than a day."""

from __future__ import annotations

from typing import Final

from tests.rules.scenario import Alert, Story

HOUR: Final = 3600
MINUTES: Final = 60

N3_IS_MASKED: Final = Alert(
    labels={"cluster": "orders", "peer": "n3", "severity": "warning"},
    summary="An override has stood for more than a day.",
    description="Cluster orders: n3 has been masked by overrides for more than 24 hours; no alert is raised "
    "for it meanwhile.",
)


def forgotten() -> Story:
    story = Story("RaftOverrideTooOld: after 24 h, whatever it forces, though a scrape was missed", every=240)
    cluster = story.cluster("orders")
    story.wait(12 * MINUTES)
    cluster.override("n3", "offline")
    story.wait(12 * HOUR)
    cluster.stop()
    story.wait(4 * MINUTES)
    cluster.start()
    cluster.override("n3", "ignore")
    story.wait(12 * HOUR - 4 * MINUTES)
    story.silent("RaftOverrideTooOld")
    story.wait(4 * MINUTES)
    story.fires("RaftOverrideTooOld", N3_IS_MASKED)
    cluster.override("n3", "")
    story.wait(8 * MINUTES)
    story.silent("RaftOverrideTooOld")
    return story


def set_again() -> Story:
    story = Story("RaftOverrideTooOld: two overrides that make a day together are none", every=240)
    cluster = story.cluster("orders")
    story.wait(12 * MINUTES)
    cluster.override("n3", "offline")
    story.wait(23 * HOUR)
    cluster.override("n3", "")
    story.wait(12 * MINUTES)
    cluster.override("n3", "offline")
    story.wait(2 * HOUR)
    story.silent("RaftOverrideTooOld")
    return story


STORIES = (forgotten, set_again)
