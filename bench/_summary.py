"""What every benchmark ends with: a distribution in a few numbers, a table, one line of JSON."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import msgspec
from msgspec import Struct


class Spread(Struct, frozen=True):
    """How long something took in ``n`` trials, in seconds; ``detected`` of them ended at all.

    The percentiles are of ALL trials, one that never ended being later than any that did: None where the
    percentile falls on such a one. So a detector can't look faster by missing the hard cases.
    """

    n: int
    detected: int
    p50: float | None
    p90: float | None
    p99: float | None
    max: float | None


def spread(delays: Sequence[float | None]) -> Spread:
    """Sum up the delays of all trials, None for one that never ended."""
    ordered = sorted(math.inf if delay is None else delay for delay in delays)
    return Spread(
        n=len(delays),
        detected=sum(delay is not None for delay in delays),
        p50=percentile(ordered, 0.5),
        p90=percentile(ordered, 0.9),
        p99=percentile(ordered, 0.99),
        max=percentile(ordered, 1.0),
    )


def percentile(ordered: Sequence[float], fraction: float) -> float | None:
    """Give the nearest rank: the least value with ``fraction`` of all not above it; None when infinite."""
    if not ordered:
        return None
    value = ordered[max(math.ceil(fraction * len(ordered)), 1) - 1]
    return None if math.isinf(value) else round(value, 4)


def ratio(one: float | None, other: float | None) -> float | None:
    """Give ``one`` in units of ``other``; None where there is nothing to compare."""
    if one is None or other is None or other <= 0:
        return None
    return round(one / other, 3)


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Lay out a Markdown table: the first column to the left, numbers to the right."""
    widths = [max(3, *(len(row[column]) for row in (header, *rows))) for column in range(len(header))]

    def line(cells: Sequence[str]) -> str:
        first, *rest = (
            cell.rjust(width) if column else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(cells, widths, strict=True))
        )
        return f"| {' | '.join((first, *rest))} |"

    rule = [f"{'-' * (width - 1)}{':' if column else '-'}" for column, width in enumerate(widths)]
    return "\n".join([line(header), line(rule), *(line(row) for row in rows)])


def finish(text: str, result: Mapping[str, object]) -> None:
    """Print the table, then the result as one line of JSON."""
    print(text)
    print()
    print(msgspec.json.encode(result).decode(), flush=True)
