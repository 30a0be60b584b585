"""The pure parts of the paging benchmark and of the comparison of rule sets."""

from __future__ import annotations

import pytest
import yaml

from bench._incidents import INCIDENTS
from bench._pages import FAULTS, PHASES, Moments, split, verdict_of_most
from bench._witness import Word
from bench.comparison import BASELINES, LATE, Verdict, judged, routed
from raft_exporter.demo.monitoring import told_to
from raft_exporter.model.judge import State
from raft_exporter.shipped import rule_texts

MOMENTS = Moments(fault=100.0, verdict=100.5, evidence=118.0, pending=120.0, firing=130.0, told=136.0)


def test_the_phases_are_what_lies_between_the_moments() -> None:
    spans = split(MOMENTS, hold=15.0)
    assert tuple(spans) == PHASES
    assert list(spans.values()) == pytest.approx([0.5, 15.0, 2.5, 2.0, 10.0, 6.0, 36.0])


def test_what_came_too_early_takes_no_time() -> None:
    assert split(MOMENTS, hold=20.0)["scrape"] == 0


def test_the_verdict_is_that_of_most_sidecars_about_the_last_victim() -> None:
    def word(at: float, peer: str, state: State = State.OFFLINE) -> Word:
        return Word(at=at, peer=peer, state=state)

    said = [
        [word(99, "n2"), word(102, "n2"), word(103, "n3")],
        [word(101, "n2"), word(101, "n3", State.SUSPECT), word(105, "n3")],
        [word(104, "n3")],
    ]
    assert verdict_of_most(said, ["n2"], State.OFFLINE, since=100) == 102
    assert verdict_of_most(said, ["n2", "n3"], State.OFFLINE, since=100) == 104


def test_every_page_stands_on_a_rule_that_is_shipped() -> None:
    rules = [
        rule
        for text in rule_texts().values()
        for group in yaml.safe_load(text)["groups"]
        for rule in group["rules"]
    ]
    names = {rule.get("record", rule.get("alert")) for rule in rules}
    pages = [page for fault in FAULTS.values() for page in fault.pages]
    assert {name for page in pages for name in (page.alert, page.record)} <= names


@pytest.mark.parametrize(
    ("pages", "wanted", "verdict"),
    [
        ([], True, Verdict(0, 0, 1, 0, 0, None)),
        ([20.0], True, Verdict(1, 0, 0, 0, 0, 20.0)),
        ([LATE + 1], True, Verdict(0, 1, 0, 0, 0, LATE + 1)),
        ([20.0, 30.0, 90.0], True, Verdict(1, 0, 0, 0, 2, 20.0)),
        ([], False, Verdict(0, 0, 0, 0, 0, None)),
        ([5.0, 7.0], False, Verdict(0, 0, 0, 2, 0, 5.0)),
    ],
)
def test_pages_are_true_late_missed_false_or_duplicates(
    pages: list[float], wanted: bool, verdict: Verdict
) -> None:
    assert judged(pages, wanted=wanted) == verdict


def test_every_rule_set_has_its_own_receiver_and_ours_goes_where_it_is_shipped_to() -> None:
    sets = {
        rule["labels"]["ruleset"]
        for group in yaml.safe_load(BASELINES.read_text())["groups"]
        for rule in group["rules"]
    }
    config = yaml.safe_load(routed(told_to("http://127.0.0.1:1"), "http://127.0.0.1:1"))
    routes = {route["matchers"][0]: route["receiver"] for route in config["route"]["routes"]}
    assert {routes[f'ruleset = "{name}"'] for name in sets} == sets
    assert {"pager", "ticket", *sets} <= {receiver["name"] for receiver in config["receivers"]}


def test_there_is_something_to_be_paged_for_and_something_not() -> None:
    assert {incident.pages for incident in INCIDENTS.values()} == {True, False}
