"""The node's own HTTP API: asked again and again, bounded in time and size; adapters say what it means.

Only the node's LOCAL view counts: an adapter asks nothing that the node would forward, and no redirect is
followed. What goes wrong is counted by reason under ``source="node"``.
"""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Final

import aiohttp
import msgspec
from msgspec import Struct

from raft_exporter.errors import NodeError, system_reason
from raft_exporter.schema import TlsConfig
from raft_exporter.secret import Secret, place

MAX_BODY: Final = 4 * 1024 * 1024
"""Bytes of an answer."""
REASONS: Final = (
    *("refused", "unreachable", "timeout", "broken", "tls", "redirect", "too_large", "content_type"),
    *("malformed", "status", "permission", "not_found", "sealed", "not_initialized", "token_file"),
)
"""Why a question to the node failed, or an answer was no use."""

_MAX_TOKEN: Final = 16 * 1024
_REFUSED_STATUS: Final = {401: "permission", 403: "permission", 404: "not_found"}


def without_query(url: str) -> str:
    """Write a URL or a path for a message: there may be a token in its query."""
    return url.partition("?")[0]


class Answer(Struct, frozen=True):
    """One answer of the node: any status that is no redirect."""

    status: int
    content_type: str
    body: bytes

    def json(self) -> object:
        """The body as JSON; NodeError where it is none."""
        if self.content_type != "application/json":
            raise NodeError("content_type", "expected application/json, got another type")
        try:
            return msgspec.json.decode(self.body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise NodeError("malformed", f"expected JSON: {error}") from error


class TokenFile:
    """A token that is read again when its file changes; never shown."""

    def __init__(self, path: str | None) -> None:
        self._path = None if path is None else Path(path)
        self._where = place(path or "")
        self._seen: tuple[int, int] | None = None
        self._token: Secret | None = None

    def read(self) -> Secret | None:
        """Give the token, None without a file; NodeError when it can't be read or is no token."""
        if self._path is None:
            return None
        try:
            found = self._path.stat()
            if (found.st_mtime_ns, found.st_ino) != self._seen:
                with self._path.open("rb") as file:
                    text = file.read(_MAX_TOKEN + 1).decode("utf-8", "replace").strip()
                if not text.isprintable() or not 1 <= len(text) <= _MAX_TOKEN:
                    raise NodeError("token_file", f"{self._where}: expected one line with a token")
                self._token, self._seen = Secret(text), (found.st_mtime_ns, found.st_ino)
        except OSError as error:
            raise NodeError("token_file", f"{self._where}: {system_reason(error)}") from error
        return self._token


class Api:
    """Asks one node; ``headers`` is what every question bears, its token included.

    ``timeout`` is in seconds for one whole answer, and as a rule for all of a turn.
    """

    def __init__(
        self,
        session: aiohttp.ClientSession,
        url: str,
        timeout: float,
        *,
        headers: dict[str, str],
        tls: TlsConfig,
        context: ssl.SSLContext | None,
    ) -> None:
        self._session = session
        self._url = url
        self.timeout = timeout
        self._timeout = aiohttp.ClientTimeout(total=timeout)
        self._headers = {"Accept-Encoding": "identity"} | headers
        self._tls = tls
        self._context = context

    async def get(self, path: str) -> Answer:
        """Ask; NodeError when there is no whole answer, a redirect, or one that is too large."""
        where = without_query(path)
        try:
            async with self._session.get(
                self._url + path,
                headers=self._headers,
                allow_redirects=False,
                timeout=self._timeout,
                ssl=self._context if self._context is not None else True,
                server_hostname=self._tls.server_name,
            ) as response:
                if 300 <= response.status < 400:
                    raise NodeError(
                        "redirect", f"{where}: expected its own answer, got status {response.status}"
                    )
                return Answer(response.status, response.content_type, await _bounded(where, response))
        except TimeoutError as error:
            raise NodeError("timeout", f"{where}: no answer within {self._timeout.total:g} s") from error
        except (aiohttp.ClientSSLError, ssl.SSLError) as error:
            raise NodeError("tls", f"{where}: {error}") from error
        except aiohttp.ClientConnectorError as error:
            refused = isinstance(error.os_error, ConnectionRefusedError)
            reason = "refused" if refused else "unreachable"
            raise NodeError(reason, f"{where}: {system_reason(error.os_error)}", refused=refused) from error
        except (aiohttp.ClientError, OSError, ValueError) as error:
            # Its words may have bytes of the answer in them, and those a token.
            fault = type(error).__name__
            raise NodeError("broken", f"{where}: expected a whole HTTP answer, got {fault}") from None

    async def json(self, path: str) -> object:
        """Ask for JSON; NodeError also for any status but 200."""
        answer = await self.get(path)
        if answer.status != 200:
            reason = _REFUSED_STATUS.get(answer.status, "status")
            raise NodeError(reason, f"{without_query(path)}: expected status 200, got {answer.status}")
        return answer.json()


async def _bounded(path: str, response: aiohttp.ClientResponse) -> bytes:
    body = bytearray()
    async for piece in response.content.iter_chunked(64 * 1024):
        body += piece
        if len(body) > MAX_BODY:
            raise NodeError("too_large", f"{path}: expected at most {MAX_BODY} bytes, got more")
    return bytes(body)
