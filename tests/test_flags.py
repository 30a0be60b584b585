"""The flags of ``run``, laid over a configuration."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from raft_exporter.config import Config, ReportsConfig, SidecarConfig, StoreConfig
from raft_exporter.errors import ConfigError
from raft_exporter.flags import RunFlags, with_flags

CONFIG = replace(
    Config(),
    reports=ReportsConfig(
        url="http://{host}:1",
        sidecars=(SidecarConfig("n2", "http://b:1"),),
        advertise="http://a:1",
        interval=2.0,
    ),
    store=StoreConfig(path="/a.db", journal_rows=500),
)


def flags(
    *sidecars: str,
    advertise: str | None = None,
    store: str | None = None,
    timeout: str | None = None,
    node: str | None = None,
    telemetry: tuple[str, ...] = (),
) -> RunFlags:
    return {
        "id": None,
        "raft": None,
        "peer": (),
        "listen": (),
        "observer": (),
        "node": node,
        "node_token_file": None,
        "telemetry": telemetry,
        "heartbeat_timeout": timeout,
        "sidecars": sidecars,
        "web_config": None,
        "advertise": advertise,
        "store": store,
        "log_level": None,
        "log_format": None,
    }


def test_no_flag_changes_nothing() -> None:
    assert with_flags(CONFIG, flags()) == CONFIG


def test_flags_go_before_the_file() -> None:
    given = flags("n3=http://c:1", "https://{host}/", advertise="http://[::1]:9641", store="b.db")
    found = with_flags(CONFIG, given)
    assert found.reports == replace(
        CONFIG.reports,
        url="https://{host}",
        sidecars=(SidecarConfig("n3", "http://c:1"),),
        advertise="http://[::1]:9641",
    )
    assert found.store == replace(CONFIG.store, path="b.db")
    assert with_flags(CONFIG, flags(node="http://a:8500/")).node.api.url == "http://a:8500"
    assert with_flags(CONFIG, flags(telemetry=("udp::8125",))).telemetry.listen == ("udp::8125",)
    assert with_flags(CONFIG, flags(timeout="2s")).node.heartbeat_timeout == 2.0


def faults(given: RunFlags) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        with_flags(CONFIG, given)
    return list(caught.value.faults)


def test_every_faulty_flag_is_a_line() -> None:
    found = faults(flags("http://n1:1", "n2=n2:1", "=http://a:1", advertise="n1:1", store=""))
    assert [fault.split(": expected ")[0] for fault in found] == [
        *["--sidecars"] * 3,
        "--advertise",
        "--store",
    ]


def test_a_second_template_and_a_member_named_twice_are_faults() -> None:
    assert faults(flags("http://{host}:1", "http://{host}:2")) == [
        "--sidecars: expected one URL with {host}, got 2"
    ]
    assert faults(flags("n2=http://b:1", "n2=http://b:2")) == [
        "command line: reports.sidecars[1].id: expected another id than reports.sidecars[0].id, "
        "got 'n2' again"
    ]
