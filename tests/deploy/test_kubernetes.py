"""deploy/kubernetes: built by kustomize, held against the API's schemas, and against what is in this tree."""

from __future__ import annotations

import copy
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import pytest
import yaml
from click.testing import CliRunner

from raft_exporter import __version__, config
from raft_exporter.cli import main
from tests.conftest import Need
from tests.deploy.published import operator_schema
from tests.deploy.restricted import violations

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "deploy" / "kubernetes"
OLDEST = "1.29"
"""The first Kubernetes that has native sidecars by default."""

Resource = dict[str, Any]


def built(need: Need, folder: Path) -> list[Resource]:
    kubectl = need(
        "kubectl",
        lambda: shutil.which("kubectl", path=Path(sys.executable).parent) or shutil.which("kubectl"),
    )
    result = subprocess.run(
        [kubectl, "kustomize", str(folder)], capture_output=True, text=True, check=False, timeout=60
    )
    assert result.returncode == 0, result.stderr
    assert not result.stderr
    return list(yaml.load_all(result.stdout, yaml.CSafeLoader))


@pytest.fixture(scope="module")
def resources(need: Need) -> list[Resource]:
    return built(need, FOLDER / "example")


@pytest.fixture(scope="module")
def one(resources: list[Resource]) -> Callable[..., Resource]:
    """Find the one resource of a kind, or of a kind and name."""

    def find(kind: str, name: str = "") -> Resource:
        (found,) = [
            each for each in resources if each["kind"] == kind and name in {"", each["metadata"]["name"]}
        ]
        return found

    return find


@pytest.fixture(scope="module")
def pod(one: Callable[..., Resource]) -> Resource:
    return dict(one("StatefulSet")["spec"]["template"])


@pytest.fixture(scope="module")
def sidecar(pod: Resource) -> Resource:
    (sidecar,) = pod["spec"]["initContainers"]
    return dict(sidecar)


def printed(*command: str) -> str:
    result = CliRunner().invoke(main, command)
    assert result.exit_code == 0, result.output
    return result.stdout


@pytest.mark.parametrize("version", [OLDEST, kubernetes_validate.latest_version()])
def test_kubernetes_takes_all_that_is_its_own(resources: list[Resource], version: str) -> None:
    kinds = []
    for resource in resources:
        if not resource["apiVersion"].startswith("monitoring.coreos.com/"):
            kubernetes_validate.validate(resource, version, strict=True)
            kinds.append(resource["kind"])
    assert set(kinds) == {"ConfigMap", "NetworkPolicy", "PodDisruptionBudget", "Service", "StatefulSet"}


def test_a_field_that_kubernetes_does_not_know_would_be_noticed(one: Callable[..., Resource]) -> None:
    broken = copy.deepcopy(one("StatefulSet"))
    broken["spec"]["template"]["spec"]["initContainers"][0]["restartPolicies"] = "Always"
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(broken, OLDEST, strict=True)


@pytest.mark.parametrize("kind", ["PodMonitor", "PrometheusRule"])
def test_the_operator_takes_what_is_for_it(one: Callable[..., Resource], kind: str) -> None:
    validator = jsonschema.Draft7Validator(operator_schema(kind))
    validator.validate(one(kind))
    broken = copy.deepcopy(one(kind))
    broken["spec"]["selectors"] = {}
    assert not validator.is_valid(broken)


def test_the_images_are_of_this_version(pod: Resource) -> None:
    for container in [*pod["spec"]["initContainers"], *pod["spec"]["containers"]]:
        assert container["image"].endswith(f"/{container['name']}:{__version__}")


def test_the_pods_are_within_the_restricted_level(pod: Resource) -> None:
    assert list(violations(pod["spec"])) == []
    assert pod["spec"]["automountServiceAccountToken"] is False
    for container in [*pod["spec"]["initContainers"], *pod["spec"]["containers"]]:
        assert container["securityContext"]["readOnlyRootFilesystem"] is True
        assert {"cpu", "memory"} <= container["resources"]["requests"].keys()
        assert "memory" in container["resources"]["limits"]


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("privileged", True, "raft-exporter: privileged"),
        ("allowPrivilegeEscalation", None, "raft-exporter: allowPrivilegeEscalation"),
        ("capabilities", {}, "raft-exporter: capabilities.drop"),
        ("capabilities", {"drop": ["ALL"], "add": ["SYS_PTRACE"]}, "raft-exporter: capabilities.add"),
        ("runAsNonRoot", False, "raft-exporter: runAsNonRoot"),
        ("runAsUser", 0, "raft-exporter: runAsUser"),
        ("seccompProfile", {"type": "Unconfined"}, "raft-exporter: seccompProfile"),
        ("procMount", "Unmasked", "raft-exporter: procMount"),
    ],
)
def test_what_leaves_the_restricted_level_would_be_noticed(
    pod: Resource, key: str, value: object, said: str
) -> None:
    spec = copy.deepcopy(pod["spec"])
    spec["initContainers"][0]["securityContext"][key] = value
    assert list(violations(spec)) == [said]


def test_a_share_of_the_host_would_be_noticed(pod: Resource) -> None:
    spec = copy.deepcopy(pod["spec"])
    spec["hostNetwork"] = True
    spec["volumes"].append({"name": "root", "hostPath": {"path": "/"}})
    spec["containers"][0]["ports"][0]["hostPort"] = 7000
    assert list(violations(spec)) == ["pod: hostNetwork", "volume root: hostPath", "raftnode: hostPort"]


def test_the_sidecar_is_a_native_one_that_no_node_waits_for(sidecar: Resource) -> None:
    assert sidecar["restartPolicy"] == "Always"
    assert not {"startupProbe", "readinessProbe", "lifecycle"} & sidecar.keys()
    assert sidecar["livenessProbe"]["httpGet"] == {"path": "/-/healthy", "port": "raft-exporter"}
    assert "cpu" not in sidecar["resources"]["limits"]


def test_the_sidecar_takes_its_configuration_and_has_the_files_that_it_names(
    one: Callable[..., Resource], pod: Resource, sidecar: Resource, tmp_path: Path
) -> None:
    mounts = {mount["mountPath"]: mount["name"] for mount in sidecar["volumeMounts"]}
    volumes = {volume["name"]: volume for volume in pod["spec"]["volumes"]}
    command, flag, path = sidecar["args"]
    assert (command, flag) == ("run", "--config")
    folder, name = path.rsplit("/", 1)
    content = one("ConfigMap", volumes[mounts[folder]]["configMap"]["name"])["data"]
    (tmp_path / name).write_text(content[name])
    settings = config.load(tmp_path / name)
    for token_file in (settings.web.token_file, settings.reports.token_file):
        assert "secret" in volumes[mounts[str(token_file).rsplit("/", 1)[0]]]
    assert "emptyDir" in volumes[mounts[str(settings.store.path).rsplit("/", 1)[0]]]


def test_node_and_sidecar_share_the_folder_of_the_observers_socket(pod: Resource, sidecar: Resource) -> None:
    (node,) = pod["spec"]["containers"]
    assert "-observer=unix:/run/raft-exporter/observer.sock" in node["args"]
    mount = {"mountPath": "/run/raft-exporter", "name": "observer"}
    assert mount in node["volumeMounts"]
    assert mount in sidecar["volumeMounts"]


def test_every_pod_of_the_set_is_a_peer_by_the_name_that_it_has(
    one: Callable[..., Resource], pod: Resource
) -> None:
    spec = one("StatefulSet")["spec"]
    (node,) = pod["spec"]["containers"]
    names = [f"raftnode-{n}" for n in range(spec["replicas"])]
    assert [each for each in node["args"] if each.startswith("-peer=")] == [
        f"-peer={name}={name}.{spec['serviceName']}:7000" for name in names
    ]
    assert one("StatefulSet")["metadata"]["name"] == "raftnode"
    service = one("Service", spec["serviceName"])
    assert service["spec"]["clusterIP"] == "None"
    assert service["spec"]["publishNotReadyAddresses"] is True


def test_what_selects_pods_selects_these_and_their_ports(resources: list[Resource], pod: Resource) -> None:
    labels = pod["metadata"]["labels"]
    spec = pod["spec"]
    ports = {port["name"] for each in spec["initContainers"] + spec["containers"] for port in each["ports"]}
    named: set[str] = set()
    for resource in resources:
        inside = resource.get("spec", {})
        match resource["kind"]:
            case "Service":
                assert inside["selector"].items() <= labels.items()
                named |= {port["targetPort"] for port in inside["ports"]}
            case "NetworkPolicy":
                assert inside["podSelector"]["matchLabels"].items() <= labels.items()
                named |= {port["port"] for rule in inside["ingress"] for port in rule["ports"]}
            case "PodDisruptionBudget" | "StatefulSet":
                assert inside["selector"]["matchLabels"].items() <= labels.items()
            case "PodMonitor":
                (wanted,) = inside["selector"]["matchExpressions"]
                assert wanted["key"] in labels
                named |= {endpoint["port"] for endpoint in inside["podMetricsEndpoints"]}
    assert named == ports


def test_the_rules_are_those_that_the_command_writes() -> None:
    found = (FOLDER / "monitoring" / "prometheusrule.yaml").read_text()
    path = "deploy/kubernetes/monitoring/prometheusrule.yaml"
    assert found == printed("rules", "--format", "kubernetes"), (
        f"raft-exporter rules --format kubernetes > {path}"
    )


def test_the_dashboards_are_those_that_the_command_writes(need: Need) -> None:
    def by_name(resources: list[Resource]) -> dict[str, Resource]:
        return {each["metadata"]["name"]: each for each in resources if each["kind"] == "ConfigMap"}

    written = list(yaml.load_all(printed("dashboards", "--format", "kubernetes"), yaml.CSafeLoader))
    assert by_name(built(need, FOLDER / "monitoring")) == by_name(written)
