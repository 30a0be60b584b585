"""What happens to a cluster while rule sets are compared, and whether anybody is to be paged for it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Final

from msgspec import Struct

from raft_exporter.client import SidecarClient
from raft_exporter.demo.cluster import Cluster, Node, Process, until

_PATIENCE: Final = 120.0
_REST: Final = threading.Event()
"""Never set: to wait on it is to let real time pass, which is what these rules need."""


class Incident(Struct, frozen=True):
    """``happen`` does it, takes ``lasts`` seconds of it, and mends it.

    ``pages`` is whether somebody has to get up: nothing is written any more, or the next failure does that.
    """

    happen: Callable[[Cluster, float], None]
    pages: bool
    size: int = 3


def kill(cluster: Cluster, lasts: float) -> None:
    """``kill -9`` of a follower."""
    victim = cluster.followers()[0]
    victim.kill()
    _REST.wait(lasts)
    victim.start()


def freeze(cluster: Cluster, lasts: float) -> None:
    """``kill -STOP`` of the leader."""
    victim = cluster.leader()
    victim.freeze()
    _REST.wait(lasts)
    victim.thaw()


def stall(cluster: Cluster, lasts: float) -> None:
    """The leader's log store hangs."""
    victim = cluster.leader()
    victim.fault("log", "stall")
    victim.put("bench", "hangs")
    _REST.wait(lasts)
    victim.fault("log", "release")


def lose(cluster: Cluster, lasts: float) -> None:
    """``kill -9`` of two of three."""
    victims = cluster.followers()
    for victim in victims:
        victim.kill()
    _REST.wait(lasts)
    for victim in victims:
        victim.start()


def crash(cluster: Cluster, lasts: float) -> None:
    """A follower that lives for ten seconds at a time, and is dead for two."""
    victim = cluster.followers()[0]
    end = time.monotonic() + lasts
    while time.monotonic() < end:
        victim.kill()
        _REST.wait(2)
        victim.start()
        _REST.wait(10)


def roll(cluster: Cluster, _lasts: float) -> None:
    """Every node is stopped, started five seconds later, and waited for: a rolling restart."""
    for node in list(cluster.nodes.values()):
        _restart(node, 5)
        until("online again", lambda n=node: _online(cluster, n), _PATIENCE)  # type: ignore[misc]


def maintain(cluster: Cluster, lasts: float) -> None:
    """An operator takes a follower out of service for planned work, and says so."""
    victim = cluster.followers()[0]
    desk = SidecarClient(cluster.sidecars[cluster.leader().id].url)
    desk.set_override(victim.id, "ignore", lasts + 300, "eve", "disk swap")
    _REST.wait(5)
    victim.stop()
    _REST.wait(lasts)
    victim.start()
    until("online again", lambda: _online(cluster, victim), _PATIENCE)
    desk.clear_override(victim.id, "eve", "done")


def unwatch(cluster: Cluster, lasts: float) -> None:
    """A sidecar dies; the cluster is well."""
    sidecar = cluster.sidecars[cluster.followers()[0].id]
    sidecar.kill()
    _REST.wait(lasts)
    sidecar.start()


INCIDENTS: Final = {
    "kill -9 of a follower": Incident(kill, pages=True),
    "frozen leader": Incident(freeze, pages=True),
    "stalled leader store": Incident(stall, pages=True),
    "loss of quorum": Incident(lose, pages=True),
    "crash loop": Incident(crash, pages=True),
    "one of five killed": Incident(kill, pages=False, size=5),
    "rolling restart": Incident(roll, pages=False),
    "planned work": Incident(maintain, pages=False),
    "a sidecar dies": Incident(unwatch, pages=False),
}


def _restart(process: Process, down: float) -> None:
    process.stop()
    _REST.wait(down)
    process.start()


def _online(cluster: Cluster, node: Node) -> bool:
    return all(sidecar.states().get(node.id) == "online" for sidecar in cluster.sidecars.values())
