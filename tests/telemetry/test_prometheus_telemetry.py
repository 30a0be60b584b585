"""The node's Prometheus endpoint as a source: what bodies say, scrape by scrape, and what servers may do."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import aiohttp
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from raft_exporter.errors import NodeError
from raft_exporter.model.evidence import (
    Configuration,
    Evidence,
    HeartbeatsAnswered,
    LeaderHeard,
    NodeIdentity,
    NodeStatus,
    Role,
    Server,
    TelemetryHeard,
)
from raft_exporter.model.histogram import BOUNDS
from raft_exporter.model.intake import Intake
from raft_exporter.model.judge import State
from raft_exporter.model.policy import Policy
from raft_exporter.model.table import Table
from raft_exporter.schema import TlsConfig
from raft_exporter.sources import node_api, prometheus_counts, prometheus_text
from raft_exporter.sources.prometheus_counts import Counts
from raft_exporter.sources.prometheus_telemetry import REASONS, PrometheusTelemetry
from raft_exporter.sources.prometheus_text import read
from raft_exporter.sources.reports import open_session
from raft_exporter.sources.telemetry import SOURCE, Telemetry
from tests.serving import Handler, serving
from tests.waiting import until

HERE = Path(__file__).parent
LEADER = (HERE / "openbao-2.7.2-leader.txt").read_bytes()
FOLLOWER = (HERE / "openbao-2.7.2-follower.txt").read_bytes()
TEXT = "text/plain; version=0.0.4; charset=utf-8"


def body(*lines: str) -> bytes:
    return "".join(f"{line}\n" for line in lines).encode()


def beats(peer: str, count: int, total: float = 0.0, *, prefix: str = "vault_") -> tuple[str, ...]:
    """What a leader says of one peer, its name in a label; ``total`` in milliseconds."""
    name = f"{prefix}raft_replication_heartbeat"
    return (
        f"# TYPE {name} summary",
        f'{name}{{peer_id="{peer}",quantile="0.5"}} 0.3',
        f'{name}_sum{{peer_id="{peer}"}} {total}',
        f'{name}_count{{peer_id="{peer}"}} {count}',
    )


def legacy(peer: str, count: int, total: float = 0.0, *, prefix: str = "vault_") -> tuple[str, ...]:
    """The same with the peer in the name."""
    name = f"{prefix}raft_replication_heartbeat_{peer}"
    return (
        f"# TYPE {name} summary",
        f'{name}{{quantile="0.99"}} NaN',
        f"{name}_sum {total}",
        f"{name}_count {count}",
    )


def states(**entered: int) -> tuple[str, ...]:
    return tuple(f"vault_raft_state_{state} {count}" for state, count in entered.items())


ALIVE = ("vault_raft_thread_main_saturation_count 39",)


class Scrapes:
    """One scrape after another, each followed by a turn; an interval of a second unless told."""

    def __init__(self, *members: str) -> None:
        self.taken: list[Evidence] = []
        self.intake = Intake()
        members = members or ("n1", "n2", "n3")
        self.telemetry = Telemetry(self.taken.append, lambda: members, lambda: True, self.intake)
        self.counts = Counts(self.telemetry)
        self.now = 100.0

    def take(self, *lines: str, after: float = 1.0) -> list[Evidence]:
        self.now += after
        self.taken.clear()
        scrape = read(body(*lines))
        assert not scrape.rejected
        assert scrape.raft
        self.counts.take(scrape, self.now)
        self.telemetry.turn(self.now)
        return self.taken

    def answered(self, *lines: str, after: float = 1.0) -> dict[str, int]:
        taken = self.take(*lines, after=after)
        return {each.peer: each.count for each in taken if isinstance(each, HeartbeatsAnswered)}

    def role(self, *lines: str) -> Role:
        (status,) = [each for each in self.take(*lines) if isinstance(each, NodeStatus)]
        return status.role


# one body


def test_a_real_leaders_body_tells_each_peer_once_in_both_forms() -> None:
    scrape = read(LEADER)
    assert scrape.raft
    assert not scrape.rejected
    assert not scrape.heard
    told = {name: each for (name, _), each in scrape.heartbeats.items() if each.peer == "n3"}
    labelled = told[b"vault_raft_replication_heartbeat"]
    assert (labelled.count, labelled.total) == (39, 0.027140866070985794)
    assert labelled.legacy == (b"vault_raft_replication_heartbeat_n3", ())
    other = told[b"vault_raft_replication_heartbeat_n3"]
    assert (other.count, other.legacy) == (39, None)
    assert len(scrape.heartbeats) == 4
    assert dict(scrape.entered.values()) == {
        Role.CANDIDATE: 2,
        Role.FOLLOWER: 2,
        Role.LEADER: 2,
    }


def test_a_real_followers_body_tells_its_leaders_heartbeats() -> None:
    scrape = read(FOLLOWER)
    assert list(scrape.heard.values()) == [53]
    assert not scrape.heartbeats
    assert list(scrape.entered.values()) == [(Role.FOLLOWER, 1)]


@pytest.mark.parametrize(
    ("line", "peer", "count"),
    [
        ('raft_replication_heartbeat_count{peer_id="n2"} 5', "n2", 5),
        ('consul_raft_replication_heartbeat_count{peer_id="8f1c-2"} 5', "8f1c-2", 5),
        ('a_raft_b_raft_c:raft_replication_heartbeat_count{peer_id="n2"} 5', "n2", 5),
        ('nomad_raft_replication_heartbeat_count{host="vm",peer_id="10.0.0.1:4647"} 5', "10.0.0.1:4647", 5),
        ('x_raft_replication_heartbeat_count { peer_id = "n2" , host="vm", } 5', "n2", 5),
        ('x_raft_replication_heartbeat_count{peer_id="n2"} 1.2345e+06', "n2", 1_234_500),
        ('x_raft_replication_heartbeat_count{peer_id="n2"} 5 1795828614440', "n2", 5),
        ('x_raft_replication_heartbeat_count{peer_id="n2"} 5 # {trace="1"} 0.3 1.5', "n2", 5),
        ('\tx_raft_replication_heartbeat_count{peer_id="n2"}\t5\r', "n2", 5),
        (r'x_raft_replication_heartbeat_count{peer_id="a\"b\\c}{"} 5', 'a"b\\c}{', 5),
        ('x_raft_replication_heartbeat_count{peer_id="knoten-ü"} 5', "knoten-ü", 5),
        ("x_raft_replication_heartbeat_n2_count 5", "n2", 5),
        ("nomad_raft_replication_heartbeat_192_168_1_1:4647_count 5", "192_168_1_1:4647", 5),
        ("x_raft_replication_heartbeat_a_count_count 5", "a_count", 5),
        ("x_raft_replication_heartbeat_raft_state_leader_count 5", "raft_state_leader", 5),
    ],
)
def test_names_and_labels_are_read_in_every_legal_form(line: str, peer: str, count: int) -> None:
    scrape = read(body(line))
    ((each),) = scrape.heartbeats.values()
    assert (each.peer, each.count, each.total) == (peer, count, None)
    assert not scrape.rejected


@pytest.mark.parametrize(
    "line",
    [
        "x_raft_replication_heartbeat_count 5",
        'x_raft_replication_heartbeat{peer_id="n2",quantile="0.5"} NaN',
        'x_raft_replication_heartbeat_n2_count{quantile="0.5"} 5',
        "x_raft_replication_heartbeat_n2_created 1.7e9",
        "x_raft_replication_heartbeats_count 5",
        "# HELP x_raft_replication_heartbeat_n2_count 5",
        "# x_raft_state_leader 5",
        "x_raft_state_leader_created 1.7e9",
        "x_raft_state_learner 1",
        "mincraft_state_leader 5",
        "mincraft_rpc_processHeartbeat_count 5",
    ],
)
def test_what_looks_similar_says_nothing_and_is_no_fault(line: str) -> None:
    scrape = read(body(line))
    assert not scrape.heartbeats
    assert not scrape.heard
    assert not scrape.entered
    assert not scrape.rejected


@pytest.mark.parametrize(
    "line",
    [
        "x_raft_state_leader",
        "x_raft_state_leader ",
        "x_raft_state_leader five",
        "x_raft_state_leader 1_000",
        "x_raft_state_leader 0x10",
        "x_raft_state_leader NaN",
        "x_raft_state_leader +Inf",
        "x_raft_state_leader -1",
        "x_raft_state_leader 1.5",
        "x_raft_state_leader 1e300",
        "x_raft_state_leader 5 later",
        "x_raft_state_leader 5 6 7",
        "x_raft_state_leader{ 5",
        'x_raft_state_leader{a="b} 5',
        'x_raft_state_leader{a="b" c="d"} 5',
        "x_raft_state_leader{a=b} 5",
        'x_raft_replication_heartbeat_count{peer_id=""} 5',
        r'x_raft_replication_heartbeat_count{peer_id="a\nb"} 5',
        f'x_raft_replication_heartbeat_count{{peer_id="{"a" * 257}"}} 5',
        f'x_raft_replication_heartbeat_count{{peer_id="{"a" * 5000}"}} 5',
    ],
)
def test_a_malformed_line_is_counted_and_the_others_are_read(line: str) -> None:
    scrape = read(body(line, *beats("n2", 5)))
    assert scrape.rejected == {"malformed": 1}
    assert [each.count for each in scrape.heartbeats.values()] == [5]
    assert not scrape.entered


def test_bytes_that_are_no_utf_8_are_no_peer() -> None:
    scrape = read(b'x_raft_replication_heartbeat_count{peer_id="\xff"} 5\n')
    assert scrape.rejected == {"malformed": 1}
    assert not scrape.heartbeats


def test_a_line_that_is_cut_off_is_not_read() -> None:
    """A number cut short would be one that went down, and so a restart."""
    scrape = read(body(*beats("n2", 12345)).removesuffix(b"45\n"))
    assert not scrape.heartbeats
    assert scrape.rejected == {"malformed": 1}


@pytest.mark.parametrize("total", ["NaN", "-1", "+Inf"])
def test_a_sum_that_is_none_leaves_the_count_alone(total: str) -> None:
    name = 'x_raft_replication_heartbeat_{}{{peer_id="n2"}}'
    scrape = read(body(f"{name.format('sum')} {total}", f"{name.format('count')} 5"))
    assert [(each.count, each.total) for each in scrape.heartbeats.values()] == [(5, None)]
    assert not scrape.rejected


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("vault_raft_apply 1", True),
        ("consul_vm_raft_peers 3", True),
        ('raft_thread_main_saturation{quantile="0.5"} NaN', True),
        ("# HELP vault_raft_apply vault_raft_apply", False),
        ("minecraft_players 5", False),
        ('go_info{version="raft_1"} 1', False),
        ("go_goroutines 5", False),
    ],
)
def test_any_series_of_raft_shows_that_it_speaks(line: str, *, found: bool) -> None:
    assert read(body(line)).raft is found


def test_too_many_lines_are_left_and_counted() -> None:
    lines = [f"x_raft_replication_heartbeat_n{number}_count 5" for number in range(10_000)]
    scrape = read(body(*lines))
    assert scrape.rejected == {"too_many": 1}
    assert 1024 < len(scrape.heartbeats) <= prometheus_text.MAX_LINES


def adversaries() -> Iterable[bytes]:
    size = node_api.MAX_BODY
    many = b'a="b",' * 150
    for line in (
        b"raft_state_\n",
        b"#raft_\n",
        b"raft_state_ ",
        b"raft_state_leader{" + many + b"} 1\n",
        b"raft_state_leader{" + many + b"! 1\n",
        b"raft_replication_heartbeat_" * 35 + b"_count 1\n",
        b"raft_state_leader" + b" " * 900 + b"x\n",
        b"go_goroutines 5\n",
    ):
        yield line * (size // len(line))


def test_no_body_takes_long() -> None:
    """Each takes 1 to 20 ms alone on a machine; one that is not read in linear time takes seconds."""
    for each in adversaries():
        began = time.process_time()
        read(each)
        assert time.process_time() - began < 0.5


def mutated(real: bytes) -> st.SearchStrategy[bytes]:
    """A real body with some pieces cut out, doubled or replaced by anything."""
    piece = st.one_of(st.binary(max_size=20), st.sampled_from([b"{", b"}", b'"', b"\\", b"\n", b" ", b"NaN"]))
    change = st.tuples(st.integers(0, len(real)), st.integers(0, 40), piece)

    def apply(changes: list[tuple[int, int, bytes]]) -> bytes:
        found = real
        for at, length, new in changes:
            found = found[:at] + new + found[at + length :]
        return found

    return st.lists(change, min_size=1, max_size=6).map(apply)


@settings(max_examples=200)
@given(st.lists(st.one_of(mutated(LEADER), mutated(FOLLOWER), st.binary()), min_size=1, max_size=4))
def test_whatever_comes_is_read_without_an_error(bodies: list[bytes]) -> None:
    scrapes = Scrapes()
    for number, each in enumerate(bodies):
        scrape = read(each)
        assert set(scrape.rejected) <= set(prometheus_text.REASONS)
        scrapes.counts.take(scrape, 100.0 + number)
        scrapes.telemetry.turn(100.0 + number)
    for piece in scrapes.taken:
        if isinstance(piece, HeartbeatsAnswered):
            assert piece.count > 0
            assert piece.total >= 0


# scrape by scrape


def test_the_first_scrape_tells_no_heartbeats_only_that_raft_speaks() -> None:
    scrapes = Scrapes()
    taken = scrapes.take(*beats("n2", 500), *states(leader=1))
    assert [type(each) for each in taken] == [NodeStatus, TelemetryHeard]
    assert isinstance(taken[0], NodeStatus)
    assert taken[0].role is Role.UNKNOWN


def test_what_a_count_rose_by_was_answered_at_the_scrape_with_its_mean_round_trip() -> None:
    scrapes = Scrapes()
    scrapes.take(*beats("n2", 500, 300.0))
    (answered,) = [
        each for each in scrapes.take(*beats("n2", 507, 321.0)) if isinstance(each, HeartbeatsAnswered)
    ]
    assert (answered.peer, answered.count, answered.age) == ("n2", 7, 0.0)
    assert answered.total == pytest.approx(0.021)
    assert BOUNDS[3] == 0.005
    assert answered.buckets == (0, 0, 0, 7, *[0] * 11)


def test_a_round_trip_that_is_not_told_is_not_made_up() -> None:
    scrapes = Scrapes()
    scrapes.take(*beats("n2", 500, 300.0))
    (answered,) = [
        each for each in scrapes.take(*beats("n2", 507, 12.0)) if isinstance(each, HeartbeatsAnswered)
    ]
    assert (answered.count, answered.total, sum(answered.buckets)) == (7, 0.0, 0)


def test_both_forms_of_a_peer_count_once() -> None:
    scrapes = Scrapes()
    scrapes.take(*beats("n2", 5), *legacy("n2", 5), *beats("n3", 5), *legacy("n3", 5))
    told = scrapes.answered(*beats("n2", 12), *legacy("n2", 11), *beats("n3", 9), *legacy("n3", 9))
    assert told == {"n2": 7, "n3": 4}


def test_a_labelled_form_that_comes_later_goes_on_where_the_legacy_one_was() -> None:
    scrapes = Scrapes()
    scrapes.take(*ALIVE)
    assert scrapes.answered(*legacy("n2", 2)) == {"n2": 2}
    assert scrapes.answered(*beats("n2", 9), *legacy("n2", 9)) == {"n2": 7}


def test_the_legacy_form_alone_counts() -> None:
    scrapes = Scrapes("10.0.0.1:4647", "n-2")
    scrapes.take(*legacy("10_0_0_1:4647", 5), *legacy("n_2", 5))
    told = scrapes.answered(*legacy("10_0_0_1:4647", 12), *legacy("n_2", 6))
    assert told == {"10.0.0.1:4647": 7, "n-2": 1}


def test_a_legacy_series_that_outlives_its_labelled_one_is_not_a_new_one() -> None:
    scrapes = Scrapes()
    scrapes.take(*beats("n2", 5000), *legacy("n2", 5000))
    assert scrapes.answered(*legacy("n2", 5000), after=30) == {}
    assert scrapes.answered(*beats("n3", 1), *legacy("n3", 1), *legacy("n2", 5000)) == {"n3": 1}


def test_labels_tell_a_peer_by_its_own_name() -> None:
    scrapes = Scrapes("n_2", "n-2")
    scrapes.take(*beats("n_2", 5), *beats("n-2", 50), *legacy("n_2", 55))
    assert scrapes.answered(*beats("n_2", 5), *beats("n-2", 57), *legacy("n_2", 62)) == {"n-2": 7}


def test_a_series_that_freezes_or_expires_is_silence_and_never_a_reset() -> None:
    scrapes = Scrapes()
    scrapes.take(*beats("n2", 258), *beats("n3", 205))
    assert scrapes.answered(*beats("n2", 258), *beats("n3", 212)) == {"n3": 7}
    for second in range(60):
        assert scrapes.answered(*beats("n3", 219 + second)) == ({"n3": 7} if second == 0 else {"n3": 1})
    assert scrapes.answered(*beats("n2", 258), *beats("n3", 278)) == {}
    assert scrapes.answered(*beats("n2", 3), *beats("n3", 279)) == {"n2": 3, "n3": 1}


def test_a_count_that_goes_down_is_a_restart_and_counts_anew() -> None:
    scrapes = Scrapes()
    scrapes.take(*beats("n2", 500, 300.0))
    (answered,) = [
        each for each in scrapes.take(*beats("n2", 4, 8.0)) if isinstance(each, HeartbeatsAnswered)
    ]
    assert answered.count == 4
    assert answered.total == pytest.approx(0.008)


@given(
    st.lists(st.tuples(st.sampled_from(["goes on", "expires", "restarts"]), st.integers(0, 9)), max_size=40)
)
def test_no_scrape_tells_more_heartbeats_than_there_were(steps: list[tuple[str, int]]) -> None:
    scrapes = Scrapes()
    count = known = 5
    scrapes.take(*beats("n2", count), *legacy("n2", count))
    for step, answered in steps:
        count = answered + (count if step == "goes on" else 0)
        both = (*beats("n2", count), *legacy("n2", count)) if count else ()
        told = scrapes.answered(*ALIVE, *both).get("n2", 0)
        assert told <= answered
        assert bool(told) == (answered > 0 and count != known)
        if step == "goes on" and count - answered == known:
            assert told == answered
        known = count or known


def test_a_peer_that_comes_for_the_first_time_counts_in_full() -> None:
    scrapes = Scrapes()
    scrapes.take(*ALIVE)
    assert scrapes.answered(*beats("n2", 6)) == {"n2": 6}


def test_scrapes_that_failed_in_between_lose_no_heartbeat() -> None:
    scrapes = Scrapes()
    scrapes.take(*beats("n2", 500))
    assert scrapes.answered(*beats("n2", 570), after=10) == {"n2": 70}


def test_a_follower_hears_its_leader_when_the_count_rises() -> None:
    name = "consul_raft_rpc_processHeartbeat_count"
    scrapes = Scrapes()
    assert not any(isinstance(each, LeaderHeard) for each in scrapes.take(f"{name} 53"))
    assert LeaderHeard(age=0.0) in scrapes.take(f"{name} 60")
    assert not any(isinstance(each, LeaderHeard) for each in scrapes.take(f"{name} 60"))
    assert LeaderHeard(age=0.0) in scrapes.take(f"{name} 2")


@pytest.mark.parametrize(
    ("before", "after", "role"),
    [
        ({"follower": 1}, {"follower": 1, "candidate": 1, "leader": 1}, Role.LEADER),
        ({"candidate": 1}, {"candidate": 1, "leader": 1}, Role.LEADER),
        ({"follower": 1}, {"follower": 1, "candidate": 1}, Role.CANDIDATE),
        ({"follower": 1, "candidate": 1}, {"follower": 2, "candidate": 2}, Role.CANDIDATE),
        ({"follower": 1, "leader": 1}, {"follower": 2, "leader": 1}, Role.FOLLOWER),
        ({"leader": 1}, {"follower": 1}, Role.FOLLOWER),
        ({"follower": 9, "leader": 9}, {"follower": 10, "candidate": 1, "leader": 10}, Role.FOLLOWER),
        ({"follower": 1}, {"follower": 1}, Role.UNKNOWN),
    ],
)
def test_the_state_that_was_entered_last_is_the_role(
    before: Mapping[str, int], after: Mapping[str, int], role: Role
) -> None:
    scrapes = Scrapes()
    scrapes.take(*ALIVE, *states(**before))
    assert scrapes.role(*ALIVE, *states(**after)) is role


def test_a_state_whose_counter_had_expired_is_entered_at_one_again() -> None:
    scrapes = Scrapes()
    scrapes.take(*ALIVE, *states(follower=1))
    assert scrapes.role(*ALIVE, *states(leader=1)) is Role.LEADER
    assert scrapes.role(*ALIVE) is Role.LEADER
    assert scrapes.role(*ALIVE, *states(follower=1)) is Role.FOLLOWER


def test_a_leader_that_restarts_at_once_is_a_follower_though_its_states_look_the_same() -> None:
    scrapes = Scrapes()
    scrapes.take(*beats("n2", 500), *states(follower=1, candidate=1, leader=1))
    assert scrapes.role(*beats("n2", 507), *states(follower=1, candidate=1, leader=1)) is Role.LEADER
    assert scrapes.role(*ALIVE, *states(follower=1)) is Role.FOLLOWER


def test_what_a_stranger_answered_is_nobodys() -> None:
    scrapes = Scrapes()
    scrapes.take(*beats("n9", 5))
    assert scrapes.answered(*beats("n9", 12)) == {}
    assert scrapes.intake.rejected[SOURCE, "unknown_peer"] == 1


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prometheus_counts, "_MAX_SERIES", 50)
    scrapes = Scrapes()
    for number in range(200):
        renamed = f'raft_replication_heartbeat_count{{peer_id="n3",host="{number}"}} 1'
        told = scrapes.answered(*beats("n2", 7 * number), renamed)
        assert told == ({} if number == 0 else {"n2": 7, "n3": 1})
    assert len(scrapes.counts._heartbeats) + len(scrapes.counts._legacy) <= 54


def test_a_frozen_follower_is_suspect_within_three_h_and_stays_so_when_its_series_expires() -> None:
    servers = tuple(Server(f"n{each}", f"10.0.0.{each}:7000") for each in (1, 2, 3))
    table = Table(Policy.of(1.0), (), 100.0)
    for each in (NodeIdentity("n1", servers[0].address), Configuration(servers)):
        table.take(each, 100.0)
    intake = Intake()
    clock = 100.0
    telemetry = Telemetry(lambda e: table.take(e, clock), lambda: table.members, lambda: True, intake)
    counts = Counts(telemetry)
    seen: dict[int, State] = {}
    for second in range(90):
        clock = 100.0 + second
        rises = 7 * second
        frozen = beats("n2", min(rises, 7 * 10))
        expired = () if second > 40 else frozen
        counts.take(read(body(*ALIVE, *expired, *beats("n3", rises))), clock)
        for _ in range(4):
            telemetry.turn(clock)
            table.judge(clock)
            clock += 0.25
        seen[second] = table.members["n2"].verdict.state
        if second > 0:
            assert table.members["n3"].verdict.state is State.ONLINE
    assert {seen[second] for second in range(1, 11)} == {State.ONLINE}
    assert seen[13] is State.SUSPECT
    assert {seen[second] for second in range(13, 90)} == {State.SUSPECT}


# the endpoint


def http(content: bytes, *, status: str = "200 OK", kind: str = TEXT, extra: str = "") -> bytes:
    head = f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {len(content)}\r\n{extra}\r\n"
    return head.encode() + content


def always(answer: bytes, requests: list[bytes] | None = None) -> Handler:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            request = await reader.readuntil(b"\r\n\r\n")
            if requests is not None:
                requests.append(request)
            writer.write(answer)
            await writer.drain()

    return serve


class Endpoint:
    """A source at a server of the test, with all that came of it."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        port: int,
        path: str,
        *,
        scheme: str = "http",
        tls: TlsConfig | None = None,
    ) -> None:
        self.taken: list[Evidence] = []
        self.intake = Intake()
        self.now = 100.0
        self.interval = 1.0
        self.headers: Mapping[str, str] | NodeError = {"X-Vault-Token": "s.secret"}
        self.telemetry = Telemetry(self.taken.append, lambda: ("n1", "n2", "n3"), lambda: True, self.intake)
        self.source = PrometheusTelemetry(
            f"{scheme}://127.0.0.1:{port}{path}",
            session,
            self.telemetry,
            self.intake,
            tls=tls or TlsConfig(),
            headers=self.give_headers,
            interval=lambda: self.interval,
            clock=lambda: self.now,
        )

    def give_headers(self) -> Mapping[str, str]:
        if isinstance(self.headers, NodeError):
            raise self.headers
        return self.headers

    def rejected(self) -> dict[str, int]:
        return {reason: count for (_, reason), count in self.intake.rejected.items() if count}


@asynccontextmanager
async def endpoint(
    handler: Handler, path: str = "/v1/sys/metrics?format=prometheus"
) -> AsyncIterator[Endpoint]:
    async with serving(handler) as port, open_session() as session:
        yield Endpoint(session, port, path)


async def test_it_asks_the_whole_url_with_the_token_and_tells_what_comes() -> None:
    requests: list[bytes] = []
    async with endpoint(always(http(LEADER), requests)) as at:
        await at.source.scrape()
        at.telemetry.turn(at.now)
    assert requests[0].startswith(b"GET /v1/sys/metrics?format=prometheus HTTP/1.1\r\n")
    assert b"X-Vault-Token: s.secret\r\n" in requests[0]
    assert [type(each) for each in at.taken] == [NodeStatus, TelemetryHeard]
    assert at.intake.up[SOURCE]
    assert not at.rejected()
    assert not at.source.hints


async def test_heartbeats_are_as_old_as_the_question() -> None:
    answers = [body(*ALIVE), body(*beats("n2", 7))]

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for answer in answers:
            await reader.readuntil(b"\r\n\r\n")
            at.now += 0.5
            writer.write(http(answer))

    async with endpoint(serve) as at:
        await at.source.scrape()
        await at.source.scrape()
        at.telemetry.turn(at.now)
    (answered,) = [each for each in at.taken if isinstance(each, HeartbeatsAnswered)]
    assert (answered.count, answered.age) == (7, 0.5)


@pytest.mark.parametrize(
    ("answer", "path", "reason", "hint"),
    [
        (
            http(b"Prometheus is not enabled since its retention time is not positive", status="415 No"),
            "/v1/agent/metrics?format=prometheus",
            "disabled",
            "prometheus_retention_time above 0 in Consul",
        ),
        (
            http(b"Permission denied", status="403 Forbidden"),
            "/v1/agent/metrics?format=prometheus",
            "permission",
            "agent:read",
        ),
        (
            http(b"Prometheus support is not enabled", status="415 Unsupported Media Type"),
            "/v1/metrics?format=prometheus",
            "disabled",
            "telemetry.prometheus_metrics = true",
        ),
        (
            http(b'{"errors":["permission denied"]}', status="403 Forbidden", kind="application/json"),
            "/v1/sys/metrics?format=prometheus",
            "permission",
            "sys/metrics, or the listener unauthenticated_metrics_access",
        ),
        (  # OpenBao 2.7.2: a standby, with no token or a wrong one
            http(
                b'{"errors":["cannot forward local-only request"]}',
                status="400 Bad Request",
                kind="application/json",
            ),
            "/v1/sys/metrics?format=prometheus",
            "permission",
            "read on sys/metrics",
        ),
        (  # OpenBao 2.7.2 with prometheus_retention_time = "0s", sealed or not
            http(b"prometheus is not enabled", status="400 Bad Request", kind="text/plain"),
            "/v1/sys/metrics?format=prometheus",
            "disabled",
            "prometheus_retention_time above 0",
        ),
        (http(b"", status="404 Not Found"), "/metrics", "not_found", "telemetry.prometheus.url"),
        (http(b"", status="415 No"), "/metrics", "disabled", "Prometheus sink"),
        (http(b"", status="401 Unauthorized"), "/metrics", "permission", "token"),
        (
            http(b"{}", kind="application/json"),
            "/v1/sys/metrics",
            "content_type",
            "?format=prometheus",
        ),
        (http(b"go_goroutines 5\n"), "/metrics", "no_raft", "server"),
        (http(b"", status="503 Sealed"), "/v1/sys/metrics?format=prometheus", "status", None),
        (http(b"bad", status="400 Bad Request"), "/v1/sys/metrics?format=prometheus", "status", None),
        (http(b"", status="307 Moved", extra="Location: /x\r\n"), "/metrics", "redirect", None),
        (http(b"x" * (node_api.MAX_BODY + 1)), "/metrics", "too_large", None),
        (b"SSH-2.0-OpenSSH_9.2\r\n\r\n", "/metrics", "broken", None),
    ],
)
async def test_an_answer_that_is_no_use_is_counted_and_says_what_is_missing(
    answer: bytes, path: str, reason: str, hint: str | None
) -> None:
    async with endpoint(always(answer), path) as at:
        await at.source.scrape()
        at.telemetry.turn(at.now)
    assert at.rejected() == {reason: 1}
    assert reason in REASONS
    assert not at.taken
    assert not at.intake.up[SOURCE]
    if hint is None:
        assert not at.source.hints
    else:
        assert hint in at.source.hints[path.partition("?")[0]]


async def test_a_hint_goes_when_what_was_missing_is_there() -> None:
    answers = [http(b"", status="403 Forbidden"), http(LEADER)]

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for answer in answers:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(answer)

    async with endpoint(serve) as at:
        await at.source.scrape()
        assert at.source.hints
        await at.source.scrape()
        assert not at.source.hints


@pytest.mark.parametrize("begin", [b"", http(LEADER)[:-5]])
async def test_an_endpoint_that_hangs_or_trickles_is_given_up_within_the_interval(begin: bytes) -> None:
    async def hanging(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(begin)
        await reader.read()  # until the other side gives up

    async with endpoint(hanging) as at:
        at.interval = 0.05
        async with asyncio.timeout(5):
            await at.source.scrape()
    assert at.rejected() == {"timeout": 1}
    assert not at.taken


async def test_a_body_that_never_ends_is_cut_off_at_its_bound() -> None:
    sent = 0

    async def endless(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        await reader.readuntil(b"\r\n\r\n")
        writer.write(f"HTTP/1.1 200 OK\r\nContent-Type: {TEXT}\r\nContent-Length: 104857600\r\n\r\n".encode())
        while sent < 104_857_600:
            writer.write(b"raft_apply 1\n" * 5000)
            sent += 65_000
            await writer.drain()

    async with endpoint(endless) as at:
        await at.source.scrape()
    assert at.rejected() in ({"too_large": 1}, {"timeout": 1})
    assert sent < 64 * 1024 * 1024


async def test_nobody_at_the_port_is_refused_and_a_token_that_cant_be_read_is_said() -> None:
    async with endpoint(always(http(LEADER))) as at:
        at.headers = NodeError("token_file", "no such file")
        await at.source.scrape()
        assert at.rejected() == {"token_file": 1}
    async with serving(always(b"")) as port:
        pass
    async with open_session() as session:
        away = Endpoint(session, port, "/metrics")
        await away.source.scrape()
    assert away.rejected() == {"refused": 1}


async def test_it_is_down_after_three_failures_in_a_row_and_says_so_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    answer = http(LEADER)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(answer)

    caplog.set_level(logging.INFO)
    async with endpoint(serve) as at:
        await at.source.scrape()
        answer = http(b"", status="500 Oh")
        ups = []
        for _ in range(5):
            await at.source.scrape()
            ups.append(at.intake.up[SOURCE])
        answer = http(LEADER)
        await at.source.scrape()
        assert at.intake.up[SOURCE]
    assert ups == [True, True, False, False, False]
    assert [record.levelno for record in caplog.records] == [logging.INFO, logging.WARNING, logging.INFO]


async def test_it_scrapes_again_and_again_until_cancelled_whatever_goes_wrong(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    count = 0
    reads = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal count
        while True:
            await reader.readuntil(b"\r\n\r\n")
            count += 7
            writer.write(http(body(*beats("n2", count))))

    def broken_once(content: bytes) -> prometheus_text.Scrape:
        nonlocal reads
        reads += 1
        if reads == 2:
            raise RuntimeError("ours")
        return read(content)

    monkeypatch.setattr(prometheus_text, "read", broken_once)
    async with endpoint(serve) as at:
        at.interval = 0.01
        task = asyncio.create_task(at.source.run())
        await until(lambda: reads >= 5)
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        at.telemetry.turn(at.now)
    told = sum(each.count for each in at.taken if isinstance(each, HeartbeatsAnswered))
    assert told in {7 * (reads - 1), 7 * (reads - 2)}
    assert [record.message for record in caplog.records].count("scraping the node failed") == 1


async def test_tls_that_cant_be_had_is_counted_and_its_files_are_read_again(tmp_path: Path) -> None:
    async def plain(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(b"HTTP/1.0 400 Bad Request\r\n\r\n")

    ca = tmp_path / "ca.pem"
    async with serving(plain) as port, open_session() as session:
        at = Endpoint(session, port, "/metrics", scheme="https", tls=TlsConfig(ca_file=str(ca)))
        await at.source.scrape()
        assert at.rejected() == {"tls": 1}
        ca.write_text("no certificate")
        await at.source.scrape()
        assert at.rejected() == {"tls": 2}
        at = Endpoint(session, port, "/metrics", scheme="https")
        await at.source.scrape()
        assert at.rejected() == {"tls": 1}
