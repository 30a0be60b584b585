"""Five hosts of our own, and a sixth whose Prometheus reaches them all, whatever is lost between the five."""

from __future__ import annotations

import socket
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Final, ParamSpec, TypeVar

from raft_exporter.demo.cluster import until
from raft_exporter.demo.monitoring import WHOLE, Monitoring, Watch
from raft_exporter.demo.receiver import Receiver
from tests.chaos.hosts import SIDECAR_PORT, Host
from tests.chaos.network import Inside, Network
from tests.chaos.truth import NODES
from tests.e2e.acceleration import accelerated_rules, alertmanager_config
from tests.e2e.ledger import Ledger
from tests.e2e.site import PATIENCE

_WATCHER: Final = len(NODES) + 1
_TIMEOUT: Final = 0.5
_SPEED: Final = 15.0
_P = ParamSpec("_P")
_T = TypeVar("_T")


class Place:
    """Five hosts with a node and a sidecar each, and what Alertmanager says of them; as a context it runs."""

    CLUSTER: Final = "parted"

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
            self.targets = [f"{Network.address(host.number)}:{SIDECAR_PORT}" for host in self.hosts]
            for host in self.hosts:
                stack.callback(host.stop)
                host.sidecar.start()
                host.node.start()
            watch = Watch(
                {self.CLUSTER: self.targets},
                accelerated_rules(self._home, _SPEED),
                alertmanager=alertmanager_config(self._receiver.url, _SPEED),
            )
            self._stack = stack
            self.monitoring = self.watched(self._home, watch)
            until("the cluster seen whole by the rules", self._settled, PATIENCE)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    @property
    def ledger(self) -> Ledger:
        """What was told so far."""
        return Ledger(list(self._receiver.notifications), self.CLUSTER)

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

    def watched(self, home: Path, watch: Watch) -> Monitoring:
        """Start a Prometheus, and an Alertmanager, beside the network, for as long as the place is there."""
        return self._stack.enter_context(
            Monitoring(home, watch, lambda command: self.network.command(_WATCHER, command))
        )

    def inside(self, call: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> _T:
        """Call it where these are to be reached."""
        return self._inside.run(call, *args, **kwargs)

    def failing_rules(self) -> list[str]:
        """The rules that could not be evaluated the last time."""
        return self.inside(self.monitoring.failing_rules)

    def _settled(self) -> bool:
        return self.inside(self.monitoring.ready) and bool(self.inside(self.monitoring.query, WHOLE))
