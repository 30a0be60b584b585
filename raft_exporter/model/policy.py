"""Thresholds, each with its reason.

All times are multiples of H, the node's own HeartbeatTimeout: Consul and Vault run at five times the
default, and fixed milliseconds would flap there.
"""

from __future__ import annotations

import math
from typing import Annotated

from msgspec import Meta, Struct


class Multiples(Struct, frozen=True):
    """The thresholds as they are set: times in multiples of H, and counts.

    The defaults are measured (docs/quality.md).
    """

    suspect_after: Annotated[
        float,
        Meta(
            gt=0,
            le=1000,
            description="Silence that makes a member suspect, and that makes any evidence stale. "
            "hashicorp/raft heartbeats every H/10 to H/5, so one H is five to ten lost ones.",
        ),
    ] = 2.0
    refusals: Annotated[
        int,
        Meta(
            ge=1,
            le=100,
            description="Refused probes that prove a closed port. One may be a restart between two accepts.",
        ),
    ] = 2
    refusal_span: Annotated[
        float,
        Meta(
            ge=0,
            le=1000,
            description="The least time between the first and the last of them: within one moment of a "
            "restart several are one.",
        ),
    ] = 0.5
    probe_failures: Annotated[
        int,
        Meta(
            ge=1,
            le=100,
            description="Failed probes in a row before silence is held against a member (the lower bound of "
            "memberlist's suspicion.go).",
        ),
    ] = 3
    gone_after: Annotated[
        float,
        Meta(
            gt=0,
            le=1000,
            description="Silence for everybody that makes a member offline, once enough other sidecars "
            "confirm it; and silence for us alone that makes it asymmetric. A pause of 5 s looks the same "
            "for 5 s. At least host_fresh and one H.",
        ),
    ] = 5.5
    alone_after: Annotated[
        float,
        Meta(
            gt=0,
            le=1000,
            description="The same, with no other sidecar to confirm it: a cut link would look alike.",
        ),
    ] = 15.0
    stall_after: Annotated[
        float,
        Meta(
            gt=0,
            le=1000,
            description="Silence of a process whose host answers, before it is taken for gone. Until then it "
            "is stalled: what stands still may go on.",
        ),
    ] = 10.0
    join_grace: Annotated[
        float,
        Meta(
            ge=0,
            le=1000,
            description="How long a member that just joined may need to start. Until then it is unknown, and "
            "a restart is no alert.",
        ),
    ] = 15.0
    rise: Annotated[
        int,
        Meta(
            ge=1,
            le=100,
            description="Successes in a row that bring a member back from offline: one may be of a crash "
            "loop.",
        ),
    ] = 4
    rise_span: Annotated[
        float,
        Meta(
            ge=0,
            le=1000,
            description="The least time between the first and the last of them, so that a crash loop stays "
            "offline. Doubled for each unit of flap penalty beyond the first.",
        ),
    ] = 3.0
    rise_span_max: Annotated[
        float,
        Meta(
            ge=0,
            le=10000,
            description="The most that damping makes of rise_span: an all-clear must come some time.",
        ),
    ] = 60.0
    dwell: Annotated[
        float,
        Meta(
            ge=0,
            le=1000,
            description="The least time between two opposite changes of one member: noise at a threshold is "
            "not shown.",
        ),
    ] = 1.0
    penalty_half_life: Annotated[
        float,
        Meta(
            gt=0,
            le=1e6,
            description="A member gathers a flap penalty of 1 each time it goes offline; this is how long "
            "it takes to halve (RFC 2439, route flap damping).",
        ),
    ] = 300.0
    flapping_above: Annotated[
        float,
        Meta(
            gt=0,
            le=1000,
            description="The penalty above which a member is flapping: four times offline within minutes.",
        ),
    ] = 3.0
    flapping_below: Annotated[
        float,
        Meta(
            gt=0,
            le=1000,
            description="The penalty below which it no longer is: far enough that the word does not flap.",
        ),
    ] = 1.0


COUNTS = frozenset({"refusals", "probe_failures", "rise", "flapping_above", "flapping_below"})
"""The thresholds that are no times."""

DEFAULTS = Multiples()

_HOST_FRESH = 2.5
"""Seconds: the kernel's TCP keepalive, which asks the host without the process, comes once a second at its
fastest, so that a host's sign of life counts for at least so long."""


class Policy(Struct, frozen=True):
    """The thresholds in force, times in seconds; build one with :meth:`of`.

    :class:`Multiples` says what each is for.
    """

    heartbeat_timeout: float
    suspect_after: float
    refusals: int
    refusal_span: float
    probe_failures: int
    host_fresh: float
    """How long a host's last sign of life counts: ``suspect_after``, at least 2.5 s."""
    gone_after: float
    """At least ``host_fresh`` and one H more."""
    alone_after: float
    stall_after: float
    join_grace: float
    rise: int
    rise_span: float
    rise_span_max: float
    dwell: float
    penalty_half_life: float
    flapping_above: float
    flapping_below: float
    multiples: Multiples

    @classmethod
    def of(cls, heartbeat_timeout: float, multiples: Multiples = DEFAULTS) -> Policy:
        """Give the policy for a node whose HeartbeatTimeout is ``heartbeat_timeout`` seconds."""
        h, m = heartbeat_timeout, multiples
        host_fresh = max(m.suspect_after * h, _HOST_FRESH)
        # Whoever is cut off has to find that out before it blames others for their silence.
        gone_after = max(m.gone_after * h, host_fresh + h)
        return cls(
            heartbeat_timeout=h,
            suspect_after=m.suspect_after * h,
            refusals=m.refusals,
            refusal_span=m.refusal_span * h,
            probe_failures=m.probe_failures,
            host_fresh=host_fresh,
            gone_after=gone_after,
            alone_after=max(m.alone_after * h, gone_after),
            stall_after=m.stall_after * h,
            join_grace=m.join_grace * h,
            rise=m.rise,
            rise_span=m.rise_span * h,
            rise_span_max=m.rise_span_max * h,
            dwell=m.dwell * h,
            penalty_half_life=m.penalty_half_life * h,
            flapping_above=m.flapping_above,
            flapping_below=m.flapping_below,
            multiples=m,
        )

    def silent_after(self, confirmations: int, needed: int) -> float:
        """Seconds of silence for everybody that make a member offline.

        It falls from ``alone_after`` to ``gone_after`` as the ``confirmations`` of other sidecars reach
        ``needed``: the first of them are worth the most (Lifeguard's curve, memberlist suspicion.go).
        """
        confirmed = math.log(min(confirmations, needed) + 1) / math.log(needed + 1)
        return self.alone_after - confirmed * (self.alone_after - self.gone_after)

    def rise_span_at(self, penalty: float) -> float:
        """Seconds of success that bring a member with this flap penalty back from offline.

        Damping makes the all-clear later, and never an alarm (the lesson of BGP's damping).
        """
        return min(
            self.rise_span * 2 ** min(max(penalty - 1, 0), 30), max(self.rise_span_max, self.rise_span)
        )

    def thresholds(self) -> dict[str, float]:
        """Each threshold that is a time, by the name it has in ``raft_exporter_threshold_seconds``."""
        return {
            "heartbeat_timeout": self.heartbeat_timeout,
            "suspect_after": self.suspect_after,
            "refusal_span": self.refusal_span,
            "host_fresh": self.host_fresh,
            "gone_after": self.gone_after,
            "alone_after": self.alone_after,
            "stall_after": self.stall_after,
            "join_grace": self.join_grace,
            "rise_span": self.rise_span,
            "rise_span_max": self.rise_span_max,
            "dwell": self.dwell,
            "penalty_half_life": self.penalty_half_life,
        }
