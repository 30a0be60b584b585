"""A source of packets with all that comes of it, without a socket."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

from raft_exporter.model.evidence import Evidence, HeartbeatsAnswered, NodeStatus, Role
from raft_exporter.model.intake import Intake
from raft_exporter.sources.statsd import StatsdSource
from raft_exporter.sources.telemetry import SOURCE, Telemetry

E = TypeVar("E")


class Listener:
    """Telemetry and its packets; ``taken`` is the evidence, ``now`` the clock that the test sets."""

    def __init__(self, *members: str, speaks: bool = True) -> None:
        self.taken: list[Evidence] = []
        self.members = list(members)
        self.speaks = speaks
        self.intake = Intake()
        self.now = 0.0
        self._where: tuple[str, ...] = ()
        self.telemetry = Telemetry(self.taken.append, lambda: self.members, lambda: self.speaks, self.intake)
        self.source = StatsdSource(self.telemetry, self.intake, lambda: self.now)

    async def listen(self, *where: str) -> None:
        """Take packets on these addresses, and relay none."""
        self._where = where
        await (await self.source.prepare(where, None)).commit()

    async def relay(self, to: str) -> None:
        """Send every packet on to an address."""
        await (await self.source.prepare(self._where, to)).commit()

    @property
    def heartbeats(self) -> dict[str, int]:
        """Answered heartbeats by peer, as handed out."""
        counts: dict[str, int] = {}
        for each in self.of(HeartbeatsAnswered):
            counts[each.peer] = counts.get(each.peer, 0) + each.count
        return counts

    @property
    def roles(self) -> list[Role]:
        """The roles of the statuses that were handed out, each change once."""
        roles = [status.role for status in self.of(NodeStatus)]
        return [role for i, role in enumerate(roles) if i == 0 or role is not roles[i - 1]]

    @property
    def rejected(self) -> dict[str, int]:
        """What was rejected, by reason."""
        return {reason: n for (source, reason), n in self.intake.rejected.items() if source == SOURCE and n}

    def of(self, kind: type[E]) -> list[E]:
        """Give the evidence of one kind."""
        return [each for each in self.taken if isinstance(each, kind)]

    def hear(self, *lines: str, at: float = 1.0) -> None:
        """Take one packet of these lines."""
        self.source.take("".join(f"{line}\n" for line in lines).encode(), at)

    def turn(self, now: float) -> list[Evidence]:
        """Turn, and give what that handed out."""
        before = len(self.taken)
        self.telemetry.turn(now)
        self.source.turn(now, 3.0)
        return self.taken[before:]

    def replay(self, recorded: Iterable[tuple[float, bytes]]) -> None:
        """Take packets at their own times, with a turn each 200 ms."""
        turned = 0.0
        for at, packet in recorded:
            self.source.take(packet, at)
            if at - turned >= 0.2:
                self.turn(at)
                turned = at
        self.turn(turned + 1.0)
