"""The API's own document: it names what is served, and what is served keeps to it."""

from __future__ import annotations

import asyncio
import random
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from typing import Any, Final

import pytest
import requests
import schemathesis
from prometheus_client import CollectorRegistry
from schemathesis.config import (
    ChecksConfig,
    GenerationConfig,
    NotAServerErrorConfig,
    PhasesConfig,
    ProjectConfig,
    ProjectsConfig,
    StatefulPhaseConfig,
)
from schemathesis.engine import from_schema
from schemathesis.engine.events import NonFatalError, ScenarioFinished

from raft_exporter.checkup import Checkup
from raft_exporter.config import Config, NodeConfig, ObserverConfig, PeerConfig, ProbeConfig, WebConfig
from raft_exporter.demo.cluster import until
from raft_exporter.sidecar import Sidecar
from raft_exporter.web.app import make_app
from raft_exporter.web.openapi import document
from tests.test_web_api import Desk, no_view

MEMBERS: Final = ("n1", "n2", "a/b")
EXAMPLES: Final = 15
SEED: Final = 1
NO_FAULT: Final = ("2xx", "4xx", "503")
EVENTS_OF_A_STREAM: Final = 3
"""A stream never ends: what comes at once is read."""

OURS: Final = ("/api", "/sd", "/-/", "/metrics")
METHODS: Final = {"get", "put", "post", "delete"}
OVERRIDE: Final = "/api/v1/overrides/{peer}"


class Served:
    """A sidecar that asks nobody, in a thread. As a context it serves, and is ready."""

    def __init__(self, kind: type[Sidecar] = Sidecar) -> None:
        self._kind = kind
        self._stop = asyncio.Event()
        self._url: Future[str] = Future()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()))

    def __enter__(self) -> str:
        self._thread.start()
        url = self._url.result(10)
        until("a ready sidecar", lambda: requests.get(f"{url}/-/ready", timeout=5).ok)
        return url

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        config = Config(
            node=NodeConfig(id="n1", heartbeat_timeout=0.1),
            peers=tuple(PeerConfig(peer, f"127.0.0.1:{port}") for port, peer in enumerate(MEMBERS, 1)),
            observer=ObserverConfig(listen=()),
            probe=ProbeConfig(enabled=False),
            web=WebConfig(listen=("127.0.0.1:0",)),
        )
        sidecar = self._kind(config, random.Random(SEED))
        try:
            (url,) = await sidecar.start()
        except Exception as error:
            self._url.set_exception(error)
        else:
            self._url.set_result(url)
            await sidecar.judge_until(self._stop)
        finally:
            await sidecar.stop()


class Run:
    """What schemathesis finds at ``url`` that is not as ``told``, and what it was answered."""

    def __init__(self, url: str, told: dict[str, Any]) -> None:
        project = ProjectConfig(
            base_url=url,
            workers=1,
            request_timeout=5.0,
            max_stream_events=EVENTS_OF_A_STREAM,
            phases=PhasesConfig(stateful=StatefulPhaseConfig(enabled=False)),
            generation=GenerationConfig(max_examples=EXAMPLES, deterministic=True, database="none"),
            checks=ChecksConfig(not_a_server_error=NotAServerErrorConfig(expected_statuses=NO_FAULT)),
        )
        config = schemathesis.Config(seed=SEED, projects=ProjectsConfig(default=project))
        self.faults: list[str] = []
        self.statuses: dict[str, set[int]] = {}
        for event in from_schema(schemathesis.openapi.from_dict(told, config=config)).execute():
            if isinstance(event, NonFatalError):
                self.faults.append(f"{event.label}: {event.info.format()}")
            elif isinstance(event, ScenarioFinished):
                self._take(event)

    def _take(self, scenario: ScenarioFinished) -> None:
        for case, checks in scenario.recorder.checks.items():
            asked = scenario.recorder.interactions[case]
            if asked.response is not None:
                self.statuses.setdefault(scenario.recorder.label, set()).add(asked.response.status_code)
            self.faults += [
                f"{scenario.recorder.label}: {info.failure.title}: {info.failure.message} "
                f"({asked.request.method} {asked.request.uri})"
                for info in (check.failure_info for check in checks)
                if info is not None
            ]


@pytest.fixture(scope="module")
def ready_url() -> Iterator[str]:
    """The URL of a sidecar."""
    with Served() as url:
        yield url


def told_at(url: str) -> dict[str, Any]:
    """The document as it is served, with the members as the peers that are asked for most."""
    answer = requests.get(f"{url}/api/openapi.json", timeout=5)
    told: dict[str, Any] = answer.json()
    assert (told["openapi"], told["paths"]) == ("3.1.0", document()["paths"])
    (peer,) = told["paths"][OVERRIDE]["parameters"]
    peer["schema"] = {"anyOf": [{"enum": list(MEMBERS)}, peer["schema"]]}
    return told


def refs(part: object) -> set[str]:
    """Every reference in a document, or in a part of it."""
    if isinstance(part, dict):
        own = {part["$ref"]} if "$ref" in part else set()
        return own.union(*map(refs, part.values()))
    return set().union(*map(refs, part)) if isinstance(part, list) else set()


def test_the_document_and_the_router_name_the_same_routes_and_methods() -> None:
    app = make_app(CollectorRegistry(), no_view, lambda: True, Desk())
    served = {
        (route.method.lower(), route.resource.canonical)
        for route in app.router.routes()
        if route.resource is not None and route.resource.canonical.startswith(OURS)
    }
    heads = {path for method, path in served if method == "head"}
    assert heads == {path for method, path in served if method == "get"}
    assert served - {("head", path) for path in heads} == {
        (method, path) for path, item in document()["paths"].items() for method in item.keys() & METHODS
    }


def test_every_reference_leads_somewhere_and_every_component_is_used() -> None:
    whole = document()
    components = whole["components"]
    there = {f"#/components/{kind}/{name}" for kind in ("schemas", "responses") for name in components[kind]}
    assert refs(whole) == there
    schemes = {name for item in whole["paths"].values() for name in security(item)}
    assert schemes == components["securitySchemes"].keys()


def security(item: dict[str, Any]) -> set[str]:
    """The schemes that the operations of a path name."""
    return {name for method in item.keys() & METHODS for each in item[method]["security"] for name in each}


def test_every_parameter_and_the_body_have_their_bounds() -> None:
    paths = document()["paths"]
    bounds = {each["name"]: each["schema"] for each in paths["/api/v1/events"]["get"]["parameters"]}
    assert bounds["limit"] == {"type": "integer", "minimum": 1, "maximum": 1000, "default": 100}
    assert bounds["after"] == {"type": "integer", "minimum": 0, "maximum": 2**63 - 1, "default": 0}
    wanted = document()["components"]["schemas"]["WantedOverride"]
    assert wanted["required"] == ["state", "reason", "author"]
    assert wanted["additionalProperties"] is False
    assert wanted["properties"]["for_seconds"] == {
        "type": "number",
        "exclusiveMinimum": 0,
        "maximum": 2592000,
        "default": 3600,
    }
    assert wanted["properties"]["reason"]["maxLength"] == 500


def test_nothing_that_is_served_breaks_the_document(ready_url: str) -> None:
    run = Run(ready_url, told_at(ready_url))
    assert run.faults == []
    well = {
        f"{method.upper()} {path}"
        for path, item in document()["paths"].items()
        for method in item.keys() & METHODS
    }
    assert {asked for asked, statuses in run.statuses.items() if 200 in statuses} == well
    assert run.statuses[f"PUT {OVERRIDE}"] >= {200, 400, 404, 415}
    assert run.statuses[f"DELETE {OVERRIDE}"] >= {200, 400, 404}


class Broken(Sidecar):
    """A sidecar with a fault of ours."""

    def checkup(self) -> Checkup:
        raise RuntimeError("a fault")


def only(path: str, told: dict[str, Any]) -> dict[str, Any]:
    return told | {"paths": {path: told["paths"][path]}}


def test_a_fault_of_ours_is_found() -> None:
    with Served(Broken) as url:
        run = Run(url, only("/api/v1/checkup", told_at(url)))
    assert any("Server error" in fault for fault in run.faults)


def another_type(told: dict[str, Any]) -> None:
    told["components"]["schemas"]["ClusterView"]["properties"]["version"] = {"type": "integer"}


def one_more_field(told: dict[str, Any]) -> None:
    told["components"]["schemas"]["QuorumView"]["required"].append("observers")


def other_words(told: dict[str, Any]) -> None:
    told["components"]["schemas"]["State"]["enum"].remove("unknown")


def another_content_type(told: dict[str, Any]) -> None:
    answer = told["paths"]["/api/v1/cluster"]["get"]["responses"]["200"]
    answer["content"] = {"application/xml": answer["content"]["application/json"]}


def another_status(told: dict[str, Any]) -> None:
    answers = told["paths"]["/api/v1/cluster"]["get"]["responses"]
    answers["201"] = answers.pop("200")


def wider_bounds(told: dict[str, Any]) -> None:
    told["paths"]["/api/v1/events"]["get"]["parameters"][1]["schema"]["maximum"] = 2000


def narrower_bounds(told: dict[str, Any]) -> None:
    told["paths"]["/api/v1/events"]["get"]["parameters"][1]["schema"]["maximum"] = 500


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (another_type, "Response violates schema"),
        (one_more_field, "Response violates schema"),
        (other_words, "Response violates schema"),
        (another_content_type, "Undocumented Content-Type"),
        (another_status, "Undocumented status code"),
        (wider_bounds, "Schema-valid request rejected"),
        (narrower_bounds, "Schema-violating request accepted"),
    ],
)
def test_a_document_that_says_something_else_is_found(
    change: Callable[[dict[str, Any]], None], fault: str, ready_url: str
) -> None:
    told = told_at(ready_url)
    change(told)
    path = "/api/v1/events" if "bounds" in change.__name__ else "/api/v1/cluster"
    found = Run(ready_url, only(path, told)).faults
    assert found
    assert all(fault in each for each in found)
