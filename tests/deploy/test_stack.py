"""The stack of deploy/compose, run as it stands, but for the images, for which see ``engine``."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from raft_exporter.demo.cluster import until
from tests.chaos.network import Network
from tests.conftest import Need
from tests.deploy.engine import Container, Engine, program_of
from tests.deploy.stack import services

RUN = [service for name, service in services().items() if name != "grafana"]
SIDECARS = ("sidecar1", "sidecar2", "sidecar3")
MEMBERS = {"n1", "n2", "n3"}


@pytest.fixture(scope="module")
def engine(need: Need, ip: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    for service in RUN:
        need(f"the program of {service.image}", partial(program_of, service))
    home = tmp_path_factory.mktemp("stack")
    with Network(ip, len(RUN), home, seed=0) as network, Engine(network, RUN, home) as engine:
        yield engine


def sees_all(sidecar: Container, node: str) -> bool:
    """Whether the sidecar knows its node, hears the others' sidecars, and calls all members online."""
    view = sidecar.ask("http://127.0.0.1:9641/api/v1/cluster")
    if view is None or view["node"]["id"] != node or view["node"]["leader"] not in MEMBERS:
        return False
    states = {member["id"]: member["state"] for member in view["members"]}
    heard = {reporter["id"] for reporter in view["reporters"]}
    return states == dict.fromkeys(MEMBERS, "online") and heard == MEMBERS


def test_every_service_is_healthy(engine: Engine) -> None:
    waiting = list(engine.containers.values())

    def all_healthy() -> bool:
        waiting[:] = [container for container in waiting if not container.healthy]
        return not waiting

    until("all are healthy; see the log of each", all_healthy)


@pytest.mark.parametrize("name", SIDECARS)
def test_a_sidecar_hears_its_node_and_the_other_sidecars(engine: Engine, name: str) -> None:
    sidecar = engine.containers[name]
    until(f"{name} sees all; see {sidecar.process.log}", lambda: sees_all(sidecar, f"n{name[-1]}"))
    assert (engine.volume(name) / "raft-exporter.db").is_file()


def test_prometheus_finds_the_sidecars_by_asking_them_and_has_rules_and_alertmanager(engine: Engine) -> None:
    prometheus = engine.containers["prometheus"]

    def asked(path: str) -> dict[str, list[dict[str, Any]]]:
        answer = prometheus.ask(f"http://127.0.0.1:9090/api/v1/{path}")
        return dict(answer["data"]) if answer else {}

    def up() -> list[str]:
        found = asked("query?query=up%7Bjob%3D%22raft%22%2Ccluster%3D%22demo%22%7D%20%3D%3D%201")
        return sorted(each["metric"]["instance"] for each in found.get("result", []))

    until("all are up", lambda: up() == [f"{name}:9641" for name in SIDECARS])
    assert sum(len(group["rules"]) for group in asked("rules")["groups"]) > 50
    (found,) = asked("alertmanagers")["activeAlertmanagers"]
    assert found["url"] == "http://alertmanager:9093/api/v2/alerts"


@pytest.mark.parametrize("name", [service.name for service in RUN])
def test_a_service_runs_without_root_without_capabilities_and_on_a_root_that_it_can_not_write(
    engine: Engine, name: str
) -> None:
    container = engine.containers[name]
    process = Path("/proc") / str(container.process.pid)
    lines = (process / "status").read_text().splitlines()
    status = {key: value.split() for key, _, value in (line.partition(":") for line in lines)}
    assert set(status["Uid"]) == {container.service.user.split(":")[0]}
    assert {int(status[key][0], 16) for key in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")} == {0}
    assert status["NoNewPrivs"] == ["1"]
    with pytest.raises(OSError, match="Read-only file system"):
        (process / "root" / "etc" / "new").touch()
