"""How good the judge is beside seven baselines, all in the same simulated world (docs/quality.md)."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Final

import click
import msgspec

from bench._detectors import BASELINES, BEST, DETECTORS, OURS, Setting, count, setting_of, wording
from bench._measures import Measures, Tally, dominates, no_worse
from bench._scenarios import PLAY, SCENARIOS, play
from bench._summary import finish, table

MINUTES: Final = 20.0
"""Simulated minutes of each scenario; they are rounded up to whole plays of about seven."""

_HEADER: Final = (
    "detector",
    "td p50",
    "td p99",
    "detected",
    "mistakes",
    "/pair-hour",
    "95 %",
    "lasting",
    "accuracy",
    "recovery p50",
    "p99",
    "flips/pair-hour",
)


def run(
    scenario: str,
    seed: int,
    detector: str,
    minutes: float = MINUTES,
    *,
    setting: Setting | None = None,
) -> Measures:
    """Measure one detector in one scenario over at least so many simulated minutes.

    ``scenario`` is one of :data:`~bench._scenarios.SCENARIOS`, ``detector`` one of
    :data:`~bench._detectors.DETECTORS`; ``setting`` replaces the baseline's parameters. The world depends on
    scenario and seed alone, and so do the measures of a detector. ``ours`` drives
    :class:`raft_exporter.model.table.Table`. ValueError for a name that does not exist.
    """
    used = setting_of(detector) if setting is None else setting
    tally = Tally()
    for number in range(plays(minutes)):
        count(tally, play(scenario, seed, number), detector, used)
    return tally.measures(wording(used))


def plays(minutes: float) -> int:
    """How many plays so many simulated minutes take."""
    return max(1, math.ceil(minutes * 60 / PLAY))


def compare(
    scenario: str, seed: int, minutes: float, detectors: Sequence[str] = DETECTORS
) -> dict[str, Measures]:
    """Measure these detectors in one scenario."""
    return {detector: run(scenario, seed, detector, minutes) for detector in detectors}


def dominating(measured: Mapping[str, Measures]) -> list[str]:
    """Name the baselines that are no worse than ours in anything and better in something."""
    ours = measured.get(OURS)
    if ours is None:
        return []
    return [name for name, each in measured.items() if name != OURS and dominates(each, ours)]


def never_worse(result: Mapping[str, Mapping[str, Measures]]) -> list[str]:
    """Name the baselines that are no worse than ours in any scenario."""
    return [
        name
        for name in DETECTORS
        if name != OURS
        and all(
            name in measured and OURS in measured and no_worse(measured[name], measured[OURS])
            for measured in result.values()
        )
    ]


def overview(result: Mapping[str, Mapping[str, Measures]]) -> str:
    """Lay out one table a measure, with a row a scenario and a column a detector."""
    laid_out = []
    detectors = list(next(iter(result.values()), {}))
    for title, cell in _OVERVIEW.items():
        rows = [
            [scenario, *(cell(measured[name]) for name in detectors)] for scenario, measured in result.items()
        ]
        laid_out += [f"### {title}", "", table(["scenario", *detectors], rows), ""]
    names = never_worse(result)
    laid_out.append(f"No worse than ours in every scenario above: {', '.join(names) if names else 'none'}.")
    return "\n".join(laid_out)


def lay_out(scenario: str, measured: Mapping[str, Measures]) -> str:
    """Lay out one scenario as a Markdown table, with what dominates ours below."""
    rows = [_row(name, each) for name, each in measured.items()]
    named = measured[OURS].named if OURS in measured else {}
    told = [f"{state} after {seconds:.2f} s" for state, seconds in named.items() if seconds is not None]
    better = dominating(measured)
    lines = [f"### {scenario}", "", table(_HEADER, rows), ""]
    if told:
        lines += [f"Ours names it (median): {', '.join(told)}.", ""]
    lines.append(f"Dominated by: {', '.join(better) if better else 'none'}.")
    return "\n".join(lines)


def tune(seed: int, minutes: float) -> dict[str, dict[str, object]]:
    """Try every setting of every baseline in all scenarios: best are the fewest mistakes, then the fastest.

    "Fastest" is the sum of the td_p99 over the scenarios with outages, one that misses counted as 60 s.
    Every setting that dominates ours in some scenario is named too.
    """
    found: dict[str, dict[str, object]] = {}
    better: dict[str, object] = {}
    scores: dict[str, dict[str, tuple[float, float]]] = {name: {} for name in BASELINES}
    for scenario in SCENARIOS:
        ours, dominate = run(scenario, seed, OURS, minutes), []
        for name, baseline in BASELINES.items():
            for setting in baseline.settings():
                measured = run(scenario, seed, name, minutes, setting=setting)
                mistakes, late = scores[name].get(wording(setting), (0.0, 0.0))
                if measured.outages:
                    late += 60.0 if measured.td_p99 is None else measured.td_p99
                scores[name][wording(setting)] = (mistakes + measured.mistakes, late)
                if dominates(measured, ours):
                    dominate.append(f"{name} {wording(setting)}")
        better[scenario] = dominate
        click.echo(f"tried in {scenario}", err=True)
    for name, of in scores.items():
        best = min(of, key=lambda each: of[each])
        found[name] = {"best": best, "mistakes": of[best][0], "td_p99_sum": round(of[best][1], 2)}
    found["dominating"] = better
    return found


def _row(name: str, measured: Measures) -> list[str]:
    interval = measured.mistakes_ci
    return [
        name,
        _seconds(measured.td_p50, measured.outages),
        _seconds(measured.td_p99, measured.outages),
        "-" if measured.detected is None else f"{measured.detected:.0%}",
        str(measured.mistakes),
        f"{measured.mistakes_per_pair_hour:.2f}",
        "-" if interval.low is None or interval.high is None else f"{interval.low:.2f}-{interval.high:.2f}",
        _seconds(measured.mistake_duration, measured.mistakes),
        f"{measured.query_accuracy:.5f}",
        _seconds(measured.recovery_p50, measured.recoveries),
        _seconds(measured.recovery_p99, measured.recoveries),
        f"{measured.flips_per_pair_hour:.1f}",
    ]


def _seconds(value: float | None, samples: int) -> str:
    if value is not None:
        return f"{value:.2f}"
    return "never" if samples else "-"


def _as_json(measured: Mapping[str, Measures]) -> dict[str, dict[str, object]]:
    better = dominating(measured)
    return {
        name: {**msgspec.to_builtins(each), "dominates_ours": name in better}
        for name, each in measured.items()
    }


def _detection(measured: Measures) -> str:
    if not measured.outages:
        return "-"
    return f"{_seconds(measured.td_p50, 1)}/{_seconds(measured.td_p99, 1)}"


_OVERVIEW: Final[dict[str, Callable[[Measures], str]]] = {
    "Mistakes per pair-hour": lambda measured: f"{measured.mistakes_per_pair_hour:.2f}",
    "Detection time p50/p99, seconds": _detection,
    "Recovery p50, seconds": lambda measured: _seconds(measured.recovery_p50, measured.recoveries),
    "Flips per pair-hour": lambda measured: f"{measured.flips_per_pair_hour:.1f}",
}


@click.command(help=__doc__)
@click.option("--seed", default=1, show_default=True, type=int, help="Of everything that is drawn.")
@click.option("--scenario", "wanted", multiple=True, type=click.Choice(SCENARIOS), help="Only this one.")
@click.option("--detector", "detectors", multiple=True, type=click.Choice(DETECTORS), help="Only this one.")
@click.option(
    "--minutes",
    default=MINUTES,
    show_default=True,
    type=click.FloatRange(min=0.1),
    help="Simulated minutes of each scenario, rounded up to whole plays.",
)
@click.option("--tune", "tunes", is_flag=True, help="Try every setting of the baselines, and name the best.")
def main(
    seed: int, wanted: tuple[str, ...], detectors: tuple[str, ...], minutes: float, *, tunes: bool
) -> None:
    """Measure and print."""
    if tunes:
        found = tune(seed, minutes)
        rows = [
            [name, str(found[name]["best"]), str(found[name]["mistakes"]), str(found[name]["td_p99_sum"])]
            for name in BASELINES
        ]
        finish(table(["baseline", "best setting", "mistakes", "td p99, sum"], rows), found)
        return
    result: dict[str, dict[str, Measures]] = {}
    for scenario in wanted or SCENARIOS:
        measured = compare(scenario, seed, minutes, detectors or DETECTORS)
        print(lay_out(scenario, measured), flush=True)
        print()
        result[scenario] = measured
    print(overview(result))
    print()
    rows = [[name + BEST, wording(baseline.best)] for name, baseline in BASELINES.items()]
    as_json = {scenario: _as_json(measured) for scenario, measured in result.items()}
    finish(table(["detector", "setting"], rows), as_json)


if __name__ == "__main__":
    main()
