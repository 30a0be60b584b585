"""End to end over a network that falls apart: five hosts, and a sixth whose Prometheus reaches them all."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from raft_exporter.demo.cluster import until
from tests.e2e.conftest import Delays
from tests.e2e.ledger import ONCE, Told
from tests.e2e.place import Place
from tests.e2e.site import PATIENCE, Outcome

pytestmark = pytest.mark.integration


@pytest.fixture
def place(alerting_parts: None, ip: str, tmp_path: Path) -> Iterator[Place]:
    with Place(ip, tmp_path) as place:
        yield place


def test_a_minority_that_is_cut_off_with_the_leader_is_told_once_as_what_it_is(
    place: Place, delays: Delays
) -> None:
    leader = place.leader()
    minority = [leader, next(host for host in place.hosts if host is not leader)]
    wanted = {Told("pager", "RaftQuorumAtRisk")}
    wanted |= {Told("ticket", "RaftPeerOffline", host.id) for host in minority}
    wanted |= {Told("ticket", "RaftNodeIsolated", host.id) for host in minority}
    fault_at = time.time()
    place.part(minority)
    try:
        until("all told", lambda: place.ledger.announced(list(wanted)), PATIENCE)
        assert place.failing_rules() == []
        place.network.mend()
        until("all taken back", place.all_taken_back, PATIENCE)
    finally:
        delays.note("minority_cut_off", Outcome(wanted, place.ledger, fault_at))
    assert place.ledger.stories() == dict.fromkeys(wanted, ONCE)
    pages = place.ledger.bothered("pager")
    assert pages == dict.fromkeys(pages, ONCE)
