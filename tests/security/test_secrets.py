"""Secrets are planted in all places that take one, and looked for in everything that the program emits."""

from __future__ import annotations

import base64
import gzip
import re
import shlex
import signal
import socket
import traceback
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from itertools import product
from pathlib import Path
from typing import Final, TypeAlias
from urllib.parse import quote, unquote

import msgspec
import pytest
import yaml
from click.testing import CliRunner

from raft_exporter import config as configuration
from raft_exporter import web_config
from raft_exporter.cli import main
from raft_exporter.client import Credentials
from raft_exporter.demo.cluster import free_ports
from raft_exporter.secret import Secret
from raft_exporter.sources.report_trust import ReportTrust
from raft_exporter.strict_yaml import Faults, read_tree, to_struct
from tests.security.echo import echo, false_reports, told_back
from tests.security.planted import Planted
from tests.security.planted_sidecar import HOST, USER, Files, PlantedSidecar

Headers: TypeAlias = Mapping[str, str]

SHOWN: Final = "control"
"""An override's reason: it is there to be seen. That it is found shows that what is emitted is looked at."""
SAID_BACK: Final = ("query", "path", "body")
"""What a request has where no secret belongs may be said back to who sent it, and to nobody else."""
STANDING: Final = "/api/v1/overrides/n2"
METHODS: Final = ("GET", "POST", "PUT", "DELETE")

NO_CONFIGURATION: Final = {
    "a word": "log: {{level: '{}'}}",
    "a flag": "probe: {{enabled: '{}'}}",
    "a number": "policy: {{rise: '{}'}}",
    "an unknown key": "node: {{token: '{}'}}",
    "a tag": "node: {{token: !{} x}}",
    "a section": "web: '{}'",
    "everything": "{}",
    "a path with more lines": 'web: {{token_file: "{}\\n"}}',
    "a user of the node's URL": "node: {{api: {{url: 'http://user:{}@127.0.0.1:1'}}}}",
    "a user of a sidecar's URL": "reports: {{sidecars: [{{id: n2, url: 'https://user:{}@127.0.0.1:1'}}]}}",
    "a user of all sidecars' URL": "reports: {{url: 'https://user:{}@{{host}}:1'}}",
    "a user of the own URL": "reports: {{advertise: 'https://user:{}@127.0.0.1:1'}}",
    "a user of an address": "node: {{raft: 'user:{}@127.0.0.1:1'}}",
}
"""Where a secret does not belong."""
NO_WEB_CONFIGURATION: Final = {
    "a hash": "basic_auth_users: {{prometheus: '{}'}}",
    "all users": "basic_auth_users: '{}'",
    "a key": "tls_server_config: {{cert: x, key: '{}'}}",
    "an unknown key of it": "basic_auth: {{password: '{}'}}",
}


@pytest.fixture(scope="module", params=["logfmt", "json"])
def watched(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Planted, dict[str, bytes]]]:
    """What a sidecar emitted in its life, and what was planted before."""
    home, planted = tmp_path_factory.mktemp("planted"), Planted()
    with ExitStack() as stack:
        node = stack.enter_context(echo(told_back))
        lie = planted.text("a false report").encode()
        files = Files(home, planted, node.where)
        other = stack.enter_context(echo(false_reports(lie), files.server()))
        files.config["reports"]["sidecars"] = [{"id": "n2", "url": f"https://{other.where}"}]
        files.config["log"]["format"] = request.param
        environment = {}
        if request.param == "logfmt":
            files.token = environment["RAFT_EXPORTER_TOKEN"] = planted.text("RAFT_EXPORTER_TOKEN")
            telemetry = free_ports(1)[0]
            files.config["telemetry"] = {"listen": [f"udp:{HOST}:{telemetry}"]}
        else:
            query = planted.text("telemetry.prometheus.url")
            url = f"http://{node.where}/v1/agent/metrics?format=prometheus&token={query}"
            files.config["telemetry"] = {"prometheus": {"url": url, "interval": "100ms"}}
        sidecar = PlantedSidecar(files, environment, patched=request.param == "json")
        stack.callback(sidecar.kill)
        sidecar.until_logged("serving")
        _observe(sidecar)
        if request.param == "logfmt":
            _send_telemetry(planted.text("telemetry"), telemetry)
        _ask_everything(sidecar)
        assert node.all_given.wait(30)
        assert other.all_given.wait(30)
        _run_commands(sidecar)
        _misconfigure(sidecar)
        sidecar.end()
        assert ("request failed" in sidecar.log()) is (request.param == "json")
        _rehearse(sidecar)
        yield planted, sidecar.emitted


def _observe(sidecar: PlantedSidecar) -> None:
    secret = sidecar.files.planted.text("observer").encode()
    hello = (
        b'{"type": "hello", "stream_version": 1, "node_id": "n1", "heartbeat_timeout_ms": 100, "age_ms": %b}'
    )
    sidecar.observe(secret, hello % b'"%b"' % secret)
    sidecar.until_logged("observer line rejected")
    sidecar.observe(
        hello % b'0, "more": "%b"' % secret,
        b'{"type": "observation", "age_ms": 0, "kind": {"%b": 1}}' % secret,
        b'{"%b": "%b"}' % (secret, secret),
        b"\xff%b" % secret,
    )
    sidecar.until_logged("observer line rejected", 4)


def _send_telemetry(secret: str, port: int) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        for packet in (
            f"{secret}",
            f"{secret}.raft.net.{secret}:1|c",
            f"consul.raft.replication.heartbeat:{secret}|ms",
            f"consul.raft.state.follower:1|c|#token:{secret}",
            f"\x01{secret}",
        ):
            sock.sendto(packet.encode(), (HOST, port))


def _ask_everything(sidecar: PlantedSidecar) -> None:
    """Ask every route by every method, with every kind of credentials."""
    right = {"Authorization": f"Bearer {sidecar.files.token}"}
    json = right | {"Content-Type": "application/json"}
    wish = {"state": "offline", "author": "a", "reason": sidecar.files.planted.text(SHOWN)}
    with sidecar.client(1) as client:
        _, document = sidecar.ask(client, "GET", "/api/openapi.json", right)
        # Once too many have failed, right passwords are held up from where they were not right before.
        password = {"Authorization": f"Basic {_basic(sidecar.files.password)}"}
        _, page = sidecar.ask(client, "GET", "/", password)
        assert sidecar.ask(client, "PUT", STANDING, json, msgspec.json.encode(wish))[0] == 200
    described = re.findall(rb'"(/[^"#]*)":\{"(?:get|post|parameters)"', document)
    parts = re.findall(rb'(?:src|href)="(/?page/[^"]+)"', page)
    assert len(described) >= 13
    assert parts
    paths = [path.decode().replace("{peer}", "n2") for path in described] + ["/", "/none"]
    targets = [*paths, f"/{parts[0].decode().lstrip('/')}"]
    right_ones, wrong_ones = _credentials(sidecar)
    for shown in (right_ones, wrong_ones):
        for number, path in enumerate(targets, 2):
            with sidecar.client(number) as client:
                for method, name in product(METHODS, shown):
                    if (method, path) != ("DELETE", STANDING):  # the control stays
                        _, answer = sidecar.ask(client, method, path, shown[name])
                        sidecar.emitted[f"{method} {path} with {name}"] = answer
    _ask_with_secrets_elsewhere(sidecar, paths, json)
    with sidecar.client(1) as client:
        openmetrics = right | {"Accept": "application/openmetrics-text"}
        _, metrics = sidecar.ask(client, "GET", "/metrics", openmetrics)
    sidecar.emitted["OpenMetrics"] = metrics
    counted = dict(re.findall(rb'rejected_total\{reason="(\w+)",source="http"\} ([0-9.]+)', metrics))
    refused = ("no_credentials", "wrong_password", "wrong_token", "wrong_proof", "failed_logins")
    assert all(float(counted[reason.encode()]) for reason in refused), counted


def _credentials(sidecar: PlantedSidecar) -> tuple[Mapping[str, Headers], Mapping[str, Headers]]:
    """Give headers that are right, and such as are not, by what they are."""
    files, wrong = sidecar.files, sidecar.files.planted.text("wrong credentials")
    right_ones = {
        "the token": f"Bearer {files.token}",
        "the password": f"Basic {_basic(files.password)}",
    }
    wrong_ones = {
        "a wrong token": f"Bearer {wrong}",
        "a wrong password": f"Basic {_basic(wrong)}",
        "a wrong proof": f"Raft-Report nonce={wrong}, member=n1, proof={wrong}",
        "another scheme": f"Digest {wrong}",
        "no scheme": wrong,
        "the token as a password": f"Basic {_basic(files.token)}",
        "the password as a token": f"Bearer {files.password}",
        "the password in plain": f"Basic {USER}:{files.password}",
    }
    elsewhere = {"X-Consul-Token": wrong, "X-Vault-Token": wrong, "Cookie": f"token={wrong}"}
    return (
        {name: {"Authorization": text} for name, text in right_ones.items()},
        {name: {"Authorization": text} for name, text in wrong_ones.items()} | {"other headers": elsewhere},
    )


def _ask_with_secrets_elsewhere(sidecar: PlantedSidecar, paths: list[str], right: Mapping[str, str]) -> None:
    query, path, body = (quote(sidecar.files.planted.text(name), safe="") for name in SAID_BACK)
    content = msgspec.json.encode({unquote(body): 1})
    for number, each in enumerate(paths, 101):
        with sidecar.client(number) as client:
            for method in METHODS:
                for target in (f"{each}?after={query}&author=a&token={query}", f"{each}/{path}"):
                    for headers in (right, {}):
                        if (method, each) != ("DELETE", STANDING):
                            _, answer = sidecar.ask(client, method, target, headers, content)
                            sidecar.emitted[f"said back: {method} {target} {len(headers)}"] = answer


def _basic(password: str) -> str:
    return base64.b64encode(f"{USER}:{password}".encode()).decode()


def _run_commands(sidecar: PlantedSidecar) -> None:
    """Run the commands that ask a sidecar, with right and wrong credentials in the environment."""
    files, planted = sidecar.files, sidecar.files.planted
    wrong = planted.text("a command's credentials")
    at = f"--url {sidecar.url} --ca-file {files.home}/ca.pem"
    known = {
        "the token": {"RAFT_EXPORTER_TOKEN": files.token},
        "the password": {"RAFT_EXPORTER_USER": USER, "RAFT_EXPORTER_PASSWORD": files.password},
        "a wrong token": {"RAFT_EXPORTER_TOKEN": wrong},
        "a wrong password": {"RAFT_EXPORTER_USER": USER, "RAFT_EXPORTER_PASSWORD": wrong},
        "a password alone": {"RAFT_EXPORTER_PASSWORD": wrong},
        "a token of two lines": {"RAFT_EXPORTER_TOKEN": f"{wrong}\n{wrong}"},
        "a token with a letter of Poland": {"RAFT_EXPORTER_TOKEN": f"Ł{wrong}"},
        "a password with a letter of Poland": {
            "RAFT_EXPORTER_USER": USER,
            "RAFT_EXPORTER_PASSWORD": f"Ł{wrong}",
        },
    }
    for command in ("status", "status --json", "doctor", "events", "override list", "override clear n9"):
        for name, environment in known.items():
            sidecar.emitted[f"{command} with {name}"] = _run(f"{command} {at}", environment)
    for command in ("status", "doctor", "events", "override list", "healthcheck"):
        address = f"https://{USER}:{wrong}@{HOST}:1"
        sidecar.emitted[f"{command} with a user in the URL"] = _run(f"{command} --url {address}", {})
    sidecar.emitted["healthcheck"] = _run(f"healthcheck --url {sidecar.url}", known["a wrong token"])
    for key in ("reports", "probe"):
        told = f"probe {HOST}:1 --cert-file {files.home}/{key}.pem --key-file {files.home}/web.key"
        sidecar.emitted[f"probe with a key that is another one's than {key}"] = _run(told, {})
    sidecar.emitted["probe with a user"] = _run(f"probe {USER}:{wrong}@{HOST}:1", {})
    for flag in ("--node", "--sidecars", "--advertise", "--raft", "--peer"):
        value = (
            f"n2=https://{USER}:{wrong}@{HOST}:1" if flag == "--peer" else f"https://{USER}:{wrong}@{HOST}:1"
        )
        sidecar.emitted[f"run {flag}"] = _run(f"run {flag} {value}", {})


def _misconfigure(sidecar: PlantedSidecar) -> None:
    """Put secrets where they don't belong; have that checked, and reloaded by POST and by signal."""
    files, planted = sidecar.files, sidecar.files.planted
    secret = planted.text("misplaced")
    texts = {name: text.format(secret) for name, text in NO_CONFIGURATION.items()}
    for name, text in texts.items():
        sidecar.emitted[f"check-config: {name}"] = _run(f"check-config {files.configure(text)}", {})
        _reload(sidecar, name, 422)
    for name, text in NO_WEB_CONFIGURATION.items():
        path = files.configure(web__config_file=files.write("other.yml", text.format(secret)))
        sidecar.emitted[f"check-config: {name}"] = _run(f"check-config {path}", {})
        _reload(sidecar, name, 422)
    for path in files.home.glob("*.[kpst]*"):
        if path.suffix != ".sock":
            sidecar.emitted[f"check-config {path.name}"] = _run(f"check-config {path}", {})
    for name in ("web.key", "cluster.secret", "node.token"):
        misused = str(files.home / name)
        files.configure(web__config_file=misused)
        _reload(sidecar, f"{name} as the web configuration", 422)
        files.configure(reports__tls__key_file=misused, reports__tls__cert_file=misused)
        _reload(sidecar, f"{name} as certificate and key", 422)
    files.configure(reports__tls__key_file=(files.home / "web.key").read_text())
    _reload(sidecar, "a key for the path of its file", 422)
    files.configure(reports__token_file=secret)
    _reload(sidecar, "a secret for the path of its file", 422)
    files.configure(reports__token_file=files.write("short.secret", secret[:13], secret, secret))
    _reload(sidecar, "a file of three secrets", 422)
    files.configure(node__api__token_file=secret)
    _reload(sidecar, "the node's token for the path of its file", 200)
    _until_the_token_is_no_use(sidecar)
    files.configure(node__api__token_file=files.write("two.token", secret, secret))
    _reload(sidecar, "a file of two tokens", 200)
    _until_the_token_is_no_use(sidecar)
    files.configure(texts["a word"])
    times = sidecar.log().count("configuration not taken up")
    sidecar.process.send_signal(signal.SIGHUP)
    sidecar.until_logged("configuration not taken up", times + 1)


def _until_the_token_is_no_use(sidecar: PlantedSidecar) -> None:
    """Wait until that is counted once more; in the log it may be held back, with so many lines before it."""
    right = {"Authorization": f"Bearer {sidecar.files.token}"}
    counted = re.compile(rb'rejected_total\{reason="token_file",source="node"\} ([0-9.]+)')
    seen: set[bytes] = set()
    with sidecar.client(1) as client:
        for _ in range(5000):
            _, metrics = sidecar.ask(client, "GET", "/metrics", right)
            seen.update(counted.findall(metrics))
            if len(seen) > 1:
                return
    raise AssertionError(f"counted {seen}")


def _reload(sidecar: PlantedSidecar, name: str, expected: int) -> None:
    right = {"Authorization": f"Bearer {sidecar.files.token}"}
    with sidecar.client(1) as client:
        status, sidecar.emitted[f"reload: {name}"] = sidecar.ask(client, "POST", "/-/reload", right)
    assert status == expected, sidecar.emitted[f"reload: {name}"]


def _rehearse(sidecar: PlantedSidecar) -> None:
    """Take what the store has in packed form."""
    store, packed = sidecar.files.config["store"]["path"], sidecar.files.home / "evidence.gz"
    sidecar.emitted["rehearse"] = _run(f"rehearse --store {store}", {})
    sidecar.emitted["rehearse --export"] = _run(f"rehearse --store {store} --export {packed}", {})
    sidecar.emitted["evidence"] = gzip.decompress(packed.read_bytes())


def _run(line: str, environment: Mapping[str, str]) -> bytes:
    cleared = dict.fromkeys(("RAFT_EXPORTER_TOKEN", "RAFT_EXPORTER_USER", "RAFT_EXPORTER_PASSWORD"))
    result = CliRunner().invoke(main, shlex.split(line), env=cleared | dict(environment))
    raised = result.exc_info
    assert raised is None or raised[0] is SystemExit, "".join(traceback.format_exception(*raised))
    return result.stdout_bytes + result.stderr_bytes


def test_nothing_that_it_emits_has_a_secret_in_it(watched: tuple[Planted, dict[str, bytes]]) -> None:
    planted, emitted = watched
    found = {
        where: names
        for where, content in emitted.items()
        if (names := planted.found(content, but=(SHOWN, *SAID_BACK) if "said back" in where else (SHOWN,)))
    }
    assert not found


@pytest.mark.parametrize(
    "where",
    [
        "stderr",
        "store",
        "GET /api/v1/overrides with the token",
        "GET /api/v1/events with the password",
        "GET /api/v1/stream with the token",
        "GET /api/v1/report with the token",
        "override list with the token",
        "events with the password",
    ],
)
def test_what_is_there_to_be_seen_is_found(watched: tuple[Planted, dict[str, bytes]], where: str) -> None:
    planted, emitted = watched
    assert planted.found(emitted[where]) == [SHOWN]


def test_what_is_read_of_secrets_shows_none(tmp_path: Path) -> None:
    planted = Planted()
    files = Files(tmp_path, planted, f"{HOST}:1")
    config = configuration.load(files.configure())
    assert config.web.config_file is not None
    settings = web_config.load(Path(config.web.config_file))
    secret, faults = Secret(files.password), Faults("inline")
    inline = {"tls_server_config": {"cert": "x", "key": (tmp_path / "web.key").read_text()}}
    shown = (
        config,
        settings,
        ReportTrust.of(config.reports, ReportTrust()),
        Credentials(secret, USER, secret),
        to_struct(read_tree(yaml.safe_dump(inline), faults), web_config.WebFile, "", faults),
        f"{secret} {secret!r} {secret!s:>9}",
    )
    faults.raise_any()
    assert planted.found(repr(shown).encode()) == []
    assert planted.found(repr(settings.users).encode()) == ["bcrypt hash"]
