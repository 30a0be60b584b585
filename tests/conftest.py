from __future__ import annotations

import os
from collections.abc import Callable
from typing import Protocol, TypeVar

import pytest

from raft_exporter.errors import RaftExporterError

_T = TypeVar("_T")


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
