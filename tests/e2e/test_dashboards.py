"""Every query of every dashboard, asked of a real Prometheus about a cluster to which things happened."""

from __future__ import annotations

import socket
import time
from collections.abc import Collection, Iterator
from typing import Any, Final

import pytest
import requests
from msgspec import Struct

from raft_exporter.demo.cluster import until
from raft_exporter.demo.monitoring import Monitoring, Watch
from tests.chaos.hosts import Host
from tests.e2e.place import Place
from tests.e2e.site import PATIENCE
from tests.grafana.queries import Query, load, names, queries

pytestmark = pytest.mark.integration

_MOST_SERIES: Final = 300
"""Of five nodes: more can't be read, and would be a label too many in the query."""
_STEP: Final = 1.0
_EVERY: Final = [
    query
    for name in names()
    for query in queries(load(name), rate_interval="10s", range="5m", interval="1s")
    if query.kind != "label_values"
]
_NEED_RULES: Final = {"Alerts", "alerts"}


class Story(Struct):
    """What happened to five nodes: when each moment was (Unix time), and who watched it."""

    place: Place
    watchers: dict[str, Monitoring]
    moments: dict[str, float]

    def ask(self, watcher: str, path: str, **query: Any) -> Any:
        """Ask a Prometheus; an error it has is the test's."""
        url = f"{self.watchers[watcher].url}/api/v1/{path}"
        answer = self.place.inside(lambda: requests.get(url, params=query, timeout=30).json())
        assert answer["status"] == "success", (query, answer)
        assert not answer.get("warnings"), (query, answer)
        return answer["data"]

    def rows(self, watcher: str, query: Query) -> list[list[dict[str, Any]]]:
        """Give the series of a query: over the whole story, or, where it asks for now, at each moment."""
        if query.kind == "label_values":
            span = {"start": self.moments["begun"], "end": self.moments["over"]}
            values = self.ask(watcher, f"label/{query.label}/values", **{"match[]": query.expr}, **span)
            return [[{"metric": {query.label: value}} for value in values]]
        if query.kind == "instant":
            return [
                self.ask(watcher, "query", query=query.expr, time=moment)["result"]
                for moment in self.moments.values()
            ]
        span = {"start": self.moments["begun"], "end": self.moments["over"], "step": _STEP}
        return [self.ask(watcher, "query_range", query=query.expr, **span)["result"]]


def _happen(place: Place, watchers: Collection[Monitoring], moments: dict[str, float]) -> None:
    """Override, kill, freeze and part; note each moment, once every watcher has seen it.

    One sidecar also gets input that it has to reject, and one is killed.
    """
    leader = place.leader()
    ignored, killed, frozen, parted = [host for host in place.hosts if host is not leader]

    def sees(expression: str, among: Collection[Monitoring] = watchers) -> None:
        def seen() -> bool:
            return all(place.inside(watcher.query, expression) for watcher in among)

        until(expression, seen, PATIENCE)

    def whole() -> None:
        online = "count by (cluster) (raft_peer_judged_state{state='online'} == 1)"
        sees(f"min({online}) == {len(place.hosts) ** 2}")

    def said(state: str, member: Host) -> None:
        votes = f"sum by (cluster) (raft_peer_state{{peer='{member.id}', state='{state}'}})"
        sees(f"min({votes}) >= 3")

    whole()
    moments["whole"] = time.time()
    assert leader.override(ignored.id, "ignore")
    sees("min(sum by (cluster) (raft_peer_override{state='ignore'})) == 5")
    with socket.socket(socket.AF_UNIX) as stream:
        stream.connect(str(ignored.stream))
        stream.sendall(b"not a message\n")
        sees("sum(raft_exporter_rejected_total) >= 1")
    ignored.sidecar.kill()
    sees("min(sum by (cluster) (up == bool 0)) == 1")
    moments["a sidecar is gone"] = time.time()
    ignored.sidecar.start()

    killed.node.kill()
    said("offline", killed)
    firing = f"ALERTS{{alertname='RaftPeerOffline', peer='{killed.id}', alertstate='firing'}}"
    sees(firing, [place.monitoring])
    moments["killed"] = time.time()
    killed.node.start()
    whole()

    frozen.node.freeze()
    said("stalled", frozen)
    moments["frozen"] = time.time()
    frozen.node.thaw()
    whole()

    place.part([parted])
    said("offline", parted)
    sees("min(sum by (cluster) (raft_node_isolated)) == 1")
    moments["parted"] = time.time()
    place.network.mend()
    whole()


@pytest.fixture(scope="module")
def story(alerting_parts: None, ip: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    home = tmp_path_factory.mktemp("dashboards")
    begun = time.time()
    with Place(ip, home) as place:
        watchers = {"one": place.monitoring}
        for name, clusters in {"several": ("orders", "billing"), "none": ("",)}.items():
            (home / name).mkdir()
            targets = dict.fromkeys(clusters, place.targets)
            watchers[name] = place.watched(home / name, Watch(targets))
        moments = {"begun": begun}
        _happen(place, watchers.values(), moments)
        moments["over"] = time.time()
        yield Story(place, watchers, moments)


@pytest.mark.parametrize("watcher", ["one", "several", "none"])
def test_every_query_answers_with_data_and_not_with_too_much(story: Story, watcher: str) -> None:
    silent, large = [], {}
    for query in _EVERY:
        answers = story.rows(watcher, query)
        most = max(len(rows) for rows in answers)
        if not most and not (watcher != "one" and query.panel in _NEED_RULES):
            silent.append((query.dashboard, query.panel, query.ref))
        if most > _MOST_SERIES * (2 if watcher == "several" else 1):
            large[query] = most
    assert silent == []
    assert large == {}


@pytest.mark.parametrize(
    ("watcher", "clusters"),
    [("one", [Place.CLUSTER]), ("several", ["billing", "orders"]), ("none", [])],
)
def test_the_variables_resolve(story: Story, watcher: str, clusters: list[str]) -> None:
    for name in names():
        found = {
            query.panel: sorted(row["metric"][query.label] for row in story.rows(watcher, query)[0])
            for query in queries(load(name))
            if query.kind == "label_values"
        }
        assert found == {"cluster": clusters, "job": ["raft"], "instance": sorted(story.place.targets)}, name


def test_a_chosen_cluster_leaves_the_other_out(story: Story) -> None:
    for name in names():
        for query in queries(load(name), cluster="orders", rate_interval="10s", range="5m"):
            if query.origin == "panel":
                told = {
                    row["metric"].get("cluster", "orders")
                    for rows in story.rows("several", query)
                    for row in rows
                }
                assert told <= {"orders"}, (query.dashboard, query.panel, query.expr)
