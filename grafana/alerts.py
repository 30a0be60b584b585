"""The alerts that fire, and where the runbook speaks of them.

An alert for a whole cluster has no ``instance``, so that no selector with ``instance=~"$instance"`` finds
it: panels can't ask for ``ALERTS``. A variable can, and so can an annotation.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import yaml

RUNBOOK: Final = "https://github.com/raft-exporter/raft-exporter/blob/main/docs/runbook.md"
FIRING: Final = 'ALERTS{alertname=~"Raft.+", alertstate="firing", cluster=~"$cluster"}'

_RULES: Final = Path(__file__).parents[1] / "rules" / "raft.alerts.yml"


def names() -> list[str]:
    """Give the names of all alerts, as the rules have them."""
    groups = yaml.safe_load(_RULES.read_text(encoding="utf-8"))["groups"]
    return [rule["alert"] for group in groups for rule in group["rules"]]


def anchor(alert: str) -> str:
    """Give the anchor of an alert's section in the runbook."""
    return alert.lower()


def firing() -> str:
    """Write each alert that fires as Markdown, in the label ``text``; a sentence where none does.

    Each links to the runbook. PromQL can't put a name into lower case as the anchors are, so each name is
    replaced by its own.
    """
    known = FIRING
    for alert in names():
        known = f'label_replace({known}, "anchor", "{anchor(alert)}", "alertname", "{alert}")'
    facts = f'label_join({known}, "facts", ";", "severity", "alertname", "anchor", "cluster", "peer")'
    text = f" $1: [$2]({RUNBOOK}#$3) $4 $5"
    written = f'label_replace({facts}, "text", "{text}", "facts", "(.*);(.*);(.*);(.*);(.*)")'
    return (
        f"group by (text) ({written}) or on () "
        + _sentence("group(cluster:raft_sidecars_down:sum)", "None: the rules are loaded, and nothing fires.")
        + " or on () "
        + _sentence("vector(1)", "Not known: this Prometheus has no rules of raft-exporter.")
    )


def _sentence(condition: str, sentence: str) -> str:
    return f'label_replace({condition}, "text", "{sentence}", "", "")'
