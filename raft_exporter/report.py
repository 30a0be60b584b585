"""The report that sidecars give each other: direct evidence as JSON, version 1 (docs/api.md).

It tells ages, not times of day, and what this node itself heard, never a verdict: so no two clocks have
to agree, and no rumour goes round. Overrides are the exception: an expiry is a time of day.
"""

from __future__ import annotations

from typing import Annotated, Final

import msgspec
from msgspec import Meta, Struct

from raft_exporter.errors import ConfigError, ReportError
from raft_exporter.model.evidence import Configuration, Report, ReportedMember, Role, Server, Suffrage
from raft_exporter.model.override import FORCED, MAX_SECONDS, MAX_TEXT, Override
from raft_exporter.notation import MAX_URL, is_text, parse_sidecar_url

VERSION: Final = 1
MAX_BODY: Final = 1024 * 1024
"""Bytes of a report."""
MAX_ENTRIES: Final = 1000
"""Members, servers, overrides and sidecars of a report, each."""

_MAX_ID: Final = 256
_MAX_ADDRESS: Final = 1024
_MAX_AHEAD: Final = 86400.0
"""Seconds: an override set later than this from now is none, whatever the clock of its sidecar says."""

_Age = Annotated[float, Meta(ge=0, le=1e12)]
_Count = Annotated[int, Meta(ge=0, le=2**63 - 1)]
_Id = Annotated[str, Meta(min_length=1, max_length=_MAX_ID)]
_Address = Annotated[str, Meta(max_length=_MAX_ADDRESS)]


class _Version(Struct):
    version: int


class _Node(Struct):
    id: _Id
    address: _Address = ""
    isolated: bool = False
    installing_snapshot: bool = False
    role: Role = Role.UNKNOWN
    term: _Count | None = None
    heartbeat_timeout_seconds: Annotated[float, Meta(gt=0, le=600)] | None = None


class _Server(Struct):
    id: _Id
    address: _Address
    suffrage: Suffrage


class _Configuration(Struct):
    servers: Annotated[list[_Server], Meta(max_length=MAX_ENTRIES)]
    index: _Count | None = None


class _Member(Struct):
    id: _Id
    silence_seconds: _Age
    heartbeat_seconds: _Age | None = None
    raft_seconds: _Age | None = None
    refusals: _Count = 0
    refused_for_seconds: _Age = 0.0


class ReportDocument(Struct):
    """A report as it is written; :func:`decode` holds it to more than its types say."""

    version: int
    node: _Node
    members: Annotated[list[_Member], Meta(max_length=MAX_ENTRIES)]
    configuration: _Configuration | None = None
    # Each of these stands or falls by itself, so that it is read by itself.
    overrides: Annotated[list[msgspec.Raw], Meta(max_length=MAX_ENTRIES)] = []
    sidecars: Annotated[dict[str, msgspec.Raw], Meta(max_length=MAX_ENTRIES)] = {}


class Message(Struct, frozen=True):
    """All that one report says.

    ``report.age`` is 0: how long it was on its way knows only who asked for it. ``sidecars`` are base URLs
    by server id. ``refused`` has a word for each override and URL that was left out: ``override``, ``url``.
    """

    report: Report
    address: str = ""
    role: Role = Role.UNKNOWN
    term: int | None = None
    overrides: tuple[Override, ...] = ()
    sidecars: dict[str, str] = {}
    refused: tuple[str, ...] = ()


def encode(message: Message) -> bytes:
    """Write a report as its body.

    A member whose id no reader may take is left out, and so is a configuration that has such a one: less
    one server it would be another configuration.
    """
    report = message.report
    document = ReportDocument(
        version=VERSION,
        node=_Node(
            id=report.reporter,
            address=message.address if _is_address(message.address) else "",
            isolated=report.isolated,
            installing_snapshot=report.installing_snapshot,
            role=message.role,
            term=message.term,
            heartbeat_timeout_seconds=report.heartbeat_timeout,
        ),
        configuration=_wire_configuration(report.configuration),
        members=[
            _Member(
                id=row.peer,
                silence_seconds=row.silence,
                heartbeat_seconds=row.heartbeat,
                raft_seconds=row.raft,
                refusals=row.refusals,
                refused_for_seconds=row.refused_for,
            )
            for row in report.members
            if is_text(row.peer, _MAX_ID)
        ][:MAX_ENTRIES],
        overrides=[msgspec.Raw(msgspec.json.encode(each)) for each in message.overrides[:MAX_ENTRIES]],
        sidecars={
            peer: msgspec.Raw(msgspec.json.encode(url))
            for peer, url in list(message.sidecars.items())[:MAX_ENTRIES]
        },
    )
    return msgspec.json.encode(document)


def decode(body: bytes, wall: float) -> Message:
    """Read a report that came at the Unix time ``wall``; ReportError when it breaks its contract.

    Its reasons are ``too_large``, ``version`` and ``malformed``. An override or a URL that breaks its own
    rules is left out, and the rest stands.
    """
    if len(body) > MAX_BODY:
        raise ReportError("too_large", f"expected at most {MAX_BODY} bytes, got {len(body)} or more")
    try:
        version = msgspec.json.decode(body, type=_Version).version
        if version != VERSION:
            raise ReportError("version", f"expected version {VERSION} of the report, got {version}")
        document = msgspec.json.decode(body, type=ReportDocument)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ReportError("malformed", f"expected a sidecar's report, got something else: {error}") from error
    node, configuration = document.node, _configuration(document.configuration)
    members = tuple(_member(row) for row in document.members)
    _check_ids(node.id)
    _check_ids(*(row.peer for row in members))
    if not _is_address(node.address):
        raise ReportError("malformed", "expected an address without control characters")
    overrides = [_override(raw, wall) for raw in document.overrides]
    urls = {peer: _url(peer, raw) for peer, raw in document.sidecars.items()}
    return Message(
        report=Report(
            reporter=node.id,
            members=members,
            isolated=node.isolated,
            installing_snapshot=node.installing_snapshot,
            heartbeat_timeout=node.heartbeat_timeout_seconds,
            configuration=configuration,
        ),
        address=node.address,
        role=node.role,
        term=node.term,
        overrides=tuple(each for each in overrides if each is not None),
        sidecars={peer: url for peer, url in urls.items() if url is not None},
        refused=("override",) * overrides.count(None) + ("url",) * list(urls.values()).count(None),
    )


def _member(row: _Member) -> ReportedMember:
    return ReportedMember(
        peer=row.id,
        silence=row.silence_seconds,
        heartbeat=row.heartbeat_seconds,
        raft=row.raft_seconds,
        refusals=row.refusals,
        refused_for=row.refused_for_seconds,
    )


def _configuration(told: _Configuration | None) -> Configuration | None:
    if told is None:
        return None
    _check_ids(*(each.id for each in told.servers))
    if not all(_is_address(each.address) for each in told.servers):
        raise ReportError("malformed", "expected addresses without control characters")
    return Configuration(
        servers=tuple(Server(each.id, each.address, each.suffrage) for each in told.servers), index=told.index
    )


def _wire_configuration(known: Configuration | None) -> _Configuration | None:
    if known is None or len(known.servers) > MAX_ENTRIES:
        return None
    if not all(is_text(each.id, _MAX_ID) and _is_address(each.address) for each in known.servers):
        return None
    return _Configuration(
        servers=[_Server(each.id, each.address, each.suffrage) for each in known.servers], index=known.index
    )


def _is_address(text: str) -> bool:
    return not text or is_text(text, _MAX_ADDRESS)


def _check_ids(*ids: str) -> None:
    if not all(is_text(each, _MAX_ID) for each in ids) or len(set(ids)) < len(ids):
        raise ReportError("malformed", "expected server ids without control characters, each once")


def _override(raw: msgspec.Raw, wall: float) -> Override | None:
    try:
        override = msgspec.json.decode(raw, type=Override)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return override if is_sound(override, wall) else None


def is_sound(override: Override, wall: float) -> bool:
    """Whether an override that was told at the Unix time ``wall`` keeps the rules.

    A state that can be forced or none; reason and author of at most 500 characters, none of them a control
    character; at most 30 days; and not set in the future, a day for wrong clocks apart.
    """
    return (
        override.state in {*FORCED, ""}
        and is_text(override.peer, _MAX_ID)
        and (not override.node or is_text(override.node, _MAX_ID))
        and all(not each or is_text(each, MAX_TEXT) for each in (override.author, override.reason))
        and 0 <= override.set_at <= wall + _MAX_AHEAD
        and 0 <= override.expires_at <= override.set_at + MAX_SECONDS
    )


def _url(peer: str, raw: msgspec.Raw) -> str | None:
    try:
        url = msgspec.json.decode(raw, type=Annotated[str, Meta(max_length=MAX_URL)])
        return parse_sidecar_url(url) if is_text(peer, _MAX_ID) else None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, ConfigError):
        return None
