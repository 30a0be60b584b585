"""Secrets with unmistakable values, and where they are found in what a program emits."""

from __future__ import annotations

import base64
import html
import json
import secrets
from collections.abc import Iterable, Iterator
from typing import Final
from urllib.parse import quote, quote_plus

_HALF: Final = 12
"""Bytes of each end that are looked for: a secret that was cut short is one, too."""


class Planted:
    """What was planted, by name."""

    def __init__(self) -> None:
        self._wanted: dict[str, frozenset[bytes]] = {}

    def text(self, name: str) -> str:
        """Make a text of visible ASCII characters, some of which are written otherwise in a URL."""
        text = f"Zq+{secrets.token_hex(5)}/{secrets.token_hex(5)}=Xv"
        self.add(name, text)
        return text

    def add(self, name: str, value: str | bytes) -> None:
        """Look for what is a secret by itself."""
        whole = value if isinstance(value, bytes) else value.encode()
        self._wanted[name] = frozenset(form for end in _ends(whole) for form in _forms(end))

    def found(self, emitted: bytes, *, but: Iterable[str] = ()) -> list[str]:
        """Give the names of those that are in it in some form, leaving out ``but``."""
        # Line breaks, and such as are written as text, may stand anywhere in base64.
        joined = emitted.replace(b"\\n", b"").replace(b"\n", b"")
        names = self._wanted.keys() - set(but)
        return sorted(
            name for name in names if any(form in emitted or form in joined for form in self._wanted[name])
        )


def _ends(whole: bytes) -> Iterator[bytes]:
    yield whole[:_HALF]
    yield whole[-_HALF:]


def _forms(value: bytes) -> Iterator[bytes]:
    yield value
    yield value.hex().encode()
    yield value.hex().upper().encode()
    yield value.hex(":").encode()
    for offset in range(3):
        # What is before and behind it is not known: characters that it does not make alone are left out.
        first = (offset * 8 + 5) // 6
        last = (offset + len(value)) * 8 // 6
        encoded = base64.b64encode(bytes(offset) + value + bytes(3))[first:last]
        yield encoded
        yield encoded.replace(b"+", b"-").replace(b"/", b"_")
    text = value.decode("latin-1")
    for written in (quote(text, safe=""), quote(text), quote_plus(text), html.escape(text)):
        yield written.encode()
        yield written.lower().encode()
    yield json.dumps(text)[1:-1].encode()
    yield repr(text)[1:-1].encode()
    yield repr(value)[2:-1].encode()
