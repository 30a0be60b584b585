"""A text that must not be seen."""

from __future__ import annotations


class Secret:
    """Holds a token or password; neither ``str`` nor ``repr`` shows it."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """The text itself, for the one place that sends it."""
        return self._text

    def __repr__(self) -> str:
        return "Secret(***)"
