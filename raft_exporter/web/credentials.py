"""Passwords and tokens of requests: taken apart, compared in constant time, and remembered when right."""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
import hmac
import secrets
from collections import OrderedDict
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import bcrypt
from aiohttp import web

from raft_exporter.secret import Secret

MAX_KNOWN: Final = 256
"""Right credentials that are remembered, each of one client."""

_BCRYPT_BYTES: Final = 72
"""bcrypt looks at no more of a password: of a longer one, any with the same beginning would be right."""


def authorization_of(request: web.Request) -> tuple[str, str]:
    """Give scheme, in small letters, and credentials of a request; empty without, and where there are two."""
    given = request.headers.getall("Authorization", ())
    if len(given) != 1:
        return "", ""
    scheme, _, rest = given[0].partition(" ")
    return scheme.lower(), rest.strip()


def user_of(credentials: str) -> tuple[str, bytes] | None:
    """Take basic credentials apart (RFC 7617): name and password."""
    try:
        name, colon, password = base64.b64decode(credentials, validate=True).partition(b":")
        return (name.decode(), password) if colon else None
    except (binascii.Error, ValueError):
        return None


def same(given: str, right: Secret) -> bool:
    """Whether a token is the right one; how long that takes does not say how much of it is."""
    return hmac.compare_digest(given.encode("utf-8", "surrogateescape"), right.reveal().encode())


class Known:
    """Remembers, by a keyed hash, which credentials were right when they came from which client."""

    def __init__(self) -> None:
        self._key = secrets.token_bytes(32)
        self._known: OrderedDict[bytes, None] = OrderedDict()

    def digest(self, *parts: bytes) -> bytes:
        """Give what stands for these parts, and for no others."""
        made = hashlib.blake2b(key=self._key, digest_size=32)
        for part in parts:
            made.update(len(part).to_bytes(8) + part)
        return made.digest()

    def __contains__(self, digest: bytes) -> bool:
        if digest in self._known:
            self._known.move_to_end(digest)
            return True
        return False

    def add(self, digest: bytes) -> None:
        """Remember it; what was not asked for the longest time may be forgotten for it."""
        self._known[digest] = None
        while len(self._known) > MAX_KNOWN:
            self._known.popitem(last=False)


class Passwords:
    """The users' bcrypt hashes. A password is compared in a thread, one at a time: it takes a processor."""

    def __init__(self, users: Mapping[str, bytes]) -> None:
        self._users = users
        # As dear as the dearest: what nobody's password costs must not tell whose name there is.
        cost = max((stored[4:6] for stored in users.values()), default=b"10")
        self._nobody = b"$2b$%b$%b" % (cost, b"." * 53)

    def stored(self, name: str) -> bytes:
        """Give a user's hash, or one that no password fits."""
        return self._users.get(name, self._nobody)

    async def right(self, name: str, password: bytes, thread: ThreadPoolExecutor) -> bool:
        """Whether the password is the user's."""
        if len(password) > _BCRYPT_BYTES:
            return False
        stored = self.stored(name)
        right = await asyncio.get_running_loop().run_in_executor(thread, _fits, password, stored)
        return right and name in self._users


def _fits(password: bytes, stored: bytes) -> bool:
    try:
        return bcrypt.checkpw(password, stored)
    except ValueError:  # what bcrypt does not take at all
        return False
