from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from typing import Protocol, TypeVar

import pytest
from hypothesis import settings

from raft_exporter.errors import RaftExporterError
from tests.chaos.network import Network

_T = TypeVar("_T")

# How long an example takes says nothing on a machine that does other things too.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")


class Need(Protocol):
    """``need("a browser", find_browser)`` gives what ``find_browser`` gives, or ends the test."""

    def __call__(self, part: str, find: Callable[[], _T | None], /) -> _T: ...


@pytest.fixture(scope="session")
def need() -> Need:
    """Have a part that is not on every machine: without it a test is skipped, in CI it fails.

    The part is missing when ``find`` gives None or raises OSError or an error of ours.
    """

    def have(part: str, find: Callable[[], _T | None]) -> _T:
        try:
            found = find()
            reason = "not found"
        except (OSError, RaftExporterError) as error:
            found, reason = None, str(error)
        if found is not None:
            return found
        message = f"needs {part}: {reason}"
        if os.environ.get("CI", "").lower() in {"1", "true"}:
            pytest.fail(f"{message} (CI must have every part)", pytrace=False)
        pytest.skip(message)

    return have


@pytest.fixture(scope="session")
def ip(need: Need, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Give iproute2, where hosts can be made with it."""
    ip = need("iproute2", lambda: shutil.which("ip", path=f"{os.environ['PATH']}:/usr/sbin:/sbin"))

    def make() -> bool:
        with Network(ip, 1, tmp_path_factory.mktemp("trial"), seed=0):
            return True

    need("the right to make network namespaces", make)
    return ip
