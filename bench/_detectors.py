"""The detectors by name: ours, and each baseline at its defaults and at the best of its settings."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Final

from bench._baselines import (
    PAIRS,
    Said,
    blackbox,
    failed_heartbeat,
    fall_rise,
    single_probe,
)
from bench._measures import Tally
from bench._memberlist import memberlist
from bench._named import named
from bench._ours import Simulation
from bench._pings import phi_accrual, sentinel
from bench._scenarios import Play
from bench._script import Service
from bench._spans import Spans

OURS: Final = "ours"
BEST: Final = "-best"

Setting = Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Baseline:
    """One way to detect: how, where it runs, its defaults, what was tried, and what was best of that."""

    detect: Callable[..., Said]
    service: Service
    defaults: Setting
    grid: Mapping[str, tuple[float, ...]]
    best: Setting

    def settings(self) -> Iterator[Setting]:
        """Give every setting of the grid."""
        for values in itertools.product(*self.grid.values()):
            yield dict(zip(self.grid, values, strict=True))


BASELINES: Final[dict[str, Baseline]] = {
    "single-probe": Baseline(
        single_probe,
        Service.SIDECAR,
        {"interval": 0.5, "timeout": 0.5},
        {"interval": (0.5, 1.0), "timeout": (0.5, 1.0, 2.0, 5.0, 6.0, 10.0)},
        {"interval": 1.0, "timeout": 10.0},
    ),
    "blackbox": Baseline(
        blackbox,
        Service.SIDECAR,
        {"interval": 5.0, "wait": 15.0},
        {"interval": (1.0, 5.0), "wait": (0.0, 5.0, 10.0, 15.0)},
        {"interval": 1.0, "wait": 15.0},
    ),
    "fall-rise": Baseline(
        fall_rise,
        Service.SIDECAR,
        {"fall": 3, "rise": 2, "interval": 0.5, "timeout": 0.5},
        {"fall": (3, 5, 8, 11, 15, 20), "rise": (2, 4), "interval": (0.5,), "timeout": (0.5,)},
        {"fall": 20, "rise": 2, "interval": 0.5, "timeout": 0.5},
    ),
    "phi-accrual": Baseline(
        phi_accrual,
        Service.SIDECAR,
        {"threshold": 8.0, "pause": 3.0, "interval": 1.0, "min_std": 0.1},
        {
            "threshold": (8.0, 12.0),
            "pause": (3.0, 5.0, 6.0, 10.0),
            "interval": (1.0,),
            "min_std": (0.1, 0.5),
        },
        {"threshold": 12.0, "pause": 6.0, "interval": 1.0, "min_std": 0.5},
    ),
    "memberlist": Baseline(
        memberlist,
        Service.RAFT,
        {"interval": 1.0, "timeout": 0.5, "suspicion": 4, "suspicion_max": 6},
        {
            "interval": (0.5, 1.0),
            "timeout": (0.5,),
            "suspicion": (3, 4, 6, 8),
            "suspicion_max": (6,),
        },
        {"interval": 1.0, "timeout": 0.5, "suspicion": 4, "suspicion_max": 6},
    ),
    "sentinel": Baseline(
        sentinel,
        Service.SIDECAR,
        {"down_after": 5.0, "quorum": 3},
        {"down_after": (4.0, 4.5, 5.0, 5.5, 6.0, 8.0), "quorum": (2, 3)},
        {"down_after": 5.0, "quorum": 3},
    ),
    "failed-heartbeat": Baseline(
        failed_heartbeat,
        Service.RAFT,
        {"failures": 1},
        {"failures": (1, 2, 3, 5, 8)},
        {"failures": 5},
    ),
}
"""The best settings are those that ``python -m bench.quality --tune`` found; see docs/quality.md."""

DETECTORS: Final = (OURS, *(name + suffix for name in BASELINES for suffix in ("", BEST)))


def setting_of(detector: str) -> Setting:
    """Give the setting of a detector; ours has none. ValueError for one that does not exist."""
    if detector == OURS:
        return {}
    baseline = BASELINES.get(detector.removesuffix(BEST))
    if baseline is None:
        raise ValueError(f"unknown detector {detector!r}, expected one of {', '.join(DETECTORS)}")
    return baseline.best if detector.endswith(BEST) else baseline.defaults


def wording(setting: Setting) -> str:
    """Give a setting as one short text."""
    return " ".join(f"{name}={value:g}" for name, value in setting.items())


def count(tally: Tally, play: Play, detector: str, setting: Setting | None = None) -> None:
    """Have a detector watch one play, and count what it said. ``setting`` None: its own."""
    world = play.world
    if detector == OURS:
        seen = Simulation(play).run()
        service, said = Service.SIDECAR, {pair: seen.words(pair) for pair in PAIRS}
        for state, times in named(play, seen).items():
            tally.named.setdefault(state, []).extend(times)
    else:
        baseline = BASELINES[detector.removesuffix(BEST)]
        service = baseline.service
        said = partial(baseline.detect, **(setting_of(detector) if setting is None else setting))(play)
    for observer, target in PAIRS:
        speaking = world.speaking(observer, service)
        if detector.startswith("failed-heartbeat"):
            speaking = speaking.common(play.raft.reigns(observer, world.until))
        words = said[observer, target]
        tally.add(words, world.offline(observer, target), _up_to(speaking, world.until), world.until)


def _up_to(speaking: Spans, until: float) -> Spans:
    return Spans((start, min(end, until)) for start, end in speaking if start < until)
