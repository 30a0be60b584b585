"""What counts as a false word: the harness itself, without a cluster."""

from __future__ import annotations

import pytest

from tests.chaos.truth import NODES, Condition, Truth


@pytest.mark.parametrize(
    ("condition", "allowed"),
    [
        (Condition.UP, False),
        (Condition.LOSSY, False),
        (Condition.FROZEN, False),
        (Condition.STALLED, False),
        (Condition.UP_AGAIN, False),
        (Condition.GONE, True),
        (Condition.RETURNING, True),
    ],
)
def test_only_who_is_gone_or_returning_may_be_called_offline(condition: Condition, allowed: bool) -> None:
    truth = Truth().having(condition, "n2")
    assert truth.row("n1", "n2").offline_allowed is allowed
    assert not truth.row("n2", "n1").offline_allowed


def test_who_is_cut_off_may_be_called_offline_by_the_majority_alone() -> None:
    truth = Truth().cut_off("n1", "n2")
    allowed = {(a, b) for a in NODES for b in NODES if truth.row(a, b).offline_allowed}
    assert allowed == {(a, b) for a in ("n3", "n4", "n5") for b in ("n1", "n2")}


def test_a_broken_link_makes_nobody_offline_at_either_end() -> None:
    truth = Truth().broken_between("n1", "n2")
    assert truth.row("n1", "n2").label == truth.row("n2", "n1").label == "up, link broken"
    assert not any(truth.row(a, b).offline_allowed for a in NODES for b in NODES)
