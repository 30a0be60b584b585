"""The API as an OpenAPI 3.1 document: what is asked and answered is written by the types themselves.

https://spec.openapis.org/oas/v3.1.0
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from raft_exporter import __version__
from raft_exporter.answers import (
    MAX_EVENTS,
    Events,
    Fault,
    OverrideCleared,
    OverrideSet,
    StandingOverrides,
)
from raft_exporter.checkup import Checkup
from raft_exporter.discovery import TargetGroup
from raft_exporter.model.override import Override
from raft_exporter.notation import MAX_URL
from raft_exporter.report import ReportDocument
from raft_exporter.report_proof import SCHEME
from raft_exporter.view import ClusterView
from raft_exporter.web.api import DEFAULT_EVENTS, LAST_NUMBER, TEXT, WantedOverride
from raft_exporter.web.stream import Hello

_Json = dict[str, Any]

_REF: Final = "#/components/schemas/{name}"
_ANSWERS: Final = (
    ClusterView,
    Checkup,
    Events,
    StandingOverrides,
    OverrideSet,
    OverrideCleared,
    WantedOverride,
    TargetGroup,
    Override,
    ReportDocument,
    Hello,
    Fault,
)
_SECURITY: Final = {
    "basic": {
        "type": "http",
        "scheme": "basic",
        "description": "A user of the web configuration file. Where it has users, every path needs one, or "
        "the token.",
    },
    "bearer": {
        "type": "http",
        "scheme": "bearer",
        "description": "The token of who may change something. Without one, this machine alone may.",
    },
    "report": {
        "type": "http",
        "scheme": SCHEME,
        "description": "A proof of the secret that the sidecars share. Where they have one, the report needs "
        "it, or the token.",
    },
}
_EVENT_OF_STREAM: Final = {
    "description": "One server-sent event.",
    "type": "object",
    "properties": {
        "event": {"enum": ["hello", "journal", "cluster", "news"]},
        "data": {
            "type": "string",
            "contentMediaType": "application/json",
            "contentSchema": {
                "anyOf": [
                    {"$ref": f"#/components/schemas/{kind.__name__}"} for kind in (Hello, Events, ClusterView)
                ]
            },
        },
    },
    "required": ["event", "data"],
}
_READING: Final[list[_Json]] = [{}, {"basic": []}, {"bearer": []}]
_REPORTING: Final[list[_Json]] = [*_READING, {"report": []}]
_CHANGING: Final[list[_Json]] = [{}, {"bearer": []}]
_STATUSES: Final = {
    400: "A parameter or the body is not what was expected.",
    401: "It came without what it has to bear, or with what is wrong; WWW-Authenticate says what that is.",
    403: "It came from another machine, and there is no token; or without an allowed certificate.",
    404: "No such member, or nothing to clear.",
    408: "The body took too long.",
    413: "The body is too large.",
    415: "The body is not application/json.",
    422: "The configuration can't be taken up, and all is as before.",
    429: "Too many requests, or too many failed logins; Retry-After says for how many seconds.",
    500: "A fault of the sidecar; its log says which.",
    503: "Not yet, or not one more.",
}
_ALWAYS: Final = {401, 403, 429, 500}
"""What may come on every path, by the web configuration file."""


def document() -> _Json:
    """Give the document."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "raft-exporter",
            "version": __version__,
            "description": "One sidecar's word about one Raft cluster. Durations and ages are in seconds, "
            "times of day are Unix times in seconds, and null is what is not known. Where GET is, HEAD is.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "paths": _paths(),
        "components": {
            "schemas": _schemas(),
            "responses": {
                str(status): {"description": text, "content": _json(_ref("Fault"))}
                for status, text in _STATUSES.items()
            },
            "securitySchemes": _SECURITY,
        },
    }


def _paths() -> _Json:
    peer = _parameter("peer", "path", {"type": "string", "minLength": 1}, "A member's Raft server id.")
    return {
        "/metrics": {
            "get": _get(
                "The metrics, as Prometheus takes them.",
                _content({"type": "string"}, "text/plain", "application/openmetrics-text"),
                parameters=[
                    _parameter(
                        "name[]",
                        "query",
                        {"type": "array", "items": {"type": "string"}},
                        "Only those of these names.",
                    )
                ],
            )
        },
        "/sd": {
            "get": _get(
                "The sidecars of all members, as Prometheus' HTTP service discovery takes them.",
                _json({"type": "array", "items": _ref("TargetGroup"), "minItems": 1}),
                503,
            )
        },
        "/-/healthy": {
            "get": _get("Whether the event loop turns.", _content({"type": "string"}, "text/plain"))
        },
        "/-/ready": {
            "get": _get(
                "Whether there is evidence to judge by.", _content({"type": "string"}, "text/plain"), 503
            )
        },
        "/-/reload": {
            "post": _operation(
                "Read the configuration again, and take it up whole or not at all.",
                _content({"type": "string"}, "text/plain"),
                422,
                security=_CHANGING,
            )
        },
        "/api/openapi.json": {"get": _get("This document.", _json({"type": "object"}))},
        "/api/v1/cluster": {"get": _get("What this sidecar knows and judges.", _json(_ref("ClusterView")))},
        "/api/v1/checkup": {
            "get": _get("What the sidecar can see, and what it lacks.", _json(_ref("Checkup")))
        },
        "/api/v1/events": {
            "get": _get(
                "What happened, oldest first.",
                _json(_ref("Events")),
                400,
                parameters=[
                    _number("after", 0, 0, LAST_NUMBER, "Only entries with a greater number."),
                    _number("limit", DEFAULT_EVENTS, 1, MAX_EVENTS, "The latest so many of those."),
                    _parameter("peer", "query", {"type": "string"}, "Only those of this member."),
                ],
            )
        },
        "/api/v1/stream": {
            "get": _get(
                "What the page shows, as it changes; it does not end.",
                _content(_EVENT_OF_STREAM, "text/event-stream"),
                503,
            )
        },
        "/api/v1/report": {
            "get": _get(
                "What this node itself heard of each member.",
                _json(_ref("ReportDocument")),
                503,
                security=_REPORTING,
            )
        },
        "/api/v1/overrides": {"get": _get("The overrides that stand.", _json(_ref("StandingOverrides")))},
        "/api/v1/overrides/{peer}": {
            "parameters": [peer],
            "put": _operation(
                "Force what is shown of a member.",
                _json(_ref("OverrideSet")),
                *(400, 404, 408, 413, 415),
                security=_CHANGING,
                requestBody={"required": True, "content": _json(_ref("WantedOverride"))},
            ),
            "delete": _operation(
                "Clear a member's override.",
                _json(_ref("OverrideCleared")),
                *(400, 404),
                security=_CHANGING,
                parameters=[
                    {
                        **_parameter("author", "query", {"type": "string", **TEXT}, "Who does it."),
                        "required": True,
                    },
                    _parameter("reason", "query", {"type": "string", **TEXT}, "Why."),
                ],
            ),
        },
    }


def _schemas() -> _Json:
    _, schemas = msgspec.json.schema_components(_ANSWERS, ref_template=_REF)
    # Private to the report's module are the parts of the report.
    text = msgspec.json.encode(schemas).replace(
        _REF.format(name="_").encode(), _REF.format(name="Report").encode()
    )
    named: _Json = {
        f"Report{name[1:]}" if name.startswith("_") else name: schema
        for name, schema in msgspec.json.decode(text).items()
    }
    for schema in named.values():
        del schema["title"]
        if "description" in schema:
            schema["description"] = " ".join(schema["description"].split())
    # Each of them is read by itself, so that the type that reads them all has no word about it.
    told = named["ReportDocument"]["properties"]
    told["overrides"]["items"] = _ref("Override")
    told["sidecars"]["additionalProperties"] = {"type": "string", "format": "uri", "maxLength": MAX_URL}
    return named


def _get(summary: str, content: _Json, *statuses: int, **more: Any) -> _Json:
    return _operation(summary, content, *statuses, **{"security": _READING, **more})


def _operation(summary: str, content: _Json, *statuses: int, **more: Any) -> _Json:
    failures = {
        str(status): {"$ref": f"#/components/responses/{status}"} for status in sorted({*statuses, *_ALWAYS})
    }
    return {
        "summary": summary,
        **more,
        "responses": {"200": {"description": "Done.", "content": content}, **failures},
    }


def _number(name: str, default: int, least: int, most: int, description: str) -> _Json:
    bounds = {"type": "integer", "minimum": least, "maximum": most, "default": default}
    return _parameter(name, "query", bounds, description)


def _parameter(name: str, place: str, schema: Mapping[str, Any], description: str) -> _Json:
    required = {"required": True} if place == "path" else {}
    return {"name": name, "in": place, **required, "schema": dict(schema), "description": description}


def _json(schema: _Json) -> _Json:
    return _content(schema, "application/json")


def _content(schema: _Json, *types: str) -> _Json:
    return {kind: {"schema": schema} for kind in types}


def _ref(name: str) -> _Json:
    return {"$ref": _REF.format(name=name)}
