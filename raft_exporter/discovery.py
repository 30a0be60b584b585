"""Where the sidecars of all members are, as Prometheus' HTTP service discovery takes it (docs/api.md).

https://prometheus.io/docs/prometheus/latest/http_sd/
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final
from urllib.parse import urlsplit

from msgspec import Struct

from raft_exporter.errors import ConfigError
from raft_exporter.model.evidence import Server
from raft_exporter.model.table import Table
from raft_exporter.notation import parse_sidecar_url

_DEFAULT_PORTS: Final = {"http": 80, "https": 443}


class TargetGroup(Struct, frozen=True):
    """One member's sidecar: HOST:PORT, and labels that exist only while Prometheus relabels."""

    targets: tuple[str, ...]
    labels: dict[str, str]


def target_groups(
    table: Table, urls: Mapping[str, str], asked_at: str, now: float
) -> tuple[TargetGroup, ...] | None:
    """Give a group for each member whose sidecar's base URL is in ``urls``, sorted by id.

    The own sidecar, where its URL is not among them, is at ``asked_at``: the base URL of the request, which
    any client writes as it likes. None while it is not known who the members are, or where.
    """
    # Prometheus drops every target that is not in an answer, and keeps them all when there is none: so
    # ignorance has to be no answer.
    own = table.node.id
    if own is None or (table.configuration is None and not table.members.keys() - {own}):
        return None
    known = {own: asked_at} if _is_url(asked_at) else {}
    known |= urls
    # The others tell where more sidecars are with their first reports.
    young = now - table.started_at < table.policy.suspect_after
    if young and table.members.keys() - known.keys():
        return None
    found = [
        _group(member.server, known[id_]) for id_, member in sorted(table.members.items()) if id_ in known
    ]
    return tuple(found) or None


def _group(server: Server, url: str) -> TargetGroup:
    parts = urlsplit(url)
    labels = {
        "__scheme__": parts.scheme,
        "__meta_raft_peer": server.id,
        "__meta_raft_address": server.address,
        "__meta_raft_suffrage": str(server.suffrage),
    }
    port = "" if parts.port else f":{_DEFAULT_PORTS[parts.scheme]}"
    return TargetGroup((f"{parts.netloc}{port}",), labels)


def _is_url(text: str) -> bool:
    try:
        parse_sidecar_url(text)
    except ConfigError:
        return False
    return True
