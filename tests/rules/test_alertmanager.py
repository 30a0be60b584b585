"""The example for Alertmanager: who is told of which alert, and which alert hides which."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from raft_exporter.shipped import rule_texts
from tests.conftest import Need

CONFIG: Final = Path(__file__).parents[2] / "deploy" / "alertmanager" / "alertmanager.yml"
RECEIVERS: Final = {"critical": "pager", "warning": "ticket", "info": "nobody"}
ALERTS: Final = {
    rule["alert"]: rule
    for group in yaml.safe_load(rule_texts()["raft.alerts.yml"])["groups"]
    for rule in group["rules"]
}
SETTINGS: Final[dict[str, Any]] = yaml.safe_load(CONFIG.read_text())
MATCHER: Final = re.compile(r'(\w+) (=~|=) "?([^"]+)"?')
Labels = dict[str, str]

every_alert = pytest.mark.parametrize("name", ALERTS)


@pytest.fixture(scope="module")
def amtool(need: Need) -> str:
    return need("amtool", lambda: shutil.which("amtool"))


def run(*command: str) -> str:
    result = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


def receiver(amtool: str, **labels: str) -> str:
    told = [f"{name}={value}" for name, value in labels.items()]
    return run(amtool, "config", "routes", "test", f"--config.file={CONFIG}", *told).strip()


def of(name: str, *, cluster: str = "orders", peer: str = "n1") -> Labels:
    """The labels with which an alert of that name may arrive."""
    return {
        "alertname": name,
        "severity": ALERTS[name]["labels"]["severity"],
        "cluster": cluster,
        "peer": peer,
    }


def matches(matchers: list[str], labels: Labels) -> bool:
    found = [MATCHER.fullmatch(matcher) for matcher in matchers]
    assert all(found), matchers
    return all(
        re.fullmatch(value if sign == "=~" else re.escape(value), labels.get(label, ""))
        for label, sign, value in (match.groups() for match in found if match)
    )


def hides(source: Labels, target: Labels) -> bool:
    """Whether the first inhibits the second (Alertmanager's inhibit.go)."""
    return any(
        matches(rule["source_matchers"], source)
        and matches(rule["target_matchers"], target)
        and all(source.get(label, "") == target.get(label, "") for label in rule["equal"])
        for rule in SETTINGS["inhibit_rules"]
    )


def hidden_by(name: str) -> set[str]:
    return {other for other in ALERTS if hides(of(name), of(other))}


def test_amtool_takes_the_configuration(amtool: str) -> None:
    assert "SUCCESS" in run(amtool, "check-config", str(CONFIG))


@every_alert
def test_who_is_told_of_an_alert_follows_from_its_severity(amtool: str, name: str) -> None:
    labels = of(name)
    assert receiver(amtool, **labels) == RECEIVERS[labels["severity"]]


def test_the_alerts_of_others_are_left_to_others(amtool: str) -> None:
    assert receiver(amtool, alertname="NodeDown", severity="critical", cluster="orders") == "nobody"


def test_every_alert_that_the_configuration_names_exists() -> None:
    matchers = [matcher for route in SETTINGS["route"]["routes"] for matcher in route["matchers"]]
    for rule in SETTINGS["inhibit_rules"]:
        matchers += [*rule["source_matchers"], *rule["target_matchers"]]
    patterns = {
        match[3] for each in matchers if (match := MATCHER.fullmatch(each)) and match[1] == "alertname"
    }
    assert {name for pattern in patterns - {"Raft.+"} for name in pattern.split("|")} <= set(ALERTS)


def test_a_lost_quorum_hides_its_consequences_in_the_same_cluster_alone() -> None:
    of_members = {
        name for name in ALERTS if name not in {"RaftQuorumLost", "RaftSplitBrain", "RaftNoReporters"}
    }
    loud = {name for name in of_members if ALERTS[name]["labels"]["severity"] != "info"}
    assert hidden_by("RaftQuorumLost") == loud
    assert not any(hides(of("RaftQuorumLost"), of(name, cluster="billing")) for name in ALERTS)


def test_an_offline_member_hides_what_follows_from_that_of_the_same_member_alone() -> None:
    hidden = hidden_by("RaftPeerOffline")
    assert {"RaftFollowerLagging", "RaftSourceDown", "RaftNodeStalled", "RaftPartialPartition"} <= hidden
    assert not hidden & {name for name, rule in ALERTS.items() if rule["labels"]["severity"] == "critical"}
    assert not any(hides(of("RaftPeerOffline"), of(name, peer="n2")) for name in ALERTS)
    assert not any(hides(of("RaftPeerOffline"), of(name, cluster="billing")) for name in ALERTS)


def test_a_sidecar_that_is_down_hides_nothing() -> None:
    assert hidden_by("RaftExporterDown") == set()


@every_alert
def test_no_two_alerts_hide_each_other(name: str) -> None:
    assert not {other for other in hidden_by(name) if name in hidden_by(other)}


@every_alert
def test_without_a_cluster_label_the_same_is_hidden(name: str) -> None:
    assert {other for other in ALERTS if hides(of(name, cluster=""), of(other, cluster=""))} == hidden_by(
        name
    )


@every_alert
def test_an_alert_is_kept_at_least_as_long_as_what_it_hides(name: str) -> None:
    """Or the end of an incident would announce what it had hidden."""
    shorter = {other for other in hidden_by(name) if kept(name) < kept(other)}
    assert shorter == set()


def kept(name: str) -> int:
    """Minutes of keep_firing_for."""
    return int(ALERTS[name].get("keep_firing_for", "0m").removesuffix("m"))
