"""A text that must not be seen."""

from __future__ import annotations


def place(path: str) -> str:
    """Write for a message where a secret's file is; what is no absolute path may be the secret itself."""
    return path if path.startswith("/") else f"a relative path of {len(path)} characters"


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
