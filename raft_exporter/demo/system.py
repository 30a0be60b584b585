"""Of which system the demo's cluster is made."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import assert_never

from raft_exporter.demo.cluster import Cluster, find_raftnode, raftnode
from raft_exporter.demo.fault import Fault
from raft_exporter.demo.openbao import bao
from raft_exporter.demo.staged import StagedCluster
from raft_exporter.demo.watched_openbao import WatchedOpenBao
from raft_exporter.errors import ConfigError, DemoError


class System(StrEnum):
    """A system that embeds hashicorp/raft."""

    RAFTNODE = "raftnode"
    OPENBAO = "openbao"


def available(wanted: System | None, fault: Fault | None) -> System:
    """Give the wanted system, by default raftnode where it can be had, else OpenBao.

    DemoError when its program is not there; ConfigError when ``fault`` can't be injected into it.
    """
    system = wanted or (System.OPENBAO if find_raftnode() is None else System.RAFTNODE)
    if system is System.OPENBAO and fault is Fault.STALL_STORE:
        raise ConfigError(
            ["--fault stall-store: expected raftnode (it needs Go): OpenBao's log store can't be stalled"]
        )
    if system is System.RAFTNODE:
        raftnode()
    elif wanted is System.OPENBAO:
        bao()
    else:
        _bao_in_its_place()
    return system


def staged(system: System, home: Path) -> StagedCluster:
    """Give its cluster, which is started as a context; ``home`` takes all files."""
    match system:
        case System.RAFTNODE:
            return Cluster(home)
        case System.OPENBAO:
            return WatchedOpenBao(home)
        case _:
            assert_never(system)


def _bao_in_its_place() -> None:
    try:
        bao()
    except DemoError as error:
        raise DemoError(
            "real nodes are needed: install Go and use a checkout of the repository, "
            "or pip install 'raft-exporter[demo]' for OpenBao's"
        ) from error
