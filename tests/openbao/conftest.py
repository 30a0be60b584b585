from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from raft_exporter.demo.openbao import OpenBaoCluster, bao
from tests.conftest import Need

EXAMPLE = Path(__file__).parents[2] / "deploy" / "examples" / "openbao"


@pytest.fixture(scope="session")
def openbao(need: Need) -> Path:
    """Have the real server, or skip; see ``need``."""
    return need("OpenBao", bao)


@pytest.fixture(scope="module")
def cluster(openbao: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenBaoCluster]:
    """Give three servers that are one cluster, with the example's telemetry stanza; one for a module."""
    home = tmp_path_factory.mktemp("openbao")
    with OpenBaoCluster(home, extra=[EXAMPLE / "telemetry.hcl"]) as running:
        yield running


@pytest.fixture(scope="module")
def token(cluster: OpenBaoCluster) -> str:
    """Give a token that may do what the example's policy says."""
    return cluster.token((EXAMPLE / "policy.hcl").read_text())
