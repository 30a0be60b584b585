"""Numbers that stand for words, for a panel over time can only draw numbers, and how they are written."""

from __future__ import annotations

from typing import Final

from grafana_foundation_sdk.models.dashboard import (
    DashboardRangeMapOptions,
    DashboardSpecialValueMapOptions,
    RangeMap,
    SpecialValueMap,
    SpecialValueMatch,
    ValueMap,
    ValueMapping,
    ValueMappingResult,
)

from grafana import palette

NO_WORD: Final = -1
"""No credible sidecar answers: nothing is claimed."""
NO_MAJORITY: Final = 0
"""Credible sidecars answer, and no state has more than half of them."""
STATE_NUMBERS: Final[dict[str, int]] = {
    "online": 1,
    "suspect": 2,
    "asymmetric": 3,
    "stalled": 4,
    "offline": 5,
    "unknown": 6,
}
ROLE_NUMBERS: Final[dict[str, int]] = {
    "follower": 1,
    "candidate": 2,
    "leader": 3,
    "shutdown": 4,
    "unknown": 5,
}

NO_WORD_MARGIN: Final = -1000
"""The margin of a cluster of which no credible sidecar answers: below every other, for it comes first."""
_LARGE: Final = 1e12


def _by_number(numbers: dict[str, int], colours: dict[str, str]) -> list[ValueMapping]:
    return [
        ValueMap(
            options={
                str(number): ValueMappingResult(text=word, color=colours[word], index=place)
                for place, (word, number) in enumerate(numbers.items())
            }
        )
    ]


def states() -> list[ValueMapping]:
    """Write a member's state in place of its number."""
    words = STATE_NUMBERS | {"no majority": NO_MAJORITY, "no word": NO_WORD}
    nobody = ValueMappingResult(text="no word", color=palette.STATES["no word"], index=len(words))
    return [
        *_by_number(words, palette.STATES),
        SpecialValueMap(
            options=DashboardSpecialValueMapOptions(match=SpecialValueMatch.NULL_AND_NAN, result=nobody)
        ),
    ]


def roles() -> list[ValueMapping]:
    """Write a node's role in place of its number."""
    return _by_number(ROLE_NUMBERS | {"no word": NO_WORD}, palette.ROLES)


def state_names() -> list[ValueMapping]:
    """Give a state that is written already its colour."""
    return [
        ValueMap(
            options={
                word: ValueMappingResult(text=word, color=colour, index=place)
                for place, (word, colour) in enumerate(palette.STATES.items())
            }
        )
    ]


def margin() -> list[ValueMapping]:
    """Write a failure tolerance: below 0 the quorum is lost, at 0 the next failure loses it."""
    nobody = ValueMappingResult(text="no word", color=palette.STATES["no word"], index=0)
    return [
        ValueMap(options={str(NO_WORD_MARGIN): nobody}),
        RangeMap(
            options=DashboardRangeMapOptions(
                from_val=NO_WORD_MARGIN + 1,
                to=-1,
                result=ValueMappingResult(text="quorum lost", color=palette.BAD, index=1),
            )
        ),
        ValueMap(options={"0": ValueMappingResult(text="0, at risk", color=palette.IN_DANGER, index=2)}),
        RangeMap(
            options=DashboardRangeMapOptions(
                from_val=1, to=_LARGE, result=ValueMappingResult(color=palette.GOOD, index=3)
            )
        ),
        _unknown(4),
    ]


def none_is_good(word: str = "0") -> list[ValueMapping]:
    """Write a number of things that are wrong: none is good, one is bad."""
    return [
        ValueMap(options={"0": ValueMappingResult(text=word, color=palette.GOOD, index=0)}),
        RangeMap(
            options=DashboardRangeMapOptions(
                from_val=0.5, to=_LARGE, result=ValueMappingResult(color=palette.BAD, index=1)
            )
        ),
        _unknown(2),
    ]


def yes_no(*, yes: str, no: str) -> list[ValueMapping]:
    """Write 1 and 0 as words, 1 being what is wished for."""
    return [
        ValueMap(
            options={
                "1": ValueMappingResult(text=yes, color=palette.GOOD, index=0),
                "0": ValueMappingResult(text=no, color=palette.BAD, index=1),
                str(NO_WORD): ValueMappingResult(text="no word", color=palette.DARK, index=2),
            }
        ),
        _unknown(3),
    ]


def plain(words: dict[str, str]) -> list[ValueMapping]:
    """Write values as words that are neither good nor bad."""
    return [
        ValueMap(
            options={
                value: ValueMappingResult(text=word, color=palette.NEUTRAL, index=place)
                for place, (value, word) in enumerate(words.items())
            }
        ),
    ]


def _unknown(place: int) -> SpecialValueMap:
    return SpecialValueMap(
        options=DashboardSpecialValueMapOptions(
            match=SpecialValueMatch.NULL_AND_NAN,
            result=ValueMappingResult(text="unknown", color=palette.STATES["unknown"], index=place),
        )
    )
