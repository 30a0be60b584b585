"""How fast the observer's lines become evidence in the table, beside ``json.loads`` of the same lines."""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable, Sequence
from typing import Final

import click

from bench._summary import finish, table
from raft_exporter.errors import StreamError
from raft_exporter.model.policy import Policy
from raft_exporter.model.table import Table
from raft_exporter.sources import observer_stream as stream

_LINES: Final = 2_000
"""Of one kind, in one measurement."""
_PEERS: Final = ("n2", "n3", "n4", "n5")
_SERVERS: Final = ("n1", *_PEERS)
_HELLO: Final = {
    "stream_version": 1,
    "node_id": "n1",
    "address": "127.0.0.1:7001",
    "heartbeat_timeout_ms": 1000,
}
_STATS: Final = {
    "applied_index": "12345",
    "commit_index": "12345",
    "fsm_pending": "0",
    "last_contact": "0",
    "last_log_index": "12345",
    "last_log_term": "2",
    "last_snapshot_index": "8192",
    "last_snapshot_term": "2",
    "latest_configuration": " ".join(
        f"{{Suffrage:Voter ID:n{i} Address:127.0.0.1:700{i}}}" for i in range(1, 6)
    ),
    "latest_configuration_index": "1",
    "num_peers": "4",
    "protocol_version": "3",
    "protocol_version_max": "3",
    "protocol_version_min": "0",
    "snapshot_version_max": "1",
    "snapshot_version_min": "0",
    "state": "Leader",
    "term": "2",
}


def _line(type_: str, /, **fields: object) -> bytes:
    return json.dumps({"type": type_, "age_ms": 0.4, **fields}).encode()


def _peer(peer: str) -> dict[str, object]:
    buckets = [5, 2, *[0] * 13]
    return {"peer": peer, "count": 7, "last_age_ms": 81.2, "sum_ms": 3.4, "max_ms": 0.9, "buckets": buckets}


KINDS: Final[dict[str, bytes]] = {
    "stats": _line("stats", stats=_STATS, leader_id="n1", leader_address="127.0.0.1:7001"),
    "heartbeats": _line("heartbeats", peers=[_peer(peer) for peer in _PEERS]),
    "configuration": _line(
        "configuration",
        index=1,
        servers=[
            {"id": peer, "address": f"127.0.0.1:700{peer[1:]}", "suffrage": "Voter"} for peer in _SERVERS
        ],
    ),
    "observation": _line("observation", kind="failed_heartbeat", peer="n2", last_contact_age_ms=163.0),
}
GARBAGE: Final[tuple[bytes, ...]] = (
    b"\x00\xff not JSON at all",
    b'{"type":"stats","age_ms":0.4,"stats":{"state":"Lea',
    b"[" * 3_000,
    b'{"type":"gossip","age_ms":0.4}',
    b'{"type":"heartbeats","age_ms":-1,"peers":[{"peer":"","count":-7}]}',
    _line("stats", stats=_STATS | {"term": "second"}),
)


def mixes() -> dict[str, list[bytes]]:
    """Give the lines to measure by name: each kind, a leader's ten seconds, and what is rejected."""
    ticks = [KINDS["stats"], KINDS["heartbeats"]] * 10
    leader = [KINDS["configuration"], *ticks, KINDS["observation"]]
    return {
        "leader's mix": leader,
        **{kind: [line] for kind, line in KINDS.items()},
        "garbage": list(GARBAGE),
    }


class Taker:
    """The path of a line: decoded, made evidence, taken into the table; or rejected and counted."""

    def __init__(self) -> None:
        self.table = Table(Policy.of(1.0), static=(), now=0.0)
        self.rejected = 0
        for line in (_line("hello", **_HELLO), KINDS["configuration"], KINDS["stats"]):
            self.take(line)

    def take(self, line: bytes) -> None:
        """Take one line."""
        take = self.table.take
        try:
            match stream.decode(line):
                case stream.Hello() as hello:
                    take(stream.identity(hello), 0.0)
                case stream.Stats() as stats:
                    take(stream.status(stats), 0.0)
                case stream.StreamConfiguration() as configuration:
                    take(stream.configuration(configuration), 0.0)
                case stream.Heartbeats() as heartbeats:
                    for answered in stream.heartbeats(heartbeats):
                        take(answered, 0.0)
                case stream.Observation() as observation:
                    _, evidence = stream.observation(observation)
                    if evidence is not None:
                        take(evidence, 0.0)
        except StreamError:
            self.rejected += 1


def plain(line: bytes) -> None:
    """Do the least that any reader of JSON would."""
    try:
        json.loads(line)
    except (ValueError, RecursionError):
        return


def _rate(take: Callable[[bytes], None], lines: Sequence[bytes]) -> float:
    began = time.perf_counter()
    for line in lines:
        take(line)
    return len(lines) / (time.perf_counter() - began)


def measure(lines: Sequence[bytes], n: int, least: int) -> dict[str, float]:
    """Measure ``n`` times over ``least`` lines or more, both readers in turn; the medians are given."""
    many = list(lines) * -(-least // len(lines))
    taker = Taker()
    ours, theirs, ratios = [], [], []
    for _ in range(n):
        ours.append(_rate(taker.take, many))
        theirs.append(_rate(plain, many))
        ratios.append(ours[-1] / theirs[-1])
    return {
        "lines_per_second": round(statistics.median(ours)),
        "json_loads_per_second": round(statistics.median(theirs)),
        "ratio": round(statistics.median(ratios), 3),
    }


@click.command(help=__doc__)
@click.option("--n", default=15, show_default=True, type=click.IntRange(min=1), help="Measurements of each.")
def main(n: int) -> None:
    """Measure every kind of line and print what came of it."""
    measured = {name: measure(lines, n, _LINES) for name, lines in mixes().items()}
    header = ["lines", "taken a second", "json.loads a second", "ratio"]
    rows = [
        [name, f"{rate['lines_per_second']:,}", f"{rate['json_loads_per_second']:,}", f"{rate['ratio']:.2f}"]
        for name, rate in measured.items()
    ]
    finish(table(header, rows), {"n": n, "lines": measured})


if __name__ == "__main__":
    main()
