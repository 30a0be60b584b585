"""Prometheus restarts while alerts fire: their hysteresis is in its database, and nobody is told anew."""

from __future__ import annotations

from typing import Final

import pytest

from raft_exporter.demo.cluster import Settings
from tests.e2e.conftest import Delays
from tests.e2e.ledger import ONCE, Told
from tests.e2e.scenarios import AT_RISK, offline
from tests.e2e.site import Ground, Scenario, Site

pytestmark = pytest.mark.integration

_SPEED: Final = 15.0


def prometheus_restarts(ground: Ground) -> set[Told]:
    victim = ground.cluster.followers()[0]
    ground.strike()
    victim.kill()
    wanted = {AT_RISK, offline(victim)}
    ground.until_told(*wanted)
    ground.monitoring.restart_prometheus()
    ground.until_firing(*(told.alert for told in wanted))
    victim.start()
    ground.until_over()
    return wanted


def test_what_fires_when_prometheus_restarts_is_told_once(
    alerting_parts: None, tmp_path_factory: pytest.TempPathFactory, delays: Delays
) -> None:
    settings = Settings("500ms", "500ms", "250ms", store="bolt")
    scenario = Scenario("restart", prometheus_restarts, settings=settings)
    with Site(tmp_path_factory.mktemp("restart"), [scenario], _SPEED) as site:
        outcome = site.play()["restart"]
    delays.note("prometheus_restarts", outcome)
    if outcome.error is not None:
        raise outcome.error
    assert outcome.ledger.stories() == dict.fromkeys(outcome.wanted, ONCE)
    pages = outcome.ledger.bothered("pager")
    assert pages == dict.fromkeys(pages, ONCE)
