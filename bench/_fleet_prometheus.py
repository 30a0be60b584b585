"""What a Prometheus tells of itself: how long its rules take, how many series it has, how much memory."""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from typing import Any, Final

import aiohttp
import yaml
from prometheus_client.parser import text_string_to_metric_families

from raft_exporter.errors import DemoError
from raft_exporter.notation import parse_duration

_MEMORY: Final = 10 * 2**30
"""Bytes: a Prometheus that takes more is stopped."""


class Evaluations:
    """Collects what ``/api/v1/rules`` tells, each evaluation once, those before the first answer left out."""

    def __init__(self) -> None:
        self._began = False
        self._seen: set[tuple[str, str]] = set()
        self._groups: dict[str, list[float]] = {}
        self._rules: dict[str, list[float]] = {}

    def take(self, answer: Mapping[str, Any]) -> None:
        """Take one answer."""
        for group in answer["data"]["groups"]:
            name = group["name"]
            self._count(self._groups, name, group)
            for number, rule in enumerate(group["rules"]):
                self._count(self._rules, f"{name}[{number}] {rule['name']}", rule)
        self._began = True

    def _count(self, times: dict[str, list[float]], name: str, told: Mapping[str, Any]) -> None:
        evaluation = (name, told["lastEvaluation"])
        if self._began and evaluation not in self._seen:
            times.setdefault(name, []).append(told["evaluationTime"])
        self._seen.add(evaluation)

    def groups(self) -> dict[str, float]:
        """Seconds that an evaluation of each group takes, the median."""
        return {name: statistics.median(times) for name, times in self._groups.items()}

    def rules(self) -> dict[str, float]:
        """The same of each rule."""
        return {name: statistics.median(times) for name, times in self._rules.items()}

    def load(self, intervals: Mapping[str, float]) -> float:
        """Seconds of evaluation in a second, all groups together, were they evaluated at these intervals."""
        return sum(seconds / intervals[name] for name, seconds in self.groups().items())


def intervals(rules: str) -> dict[str, float]:
    """Give the intervals of the groups of a rule file, in seconds."""
    return {group["name"]: parse_duration(group["interval"]) for group in yaml.safe_load(rules)["groups"]}


def paced(rules: str, interval: float) -> str:
    """Give a rule file with all of its groups evaluated at this interval, in seconds."""
    document = yaml.safe_load(rules)
    for group in document["groups"]:
        group["interval"] = f"{interval:g}s"
    return yaml.safe_dump(document, sort_keys=False)


class Prometheus:
    """Asks the real Prometheus at ``url``."""

    def __init__(self, url: str, session: aiohttp.ClientSession) -> None:
        self._url = url
        self._session = session

    async def evaluations(self) -> Mapping[str, Any]:
        """What ``/api/v1/rules`` answers."""
        async with self._session.get(f"{self._url}/api/v1/rules") as answer:
            return dict(await answer.json())

    async def count(self, selector: str) -> int:
        """How many series a selector finds; 0 too while Prometheus does not answer."""
        try:
            async with self._session.get(
                f"{self._url}/api/v1/query", params={"query": f"count({selector})"}
            ) as answer:
                found = (await answer.json())["data"]["result"]
        except (aiohttp.ClientError, TimeoutError, KeyError, ValueError):
            return 0
        return int(found[0]["value"][1]) if found else 0

    async def own(self, metric: str) -> float:
        """The sum of one of its own metrics."""
        async with self._session.get(f"{self._url}/metrics") as answer:
            families = text_string_to_metric_families(await answer.text())
        return sum(sample.value for family in families for sample in family.samples if sample.name == metric)

    async def memory(self) -> int:
        """Its resident bytes; DemoError when they are too many."""
        resident = int(await self.own("process_resident_memory_bytes"))
        if resident > _MEMORY:
            raise DemoError(f"Prometheus takes {resident / 2**30:.1f} GiB: expected at most 10 GiB")
        return resident
