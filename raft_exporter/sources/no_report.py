"""Why no report came: the words under which it is counted, and what each says of the other side or of us."""

from __future__ import annotations

import errno
import ssl
from typing import Final

import aiohttp

from raft_exporter.model.evidence import Outcome
from raft_exporter.sources.connection import outcome_of

REJECTIONS: Final = (
    *("status", "content_type", "too_large", "malformed", "version", "wrong_node", "broken", "tls"),
    *("unauthorized", "too_many_requests", "unproved", "wrong_proof", "token_file", "override", "url"),
)
"""Why an answer was refused (``broken``: no whole HTTP answer), or one override or URL in it was.

``unauthorized``: the other side wants a proof of a secret, or of another one, and after some without it
answers nothing for a while (``too_many_requests``). ``unproved`` and ``wrong_proof``: whoever answered did
not show that it has the secret. ``tls`` and ``token_file`` also for own files that changed and are no use.
"""

HINTS: Final = {
    "unauthorized": "it wants a proof of its secret: reports.token_file is missing here, or has another one",
    "too_many_requests": "it refuses this host for a while: after wrong proofs, or by its rate limit",
    "unproved": "it does not prove the secret: reports.token_file is missing there, or a stranger answers",
    "wrong_proof": "its proof is wrong: its reports.token_file has another secret, or a stranger answers",
    "tls": "TLS fails: see reports.tls here and web.config_file there",
    # asyncio's server closes without an alert when a handshake fails: that it is for TLS can't be seen.
    "broken": "no whole HTTP answer: does it speak TLS, or want a certificate (reports.tls.cert_file)?",
    "wrong_node": "the sidecar of another node answers there",
}
"""What an operator can do about it, where that is known."""


class NoReportError(Exception):
    """``reason`` is the word under which a bad answer is counted; None: nothing answered."""

    def __init__(self, outcome: Outcome, reason: str | None = None, detail: object = "") -> None:
        self.outcome = outcome
        self.reason = reason
        self.detail = detail
        super().__init__(reason)


def no_report(error: Exception) -> NoReportError:
    """Class what went wrong with a request; whatever may be our own fault accuses nobody."""
    if isinstance(error.__cause__, ssl.SSLError):  # an alert that came after the handshake: TLS 1.3's way
        error = error.__cause__
    match error:
        case TimeoutError():
            return NoReportError(Outcome.TIMEOUT)
        case ValueError() if not isinstance(error, OSError):  # also a host that no encoding has a name for
            return NoReportError(Outcome.LOCAL_ERROR, detail=error)
        case aiohttp.ClientSSLError() | ssl.SSLError():
            return NoReportError(Outcome.BAD_ANSWER, "tls", error)
        case aiohttp.ClientConnectorError() if not isinstance(error.os_error, ConnectionResetError):
            return NoReportError(outcome_of(error.os_error), detail=error.os_error)
        case OSError() if error.errno not in {None, errno.ECONNRESET, errno.EPIPE}:
            return NoReportError(outcome_of(error), detail=error)
        case _:  # the connection was closed too early, or what came is no HTTP
            return NoReportError(Outcome.BAD_ANSWER, "broken", error)
