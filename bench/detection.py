"""How long after a fault its first true word comes: sidecars, bare native probe, hashicorp/raft itself.

Real nodes and sidecars on loopback, H = 1 s. In every trial all detectors watch the same fault at once.
"""

from __future__ import annotations

import random
import signal
import sys
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import Final

import click
from msgspec import Struct

from bench._faults import FAULTS, Fault
from bench._summary import Spread, finish, ratio, spread, table
from bench._witness import BareProbe, RaftWords, SidecarWords, Word, bare_probe
from raft_exporter.demo.cluster import Cluster, Node, Settings, until
from raft_exporter.errors import RaftExporterError
from raft_exporter.model.judge import State

DETECTORS: Final[dict[str, str]] = {
    "sidecar_first": "first other sidecar, confirmed",
    "sidecar_last": "last other sidecar, confirmed",
    "sidecar_own": "victim's own sidecar, confirmed",
    "sidecar_doubt": "first other sidecar, suspect or worse",
    "native_probe": "bare native probe, first failure",
    "raft": "hashicorp/raft's own observation",
}
"""Each detector by its name in the JSON, and in words."""
_SIZE: Final = 3
_LOOK: Final = 0.05
_HEALTH: Final = 90.0
"""Seconds within which everybody has to be online again."""
_NO_FAULT: Final = frozenset({State.ONLINE, State.UNKNOWN})


class Trial(Struct, frozen=True):
    """What came of one fault: each detector's delay in seconds, None for a miss, and false words."""

    fault: str
    delays: dict[str, float | None]
    mistakes: tuple[str, ...]


def delays_of(
    fault: Fault,
    victim: str,
    struck_at: float,
    said: Mapping[str, Sequence[Word]],
    *,
    probe_at: float | None,
    raft_at: float | None,
) -> dict[str, float | None]:
    """Give each detector's delay in seconds, given what each sidecar said; None: not within the cut-off."""

    def first(sidecar: str, states: frozenset[State]) -> float | None:
        times = (w.at for w in said[sidecar] if w.peer == victim and w.state in states and w.at >= struck_at)
        return min(times, default=None)

    others = [sidecar for sidecar in said if sidecar != victim]
    confirmed = [first(sidecar, frozenset({fault.word})) for sidecar in others]
    doubts = [first(sidecar, frozenset(State) - _NO_FAULT) for sidecar in others]
    moments = {
        "sidecar_first": min((at for at in confirmed if at is not None), default=None),
        "sidecar_last": max((at for at in confirmed if at is not None), default=None),
        "sidecar_own": first(victim, frozenset({fault.word})),
        "sidecar_doubt": min((at for at in doubts if at is not None), default=None),
        "native_probe": probe_at,
        "raft": raft_at,
    }
    if None in confirmed:
        moments["sidecar_last"] = None
    return {
        detector: None if at is None or at - struck_at > fault.cutoff else at - struck_at
        for detector, at in moments.items()
    }


def mistakes_of(fault: Fault, victim: str, said: Mapping[str, Sequence[Word]]) -> tuple[str, ...]:
    """Give the false words: any against another member than the victim, or a wrong verdict of the victim."""
    right = _NO_FAULT | {State.SUSPECT, fault.word} | fault.later
    return tuple(
        f"{sidecar} says that {word.peer} is {word.state}"
        for sidecar, spoken in said.items()
        for word in spoken
        if word.state not in (right if word.peer == victim else _NO_FAULT)
    )


def trial(cluster: Cluster, name: str, victim: Node, rng: random.Random) -> Trial:
    """Let one fault strike at a random moment, watch until all have spoken or the cut-off, and heal it."""
    fault = FAULTS[name]
    with bare_probe(victim, random.Random(rng.random())) as probe:
        time.sleep(rng.random())
        sidecars = {each: SidecarWords(sidecar) for each, sidecar in cluster.sidecars.items()}
        raft = RaftWords(node for node in cluster.nodes.values() if fault.answers or node is not victim)
        with fault.strike(cluster, victim) as struck_at:
            delays, said = _watch(fault, victim.id, struck_at, sidecars=sidecars, raft=raft, probe=probe)
        _all_online(cluster)
    return Trial(fault=name, delays=delays, mistakes=mistakes_of(fault, victim.id, said))


def _watch(
    fault: Fault,
    victim: str,
    struck_at: float,
    *,
    sidecars: Mapping[str, SidecarWords],
    raft: RaftWords,
    probe: BareProbe,
) -> tuple[dict[str, float | None], dict[str, list[Word]]]:
    while True:
        late = time.time() - struck_at > fault.cutoff
        said = {each: sidecar.read() for each, sidecar in sidecars.items()}
        delays = delays_of(
            fault,
            victim,
            struck_at,
            said,
            probe_at=probe.first_failure(struck_at),
            raft_at=raft.first_of(victim, struck_at),
        )
        if late or None not in delays.values():
            return delays, said
        time.sleep(_LOOK)


def _all_online(cluster: Cluster) -> None:
    def online() -> bool:
        seen = [sidecar.states() for sidecar in cluster.sidecars.values()]
        return all(len(states) == _SIZE and set(states.values()) == {State.ONLINE} for states in seen)

    until("every sidecar says that every member is online", online, within=_HEALTH)
    cluster.leader()


def run(names: Sequence[str], n: int, rng: random.Random) -> list[Trial]:
    """Run ``n`` trials of each fault in random order, on one cluster for each transport timeout."""
    trials = []
    for timeout in dict.fromkeys(FAULTS[name].transport_timeout for name in names):
        order = [name for name in names if FAULTS[name].transport_timeout == timeout] * n
        rng.shuffle(order)
        with (
            tempfile.TemporaryDirectory() as home,
            Cluster(Path(home), _SIZE, Settings(transport_timeout=timeout)) as cluster,
        ):
            _all_online(cluster)
            for name in order:
                followers = sorted(cluster.followers(), key=lambda node: node.id)
                victim = cluster.leader() if FAULTS[name].on_leader else rng.choice(followers)
                trials.append(trial(cluster, name, victim, rng))
                _progress(len(trials), n * len(names), victim, trials[-1])
    return trials


def _progress(number: int, of: int, victim: Node, done: Trial) -> None:
    delays = " ".join(f"{detector}={_seconds(delay)}" for detector, delay in done.delays.items())
    print(f"{number}/{of} {done.fault} {victim.id}: {delays}", *done.mistakes, sep="; ", file=sys.stderr)


def summary(trials: Iterable[Trial]) -> dict[str, dict[str, Spread]]:
    """Sum up the trials: fault, detector, spread."""
    delays: dict[str, dict[str, list[float | None]]] = {}
    for each in trials:
        of_fault = delays.setdefault(each.fault, {detector: [] for detector in DETECTORS})
        for detector, delay in each.delays.items():
            of_fault[detector].append(delay)
    return {
        fault: {detector: spread(values) for detector, values in of_fault.items()}
        for fault, of_fault in delays.items()
    }


def ratios(summed: Mapping[str, Mapping[str, Spread]]) -> dict[str, float | None]:
    """Give, for each fault, the median of the first other sidecar in units of hashicorp/raft's."""
    return {fault: ratio(of["sidecar_first"].p50, of["raft"].p50) for fault, of in summed.items()}


def lay_out(summed: Mapping[str, Mapping[str, Spread]]) -> str:
    """Give the table in Markdown, in seconds."""
    rows = []
    for fault, of_fault in summed.items():
        for detector, of in of_fault.items():
            none = f"> {FAULTS[fault].cutoff:g}"
            numbers = [none if p is None else f"{p:.2f}" for p in (of.p50, of.p90, of.p99, of.max)]
            rows.append([f"{fault}: {DETECTORS[detector]}", str(of.n), *numbers, str(of.n - of.detected)])
    return table(["fault: detector", "n", "p50 s", "p90 s", "p99 s", "max s", "missed"], rows)


def _seconds(delay: float | None) -> str:
    return "none" if delay is None else f"{delay:.3f}"


def _against(raft: float | None) -> str:
    return "raft is silent" if raft is None else f"{raft:.2f}"


def _end(number: int, _frame: FrameType | None) -> None:
    sys.exit(128 + number)


@click.command(help=__doc__)
@click.option("--n", default=20, show_default=True, type=click.IntRange(min=1), help="Trials of each fault.")
@click.option(
    "--fault", "faults", multiple=True, type=click.Choice(list(FAULTS)), help="Only these; repeatable."
)
@click.option("--seed", default=1, show_default=True, help="Of the order, the victims and the moments.")
def main(n: int, faults: tuple[str, ...], seed: int) -> None:
    """Run the trials and print what came of them."""
    signal.signal(signal.SIGTERM, _end)
    names = list(dict.fromkeys(faults)) or list(FAULTS)
    try:
        trials = run(names, n, random.Random(seed))
    except RaftExporterError as error:
        raise click.ClickException(str(error)) from error
    by_name = {name: [each for each in trials if each.fault == name] for name in names}
    summed = summary(each for name in names for each in by_name[name])
    mistakes = {name: sum(len(each.mistakes) for each in by_name[name]) for name in names}
    against = ratios(summed)
    compared = table(
        ["fault", "sidecar / raft", "false words"],
        [[f"{name}: {FAULTS[name].text}", _against(against[name]), str(mistakes[name])] for name in names],
    )
    finish(
        f"{lay_out(summed)}\n\n{compared}",
        {**summed, "ratios": against, "false_words": mistakes, "seed": seed},
    )


if __name__ == "__main__":
    main()
