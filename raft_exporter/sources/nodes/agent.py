"""What Consul's and Nomad's agents have in common: the same endpoints, and who may read them.

All that is asked is answered by the agent itself: ``?stale`` keeps it from forwarding to the leader, and what
only a leader answers (autopilot) is not asked. Stats tell the configuration with each turn, so that the one
of the operator's endpoint is asked only where they are not to be had.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar, Final

from msgspec import Struct
from msgspec.json import Decoder
from msgspec.structs import replace

from raft_exporter.errors import NodeError
from raft_exporter.model.evidence import (
    Configuration,
    Evidence,
    NodeIdentity,
    NodeStatus,
    Role,
    Server,
    Suffrage,
)
from raft_exporter.schema import Kind
from raft_exporter.secret import Secret
from raft_exporter.sources.node_api import Api
from raft_exporter.sources.nodes.reading import REFUSALS, Turns, address_of, configuration, id_at, read
from raft_exporter.sources.raft_stats import Address, Id, RaftStats

SELF: Final = "/v1/agent/self"
LEADER: Final = "/v1/status/leader?stale=true"
PEERS: Final = "/v1/status/peers?stale=true"
CONFIGURATION: Final = "/v1/operator/raft/configuration?stale=true"


class Own(Struct, frozen=True):
    """What a server's agent says of itself; None is what it left out."""

    id: str | None
    leader_address: str | None
    stats: RaftStats


class _Member(Struct, frozen=True, rename={"id": "ID", "address": "Address", "voter": "Voter"}):
    id: Id
    address: Address
    voter: bool

    def server(self) -> Server:
        return Server(self.id, self.address, Suffrage.VOTER if self.voter else Suffrage.NONVOTER)


class _Members(Struct, frozen=True, rename="pascal"):
    servers: list[_Member]


_LEADER: Final = Decoder(Address)
_PEERS: Final = Decoder(list[Id])
_CONFIGURATION: Final = Decoder(_Members)


class Agent(ABC):
    """Asks a Consul or Nomad agent."""

    kind: ClassVar[Kind]
    header: ClassVar[str]
    """What bears the token."""
    configuration_needs: ClassVar[str]
    """What the operator's endpoint asks for; the agent's own asks for agent:read in both."""

    def __init__(self) -> None:
        self.hints: dict[str, str] = {}
        self._turns = Turns()
        self._shut = False
        """Whether the agent kept what it knows of itself from us when last asked."""
        self._named = False
        """Whether it ever told its id: then addresses in place of the others' would not fit it."""
        self._leader_address: str | None = None
        self._servers: tuple[Server, ...] = ()

    @classmethod
    def headers(cls, token: Secret | None) -> dict[str, str]:
        """Give the token to the agent."""
        return {} if token is None else {cls.header: token.reveal()}

    @abstractmethod
    async def _own(self, api: Api) -> Own:
        """Read what the agent says of itself; NodeError also when it is no server."""

    async def ask(self, api: Api) -> Sequence[Evidence]:
        """Ask once; NodeError when the agent does not speak, or is of no use."""
        due = self._turns.begin()
        own = await self._ask_own(api, due=due)
        loop = asyncio.get_running_loop()
        if own is None:
            leader_address: str | None = await read(api, LEADER, _LEADER)
        else:
            leader_address = own.leader_address
        heard_at = loop.time()
        members = None if own is None else own.stats.configuration()
        # Without stats a change of leader is the one sign that the members may have changed.
        if members is None and (due or leader_address != self._leader_address):
            self._leader_address = leader_address
            members = await self._look_up(api)
        elif members is not None:
            self.hints.pop(CONFIGURATION, None)
        if members is not None:
            self._servers = members.servers
        identity = None if own is None else self._identity(own)
        status = self._status(own, leader_address)
        return [*self._turns.news(identity, members), replace(status, age=loop.time() - heard_at)]

    async def _ask_own(self, api: Api, *, due: bool) -> Own | None:
        if self._shut and not due:
            return None
        try:
            own = await self._own(api)
        except NodeError as error:
            if error.reason != "permission":
                raise
            self.hints[SELF] = (
                f"{error}; agent:read would tell id, role, term, indices, and if it is a server"
            )
            self._shut = True
            return None
        self._shut, self._named = False, True
        self.hints.pop(SELF, None)
        return own

    async def _look_up(self, api: Api) -> Configuration | None:
        try:
            found = await read(api, CONFIGURATION, _CONFIGURATION)
        except NodeError as error:
            if error.reason not in REFUSALS:
                raise
            instead = "" if self._named else "; until then their addresses are their ids, and all are voters"
            self.hints[CONFIGURATION] = f"{error}; {self.configuration_needs} would tell the servers{instead}"
        else:
            self.hints.pop(CONFIGURATION, None)
            return configuration(CONFIGURATION, (each.server() for each in found.servers))
        if self._named:
            return None
        peers = await read(api, PEERS, _PEERS)
        return configuration(PEERS, (Server(address, address) for address in peers))

    def _identity(self, own: Own) -> NodeIdentity | None:
        protocol = own.stats.protocol_version
        if own.id is None or (protocol is not None and int(protocol) < 3):
            self.hints["id"] = "Raft protocol 3 would tell the node's Raft id; below it, set node.id"
            return None
        self.hints.pop("id", None)
        return NodeIdentity(id=own.id, address=address_of(own.id, self._servers))

    def _status(self, own: Own | None, leader_address: str | None) -> NodeStatus:
        leader_id = None if leader_address is None else id_at(leader_address, self._servers)
        stats = RaftStats(state=Role.UNKNOWN) if own is None else own.stats
        return stats.status(leader_id, leader_address or "")
