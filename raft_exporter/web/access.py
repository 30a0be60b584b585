"""Who is let in, and who may change something (docs/api.md).

With users in the web configuration file, every request on every path has to bear a user's password or the
sidecar's token. A report is given, where the sidecars have a secret, to who has that or the token. Changing
calls take the token, or, where there is none, this machine alone.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from enum import Enum
from pathlib import Path
from typing import Final

from aiohttp import web
from aiohttp.typedefs import Handler

from raft_exporter.errors import StartError, system_reason
from raft_exporter.report_proof import HEADER, SCHEME, Asked, verify_request
from raft_exporter.secret import Secret, place
from raft_exporter.web.attempts import Bucket, FailedLogins
from raft_exporter.web.credentials import Known, Passwords, authorization_of, same, user_of
from raft_exporter.web.local import check_local, client_of
from raft_exporter.web_config import WebSettings, san

HTTP_REASONS: Final = (
    "no_credentials",
    "wrong_password",
    "wrong_token",
    "wrong_proof",
    "wrong_certificate",
    "not_local",
    "failed_logins",
    "rate_limit",
)
"""Why requests are refused, as ``raft_exporter_rejected_total`` has it."""

REPORT: Final = "/api/v1/report"

_MAX_TOKEN: Final = 4096
_BASIC: Final = 'Basic realm="raft-exporter", charset="UTF-8"'
_BEARER: Final = "Bearer"
_PASSWORD: Final = "expected the name and password of a user"  # noqa: S105 - said of one
_TOKEN: Final = "expected the bearer token of this sidecar"  # noqa: S105 - said of one
_PROOF: Final = "expected a proof of the secret that the sidecars share"


class Who(Enum):
    """Who a request comes from."""

    USER = "user"
    SIDECAR = "sidecar"
    OPERATOR = "operator"


_WHO: Final = web.RequestKey("who", Who)
_ASKED: Final = web.RequestKey("asked", Asked)


class Rights:
    """What holds for all who were let in at one time; another one when that changes."""

    __slots__ = ("with_token",)

    def __init__(self, *, with_token: bool) -> None:
        self.with_token = with_token
        """Whether a changing call must bear a token."""


def token_from(path: str | None, environment: str | None) -> Secret | None:
    """Give the token of the environment, else that of the file, else None; StartError when it is no token.

    White space around it does not count: editors put a newline at the end of a file.
    """
    source, text = "RAFT_EXPORTER_TOKEN", environment or ""
    if not text and path is not None:
        source = f"web.token_file: {place(path)}"
        try:
            with Path(path).open("rb") as file:
                text = file.read(_MAX_TOKEN + 1).decode("ascii", "replace")
        except OSError as error:
            raise StartError(f"{source}: can't be read: {system_reason(error)}") from error
    elif not text:
        return None
    text = text.strip()
    if not text.isascii() or not text.isprintable() or " " in text or not 1 <= len(text) <= _MAX_TOKEN:
        raise StartError(f"{source}: expected a token of visible ASCII characters, got something else")
    return Secret(text)


class Access:
    """Lets requests in, or refuses them; everybody may read until :meth:`take` says otherwise.

    ``rejected`` is told one of HTTP_REASONS for each refusal; ``clock`` gives seconds. Invariant: nothing
    that was refused has reached a handler, and nothing is kept of a client but how often it failed.
    """

    def __init__(self, rejected: Callable[[str], None], clock: Callable[[], float] = time.monotonic) -> None:
        self._rejected = rejected
        self._clock = clock
        self._failed = FailedLogins(clock)
        self._known = Known()
        self._turn = asyncio.Lock()
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="bcrypt")
        self._requests: Bucket | None = None
        self._token: Secret | None = None
        self._settings = WebSettings()
        self._passwords = Passwords({})
        self._secrets: Callable[[], Sequence[Secret]] | None = None
        self.rights = Rights(with_token=False)

    def take(
        self,
        token: Secret | None,
        settings: WebSettings | None,
        secrets: Callable[[], Sequence[Secret]] | None = None,
    ) -> None:
        """Let in by these from now on; ``secrets`` gives those that the sidecars share.

        What clients failed with is not forgotten by it, nor what they were right with, as far as it still is.
        """
        settings = settings or WebSettings()
        before, now = self._settings, settings
        if (
            _text(token) != _text(self._token)
            or now.users != before.users
            or now.allowed_sans != before.allowed_sans
            or now.requires_certificate is not before.requires_certificate
        ):
            self.rights = Rights(with_token=token is not None)
        limit = settings.rate_limit
        if limit != before.rate_limit:
            self._requests = Bucket(limit.interval, limit.burst, self._clock()) if limit.interval else None
        self._token, self._settings, self._secrets = token, settings, secrets
        self._passwords = Passwords(settings.users)

    @property
    def headers(self) -> Mapping[str, str]:
        """What headers every answer gets, over those that it has by itself."""
        return self._settings.headers

    async def answer(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Answer who is let in; HTTPForbidden, HTTPUnauthorized or HTTPTooManyRequests to others."""
        wait = 0.0 if self._requests is None else self._requests.take(self._clock())
        if wait:
            raise self._too_often("rate_limit", wait, "expected fewer requests: see rate_limit")
        self._check_certificate(request)
        if self._secrets is not None and _is_report(request):
            request[_WHO] = await self._identify(request, {Who.SIDECAR, Who.OPERATOR}, self._secrets())
        elif self._settings.users:
            request[_WHO] = await self._identify(request, {Who.USER, Who.OPERATOR}, ())
        return await handler(request)

    async def check_change(self, request: web.Request) -> None:
        """Refuse a call that changes something, when it must not, as :meth:`answer` does."""
        if self._token is None:
            try:
                check_local(request)
            except web.HTTPForbidden:
                self._rejected("not_local")
                raise
        elif request.get(_WHO) is not Who.OPERATOR:
            await self._identify(request, {Who.OPERATOR}, ())

    def close(self) -> None:
        """Compare no more passwords."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    def _check_certificate(self, request: web.Request) -> None:
        # The handshake looks at no names; and it may have been before the settings changed.
        if not self._settings.requires_certificate:
            return
        tls = request.transport.get_extra_info("ssl_object") if request.transport is not None else None
        shown = tls.getpeercert() if tls is not None else None
        sans = self._settings.allowed_sans
        names = {san(name) for _, name in (shown or {}).get("subjectAltName", ())}
        if not shown or (sans is not None and not names & sans):
            self._rejected("wrong_certificate")
            refusal = web.HTTPForbidden(reason="expected a client certificate for an allowed name")
            refusal.force_close()
            raise refusal

    async def _identify(self, request: web.Request, allowed: set[Who], secrets: Sequence[Secret]) -> Who:
        """Say which of those allowed a request comes from; HTTPUnauthorized or HTTPTooManyRequests: none."""
        client = client_of(request)
        scheme, given = authorization_of(request)
        if scheme == "basic" and Who.USER in allowed:
            return await self._user(client, given)
        if scheme == SCHEME.lower() and Who.SIDECAR in allowed:
            return self._sidecar(request, client, secrets)
        if scheme == "bearer":
            return self._bearer(client, given, secrets)
        if Who.USER in allowed:
            raise self._refusal("no_credentials", _PASSWORD, _BASIC)
        if Who.SIDECAR in allowed:
            raise self._refusal("no_credentials", _PROOF, f"{SCHEME}, {_BEARER}")
        raise self._refusal("no_credentials", _TOKEN, _BEARER)

    async def _user(self, client: str, given: str) -> Who:
        name, password = user_of(given) or ("", b"")
        if self._digest(client, name, password) in self._known:
            return Who.USER
        async with self._turn:
            known = self._digest(client, name, password)
            if known in self._known:  # another request of the same client was first
                return Who.USER
            self._check_attempts(max(self._failed.wait(client), self._failed.wait_for_all()))
            right = await self._passwords.right(name, password, self._thread)
            if right and known == self._digest(client, name, password):  # it may have changed meanwhile
                self._known.add(known)
                return Who.USER
            self._failed.failed(client)
        raise self._refusal("wrong_password", _PASSWORD, _BASIC)

    def _digest(self, client: str, name: str, password: bytes) -> bytes:
        return self._known.digest(client.encode(), name.encode(), password, self._passwords.stored(name))

    def _bearer(self, client: str, given: str, secrets: Sequence[Secret]) -> Who:
        right = [Who.SIDECAR for secret in secrets if same(given, secret)]
        if self._token is not None and same(given, self._token):
            right.append(Who.OPERATOR)
        known = self._known.digest(client.encode(), given.encode("utf-8", "surrogateescape"))
        if not (right and known in self._known):
            self._check_attempts(self._failed.wait(client))
        if right:
            self._known.add(known)
            return right[-1]
        self._failed.failed(client)
        raise self._refusal("wrong_token", _TOKEN, _BEARER)

    def _sidecar(self, request: web.Request, client: str, secrets: Sequence[Secret]) -> Who:
        asked = verify_request(request.headers["Authorization"], secrets)
        if asked is not None:  # nobody guesses a proof: a right one waits for nothing
            request[_ASKED] = asked
            return Who.SIDECAR
        self._check_attempts(self._failed.wait(client))
        self._failed.failed(client)
        raise self._refusal("wrong_proof", _PROOF, SCHEME)

    def _check_attempts(self, wait: float) -> None:
        if wait:
            raise self._too_often("failed_logins", wait, "expected fewer logins that fail")

    def _refusal(self, counted: str, reason: str, challenge: str) -> web.HTTPUnauthorized:
        self._rejected(counted)
        return web.HTTPUnauthorized(reason=reason, headers={"WWW-Authenticate": challenge})

    def _too_often(self, counted: str, wait: float, reason: str) -> web.HTTPTooManyRequests:
        self._rejected(counted)
        return web.HTTPTooManyRequests(reason=reason, headers={"Retry-After": str(math.ceil(wait))})


@web.middleware
async def prove_answer(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Prove an answer to who proved its question, whatever the answer is."""
    answer = await handler(request)
    asked = request.get(_ASKED)
    if asked is not None and isinstance(answer, web.Response) and isinstance(answer.body, bytes):
        answer.headers[HEADER] = asked.proof(answer.status, answer.body)
    return answer


def _is_report(request: web.Request) -> bool:
    resource = request.match_info.route.resource
    return resource is not None and resource.canonical == REPORT


def _text(secret: Secret | None) -> str | None:
    return None if secret is None else secret.reveal()
