"""``raft-exporter healthcheck``: what passes for life, and what does not."""

from __future__ import annotations

import asyncio
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
import trustme
from aiohttp import web
from click.testing import CliRunner, Result

from raft_exporter import healthcheck_command
from raft_exporter.cli import main

TLS_1_2 = ssl.TLSVersion.TLSv1_2


def run(*flags: str, env: dict[str, str] | None = None) -> Result:
    return CliRunner().invoke(main, ["healthcheck", *flags], env=env)


@contextmanager
def serving(status: int = 200, tls: ssl.SSLContext | None = None) -> Iterator[int]:
    """An aiohttp server in a thread of its own, that answers the health check with ``status``."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)

    async def healthy(_: web.Request) -> web.Response:
        return web.Response(status=status)

    async def start() -> web.AppRunner:
        app = web.Application()
        app.router.add_get("/-/healthy", healthy)
        app.router.add_get("/raft/n1/-/healthy", healthy)
        runner = web.AppRunner(app)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls).start()
        return runner

    thread.start()
    runner = asyncio.run_coroutine_threadsafe(start(), loop).result(10)
    try:
        yield runner.addresses[0][1]
    finally:
        asyncio.run_coroutine_threadsafe(runner.cleanup(), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


@contextmanager
def answering(answer: Callable[[socket.socket], object]) -> Iterator[int]:
    """A port at which one connection is dealt with as ``answer`` does it."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(10)

        def serve() -> None:
            connection, _ = server.accept()
            with connection:
                answer(connection)

        thread = threading.Thread(target=serve)
        thread.start()
        yield server.getsockname()[1]
        thread.join()


def until_it_hangs_up(connection: socket.socket) -> None:
    while connection.recv(4096):
        pass


def drip(connection: socket.socket) -> None:
    """One byte at a time, without an end: no single one takes long."""
    try:
        connection.sendall(b"HTTP/1.1 200 OK\r\nX: ")
        while True:
            connection.sendall(b"y")
            connection.settimeout(0.005)
            try:
                if not connection.recv(4096):
                    return
            except TimeoutError:
                continue
    except ConnectionError:
        return


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


def server_side(authority: trustme.CA, *, asks: bool = False) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    # No check by name can pass: it is the name that the other machines know.
    authority.issue_cert("n1.example.org").configure_cert(context)
    if asks:
        authority.configure_trust(context)
        context.verify_mode = ssl.CERT_REQUIRED
    return context


@pytest.mark.parametrize("status", [200, 401, 429])
def test_an_answer_that_takes_a_turning_loop_is_life(status: int) -> None:
    with serving(status) as port:
        url = f"http://127.0.0.1:{port}"
        result = run("--url", url)
    assert (result.exit_code, result.output) == (0, f"{url}/-/healthy: ok\n")


@pytest.mark.parametrize("status", [204, 302, 404, 500])
def test_an_answer_that_a_sidecar_does_not_give_is_none(status: int) -> None:
    with serving(status) as port:
        url = f"http://127.0.0.1:{port}"
        result = run("--url", url)
    expected = f"raft-exporter: {url}/-/healthy: expected status 200, got {status}\n"
    assert (result.exit_code, result.stdout, result.stderr) == (1, "", expected)


def test_the_url_may_come_from_the_environment_and_have_a_path() -> None:
    with serving() as port:
        url = f"http://localhost:{port}/raft/n1"
        result = run(env={"RAFT_EXPORTER_HEALTHCHECK_URL": f"{url}/"})
    assert (result.exit_code, result.output) == (0, f"{url}/-/healthy: ok\n")


def test_a_port_at_which_nobody_listens_is_said() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    result = run("--url", f"http://127.0.0.1:{port}")
    expected = f"raft-exporter: http://127.0.0.1:{port}/-/healthy: Connection refused\n"
    assert (result.exit_code, result.stderr) == (1, expected)


@pytest.mark.parametrize(
    ("scheme", "answer"), [("http", until_it_hangs_up), ("https", until_it_hangs_up), ("http", drip)]
)
def test_a_loop_that_hangs_is_given_up(
    scheme: str, answer: Callable[[socket.socket], object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(healthcheck_command, "_WITHIN", 0.2)
    with answering(answer) as port:
        result = run("--url", f"{scheme}://127.0.0.1:{port}")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.endswith("/-/healthy: no answer within 0.2 s\n")


def test_of_this_machine_any_certificate_is_taken(authority: trustme.CA) -> None:
    with serving(tls=server_side(authority)) as port:
        for host in ("127.0.0.1", "localhost"):
            result = run("--url", f"https://{host}:{port}")
            assert (result.exit_code, result.stderr) == (0, "")


def test_of_another_machine_the_certificate_must_be_trusted(
    authority: trustme.CA, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(healthcheck_command, "_is_loopback", lambda _: False)
    with serving(tls=server_side(authority)) as port:
        result = run("--url", f"https://127.0.0.1:{port}")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "/-/healthy: its certificate is not trusted: " in result.stderr
    assert len(result.stderr.splitlines()) == 1


@pytest.mark.parametrize("version", [None, TLS_1_2])
def test_a_server_that_demands_a_client_certificate_is_alive(
    version: ssl.TLSVersion | None, authority: trustme.CA
) -> None:
    tls = server_side(authority, asks=True)
    if version is not None:
        tls.maximum_version = version
    with serving(500, tls) as port:
        result = run("--url", f"https://127.0.0.1:{port}")
    assert (result.exit_code, result.stderr) == (0, "")


def test_it_loads_neither_the_sidecar_nor_its_libraries() -> None:
    code = (
        "import sys, raft_exporter.cli\n"
        "raft_exporter.cli.main(['healthcheck', '--help'], standalone_mode=False)\n"
        "print(*sys.modules)"
    )
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    own = {name for name in loaded.split() if name.startswith("raft_exporter.")}
    assert own == {f"raft_exporter.{name}" for name in ("cli", "errors", "healthcheck_command", "reporting")}
    assert not {"aiohttp", "requests", "msgspec", "yaml", "rich"} & set(loaded.split())


@pytest.mark.parametrize("version", [None, TLS_1_2])
def test_an_alert_is_a_word_of_the_server(version: ssl.TLSVersion | None, authority: trustme.CA) -> None:
    tls = server_side(authority, asks=True)
    if version is not None:
        tls.maximum_version = version

    def refuse(connection: socket.socket) -> None:
        with pytest.raises(ssl.SSLError, match="PEER_DID_NOT_RETURN_A_CERTIFICATE"):
            tls.wrap_socket(connection, server_side=True)

    with answering(refuse) as port:
        result = run("--url", f"https://127.0.0.1:{port}")
    assert (result.exit_code, result.stderr) == (0, "")


def test_http_and_https_mixed_up_are_told(authority: trustme.CA) -> None:
    with serving() as port:
        result = run("--url", f"https://127.0.0.1:{port}")
        assert (result.exit_code, "no TLS was answered: is it http?" in result.stderr) == (1, True)
    with serving(tls=server_side(authority)) as port:
        result = run("--url", f"http://127.0.0.1:{port}")
        assert (result.exit_code, "no HTTP was answered: is it https?" in result.stderr) == (1, True)


@pytest.mark.parametrize(
    "url",
    [
        "127.0.0.1:9641",
        "ftp://127.0.0.1",
        "http://",
        "http://:9641",
        "http://127.0.0.1:0",
        "http://127.0.0.1:65536",
        "http://127.0.0.1:port",
        "http://[::1",
        "http://a..b",
        "http://127.0.0.1/a b",
        "http://127.0.0.1/ä",
        "http://127.0.0.1\n/",
        "http://eve:planted@127.0.0.1:9641",
    ],
)
def test_what_is_no_url_is_wrong_usage_and_not_repeated(url: str) -> None:
    result = run("--url", url)
    assert (result.exit_code, result.stdout) == (2, "")
    expected = "expected a URL such as http://127.0.0.1:9641, and no password in it"
    assert result.stderr.splitlines()[-1] == f"Error: Invalid value for '--url': {expected}"
