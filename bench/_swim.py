"""What the agents of memberlist know and tell each other (SWIM, with Lifeguard's suspicion)."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from enum import IntEnum
from typing import NamedTuple

from bench._script import NODES


class Health(IntEnum):
    """What an agent holds of a member; of one incarnation, the worse goes before the better."""

    ALIVE = 0
    SUSPECT = 1
    DEAD = 2


class Rumour(NamedTuple):
    """One message that is gossiped: who is what, in which incarnation, says whom."""

    about: str
    health: Health
    incarnation: int
    source: str


@dataclass(slots=True)
class Known:
    """What an agent knows of one member."""

    health: Health = Health.ALIVE
    incarnation: int = 0
    since: float = 0.0
    suspected_by: set[str] = field(default_factory=set)


class Config(NamedTuple):
    """What its users set (config.go); times in seconds."""

    interval: float = 1.0
    timeout: float = 0.5
    suspicion: int = 4
    suspicion_max: int = 6


def suspicion_timeout(config: Config, confirmations: int) -> float:
    """Seconds of suspicion in a cluster of five, given how many others confirm it (suspicion.go)."""
    least = config.suspicion * max(1.0, math.log10(len(NODES))) * config.interval
    wanted = config.suspicion - 2
    if wanted < 1 or wanted > len(NODES) - 2:
        return least
    most = config.suspicion_max * least
    share = math.log(confirmations + 1) / math.log(wanted + 1)
    return max(most - share * (most - least), least)
