"""How many of the node's packets are read a second, recorded ones and others, beside reading every line."""

from __future__ import annotations

import re
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import click

from bench._summary import finish, table
from raft_exporter.model.evidence import Evidence
from raft_exporter.model.intake import Intake
from raft_exporter.sources.statsd import StatsdSource
from raft_exporter.sources.telemetry import Telemetry

_CAPTURES: Final = Path(__file__).resolve().parents[1] / "tests" / "captures"
_HEADER: Final = re.compile(rb"^(?:# t=|@@)[^\n]*\n", re.MULTILINE)
_PACKETS: Final = 5_000
"""Of one kind, in one measurement."""
_MEMBERS: Final = ("n1", "n2", "n3")


def captured(name: str) -> list[bytes]:
    """Give the packets of one recording."""
    return [packet for packet in _HEADER.split((_CAPTURES / f"{name}.txt").read_bytes()) if packet]


def mixes() -> dict[str, list[bytes]]:
    """Give the packets to measure by name: recordings, metrics of others, and what nobody should send."""
    own = [b"".join(b"shop.cart.item%d.price:%d.500000|ms\n" % (i, i) for i in range(36))]
    return {
        "leader, idle": captured("raft-1.7.3-statsd-leader-idle"),
        "leader, busy": captured("raft-1.7.3-statsd-leader-load"),
        "follower": captured("raft-1.7.3-statsd-follower-idle"),
        "OpenBao, statsd": captured("openbao-2.7.2-statsd"),
        "OpenBao, dogstatsd": captured("openbao-2.7.2-dogstatsd"),
        "other metrics": own,
        "strangers' heartbeats": [b"s.raft.replication.heartbeat.x%d:0.4|ms\n" % i for i in range(1000)],
        "binary, 64 KiB": [bytes(range(256)) * 255],
    }


class Taker:
    """The path of a packet up to the evidence of a turn, without the socket."""

    def __init__(self) -> None:
        self.evidence: list[Evidence] = []
        self.intake = Intake()
        self.telemetry = Telemetry(self.evidence.append, lambda: _MEMBERS, lambda: True, self.intake)
        self._source = StatsdSource(self.telemetry, self.intake, lambda: 0.0)

    def take(self, packet: bytes) -> None:
        """Take one packet."""
        self._source.take(packet, 1.0)


def plain(packet: bytes) -> None:
    """Do the least of any server that keeps every metric: each line into name, value and type."""
    for line in packet.split(b"\n"):
        name, _, rest = line.partition(b":")
        value, _, kind = rest.partition(b"|")
        if name and kind:
            _UNREAD[name] = value


_UNREAD: Final[dict[bytes, bytes]] = {}


def _rate(take: Callable[[bytes], None], packets: Sequence[bytes]) -> float:
    began = time.perf_counter()
    for packet in packets:
        take(packet)
    return len(packets) / (time.perf_counter() - began)


def measure(packets: Sequence[bytes], n: int, least: int) -> dict[str, float]:
    """Measure ``n`` times over ``least`` packets or more, both readers in turn; the medians are given."""
    many = list(packets) * -(-least // len(packets))
    taker = Taker()
    ours, theirs, ratios = [], [], []
    for _ in range(n):
        ours.append(_rate(taker.take, many))
        theirs.append(_rate(plain, many))
        ratios.append(ours[-1] / theirs[-1])
        taker.telemetry.turn(1.0)
        _UNREAD.clear()
    return {
        "packets_per_second": round(statistics.median(ours)),
        "every_line_per_second": round(statistics.median(theirs)),
        "ratio": round(statistics.median(ratios), 3),
        "bytes": round(statistics.mean(map(len, packets))),
    }


@click.command(help=__doc__)
@click.option("--n", default=9, show_default=True, type=click.IntRange(min=1), help="Measurements of each.")
def main(n: int) -> None:
    """Measure every kind of packet and print what came of it."""
    measured = {name: measure(packets, n, _PACKETS) for name, packets in mixes().items()}
    header = ["packets", "bytes", "read a second", "every line a second", "ratio"]
    rows = [
        [
            name,
            f"{rate['bytes']:,}",
            f"{rate['packets_per_second']:,}",
            f"{rate['every_line_per_second']:,}",
            f"{rate['ratio']:.2f}",
        ]
        for name, rate in measured.items()
    ]
    finish(table(header, rows), {"n": n, "packets": measured})


if __name__ == "__main__":
    main()
