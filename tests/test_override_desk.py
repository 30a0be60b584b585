"""The desk: which overrides stand, and what the journal says of it."""

from __future__ import annotations

from msgspec.structs import replace

from raft_exporter.chronicle import Chronicle
from raft_exporter.journal import EntryKind, Journal
from raft_exporter.model.evidence import Server
from raft_exporter.model.policy import Policy
from raft_exporter.model.table import Table
from raft_exporter.override_desk import OverrideDesk

HOUR = 3600.0


class Office:
    """A desk with members n1 and n2, its journal, and its wall clock."""

    def __init__(self) -> None:
        self.wall = 1_700_000_000.0
        self.journal = Journal(100)
        self.table = Table(Policy.of(1.0), (Server("n1", "a:1"), Server("n2", "b:1")), 0.0)
        chronicle = Chronicle(self.journal, lambda: self.wall, lambda _: None)
        self.desk = OverrideDesk(self.table, chronicle, lambda: self.wall)

    def kinds(self) -> list[EntryKind]:
        return [entry.kind for entry in self.journal.after(0, 100)]


def test_an_expiry_is_journaled_once() -> None:
    office = Office()
    office.desk.set("n2", "offline", HOUR, "ann", "disk swap")
    office.wall += HOUR
    assert not office.desk.turn(members_known=True), "it is its own tombstone: the store keeps it"
    office.desk.turn(members_known=True)
    assert office.kinds() == [EntryKind.OVERRIDE_SET, EntryKind.OVERRIDE_EXPIRED]
    assert not office.table.overrides


def test_one_that_gives_way_to_a_later_one_that_is_over_has_ended_and_the_journal_says_so() -> None:
    office = Office()
    first = office.desk.set("n2", "offline", HOUR, "ann", "disk swap")
    office.desk.take([replace(first, set_at=first.set_at + 1, expires_at=office.wall, node="n1")])
    office.desk.turn(members_known=True)
    assert office.kinds() == [EntryKind.OVERRIDE_SET, EntryKind.OVERRIDE_EXPIRED]


def test_that_of_a_member_that_left_is_let_go_and_the_store_is_told_once() -> None:
    office = Office()
    office.desk.set("n2", "offline", HOUR, "ann", "disk swap")
    del office.table.members["n2"]
    assert not office.desk.turn(members_known=False)
    assert office.desk.turn(members_known=True)
    assert not office.desk.entries()
    assert not office.desk.turn(members_known=True)
