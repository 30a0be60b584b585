"""Any endpoint that answers with JSON: the configuration says where in it each fact stands."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Annotated, Any, ClassVar, Final, TypeAlias

import msgspec
from msgspec import UNSET, Meta
from msgspec.json import Decoder

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
from raft_exporter.schema import JsonFieldsConfig, Kind
from raft_exporter.secret import Secret
from raft_exporter.sources.node_api import Api
from raft_exporter.sources.nodes.reading import Turns, address_of, configuration, id_at, read
from raft_exporter.sources.raft_stats import (
    MAX_SERVERS,
    Address,
    Count,
    Id,
    duration,
    has_contact,
    number,
)

_TYPES: Final = ("application/json", "text/plain")
"""Go's net/http calls JSON plain text where the service does not say what it is."""

_Word: TypeAlias = Annotated[str, Meta(max_length=64)]
_Seconds: TypeAlias = Annotated[float, Meta(ge=0, le=1e12)]
_Servers: TypeAlias = Annotated[list[Any], Meta(max_length=MAX_SERVERS)]
_PLAIN: Final = re.compile(r"[0-9]+(?:\.[0-9]+)?")
_ANY: Final[Decoder[object]] = Decoder()
_ROLES: Final = {role.value: role for role in Role}
_SUFFRAGES: Final = {suffrage.value: suffrage for suffrage in Suffrage}


def find(value: object, parts: Sequence[str]) -> object:
    """Give what stands at a path, UNSET where nothing does; of the keys that fit, the longest goes first."""
    if not parts:
        return value
    if isinstance(value, dict):
        for end in range(len(parts), 0, -1):
            inner = value.get(".".join(parts[:end]), UNSET)
            found = UNSET if inner is UNSET else find(inner, parts[end:])
            if found is not UNSET:
                return found
    elif isinstance(value, list) and parts[0].isdecimal() and int(parts[0]) < len(value):
        return find(value[int(parts[0])], parts[1:])
    return UNSET


class _Facts:
    """Facts out of one JSON value; what is missing is noted by its name in the configuration.

    Each reader gives None where there is none, and raises NodeError where it is of another type.
    """

    def __init__(self, value: object, missing: dict[str, str]) -> None:
        self._value = value
        self._missing = missing
        self.empty = True
        """Whether nothing was found so far."""

    def get(self, name: str, path: str | None, kind: object) -> Any:
        """Give a fact of type ``kind``."""
        return None if (found := self._find(name, path)) is UNSET else _converted(name, found, kind)

    def leader(self, name: str, path: str | None) -> str | None:
        """Give a leader's id or address; empty where it is null, as it is for a node that knows none."""
        found = self._find(name, path)
        if found is UNSET:
            return None
        text: str = _converted(name, found, Address) or ""
        return text

    def count(self, name: str, path: str | None) -> int | None:
        """Give a number, from digits too."""
        return number(self.get(name, path, Count))

    def role(self, name: str, path: str | None) -> Role:
        """Give a role; unknown for a word that is none."""
        word: str = self.get(name, path, _Word) or Role.UNKNOWN
        if word.lower() not in _ROLES:
            self._missing[name] = f"expected one of {', '.join(_ROLES)}, got another word"
        return _ROLES.get(word.lower(), Role.UNKNOWN)

    def last_contact(self, name: str, path: str | None) -> float | None:
        """Give seconds, from a Go duration too."""
        found: float | str | None = self.get(name, path, _Seconds | _Word)
        if not isinstance(found, str):
            return found
        if not has_contact(found):
            return None
        seconds = duration(f"{found}s" if _PLAIN.fullmatch(found) else found)
        if seconds is None:
            raise NodeError("malformed", f"{name}: expected seconds or a Go duration")
        return seconds

    def members(self, fields: JsonFieldsConfig) -> Configuration | None:
        """Give the configuration; None also where a server has no id or address."""
        listed: list[object] | None = self.get("servers", fields.servers, _Servers)
        if listed is None:
            return None
        servers = [_Facts(each, self._missing)._server(fields) for each in listed]
        known = [server for server in servers if server is not None]
        return configuration("servers", known) if len(known) == len(servers) else None

    def _server(self, fields: JsonFieldsConfig) -> Server | None:
        server_id: str | None = self.get("server_id", fields.server_id, Id)
        address: str | None = self.get("server_address", fields.server_address, Address)
        told: bool | str | None = self.get("server_suffrage", fields.server_suffrage, bool | _Word)
        if server_id is None or address is None:
            return None
        if isinstance(told, str):
            suffrage = _SUFFRAGES.get(told.lower())
            if suffrage is None:
                raise NodeError("malformed", f"server_suffrage: expected one of {', '.join(_SUFFRAGES)}")
            return Server(server_id, address, suffrage)
        if told is None:
            path = fields.server_suffrage
            self._missing["server_suffrage"] = f"nothing stands at {path!r}: all of those are voters"
        return Server(server_id, address, Suffrage.NONVOTER if told is False else Suffrage.VOTER)

    def _find(self, name: str, path: str | None) -> object:
        if path is None:
            return UNSET
        found = find(self._value, path.split("."))
        if found is UNSET:
            self._missing[name] = f"nothing stands at {path!r}"
        else:
            self.empty = False
        return found


def _converted(name: str, found: object, kind: object) -> Any:
    if found is None:
        return None
    try:
        return msgspec.convert(found, kind)
    except msgspec.ValidationError as error:
        raise NodeError("malformed", f"{name}: {error}") from None


class JsonAdapter:
    """Asks any service that answers with JSON; ``fields`` says where each fact stands."""

    kind: ClassVar[Kind] = "json"

    def __init__(self, fields: JsonFieldsConfig) -> None:
        self.hints: dict[str, str] = {}
        self._fields = fields
        self._turns = Turns()

    @staticmethod
    def headers(token: Secret | None) -> dict[str, str]:
        """Give the token to the service."""
        return {} if token is None else {"Authorization": f"Bearer {token.reveal()}"}

    async def ask(self, api: Api) -> Sequence[Evidence]:
        """Ask once; NodeError when there is no answer, or nothing in it that was asked for."""
        self._turns.begin()
        body = await read(api, "", _ANY, types=_TYPES)
        missing: dict[str, str] = {}
        facts, fields = _Facts(body, missing), self._fields
        members = facts.members(fields)
        servers = () if members is None else members.servers
        identity = self._identity(facts, servers)
        status = self._status(facts, servers)
        if facts.empty:
            raise NodeError("malformed", "the answer: expected the fields of node.api.fields, found none")
        self.hints = {f"node.api.fields.{name}": words for name, words in missing.items()}
        return [*self._turns.news(identity, members), status]

    def _identity(self, facts: _Facts, servers: Sequence[Server]) -> NodeIdentity | None:
        node_id: str | None = facts.get("id", self._fields.id, Id)
        address: str | None = facts.get("address", self._fields.address, Address)
        if node_id is None:
            return None
        return NodeIdentity(node_id, address_of(node_id, servers) if address is None else address)

    def _status(self, facts: _Facts, servers: Sequence[Server]) -> NodeStatus:
        fields = self._fields
        leader_id = facts.leader("leader_id", fields.leader_id)
        leader_address = facts.leader("leader_address", fields.leader_address)
        if leader_id is None and leader_address is not None:
            leader_id = id_at(leader_address, servers)
        role = facts.role("role", fields.role)
        last_contact = facts.last_contact("last_contact", fields.last_contact)
        return NodeStatus(
            role=role,
            term=facts.count("term", fields.term),
            last_log_index=facts.count("last_log_index", fields.last_log_index),
            commit_index=facts.count("commit_index", fields.commit_index),
            applied_index=facts.count("applied_index", fields.applied_index),
            snapshot_index=None,
            fsm_pending=None,
            protocol_version=None,
            leader_id=leader_id,
            leader_address=address_of(leader_id or "", servers) if leader_address is None else leader_address,
            last_contact=None if role is Role.LEADER else last_contact,
            heartbeats=False,
        )
