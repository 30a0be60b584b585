"""What a sidecar says that it can see, and what it lacks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from raft_exporter.checkup import Check, Surroundings, checkup
from raft_exporter.model.evidence import (
    Configuration,
    NodeIdentity,
    Outcome,
    ProbeKind,
    ProbeResult,
    Server,
)
from raft_exporter.model.policy import Policy
from raft_exporter.model.table import Table

NOW = 10.0


def around(**facts: Any) -> Surroundings:
    nothing: dict[str, Any] = {
        "kind": None,
        "hints": {},
        "sources": (),
        "probes": True,
        "sidecars": frozenset(),
        "clocks": {},
        "silent_sidecars": {},
        "store": None,
        "store_errors": 0,
        "lag": 0.0,
    }
    return Surroundings(**nothing | facts)


def table(*peers: str) -> Table:
    made = Table(Policy.of(1.0), (), 0.0)
    if peers:
        made.take(NodeIdentity("n1", "a:1"), 0.0)
        made.take(Configuration(tuple(Server(peer, f"{peer}:1") for peer in peers)), 0.0)
    return made


def checks(of: Table, **facts: Any) -> Mapping[str, Check]:
    return {check.name: check for check in checkup(of, around(**facts), NOW).checks}


def probed(of: Table, peer: str, outcome: Outcome, kind: ProbeKind = ProbeKind.RAFT) -> None:
    trip = 0.001 if outcome is Outcome.OK else None
    of.take(ProbeResult(peer, kind, outcome, round_trip=trip), NOW - 0.5)


def test_who_knows_nothing_is_told_what_to_give() -> None:
    found = checks(table())
    assert (found["node"].ok, found["node"].hint) == (False, "set node.id, or give a source that tells it")
    assert (found["members"].ok, found["members"].text) == (False, "none is known")
    assert {name: found[name].ok for name in ("observer", "API", "telemetry")} == dict.fromkeys(
        ("observer", "API", "telemetry")
    )
    assert all(found[name].hint for name in ("observer", "API", "telemetry"))


def test_one_source_that_speaks_is_enough() -> None:
    made = table("n1", "n2")
    made.intake.up["node"] = True
    found = checks(made, kind="vault", sources=("node",))
    assert (found["node"].ok, found["node"].text) == (True, "n1 at a:1, vault")
    assert (found["API"].ok, found["API"].text) == (True, "speaks")
    assert (found["observer"].ok, found["observer"].hint) == (None, "")


def test_a_source_that_was_asked_for_and_is_silent_fails_with_what_was_counted() -> None:
    made = table("n1")
    made.intake.up["node"] = False
    made.intake.rejected["node", "refused"] = 3
    made.intake.rejected["report", "status"] = 9
    found = checks(made, sources=("node",))
    assert (found["API"].ok, found["API"].hint) == (False, "counted so far: refused 3")


def test_what_an_endpoint_refuses_stands_with_its_hint() -> None:
    found = checks(table("n1"), hints={"/v1/agent/self": "needs agent:read"})
    assert found["/v1/agent/self"] == Check("/v1/agent/self", False, "not to be had", "needs agent:read")


@pytest.mark.parametrize(
    ("outcome", "ok", "text"),
    [
        (Outcome.OK, True, "answers, 0.50s ago"),
        (Outcome.REFUSED, False, "refused 1"),
        (Outcome.BAD_ANSWER, False, "something else answers there"),
    ],
)
@pytest.mark.parametrize("kind", [ProbeKind.RAFT, ProbeKind.TLS])
def test_a_raft_port_is_as_it_was_found(kind: ProbeKind, outcome: Outcome, ok: bool, text: str) -> None:
    made = table("n1", "n2")
    probed(made, "n2", outcome, kind)
    found = checks(made)
    assert (found["Raft port of n2"].ok, found["Raft port of n2"].text) == (ok, text)
    assert found["Raft port of n1"].text == "no answer yet"
    if outcome is Outcome.BAD_ANSWER:
        assert "prefix byte" in found["Raft port of n2"].hint
        assert "sealed" in checks(made, kind="vault")["Raft port of n2"].hint
    assert checks(made, probes=False)["Raft port of n2"].ok is None


def test_a_sidecar_reports_or_does_not_or_is_not_known() -> None:
    made = table("n1", "n2", "n3", "n4")
    probed(made, "n2", Outcome.OK, ProbeKind.SIDECAR)
    known, silent = frozenset({"n2", "n3"}), {"n3": "its proof is wrong"}
    assert "is it running" in checks(made, sidecars=known)["sidecar of n3"].hint
    found = checks(made, sidecars=known, silent_sidecars=silent)
    assert found["sidecar of n3"].hint == "its proof is wrong"
    assert [found[f"sidecar of {peer}"].ok for peer in ("n2", "n3", "n4")] == [True, False, None]
    assert "sidecar of n1" not in found


@pytest.mark.parametrize(("ahead", "text"), [(30.0, "30s ahead of ours"), (-90.0, "1m30s behind ours")])
def test_a_clock_that_is_off_is_told(ahead: float, text: str) -> None:
    found = checks(table("n1", "n2"), clocks={"n2": ahead})
    assert (found["clock of n2"].ok, found["clock of n2"].text) == (False, text)
    assert "clock of n2" not in checks(table("n1", "n2"), clocks={"n2": 1.0})


def test_the_store_and_the_event_loop() -> None:
    assert checks(table())["store"].ok is None
    assert checks(table(), store="/a.db")["store"] == Check("store", True, "/a.db")
    assert checks(table(), store="/a.db", store_errors=2)["store"].ok is False
    assert checks(table())["event loop"].ok is True
    assert checks(table(), lag=0.7)["event loop"].ok is False
