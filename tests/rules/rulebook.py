"""The shipped rules, parsed, and the labels of all that they read."""

from __future__ import annotations

import re
from typing import Any, Final

import yaml
from msgspec import Struct
from promql_parser import Expr, parse

from raft_exporter.metrics import METRICS
from raft_exporter.shipped import rule_texts
from tests.rules.promql import Labels, arms, labels


class Rule(Struct, frozen=True):
    """One rule: ``name`` is that of the alert or of the recorded series."""

    name: str
    source: dict[str, Any]
    expression: Expr


def _read() -> list[Rule]:
    return [
        Rule(rule.get("alert") or rule["record"], rule, parse(rule["expr"]))
        for text in rule_texts().values()
        for group in yaml.safe_load(text)["groups"]
        for rule in group["rules"]
    ]


RULES: Final = _read()
ALERTS: Final = [rule for rule in RULES if "alert" in rule.source]
RECORDS: Final = [rule for rule in RULES if "record" in rule.source]
TARGET: Final = frozenset({"cluster", "job", "instance"})
_KNOWN: Final[dict[str, Labels]] = {metric.name: TARGET | set(metric.labels) for metric in METRICS} | {
    "up": TARGET,
    "ALERTS": TARGET | {"alertname", "alertstate", "severity", "peer", "reporter", "source"},
}


def _recorded() -> dict[str, Labels]:
    """The labels of each recorded series, by the first part of its rule: the others may read the rule itself.

    KeyError where a rule reads what does not exist, or is recorded only after it.
    """
    found: dict[str, Labels] = {}
    for rule in RECORDS:
        known = _KNOWN | found
        found[rule.name] = labels(arms(rule.expression)[0], known.__getitem__)
    return found


ALL: Final = _KNOWN | _recorded()
"""The labels of whatever a rule may read, by name."""


def templates(rule: Rule) -> list[tuple[str, list[str]]]:
    """The queries of an alert's description, each with the labels that are put into it."""
    found = re.findall(
        r'printf "([^"]+)"((?: \$labels\.\w+)*) \| query', rule.source["annotations"]["description"]
    )
    return [(query, re.findall(r"\$labels\.(\w+)", arguments)) for query, arguments in found]
