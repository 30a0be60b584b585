from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from unittest import mock

import msgspec
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from raft_exporter import config, notation, strict_yaml
from raft_exporter.config import (
    Config,
    LogConfig,
    NodeConfig,
    ObserverConfig,
    PeerConfig,
    ProbeConfig,
    ReportsConfig,
    SidecarConfig,
    StoreConfig,
    WebConfig,
)
from raft_exporter.errors import ConfigError
from raft_exporter.model.policy import Multiples

WHOLE = """
node: {id: n1, raft: "10.0.0.1:7000", heartbeat_timeout: 500ms}
web:
  listen: [":9641", "[::1]:0"]
  token_file: /etc/raft-exporter/token
observer:
  listen: ["unix:/tmp/o.sock", "tcp:localhost:9642", "tcp:[::1]:9642"]
probe: {enabled: false, interval: 250ms, timeout: 1s}
peers:
  - {id: n2, address: "10.0.0.2:7000"}
  - {id: no, address: "[fd00::3]:7000", suffrage: nonvoter}
reports:
  {enabled: false, url: "https://{host}:9641/", advertise: "http://10.0.0.1:9641", interval: 1s, timeout: 2s,
   sidecars: [{id: n2, url: "http://10.0.0.9:9641/"}]}
policy: {suspect_after: 3, rise: 5, penalty_half_life: 1e3}
store: {path: /var/lib/raft.db, journal_rows: 500, journal_age: 7d, evidence_rows: 600, evidence_age: 1h}
log: {level: debug, format: json}
"""


def faults(text: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        config.parse(text, "f.yaml")
    assert all(fault.startswith("f.yaml: ") and fault.isprintable() for fault in caught.value.faults)
    return [fault.removeprefix("f.yaml: ") for fault in caught.value.faults]


@pytest.fixture(params=["libyaml", "python"])
def any_loader(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "python":
        monkeypatch.setattr(strict_yaml, "LOADER", yaml.SafeLoader)
    return str(request.param)


@pytest.mark.parametrize(
    "text", ["", "\n", "# nothing\n", "---\n", "{}", "node:\npeers:\nweb: {listen: }\n", "~"]
)
def test_an_empty_file_is_the_defaults(text: str) -> None:
    assert config.parse(text, "f.yaml") == Config(
        node=NodeConfig(id=None, raft=None, heartbeat_timeout=1.0),
        web=WebConfig(listen=("0.0.0.0:9641",)),
        observer=ObserverConfig(listen=None),
        probe=ProbeConfig(enabled=None, interval=None, timeout=None),
        peers=(),
        reports=ReportsConfig(enabled=True, url=None, advertise=None, interval=None, timeout=None),
        policy=Multiples(),
        store=StoreConfig(path=None),
        log=LogConfig(level="info", format="logfmt"),
    )


def test_every_key_is_read(any_loader: str) -> None:
    assert config.parse(WHOLE, "f.yaml") == Config(
        node=NodeConfig(id="n1", raft="10.0.0.1:7000", heartbeat_timeout=0.5),
        web=WebConfig(listen=(":9641", "[::1]:0"), token_file="/etc/raft-exporter/token"),
        observer=ObserverConfig(listen=("unix:/tmp/o.sock", "tcp:localhost:9642", "tcp:[::1]:9642")),
        probe=ProbeConfig(enabled=False, interval=0.25, timeout=1.0),
        peers=(
            PeerConfig("n2", "10.0.0.2:7000"),
            PeerConfig("no", "[fd00::3]:7000", suffrage="nonvoter"),
        ),
        reports=ReportsConfig(
            enabled=False,
            url="https://{host}:9641",
            advertise="http://10.0.0.1:9641",
            interval=1,
            timeout=2,
            sidecars=(SidecarConfig("n2", "http://10.0.0.9:9641"),),
        ),
        policy=Multiples(suspect_after=3.0, rise=5, penalty_half_life=1000.0),
        store=StoreConfig(
            path="/var/lib/raft.db",
            journal_rows=500,
            journal_age=7 * 86400.0,
            evidence_rows=600,
            evidence_age=3600.0,
        ),
        log=LogConfig(level="debug", format="json"),
    )


def test_an_empty_observer_list_is_not_the_default() -> None:
    assert config.parse("observer: {listen: []}", "f.yaml").observer.listen == ()


DURATION = "a duration such as '500ms', '1s' or '1m30s'"
ADDRESS = "an address 'host:port', with IPv6 in brackets as in '[::1]:7000'"
LISTEN = "an address to listen on: 'host:port', '[v6]:port', or ':port' for all addresses"
OBSERVER = "'unix:/path/of/socket' or 'tcp:host:port' on a loopback host"
URL = "a sidecar's base URL such as 'http://10.0.0.2:9641', with nothing behind the port"
TEMPLATE = "a sidecar's base URL with {host} for the member's host, such as 'http://{host}:9641'"
SERVER_ID = "a server id of 1 to 256 characters, none of them a control character"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[]", "expected a mapping of keys, got a list"),
        ("hello", "expected a mapping of keys, got a text of 5 characters"),
        ("node: 1", "node: expected a mapping of keys, got 1"),
        ("prob: {}", "prob: expected a known key, got 'prob' (did you mean 'probe'?)"),
        (
            "telemetry: {listen: ['udp::8125'], prometheus: {url: 'http://a/metrics'}}",
            "telemetry.prometheus.url: expected this or telemetry.listen: they tell the same",
        ),
        (
            "telemetry: {listen: ['tcp::8125']}",
            "telemetry.listen[0]: expected 'udp:host:port' or 'unixgram:/path/of/socket', got 'tcp::8125'",
        ),
        (
            "node: {api: {url: 'http://user@a:1'}}",
            "node.api.url: expected an http or https URL such as 'http://127.0.0.1:8500', without a user, "
            "got 'http:***@a:1'",
        ),
        (
            "probe: {tls: {server_name: 'a b'}}",
            "probe.tls.server_name: expected the name of a host, got 'a b'",
        ),
        (
            "node: {api: {fields: {term: 'raft..term'}}}",
            "node.api.fields.term: expected keys and positions with dots between them, such as "
            "'raft.peers.0', got 'raft..term'",
        ),
        (
            "zz: {}",
            "zz: expected a known key, got 'zz' (known here: node, web, observer, telemetry, probe, peers, "
            "reports, policy, store, log)",
        ),
        (
            "node: {heartbeat-timeout: 1s}",
            "node.heartbeat-timeout: expected a known key, got 'heartbeat-timeout' "
            "(did you mean 'heartbeat_timeout'?)",
        ),
        ("'log ': {}", "'log ': expected a known key, got 'log ' (did you mean 'log'?)"),
        ("node: {heartbeat_timeout: 1}", f"node.heartbeat_timeout: expected {DURATION}, got 1"),
        ("node: {heartbeat_timeout: .nan}", f"node.heartbeat_timeout: expected {DURATION}, got nan"),
        ("node: {heartbeat_timeout: -.inf}", f"node.heartbeat_timeout: expected {DURATION}, got -inf"),
        ("node: {heartbeat_timeout: 1e3}", f"node.heartbeat_timeout: expected {DURATION}, got 1000.0"),
        ("node: {heartbeat_timeout: -1s}", f"node.heartbeat_timeout: expected {DURATION}, got '-1s'"),
        ("node: {heartbeat_timeout: 1 s}", f"node.heartbeat_timeout: expected {DURATION}, got '1 s'"),
        (
            "node: {heartbeat_timeout: 9ms}",
            "node.heartbeat_timeout: expected a duration from 10ms to 10m, got 9ms",
        ),
        ("probe: {interval: 0s}", "probe.interval: expected a duration from 10ms to 10m, got 0s"),
        ("probe: {timeout: 1h}", "probe.timeout: expected a duration from 10ms to 10m, got 1h"),
        ("probe: {enabled: yes}", "probe.enabled: expected true or false, got 'yes'"),
        ("probe: {enabled: 1}", "probe.enabled: expected true or false, got 1"),
        ("node: {id: 7}", f"node.id: expected {SERVER_ID}, got 7 (put it in quotes)"),
        ("node: {id: true}", f"node.id: expected {SERVER_ID}, got true (put it in quotes)"),
        ("node: {id: [a]}", f"node.id: expected {SERVER_ID}, got a list"),
        ("node: {id: ''}", f"node.id: expected {SERVER_ID}, got ''"),
        (r'node: {id: "a\nb"}', rf"node.id: expected {SERVER_ID}, got 'a\nb'"),
        (
            f"node: {{id: {'x' * 257}}}",
            f"node.id: expected {SERVER_ID}, got '{'x' * 60}'... (257 characters)",
        ),
        ("node: {raft: 'h'}", f"node.raft: expected {ADDRESS}, got 'h'"),
        ("node: {raft: ':7000'}", f"node.raft: expected {ADDRESS}, got ':7000'"),
        ("web: {listen: ':1'}", "web.listen: expected a list, got ':1'"),
        ("web: {listen: []}", "web.listen: expected at least 1 in the list, got 0"),
        ("web: {listen: [null]}", f"web.listen[0]: expected {LISTEN}, got nothing"),
        ("web: {listen: [':1', ':1']}", "web.listen[1]: expected each address once, got ':1' again"),
        ("web: {listen: [':65536']}", f"web.listen[0]: expected {LISTEN}, got ':65536'"),
        (
            "observer: {listen: ['tcp:10.0.0.1:1']}",
            f"observer.listen[0]: expected {OBSERVER}, got 'tcp:10.0.0.1:1'",
        ),
        ("reports: {url: 'http://n1:9641'}", f"reports.url: expected {TEMPLATE}, got 'http://n1:9641'"),
        (
            "reports: {sidecars: [{id: a, url: 'http://a:1'}, {id: a, url: 'http://b:1'}]}",
            "reports.sidecars[1].id: expected another id than reports.sidecars[0].id, got 'a' again",
        ),
        ("reports: {advertise: 'n1:9641'}", f"reports.advertise: expected {URL}, got 'n1:9641'"),
        (
            "reports: {sidecars: [{id: a, url: 'http://u@a:1'}]}",
            f"reports.sidecars[0].url: expected {URL}, got 'http:***@a:1'",
        ),
        ("policy: {rise: 1.5}", "policy.rise: expected a whole number, got 1.5"),
        ("policy: {rise: true}", "policy.rise: expected a whole number, got true"),
        ("policy: {rise: 0}", "policy.rise: expected a number from 1 to 100, got 0"),
        ("policy: {dwell: .nan}", "policy.dwell: expected a number from 0 to 1000, got nan"),
        ("policy: {dwell: '1'}", "policy.dwell: expected a number, got '1'"),
        (
            "policy: {penalty_half_life: 0}",
            "policy.penalty_half_life: expected a number above 0, up to 1000000, got 0",
        ),
        ("policy: {gone_after: 2}", "policy.gone_after: expected more than suspect_after (2), got 2"),
        ("policy: {alone_after: 5}", "policy.alone_after: expected at least gone_after (5.5), got 5"),
        ("policy: {rise_span_max: 1}", "policy.rise_span_max: expected at least rise_span (3), got 1"),
        (
            "policy: {flapping_above: 1}",
            "policy.flapping_above: expected more than flapping_below (1), got 1",
        ),
        ("store: {path: ''}", "store.path: expected the path of a file, got a text of 0 characters"),
        ("store: {journal_rows: 9}", "store.journal_rows: expected a number from 100 to 100000000, got 9"),
        ("store: {journal_age: 1s}", "store.journal_age: expected a duration from 1m to 366d, got 1s"),
        ("log: {level: loud}", "log.level: expected one of debug, info, warning, error, got 'loud'"),
        ("log: {format: 3}", "log.format: expected one of logfmt, json, got 3"),
        ("peers: {}", "peers: expected a list, got a mapping"),
        ("peers: [7]", "peers[0]: expected a mapping of keys, got 7"),
        ("peers: [{id: a}]", f"peers[0].address: expected {ADDRESS}, got nothing"),
        ("peers: [{address: 'a:1'}]", f"peers[0].id: expected {SERVER_ID}, got nothing"),
        (
            "peers: [{id: a, address: 'a:1'}, {id: b, address: 'b:1'}, {id: a, address: 'c:1'}]",
            "peers[2].id: expected another id than peers[0].id, got 'a' again",
        ),
        (
            "peers: [{id: a, address: '[0:0::1]:1'}, {id: b, address: '[::1]:1'}]",
            "peers[1].address: expected another address than peers[0].address, got '[::1]:1' again",
        ),
        (
            "node: {id: a}\npeers: [{id: a, address: 'a:1'}]",
            "peers[0].id: expected another id than node.id, got 'a' again",
        ),
        (
            "node: {raft: 'a:1'}\npeers: [{id: a, address: 'A:1'}]",
            "peers[0].address: expected another address than node.raft, got 'A:1' again",
        ),
        ("node: {id: a}\nnode: {id: b}", "node: expected each key once, got it again in line 2"),
        ("node:\n  id: a\n  id: b", "node.id: expected each key once, got it again in line 3"),
        ("node: &a {}", "node: expected the value itself, got an anchor 'a'"),
        ("node: !x {}", "node: expected a value without a tag, got the tag '!x'"),
        ("? [a]\n: 1", "expected a text as key, got a list"),
        ("--- {}\n--- {}", "expected one YAML document, got 2"),
    ],
)
def test_one_fault_is_one_line(text: str, expected: str, any_loader: str) -> None:
    assert faults(text) == [expected]


def test_all_faults_come_at_once() -> None:
    text = """
node: {id: n1, heartbeat_timeout: soon}
nod: {}
peers:
  - {id: n1, address: "a:1"}
  - {id: n2, address: "a:1", sufrage: voter}
  - {id: 3}
log: {level: loud}
log: {}
"""
    assert [fault.split(": ")[0] for fault in faults(text)] == [
        "log",
        "nod",
        "node.heartbeat_timeout",
        "peers[1].sufrage",
        "peers[2].id",
        "peers[2].address",
        "log.level",
        "peers[0].id",
        "peers[1].address",
    ]


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("a: b: c", "line 1, column 5: "),
        ("node:\n  id: 'x", "line 2, column "),
        ("node: {id: a", "line "),
        ("\t- a", "line 1, column 1: "),
        ("a: [*]", "line 1, column "),
        ("a: \x01", ""),
        ('"\\U00110000"', ""),
        ("%YAML 1." + "9" * 5000 + "\n--- a", ""),
    ],
)
def test_a_syntax_error_says_where(text: str, where: str, any_loader: str) -> None:
    (fault,) = faults(text)
    assert fault.startswith(where)
    assert "expected well-formed YAML, got an error: " in fault
    assert len(fault) < 300


def test_an_alias_bomb_is_refused_at_once() -> None:
    bomb = "a0: &a0 [x, x]\n" + "".join(f"a{i}: &a{i} [*a{i - 1}, *a{i - 1}]\n" for i in range(1, 60))
    found = faults(bomb)
    assert "a0: expected the value itself, got an anchor 'a0'" in found
    assert "a1[0]: expected the value itself, got an alias 'a0'" in found


@pytest.mark.parametrize("opener", ["[", "{", "- ", "? ", "{a: "])
def test_deep_nesting_is_refused_at_once(opener: str, any_loader: str) -> None:
    assert faults(opener * 100_000)[-1] == "expected at most 16 levels of nesting, got more"


def test_faults_past_a_hundred_are_counted() -> None:
    found = faults("".join(f"key{index}: 1\n" for index in range(130)))
    assert len(found) == 101
    assert found[-1] == "30 more faults, not listed"


def test_a_text_over_one_mebibyte_is_refused() -> None:
    assert faults("#" * (1024 * 1024 + 1)) == ["expected at most 1 MiB of YAML, got more"]
    assert faults("#" + "\u00e4" * 600_000) == ["expected at most 1 MiB of YAML, got more"]
    assert config.parse("#" * 1024 * 1024, "f.yaml") == Config()


def test_load_reads_a_file(tmp_path: Path) -> None:
    path = tmp_path / "f.yaml"
    path.write_bytes(b"\xef\xbb\xbf" + WHOLE.encode())
    assert config.load(path) == config.parse(WHOLE, "f.yaml")


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"node: \xff", "expected UTF-8, got byte 0xff at offset 6"),
        (b"#" * (2 * 1024 * 1024), "expected at most 1 MiB of YAML, got more"),
        (b"#" * (1024 * 1024) + "\u00e4".encode(), "expected at most 1 MiB of YAML, got more"),
        (b"nod: 1", "nod: expected a known key, got 'nod' (did you mean 'node'?)"),
    ],
)
def test_load_names_the_file(tmp_path: Path, content: bytes, expected: str) -> None:
    path = tmp_path / "f.yaml"
    path.write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        config.load(path)
    assert caught.value.faults == (f"{path}: {expected}",)


def test_load_of_no_file_or_a_directory(tmp_path: Path) -> None:
    for path, expected in [
        (tmp_path, "expected a file, got a directory"),
        (tmp_path / "none\n.yaml", "expected a readable file, got an error: No such file or directory"),
        (Path("a\0b"), "expected a readable file, got an error: embedded null byte"),
    ]:
        with pytest.raises(ConfigError) as caught:
            config.load(path)
        assert caught.value.faults == (f"{notation.one_line(os.fspath(path))}: {expected}",)


def test_check_takes_what_flags_made() -> None:
    config.check(Config(), "flags")
    flags = Config(
        node=NodeConfig(id="n1", heartbeat_timeout=float("nan")),
        web=WebConfig(listen=(":0", ":0")),
        peers=(PeerConfig("n1", "a:1"),),
    )
    with pytest.raises(ConfigError) as caught:
        config.check(flags, "flags")
    assert caught.value.faults == (
        "flags: node.heartbeat_timeout: expected a duration from 10ms to 10m, got nans",
        "flags: peers[0].id: expected another id than node.id, got 'n1' again",
    )


@pytest.mark.parametrize(
    ("text", "peer"),
    [
        ("n2=10.0.0.2:7000", PeerConfig("n2", "10.0.0.2:7000", "voter")),
        ("n2=10.0.0.2:7000,voter", PeerConfig("n2", "10.0.0.2:7000", "voter")),
        ("n2=[::1]:7000,nonvoter", PeerConfig("n2", "[::1]:7000", "nonvoter")),
        ("a=b=h:1", PeerConfig("a=b", "h:1", "voter")),
    ],
)
def test_parse_peer(text: str, peer: PeerConfig) -> None:
    assert config.parse_peer(text) == peer


@pytest.mark.parametrize(
    "text", ["", "n2", "n2=", "=h:1", "n2=h", "n2=h:0", "n2=h:1,", "n2=h:1,learner", "n\t=h:1"]
)
def test_parse_peer_refuses(text: str) -> None:
    with pytest.raises(ConfigError, match="expected ") as caught:
        config.parse_peer(text)
    assert len(caught.value.faults) == 1


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1s", 1.0),
        ("500ms", 0.5),
        ("1m30s", 90.0),
        ("2h", 7200.0),
        ("30d", 2_592_000.0),
        ("1.5s", 1.5),
        ("0s", 0.0),
    ],
)
def test_parse_duration(text: str, seconds: float) -> None:
    assert config.parse_duration(text) == seconds
    assert config.parse_duration(config.format_duration(seconds)) == seconds


@pytest.mark.parametrize(
    "text", ["", "1", "s", "-1s", "1s1m", "1s1s", "1 s", "1s\n", "inf", "1e3s", "9999999999s", "\u0661s"]
)
def test_parse_duration_refuses(text: str) -> None:
    with pytest.raises(ConfigError, match="expected a duration such as"):
        config.parse_duration(text)


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.0005, "0.0005s"), (1e12, "1e+12s"), (-1.0, "-1s"), (90.5, "1m30s500ms")]
)
def test_format_duration(seconds: float, text: str) -> None:
    assert config.format_duration(seconds) == text


@given(st.integers(min_value=0, max_value=10**12))
def test_durations_in_whole_milliseconds_survive(ms: int) -> None:
    seconds = ms / 1000
    if seconds < 1e9:
        assert config.parse_duration(config.format_duration(seconds)) == seconds


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("10.0.0.2:7000", ("10.0.0.2", 7000)),
        ("node-1.example_a.org.:1", ("node-1.example_a.org.", 1)),
        ("[::1]:65535", ("::1", 65535)),
        ("[fe80::1%eth0]:7000", ("fe80::1%eth0", 7000)),
    ],
)
def test_parse_address(text: str, address: tuple[str, int]) -> None:
    assert config.parse_address(text) == address
    assert config.parse_listen_address(text) == address


@pytest.mark.parametrize(
    "text",
    [
        "",
        "h",
        "h:",
        "h:a",
        "h:07",
        "h:65536",
        "h:-1",
        "::1:7000",
        "[::1]7000",
        "[]:1",
        "[h]:1",
        "[1.2.3.4]:1",
        "1.2.3:1",
        "1.2.3.256:1",
        "h h:1",
        "-h:1",
        "h:1\n",
        "http://h:1",
        "h:\u0661",
    ],
)
def test_parse_address_refuses(text: str) -> None:
    for read in (config.parse_address, config.parse_listen_address):
        with pytest.raises(ConfigError, match="expected an address"):
            read(text)


def test_listening_may_be_on_all_addresses_and_any_port() -> None:
    assert config.parse_listen_address(":0") == ("", 0)
    for text in (":7000", "h:0"):
        with pytest.raises(ConfigError):
            config.parse_address(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (config.DEFAULT_OBSERVER_SOCKET, Path("/run/raft-exporter/observer.sock")),
        ("tcp:127.0.0.1:9642", ("127.0.0.1", 9642)),
        ("tcp:127.9.9.9:0", ("127.9.9.9", 0)),
        ("tcp:[::1]:1", ("::1", 1)),
        ("tcp:LocalHost:1", ("LocalHost", 1)),
    ],
)
def test_parse_observer_listen(text: str, expected: Path | tuple[str, int]) -> None:
    assert config.parse_observer_listen(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "/run/o.sock",
        "unix:",
        "unix:o.sock",
        "unix:/a\nb",
        "unix:/" + "a" * 107,
        "tcp::1",
        "tcp:0.0.0.0:1",
        "tcp:[::]:1",
        "tcp:h:1",
        "udp:127.0.0.1:1",
    ],
)
def test_parse_observer_listen_refuses(text: str) -> None:
    with pytest.raises(ConfigError, match="expected 'unix:"):
        config.parse_observer_listen(text)


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("http://10.0.0.2:9641", "http://10.0.0.2:9641"),
        ("https://n2.example/", "https://n2.example"),
        ("http://[::1]:1", "http://[::1]:1"),
    ],
)
def test_parse_sidecar_url(text: str, url: str) -> None:
    assert notation.parse_sidecar_url(text) == url
    assert notation.host_of_url(url) in url


@pytest.mark.parametrize(
    "text",
    [
        "",
        "n2:9641",
        "ftp://n2",
        "http://",
        "http://:1",
        "http://n2:0",
        "http://n2:65536",
        "http://u:p@n2",
        "http://n2/x",
        "http://n2//",
        "http://n2?x",
        "http://n2#x",
        "http://n2 ",
        "http://n2\n",
        "http://::1:2",
        "http://[fe80::1%eth0]:1",
        "http://[n2]:1",
        "http://{host}:1",
        "http://" + "a" * 600,
    ],
)
def test_parse_sidecar_url_refuses(text: str) -> None:
    with pytest.raises(ConfigError, match="expected a sidecar's base URL such as"):
        notation.parse_sidecar_url(text)


@pytest.mark.parametrize("text", ["http://{host}:9641", "https://{host}"])
def test_parse_sidecar_template(text: str) -> None:
    assert notation.parse_sidecar_template(f"{text}/") == notation.parse_sidecar_template(text) == text


@pytest.mark.parametrize(
    "text", ["http://n2:1", "{host}", "http://a{host}:1", "http://{host}a:1", "http://{host}/{host}"]
)
def test_parse_sidecar_template_refuses(text: str) -> None:
    with pytest.raises(ConfigError, match="for the member's host"):
        notation.parse_sidecar_template(text)


@given(st.text(alphabet="htps:/[]{}.@1a?#%") | st.text())
def test_any_text_is_a_sidecar_url_or_one_fault(text: str) -> None:
    for read_text in (notation.parse_sidecar_url, notation.parse_sidecar_template):
        with suppress(ConfigError):
            read_text(f"http://{text}")


def test_every_field_is_described() -> None:
    todo: list[type[msgspec.Struct]] = [Config]
    while todo:
        for field in msgspec.structs.fields(todo.pop()):
            base, extras = strict_yaml.unwrap(field.type)
            assert any(isinstance(extra, msgspec.Meta) and extra.description for extra in extras), field.name
            if isinstance(base, type) and issubclass(base, msgspec.Struct):
                todo.append(base)
    assert strict_yaml.unwrap(int | str) == (int | str, [])


_SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
_KEYS = st.sampled_from(list(Config.__struct_fields__)) | st.sampled_from(
    ["id", "raft", "heartbeat_timeout", "listen", "enabled", "interval", "address", "suffrage", "level"]
)
_TREES = st.recursive(
    _SCALARS | st.sampled_from(["1s", "n1", "a:1", "unix:/a"]),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(_KEYS | st.text(max_size=8), inner, max_size=4)
    ),
    max_leaves=20,
)
_YAML = (
    st.text()
    | st.text(alphabet="abn:-[]{},&*!|>'\"%@#?\\ \n\t\u2028~01.")
    | _TREES.map(lambda tree: yaml.safe_dump(tree, allow_unicode=True))
    | _TREES.map(yaml.safe_dump)
)


def read(load: Callable[[], Config]) -> Sequence[str]:
    try:
        load()
    except ConfigError as error:
        return error.faults or ("a ConfigError without a fault",)
    return ()


@pytest.mark.parametrize("loader", [yaml.SafeLoader, strict_yaml.LOADER])
@given(text=_YAML)
def test_any_text_gives_a_config_or_faults_of_one_line(loader: object, text: str) -> None:
    with mock.patch.object(strict_yaml, "LOADER", loader):
        found = read(lambda: config.parse(text, "f.yaml"))
    for fault in found:
        assert fault.startswith("f.yaml: ")
        assert fault.isprintable()
        assert len(fault) < 1000


@given(content=st.binary(max_size=200))
def test_any_bytes_give_a_config_or_faults(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "any.yaml"
    path.write_bytes(content)
    assert all(fault.isprintable() for fault in read(lambda: config.load(path)))
