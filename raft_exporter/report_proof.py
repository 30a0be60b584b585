"""How sidecars prove to each other that they have the cluster's secret, which is never sent (docs/api.md).

Who asks sends a random nonce, the member that is asked, and an HMAC over both; the answer bears an HMAC over
the same, its status and its body. So somebody at a member's address can neither learn the secret nor make up
an answer, and an old answer is none: its nonce is another. Question and answer are proved by different keys,
or a question sent back would be an answer.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import Final, TypeAlias
from urllib.parse import quote

from raft_exporter.errors import ReportError, system_reason
from raft_exporter.from_files import FromFiles
from raft_exporter.secret import Secret, place

SCHEME: Final = "Raft-Report"
"""The scheme of the question's Authorization header."""
HEADER: Final = "Raft-Report-Proof"
"""The header of the answer's proof."""

_QUESTION: Final = b"raft-exporter report question 1"
_ANSWER: Final = b"raft-exporter report answer 1"
_NONCE_BYTES: Final = 16
_MIN_SECRET: Final = 16
"""Characters: whoever is asked can try out by himself which secret a proof was made with."""
_MAX_SECRET: Final = 1024
_AUTHORIZATION: Final = re.compile(
    rf"(?i:{SCHEME}) nonce=([0-9a-f]{{32}}), member=([A-Za-z0-9._~%-]{{1,3072}}), "
    r"proof=([0-9a-f]{64})(?:, previous=([0-9a-f]{64}))?"
)
_PROOF: Final = re.compile(r"[0-9a-f]{64}")

Secrets: TypeAlias = Sequence[Secret]
"""The present secret and, while it is being replaced, the previous one."""


class Question:
    """One question, by the side that asks: what it bears, and which answer is believed."""

    __slots__ = ("_asked", "authorization")

    def __init__(self, member: str, known: Secrets, nonce: str | None = None) -> None:
        nonce = nonce or secrets.token_hex(_NONCE_BYTES)
        name = quote(member, safe="")
        self._asked = [Asked(nonce, name, secret) for secret in known]
        proofs = [_mac(_key(secret, _QUESTION), _question(nonce, name)) for secret in known]
        given = ", previous=".join(proofs)
        self.authorization = f"{SCHEME} nonce={nonce}, member={name}, proof={given}"

    def is_answered_by(self, proof: str, status: int, body: bytes) -> bool:
        """Whether an answer's proof is right, by any of the secrets."""
        if _PROOF.fullmatch(proof) is None:
            return False
        rights = [hmac.compare_digest(proof, asked.proof(status, body)) for asked in self._asked]
        return any(rights)


class Asked:
    """One question whose proof was right, by the side that answers."""

    __slots__ = ("_about", "_key")

    def __init__(self, nonce: str, member: str, secret: Secret) -> None:
        self._about = _question(nonce, member)
        self._key = _key(secret, _ANSWER)

    def proof(self, status: int, body: bytes) -> str:
        """Give what the answer's header :data:`HEADER` says."""
        return _mac(self._key, b"%s\n%d\n%s" % (self._about, status, body))


def verify_request(authorization: str | None, known: Secrets) -> Asked | None:
    """Give what the answer is to be proved by; None: who asks did not prove that it has a secret."""
    found = _AUTHORIZATION.fullmatch(authorization or "")
    if found is None:
        return None
    nonce, member, *proofs = found.groups("")
    text = _question(nonce, member)
    rights = [
        secret
        for secret in known
        for proof in proofs
        if hmac.compare_digest(proof, _mac(_key(secret, _QUESTION), text))
    ]
    return Asked(nonce, member, rights[0]) if rights else None


def secrets_from(path: str) -> FromFiles[Secrets]:
    """Give the secrets of a file, read again when it changes; ReportError when there are none in it."""
    return FromFiles("reports.token_file", (path,), lambda: _read(Path(path)))


def _read(path: Path) -> Secrets:
    try:
        with path.open("rb") as file:
            text = file.read(4 * _MAX_SECRET).decode("ascii", "replace")
    except OSError as error:
        raise ReportError("token_file", f"{place(str(path))}: {system_reason(error)}") from error
    lines = [line for line in map(str.strip, text.split("\n")) if line]
    if not 1 <= len(lines) <= 2 or not all(map(_is_secret, lines)):
        raise ReportError(
            "token_file",
            f"{place(str(path))}: expected one secret of {_MIN_SECRET} to {_MAX_SECRET} visible ASCII "
            "characters, or on a second line the previous one too",
        )
    return tuple(map(Secret, lines))


def _is_secret(line: str) -> bool:
    return (
        _MIN_SECRET <= len(line) <= _MAX_SECRET and line.isascii() and line.isprintable() and " " not in line
    )


def _key(secret: Secret, purpose: bytes) -> bytes:
    return hmac.digest(secret.reveal().encode(), purpose, hashlib.sha256)


def _question(nonce: str, member: str) -> bytes:
    return f"{nonce}\n{member}".encode()


def _mac(key: bytes, text: bytes) -> str:
    return hmac.digest(key, text, hashlib.sha256).hex()
