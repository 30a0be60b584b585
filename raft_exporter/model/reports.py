"""What the other sidecars report: indirect evidence, and who may be believed."""

from __future__ import annotations

from collections.abc import Collection

from msgspec import Struct

from raft_exporter.model.evidence import Configuration, Report, ReportedMember
from raft_exporter.model.judge import NEVER
from raft_exporter.model.policy import Policy


class Sight(Struct, frozen=True):
    """What one sidecar last knew of one member; times of the observed clock in seconds."""

    success_at: float
    """The last direct success of either kind."""
    main_loop_at: float
    silent_since: float
    """That, or since when it has been listened to in vain."""
    refused: bool


class Testimony(Struct, frozen=True):
    """All that the credible reporters say of one member, as the judge needs it."""

    witness_at: float = NEVER
    witness_main_loop_at: float = NEVER
    silent_reporters: int = 0
    gone_at: float = NEVER
    installing_snapshot: bool = False


class Held(Struct, frozen=True):
    """The latest report of one sidecar: made at ``at``, turned from ages to times."""

    report: Report
    at: float
    sights: dict[str, Sight]


class Reports:
    """The latest report of each other sidecar.

    Credible is a report that is younger than ``suspect_after`` and whose reporter is not isolated.
    """

    def __init__(self) -> None:
        self._held: dict[str, Held] = {}

    def take(self, report: Report, policy: Policy, now: float) -> None:
        """Keep a report in the place of the reporter's last one."""
        self._held[report.reporter] = hold(report, policy, now)

    def keep_only(self, members: Collection[str]) -> None:
        """Forget the reports of everybody who is no member."""
        for reporter in [each for each in self._held if each not in members]:
            del self._held[reporter]

    def forget(self, peer: str) -> None:
        """Forget what was said of a member: it left, or its address changed."""
        for held in self._held.values():
            held.sights.pop(peer, None)

    def credible(self, policy: Policy, now: float) -> dict[str, Held]:
        """The reports that may be believed at ``now``, by reporter."""
        return {
            reporter: held
            for reporter, held in self._held.items()
            if not held.report.isolated and now - held.at < policy.suspect_after
        }

    def latest(self) -> dict[str, Held]:
        """The last report of each reporter, believed or not."""
        return dict(self._held)


def hold(report: Report, policy: Policy, now: float) -> Held:
    """Turn the ages of a report that came at ``now`` into times.

    A node with a longer HeartbeatTimeout asks less often: what is fresh or silent to it is so to us.
    """
    at = now - report.age
    theirs = (report.heartbeat_timeout or 0.0) * policy.multiples.suspect_after
    heard_at = at + max(theirs - policy.suspect_after, 0.0)
    sights = {row.peer: _sight(row, heard_at, policy) for row in report.members}
    return Held(report=report, at=at, sights=sights)


def testimony(peer: str, credible: dict[str, Held], policy: Policy, now: float) -> Testimony:
    """Put together what credible reporters say of ``peer``.

    Its own sidecar may only speak for it, or say that its process is gone: that it hears nothing of its
    own node confirms no silence of the host.
    """
    witness_at = witness_main_loop_at = gone_at = NEVER
    silent, stale_at = 0, now - policy.suspect_after
    for reporter, held in credible.items():
        sight = held.sights.get(peer)
        if sight is None:
            continue
        if sight.success_at > witness_at:  # noqa: PLR1730 - the hottest loop: a call to max() doubles it
            witness_at = sight.success_at
        if sight.main_loop_at > witness_main_loop_at:  # noqa: PLR1730
            witness_main_loop_at = sight.main_loop_at
        if reporter != peer:
            silent += sight.silent_since <= stale_at
        elif sight.refused:
            gone_at = held.at
    own = credible.get(peer)
    return Testimony(
        witness_at=witness_at,
        witness_main_loop_at=witness_main_loop_at,
        silent_reporters=silent,
        gone_at=gone_at,
        installing_snapshot=own is not None and own.report.installing_snapshot,
    )


def latest_configuration(known: Configuration | None, told: Configuration | None) -> Configuration | None:
    """The one with the higher index. One without an index gives way to none but is told to nobody."""
    if told is None or told.index is None or not told.servers:
        return known
    if known is not None and (known.index is None or known.index >= told.index):
        return known
    return told


def of_another_cluster(known: Configuration | None, told: Configuration | None) -> bool:
    """Whether two configurations have no server in common, by id and address.

    Clusters may give their servers the same ids and share their hosts: then only the addresses differ.
    """
    if known is None or told is None or not told.servers:
        return False
    ours = {(each.id, each.address) for each in known.servers}
    return not any((each.id, each.address) in ours for each in told.servers)


def _sight(row: ReportedMember, at: float, policy: Policy) -> Sight:
    heard_at = NEVER if row.heartbeat is None else at - row.heartbeat
    main_loop_at = NEVER if row.raft is None else at - row.raft
    success_at = max(heard_at, main_loop_at)
    return Sight(
        success_at=success_at,
        main_loop_at=main_loop_at,
        silent_since=max(at - row.silence, success_at),
        refused=row.refusals >= policy.refusals and row.refused_for >= policy.refusal_span,
    )
