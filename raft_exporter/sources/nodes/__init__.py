"""One adapter a system: what the node's own API says, as evidence."""

from __future__ import annotations

from typing import Final

from raft_exporter.schema import ApiConfig, Kind
from raft_exporter.secret import Secret
from raft_exporter.sources.nodes.adapter import Adapter
from raft_exporter.sources.nodes.consul import ConsulAdapter
from raft_exporter.sources.nodes.json_api import JsonAdapter
from raft_exporter.sources.nodes.nomad import NomadAdapter
from raft_exporter.sources.nodes.rqlite import RqliteAdapter
from raft_exporter.sources.nodes.vault import VaultAdapter


def adapter_of(kind: Kind, config: ApiConfig) -> Adapter:
    """Make the adapter of a kind."""
    match kind:
        case "consul":
            return ConsulAdapter()
        case "nomad":
            return NomadAdapter()
        case "vault":
            return VaultAdapter()
        case "rqlite":
            return RqliteAdapter()
        case "json":
            return JsonAdapter(config.fields)


_ADAPTERS: Final[dict[Kind, type[Adapter]]] = {
    "consul": ConsulAdapter,
    "nomad": NomadAdapter,
    "vault": VaultAdapter,
    "rqlite": RqliteAdapter,
    "json": JsonAdapter,
}


def headers_of(kind: Kind | None, token: Secret | None) -> dict[str, str]:
    """Give what a question to a node of this kind bears; nothing while the kind is not known."""
    return {} if kind is None else _ADAPTERS[kind].headers(token)
