"""The API of reports, events and overrides (docs/api.md)."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Collection, Sequence
from typing import Annotated, Final, Protocol

import msgspec
from aiohttp import web
from msgspec import Meta, Struct

from raft_exporter.answers import (
    MAX_EVENTS,
    Event,
    Events,
    OverrideCleared,
    OverrideSet,
    StandingOverride,
    StandingOverrides,
)
from raft_exporter.checkup import Checkup
from raft_exporter.discovery import TargetGroup
from raft_exporter.errors import RaftExporterError
from raft_exporter.journal import Entry
from raft_exporter.model.override import DEFAULT_SECONDS, FORCED, MAX_SECONDS, MAX_TEXT, Override
from raft_exporter.notation import is_text, one_line, shown
from raft_exporter.web.access import REPORT, Access

DEFAULT_EVENTS: Final = 100

_PATIENCE: Final = 5.0
"""Seconds that the body of a call may take."""


class Operations(Protocol):
    """What the API asks of the sidecar."""

    def report(self) -> bytes | None:
        """Give the body of this node's report; None while the node has no name."""

    def events(self, after: int, limit: int, peer: str | None) -> Sequence[Entry]:
        """Give the latest ``limit`` entries of the journal after the one numbered ``after``, oldest first."""

    def overrides(self) -> Sequence[Override]:
        """Give the overrides that stand."""

    def members(self) -> Collection[str]:
        """Give the ids of the members."""

    def checkup(self) -> Checkup:
        """Give what the sidecar can see, and what it lacks."""

    def targets(self, asked_at: str) -> Sequence[TargetGroup] | None:
        """Give the sidecars of all members, the own one at ``asked_at`` where nobody said where it is.

        None while they are not known.
        """

    async def reload(self) -> None:
        """Read the configuration again and take it up whole; ConfigError or StartError: all is as before."""

    async def set_override(
        self, peer: str, state: str, seconds: float, author: str, reason: str
    ) -> tuple[Override, bool]:
        """Set an override; give it, and whether it is stored."""

    async def clear_override(self, peer: str, author: str, reason: str) -> bool | None:
        """Clear a member's override; give whether that is stored, None when none stood."""


LAST_NUMBER: Final = 2**63 - 1
"""The greatest number that an entry of the journal can have."""

_CONTROL: Final = r"\u0000-\u001f\u007f-\u009f\u2028\u2029"
_SPACE: Final = r" \u00a0\u1680\u2000-\u200a\u202f\u205f\u3000"
TEXT: Final = {
    "minLength": 1,
    "maxLength": MAX_TEXT,
    "pattern": f"^[^{_CONTROL}]*[^{_CONTROL}{_SPACE}][^{_CONTROL}]*$",
}
"""What an author or a reason has to be, as JSON schema; who breaks it is told in words."""


class WantedOverride(Struct, forbid_unknown_fields=True):
    """What is asked for when an override is set."""

    state: Annotated[str, Meta(extra_json_schema={"enum": list(FORCED)})]
    reason: Annotated[str, Meta(extra_json_schema=TEXT)]
    author: Annotated[str, Meta(extra_json_schema=TEXT)]
    for_seconds: Annotated[float, Meta(gt=0, le=MAX_SECONDS)] = DEFAULT_SECONDS


def routes(
    operations: Operations, access: Access, wall: Callable[[], float] = time.time
) -> list[web.RouteDef]:
    """Give the routes. ``access`` says who may change something; ``wall`` gives Unix time."""

    async def report(_: web.Request) -> web.Response:
        body = operations.report()
        if body is None:
            raise web.HTTPServiceUnavailable(reason="the node has not said its name yet")
        return web.Response(body=body, content_type="application/json")

    async def events(request: web.Request) -> web.Response:
        after = _number(request, "after", 0, 0, LAST_NUMBER)
        limit = _number(request, "limit", DEFAULT_EVENTS, 1, MAX_EVENTS)
        entries = operations.events(after, limit, request.query.get("peer"))
        latest = operations.events(0, 1, None)
        return _json(Events(tuple(map(Event.of, entries)), latest[-1].id if latest else 0))

    async def checkup(_: web.Request) -> web.Response:
        return _json(operations.checkup())

    async def reload(request: web.Request) -> web.Response:
        await access.check_change(request)
        try:
            await operations.reload()
        except RaftExporterError as error:
            raise web.HTTPUnprocessableEntity(reason=one_line(str(error))) from error
        return web.Response(text="ok\n")

    async def overrides(_: web.Request) -> web.Response:
        now = wall()
        standing = sorted(operations.overrides(), key=lambda each: each.peer)
        return _json(StandingOverrides(tuple(StandingOverride.of(each, now) for each in standing)))

    async def set_override(request: web.Request) -> web.Response:
        await access.check_change(request)
        wanted = await _wanted(request)
        peer = _member(request, operations)
        override, stored = await operations.set_override(
            peer, wanted.state, wanted.for_seconds, wanted.author, wanted.reason
        )
        return _json(OverrideSet(StandingOverride.of(override, wall()), stored=stored))

    async def clear_override(request: web.Request) -> web.Response:
        await access.check_change(request)
        author = _text("author", request.query.get("author", ""))
        reason = request.query.get("reason", "")
        if reason:
            reason = _text("reason", reason)
        peer = _member(request, operations)
        stored = await operations.clear_override(peer, author, reason)
        if stored is None:
            raise web.HTTPNotFound(reason=f"expected a member with an override, {shown(peer)} has none")
        return _json(OverrideCleared(peer, stored=stored))

    return [
        web.get(REPORT, report),
        web.post("/-/reload", reload),
        web.get("/api/v1/events", events),
        web.get("/api/v1/checkup", checkup),
        web.get("/api/v1/overrides", overrides),
        web.put("/api/v1/overrides/{peer}", set_override),
        web.delete("/api/v1/overrides/{peer}", clear_override),
    ]


def _json(answer: Struct) -> web.Response:
    return web.Response(body=msgspec.json.encode(answer), content_type="application/json")


def _number(request: web.Request, name: str, default: int, least: int, most: int) -> int:
    text = request.query.get(name)
    if text is None:
        return default
    if not (text.isascii() and text.isdigit() and len(text) <= 19 and least <= int(text) <= most):
        raise web.HTTPBadRequest(
            reason=f"{name}: expected a whole number from {least} to {most}, got {shown(text)}"
        )
    return int(text)


async def _wanted(request: web.Request) -> WantedOverride:
    if request.content_type != "application/json":
        raise web.HTTPUnsupportedMediaType(reason="expected the content type application/json")
    try:
        async with asyncio.timeout(_PATIENCE):
            body = await request.read()
    except web.RequestPayloadError as error:
        raise web.HTTPBadRequest(reason="expected a whole body, encoded as it says") from error
    except TimeoutError as error:
        raise web.HTTPRequestTimeout(reason=f"expected the body within {_PATIENCE:g} s") from error
    try:
        wanted = msgspec.json.decode(body, type=WantedOverride)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise web.HTTPBadRequest(
            reason=f"expected an object with state, reason, author and for_seconds: {one_line(str(error))}"
        ) from error
    if wanted.state not in FORCED:
        raise web.HTTPBadRequest(
            reason=f"state: expected one of {', '.join(FORCED)}, got {shown(wanted.state)}"
        )
    wanted.author, wanted.reason = _text("author", wanted.author), _text("reason", wanted.reason)
    return wanted


def _text(name: str, text: str) -> str:
    if not is_text(text, MAX_TEXT) or not text.strip():
        raise web.HTTPBadRequest(
            reason=f"{name}: expected 1 to {MAX_TEXT} characters, none of them a control character, "
            f"got {one_line(shown(text))}"
        )
    return text.strip()


def _member(request: web.Request, operations: Operations) -> str:
    peer = request.match_info["peer"]
    members = sorted(operations.members())
    if peer not in members:
        known = ", ".join(members[:10]) + (", ..." if len(members) > 10 else "")
        raise web.HTTPNotFound(
            reason=one_line(
                f"expected a member of the cluster ({known or 'none is known'}), got {shown(peer)}"
            )
        )
    return peer
