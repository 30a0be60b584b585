"""deploy/compose: the stack by its schema, its services' own programs, and its word on confinement."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import click
import jsonschema
import pytest
import yaml

from raft_exporter import config
from raft_exporter.cli import main
from raft_exporter.config import Config
from raft_exporter.flags import with_flags
from tests.conftest import Need
from tests.deploy.published import compose_schema
from tests.deploy.stack import COMPOSE, ROOT, Service, document, services

SERVICES = services()
SIDECARS = {name: service for name, service in SERVICES.items() if name.startswith("sidecar")}
NODES = {name: service for name, service in SERVICES.items() if name.startswith("node")}

each_service = pytest.mark.parametrize("service", SERVICES.values(), ids=list(SERVICES))
each_sidecar = pytest.mark.parametrize("service", SIDECARS.values(), ids=list(SIDECARS))


def configuration(service: Service) -> Config:
    """Give the configuration that the sidecar would run with."""
    command, *arguments = service.command
    assert command == "run"
    run = main.commands[command]
    flags: dict[str, Any] = run.make_context(command, arguments, click.Context(main)).params
    (file,) = [parameter.name for parameter in run.params if "--config" in parameter.opts]
    path = service.host_path(str(flags.pop(str(file))))
    assert path is not None
    return with_flags(config.load(path), flags)  # type: ignore[arg-type] # click's dict has just these keys


def laid_out(service: Service, place: Path) -> Path:
    """Lay what is mounted from this tree below ``place``, as it stands in the container."""
    for mount in service.mounts:
        if mount.path is not None:
            path = place / mount.target.relative_to("/")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.symlink_to(mount.path)
    return place


def told(command: list[str]) -> str:
    result = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


def test_the_file_is_what_the_compose_specification_says(need: Need) -> None:
    schema = need("the schema of the compose specification", compose_schema)
    validator = jsonschema.Draft202012Validator(schema)
    validator.validate(document())
    # It can fail: it is the schema of services, and knows their keys.
    for broken in ("{services: {a: {imago: b}}}", "{services: {a: {restart: 1}}}", "{service: {}}"):
        assert not validator.is_valid(yaml.safe_load(broken))


def test_nothing_is_taken_from_the_environment_of_who_starts_it() -> None:
    assert "$" not in (COMPOSE / "compose.yml").read_text()


def test_three_nodes_have_a_sidecar_each_and_all_is_there_that_watches_them() -> None:
    others = {"prometheus", "alertmanager", "grafana"}
    assert set(SERVICES) == {f"{kind}{n}" for kind in ("node", "sidecar") for n in (1, 2, 3)} | others


@each_service
def test_a_service_is_confined(service: Service) -> None:
    raw = service.raw
    assert raw["read_only"] is True
    assert raw["cap_drop"] == ["ALL"]
    assert raw["security_opt"] == ["no-new-privileges:true"]
    assert int(service.user.split(":")[0]) > 0
    assert raw["mem_limit"]
    assert raw["pids_limit"]
    assert not {"privileged", "cap_add", "devices", "pid", "ipc", "network_mode", "userns_mode"} & raw.keys()


@each_service
def test_a_service_is_watched_and_started_again(service: Service) -> None:
    assert service.raw["restart"] == "unless-stopped"
    assert service.raw["healthcheck"]["test"][0] == "CMD"


@each_service
def test_an_image_has_a_version_or_is_built_here(service: Service) -> None:
    _, colon, tag = service.image.partition(":")
    if service.build is None:
        assert colon
        assert tag[:1] == "v" or tag[0].isdigit(), service.image
    else:
        assert tag == "local"
        assert (service.build / "Dockerfile").is_file()


@each_service
def test_a_port_is_open_on_this_machine_alone(service: Service) -> None:
    assert all(port.startswith("127.0.0.1:") for port in service.ports)


def test_no_port_is_given_twice() -> None:
    ports = [port.rpartition(":")[0] for service in SERVICES.values() for port in service.ports]
    assert len(ports) == len(set(ports)) == 6


@each_service
def test_what_is_mounted_is_there_and_can_not_be_written_where_it_is_of_this_tree(service: Service) -> None:
    for mount in service.mounts:
        if mount.path is None:
            assert mount.source in document()["volumes"]
            assert not mount.read_only
        else:
            assert mount.path.exists(), mount
            assert mount.read_only
    assert service.networks <= document()["networks"].keys()


def test_every_volume_is_of_one_service_but_for_the_sockets() -> None:
    users: dict[str, set[str]] = {name: set() for name in document()["volumes"]}
    for service in SERVICES.values():
        for mount in service.mounts:
            if mount.path is None:
                users[mount.source].add(service.name)
    for name, found in users.items():
        n = name.removeprefix("socket")
        assert found == ({f"node{n}", f"sidecar{n}"} if n != name else {name})


@each_sidecar
def test_a_sidecar_takes_its_configuration(service: Service) -> None:
    n = service.name.removeprefix("sidecar")
    settings = configuration(service)
    assert settings.observer.listen == ("unix:/run/raft-exporter/observer.sock",)
    assert service.volume("/run/raft-exporter/observer.sock") == f"socket{n}"
    assert settings.store.path is not None
    assert service.volume(str(settings.store.path)) == service.name
    assert settings.reports.advertise == f"http://{service.name}:9641"
    assert {each.id: each.url for each in settings.reports.sidecars} == {
        f"n{n}": f"http://sidecar{n}:9641" for n in (1, 2, 3)
    }


@pytest.mark.parametrize("service", NODES.values(), ids=list(NODES))
def test_a_node_speaks_to_the_sidecar_of_its_own_number(service: Service) -> None:
    n = service.name.removeprefix("node")
    flags = dict(part.split("=", 1) for part in service.command if "=" in part and "peer" not in part)
    assert flags["-id"] == f"n{n}"
    assert flags["-raft"] == f"node{n}:7000"
    assert flags["-observer"] == "unix:/run/raft-exporter/observer.sock"
    assert service.volume(flags["-observer"].removeprefix("unix:")) == f"socket{n}"
    assert service.volume(flags["-data"]) == f"node{n}"
    assert service.user == SIDECARS[f"sidecar{n}"].user
    assert [part for part in service.command if "peer" in part] == [
        f"-peer=n{n}=node{n}:7000" for n in (1, 2, 3)
    ]


def test_nodes_are_reached_by_nodes_and_sidecars_alone() -> None:
    assert document()["networks"]["cluster"] == {"internal": True}
    inside = {name for name, service in SERVICES.items() if "cluster" in service.networks}
    assert inside == NODES.keys() | SIDECARS.keys()
    assert all(service.networks == {"cluster"} for service in NODES.values())


def test_prometheus_takes_its_configuration_and_the_rules(need: Need, tmp_path: Path) -> None:
    promtool = need("promtool", lambda: shutil.which("promtool"))
    service = SERVICES["prometheus"]
    assert "--config.file=/etc/prometheus/prometheus.yml" in service.command
    path = laid_out(service, tmp_path) / "etc" / "prometheus" / "prometheus.yml"
    said = told([promtool, "check", "config", str(path)])
    assert "SUCCESS: 2 rule files found" in said


def test_prometheus_asks_every_sidecar_where_all_are_and_alerts_alertmanager() -> None:
    settings = yaml.safe_load((COMPOSE / "prometheus.yml").read_text())
    (job,) = settings["scrape_configs"]
    assert [each["url"] for each in job["http_sd_configs"]] == [f"http://{name}:9641/sd" for name in SIDECARS]
    (target,) = settings["alerting"]["alertmanagers"]
    assert target == {"static_configs": [{"targets": ["alertmanager:9093"]}]}


def test_alertmanager_takes_its_configuration(need: Need, tmp_path: Path) -> None:
    amtool = need("amtool", lambda: shutil.which("amtool"))
    service = SERVICES["alertmanager"]
    assert "--config.file=/etc/alertmanager/alertmanager.yml" in service.command
    path = laid_out(service, tmp_path) / "etc" / "alertmanager" / "alertmanager.yml"
    assert "SUCCESS" in told([amtool, "check-config", str(path)])


def test_alertmanager_routes_as_the_example_does() -> None:
    ours = yaml.safe_load((COMPOSE / "alertmanager.yml").read_text())
    example = yaml.safe_load((ROOT / "deploy" / "alertmanager" / "alertmanager.yml").read_text())
    receivers = [{"name": receiver["name"]} for receiver in example["receivers"]]
    assert ours == example | {"receivers": receivers}


def test_grafana_finds_the_dashboards_and_prometheus() -> None:
    grafana = SERVICES["grafana"]
    provisioning = "/etc/grafana/provisioning"
    (source,) = _provisioned(grafana, f"{provisioning}/datasources/raft.yml")["datasources"]
    assert source["url"] == "http://prometheus:9090"
    example = ROOT / "grafana" / "provisioning" / "datasources" / "raft.yml"
    (shipped,) = yaml.safe_load(example.read_text())["datasources"]
    assert source | {"url": shipped["url"]} == shipped | {"isDefault": True}
    (provider,) = _provisioned(grafana, f"{provisioning}/dashboards/raft.yml")["providers"]
    assert grafana.host_path(provider["options"]["path"]) == ROOT / "grafana" / "dashboards"
    home = grafana.host_path(grafana.environment["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"])
    assert home is not None
    assert home.is_file()


def _provisioned(grafana: Service, inside: str) -> dict[str, Any]:
    path = grafana.host_path(inside)
    assert path is not None
    return dict(yaml.safe_load(path.read_text()))
