"""What every adapter is: asks the node once, gives evidence, and says what it may not see."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar, Protocol

from raft_exporter.model.evidence import Evidence
from raft_exporter.schema import Kind
from raft_exporter.secret import Secret
from raft_exporter.sources.node_api import Api


class Adapter(Protocol):
    """Knows one system's API. One instance asks one node, turn by turn, and may remember between them.

    What the API can't tell stays unknown: there is no guess. ``ask`` gives NodeIdentity, Configuration and
    NodeStatus (with ``heartbeats`` False), each where it is known; a NodeStatus in each turn in which the
    node itself spoke. It raises NodeError when it did not, or is of no use (sealed). What single endpoints
    refuse ends no turn: it stands in ``hints``.
    """

    kind: ClassVar[Kind]

    @property
    def hints(self) -> Mapping[str, str]:
        """What could be seen with more permission or another setting, by endpoint, in one line each."""

    @staticmethod
    def headers(token: Secret | None) -> dict[str, str]:
        """Give what each question bears."""

    async def ask(self, api: Api) -> Sequence[Evidence]:
        """Ask the node once; NodeError when it does not speak."""
