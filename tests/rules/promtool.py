"""Stories as unit tests of promtool (its "Unit testing for rules")."""

from __future__ import annotations

import json
import math
import textwrap
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from tests.rules.cluster import Series
from tests.rules.scenario import SCRAPE, Alert, Fired, Firing, Story

RUNBOOK: Final = "https://github.com/raft-exporter/raft-exporter/blob/main/docs/runbook.md"

GROUPS: Final = (
    "raft.rules",
    "raft.rules.slow",
    "raft.quorum",
    "raft.peers",
    "raft.leadership",
    "raft.overrides",
    "raft.exporter",
)

_HEADER: Final = """\
# Generated from tests/rules/{module}.py, where it is easier to read; `make rules` writes it anew.
# promtool test rules rules/tests/*.test.yml
rule_files: [../raft.rules.yml, ../raft.alerts.yml]
evaluation_interval: {every}s
group_eval_order: [{groups}]
tests:
"""


def rendered(module: str, stories: Sequence[Story]) -> str:
    """Give the stories of one module as the text of a file of tests."""
    # promtool evaluates all tests of a file at one interval.
    (every,) = {story.every for story in stories}
    header = _HEADER.format(module=module, every=every, groups=", ".join(GROUPS))
    longest = max(story.scrapes for story in stories)
    inputs = [
        [_input(*each, story.scrapes, longest) for each in sorted(story.scraped.items())] for story in stories
    ]
    times = Counter(each for series in inputs for each in series)
    shared = [each for each, count in times.items() if count > 1]
    names = {each: f"s{number}" for number, each in enumerate(shared, start=1)}
    defined: set[str] = set()
    lines = [
        line
        for story, series in zip(stories, inputs, strict=True)
        for line in _test(story, series, names, defined)
    ]
    return header + "".join(f"{line}\n" for line in lines)


def values(samples: dict[int, float], scrapes: int) -> str:
    """Give the samples of one series in the expanding notation: stale where it ends, missing thereafter."""
    words: list[str] = []
    at = 0
    while at < scrapes:
        begin = at
        if at in samples:
            at = _end_of_line(samples, at)
            words.append(_line(samples, begin, at))
        else:
            at = next((each for each in range(at, scrapes) if each in samples), scrapes)
            missing = at - begin
            if words:
                words.append("stale")
                missing -= 1
            if missing:
                words.append(f"_x{missing}")
    return " ".join(words)


def _end_of_line(samples: dict[int, float], begin: int) -> int:
    """Give the first number after a run of samples that lie on one line."""
    step = _step(samples, begin)
    if step is None or (step and _step(samples, begin + 1) != step):
        return begin + 1
    at = begin + 1
    while _step(samples, at) == step:
        at += 1
    return at + 1


def _step(samples: dict[int, float], at: int) -> float | None:
    """Give the change to the next sample; None where there is none, or no number."""
    if at + 1 not in samples:
        return None
    first, second = samples[at], samples[at + 1]
    if math.isnan(first) or math.isnan(second):
        return 0.0 if math.isnan(first) and math.isnan(second) else None
    return round(second - first, 9)


def _line(samples: dict[int, float], begin: int, end: int) -> str:
    first, more = _word(samples[begin]), end - begin - 1
    step = _step(samples, begin)
    if not more or step is None:
        return first
    # promtool reads NaN only with a step behind it.
    return f"{first}{step:+g}x{more}" if step or first == "NaN" else f"{first}x{more}"


def _word(value: float) -> str:
    return "NaN" if math.isnan(value) else f"{value:.10g}"


def _input(series: Series, samples: dict[int, float], scrapes: int, longest: int) -> str:
    """Give a series as it is written; what never changes its course goes on, so that stories share it."""
    written = values(samples, scrapes)
    if written.endswith(f"x{scrapes - 1}") and " " not in written:
        written = written.removesuffix(f"x{scrapes - 1}") + f"x{longest - 1}"
    return f"{{series: '{_selector(series)}', values: '{written}'}}"


def _test(story: Story, series: Sequence[str], names: Mapping[str, str], defined: set[str]) -> Iterator[str]:
    yield f"  - name: {json.dumps(story.name)}"
    yield f"    interval: {story.every}s"
    yield "    input_series: ["
    known = [f"*{names[each]}," for each in series if each in defined]
    yield from textwrap.wrap(" ".join(known), 110, initial_indent="      ", subsequent_indent="      ")
    for each in series:
        if each not in defined:
            yield f"      {f'&{names[each]} ' if each in names else ''}{each},"
    for left in story.left:
        yield f"      {{series: '{_selector(left)}', values: '1'}},"
    defined.update(each for each in series if each in names)
    yield "    ]"
    if story.firing:
        yield "    alert_rule_test:"
        for firing in story.firing:
            yield from _alert_test(firing)
    if story.fired:
        yield "    promql_expr_test:"
        for fired in story.fired:
            yield from _fired_test(fired)


def _selector(series: Series) -> str:
    metric, labels = series
    return metric + "{" + ",".join(f"{key}={json.dumps(value)}" for key, value in labels) + "}"


def _alert_test(firing: Firing) -> Iterator[str]:
    yield f"      - eval_time: {firing.at}s"
    yield f"        alertname: {firing.name}"
    if not firing.alerts:
        yield "        exp_alerts: []"
        return
    yield "        exp_alerts:"
    for alert in firing.alerts:
        yield from _alert(firing.name, alert)


def _alert(name: str, alert: Alert) -> Iterator[str]:
    labels = ", ".join(f"{key}: {json.dumps(value)}" for key, value in sorted(alert.labels.items()))
    yield f"          - exp_labels: {{{labels}}}"
    yield "            exp_annotations:"
    yield f"              summary: {json.dumps(alert.summary)}"
    yield f"              description: {json.dumps(alert.description)}"
    yield f"              runbook_url: {RUNBOOK}#{name.lower()}"


def _fired_test(fired: Fired) -> Iterator[str]:
    span = fired.at + SCRAPE
    yield f"      - eval_time: {fired.at}s"
    yield "        expr: >"
    yield "          group by (alertname, cluster) ("
    yield f'            count_over_time(ALERTS{{alertstate="firing", severity!="info"}}[{span}s])'
    yield "          )"
    if not fired.names:
        yield "        exp_samples: []"
        return
    yield "        exp_samples:"
    for name, cluster in fired.names:
        labels = f'{{alertname="{name}"' + (f', cluster="{cluster}"}}' if cluster else "}")
        yield f"          - {{labels: '{labels}', value: 1}}"
