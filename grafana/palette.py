"""The colours of all dashboards, and what each of them means.

Most are of the set by Okabe and Ito (https://jfly.uni-koeln.de/color/), made to be told apart by the
colour-blind too. Unknown and "no word" are greys, for nothing is claimed there; two more keep their
distance from the others under simulated protanopia and deuteranopia (tests/grafana/test_colours.py). A
colour is never the only sign: the state is always written as well.
"""

from __future__ import annotations

from typing import Final

GREEN: Final = "#009E73"
YELLOW: Final = "#F0E442"
ORANGE: Final = "#E69F00"
VERMILION: Final = "#D55E00"
SKY: Final = "#56B4E9"
BLUE: Final = "#0072B2"
PURPLE: Final = "#AA3377"
PALE: Final = "#C7C7C7"
DARK: Final = "#404040"

STATES: Final[dict[str, str]] = {
    "online": GREEN,
    "suspect": YELLOW,
    "asymmetric": SKY,
    "stalled": ORANGE,
    "offline": VERMILION,
    "unknown": PALE,
    "no majority": PURPLE,
    "no word": DARK,
    "ignore": BLUE,
}
"""By state of a member, as it is written. The last three are no states of the judge: the sidecars are
split, none of them answers, and an operator's override that hides the alerts."""

ROLES: Final[dict[str, str]] = {
    "leader": BLUE,
    "follower": SKY,
    "candidate": YELLOW,
    "shutdown": VERMILION,
    "unknown": PALE,
    "no word": DARK,
}
GOOD: Final = GREEN
DOUBTFUL: Final = YELLOW
IN_DANGER: Final = ORANGE
BAD: Final = VERMILION
NEUTRAL: Final = PALE
THRESHOLD: Final = PURPLE
"""The dashed lines of thresholds."""
