"""The page writes numbers and the margin as the terminal does."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from raft_exporter.model.judge import Reason, State
from raft_exporter.view import ClusterView
from raft_exporter.wording import duration, outlook
from tests.e2e.browser import Visit
from tests.web.face import Face, cluster, member

Words = Callable[[str, Any], str]


@pytest.fixture
def words(show: Callable[[ClusterView], tuple[Face, Visit]]) -> Words:
    """Call a function of words.js."""
    page = show(cluster(member("n1")))[1].page

    def call(name: str, argument: Any) -> str:
        return str(
            page.evaluate(
                "async ([name, argument]) => (await import('/page/words.js'))[name](argument)",
                [name, argument],
            )
        )

    return call


def test_durations_are_those_of_the_terminal(words: Words) -> None:
    for seconds in (None, 0, 0.004, 9.99, 9.996, 10, 59.4, 59.6, 60, 3599.4, 3599.6, 3600, 90_061.0):
        assert words("duration", seconds) == duration(seconds), seconds


def test_the_margin_is_that_of_the_terminal(words: Words) -> None:
    voters = [member(f"n{number}") for number in range(1, 6)]
    for offline in range(6):
        for unknown in range(6 - offline):
            states = [State.OFFLINE] * offline + [State.UNKNOWN] * unknown
            fallen = [
                replace(each, state=state, judged_state=state, reason=Reason.SILENT)
                for each, state in zip(reversed(voters), states, strict=False)
            ]
            view = cluster(*voters[: 5 - len(fallen)], *fallen)
            said = words("margin", msgspec.to_builtins(view))
            assert said.partition(":")[0] == outlook(view).partition(",")[0], (offline, unknown)


def test_names_are_put_in_a_row_as_one_says_them(words: Words) -> None:
    assert [words("list", names) for names in ([], ["a"], ["a", "b"], ["a", "b", "c"])] == [
        *("", "a", "a and b", "a, b and c")
    ]
