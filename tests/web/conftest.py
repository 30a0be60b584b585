from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest
from playwright.sync_api import Browser

from raft_exporter.view import ClusterView
from tests.e2e.browser import Visit, browser, pictures  # noqa: F401 - fixtures
from tests.web.face import Face


@pytest.fixture
def show(browser: Browser) -> Iterator[Callable[[ClusterView], tuple[Face, Visit]]]:  # noqa: F811
    """Show a view on an open page; whatever the browser has to complain of fails the test at its end."""
    with ExitStack() as stack:

        def begin(view: ClusterView) -> tuple[Face, Visit]:
            face = stack.enter_context(Face(view))
            made = Visit(browser, face.url)
            stack.callback(made.close)
            made.open()
            return face, made

        yield begin
