"""``raft-exporter rules``: the shipped rule files, verbatim where nothing has to change."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result

from raft_exporter import shipped
from raft_exporter.cli import main
from raft_exporter.shipped import RULE_FILES, rule_texts

ROOT = Path(__file__).parents[1]
RULES = ROOT / "rules"
GROUPS: list[dict[str, Any]] = [
    group for name in RULE_FILES for group in yaml.safe_load((RULES / name).read_text())["groups"]
]


def run(*flags: str, env: dict[str, str] | None = None) -> Result:
    return CliRunner().invoke(main, ["rules", *flags], env=env)


def printed(*flags: str) -> str:
    result = run(*flags)
    assert (result.exit_code, result.stderr) == (0, "")
    return result.stdout


def comments(text: str) -> list[str]:
    return [line.strip() for line in text.splitlines() if line.strip().startswith("#")]


def without_keeping(groups: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [
        group
        | {
            "rules": [
                {key: value for key, value in rule.items() if key != "keep_firing_for"}
                for rule in group["rules"]
            ]
        }
        for group in groups
    ]


def test_the_files_are_written_as_they_are_into_a_directory_that_is_made(tmp_path: Path) -> None:
    place = tmp_path / "etc" / "rules"
    assert printed("--to", str(place)) == "".join(f"wrote {place / name}\n" for name in RULE_FILES)
    assert {path.name for path in place.iterdir()} == set(RULE_FILES)
    for name in RULE_FILES:
        assert (place / name).read_bytes() == (RULES / name).read_bytes()


def test_older_files_are_replaced(tmp_path: Path) -> None:
    (tmp_path / RULE_FILES[0]).write_text("older\n")
    printed("--to", str(tmp_path))
    assert (tmp_path / RULE_FILES[0]).read_bytes() == (RULES / RULE_FILES[0]).read_bytes()


def test_without_a_directory_one_document_with_all_groups_is_printed() -> None:
    text = printed()
    assert yaml.safe_load(text) == {"groups": GROUPS}
    assert comments(text) == [line for name in RULE_FILES for line in comments((RULES / name).read_text())]


def test_a_prometheus_rule_holds_the_same_groups_and_comments() -> None:
    text = printed("--format", "kubernetes")
    assert yaml.safe_load(text) == {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PrometheusRule",
        "metadata": {"name": "raft-exporter"},
        "spec": {"groups": GROUPS},
    }
    assert comments(text) == comments(printed())


def test_a_prometheus_rule_has_the_namespace_and_the_labels_that_are_asked_for() -> None:
    labels = ("--label", "release=prometheus", "--label", "example.org/on=true", "--label", "empty=")
    text = printed("--format", "kubernetes", "--namespace", "monitoring", *labels)
    assert yaml.safe_load(text)["metadata"] == {
        "name": "raft-exporter",
        "namespace": "monitoring",
        "labels": {"release": "prometheus", "example.org/on": "true", "empty": ""},
    }


def test_a_prometheus_rule_goes_into_one_file(tmp_path: Path) -> None:
    (path,) = [tmp_path / "raft-exporter.prometheusrule.yml"]
    assert printed("--format", "kubernetes", "--to", str(tmp_path)) == f"wrote {path}\n"
    assert path.read_text() == printed("--format", "kubernetes")


@pytest.mark.parametrize("form", ["prometheus", "kubernetes"])
def test_for_victoriametrics_keep_firing_for_is_left_out_and_nothing_else(form: str) -> None:
    document = yaml.safe_load(printed("--for", "victoriametrics", "--format", form))
    groups = document["groups"] if form == "prometheus" else document["spec"]["groups"]
    assert groups == without_keeping(GROUPS)
    assert groups != GROUPS
    before = printed("--format", form).splitlines()
    after = printed("--format", form, "--for", "victoriametrics").splitlines()
    assert after == [line for line in before if not line.strip().startswith("keep_firing_for:")]


def test_every_flag_can_be_given_in_the_environment() -> None:
    result = run(env={"RAFT_EXPORTER_RULES_FORMAT": "kubernetes", "RAFT_EXPORTER_RULES_LABEL": "a=1 b=2"})
    assert yaml.safe_load(result.stdout)["metadata"]["labels"] == {"a": "1", "b": "2"}


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (("--namespace", "monitoring"), "--namespace and --label are of use with --format kubernetes alone"),
        (("--label", "a=b"), "--namespace and --label are of use with --format kubernetes alone"),
        (("--format", "kubernetes", "--label", "release"), "expected KEY=VALUE, as Kubernetes takes labels"),
        (("--format", "kubernetes", "--label", "a b=c"), "expected KEY=VALUE, as Kubernetes takes labels"),
        (
            ("--format", "kubernetes", "--label", f"a={'b' * 64}"),
            "expected KEY=VALUE, as Kubernetes takes labels",
        ),
        (("--format", "kubernetes", "--label", "a=b\n"), "expected KEY=VALUE, as Kubernetes takes labels"),
        (("--format", "kubernetes", "--namespace", "Up"), "expected the name of a Kubernetes namespace"),
        (("--format", "kubernetes", "--namespace", ""), "expected the name of a Kubernetes namespace"),
        (("--format", "json"), "is not one of 'prometheus', 'kubernetes'"),
        (("--for", "thanos"), "is not one of 'prometheus', 'victoriametrics'"),
    ],
)
def test_wrong_usage_is_said_in_one_line(flags: tuple[str, ...], said: str) -> None:
    result = run(*flags)
    assert (result.exit_code, result.stdout) == (2, "")
    assert said in result.stderr.splitlines()[-1]


def test_a_place_that_cannot_be_written_is_said_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("")
    result = run("--to", str(tmp_path / "taken"))
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == f"raft-exporter: {tmp_path}/taken/raft.rules.yml: File exists\n"


def test_an_installation_without_the_files_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(shipped, "files", lambda _: tmp_path)
    monkeypatch.setattr(shipped, "__file__", str(tmp_path / "raft_exporter" / "shipped.py"))
    result = run()
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == (
        "raft-exporter: this installation lacks raft.rules.yml: expected it in the package, or in rules/\n"
    )


def test_the_texts_are_those_of_the_checkout() -> None:
    assert rule_texts() == {name: (RULES / name).read_text() for name in RULE_FILES}
