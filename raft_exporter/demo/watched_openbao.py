"""An OpenBao cluster with a sidecar beside each server, set up as an operator would do it."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Final

import yaml

from raft_exporter.demo.cluster import SidecarProcess, free_ports, sidecar_flags, targets
from raft_exporter.demo.openbao import OpenBaoCluster, OpenBaoNode
from raft_exporter.demo.timeline import Said, from_openbao
from raft_exporter.shipped import openbao_policy

_HOST: Final = "127.0.0.1"


class WatchedOpenBao(OpenBaoCluster):
    """Three OpenBao servers; their sidecars have their API, their statsd packets and the probe.

    The sidecars' token may do what the shipped example's policy says. ``home`` takes all files.
    """

    def __init__(self, home: Path) -> None:
        size = 3
        ids = [f"n{number}" for number in range(1, size + 1)]
        web, statsd = (dict(zip(ids, free_ports(size), strict=True)) for _ in range(2))
        super().__init__(
            home,
            size,
            telemetry={
                each: {"statsd_address": f"{_HOST}:{port}", "disable_hostname": True}
                for each, port in statsd.items()
            },
        )
        self._token_file = home / "openbao.token"
        urls = {each: f"http://{_HOST}:{port}" for each, port in web.items()}
        self.sidecars = {
            each: SidecarProcess(
                each,
                web[each],
                ["--config", str(self._configured(node, statsd[each])), *sidecar_flags(each, urls, home)],
                home,
            )
            for each, node in self.nodes.items()
        }

    @property
    def targets(self) -> list[str]:
        """HOST:PORT of each sidecar, as Prometheus takes them."""
        return targets(self.sidecars)

    def start(self) -> None:
        """Start the cluster, give the sidecars their token, and start them."""
        super().start()
        self._token_file.touch(mode=0o600)
        self._token_file.write_text(self.token(openbao_policy()))
        for sidecar in self.sidecars.values():
            sidecar.start()

    def stop(self) -> None:
        """Stop every process."""
        for sidecar in self.sidecars.values():
            sidecar.stop()
        super().stop()

    def raft_said(self, node_id: str) -> Iterable[Said]:
        """Give what hashicorp/raft itself said on that node so far, by the server's log."""
        ids = {node.address: node.id for node in self.nodes.values()}
        return from_openbao(node_id, self.nodes[node_id].log.read_text().splitlines(), ids)

    def _configured(self, node: OpenBaoNode, statsd: int) -> Path:
        """Write the configuration of the sidecar beside ``node``, as the shipped example has it."""
        config = self.home / f"{node.id}.sidecar.yml"
        told = {
            "node": {"api": {"url": node.url, "kind": "vault", "token_file": str(self._token_file)}},
            "telemetry": {"listen": [f"udp:{_HOST}:{statsd}"]},
            "observer": {"listen": []},
        }
        config.write_text(yaml.safe_dump(told, sort_keys=False))
        return config
