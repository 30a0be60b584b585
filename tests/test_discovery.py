"""Where Prometheus finds the sidecars of all members."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import pytest
import yaml
from aiohttp import ClientSession
from aiohttp.test_utils import TestServer
from prometheus_client import CollectorRegistry

from raft_exporter.discovery import TargetGroup, target_groups
from raft_exporter.model.evidence import Configuration, NodeIdentity, Server, Suffrage
from raft_exporter.model.policy import Policy
from raft_exporter.model.table import Table
from raft_exporter.web.app import make_app
from tests.conftest import Need
from tests.test_web_api import Desk, no_view

ROOT: Final = Path(__file__).parents[1]
URLS = {"n1": "http://10.0.0.1:9641", "n2": "https://n2.example", "n3": "http://[fd00::3]:9641"}
ASKED_AT = "http://prometheus.example:9641"
LATER = 60.0
SERVERS = (
    Server("n3", "[fd00::3]:7000", Suffrage.NONVOTER),
    Server("n1", "10.0.0.1:7000"),
    Server("n2", "10.0.0.2:7000"),
)


def table(
    servers: Sequence[Server] = SERVERS, own: str | None = "n1", static: Sequence[Server] = ()
) -> Table:
    made = Table(Policy.of(1.0), static, 0.0)
    if own is not None:
        made.take(NodeIdentity(own, "10.0.0.1:7000"), 0.0)
    made.take(Configuration(tuple(servers), 7), 0.0)
    return made


def targets(
    known: Table, urls: dict[str, str], now: float = LATER, asked_at: str = ASKED_AT
) -> list[str] | None:
    groups = target_groups(known, urls, asked_at, now)
    return None if groups is None else [target for group in groups for target in group.targets]


def test_there_is_a_group_for_each_member_with_labels_that_relabelling_alone_sees() -> None:
    assert target_groups(table(), URLS, ASKED_AT, LATER) == (
        TargetGroup(
            ("10.0.0.1:9641",),
            {
                "__scheme__": "http",
                "__meta_raft_peer": "n1",
                "__meta_raft_address": "10.0.0.1:7000",
                "__meta_raft_suffrage": "voter",
            },
        ),
        TargetGroup(
            ("n2.example:443",),
            {
                "__scheme__": "https",
                "__meta_raft_peer": "n2",
                "__meta_raft_address": "10.0.0.2:7000",
                "__meta_raft_suffrage": "voter",
            },
        ),
        TargetGroup(
            ("[fd00::3]:9641",),
            {
                "__scheme__": "http",
                "__meta_raft_peer": "n3",
                "__meta_raft_address": "[fd00::3]:7000",
                "__meta_raft_suffrage": "nonvoter",
            },
        ),
    )


@pytest.mark.parametrize(
    ("url", "target"),
    [
        ("http://10.0.0.1", "10.0.0.1:80"),
        ("https://10.0.0.1", "10.0.0.1:443"),
        ("https://10.0.0.1:80", "10.0.0.1:80"),
        ("http://[::1]", "[::1]:80"),
        ("https://[::1]:9641", "[::1]:9641"),
        ("http://n1:1", "n1:1"),
    ],
)
def test_a_target_has_its_port_always_and_brackets_for_ipv6(url: str, target: str) -> None:
    assert targets(table(SERVERS[1:2]), {"n1": url}) == [target]


@pytest.mark.parametrize(
    ("urls", "asked_at", "found"),
    [
        ({}, ASKED_AT, ["prometheus.example:9641"]),
        ({}, "http://", None),
        ({}, "http://10.0.0.1:9641/path", None),
        ({"n1": URLS["n1"]}, ASKED_AT, ["10.0.0.1:9641"]),
        ({"n2": URLS["n2"]}, ASKED_AT, ["prometheus.example:9641", "n2.example:443"]),
        ({"n2": URLS["n2"]}, "http://user@host", ["n2.example:443"]),
        ({"stranger": URLS["n2"]}, "http://a b", None),
    ],
)
def test_who_is_not_known_is_left_out_and_the_own_one_is_where_it_was_asked(
    urls: dict[str, str], asked_at: str, found: list[str] | None
) -> None:
    assert targets(table(), urls, asked_at=asked_at) == found


def test_who_left_is_not_among_them_the_own_node_included() -> None:
    known = table()
    known.take(Configuration(SERVERS[2:], 8), LATER)
    assert targets(known, URLS) == ["n2.example:443"]


@pytest.mark.parametrize(
    ("known", "found"),
    [
        (Table(Policy.of(1.0), (), 0.0), None),
        (table((), own=None, static=SERVERS[2:]), None),
        (table((), own="n1"), None),
        (table((), own="n1", static=SERVERS[2:]), ["10.0.0.1:9641", "n2.example:443"]),
        (table(SERVERS[1:2], own="n1"), ["10.0.0.1:9641"]),
    ],
    ids=["nothing", "no name", "no configuration", "named by the operator", "alone"],
)
def test_ignorance_of_the_members_is_no_answer(known: Table, found: list[str] | None) -> None:
    assert targets(known, URLS) == found


def test_a_young_sidecar_answers_when_it_knows_where_all_are_and_an_older_one_anyway() -> None:
    part = {peer: URLS[peer] for peer in ("n1", "n2")}
    soon = table().policy.suspect_after
    assert targets(table(), part, soon - 0.1) is None
    assert targets(table(), URLS, soon - 0.1) == ["10.0.0.1:9641", "n2.example:443", "[fd00::3]:9641"]
    assert targets(table(), part, soon) == ["10.0.0.1:9641", "n2.example:443"]


class Found(Desk):
    """A desk that knows where the sidecars are."""

    known: Table = table()

    def targets(self, asked_at: str) -> Sequence[TargetGroup] | None:
        return target_groups(self.known, {}, asked_at, LATER)


async def test_prometheus_is_answered_in_its_own_form_or_with_an_error_and_never_with_an_empty_list() -> None:
    desk = Found()
    app = make_app(CollectorRegistry(), no_view, lambda: True, desk)
    async with TestServer(app) as server, ClientSession() as session:
        url, place = server.make_url("/sd"), f"{server.host}:{server.port}"
        async with session.get(url) as response:
            assert (response.status, response.headers["Content-Type"]) == (200, "application/json")
            assert [group["targets"] for group in await response.json()] == [[place]]
        desk.known = table((), own=None)
        async with session.get(url) as response:
            assert response.status == 503
            assert (await response.json())["error"].startswith("it is not known yet who the members are")


@pytest.mark.parametrize(
    "name", ["docs/api.md", "deploy/examples/prometheus.yml"], ids=["with TLS and a password", "without"]
)
def test_prometheus_takes_the_job_that_is_shown(name: str, need: Need, tmp_path: Path) -> None:
    promtool = need("promtool", lambda: shutil.which("promtool"))
    text = (ROOT / name).read_text()
    shown = re.findall(r"^```yaml\n(scrape_configs:.*?)^```", text, re.DOTALL | re.MULTILINE) or [text]
    for config in shown:
        (job,) = yaml.safe_load(config)["scrape_configs"]
        assert all(each["url"].endswith("/sd") for each in job["http_sd_configs"])
        file = tmp_path / "prometheus.yml"
        file.write_text(config)
        # The files that it names are nowhere here.
        command = [promtool, "check", "config", "--syntax-only", str(file)]
        result = subprocess.run(command, capture_output=True, text=True, check=False)
        assert result.returncode == 0, result.stderr
