from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from raft_exporter.cli import main
from raft_exporter.demo import command
from raft_exporter.demo.fault import Fault
from raft_exporter.demo.monitoring import Monitoring, Watch, prometheus_config
from raft_exporter.demo.stage import Plan
from raft_exporter.demo.system import System


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        (["--for", "soon"], "expected a duration"),
        (["--fault-after", "5"], "expected a duration"),
        (["--system", "etcd"], "'etcd' is not one of 'raftnode', 'openbao'"),
        (["--fault", "flood"], "'flood' is not one of 'kill', 'freeze', 'stall-store'"),
        (["--fault", "kill", "--check"], "expected one of them"),
        (["--fault", "kill", "--for", "10s"], "expected more than --fault-after"),
    ],
)
def test_wrong_flags_are_wrong_usage_before_anything_starts(flags: list[str], expected: str) -> None:
    result = CliRunner().invoke(main, ["demo", *flags])
    assert result.exit_code == 2
    assert expected in " ".join(result.output.split())


@pytest.mark.parametrize(
    ("flags", "plan"),
    [
        ([], Plan()),
        (["--for", "1m30s"], Plan(lasts=90.0)),
        (["--check"], Plan(check=True)),
        (["--system", "openbao"], Plan(system=System.OPENBAO)),
        (["--fault", "stall-store"], Plan(fault=Fault.STALL_STORE)),
        (["--fault", "kill", "--fault-after", "2s", "--for", "5s"], Plan(5.0, False, Fault.KILL, 2.0)),
    ],
)
def test_the_flags_are_the_plan(flags: list[str], plan: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    plans: list[Plan] = []
    monkeypatch.setattr(command, "play", plans.append)
    assert CliRunner().invoke(main, ["demo", *flags]).exit_code == 0
    assert plans == [plan]


def test_a_log_store_of_openbao_can_not_stall_and_one_line_says_so() -> None:
    result = CliRunner().invoke(main, ["demo", "--system", "openbao", "--fault", "stall-store"])
    assert result.exit_code == 2
    (line,) = result.output.splitlines()
    assert "expected raftnode" in line


def test_without_alertmanager_prometheus_is_told_of_none() -> None:
    watch = Watch({"": ["127.0.0.1:1"]})
    assert "alerting" not in prometheus_config(watch, None)
    told = yaml.safe_load(prometheus_config(watch, "127.0.0.1:9"))["alerting"]
    assert told == {"alertmanagers": [{"static_configs": [{"targets": ["127.0.0.1:9"]}]}]}


def test_what_is_not_installed_is_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with Monitoring(tmp_path, Watch({"": ["127.0.0.1:1"]})) as monitoring:
        assert monitoring.processes == []
        assert monitoring.targets_up() == 0
