"""End to end over a network that falls apart: five hosts, and a sixth whose Prometheus reaches them all."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Final

import pytest

from raft_exporter.demo.cluster import until
from raft_exporter.demo.monitoring import WHOLE, Monitoring, Watch
from raft_exporter.demo.receiver import Receiver
from tests.chaos.hosts import SIDECAR_PORT, Host
from tests.chaos.network import Inside, Network
from tests.chaos.truth import NODES
from tests.e2e.acceleration import accelerated_rules, alertmanager_config
from tests.e2e.conftest import Delays
from tests.e2e.ledger import ONCE, Ledger, Told
from tests.e2e.site import PATIENCE, Outcome

pytestmark = pytest.mark.integration

_WATCHER: Final = len(NODES) + 1
_TIMEOUT: Final = 0.5
_SPEED: Final = 15.0
_CLUSTER: Final = "parted"


class Place:
    """Five hosts with a node and a sidecar each, and what Alertmanager says of them; as a context it runs."""

    def __init__(self, ip: str, home: Path) -> None:
        self._home = home
        self.network = Network(ip, _WATCHER, home, seed=1)

    def __enter__(self) -> Place:
        with ExitStack() as stack:
            stack.enter_context(self.network)
            inside = Inside(self.network.namespace(_WATCHER))
            stack.callback(inside.close)
            self._inside = inside
            self._receiver = stack.enter_context(
                Receiver(lambda: inside.run(socket.create_server, ("127.0.0.1", 0)))
            )
            self.hosts = [Host(number, self.network, self._home, _TIMEOUT) for number in range(1, _WATCHER)]
            for host in self.hosts:
                stack.callback(host.stop)
                host.sidecar.start()
                host.node.start()
            targets = [f"{Network.address(host.number)}:{SIDECAR_PORT}" for host in self.hosts]
            watch = Watch(
                {_CLUSTER: targets},
                accelerated_rules(self._home, _SPEED),
                alertmanager=alertmanager_config(self._receiver.url, _SPEED),
            )
            self.monitoring = stack.enter_context(
                Monitoring(self._home, watch, lambda command: self.network.command(_WATCHER, command))
            )
            until("the cluster seen whole by the rules", self._settled, PATIENCE)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    @property
    def ledger(self) -> Ledger:
        """What was told so far."""
        return Ledger(list(self._receiver.notifications), _CLUSTER)

    def all_taken_back(self) -> bool:
        """Whether the last word about each alert is that it is over."""
        return self.ledger.all_taken_back()

    def leader(self) -> Host:
        """The node that leads."""
        return until("a leader", lambda: next((host for host in self.hosts if host.leads), None), PATIENCE)

    def part(self, minority: list[Host]) -> None:
        """Lose all between these hosts and the other nodes; Prometheus goes on reaching everybody."""
        side = [host.number for host in minority]
        ways = self.network.ways_across(side)
        self.network.lose([way for way in ways if _WATCHER not in way])

    def failing_rules(self) -> list[str]:
        """The rules that could not be evaluated the last time."""
        return self._inside.run(self.monitoring.failing_rules)

    def _settled(self) -> bool:
        if not self._inside.run(self.monitoring.ready):
            return False
        return bool(self._inside.run(self.monitoring.query, WHOLE))


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
