"""What the other sidecars' messages come to."""

from __future__ import annotations

import random

from raft_exporter.config import Config
from raft_exporter.model.evidence import Configuration, NodeIdentity, Report, Server
from raft_exporter.model.override import Override
from raft_exporter.model.policy import Policy
from raft_exporter.model.table import Table
from raft_exporter.neighbours import Neighbours
from raft_exporter.report import Message

OVERRIDE = Override(1e9, "n2", "offline", 2e9, "eve", "disk swap", "n2")


def servers(port: int) -> Configuration:
    return Configuration(tuple(Server(f"n{each}", f"10.0.0.{each}:{port}") for each in (1, 2, 3)), 7)


async def test_overrides_of_another_cluster_are_passed_over() -> None:
    taken: list[Override] = []
    table = Table(Policy.of(1.0), (), 0.0)
    table.take(NodeIdentity("n1", "10.0.0.1:7000"), 0.0)
    table.take(servers(7000), 0.0)
    neighbours = Neighbours(Config(), table, lambda _: None, taken.extend, random.Random(1))
    for port in (8000, 7000):
        report = Report("n2", (), configuration=servers(port))
        neighbours._message(Message(report=report, overrides=(OVERRIDE,)))
        assert taken == ([] if port == 8000 else [OVERRIDE])
    await neighbours.close()
