"""What the API answers about events and overrides, as structs for both of its ends."""

from __future__ import annotations

from typing import Final

from msgspec import Struct

from raft_exporter.journal import Entry
from raft_exporter.model.override import Override
from raft_exporter.wording import sentence

MAX_EVENTS: Final = 1000
"""Events that a sidecar gives at once."""


class Fault(Struct, frozen=True):
    """Why there is no answer: what was expected and what came, in one line."""

    error: str


class Event(Entry, frozen=True, omit_defaults=True):
    """An entry of the journal, and the sentence that an operator reads."""

    text: str = ""

    @classmethod
    def of(cls, entry: Entry) -> Event:
        """Give an entry with its sentence."""
        facts = {name: getattr(entry, name) for name in entry.__struct_fields__}
        return cls(**facts, text=sentence(entry))


class Events(Struct, frozen=True):
    """Some entries, oldest first; ``latest`` is the number of the latest of all, 0 when there is none."""

    entries: tuple[Event, ...]
    latest: int


class StandingOverride(Struct, frozen=True):
    """An override that stands; times of day are Unix times, all in seconds."""

    peer: str
    state: str
    reason: str
    author: str
    set_at: float
    expires_at: float
    expires_in_seconds: float
    node: str

    @classmethod
    def of(cls, override: Override, wall: float) -> StandingOverride:
        """Give an override as it stands at the Unix time ``wall``."""
        return cls(
            peer=override.peer,
            state=override.state,
            reason=override.reason,
            author=override.author,
            set_at=override.set_at,
            expires_at=override.expires_at,
            expires_in_seconds=max(override.expires_at - wall, 0.0),
            node=override.node,
        )


class StandingOverrides(Struct, frozen=True):
    """All that stand, by member."""

    overrides: tuple[StandingOverride, ...]


class OverrideSet(Struct, frozen=True):
    """It stands now. Unless it is ``stored``, this sidecar forgets it when it restarts."""

    override: StandingOverride
    stored: bool


class OverrideCleared(Struct, frozen=True):
    """The override of ``peer`` is no more. Unless that is ``stored``, a restart may bring it back."""

    peer: str
    stored: bool
