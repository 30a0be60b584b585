"""What the demo needs of a cluster, whichever system it is made of."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

from raft_exporter.demo.cluster import SidecarProcess
from raft_exporter.demo.timeline import Said


class StagedNode(Protocol):
    """One running node."""

    id: str
    name: str
    log: Path
    address: str
    """Where its Raft listens."""

    @property
    def running(self) -> bool:
        """Whether its process was started and has not ended."""

    @property
    def page(self) -> str:
        """The URL at which it tells of itself."""

    def kill(self) -> None:
        """``kill -9``."""

    def freeze(self) -> None:
        """``kill -STOP``."""

    def put(self, key: str, value: str, timeout: float) -> bool:
        """Write one key; False when it was not committed in time."""

    def leads(self, timeout: float = 2.0) -> bool | None:
        """Whether it calls itself the leader; None when it does not answer."""


class StagedCluster(Protocol):
    """Three nodes with a sidecar beside each, started and stopped as a context."""

    home: Path
    sidecars: dict[str, SidecarProcess]

    @property
    def nodes(self) -> Mapping[str, StagedNode]:
        """The nodes, by id."""

    @property
    def targets(self) -> list[str]:
        """HOST:PORT of each sidecar, as Prometheus takes them."""

    def leader(self) -> StagedNode:
        """The node that leads, once there is exactly one."""

    def followers(self) -> Sequence[StagedNode]:
        """The running nodes that do not lead."""

    def raft_said(self, node_id: str) -> Iterable[Said]:
        """Give what hashicorp/raft itself said on that node so far."""

    def __enter__(self) -> Self: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...
