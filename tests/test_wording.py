"""What people read."""

from __future__ import annotations

import pytest

from raft_exporter.journal import Entry, EntryKind
from raft_exporter.model.judge import Reason, State
from raft_exporter.model.override import FORCED, Override
from raft_exporter.wording import REASONS, sentence

OVERRIDE = Override(1000.0, "n1", "offline", 8200.0, "ann", "disk swap", "n2")


def of(override: Override, **changes: str) -> Override:
    facts = {name: getattr(override, name) for name in override.__struct_fields__} | changes
    return Override(**facts)


@pytest.mark.parametrize(
    ("entry", "text"),
    [
        (Entry(1, 0.0, EntryKind.STARTED), "this sidecar started"),
        (
            Entry(
                1,
                0.0,
                EntryKind.STATE,
                peer="n2",
                before=State.ONLINE,
                after=State.OFFLINE,
                reason=Reason.REFUSED,
                before_for=200.0,
            ),
            "n2 is offline: its host refuses connections to the Raft port (was online for 3m20s)",
        ),
        (Entry(1, 0.0, EntryKind.JOINED, peer="n2"), "n2 joined the cluster"),
        (
            Entry(1, 0.0, EntryKind.LEFT, peer="n2", before=State.SUSPECT, before_for=12.0),
            "n2 left the cluster (was suspect for 12s)",
        ),
        (
            Entry(1, 0.0, EntryKind.ISOLATED),
            "this node is isolated: it reaches no majority of the voters, and blames nobody",
        ),
        (Entry(1, 0.0, EntryKind.REJOINED), "this node reaches a majority of the voters again"),
        (
            Entry(1, 0.0, EntryKind.OVERRIDE_SET, peer="n2", override=OVERRIDE),
            "n2 is shown as offline for 2h00m by ann: disk swap",
        ),
        (
            Entry(1, 0.0, EntryKind.OVERRIDE_SET, override=of(OVERRIDE, state="ignore", reason="")),
            "n2 is ignored for 2h00m by ann",
        ),
        (
            Entry(1, 0.0, EntryKind.OVERRIDE_CLEARED, override=of(OVERRIDE, state="", reason="done")),
            "the override of n2 was cleared by ann: done",
        ),
        (
            Entry(1, 0.0, EntryKind.OVERRIDE_EXPIRED, override=OVERRIDE),
            "n2 is no longer shown as offline: the override by ann expired",
        ),
    ],
)
def test_a_sentence_says_what_happened(entry: Entry, text: str) -> None:
    assert sentence(entry) == text


@pytest.mark.parametrize("kind", EntryKind)
def test_every_kind_has_its_sentence(kind: EntryKind) -> None:
    bare = sentence(Entry(1, 0.0, kind, peer="n2"))
    assert bare.strip()
    assert "None" not in bare.replace(" is None", "")
    for state in (*FORCED, ""):
        assert "n2" in sentence(Entry(1, 0.0, kind, peer="n2", override=of(OVERRIDE, state=state)))


@pytest.mark.parametrize("reason", Reason)
def test_every_reason_has_its_words(reason: Reason) -> None:
    words = REASONS[reason]
    text = sentence(Entry(1, 0.0, EntryKind.STATE, peer="n2", after=State.SUSPECT, reason=reason))
    assert text == f"n2 is suspect: {words}"
    assert len(set(REASONS.values())) == len(REASONS)
