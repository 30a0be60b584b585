"""The target of all of these tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.security.target import Target, target


@pytest.fixture(scope="session")
def victim() -> Iterator[Target]:
    """A server that has to survive them all."""
    with target() as running:
        yield running
