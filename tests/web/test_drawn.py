"""How the page draws clusters that are no everyday ones."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final

import pytest
from msgspec.structs import replace
from playwright.sync_api import expect

from raft_exporter.journal import EntryKind, Journal
from raft_exporter.model.evidence import Role, Suffrage
from raft_exporter.model.judge import Reason, State
from raft_exporter.view import ClusterView
from raft_exporter.web import stream
from tests.e2e.browser import OUT_OF_REACH, Visit, portraits
from tests.web.face import Face, cluster, member, overridden

Show = Callable[[ClusterView], tuple[Face, Visit]]

LONG: Final = "raft-server-of-the-third-rack-in-a-place-whose-name-is-too-lo"
MARKUP: Final = "<img src=x onerror=alert(1)>"
THREE: Final = cluster(member("n1"), member("n2"), member("n3"))


def nine() -> ClusterView:
    """Nine members, most of them in trouble, each of another kind."""
    return cluster(
        member("n1"),
        member(LONG, State.OFFLINE, Reason.REFUSED),
        member("n3", State.SUSPECT, Reason.SILENT),
        replace(member("n4", State.STALLED, Reason.MAIN_LOOP_SILENT), flapping=True),
        member("n5", State.ASYMMETRIC, Reason.HEARD_BY_OTHERS),
        member("n6", State.UNKNOWN, Reason.NO_EVIDENCE),
        overridden(member("n7", State.OFFLINE, Reason.SILENT_FOR_ALL), "ann", "the disk is being swapped"),
        replace(member("n8"), suffrage=Suffrage.NONVOTER, restored=True),
        replace(member("n9" * 30), address="a-host-with-a-long-name.in-a-domain.of-its-own.example:7000"),
    )


def lone() -> ClusterView:
    """A node that reaches nobody, and whose observer says nothing."""
    view = cluster(member("n1"), *(member(each, State.UNKNOWN, Reason.ISOLATED) for each in ("n2", "n3")))
    node = replace(
        view.node, isolated=True, role=Role.UNKNOWN, leader=None, leader_silence_seconds=None, term=None
    )
    reporters = (
        replace(view.reporters[0], credible=False, isolated=True),
        replace(view.reporters[1], credible=False, age_seconds=90.0),
    )
    return replace(view, node=node, reporters=reporters)


def empty() -> ClusterView:
    """What a sidecar shows that has heard nothing at all."""
    node = replace(THREE.node, id=None, up=False, role=Role.UNKNOWN, leader=None, term=None)
    nothing = replace(THREE.quorum, voters=None, quorum=None, voters_online=None, failure_tolerance=None)
    return replace(THREE, node=node, quorum=nothing, members=(), reporters=())


@pytest.mark.parametrize("drawn", [nine, lone, empty])
def test_any_cluster_looks_and_reads_well(
    drawn: Callable[[], ClusterView], show: Show, pictures: Path
) -> None:
    page = show(drawn())[1].page
    assert portraits(page, drawn.__name__, pictures) == []


@pytest.mark.parametrize("width", [1440, 390])
def test_long_ids_take_some_lines_and_nobody_elses_room(width: int, show: Show) -> None:
    page = show(nine())[1].page
    page.set_viewport_size({"width": width, "height": 900})
    for name in (LONG, "n9" * 30):
        height = page.locator(f'#sight tbody tr[data-key="{name}"]').evaluate("(row) => row.offsetHeight")
        assert height < 300
        head, state = (
            page.locator(f'#members tr[data-key="{name}"] {part}').bounding_box() for part in ("th", ".state")
        )
        assert head is not None
        assert state is not None
        assert head["x"] + head["width"] <= state["x"]
        assert state["x"] + state["width"] <= width


def test_every_trouble_is_told_in_words(show: Show) -> None:
    page = show(nine())[1].page
    expect(page.locator("#trouble li")).to_have_text(
        [
            f"{LONG} is offline: its host refuses connections to the Raft port",
            "n3 is suspect: it is not heard",
            "n4 is stalled: its main loop does not answer, though its process is heard; it is flapping",
            "n5 is asymmetric: this node hears nothing of it, others do",
            "n6 is unknown: nothing has spoken of it yet",
            "n7 is shown as offline, by ann",
        ]
    )
    expect(page.locator("#overrides li span")).to_have_text(
        "n7 is ignored for 2h00m more, by ann: the disk is being swapped"
    )
    bars = page.locator('#silence [data-key="n3"]').get_by_role("img")
    expect(bars.first).to_have_attribute("aria-label", "n3 heard: 3.00s ago, above suspect")
    expect(page.locator('#members [data-key="n8"] th')).to_have_text("n8 (nonvoter)")


def test_a_node_that_is_cut_off_says_so_and_whose_word_does_not_count(show: Show) -> None:
    page = show(lone())[1].page
    expect(page.locator("#isolated[role=alert]")).to_have_text(
        "n1 reaches no majority of the voters, so it blames nobody."
    )
    expect(page.locator("#leader")).to_have_text("not told")
    expect(page.locator("#may-fail")).to_have_text("quorum unsure: 2 unknown")
    for sentence in (
        "n1 reaches no majority: its word does not count.",
        "n2 last reported 1m30s ago: its word does not count.",
        "n3 has no sidecar that reports.",
    ):
        expect(page.locator("#unseen")).to_contain_text(sentence)


def test_markup_is_drawn_as_the_text_that_it_is(show: Show) -> None:
    foe = replace(overridden(member(MARKUP, State.OFFLINE, Reason.REFUSED), MARKUP, MARKUP), address=MARKUP)
    face, made = show(cluster(replace(foe, state=State.ONLINE), member("n2", State.OFFLINE, Reason.SILENT)))
    page = made.page
    face.note(EntryKind.STATE, MARKUP, State.OFFLINE)
    expect(page.locator("#journal li").first).to_contain_text(f"{MARKUP} is offline")
    expect(page.locator("#news")).to_contain_text(MARKUP)
    for place in ("#who", "#leader", "#members", "#sight", "#unseen", "#silence", "#overrides"):
        expect(page.locator(place)).to_contain_text(MARKUP)
    page.get_by_role("button", name=f"Override {MARKUP}").click()
    expect(page.locator("#change-title")).to_have_text(f"Override {MARKUP}")
    page.get_by_label("Reason").fill(MARKUP)
    page.get_by_label("Your name").fill(MARKUP)
    page.get_by_role("button", name="Set").click()
    expect(page.locator("#news")).to_have_text(
        "Done, but not stored: this sidecar forgets it when it restarts."
    )
    assert page.locator("img").count() == 0


def test_members_come_and_go(show: Show) -> None:
    face, made = show(THREE)
    page = made.page
    drawn = ("#members tbody tr", "#sight tbody tr", "#sight thead th", "#silence > div")
    for names in (["n1", "n3"], ["n0", "n1", "n2", "n3", "n4"], ["n4", "n1"]):
        face.view = cluster(*map(member, names))
        for selector in drawn:
            expect(page.locator(selector)).to_have_count(len(names))
        assert page.locator("#sight thead th").all_inner_texts() == names
        assert page.locator("#sight tbody th").all_inner_texts() == names
        assert page.locator("#silence h3").all_inner_texts() == names


def test_all_that_happened_at_once_is_said_aloud(show: Show) -> None:
    face, made = show(THREE)
    for peer in ("n2", "n3"):
        face.note(EntryKind.STATE, peer, State.OFFLINE)
    news = made.page.locator("#news[role=status]")
    expect(news).to_have_text("n2 is offline. n3 is offline")
    assert news.evaluate("(element) => element.offsetWidth") <= 1  # and is in nobody's way


def test_a_journal_without_a_store_begins_anew_with_the_sidecar(show: Show) -> None:
    face, made = show(THREE)
    made.allow(OUT_OF_REACH)
    journal = made.page.locator("#journal li span")
    for kind, peer in ((EntryKind.STARTED, None), (EntryKind.JOINED, "n2"), (EntryKind.LEFT, "n2")):
        face.note(kind, peer)
    expect(journal).to_have_text(["n2 left the cluster", "n2 joined the cluster", "this sidecar started"])
    with face.restarted():
        face.journal = Journal(10)
    face.note(EntryKind.ISOLATED)
    expect(journal).to_have_text(
        ["this node is isolated: it reaches no majority of the voters, and blames nobody"]
    )


def test_a_sidecar_of_another_version_is_shown_by_its_own_page(
    show: Show, monkeypatch: pytest.MonkeyPatch
) -> None:
    face, made = show(THREE)
    made.allow(OUT_OF_REACH)
    made.page.evaluate("window.unbroken = true")
    with face.restarted():
        monkeypatch.setattr(stream, "__version__", "99.0")
    made.page.wait_for_function("() => !window.unbroken")
    made.page.wait_for_selector("#live[data-live=live]")
