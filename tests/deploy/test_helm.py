"""deploy/helm: the chart, linted and rendered by Helm's own library, and held against what else is here."""

from __future__ import annotations

import importlib
from pathlib import Path
from types import ModuleType
from typing import Any

import jsonschema
import kubernetes_validate
import pytest
import yaml

from raft_exporter import __version__
from tests.conftest import Need
from tests.deploy.published import operator_schema
from tests.deploy.restricted import violations

ROOT = Path(__file__).parents[2]
CHART = ROOT / "deploy" / "helm" / "raft-exporter"
DASHBOARDS = ROOT / "grafana" / "dashboards"
OLDEST = "1.29"

Resource = dict[str, Any]
Values = dict[str, Any]

SERVICE = """
{{- $sidecar := .Values.sidecar }}
apiVersion: v1
kind: Pod
metadata:
  name: orders
  labels:
    raft-cluster: orders
spec:
  securityContext:
    runAsNonRoot: true
  initContainers:
    {{- include "raft-exporter.sidecar" $sidecar | nindent 4 }}
  containers:
    - name: orders
      image: registry.example.org/orders:1
      securityContext:
        allowPrivilegeEscalation: false
        capabilities: {drop: [ALL]}
        seccompProfile: {type: RuntimeDefault}
      volumeMounts:
        - {name: raft-exporter-observer, mountPath: /run/raft-exporter}
  volumes:
    {{- include "raft-exporter.sidecarVolumes" $sidecar | nindent 4 }}
    - name: data
      emptyDir: {}
"""
"""What a service's own chart has: the pod of its README, in short."""


@pytest.fixture(scope="module")
def helm(need: Need) -> ModuleType:
    def find() -> ModuleType | None:
        try:
            return importlib.import_module("helm_python")
        except ImportError:
            return None

    return need("Helm's library (helm-python-sdk)", find)


def rendered(helm: ModuleType, values: Values | None = None, chart: Path = CHART) -> list[Resource]:
    with helm.Chart.load(chart) as loaded:
        loaded.validate_schema(values)
        texts = loaded.render(values, name="raft", namespace="monitoring")
    manifests = [text for path, text in sorted(texts.items()) if path.endswith(".yaml")]
    found = [each for text in manifests for each in yaml.load_all(text, yaml.CSafeLoader)]
    return [each for each in found if each is not None]


def of_kind(resources: list[Resource], kind: str) -> Resource:
    (found,) = [each for each in resources if each["kind"] == kind]
    return found


@pytest.fixture(scope="module")
def resources(helm: ModuleType) -> list[Resource]:
    return rendered(helm)


@pytest.fixture
def service(tmp_path: Path) -> Path:
    """The chart of a service that includes the sidecar."""
    chart = tmp_path / "orders"
    (chart / "templates").mkdir(parents=True)
    (chart / "charts").mkdir()
    (chart / "charts" / "raft-exporter").symlink_to(CHART)
    dependency = {
        "name": "raft-exporter",
        "version": yaml.safe_load((CHART / "Chart.yaml").read_text())["version"],
    }
    about = {"apiVersion": "v2", "name": "orders", "version": "1.0.0", "dependencies": [dependency]}
    (chart / "Chart.yaml").write_text(yaml.safe_dump(about))
    (chart / "templates" / "pod.yaml").write_text(SERVICE)
    return chart


def sidecar_pod(helm: ModuleType, service: Path, **values: object) -> Resource:
    off = {part: {"enabled": False} for part in ("podMonitor", "prometheusRule", "dashboards")}
    given: Values = {"sidecar": {"image": "registry.example.org/raft-exporter:0.1.0"} | values}
    return of_kind(rendered(helm, given | {"raft-exporter": off}, service), "Pod")


def test_the_chart_has_the_version_of_the_package() -> None:
    about = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert (about["version"], about["appVersion"]) == (__version__, __version__)


def test_helm_finds_no_fault(helm: ModuleType) -> None:
    report = helm.lint(CHART, strict=True, kube_version=f"v{OLDEST}.0")
    assert report["errors"] == []
    assert [message["error"] for message in report["messages"]] == ["icon is recommended"]


def test_helm_would_find_one(helm: ModuleType) -> None:
    report = helm.lint(CHART, {"podMonitor": {"interval": 5}})
    assert any("interval" in each for each in report["errors"] + [m["error"] for m in report["messages"]])


@pytest.mark.parametrize(
    "values",
    [
        {"podMonitors": {}},
        {"podMonitor": {"interval": "5"}},
        {"podMonitor": {"clusterLabel": "a b"}},
        {"prometheusRule": {"labels": {"a": 1}}},
        {"dashboards": {"enabled": "yes"}},
        {"config": {"content": "text"}},
    ],
)
def test_values_that_are_none_are_refused(helm: ModuleType, values: Values) -> None:
    with helm.Chart.load(CHART) as chart:
        chart.validate_schema({})
        with pytest.raises(helm.HelmError):
            chart.validate_schema(values)


def test_kubernetes_and_the_operator_take_what_is_installed(resources: list[Resource]) -> None:
    for resource in resources:
        if resource["apiVersion"].startswith("monitoring.coreos.com/"):
            jsonschema.Draft7Validator(operator_schema(resource["kind"])).validate(resource)
        else:
            kubernetes_validate.validate(resource, OLDEST, strict=True)
        assert resource["metadata"]["namespace"] == "monitoring"
    assert sorted(each["kind"] for each in resources) == [*["ConfigMap"] * 4, "PodMonitor", "PrometheusRule"]


def test_what_is_installed_is_what_kustomize_installs(resources: list[Resource]) -> None:
    folder = ROOT / "deploy" / "kubernetes" / "monitoring"
    for kind, file in (("PodMonitor", "podmonitor.yaml"), ("PrometheusRule", "prometheusrule.yaml")):
        assert of_kind(resources, kind)["spec"] == yaml.safe_load((folder / file).read_text())["spec"]
    found = {name: text for each in resources if "data" in each for name, text in each["data"].items()}
    assert found == {path.name: path.read_text() for path in DASHBOARDS.glob("*.json")}


def test_what_is_turned_off_is_not_there(helm: ModuleType) -> None:
    for part, kind in (
        ("podMonitor", "PodMonitor"),
        ("prometheusRule", "PrometheusRule"),
        ("dashboards", "ConfigMap"),
    ):
        assert kind not in {each["kind"] for each in rendered(helm, {part: {"enabled": False}})}


def test_labels_namespaces_and_configuration_are_as_they_are_given(helm: ModuleType) -> None:
    values: Values = {
        "podMonitor": {
            "labels": {"release": "a"},
            "namespaces": ["x", "y"],
            "clusterLabel": "example.org/Raft-x",
        },
        "prometheusRule": {"labels": {"release": "b"}},
        "dashboards": {"enabled": False},
        "config": {
            "enabled": True,
            "content": {"log": {"format": "json"}, "reports": {"url": "http://{host}:9641"}},
        },
    }
    found = rendered(helm, values)
    monitor = of_kind(found, "PodMonitor")
    assert monitor["metadata"]["labels"]["release"] == "a"
    assert monitor["spec"]["namespaceSelector"] == {"matchNames": ["x", "y"]}
    (endpoint,) = monitor["spec"]["podMetricsEndpoints"]
    assert endpoint["relabelings"][0]["sourceLabels"] == ["__meta_kubernetes_pod_label_example_org_Raft_x"]
    assert of_kind(found, "PrometheusRule")["metadata"]["labels"]["release"] == "b"
    assert (
        yaml.safe_load(of_kind(found, "ConfigMap")["data"]["raft-exporter.yml"])
        == values["config"]["content"]
    )


def test_a_service_includes_the_sidecar_that_the_example_has(helm: ModuleType, service: Path) -> None:
    pod = sidecar_pod(helm, service, config="orders", secret="orders", store="data")
    kubernetes_validate.validate(pod, OLDEST, strict=True)
    assert list(violations(pod["spec"])) == []
    (ours,) = pod["spec"]["initContainers"]
    example = yaml.safe_load((ROOT / "deploy/kubernetes/example/statefulset.yaml").read_text())
    (theirs,) = example["spec"]["template"]["spec"]["initContainers"]
    same = ("name", "restartPolicy", "args", "ports", "livenessProbe", "resources")
    assert {key: ours[key] for key in same} == {key: theirs[key] for key in same}
    assert [mount["mountPath"] for mount in ours["volumeMounts"]] == [
        "/run/raft-exporter",
        "/etc/raft-exporter/config",
        "/etc/raft-exporter/secrets",
        "/var/lib/raft-exporter",
    ]
    assert ours.keys() - set(same) == theirs.keys() - set(same)
    volumes = {volume["name"] for volume in pod["spec"]["volumes"]}
    assert {mount["name"] for mount in ours["volumeMounts"]} <= volumes


def test_a_sidecar_that_is_told_by_arguments_needs_no_configuration(helm: ModuleType, service: Path) -> None:
    pod = sidecar_pod(
        helm, service, args=["--node", "http://127.0.0.1:8500"], resources={"limits": {"memory": "1Gi"}}
    )
    kubernetes_validate.validate(pod, OLDEST, strict=True)
    (sidecar,) = pod["spec"]["initContainers"]
    assert sidecar["args"] == ["run", "--node", "http://127.0.0.1:8500"]
    assert sidecar["resources"] == {"limits": {"memory": "1Gi"}}
    assert [mount["mountPath"] for mount in sidecar["volumeMounts"]] == ["/run/raft-exporter"]


def test_a_sidecar_without_a_configuration_is_refused(helm: ModuleType, service: Path) -> None:
    with pytest.raises(helm.HelmError, match="config is needed"):
        sidecar_pod(helm, service)
