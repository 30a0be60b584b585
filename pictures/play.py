"""The incident: one of three nodes is killed, and started again, under the shipped rules as they stand."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from pictures.incident import STEP, AlertRow, Event, Incident, Row, Told, alert_rows, row, tellings
from raft_exporter.demo.cluster import Cluster, Settings, SidecarProcess, until
from raft_exporter.demo.monitoring import WHOLE, Monitoring, Watch, shipped_rules, told_to
from raft_exporter.demo.receiver import Receiver
from raft_exporter.demo.writer import Writer
from raft_exporter.errors import DemoError
from raft_exporter.shipped import rule_texts

_CLUSTER: Final = "orders"
_SIZE: Final = 3
_SCRAPES: Final = "5s"
"""As the README has them."""
_MARGIN: Final = "cluster:raft_failure_tolerance:sum"
_AROUND: Final = 45.0
"""Seconds that are shown of the time before the fault, and after the end."""
_DOWN_FOR: Final = 120.0
"""Seconds until somebody has started the node again."""
_PATIENCE: Final = 600.0
_LOOK: Final = 1.0


def play(home: Path, look: Callable[[SidecarProcess], None]) -> Incident:
    """Kill a follower, start it again, and wait until everything that was told is taken back.

    ``look`` is called with the leader's sidecar as soon as somebody was told. DemoError when something does
    not come to pass, or Prometheus or Alertmanager are not installed.
    """
    cluster, receiver = Cluster(home, _SIZE, Settings(store="bolt")), Receiver()
    watch = Watch({_CLUSTER: cluster.targets}, shipped_rules(home), _SCRAPES, told_to(receiver.url))
    monitoring = Monitoring(home, watch)
    if len(monitoring.processes) < 2:
        raise DemoError("needs Prometheus and Alertmanager")
    with receiver, monitoring, cluster, Writer(list(cluster.nodes.values())):
        _wait("that the rules see a whole cluster", lambda: _holds(monitoring, WHOLE))
        time.sleep(_AROUND)
        leader, node = cluster.leader(), cluster.followers()[-1]
        since = time.time()
        node.kill()
        _wait("that somebody is told", lambda: bool(receiver.notifications))
        look(cluster.sidecars[leader.id])
        time.sleep(max(since + _DOWN_FOR - time.time(), 0))
        back = time.time() - since
        node.start()
        _wait("the end of all alerts", lambda: _over(tellings(receiver.notifications, since)))
        time.sleep(_AROUND)
        alerts, margin, sights = _seen(monitoring, cluster, node.id, since)
        return Incident(
            title=f"One of three nodes is killed, and started again {_DOWN_FOR / 60:g} minutes later",
            node=node.id,
            scraped=_SCRAPES,
            start=-_AROUND,
            end=time.time() - since,
            events=(Event(0.0, f"kill -9 of {node.id}"), Event(back, f"{node.id} is started again")),
            margin=margin,
            sights=sights,
            alerts=alerts,
            told=tellings(receiver.notifications, since),
        )


def _seen(
    monitoring: Monitoring, cluster: Cluster, node: str, since: float
) -> tuple[tuple[AlertRow, ...], Row, tuple[Row, ...]]:
    """Ask Prometheus for the alerts, the margin, and what each sidecar said of the node."""

    def ask(expression: str) -> list[tuple[dict[str, str], list[float]]]:
        return monitoring.query_range(expression, since - _AROUND, time.time(), STEP)

    margin = [
        (f"{count}" if count else "none", times)
        for count in range(_SIZE)
        for _, times in ask(f"{_MARGIN} == {count}")
    ]
    said = ask(f'raft_peer_state{{peer="{node}"}} == 1')
    sights = []
    for each, sidecar in cluster.sidecars.items():
        place = sidecar.url.removeprefix("http://")
        states = [(labels["state"], times) for labels, times in said if labels["instance"] == place]
        sights.append(row(f"sidecar of {each}", "its own" if each == node else "", states, since))
    alerts = alert_rows(ask("ALERTS"), since, rule_texts().values())
    return alerts, row("voters that may fail", "by the rules", margin, since), tuple(sights)


def _holds(monitoring: Monitoring, expression: str) -> bool:
    return monitoring.ready() and bool(monitoring.query(expression))


def _over(told: Sequence[Told]) -> bool:
    last = {(each.receiver, each.alert, each.about): each.status for each in told}
    return set(last.values()) == {"resolved"}


def _wait(what: str, so: Callable[[], bool]) -> None:
    def look() -> bool:
        time.sleep(_LOOK)
        return so()

    until(what, look, _PATIENCE)
