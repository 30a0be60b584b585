"""The confusion matrix as text: what was true, and what the sidecars said."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import groupby
from statistics import median
from typing import Final

from tests.chaos.recorder import Tally

STATES: Final = ("online", "suspect", "stalled", "asymmetric", "unknown", "offline")


def matrix(tally: Tally) -> Iterator[str]:
    """Lines of a table: seconds of each state, by scenario and by what was true; a sample is 0.2 s."""
    rows = sorted({(scenario, label) for scenario, label, _ in tally.samples})
    width = max((len(label) for _, label in rows), default=0) + 2
    yield f"{'':{width}}{'samples':>9}" + "".join(f"{state:>12}" for state in STATES)
    for scenario, labels in groupby(rows, key=lambda row: row[0]):
        yield scenario
        for _, label in labels:
            samples = sum(tally.samples[scenario, label, state] for state in STATES)
            seconds = (tally.seconds[scenario, label, state] for state in STATES)
            cells = "".join(f"{f'{each:.1f} s' if each else '.':>12}" for each in seconds)
            yield f"  {label:{width - 2}}{samples:>9}{cells}"
        sides = (
            f"{side} {tally.isolated[scenario, side, True]} of "
            f"{tally.isolated[scenario, side, True] + tally.isolated[scenario, side, False]}"
            for side in ("cut off", "returning", "majority")
            if tally.isolated[scenario, side, True]
        )
        if told := ", ".join(sides):
            yield f"  samples that say 'isolated': {told}"


def delays(noted: Iterable[tuple[str, str, float]]) -> Iterator[str]:
    """Lines: how long after the fault, or its end, all that had to say it said it."""
    for (scenario, what), same in groupby(sorted(noted), key=lambda each: each[:2]):
        seconds = [each[2] for each in same]
        most = f"; at most {max(seconds):.1f} s of {len(seconds)} times" if len(seconds) > 1 else ""
        yield f"{scenario}: {what}: {median(seconds):.1f} s{most}"
