"""What the adapters have in common: how an answer is read, whose address a leader's is, what is news."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from http import HTTPStatus
from typing import Final, TypeVar

import msgspec
from msgspec.json import Decoder

from raft_exporter.errors import NodeError
from raft_exporter.model.evidence import Configuration, NodeIdentity, Server
from raft_exporter.sources.node_api import Answer, Api
from raft_exporter.sources.raft_stats import MAX_SERVERS, is_configuration

EVERY: Final = 10
"""Turns from one time that everything is asked and told to the next, as the observer does."""
REFUSALS: Final = frozenset({"permission", "not_found", "status"})
"""Reasons for which a node that speaks does not say one thing."""

_JSON: Final = ("application/json",)
_REASONS: Final = {401: "permission", 403: "permission", 404: "not_found"}

_T = TypeVar("_T")


async def read(api: Api, path: str, decoder: Decoder[_T], *, types: Collection[str] = _JSON) -> _T:
    """Ask for what ``decoder`` reads.

    NodeError when there is no answer, or another one; the words of the node are never part of it: they may
    repeat the token.
    """
    answer = await api.get(path)
    where = path or "the answer"
    if answer.status != 200:
        reason = _REASONS.get(answer.status, "status")
        raise NodeError(reason, f"{where}: expected status 200, got {_status(answer.status)}")
    if answer.content_type not in types:
        raise NodeError("content_type", f"{where}: expected the content type {' or '.join(types)}")
    return _decode(where, answer, decoder)


def _decode(where: str, answer: Answer, decoder: Decoder[_T]) -> _T:
    try:
        return decoder.decode(answer.body)
    except msgspec.ValidationError as error:
        raise NodeError("malformed", f"{where}: {error}") from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise NodeError("malformed", f"{where}: expected JSON: {error}") from None


def _status(status: int) -> str:
    try:
        return f"{status} ({HTTPStatus(status).phrase})"
    except ValueError:
        return str(status)


def configuration(where: str, servers: Iterable[Server]) -> Configuration:
    """Make a configuration; NodeError when it is too large or names a server twice."""
    listed = list(servers)
    if not is_configuration(listed):
        raise NodeError("malformed", f"{where}: expected at most {MAX_SERVERS} servers, each once")
    return Configuration(tuple(listed))


def id_at(address: str, servers: Sequence[Server]) -> str:
    """Give the id of the server at an address; without one the address stands for it. Empty for none."""
    found = (server.id for server in servers if server.address == address != "")
    return next(found, address)


def address_of(server_id: str, servers: Sequence[Server]) -> str:
    """Give the address of a server; empty when it is not known."""
    return next((server.address for server in servers if server.id == server_id), "")


class Turns:
    """Which turn it is, and what is news in it: who the node is and its configuration stay mostly the same.

    In each tenth turn everything is asked and told, so that nothing that was missed stays missed.
    """

    def __init__(self) -> None:
        self._count = 0
        self._told: dict[type, NodeIdentity | Configuration] = {}

    def begin(self) -> bool:
        """Begin a turn; whether everything is due. One that is cut short is not made up for."""
        due = self._count % EVERY == 0
        self._count += 1
        if due:
            self._told.clear()
        return due

    def news(self, *evidence: NodeIdentity | Configuration | None) -> list[NodeIdentity | Configuration]:
        """Give what changed, or everything when it is due."""
        fresh = [each for each in evidence if each is not None and self._told.get(type(each)) != each]
        self._told |= {type(each): each for each in fresh}
        return fresh
