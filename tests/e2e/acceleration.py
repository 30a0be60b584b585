"""The shipped rules and Alertmanager's configuration, as they stand, with every duration divided."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from raft_exporter.demo.monitoring import shipped_rules, told_to

_MILLISECONDS: Final = {"s": 1000, "m": 60_000, "h": 3_600_000}
_DURATION: Final = r"(\d+)([smh])\b"
_SETTING: Final = re.compile(rf"^(\s*(?:- )?(?:\w+_)?(?:interval|for|wait): ){_DURATION}", re.MULTILINE)
_WINDOW: Final = re.compile(rf"(\[|\[\w+:|\boffset ){_DURATION}")


def accelerated(text: str, speed: float) -> str:
    """Divide all durations by ``speed``: settings, windows of range vectors and subqueries, offsets."""

    def divided(match: re.Match[str]) -> str:
        return f"{match[1]}{round(int(match[2]) * _MILLISECONDS[match[3]] / speed)}ms"

    return _WINDOW.sub(divided, _WINDOW.sub(divided, _SETTING.sub(divided, text)))


def accelerated_rules(home: Path, speed: float) -> Sequence[Path]:
    """Write the shipped rules, accelerated, into ``home``; give the files."""
    return shipped_rules(home, lambda text: accelerated(text, speed))


def alertmanager_config(receiver: str, speed: float) -> str:
    """Give the shipped example, accelerated, with notifications going to ``receiver`` (a base URL)."""
    return accelerated(told_to(receiver), speed)
