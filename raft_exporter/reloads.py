"""What became of reading the configuration, as the metrics tell it."""

from __future__ import annotations

from msgspec import Struct


class Reloads(Struct, frozen=True):
    """Whether the configuration was taken when it was last read, and the Unix time when one last was."""

    successful: bool
    succeeded_at: float
