"""The cluster in a terminal: nothing that matters is cut off, and nothing is said by colour alone."""

from __future__ import annotations

import io
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from rich.cells import cell_len
from rich.console import Console

from raft_exporter.answers import Event
from raft_exporter.journal import EntryKind
from raft_exporter.model.evidence import Role, Suffrage
from raft_exporter.model.judge import Reason, State
from raft_exporter.model.policy import Policy
from raft_exporter.terminal.labels import labels, printable
from raft_exporter.terminal.screen import ENTRIES, Latest, Screen, Watched
from raft_exporter.terminal.sights import short_sights, sights
from raft_exporter.terminal.silence import silence_bars
from raft_exporter.view import (
    ClusterView,
    MemberView,
    NodeView,
    OverrideView,
    QuorumView,
    ReporterView,
    SightView,
    SilenceView,
)
from raft_exporter.wording import duration

AT = 1_700_000_000.0
FRESH = SightView(seen=True, silence_seconds=0.3, refused=False)
SILENT = SightView(seen=False, silence_seconds=3.2, refused=False)
REFUSED = SightView(seen=False, silence_seconds=7.0, refused=True)
TROUBLE = (
    (State.ONLINE, Reason.FRESH, 0.3),
    (State.STALLED, Reason.MAIN_LOOP_SILENT, 0.2),
    (State.OFFLINE, Reason.SILENT_FOR_ALL, 22.0),
    (State.ASYMMETRIC, Reason.HEARD_BY_OTHERS, 7.3),
    (State.UNKNOWN, Reason.INSTALLING_SNAPSHOT, 0.4),
    (State.SUSPECT, Reason.PROCESS_SILENT, 3.2),
)
"""Every state, with the longest of the reasons."""
UUIDS = tuple(f"8f6bd0a4-1111-2222-3333-4444555566{number:02d}" for number in range(9))
PLAIN = tuple(f"n{number}" for number in range(1, 10))


def member(peer: str = "n1", silence: float | None = None, **changes: object) -> MemberView:
    """One that is online, but for what is said."""
    usual = MemberView(
        id=peer,
        address="10.0.0.1:7000",
        suffrage=Suffrage.VOTER,
        own=peer in {"n1", UUIDS[0]},
        role=Role.FOLLOWER,
        state=State.ONLINE,
        judged_state=State.ONLINE,
        reason=Reason.FRESH,
        since_seconds=12.0,
        flapping=False,
        restored=False,
        override=None,
        silence_seconds=quiet(0.3 if silence is None else silence),
        term=7,
        last_log_index=123,
    )
    return replace(usual, **changes)


def quiet(silence: float, report: float | None = None, raft: float | None = None) -> SilenceView:
    raft = silence if raft is None else raft
    return SilenceView(heartbeat=None, raft=raft, sidecar=None, report=report, any=silence)


def reporter(peer: str, sees: dict[str, SightView], **changes: object) -> ReporterView:
    return replace(ReporterView(peer, 0.2, isolated=False, credible=True, sees=sees), **changes)


def view(
    *members: MemberView, reporters: tuple[ReporterView, ...] = (), isolated: bool = False
) -> ClusterView:
    voters, online = len(members), sum(each.state is State.ONLINE for each in members)
    quorum = voters // 2 + 1
    return ClusterView(
        version="1",
        node=NodeView("n1", "a:1", True, Role.FOLLOWER, 7, "n2", "b:1", 0.1, 0.1, isolated, 5, 5, 5),
        quorum=QuorumView(voters, quorum, online, online - quorum, 1),
        members=members,
        reporters=reporters,
        thresholds_seconds=Policy.of(1.0).thresholds(),
    )


def troubled(ids: tuple[str, ...]) -> ClusterView:
    """A cluster in which as much is wrong as can be, seen by all."""
    members = tuple(
        member(peer, silence, state=state, judged_state=state, reason=reason, flapping=state is State.OFFLINE)
        for peer, (state, reason, silence) in zip(ids, TROUBLE * 2, strict=False)
    )
    sees = {
        each.id: SightView(
            each.silence_seconds.any < 2, each.silence_seconds.any, each.state is State.OFFLINE
        )
        for each in members
    }
    return view(*members, reporters=tuple(reporter(peer, sees) for peer in ids))


def journal(count: int) -> Latest:
    return Latest(
        tuple(Event(i, AT + i, EntryKind.JOINED, text=f"m{i} joined the cluster") for i in range(count))
    )


def drawn(screen: Screen, width: int = 80, *, colour: bool = False) -> list[str]:
    out = io.StringIO()
    Console(file=out, width=width, force_terminal=colour, color_system="truecolor" if colour else None).print(
        screen
    )
    return out.getvalue().splitlines()


def bare(lines: list[str]) -> list[str]:
    return [re.sub(r"\x1b\[[0-9;]*m", "", line).rstrip() for line in lines]


def text(view: ClusterView, width: int = 80) -> str:
    return "\n".join(bare(drawn(Screen(view), width)))


# what has to be there


@pytest.mark.parametrize("ids", [PLAIN, UUIDS], ids=["short ids", "long ids"])
@pytest.mark.parametrize("count", [1, 3, 5, 7, 9])
@pytest.mark.parametrize("width", [80, 120])
@pytest.mark.parametrize("colour", [False, True])
def test_every_state_and_reason_is_written_whole_and_no_line_is_too_long(
    ids: tuple[str, ...], count: int, width: int, colour: bool
) -> None:
    cluster = troubled(ids[:count])
    lines = bare(drawn(Screen(cluster), width, colour=colour))
    assert max(map(cell_len, lines)) <= width
    table = lines[3 : 4 + count]
    for row, each in zip(table[1:], cluster.members, strict=True):
        assert f" {each.state} " in row
        assert f" {each.reason} " in row
        assert row.split()[0] == labels([each.id], max(12, width // 8))[each.id]
    assert "…" not in "".join(lines)


def test_colour_adds_nothing_but_colour() -> None:
    cluster = troubled(PLAIN[:5])
    coloured = drawn(Screen(cluster), colour=True)
    assert any("\x1b[" in line for line in coloured)
    assert bare(coloured) == bare(drawn(Screen(cluster)))


def test_without_colour_no_colour_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    codes = re.findall(r"\x1b\[([0-9;]*)m", "".join(drawn(Screen(troubled(PLAIN[:5])), colour=True)))
    assert {code for pair in codes for code in pair.split(";")} <= {"0", "1", "2", "7"}


def test_in_a_terminal_of_few_columns_columns_are_left_out_and_what_is_left_is_folded() -> None:
    heads = {
        width: text(troubled(UUIDS[:5]), width).split("\nmember")[1].split("\n")[0].split()
        for width in (200, 80, 58)
    }
    assert heads[200] == ["state", "reason", "for", "role", "silent", "main", "loop", "term", "index"]
    assert heads[80] == heads[200][:-1]
    assert heads[58] == ["state", "reason", "for", "role"]
    narrow = text(troubled(PLAIN[:6]), 34)
    assert max(map(len, narrow.splitlines())) <= 34
    assert "state" in narrow
    assert "reason" in narrow


@pytest.mark.parametrize(
    ("online", "unknown", "words"),
    [
        (5, 0, "5 of 5 voters online, quorum 3, failure tolerance 2: 2 more may fail"),
        (4, 0, "failure tolerance 1: 1 more may fail"),
        (3, 1, "failure tolerance 0: none may fail"),
        (2, 0, "failure tolerance -1: quorum lost"),
        (1, 1, "failure tolerance -2: quorum lost"),
        (1, 2, "failure tolerance -2: quorum unsure, 2 unknown"),
    ],
)
def test_the_margin_is_told_in_words(online: int, unknown: int, words: str) -> None:
    states = [State.ONLINE] * online + [State.UNKNOWN] * unknown + [State.OFFLINE] * (5 - online - unknown)
    members = [member(peer, state=state) for peer, state in zip(PLAIN, states, strict=False)]
    assert words in text(view(*members)).splitlines()[1]


def test_a_voter_that_is_no_voter_makes_no_quorum_possible() -> None:
    members = [
        member("n1"),
        member("n2", state=State.OFFLINE),
        member("n3", state=State.OFFLINE),
        member("n4", state=State.UNKNOWN, suffrage=Suffrage.NONVOTER),
    ]
    assert "quorum lost" in text(replace(view(*members), quorum=QuorumView(3, 2, 1, -1, 1)))


def test_an_isolated_node_says_so() -> None:
    cluster = view(member(), member("n2", state=State.UNKNOWN, reason=Reason.ISOLATED), isolated=True)
    assert "isolated: this node reaches no majority" in text(cluster)
    assert "isolated" not in text(view(member())).lower()


def test_a_node_that_is_not_heard_is_said_to_be_so() -> None:
    cluster = view(member())
    assert "not heard at present" in text(replace(cluster, node=replace(cluster.node, up=False)))
    assert "not heard at present" not in text(cluster)


def test_what_is_not_known_is_a_dash() -> None:
    cluster = view(member(term=None, last_log_index=None, silence_seconds=replace(quiet(0.3), raft=None)))
    cluster = replace(
        cluster,
        node=NodeView(None, None, True, Role.UNKNOWN, None, None, None, None, None, False, None, None, None),
        quorum=QuorumView(None, None, None, None, None),
    )
    lines = text(cluster).splitlines()
    assert lines[0] == "unknown node is of unknown role in term -, leader not told"
    assert lines[1].endswith("failure tolerance not known: not known how many may fail")
    assert lines[4].split() == ["n1", "*", "online", "fresh", "12s", "follower", "0.30s", "-", "-", "-"]


def test_a_sidecar_that_knows_no_member_yet_draws_a_screen() -> None:
    assert "member" in text(view())


def test_an_override_is_written_out_and_masks_the_reason() -> None:
    says = OverrideView("offline", "disk swap", "eve", 3600.0)
    lines = text(view(member(), member("n2", state=State.OFFLINE, override=says))).splitlines()
    assert lines[5].split()[:4] == ["n2", "offline", "override", "-"]
    assert (
        "override: n2 is shown as offline by eve for 1h00m more (disk swap); judged online (fresh)"
        in " ".join(lines)
    )


def test_an_ignored_member_keeps_its_judged_state_and_reason() -> None:
    says = OverrideView("ignore", "test", "eve", 60.0)
    lines = text(view(member(override=says))).splitlines()
    assert lines[4].split()[2:5] == ["online", "fresh", "12s"]
    assert "override: n1 is ignored by eve for 1m00s more (test)" in " ".join(lines)


def test_who_flaps_and_who_is_only_remembered_is_said() -> None:
    notes = text(view(member(flapping=True), member("n2", restored=True)))
    assert "n1 is flapping" in notes
    assert "n2 was so before this sidecar restarted" in notes


def test_what_would_steer_the_terminal_is_escaped() -> None:
    lines = drawn(Screen(view(member("a\x1b[31m\n"), member("[red]b"))))
    assert "\x1b" not in "".join(lines)
    assert "a\\x1b[31m\\n" in "".join(lines)
    assert "[red]b" in "".join(lines)


# ids


def test_long_ids_are_told_in_full_once_with_their_address() -> None:
    told = text(view(member(UUIDS[0]), member(UUIDS[1])))
    for peer in UUIDS[:2]:
        assert f"{labels(UUIDS[:2], 12)[peer]} is {peer} at 10.0.0.1:7000" in told


@given(st.sets(st.text("ab-", min_size=1, max_size=40), max_size=9), st.integers(4, 20))
def test_labels_tell_every_id_from_every_other(ids: set[str], limit: int) -> None:
    short = labels(sorted(ids), limit)
    assert short.keys() == ids
    assert len(set(short.values())) == len(ids)
    assert all(len(label) <= len(peer) for peer, label in short.items())
    assert all(label == peer for peer, label in short.items() if len(peer) <= limit)


def test_ids_that_differ_in_their_middles_alone_are_shortened_less() -> None:
    ids = ["x" * 20 + middle + "y" * 20 for middle in "ab"]
    assert labels(ids, 12) == {each: each for each in ids}
    assert labels([ids[0], "z"], 12) == {ids[0]: "xxxxx..yyyyy", "z": "z"}


def test_what_the_encoding_does_not_have_is_escaped() -> None:
    assert printable(member("n\u2192é"), "latin-1").id == "n\\u2192é"
    assert printable(member("n\u2192"), "utf-8").id == "n\u2192"


# silence


def bars(*members: MemberView, width: int = 48, ascii_only: bool = True) -> list[str]:
    """Bars as a terminal of so many columns has them."""
    cluster = view(*members)
    names = {each.id: each.id for each in members}
    return [line.plain for line in silence_bars(cluster, names, width, ascii_only=ascii_only)]


@pytest.mark.parametrize(
    ("silence", "bar"),
    [
        (0.2, "    |      |        |         |"),
        (1.9, "### |      |        |         |"),
        (2.6, "####|      |        |         |"),
        (6.1, "####|######|        |         |"),
        (14.9, "####|######|########|#########|"),
        (99.0, "####|######|########|#########|>"),
    ],
)
def test_a_bar_reaches_the_mark_when_the_threshold_is_reached(silence: float, bar: str) -> None:
    title, line = bars(member("n2", silence), width=len(f"n2  {duration(silence)}  ") + 31 + len(">"))
    assert title == "silence | suspect_after 2s | gone_after 5.5s | stall_after 10s | alone_after 15s"
    assert line.split("s  ", 1)[1] == bar


def test_what_others_hear_is_drawn_in_another_way() -> None:
    _, legend, line = bars(member("n2", silence_seconds=quiet(7.0, report=3.0)))
    assert legend == "# heard by nobody  - heard by others, not by this node"
    assert re.fullmatch(r"n2  7\.00s  #+\|#+-+\|-+ +\| +\|", line)
    assert len(bars(member("n2", silence_seconds=quiet(1.0, report=0.1)))) == 2
    assert len(bars(member("n2", silence_seconds=quiet(8.9, report=8.0)))) == 2


def test_a_silent_main_loop_of_a_process_that_is_heard_has_a_bar() -> None:
    _, first, second = bars(member("n2", silence_seconds=quiet(0.2, raft=12.0)))
    assert first.startswith("n2            0.20s  ")
    assert second.startswith("n2 main loop    12s  ##")
    assert len(bars(member("n2", silence_seconds=quiet(3.0, raft=12.0)))) == 2


def test_equal_thresholds_share_a_mark_and_unknown_ones_have_none() -> None:
    cluster = replace(view(member()), thresholds_seconds={"suspect_after": 2.0, "alone_after": 2.0})
    _, line = silence_bars(cluster, {"n1": "n1"}, 60, ascii_only=True)
    assert line.plain.count("|") == 1
    assert silence_bars(replace(cluster, thresholds_seconds={}), {"n1": "n1"}, 60, ascii_only=True) == []


def test_bars_are_left_out_where_there_is_no_room_for_them() -> None:
    assert bars(member(), width=23) == []
    assert bars(member(), width=24) != []


def test_a_terminal_without_unicode_gets_ascii() -> None:
    raw = io.BytesIO()
    out = io.TextIOWrapper(raw, encoding="ascii")
    Console(file=out, width=80).print(Screen(troubled((*PLAIN[:5], "n\u2192"))))
    out.flush()
    assert b"###|##" in raw.getvalue()
    assert b"n\\u2192" in raw.getvalue()
    assert "█" in text(troubled(PLAIN[:5]))


# who sees whom


def seen(*reporters: ReporterView, count: int = 3, width: int = 80, short: bool = False) -> list[str]:
    cluster = view(*(member(peer) for peer in PLAIN[:count]), reporters=reporters)
    names = {peer: peer for peer in PLAIN}
    out = io.StringIO()
    console = Console(file=out, width=width)
    for each in short_sights(cluster, names) if short else sights(cluster, names, width):
        console.print(each)
    return bare(out.getvalue().splitlines())


def test_a_sight_is_told_in_words() -> None:
    lines = seen(
        reporter("n1", {"n1": FRESH, "n2": SILENT, "n3": REFUSED}),
        reporter("n2", {"n1": SILENT, "n3": FRESH}, isolated=True, credible=False),
        reporter("n3", {"n1": FRESH, "n2": FRESH, "n3": FRESH}, age_seconds=12.0, credible=False),
    )
    assert [re.split(r"\s{2,}", line.strip()) for line in lines[1:5]] == [
        ["n1", "n2", "n3"],
        ["n1", "0.30s", "3.20s silent", "refused 7.00s"],
        ["n2 !", "3.20s silent", "-", "0.30s"],
        ["n3 !", "0.30s", "0.30s", "0.30s"],
    ]
    assert lines[5:] == ["! n2 is not credible: isolated", "! n3 is not credible: its report is 12s old"]


def test_whose_reports_are_missing_is_said() -> None:
    told = reporter("n1", {"n1": FRESH}), reporter("n2", {"n1": FRESH})
    assert seen(*told)[-1] == "no reports from the sidecars of: n3"


def test_one_nodes_sights_are_those_of_the_table() -> None:
    assert seen(reporter("n1", {"n1": FRESH})) == []
    assert seen(reporter("n1", {"n1": FRESH}), short=True) == []


@pytest.mark.parametrize("count", [5, 7, 9])
def test_seven_members_stand_in_a_table_of_80_columns_and_of_nine_only_who_is_not_seen(
    count: int,
) -> None:
    sees = dict.fromkeys(PLAIN[:count], FRESH) | {"n2": REFUSED, "n4": SILENT}
    cluster = view(
        *(member(peer) for peer in UUIDS[:count]),
        reporters=tuple(
            reporter(UUIDS[PLAIN.index(each)], {UUIDS[PLAIN.index(of)]: sight for of, sight in sees.items()})
            for each in PLAIN[:count]
        ),
    )
    told = text(cluster)
    assert ("these do not see" in told) == (count > 7)
    assert max(map(len, told.splitlines())) <= 80
    assert told.count("refused") == count
    assert "7.00s" in told


def test_in_short_everybody_sees_everybody() -> None:
    both = [reporter(peer, dict.fromkeys(PLAIN[:2], FRESH)) for peer in PLAIN[:2]]
    assert seen(*both, count=2, short=True) == ["who sees whom: of 2 reporters each sees every member"]


def test_in_short_only_who_is_not_seen_is_told() -> None:
    lines = seen(
        reporter("n1", {"n1": FRESH, "n2": SILENT, "n3": REFUSED}),
        reporter("n2", {"n1": FRESH, "n2": FRESH}, isolated=True, credible=False),
        short=True,
    )
    assert lines[:3] == [
        "who sees whom: of 2 reporters these do not see",
        "n2: n1 3.20s silent",
        "n3: n1 refused 7.00s, n2 ! not told",
    ]


# the height, the journal and what is stale


def watched(cluster: ClusterView, height: int | None, latest: Latest, width: int = 80) -> list[str]:
    return bare(drawn(Screen(cluster, Watched("http://127.0.0.1:9641", AT, latest), height), width))


def sections(lines: list[str]) -> set[str]:
    words = {
        "silence ": "bars",
        "who sees whom: silence": "table",
        "who sees whom: of": "short",
        "what happ": "journal",
    }
    return {name for start, name in words.items() if any(line.startswith(start) for line in lines)}


def test_a_screen_is_cut_at_the_journal_first_and_never_at_the_members() -> None:
    cluster = troubled(PLAIN[:5])
    whole = len(drawn(Screen(cluster)))
    seen_sections: list[set[str]] = []
    for height in range(whole + 20, 10, -1):
        lines = watched(cluster, height, journal(30))
        assert len(lines) <= height
        rows = [line.split() for line in lines]
        for each in cluster.members:
            assert any(row[:1] == [each.id] and each.state in row and each.reason in row for row in rows)
        if not seen_sections or seen_sections[-1] != sections(lines):
            seen_sections.append(sections(lines))
        spared = re.search(r"no room for: ([a-z, ]+)  http", lines[0])
        missing = {"bars": "silence", "journal": "journal"}
        told = set(spared[1].split(", ")) if spared else set()
        assert {name for key, name in missing.items() if key not in sections(lines)} == told - {
            "who sees whom"
        }
    assert seen_sections[:2] == [{"bars", "table", "journal"}, {"bars", "table"}]
    assert {"short", "bars"} in seen_sections
    assert seen_sections[-1] == set()


def test_a_terminal_that_is_too_low_for_the_members_says_so() -> None:
    lines = watched(troubled(PLAIN[:5]), 8, journal(3))
    assert len(lines) == 8
    assert re.fullmatch(r"\d+ more lines: the terminal is too low", lines[-1])


def test_the_journal_takes_what_room_is_left_for_its_latest_entries() -> None:
    cluster = view(member(), member("n2"))
    without = len(watched(cluster, 100, Latest()))
    for room in range(3, 9):
        lines = watched(cluster, without + room, journal(30))
        assert lines[without + 1] == "what happened last"
        told = [line.split("  ")[1] for line in lines[without + 2 :]]
        assert told == [f"m{number} joined the cluster" for number in range(30 - room + 2, 30)]


def test_an_entry_that_is_folded_is_shown_whole_or_not_at_all() -> None:
    cluster = view(member())
    without = len(watched(cluster, 100, Latest()))
    long = Event(1, AT, EntryKind.JOINED, text="word " * 30 + "end")
    shown = [
        any("end" in line for line in watched(cluster, without + room, Latest((long,)))) for room in range(7)
    ]
    assert shown == [False] * 5 + [True] * 2


def test_without_a_height_some_of_the_latest_are_shown() -> None:
    lines = watched(view(member()), None, journal(30))
    assert sum("joined the cluster" in line for line in lines) == ENTRIES


def test_an_empty_journal_is_no_section_and_needs_no_room() -> None:
    lines = watched(view(member()), 24, Latest())
    assert "journal" not in sections(lines)
    assert "no room" not in lines[0]


def test_a_journal_that_is_not_told_is_a_line() -> None:
    for height in (None, 24):
        assert "no journal: got 404" in watched(view(member()), height, Latest(missing="no journal: got 404"))
    assert "no journal" not in "".join(watched(view(member()), 7, Latest(missing="no journal: got 404")))


def test_what_is_stale_says_so_first_for_how_long_and_why() -> None:
    told = Watched("http://127.0.0.1:9641", AT, journal(1), silent_for=12.0, error="no way there")
    for height in (None, 24):
        lines = bare(drawn(Screen(view(member()), told, height), 120))
        assert lines[0].startswith("stale: no answer since 12s: no way there; so it was at 11-1")
        assert any("joined the cluster" in line for line in lines)


def test_a_time_that_no_calendar_has_is_a_number_in_the_journal_too() -> None:
    odd = Event(1, 1e18, EntryKind.JOINED, text="n2 joined the cluster")
    assert "1e+18  n2 joined the cluster" in watched(view(member()), None, Latest((odd,)))
