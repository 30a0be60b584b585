"""What the SDK writes that Grafana 9.4 does not know, and the form that 9.4 and later ones both read.

The SDK is made for a later Grafana and writes that one's defaults into every panel. The schema version is
37: later Grafanas bring such a dashboard up to date when they load it (38 is that of table cells), 9.4
would not read a newer one. tests/grafana/test_release_9_4.py holds which fields there are.
"""

from __future__ import annotations

import json
from typing import Any, Final

from grafana_foundation_sdk.builders.dashboard import Dashboard
from grafana_foundation_sdk.cog.encoder import JSONEncoder

SCHEMA_VERSION: Final = 37

_LATER_OPTIONS: Final[dict[str, tuple[str, ...]]] = {
    "state-timeline": ("perPage",),
    "status-history": ("perPage",),
    "stat": ("wideLayout", "showPercentChange", "percentChangeColorMode"),
    "table": ("cellHeight",),
    "heatmap": ("selectionMode",),
    "barchart": ("fullHighlight",),
}
_LATER_IN_VARIABLES: Final = ("allowCustomValue", "auto", "auto_count", "auto_min", "staticOptions")


def document(dashboard: Dashboard) -> str:
    """Write the dashboard as JSON: the same bytes each time, every panel with a number of its own."""
    data: dict[str, Any] = json.loads(JSONEncoder().encode(dashboard.build()))
    data["schemaVersion"] = SCHEMA_VERSION
    data.setdefault("links", [])
    data["annotations"].setdefault("list", [])
    for number, panel in enumerate(data["panels"], start=1):
        panel["id"] = number
        for name in _LATER_OPTIONS.get(panel["type"], ()):
            panel["options"].pop(name, None)
        if panel["type"] == "heatmap":
            panel["options"]["tooltip"] = {"show": True, "yHistogram": False}
    for variable in data["templating"]["list"]:
        for name in _LATER_IN_VARIABLES:
            variable.pop(name, None)
        # What is not chosen by hand has no place in a link from one dashboard to another.
        variable["skipUrlSync"] = variable.get("hide") == 2
    for link in data["links"]:
        link.pop("placement", None)
    for annotation in data["annotations"]["list"]:
        annotation.pop("placement", None)
    return json.dumps(data, indent=2, sort_keys=True, ensure_ascii=False) + "\n"
