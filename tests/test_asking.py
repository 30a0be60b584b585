"""What the commands that ask a sidecar show it: credentials of the environment, and certificates."""

from __future__ import annotations

import base64
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
import trustme
from click.testing import CliRunner, Result
from requests_mock import Mocker

from raft_exporter.cli import main
from raft_exporter.client import Credentials
from raft_exporter.secret import Secret

URL = "http://127.0.0.1:9641"
CHECKUP = f"{URL}/api/v1/checkup"
USER = {"RAFT_EXPORTER_USER": "ann", "RAFT_EXPORTER_PASSWORD": "hush:ü"}


def run(*args: str, env: dict[str, str] | None = None) -> Result:
    return CliRunner().invoke(main, args, env=env)


def test_a_users_name_and_password_come_from_the_environment(requests_mock: Mocker) -> None:
    requests_mock.get(CHECKUP, json={"checks": []})
    assert run("doctor", env=USER).exit_code == 0
    scheme, _, given = requests_mock.request_history[0].headers["Authorization"].partition(" ")
    assert (scheme, base64.b64decode(given).decode()) == ("Basic", "ann:hush:ü")


def test_the_token_goes_before_them(requests_mock: Mocker) -> None:
    requests_mock.get(CHECKUP, json={"checks": []})
    assert run("doctor", env={**USER, "RAFT_EXPORTER_TOKEN": "token"}).exit_code == 0
    assert requests_mock.request_history[0].headers["Authorization"] == "Bearer token"


@pytest.mark.parametrize(
    "env",
    [
        {"RAFT_EXPORTER_USER": "ann"},
        {"RAFT_EXPORTER_PASSWORD": "hush"},
        {"RAFT_EXPORTER_USER": "a:b", "RAFT_EXPORTER_PASSWORD": "hush"},
    ],
)
def test_half_of_them_is_an_error_that_does_not_show_it(env: dict[str, str]) -> None:
    result = run("doctor", env=env)
    assert result.exit_code == 1
    assert "expected RAFT_EXPORTER_USER without a colon and RAFT_EXPORTER_PASSWORD" in result.output
    assert "hush" not in result.output


def test_a_refusal_says_where_they_come_from_and_not_what_they_are(requests_mock: Mocker) -> None:
    requests_mock.get(CHECKUP, status_code=401, json={"error": "expected the name and password of a user"})
    result = run("doctor", env=USER)
    assert result.exit_code == 1
    assert "RAFT_EXPORTER_USER and RAFT_EXPORTER_PASSWORD" in result.output
    assert "hush" not in result.output
    assert "hush" not in repr(Credentials(None, "ann", Secret("hush")))


@pytest.mark.parametrize(
    "command", [("status",), ("doctor",), ("events",), ("override", "list"), ("override", "clear", "n1")]
)
@pytest.mark.parametrize("url", ["http://ann:hush@127.0.0.1:9641", "https://hush@h", "ann:hush@h"])
def test_a_user_in_the_url_is_refused(command: tuple[str, ...], url: str) -> None:
    result = run(*command, "--url", url)
    assert result.exit_code == 2
    assert "expected a URL without a user" in " ".join(result.output.replace("│", " ").split())
    assert "hush" not in result.output


@contextmanager
def sidecar(context: ssl.SSLContext) -> Iterator[str]:
    """A sidecar with TLS that has nothing to complain of; gives its URL."""

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b'{"checks": []}')

        def log_message(self, *_: object) -> None:
            pass

    class Server(HTTPServer):
        def handle_error(self, *_: object) -> None:
            pass

    with Server(("127.0.0.1", 0), Answer) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"https://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def test_https_needs_the_authority_and_where_it_is_asked_for_a_certificate(tmp_path: Path) -> None:
    authority, other = trustme.CA(), trustme.CA()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    authority.configure_trust(context)
    context.verify_mode = ssl.CERT_REQUIRED
    client = authority.issue_cert("client.example")
    files = {name: str(tmp_path / name) for name in ("ca", "other", "cert", "key", "both")}
    authority.cert_pem.write_to_path(files["ca"])
    other.cert_pem.write_to_path(files["other"])
    client.cert_chain_pems[0].write_to_path(files["cert"])
    client.private_key_pem.write_to_path(files["key"])
    client.private_key_and_cert_chain_pem.write_to_path(files["both"])
    with sidecar(context) as url:

        def ask(**given: str) -> Result:
            options = [part for name, file in given.items() for part in (f"--{name}-file", files[file])]
            return run("doctor", "--url", url, *options)

        assert ask(ca="ca", cert="cert", key="key").exit_code == 0
        assert ask(ca="ca", cert="both").exit_code == 0
        assert ask(ca="ca").exit_code == 1
        wrong = ask(ca="other", cert="both")
        assert (wrong.exit_code, "its certificate is not trusted" in wrong.output) == (1, True)
        no_certificate = ask(ca="ca", cert="key")
        assert (no_certificate.exit_code, "TLS: " in no_certificate.output) == (1, True)
    assert "expected both" in run("doctor", "--key-file", files["key"]).output
    assert run("doctor", "--ca-file", str(tmp_path / "none")).exit_code == 2


def test_without_any_none_are_sent(requests_mock: Mocker) -> None:
    requests_mock.get(CHECKUP, json={"checks": []})
    assert run("doctor").exit_code == 0
    assert "Authorization" not in requests_mock.request_history[0].headers
