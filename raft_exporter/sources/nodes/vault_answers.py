"""What Vault and OpenBao answer, endpoint by endpoint, checked.

Nothing is asked that a standby would forward: no ha-status, no autopilot.
"""

from __future__ import annotations

from typing import Annotated, Final

import msgspec
from msgspec import Meta, Struct
from msgspec.json import Decoder

from raft_exporter.errors import NodeError
from raft_exporter.model.evidence import Configuration, Server, Suffrage
from raft_exporter.sources.node_api import Api
from raft_exporter.sources.nodes.reading import configuration, read
from raft_exporter.sources.nodes.vault_metrics import Metrics, read_metrics
from raft_exporter.sources.raft_stats import Address, Id

HEALTH: Final = "/v1/sys/health"
LEADER: Final = "/v1/sys/leader"
SEAL_STATUS: Final = "/v1/sys/seal-status"
CONFIGURATION: Final = "/v1/sys/storage/raft/configuration"
METRICS: Final = "/v1/sys/metrics"

_Index = Annotated[int, Meta(ge=0, le=2**63 - 1)]


class Health(Struct, frozen=True):
    """``sys/health``: it says "active" still after Raft has lost the quorum."""

    initialized: bool
    sealed: bool
    standby: bool


class Leader(Struct, frozen=True):
    """``sys/leader``: who is active, or was before it died. The indices are the node's own, whoever it is."""

    is_self: bool
    leader_cluster_address: Annotated[str, Meta(max_length=512)] = ""
    raft_committed_index: _Index = 0
    raft_applied_index: _Index = 0

    @property
    def active(self) -> str:
        """Raft address of the node that is, or was, the active one."""
        return self.leader_cluster_address.removeprefix("https://")


class _SealStatus(Struct, frozen=True):
    storage_type: str


class RaftServer(Struct, frozen=True):
    """One server of Raft's configuration; ``leader``: Raft takes it for the leader."""

    node_id: Id
    address: Address
    leader: bool
    voter: bool
    protocol_version: Annotated[str, Meta(pattern=r"\A[0-9]{0,3}\Z")] = ""


class Servers(Struct, frozen=True):
    """``sys/storage/raft/configuration``, as the node itself knows it."""

    servers: tuple[RaftServer, ...]

    @property
    def leader(self) -> RaftServer | None:
        """The one that Raft takes for the leader."""
        return next((server for server in self.servers if server.leader), None)

    @property
    def configuration(self) -> Configuration:
        """The same as evidence; NodeError when it can't be a configuration."""
        servers = (
            Server(each.node_id, each.address, Suffrage.VOTER if each.voter else Suffrage.NONVOTER)
            for each in self.servers
        )
        return configuration(CONFIGURATION, servers)


class _Config(Struct, frozen=True):
    config: Servers


class _Configuration(Struct, frozen=True):
    data: _Config


_HEALTH: Final = Decoder(Health)
_LEADER: Final = Decoder(Leader)
_SEAL_STATUS: Final = Decoder(_SealStatus)
_CONFIGURATION: Final = Decoder(_Configuration)


async def ask_health(api: Api) -> Health:
    """Ask for the health; NodeError when the node is not initialised or sealed.

    The body tells it: the status is one of many, some of them Vault's alone.
    """
    answer = await api.get(HEALTH)
    if answer.content_type != "application/json":
        reason = "content_type" if answer.status == 200 else "status"
        raise NodeError(reason, f"{HEALTH}: expected JSON, got status {answer.status} without")
    try:
        told = _HEALTH.decode(answer.body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise NodeError("malformed", f"{HEALTH}: expected the node's health: {error}") from None
    if not told.initialized:
        raise NodeError("not_initialized", "the node is not initialised, or has not joined its cluster yet")
    if told.sealed:
        raise NodeError("sealed", "the node is sealed: its Raft does not run until it is unsealed")
    return told


async def ask_leader(api: Api) -> Leader:
    """Ask who is active."""
    return await read(api, LEADER, _LEADER)


async def ask_servers(api: Api) -> Servers:
    """Ask for Raft's configuration."""
    told = (await read(api, CONFIGURATION, _CONFIGURATION)).data.config
    if sum(server.leader for server in told.servers) > 1:
        raise NodeError("malformed", f"{CONFIGURATION}: expected one leader at most")
    _ = told.configuration
    return told


async def ask_metrics(api: Api) -> Metrics:
    """Ask for the node's own metrics."""
    answer = await api.get(f"{METRICS}?format=prometheus")
    if answer.status == 200:
        return read_metrics(answer.body)
    if answer.status == 400 and b"prometheus is not enabled" in answer.body:
        raise NodeError(
            "not_found", "needs a telemetry stanza in the server's configuration (deploy/examples)"
        )
    # A standby has to forward what it can't permit by itself, and says so.
    permission = answer.status == 403 or (answer.status == 400 and b"cannot forward" in answer.body)
    raise NodeError("permission" if permission else "status", f"{METRICS}: got status {answer.status}")


async def is_on_raft(api: Api) -> bool:
    """Ask whether the node keeps its data in Raft."""
    return (await read(api, SEAL_STATUS, _SEAL_STATUS)).storage_type == "raft"
