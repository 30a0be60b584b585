"""Every query of a dashboard, with values in place of its variables: what Prometheus would be asked."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple, TypeAlias

ROOT: Final = Path(__file__).parents[2]
DASHBOARDS: Final = ROOT / "grafana" / "dashboards"

Kind: TypeAlias = Literal["range", "instant", "label_values", "annotation"]

_LABEL_VALUES: Final = re.compile(r"label_values\((.+), *(\w+)\)")
_QUERY_RESULT: Final = re.compile(r"query_result\((.+)\)", re.DOTALL)
_VARIABLE: Final = re.compile(r"\$\{?([a-z_]\w*)\}?")


class Query(NamedTuple):
    """One query: of which dashboard and panel (or variable, or annotation), and what is asked."""

    dashboard: str
    panel: str
    ref: str
    expr: str
    kind: Kind
    """``label_values``: the values of ``label`` in the series that ``expr`` selects; a variable that is a
    ``query_result`` is an instant query; an annotation is a range query."""
    label: str = ""
    origin: Literal["panel", "variable", "annotation"] = "panel"


def load(name: str) -> dict[str, Any]:
    """Read a dashboard that is checked in, such as ``raft-fleet``."""
    data: dict[str, Any] = json.loads((DASHBOARDS / f"{name}.json").read_text(encoding="utf-8"))
    return data


def names() -> list[str]:
    """Give the names of all dashboards that are checked in."""
    return sorted(path.stem for path in DASHBOARDS.glob("*.json"))


def panels(dashboard: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Give the panels, those of folded rows too, and not the rows."""
    for panel in dashboard["panels"]:
        if panel["type"] != "row":
            yield panel
        yield from panel.get("panels", [])


def queries(
    dashboard: dict[str, Any],
    *,
    cluster: str = ".*",
    job: str = ".+",
    instance: str = ".+",
    rate_interval: str = "1m",
    range: str = "1h",  # noqa: A002 - Grafana's own name for it
    interval: str = "15s",
) -> list[Query]:
    """Give all queries. The defaults are what Grafana fills in while nothing is chosen.

    ``cluster``, ``job`` and ``instance`` are regular expressions, as Grafana makes of what is chosen: ``a``,
    ``(a|b)``. Raises KeyError for a variable that is none of Grafana's and none of these.
    """
    values = {
        "cluster": cluster,
        "job": job,
        "instance": instance,
        "__rate_interval": rate_interval,
        "__range": range,
        "__interval": interval,
    }

    def filled(text: str) -> str:
        return _VARIABLE.sub(lambda found: values[found[1]], text)

    title = dashboard["title"]
    found = [
        Query(
            title,
            panel["title"],
            target["refId"],
            filled(target["expr"]),
            "instant" if target.get("instant") else "range",
        )
        for panel in panels(dashboard)
        for target in panel.get("targets", [])
    ]
    found += [
        _of_variable(title, variable["name"], filled(variable["query"]["query"]))
        for variable in dashboard["templating"]["list"]
        if variable["type"] == "query"
    ]
    found += [
        Query(title, note["name"], "Anno", filled(note["expr"]), "annotation", origin="annotation")
        for note in dashboard["annotations"]["list"]
    ]
    return found


def _of_variable(title: str, name: str, text: str) -> Query:
    if values := _LABEL_VALUES.fullmatch(text):
        return Query(title, name, name, values[1], "label_values", values[2], origin="variable")
    if result := _QUERY_RESULT.fullmatch(text):
        return Query(title, name, name, result[1], "instant", origin="variable")
    raise ValueError(f"{title}, variable {name}: expected label_values or query_result, got {text}")
