"""What the commands ask of a running sidecar."""

from __future__ import annotations

import base64
import ssl
from collections.abc import Mapping
from typing import Final, TypeVar
from urllib.parse import quote

import msgspec
import requests
from msgspec import Struct

from raft_exporter.answers import Events, OverrideCleared, OverrideSet, StandingOverrides
from raft_exporter.checkup import Checkup
from raft_exporter.errors import ClientError, system_reason
from raft_exporter.notation import one_line
from raft_exporter.schema import TlsConfig
from raft_exporter.secret import Secret
from raft_exporter.view import ClusterView

_TIMEOUT: Final = 5.0
_PIECE: Final = 64 * 1024
_MAX_BODY: Final = 16 * 1024 * 1024
_MAX_REASON: Final = 500

_HINT: Final = " (it comes from RAFT_EXPORTER_TOKEN, or from RAFT_EXPORTER_USER and RAFT_EXPORTER_PASSWORD)"

_A = TypeVar("_A", bound=Struct)


class Credentials(Struct, frozen=True):
    """What a request shows: the token, or without one, a user's name and password."""

    token: Secret | None = None
    user: str | None = None
    password: Secret | None = None

    def authorization(self) -> str | None:
        """Give the header's value."""
        if self.token is not None:
            return f"Bearer {self.token.reveal()}"
        if self.user is None or self.password is None:
            return None
        pair = f"{self.user}:{self.password.reveal()}".encode()
        return f"Basic {base64.b64encode(pair).decode()}"


_NO_CREDENTIALS: Final = Credentials()
_NO_TLS: Final = TlsConfig()


class SidecarClient:
    """Asks one sidecar at its base URL, and shows it ``credentials``.

    With https ``tls`` says who is trusted and what certificate is shown.
    """

    def __init__(
        self, url: str, credentials: Credentials = _NO_CREDENTIALS, tls: TlsConfig = _NO_TLS
    ) -> None:
        self._url = url.rstrip("/")
        self._session = requests.Session()
        self._session.trust_env = False  # a sidecar is near: no proxy and no .netrc gets between
        self._session.verify = tls.ca_file or True
        if tls.cert_file is not None:
            self._session.cert = (tls.cert_file, tls.key_file) if tls.key_file else tls.cert_file
        authorization = credentials.authorization()
        if authorization is not None:
            self._session.headers["Authorization"] = authorization

    def cluster(self) -> ClusterView:
        """Ask for the cluster as the sidecar judges it now; ClientError when it does not tell."""
        return self._ask("GET", "cluster", ClusterView)

    def events(self, after: int, limit: int, peer: str | None) -> Events:
        """Ask for the latest ``limit`` events after the one numbered ``after``, of all members or of one."""
        return self._ask(
            "GET", "events", Events, query={"after": str(after), "limit": str(limit)} | _given(peer=peer)
        )

    def checkup(self) -> Checkup:
        """Ask for what the sidecar can see, and what it lacks."""
        return self._ask("GET", "checkup", Checkup)

    def overrides(self) -> StandingOverrides:
        """Ask for the overrides that stand."""
        return self._ask("GET", "overrides", StandingOverrides)

    def set_override(self, peer: str, state: str, seconds: float, author: str, reason: str) -> OverrideSet:
        """Force ``state`` (or "ignore") on a member for so many seconds."""
        wish = {"state": state, "for_seconds": seconds, "author": author, "reason": reason}
        return self._ask("PUT", f"overrides/{quote(peer, safe='')}", OverrideSet, body=wish)

    def clear_override(self, peer: str, author: str, reason: str | None) -> OverrideCleared:
        """End a member's override before its time."""
        query = {"author": author} | _given(reason=reason)
        return self._ask("DELETE", f"overrides/{quote(peer, safe='')}", OverrideCleared, query=query)

    def _ask(
        self,
        method: str,
        path: str,
        answer: type[_A],
        *,
        query: Mapping[str, str] | None = None,
        body: Mapping[str, object] | None = None,
    ) -> _A:
        url = f"{self._url}/api/v1/{path}"
        try:
            with self._session.request(
                method, url, params=query, json=body, timeout=_TIMEOUT, allow_redirects=False, stream=True
            ) as response:
                content = _read(response)
                if response.status_code != 200:
                    hint = _HINT if response.status_code == 401 else ""
                    raise ClientError(
                        f"{url}: expected status 200, got {response.status_code}{_reason(content)}{hint}"
                    )
        except OSError as error:  # those of requests are such, and it lets others through
            raise ClientError(f"{url}: {_cause(error)}") from error
        try:
            return msgspec.json.decode(content, type=answer)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise ClientError(f"{url}: expected a sidecar's answer, got something else: {error}") from error


class _Refusal(Struct):
    error: str


def _given(**query: str | None) -> dict[str, str]:
    return {name: text for name, text in query.items() if text is not None}


def _reason(body: bytes) -> str:
    """The sidecar's own words about an error, if it has any."""
    try:
        words = one_line(msgspec.json.decode(body, type=_Refusal).error)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return ""
    return f": {words[:_MAX_REASON]}"


def _read(response: requests.Response) -> bytes:
    body = bytearray()
    for piece in response.iter_content(_PIECE):
        body += piece
        if len(body) > _MAX_BODY:
            raise ClientError(f"{response.url}: expected at most {_MAX_BODY} bytes, got more")
    return bytes(body)


def _cause(error: OSError) -> str:
    """The innermost reason, in one line, without the layers that requests and urllib3 wrap around it."""
    if isinstance(error, requests.Timeout):
        return f"no answer within {_TIMEOUT:g} s"
    cause: BaseException = error
    while (inner := cause.__cause__ or cause.__context__) is not None:
        cause = inner
    if isinstance(cause, ssl.SSLCertVerificationError):
        return one_line(f"its certificate is not trusted: {cause.verify_message}")
    if isinstance(cause, ssl.SSLError):
        return one_line(f"TLS: {system_reason(cause)}")
    return one_line(system_reason(cause) if isinstance(cause, OSError) else str(cause))
