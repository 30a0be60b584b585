from __future__ import annotations

import asyncio
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from bench import fleet
from bench._fleet_cluster import NODES, VICTIM, SyntheticCluster, only, read_by, series
from bench._fleet_prometheus import Evaluations, intervals, paced
from bench._fleet_server import Fleet, configuration
from raft_exporter.metrics import METRICS
from tests.conftest import Need

RULES = """\
groups:
  - name: one
    rules:
      # raft_node_term is not read
      - record: cluster:raft_up:sum
        expr: sum by (cluster) (raft_up)
      - alert: Down
        expr: raft_peer_state{state="offline"} == 1 or raft_peer_probe_duration_seconds_bucket
        annotations:
          summary: One is down.
          description: '{{ query "raft_peer_term" }}'
"""


def answer(*groups: tuple[str, float, str, float, list[tuple[str, float]]]) -> dict[str, Any]:
    return {
        "data": {
            "groups": [
                {
                    "name": name,
                    "interval": interval,
                    "lastEvaluation": at,
                    "evaluationTime": seconds,
                    "rules": [
                        {"name": rule, "lastEvaluation": at, "evaluationTime": took} for rule, took in rules
                    ],
                }
                for name, interval, at, seconds, rules in groups
            ]
        }
    }


def cost(clusters: int, load: float, missed: int = 0) -> fleet.Cost:
    return fleet.Cost(
        clusters=clusters,
        exported=2780 * clusters,
        loaded=890 * clusters,
        recorded=146 * clusters,
        alerts=clusters // 50,
        groups={"raft.rules": load / 2, "raft.peers": load / 4},
        rules={f"raft.rules[{n}] r{n}": load / (n + 2) for n in range(8)},
        load=load,
        cpu=2 * load,
        missed=missed,
        memory=2**30,
    )


def states(cluster: SyntheticCluster, node: str) -> dict[str, str]:
    families = text_string_to_metric_families(cluster.text(node))
    samples = [sample for family in families for sample in family.samples]
    return {
        sample.labels["peer"]: sample.labels["state"]
        for sample in samples
        if sample.name == "raft_peer_judged_state" and sample.value
    }


@pytest.mark.parametrize("node", NODES)
def test_every_sidecar_of_a_cluster_judges_as_a_real_one_does(node: str) -> None:
    assert states(SyntheticCluster(faulty=False), node) == dict.fromkeys(NODES, "online")
    dead = dict.fromkeys(NODES, "online") | {VICTIM: "offline"}
    assert states(SyntheticCluster(faulty=True), node) == dead


def test_a_sidecar_exports_every_metric_of_the_catalogue() -> None:
    text = SyntheticCluster(faulty=False).text("n1")
    assert [metric.name for metric in METRICS if f"# TYPE {metric.name} " not in text] == []


def test_what_the_rules_read_is_found_in_expressions_and_annotations_alone() -> None:
    assert read_by(RULES) == {
        "raft_up",
        "raft_peer_state",
        "raft_peer_probe_duration_seconds",
        "raft_peer_term",
    }


def test_every_metric_that_the_shipped_rules_read_is_exported() -> None:
    text = SyntheticCluster(faulty=False).text("n1")
    for path in fleet.RULES:
        for name in read_by(path.read_text()):
            assert series(only(text, frozenset({name}))), name


def test_an_exposition_is_cut_down_to_whole_families() -> None:
    text = (
        "# HELP raft_up Whether.\n# TYPE raft_up gauge\nraft_up 1.0\n"
        "# HELP raft_up_too Long.\n# TYPE raft_up_too histogram\n"
        'raft_up_too_bucket{le="+Inf"} 1.0\nraft_up_too_count 1.0\nraft_up_too_sum 1.0\n'
    )
    assert series(text) == 4
    assert only(text, frozenset({"raft_up"})) == "".join(text.splitlines(keepends=True)[:3])
    assert series(only(text, frozenset({"raft_up_too"}))) == 3


def test_prometheus_finds_five_sidecars_a_cluster_and_a_dead_member_in_one_of_fifty() -> None:
    (job,) = yaml.safe_load(configuration(100, "127.0.0.1:1", 15, [Path("a.yml")]))["scrape_configs"]
    labels = [target["labels"] for target in job["static_configs"]]
    assert len({each["instance"] for each in labels}) == 500
    assert len({each["cluster"] for each in labels}) == 100
    faulty = {each["cluster"] for each in labels if each["__metrics_path__"].startswith("/faulty/")}
    assert faulty == {"c49", "c99"}


def test_the_series_of_a_fleet_are_those_of_its_clusters() -> None:
    served = Fleet(frozenset({"raft_up"}))
    exported, loaded = served.exported(100)
    assert loaded == 500
    assert exported == 98 * served.exported(1)[0] + 2 * (served.exported(50)[0] - 49 * served.exported(1)[0])


def test_every_evaluation_counts_once_and_the_median_of_them_is_given() -> None:
    evaluations = Evaluations()
    told = (("t0", 9.0), ("t1", 0.1), ("t1", 0.1), ("t2", 0.9), ("t2", 0.9), ("t2", 0.9), ("t3", 0.2))
    for at, seconds in told:
        slow = ("slow", 30, "t0" if at == "t0" else "t1", 0.6, [("a", 0.6)])
        evaluations.take(answer(("fast", 30, at, seconds, [("a", seconds / 2)]), slow))
    assert evaluations.groups() == {"fast": 0.2, "slow": 0.6}
    assert evaluations.rules() == {"fast[0] a": 0.1, "slow[0] a": 0.6}
    assert evaluations.load({"fast": 5, "slow": 60}) == pytest.approx(0.2 / 5 + 0.6 / 60)


def test_rules_are_evaluated_at_one_pace_and_what_they_say_stays() -> None:
    shipped = "groups: [{name: a, interval: 1m, rules: [{record: r, expr: up}]}]"
    assert intervals(shipped) == {"a": 60}
    assert intervals(paced(shipped, 30)) == {"a": 30}
    for path in fleet.RULES:
        groups, same = (
            yaml.safe_load(text)["groups"] for text in (path.read_text(), paced(path.read_text(), 30))
        )
        assert [group["rules"] for group in groups] == [group["rules"] for group in same]


def test_growth_is_one_where_the_load_grows_as_the_fleet_does() -> None:
    assert fleet.growth([cost(1, 0.01), cost(100, 1.0), cost(1000, 20.0)]) == [None, 1.0, 2.0]


def test_three_tables_tell_sizes_groups_and_the_costliest_rules() -> None:
    sizes, groups, rules = fleet.lay_out([cost(100, 1.0), cost(1000, 20.0, missed=3)]).split("\n\n")
    first, last = sizes.splitlines()[2:]
    assert [cell.strip() for cell in first.split("|")][1:6] == ["100", "278,000", "89,000", "14,600", "2"]
    assert [cell.strip() for cell in last.split("|")][6:11] == ["20,000.0", "40,000.0", "20,000", "2.00", "3"]
    assert [line.split()[1] for line in groups.splitlines()[2:]] == ["raft.rules", "raft.peers"]
    assert [line.split()[1] for line in rules.splitlines()[2:]] == [f"raft.rules[{n}]" for n in range(6)]


@pytest.mark.integration
def test_a_real_prometheus_evaluates_the_shipped_rules_over_a_fleet(need: Need) -> None:
    need("prometheus", lambda: shutil.which("prometheus"))
    measured = asyncio.run(fleet.measure(1, scrape=1.0, interval=1.0, settle=0.0, watch=3.0))
    assert measured.loaded < measured.exported
    assert measured.recorded > 0
    assert measured.groups["raft.rules"] > 0
    assert measured.cpu > 0
    assert measured.missed == 0
