"""What the panels answer on made-up clusters, by the engine of a real Prometheus (promtool)."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import pytest
import yaml

from grafana.states import NO_MAJORITY, NO_WORD, NO_WORD_MARGIN, STATE_NUMBERS
from tests.conftest import Need
from tests.grafana.queries import load, queries

MEMBERS = ("n1", "n2", "n3")
ALIVE = "5m"
"""For how long the sidecars of a made-up cluster answer. They are asked at the end of it, or later."""
SCRAPES = 60

Views = Mapping[str, Mapping[str, str]]
"""By the node of each sidecar, the state in which it sees each member; those left out are online."""


class Answer(NamedTuple):
    """One series that a query gives at one moment."""

    labels: dict[str, str]
    value: float


@dataclass(frozen=True)
class Cluster:
    """What the sidecars of three members export, all the time that they answer."""

    name: str
    views: Views = field(default_factory=dict)
    isolated: tuple[str, ...] = ()
    overridden: str = ""

    def series(self) -> dict[str, float]:
        """Give every series with its value."""
        found: dict[str, float] = {}
        for node in MEMBERS:
            target = {"instance": f"{node}:9641", "job": "raft"}
            if self.name:
                target["cluster"] = self.name

            def export(metric: str, value: float, labels: dict[str, str] = target, **more: str) -> None:
                shown = ", ".join(f"{name}={json.dumps(text)}" for name, text in (labels | more).items())
                found[f"{metric}{{{shown}}}"] = value

            export("up", 1)
            export("raft_up", 1)
            export("raft_node_info", 1, id=node, address=f"{node}:7000", kind="", protocol_version="3")
            export("raft_node_isolated", float(node in self.isolated))
            export("raft_node_in_configuration", 1)
            export("raft_node_leader_info", 1, leader="n2", address="n2:7000")
            export("raft_node_leader_silence_seconds", 0.5)
            export("raft_node_term", 4)
            for role in ("leader", "follower", "candidate", "shutdown", "unknown"):
                export("raft_node_role", float(role == ("leader" if node == "n2" else "follower")), role=role)
            export("raft_exporter_threshold_seconds", 5.5, threshold="gone_after")
            for peer in MEMBERS:
                state = self.views.get(node, {}).get(peer, "online")
                export("raft_peer_info", 1, peer=peer, address=f"{peer}:7000", suffrage="voter")
                export("raft_peer_judged_state_age_seconds", 30, peer=peer)
                for each in STATE_NUMBERS:
                    export("raft_peer_judged_state", float(each == state), peer=peer, state=each)
                    export("raft_peer_state", float(each == state), peer=peer, state=each)
                masked = peer == self.overridden
                export("raft_peer_override", float(masked), peer=peer, state="ignore")
                expiry = 7200.0 if masked else 0.0
                export("raft_peer_override_expiry_timestamp_seconds", expiry, peer=peer)
        return found


class Asker:
    """Asks promtool what a panel's query gives, and reads the answer out of its complaint."""

    def __init__(self, tool: str, place: Path) -> None:
        self.tool, self.place = tool, place

    def __call__(
        self, *clusters: Cluster, dashboard: str, panel: str, ref: str = "A", at: str = ALIVE, **chosen: str
    ) -> list[Answer]:
        (asked,) = [
            query for query in queries(load(dashboard), **chosen) if (query.panel, query.ref) == (panel, ref)
        ]
        series = {name: value for cluster in clusters for name, value in cluster.series().items()}
        # It tells what it got only where that is not what was expected.
        unheard_of = {"labels": '{__name__="unheard_of"}', "value": -1}
        test = {
            "interval": "5s",
            "input_series": [
                # The target is there after its sidecar has gone, and does not answer.
                {
                    "series": name,
                    "values": f"{value}x{SCRAPES} " + ("0x200" if name.startswith("up{") else "stale"),
                }
                for name, value in series.items()
            ],
            "promql_expr_test": [{"expr": asked.expr, "eval_time": at, "exp_samples": [unheard_of]}],
        }
        path = self.place / "test.yml"
        path.write_text(yaml.safe_dump({"evaluation_interval": "5s", "tests": [test]}, width=10**6))
        result = subprocess.run(
            [self.tool, "test", "rules", str(path)], capture_output=True, text=True, check=False, timeout=60
        )
        said = (result.stdout + result.stderr).split("got:")
        assert len(said) == 2, said
        return sorted(
            _answers(said[1].strip().splitlines()[0]), key=lambda answer: sorted(answer.labels.items())
        )


def _answers(text: str) -> list[Answer]:
    """Read Go's way of writing samples: ``{a="b"} 1E+00, {...} 2E+00``; ``nil`` for none."""
    decoder = json.JSONDecoder()
    found: list[Answer] = []
    while text.startswith("{"):
        labels: dict[str, str] = {}
        text = text[1:]
        while not text.startswith("}"):
            name, _, text = text.partition("=")
            value, end = decoder.raw_decode(text)
            labels[name.strip(", ")] = value
            text = text[end:]
        value, _, text = text[1:].partition(",")
        found.append(Answer(labels, float(value)))
        text = text.strip()
    return found


@pytest.fixture
def ask(need: Need, tmp_path: Path) -> Asker:
    return Asker(need("promtool", lambda: shutil.which("promtool")), tmp_path)


def by(label: str, answers: list[Answer]) -> dict[str, float]:
    return {answer.labels[label]: answer.value for answer in answers}


KILLED: Views = {
    "n2": {"n1": "offline"},
    "n3": {"n1": "offline"},
    "n1": {"n1": "offline"},
}
CUT_OFF: Views = {
    "n1": {"n2": "unknown", "n3": "unknown"},
    "n2": {"n1": "offline"},
    "n3": {"n1": "offline"},
}


@pytest.mark.parametrize("name", ["", "orders"])
def test_all_is_well(ask: Asker, name: str) -> None:
    cluster = Cluster(name)
    shown = {"cluster": name or "All"}
    table = {"dashboard": "raft-fleet", "panel": "Clusters, worst margin first"}
    assert ask(cluster, **table, ref="A") == [Answer(shown, 1)]
    assert ask(cluster, **table, ref="B") == [Answer(shown, 3)]
    assert ask(cluster, **table, ref="D") == [Answer(shown | {"leader": "n2"}, 3)]
    assert ask(cluster, **table, ref="E") == [Answer(shown, 4)]
    assert ask(cluster, dashboard="raft-fleet", panel="Quorum lost") == [Answer({}, 0)]
    assert ask(cluster, dashboard="raft-cluster", panel="What is wrong now") == []
    states = ask(cluster, dashboard="raft-cluster", panel="State of each member")
    assert by("peer", states) == dict.fromkeys(MEMBERS, STATE_NUMBERS["online"])


@pytest.mark.parametrize("name", ["", "orders"])
def test_a_killed_member_is_offline_for_all_and_takes_the_margin(ask: Asker, name: str) -> None:
    cluster = Cluster(name, KILLED)
    assert ask(cluster, dashboard="raft-cluster", panel="Failure tolerance") == [Answer({}, 0)]
    assert ask(cluster, dashboard="raft-fleet", panel="At risk") == [Answer({}, 1)]
    problem = {"cluster": name or "All", "peer": "n1", "problem": "offline", "runbook": "raftpeeroffline"}
    assert ask(cluster, dashboard="raft-cluster", panel="What is wrong now", ref="A") == [Answer(problem, 30)]
    assert ask(cluster, dashboard="raft-cluster", panel="What is wrong now", ref="B") == [Answer(problem, 3)]


def test_who_is_cut_off_has_no_vote_and_is_named(ask: Asker) -> None:
    cluster = Cluster("orders", CUT_OFF, isolated=("n1",))
    states = ask(cluster, dashboard="raft-cluster", panel="State of each member")
    assert by("peer", states) == {"n1": STATE_NUMBERS["offline"], "n2": 1, "n3": 1}
    said = ask(cluster, dashboard="raft-cluster", panel="What is wrong now", ref="B")
    assert by("problem", said) == {"offline": 2, "reaches no majority": 1}
    assert {answer.labels["peer"] for answer in said} == {"n1"}
    matrix = ask(cluster, dashboard="raft-cluster", panel="Who sees whom, now")
    assert {(answer.labels["from"], answer.labels["peer"]): answer.value for answer in matrix} == {
        ("orders/n1", "n1"): 1,
        ("orders/n1", "n2"): STATE_NUMBERS["unknown"],
        ("orders/n1", "n3"): STATE_NUMBERS["unknown"],
        **{(f"orders/{node}", "n1"): STATE_NUMBERS["offline"] for node in ("n2", "n3")},
        **{(f"orders/{node}", peer): 1 for node in ("n2", "n3") for peer in ("n2", "n3")},
    }


def test_sidecars_that_are_split_give_no_majority(ask: Asker) -> None:
    views = {"n1": {"n3": "asymmetric"}, "n2": {"n3": "offline"}}
    states = ask(Cluster("orders", views), dashboard="raft-cluster", panel="State of each member")
    assert by("peer", states) == {"n1": 1, "n2": 1, "n3": NO_MAJORITY}


@pytest.mark.parametrize("name", ["", "orders"])
def test_what_nobody_speaks_of_any_more_is_drawn_as_no_word_and_later_not_at_all(
    ask: Asker, name: str
) -> None:
    cluster = Cluster(name)
    shown = {"cluster": name} if name else {}
    margin = {"dashboard": "raft-cluster", "panel": "Failure tolerance over time"}
    assert ask(cluster, **margin, at="8m") == [Answer(shown, NO_WORD_MARGIN)]
    assert ask(cluster, **margin, at="70m") == []
    states = ask(cluster, dashboard="raft-cluster", panel="State of each member", at="8m")
    assert by("peer", states) == dict.fromkeys(MEMBERS, NO_WORD)
    roles = ask(cluster, dashboard="raft-node", panel="Role", at="8m")
    assert by("reporter", roles) == dict.fromkeys(MEMBERS, NO_WORD)
    first = ask(cluster, dashboard="raft-fleet", panel="Clusters, worst margin first", at="8m")
    assert first == [Answer({"cluster": name or "All"}, NO_WORD_MARGIN)]
    wrong = ask(cluster, dashboard="raft-cluster", panel="What is wrong now", at="8m")
    assert {(each.labels["peer"], each.labels["problem"], each.value) for each in wrong} == {
        (node, "its sidecar does not answer", 180) for node in MEMBERS
    }


def test_an_override_is_shown_with_its_end(ask: Asker) -> None:
    cluster = Cluster("orders", KILLED, overridden="n1")
    shown = {"cluster": "orders", "peer": "n1", "state": "ignore"}
    overrides = {"dashboard": "raft-cluster", "panel": "Overrides"}
    assert ask(cluster, **overrides, ref="A") == [Answer(shown, 7_200_000)]
    assert ask(cluster, **overrides, ref="B") == [Answer(shown, 3)]
    assert ask(Cluster("orders", KILLED), **overrides, ref="A") == []


def test_several_clusters_are_kept_apart_and_one_can_be_chosen(ask: Asker) -> None:
    clusters = (Cluster("orders", KILLED), Cluster("stock"))
    margins = {"dashboard": "raft-fleet", "panel": "Clusters, worst margin first"}
    assert by("cluster", ask(*clusters, **margins)) == {"orders": 0, "stock": 1}
    assert by("cluster", ask(*clusters, **margins, cluster="stock")) == {"stock": 1}
    states = ask(*clusters, dashboard="raft-cluster", panel="State of each member", cluster="orders")
    assert by("peer", states) == {"n1": STATE_NUMBERS["offline"], "n2": 1, "n3": 1}
    matrix = ask(*clusters, dashboard="raft-cluster", panel="Who sees whom, now")
    assert len(matrix) == 2 * len(MEMBERS) ** 2
    lost = {"dashboard": "raft-fleet", "panel": "Failure tolerance of clusters that lost some"}
    assert by("cluster", ask(*clusters, **lost)) == {"orders": 0}


@pytest.mark.parametrize(("rules", "said"), [(True, "None: "), (False, "Not known: ")])
def test_the_variable_of_alerts_says_so_where_none_fires(ask: Asker, rules: bool, said: str) -> None:
    class Recorded(Cluster):
        def series(self) -> dict[str, float]:
            return {'cluster:raft_sidecars_down:sum{cluster="orders"}': 0.0} if rules else {}

    (answer,) = ask(Recorded("orders"), dashboard="raft-cluster", panel="alerts", ref="alerts")
    assert answer.labels["text"].startswith(said)


def test_the_variable_of_alerts_writes_each_with_its_link(ask: Asker) -> None:
    class Firing(Cluster):
        def series(self) -> dict[str, float]:
            firing = 'alertstate="firing", cluster="orders"'
            return {
                f'ALERTS{{alertname="RaftPeerOffline", severity="warning", peer="n1", {firing}}}': 1.0,
                f'ALERTS{{alertname="RaftQuorumAtRisk", severity="critical", {firing}}}': 1.0,
                'ALERTS{alertname="RaftQuorumAtRisk", alertstate="pending", cluster="stock"}': 1.0,
                f'ALERTS{{alertname="DiskFull", severity="critical", {firing}}}': 1.0,
            }

    found = ask(Firing("orders"), dashboard="raft-fleet", panel="alerts", ref="alerts")
    runbook = "https://github.com/raft-exporter/raft-exporter/blob/main/docs/runbook.md"
    assert [answer.labels["text"].strip() for answer in found] == [
        f"critical: [RaftQuorumAtRisk]({runbook}#raftquorumatrisk) orders",
        f"warning: [RaftPeerOffline]({runbook}#raftpeeroffline) orders n1",
    ]
