"""What stands for the sidecars of a fleet: one server, and where Prometheus finds each of them in it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Final

import yaml
from aiohttp import web

from bench._fleet_cluster import NODES, SyntheticCluster, only, series

_ONE_IN: Final = 50
"""One cluster in so many has a dead member."""


def faulty(cluster: int) -> bool:
    """Whether the cluster of this number has a dead member."""
    return cluster % _ONE_IN == _ONE_IN - 1


def configuration(size: int, server: str, scrape: float, rules: Sequence[Path]) -> str:
    """Write the configuration of a Prometheus that scrapes so many clusters from one server, HOST:PORT."""
    targets = [
        {
            "targets": [server],
            "labels": {
                "cluster": f"c{cluster}",
                "instance": f"c{cluster}-{node}:9641",
                "__metrics_path__": f"/{'faulty' if faulty(cluster) else 'well'}/{node}",
            },
        }
        for cluster in range(size)
        for node in NODES
    ]
    settings = {
        "global": {"scrape_interval": f"{scrape:g}s", "scrape_timeout": f"{scrape:g}s"},
        "rule_files": [str(path) for path in rules],
        "scrape_configs": [{"job_name": "raft", "static_configs": targets}],
    }
    return yaml.dump(settings, Dumper=getattr(yaml, "CSafeDumper", yaml.SafeDumper))


class Fleet:
    """Serves what the sidecars answer, on loopback: every cluster that is well says the same."""

    def __init__(self, names: frozenset[str]) -> None:
        self._names = names
        self._clusters = {"well": SyntheticCluster(faulty=False), "faulty": SyntheticCluster(faulty=True)}
        self._texts: dict[tuple[str, str], bytes] = {}
        self._render()

    def exported(self, size: int) -> tuple[int, int]:
        """How many series so many clusters export, and how many of these are served."""
        every, served = 0, 0
        for kind, count in self._count(size).items():
            texts = [self._clusters[kind].text(node) for node in NODES]
            every += count * sum(map(series, texts))
            served += count * sum(series(only(text, self._names)) for text in texts)
        return every, served

    @contextlib.asynccontextmanager
    async def served(self) -> AsyncIterator[str]:
        """Serve at HOST:PORT, and let time pass for the clusters."""
        app = web.Application()
        app.router.add_get("/{kind}/{node}", self._answer)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        turns = asyncio.create_task(self._turn())
        try:
            site = web.TCPSite(runner, "127.0.0.1", 0, backlog=1024)
            await site.start()
            host, port = runner.addresses[0][:2]
            yield f"{host}:{port}"
        finally:
            turns.cancel()
            await runner.cleanup()

    def _count(self, size: int) -> dict[str, int]:
        ill = sum(faulty(cluster) for cluster in range(size))
        return {"well": size - ill, "faulty": ill}

    async def _turn(self) -> None:
        while True:
            await asyncio.sleep(1)
            for cluster in self._clusters.values():
                cluster.turn()
            self._render()

    def _render(self) -> None:
        self._texts = {
            (kind, node): only(cluster.text(node), self._names).encode()
            for kind, cluster in self._clusters.items()
            for node in NODES
        }

    async def _answer(self, request: web.Request) -> web.Response:
        text = self._texts[request.match_info["kind"], request.match_info["node"]]
        return web.Response(body=text, headers={"Content-Type": "text/plain; version=0.0.4"})
