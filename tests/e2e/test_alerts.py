"""End to end: real nodes, sidecars, Prometheus and Alertmanager with what is shipped; who is told what.

Every scenario has a cluster of its own, all at once under one Prometheus; one has no ``cluster`` label. The
rolling restart is apart from them: what it restarts has to be back within seconds, which stand for a minute.
"""

from __future__ import annotations

import pytest

from tests.e2e.conftest import Delays
from tests.e2e.ledger import ONCE
from tests.e2e.scenarios import SCENARIOS, rolling_restart
from tests.e2e.site import Outcome, Scenario, Site

pytestmark = pytest.mark.integration

by_name = pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.play.__name__)


@pytest.fixture(scope="module")
def outcomes(
    alerting_parts: None, tmp_path_factory: pytest.TempPathFactory, delays: Delays
) -> dict[str, Outcome]:
    outcomes: dict[str, Outcome] = {}
    rolling = [each for each in SCENARIOS if each.play is rolling_restart]
    for together in (rolling, [each for each in SCENARIOS if each not in rolling]):
        with Site(tmp_path_factory.mktemp("site"), together) as site:
            outcomes |= site.play()
            assert site.monitoring.failing_rules() == []
    for scenario in SCENARIOS:
        delays.note(scenario.play.__name__, outcomes[scenario.cluster])
    return outcomes


@by_name
def test_exactly_what_is_wrong_is_told_once_and_taken_back_once(
    scenario: Scenario, outcomes: dict[str, Outcome]
) -> None:
    outcome = outcomes[scenario.cluster]
    if outcome.error is not None:
        raise outcome.error
    assert outcome.ledger.stories() == dict.fromkeys(outcome.wanted, ONCE)


@by_name
def test_nobody_is_paged_twice_for_one_thing(scenario: Scenario, outcomes: dict[str, Outcome]) -> None:
    pages = outcomes[scenario.cluster].ledger.bothered("pager")
    assert pages == dict.fromkeys(pages, ONCE)
