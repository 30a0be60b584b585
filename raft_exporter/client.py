"""What the commands ask of a running sidecar."""

from __future__ import annotations

from typing import Final

import msgspec
import requests

from raft_exporter.errors import ClientError, system_reason
from raft_exporter.notation import one_line
from raft_exporter.secret import Secret
from raft_exporter.view import ClusterView

_TIMEOUT: Final = 5.0
_PIECE: Final = 64 * 1024
_MAX_BODY: Final = 16 * 1024 * 1024


class SidecarClient:
    """Asks one sidecar at its base URL. ``token`` goes along as a bearer token, if there is one."""

    def __init__(self, url: str, token: Secret | None = None) -> None:
        self._url = url.rstrip("/")
        self._session = requests.Session()
        self._session.trust_env = False  # a sidecar is near: no proxy and no .netrc gets between
        if token is not None:
            self._session.headers["Authorization"] = f"Bearer {token.reveal()}"

    def cluster(self) -> ClusterView:
        """Ask for the cluster as the sidecar judges it now; ClientError when it does not tell."""
        url = f"{self._url}/api/v1/cluster"
        try:
            with self._session.get(url, timeout=_TIMEOUT, allow_redirects=False, stream=True) as response:
                if response.status_code != 200:
                    raise ClientError(f"{url}: expected status 200, got {response.status_code}")
                body = _read(response)
        except requests.RequestException as error:
            raise ClientError(f"{url}: {_cause(error)}") from error
        try:
            return msgspec.json.decode(body, type=ClusterView)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise ClientError(f"{url}: expected a sidecar's answer, got something else: {error}") from error


def _read(response: requests.Response) -> bytes:
    body = bytearray()
    for piece in response.iter_content(_PIECE):
        body += piece
        if len(body) > _MAX_BODY:
            raise ClientError(f"{response.url}: expected at most {_MAX_BODY} bytes, got more")
    return bytes(body)


def _cause(error: requests.RequestException) -> str:
    """The innermost reason, in one line, without the layers that requests and urllib3 wrap around it."""
    if isinstance(error, requests.Timeout):
        return f"no answer within {_TIMEOUT:g} s"
    cause: BaseException = error
    while (inner := cause.__cause__ or cause.__context__) is not None:
        cause = inner
    return one_line(system_reason(cause) if isinstance(cause, OSError) else str(cause))
