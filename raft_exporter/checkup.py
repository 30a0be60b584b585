"""What a sidecar can see and what it lacks: a line each, with a hint where something can be done."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from msgspec import Struct

from raft_exporter.model.evidence import Outcome, ProbeKind
from raft_exporter.model.member import Member
from raft_exporter.model.table import Table
from raft_exporter.wording import duration

_LATE = 0.5
"""Seconds by which the judging may come late before that is worth a word."""
_SKEW = 5.0
"""Seconds: a Date header has whole ones, and overrides last minutes at least."""


class Check(Struct, frozen=True):
    """``ok`` is None for what is not there and need not be. ``hint`` says what to do; empty: nothing."""

    name: str
    ok: bool | None
    text: str
    hint: str = ""


class Checkup(Struct, frozen=True):
    """All checks, in the order in which they are best read."""

    checks: tuple[Check, ...]


class Surroundings(Struct, frozen=True):
    """What the table does not know: what the sources lack, where the store is, how far other clocks are."""

    kind: str | None
    hints: Mapping[str, str]
    sources: tuple[str, ...]
    """The sources that were asked for."""
    probes: bool
    sidecars: frozenset[str]
    """The members whose sidecars' addresses are known."""
    clocks: Mapping[str, float]
    """By member: by how many seconds the clock of its sidecar is ahead."""
    silent_sidecars: Mapping[str, str]
    """By member: why its sidecar's last answer was no report, as far as that says what to do."""
    store: str | None
    store_errors: int
    lag: float


_FRONTS = "TLS, or a prefix byte: see probe.port and probe.tls"
_OFF = {
    "observer": "no observer came",
    "node": "the node's API is not asked",
    "telemetry": "no telemetry is listened for",
}
_HOW = {
    "observer": "embed it in a Go service (observer/README.md)",
    "node": "--node URL, for Consul, Nomad, Vault, OpenBao and rqlite",
    "telemetry": "--telemetry udp:127.0.0.1:8125, and the node's statsd_address there",
}
_NAMES = {"observer": "observer", "node": "API", "telemetry": "telemetry"}


def checkup(table: Table, around: Surroundings, now: float) -> Checkup:
    """Look at everything at the observed time ``now``."""
    return Checkup(
        (*_node(table, around), *_sources(table, around), *_members(table, around, now), *_own(around))
    )


def _node(table: Table, around: Surroundings) -> Iterator[Check]:
    node = table.node
    kind = f", {around.kind}" if around.kind else ""
    if node.id is None:
        yield Check(
            "node", False, f"its server id is not known{kind}", "set node.id, or give a source that tells it"
        )
    else:
        yield Check("node", True, f"{node.id} at {node.address or 'an unknown address'}{kind}")
    if not table.members:
        yield Check(
            "members", False, "none is known", "give a source that tells them, or --peer ID=HOST:PORT"
        )
    elif table.configuration is None:
        yield Check(
            "members",
            True,
            f"{len(table.members)}, as they were given",
            "a source that tells them follows changes",
        )
    else:
        yield Check("members", True, f"{len(table.members)}, by the configuration")


def _sources(table: Table, around: Surroundings) -> Iterator[Check]:
    speaks = any(table.intake.up.get(source) for source in _NAMES)
    for source, name in _NAMES.items():
        up = table.intake.up.get(source)
        if up:
            yield Check(name, True, "speaks")
        elif source in around.sources:
            yield Check(name, False, "was asked for and does not speak", _last_refusal(table, source))
        else:
            yield Check(name, None, _OFF[source], "" if speaks else _HOW[source])
    for endpoint, hint in sorted(around.hints.items()):
        yield Check(endpoint, False, "not to be had", hint)


def _last_refusal(table: Table, source: str) -> str:
    counted = {
        reason: count for (of, reason), count in table.intake.rejected.items() if of == source and count
    }
    return (
        f"counted so far: {', '.join(f'{reason} {count}' for reason, count in sorted(counted.items()))}"
        if counted
        else ""
    )


def _members(table: Table, around: Surroundings, now: float) -> Iterator[Check]:
    for peer, member in sorted(table.members.items()):
        yield _probe(peer, member, around, now)
        if peer == table.node.id:
            continue
        silence = member.sidecar_silence(now)
        if silence is not None and silence < table.policy.suspect_after:
            yield Check(f"sidecar of {peer}", True, f"reports, {duration(silence)} ago")
        elif peer in around.sidecars:
            hint = around.silent_sidecars.get(peer, "is it running, and its port open from here?")
            yield Check(f"sidecar of {peer}", False, "does not report", hint)
        else:
            yield Check(
                f"sidecar of {peer}", None, "its address is not known", "--sidecars 'http://{host}:9641'"
            )
        skew = around.clocks.get(peer, 0.0)
        if abs(skew) >= _SKEW:
            ahead = "ahead of" if skew > 0 else "behind"
            yield Check(
                f"clock of {peer}",
                False,
                f"{duration(abs(skew))} {ahead} ours",
                "overrides expire by the clock: set it",
            )


def _probe(peer: str, member: Member, around: Surroundings, now: float) -> Check:
    name = f"Raft port of {peer}"
    if not around.probes:
        return Check(name, None, "is not probed", "probe.port says what it speaks, and turns the probe on")
    failures = {
        outcome: count
        for kind in ProbeKind
        if kind is not ProbeKind.SIDECAR
        for outcome, count in member.probes[kind].failures.items()
    }
    silence = member.process_silence(now)
    if silence is not None and silence < 5.0:
        return Check(name, True, f"answers, {duration(silence)} ago")
    if failures.get(Outcome.BAD_ANSWER):
        behind = "it is sealed or not started" if around.kind == "vault" else _FRONTS
        return Check(name, False, "something else answers there", behind)
    text = ", ".join(f"{outcome} {count}" for outcome, count in sorted(failures.items())) or "no answer yet"
    return Check(name, False, text, "is it reachable from here?")


def _own(around: Surroundings) -> Iterator[Check]:
    if around.store is None:
        yield Check("store", None, "nothing outlives a restart", "--store PATH")
    elif around.store_errors:
        yield Check("store", False, f"{around.store_errors} failures of {around.store}", "the log says which")
    else:
        yield Check("store", True, around.store)
    late = around.lag >= _LATE
    hint = "this machine is too busy: its thresholds are late by that" if late else ""
    yield Check("event loop", not late, f"{duration(around.lag)} late", hint)
