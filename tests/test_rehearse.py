from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result
from hypothesis import example, given, settings
from hypothesis import strategies as st

from raft_exporter.chronicle import Chronicle
from raft_exporter.database import Block
from raft_exporter.errors import StoreError
from raft_exporter.evidence_log import (
    Began,
    Judged,
    Losses,
    Record,
    Restored,
    Took,
    read_file,
    read_store,
    write_file,
)
from raft_exporter.journal import Entry, EntryKind, Journal
from raft_exporter.model.evidence import (
    Configuration,
    Evidence,
    HeartbeatFailed,
    LeaderChanged,
    NodeIdentity,
    Role,
    RoleChanged,
    Server,
    StatusLost,
    Suffrage,
)
from raft_exporter.model.judge import Reason, State
from raft_exporter.model.memory import Memory, RememberedMember
from raft_exporter.model.policy import Multiples
from raft_exporter.model.transition import Transition
from raft_exporter.rehearse import AS_RECORDED, Change, Replay, Said, replay, side_by_side, summaries
from raft_exporter.rehearse_command import rehearse
from tests.model.story import (
    N1,
    N2,
    N3,
    N4,
    answered,
    dead,
    hears,
    leading,
    misses,
    probe,
    refused,
    status,
    unanswered,
)
from tests.test_evidence_log import WALL, Sidecar, alive, stored

SERVERS = (N1, N2, N3, N4)
PEERS = tuple(server.id for server in SERVERS)


def as_said(at: float, moved: Transition) -> tuple[object, ...]:
    return (at, moved.peer, moved.before, moved.after)


def without_wall(said: Sequence[Said]) -> list[tuple[object, ...]]:
    return [
        (each.at, each.peer, each.before, each.verdict)
        for each in said
        if each.before is not None or each.verdict is None or not each.verdict.restored
    ]


age = st.floats(0, 3, allow_nan=False)
peer = st.sampled_from((*PEERS, "stranger"))
servers = st.lists(st.sampled_from(SERVERS), unique=True).map(tuple)
evidence: st.SearchStrategy[Evidence] = st.one_of(
    st.builds(answered, peer, age),
    st.builds(probe, peer),
    st.builds(refused, peer),
    st.builds(dead, peer),
    st.builds(unanswered, peer, age, age),
    st.builds(hears, peer, peer, peer, age=age),
    st.builds(misses, peer, peer, silence=age),
    st.builds(status, leader=st.sampled_from(PEERS), contact=age, age=age),
    st.builds(leading, age=age),
    st.builds(HeartbeatFailed, peer),
    st.builds(RoleChanged, st.sampled_from(Role), age),
    st.builds(LeaderChanged, peer, st.just(""), age),
    st.just(StatusLost()),
    st.builds(Configuration, servers, st.none() | st.integers(0, 5)),
    st.builds(
        NodeIdentity, st.sampled_from(["n1", "n2"]), st.just("10.0.0.1:7000"), st.none() | st.floats(0.05, 5)
    ),
)
memory = st.builds(
    Memory,
    st.sampled_from([None, "n1", "n2"]),
    st.lists(
        st.builds(
            RememberedMember,
            st.sampled_from(SERVERS),
            st.sampled_from(State),
            st.sampled_from(Reason),
            st.floats(0, 1e6),
            st.none() | age,
            st.booleans(),
            st.floats(0, 5),
            st.booleans(),
        ),
        max_size=4,
    ).map(tuple),
)
adopted = st.tuples(servers, st.builds(Multiples, gone_after=st.just(6.0), dwell=st.floats(0, 9)))
REMEMBERED = RememberedMember(N2, State.OFFLINE, Reason.REFUSED, 5.0, 5.0, True, 0.0, False)
step = st.tuples(
    st.floats(0.001, 4),
    st.integers(1, 20),
    st.lists(evidence, max_size=6),
    st.booleans(),
    st.none() | adopted,
)
"""Seconds from one judging to the next, how often, what is told before each, whether all are well, and what
is adopted before."""


@given(st.none() | st.tuples(memory, st.floats(-10, 4000)), servers, st.lists(step, max_size=12))
@example(
    (Memory("n1", (REMEMBERED,)), 0.0), (N1,), [(1.0, 1, [], False, ((N1, N2), Multiples(gone_after=6.0)))]
)
@settings(max_examples=80)
def test_a_replay_under_the_recorded_policy_says_exactly_the_same(
    remembered: tuple[Memory, float] | None, static: tuple[Server, ...], steps: list[Any]
) -> None:
    blocks: list[Block] = []
    sidecar = Sidecar(blocks.append, static)
    if remembered is not None:
        sidecar.restore(*remembered)
    for every, count, told, well, other in steps:
        if other is not None:
            sidecar.adopt(*other)
        for _ in range(count):
            sidecar.at += every
            sidecar.wall += every
            sidecar.tell(*told, *(alive(*PEERS) if well else ()))
            sidecar.judge()
    sidecar.recorder.flush()
    with TemporaryDirectory() as place:
        path, file = Path(place) / "state.db", Path(place) / "evidence.gz"
        losses = Losses()
        records = list(read_store(stored(path, blocks), losses))
        write_file(file, records)
        again = [replay(records), replay(read_file(file)), replay(records, Change({"gone_after": 6.0}))]
    assert losses == Losses()
    expected = [
        as_said(at, moved)
        for at, moved in sidecar.moved
        if moved.before is not None or moved.after is None or not moved.after.restored
    ]
    for said in again:
        assert without_wall(said) == expected


def crash(sidecar: Sidecar, seconds: float) -> None:
    """n3 is silent for everybody for so long, and the others are well."""
    rest = [*alive("n1", "n2"), probe("n1"), probe("n2"), misses("n2", "n3")]
    sidecar.live(seconds, *rest, dead("n3"))


def healthy(sidecar: Sidecar, seconds: float) -> None:
    sidecar.live(
        seconds, leading(), *(each for name in ("n1", "n2", "n3") for each in (answered(name), probe(name)))
    )


def incident() -> tuple[Sidecar, list[Block]]:
    blocks: list[Block] = []
    sidecar = Sidecar(blocks.append)
    sidecar.begin()
    healthy(sidecar, 10.0)
    crash(sidecar, 20.0)
    healthy(sidecar, 20.0)
    crash(sidecar, 7.0)
    healthy(sidecar, 20.0)
    sidecar.recorder.flush()
    return sidecar, blocks


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return stored(tmp_path / "state.db", incident()[1])


def records_of(path: Path) -> list[Record]:
    return list(read_store(path, Losses()))


def states(said: Sequence[Said], peer: str = "n3") -> list[str]:
    return [str(each.verdict.state) for each in said if each.peer == peer and each.verdict is not None]


def test_a_replay_says_what_the_journal_holds(path: Path) -> None:
    sidecar, _ = incident()
    written: list[Entry] = []
    chronicle = Chronicle(Journal(1000), lambda: WALL, written.extend)
    for at, moved in sidecar.moved:
        chronicle.moved([moved], at)
    again = [
        (
            each.peer,
            each.before and each.before.state,
            each.verdict and each.verdict.state,
            each.verdict and each.verdict.reason,
        )
        for each in replay(records_of(path))
    ]
    assert again == [
        (each.peer, each.before, each.after, each.reason) for each in written if each.kind is EntryKind.STATE
    ]


def test_other_thresholds_say_other_things_of_the_same_evidence(path: Path) -> None:
    records = records_of(path)
    recorded, longer = replay(records), replay(records, Change({"gone_after": 10.0, "alone_after": 10.0}))
    assert states(recorded) == ["online", "suspect", "offline", "online", "suspect", "offline", "online"]
    assert states(longer) == ["online", "suspect", "offline", "online", "suspect", "online"]
    first = [
        next(each for each in said if each.verdict and each.verdict.state is State.OFFLINE)
        for said in (recorded, longer)
    ]
    assert [each.silent_for for each in first] == [6.0, 10.0]
    assert [each.wall - WALL for each in first] == [16.0, 20.0]


def test_another_heartbeat_timeout_stands_whatever_the_node_told(path: Path) -> None:
    said = replay(records_of(path), Change(heartbeat_timeout=2.0))
    assert states(said) == ["online", "suspect", "offline", "online", "suspect", "online"]
    offline = next(each for each in said if each.verdict and each.verdict.state is State.OFFLINE)
    assert offline.silent_for == 12.0


def test_each_beginning_begins_a_new_table(tmp_path: Path) -> None:
    blocks: list[Block] = []
    walls = (WALL, WALL + 100)
    for wall in walls:
        sidecar = Sidecar(blocks.append, wall=wall)
        sidecar.begin()
        healthy(sidecar, 5.0)
        sidecar.recorder.flush()
    said = replay(records_of(stored(tmp_path / "state.db", blocks)))
    assert [(each.session, each.peer) for each in said] == [
        (0, "n1"),
        (0, "n2"),
        (0, "n3"),
        (1, "n1"),
        (1, "n2"),
        (1, "n3"),
    ]
    assert {each.wall for each in said} == {wall + 0.5 for wall in walls}


# --- what it adds up to ---


def test_the_summary_counts_flips_offlines_and_delays(path: Path) -> None:
    again = Replay()
    for record in records_of(path):
        again.feed(record)
    found = summaries(again.said, again.ends)
    assert found["n1"].flips == 0
    n3 = found["n3"]
    assert n3.flips == 6
    assert n3.said_after == [6.0, 6.0]
    falls = [(each.wall, each.verdict) for each in again.said if each.peer == "n3"]
    offline = [at for at, verdict in falls if verdict and verdict.state is State.OFFLINE]
    back = [
        at
        for (at, verdict), (_, before) in zip(falls[1:], falls, strict=False)
        if before and before.state is State.OFFLINE
    ]
    assert math.isclose(n3.offline_seconds, sum(back) - sum(offline))
    assert summaries(again.said, again.ends, since=WALL + 30)["n3"].said_after == [6.0]


def test_who_is_still_offline_at_the_end_was_so_until_then() -> None:
    blocks: list[Block] = []
    sidecar = Sidecar(blocks.append)
    sidecar.begin()
    healthy(sidecar, 10.0)
    crash(sidecar, 30.0)
    sidecar.recorder.flush()
    with TemporaryDirectory() as place:
        records = records_of(stored(Path(place) / "state.db", blocks))
    again = Replay()
    for record in records:
        again.feed(record)
    assert summaries(again.said, again.ends)["n3"].offline_seconds == 24.0
    assert summaries(again.said, again.ends, since=WALL + 35)["n3"].offline_seconds == 5.0


def test_who_was_restored_as_offline_is_shown_and_counts_but_was_not_said_again(tmp_path: Path) -> None:
    blocks: list[Block] = []
    sidecar = Sidecar(blocks.append)
    gone = RememberedMember(N3, State.OFFLINE, Reason.REFUSED, 100.0, 106.0)
    sidecar.restore(Memory("n1", (gone,)), 5.0)
    sidecar.begin()
    sidecar.live(10.0, *alive("n1", "n2"), dead("n3"))
    sidecar.recorder.flush()
    again = Replay()
    for record in records_of(stored(tmp_path / "state.db", blocks)):
        again.feed(record)
    (restored,) = [each for each in again.said if each.peer == "n3"]
    assert (restored.before, restored.verdict and restored.verdict.reason) == (None, Reason.RESTORED)
    summary = summaries(again.said, again.ends)["n3"]
    assert (summary.flips, summary.said_after, summary.offline_seconds) == (0, [], 9.5)


def test_two_timelines_stand_side_by_side_by_tick_and_member(path: Path) -> None:
    records = records_of(path)
    moments = list(
        side_by_side(replay(records), replay(records, Change({"gone_after": 10.0, "alone_after": 10.0})))
    )
    assert [each.wall for each in moments] == sorted(each.wall for each in moments)
    n3 = [(bool(each.recorded), bool(each.other)) for each in moments if each.peer == "n3"]
    assert n3[:4] == [(True, True), (True, True), (True, False), (False, True)]


# --- what no sidecar can have recorded ---

BEGAN = Began(0.0, WALL, 1.0, Multiples(), (N2,))


@pytest.mark.parametrize(
    "records",
    [
        [Judged(1.0, WALL)],
        [BEGAN, Judged(2.0, WALL), Judged(1.0, WALL)],
        [
            BEGAN,
            Took(0.0, NodeIdentity("n1", "", 0.0)),
            Took(1.0, refused("n2")),
            Took(1.0, dead("n2")),
            Judged(2.0, WALL),
        ],
        [BEGAN, Took(0.0, NodeIdentity("n1", "", -1.0)), Judged(2.0, WALL)],
        [BEGAN, Took(0.0, NodeIdentity("n1", "", float("inf"))), Judged(2.0, WALL)],
        [
            BEGAN,
            Took(0.0, leading()),
            Took(0.0, NodeIdentity("n1", "")),
            Took(0.0, answered("n2").__class__("n2", 1, 0.0, ())),
        ],
    ],
)
def test_evidence_that_no_sidecar_recorded_is_an_error_or_harmless(records: list[Record]) -> None:
    try:
        replay(records)
    except StoreError as error:
        assert "\n" not in str(error)


def test_evidence_out_of_order_is_an_error() -> None:
    with pytest.raises(StoreError, match="expected evidence in the order of time"):
        replay([BEGAN, Judged(2.0, WALL), Judged(1.0, WALL)])
    with pytest.raises(StoreError, match="from the beginning of a table"):
        replay([Restored(1.0, Memory(None, ()), 1.0)])


hostile = st.lists(
    st.one_of(
        st.builds(
            Began,
            st.floats(0, 1e10),
            st.floats(0, 1e10),
            st.floats(1e-300, 1e6),
            st.just(Multiples()),
            servers,
        ),
        st.builds(Took, st.floats(0, 1e10), st.from_type(NodeIdentity) | evidence),
        st.builds(Judged, st.floats(0, 1e10), st.floats(0, 1e10)),
        st.builds(Restored, st.floats(0, 1e10), memory, st.floats()),
    ),
    max_size=20,
)


@given(hostile, st.booleans())
def test_no_record_whatever_makes_more_than_an_error_of_ours(records: list[Record], ordered: bool) -> None:
    if ordered:
        records = sorted(records, key=lambda record: (not isinstance(record, Began), record.at))
    again = Replay()
    try:
        for record in records:
            again.feed(record)
    except StoreError:
        return
    summaries(again.said, again.ends)


# --- the command ---


@click.group()
def main() -> None:
    """Stand in for the real group."""


main.add_command(rehearse)


def run(*words: object) -> Result:
    result = CliRunner().invoke(main, ["rehearse", *map(str, words)], env={"TZ": "UTC", "COLUMNS": "80"})
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def test_the_command_shows_both_timelines_and_what_they_add_up_to(path: Path) -> None:
    result = run("--store", path, "--set", "gone_after=10", "--set", "alone_after=10")
    assert result.exit_code == 0, result.output
    assert "other policy: gone_after 10 (recorded 6), alone_after 10 (recorded 15)" in result.output
    lines = [line.split() for line in result.output.splitlines()]
    assert ["time", "member", "recorded", "policy", "other", "policy"] in lines
    assert result.output.count("after 6.00s") == 2
    assert result.output.count("after 10s") == 1
    assert any(line[:4] == ["n3", "recorded", "6", "2x"] for line in lines)
    assert any(line[:3] == ["other", "5", "1x"] for line in lines)
    assert max(map(len, result.output.splitlines())) <= 80


def test_the_command_tells_another_heartbeat_timeout(path: Path) -> None:
    assert (
        "other policy: HeartbeatTimeout 2s (recorded 1s)"
        in run("--store", path, "--heartbeat-timeout", "2s").output
    )


def test_the_command_without_another_policy_shows_the_recorded_one_alone(path: Path) -> None:
    result = run("--store", path)
    assert result.exit_code == 0
    assert "other policy: none" in result.output
    assert "other" not in result.output.split("see --set")[1]


def test_the_command_prints_json(path: Path) -> None:
    result = run("--store", path, "--set", "gone_after=10", "--set", "alone_after=10", "--json")
    told = json.loads(result.output)
    assert told["change"] == {
        "thresholds": {"gone_after": 10.0, "alone_after": 10.0},
        "heartbeat_timeout": None,
    }
    assert told["evidence"]["records"] == len(records_of(path))
    (n3,) = [each for each in told["members"] if each["peer"] == "n3"]
    assert n3["recorded"]["said_after"] == [6.0, 6.0]
    assert n3["other"]["said_after"] == [10.0]
    assert told["recorded_policies"][0]["multiples"]["gone_after"] == 6.0
    alone = [each for each in told["timeline"] if each["other"] is None]
    assert {each["peer"] for each in alone} == {"n3"}
    assert alone[0]["recorded"]["after"] == "offline"
    assert json.loads(run("--store", path, "--json").output)["members"][0]["other"] is None


def test_the_command_shows_the_end_and_single_members_alone(path: Path) -> None:
    told = json.loads(run("--store", path, "--since", "25s", "--peer", "n3", "--json").output)
    assert {each["peer"] for each in told["timeline"]} == {"n3"}
    assert min(each["at"] for each in told["timeline"]) >= told["evidence"]["to"] - 25
    assert [each["peer"] for each in told["members"]] == ["n3"]


def test_an_exported_file_rehearses_as_the_store_does(path: Path, tmp_path: Path) -> None:
    file = tmp_path / "evidence.jsonl.gz"
    result = run("--store", path, "--export", file)
    assert result.output == f"{file}: {len(records_of(path))} records\n"
    words = ("--set", "suspect_after=3", "--heartbeat-timeout", "2s", "--since", "1h")
    assert run("--file", file, *words).output == run("--store", path, *words).output
    assert run("--store", path, "--export", file).stderr == f"raft-exporter: {file}: File exists\n"


def test_a_gap_in_the_evidence_is_told(tmp_path: Path) -> None:
    _, blocks = incident()
    del blocks[5]
    path = stored(tmp_path / "state.db", blocks)
    assert "blocks cut off by a gap: not used" in run("--store", path).output
    told = json.loads(run("--store", path, "--json").output)
    assert told["evidence"]["cut_off_blocks"] == len(blocks) - 5
    assert "cut off by a gap" in run("--store", path, "--export", tmp_path / "a").stderr


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        ((), 2, "expected one of --store and --file"),
        (("--file", "a", "--store", "b"), 2, "expected one of --store and --file"),
        (("--file", "no such file"), 1, "raft-exporter: no such file: No such file or directory"),
        (("--store", "no such file"), 1, "no such file: expected the file of a store, got none"),
        (("--file", "a", "--set", "gone=3"), 2, "expected THRESHOLD=NUMBER, got 'gone=3'"),
        (("--file", "a", "--set", "gone_after"), 2, "expected THRESHOLD=NUMBER, got 'gone_after'"),
        (("--file", "a", "--set", "gone_after=x"), 2, "expected a number for gone_after, got 'x'"),
        (("--file", "a", "--set", "rise=2.5"), 2, "expected a whole number for rise, got '2.5'"),
        (("--file", "a", "--since", "yesterday"), 2, "expected a duration"),
    ],
)
def test_wrong_words_are_one_clear_error(words: tuple[str, ...], code: int, message: str) -> None:
    result = run(*words)
    assert result.exit_code == code
    assert message in " ".join(result.stderr.split())


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ("--set", "gone_after=1"),
            "rehearse: policy.gone_after: expected more than suspect_after (2), got 1",
        ),
        (
            ("--set", "gone_after=0"),
            "rehearse: policy.gone_after: expected a number above 0, up to 1000, got 0",
        ),
        (("--set", "gone_after=nan"), "rehearse: policy.gone_after: expected"),
        (("--set", "rise=0"), "rehearse: policy.rise: expected a number from 1 to 100, got 0"),
        (("--heartbeat-timeout", "0s"), "rehearse: node.heartbeat_timeout: expected"),
    ],
)
def test_thresholds_that_make_no_policy_are_one_clear_error(
    path: Path, words: tuple[str, ...], message: str
) -> None:
    result = run("--store", path, *words)
    assert result.exit_code == 2
    assert message in result.stderr


def test_no_evidence_is_one_clear_error(tmp_path: Path) -> None:
    path = stored(tmp_path / "state.db", [])
    assert run("--store", path).stderr == f"raft-exporter: {path}: expected evidence, got none\n"
    assert run("--store", path).exit_code == 1


def test_a_bad_file_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"garbage")
    result = run("--file", tmp_path / "a")
    assert result.exit_code == 1
    assert len(result.stderr.splitlines()) == 1


def test_ids_cannot_disturb_the_terminal(tmp_path: Path) -> None:
    write_file(
        tmp_path / "a",
        [
            Began(0.0, WALL, 1.0, Multiples(), (Server("n2\x1b[31m[bold]", "10.0.0.2:1", Suffrage.VOTER),)),
            Took(0.5, probe("n2\x1b[31m[bold]")),
            Judged(0.6, WALL),
        ],
    )
    output = run("--file", tmp_path / "a").output
    assert "\x1b" not in output
    assert "[bold]" in output


def test_the_recorded_policy_is_the_default_change(path: Path) -> None:
    records = records_of(path)
    assert replay(records) == replay(records, AS_RECORDED)
