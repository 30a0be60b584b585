"""Finds out which system a node is, by what it answers without a token."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from raft_exporter.errors import NodeError
from raft_exporter.schema import Kind
from raft_exporter.sources.node_api import Api


def _is_vault(answer: object) -> bool:
    return isinstance(answer, dict) and "sealed" in answer and "storage_type" in answer


def _is_rqlite(answer: object) -> bool:
    return isinstance(answer, dict) and isinstance(answer.get("store"), dict)


def _is_list_of_texts(answer: object) -> bool:
    return isinstance(answer, list) and bool(answer) and all(isinstance(each, str) for each in answer)


def _is_text(answer: object) -> bool:
    return isinstance(answer, str)


_SIGNS: Final[tuple[tuple[Kind, str, Callable[[object], bool]], ...]] = (
    ("vault", "/v1/sys/seal-status", _is_vault),
    ("nomad", "/v1/regions", _is_list_of_texts),
    ("consul", "/v1/status/leader", _is_text),
    ("rqlite", "/status", _is_rqlite),
)
"""Each is answered by its system alone, and whoever asks; but Nomad has Consul's too, and goes before it."""

_SPEAKS_OTHERWISE: Final = {"status", "not_found", "permission", "content_type", "malformed", "redirect"}


async def detect(api: Api) -> Kind:
    """Ask what only one system answers; NodeError when nobody answers, or it is none of them."""
    refused: list[str] = []
    for kind, path, sign in _SIGNS:
        try:
            if sign(await api.json(path)):
                return kind
        except NodeError as error:
            if error.reason not in _SPEAKS_OTHERWISE:
                raise
            if error.reason == "permission":
                refused.append(path)
    known = ", ".join(kind for kind, _, _ in _SIGNS)
    shut = f" ({', '.join(refused)} refused)" if refused else ""
    raise NodeError("malformed", f"expected one of {known}, recognised none{shut}: set node.api.kind")
