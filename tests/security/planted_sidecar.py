"""A real sidecar all of whose secrets are planted, and what it emits."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any, Final

import bcrypt
import trustme
import yaml
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from raft_exporter.demo.cluster import free_ports
from tests.security.planted import Planted

HOST: Final = "127.0.0.1"
USER: Final = "prometheus"
PATIENCE: Final = 20.0

_PATCHED: Final = """
from raft_exporter.cli import main
from raft_exporter.sidecar import Sidecar

def fail(self, asked_at):
    return {}["a fault of ours"]

Sidecar.targets = fail
main()
"""


class Files:
    """All files with a secret in them, below ``home``; ``config`` is the configuration that names them."""

    def __init__(self, home: Path, planted: Planted, node: str) -> None:
        self.home = home
        self.planted = planted
        self.authority = trustme.CA(key_type=trustme.KeyType.ECDSA)
        self.authority.cert_pem.write_to_path(home / "ca.pem")
        self.token, self.password = planted.text("web.token_file"), planted.text("password")
        stored = bcrypt.hashpw(self.password.encode(), bcrypt.gensalt(4)).decode()
        planted.add("bcrypt hash", stored)
        self.secret = self.write("cluster.secret", *map(planted.text, ("secret", "previous secret")))
        web = {
            "tls_server_config": self.certify("web"),
            "basic_auth_users": {USER: stored},
        }
        self.config: dict[str, Any] = {
            "node": {
                "id": "n1",
                "heartbeat_timeout": "100ms",
                "api": {
                    "url": f"http://{node}",
                    "kind": "consul",
                    "token_file": self.write("node.token", planted.text("node.api.token_file")),
                },
            },
            "peers": [{"id": "n2", "address": f"{HOST}:{free_ports(1)[0]}"}],
            "probe": {"enabled": True, "port": "plain", "tls": self.trusting("probe")},
            "reports": {
                "token_file": self.secret,
                "tls": self.trusting("reports"),
            },
            "web": {
                "listen": [f"{HOST}:0"],
                "token_file": self.write("web.token", self.token),
                "config_file": self.write("web.yml", yaml.safe_dump(web)),
            },
            "observer": {"listen": [f"unix:{home}/observer.sock"]},
            "store": {"path": f"{home}/store.db"},
            "log": {"level": "debug"},
        }

    def write(self, name: str, *lines: str) -> str:
        """Write a file; give its path."""
        path = self.home / name
        path.write_text("\n".join(lines) + "\n")
        return str(path)

    def configure(self, text: str | None = None, **keys: Any) -> Path:
        """Write the configuration, with other ``keys`` such as ``web__token_file``; or ``text`` instead."""
        config = json.loads(json.dumps(self.config))
        for key, value in keys.items():
            *sections, last = key.split("__")
            inner = config
            for section in sections:
                inner = inner[section]
            inner[last] = value
        return Path(self.write("raft-exporter.yml", yaml.safe_dump(config) if text is None else text))

    def certify(self, name: str) -> dict[str, str]:
        """Make a certificate, and plant its key."""
        leaf = self.authority.issue_cert(HOST, key_type=trustme.KeyType.ECDSA)
        pem = leaf.private_key_pem.bytes()
        key = load_pem_private_key(pem, None)
        assert isinstance(key, EllipticCurvePrivateKey)
        self.planted.add(f"key of {name}", key.private_numbers().private_value.to_bytes(32))
        chain = "".join(each.bytes().decode() for each in leaf.cert_chain_pems)
        return {
            "cert_file": self.write(f"{name}.pem", chain),
            "key_file": self.write(f"{name}.key", pem.decode()),
        }

    def trusting(self, name: str) -> dict[str, str]:
        """Give a section for TLS, with a certificate to show."""
        return self.certify(name) | {"ca_file": f"{self.home}/ca.pem"}

    def client(self) -> ssl.SSLContext:
        """What a client has that trusts all of these."""
        context = ssl.create_default_context()
        self.authority.configure_trust(context)
        return context

    def server(self) -> ssl.SSLContext:
        """What a server has that all of these trust."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.authority.issue_cert(HOST, key_type=trustme.KeyType.ECDSA).configure_cert(context)
        return context


class PlantedSidecar:
    """``raft-exporter run``, until :meth:`end`; ``emitted`` is all that it says, by where it says it.

    ``patched``: what is asked of /sd fails, by a fault of the program's own.
    """

    def __init__(self, files: Files, environment: Mapping[str, str], *, patched: bool) -> None:
        self.files = files
        self.emitted: dict[str, bytes] = {}
        self._outputs = {name: files.home / name for name in ("stdout", "stderr")}
        command = [sys.executable, *(("-c", _PATCHED) if patched else ("-m", "raft_exporter"))]
        with self._outputs["stdout"].open("wb") as stdout, self._outputs["stderr"].open("wb") as stderr:
            self.process = subprocess.Popen(
                [*command, "run", "--config", str(files.configure())],
                stdout=stdout,
                stderr=stderr,
                env=os.environ | dict(environment),
            )
        self._context = files.client()

    def kill(self) -> None:
        """End it, whatever happened."""
        self.process.kill()
        self.process.wait()

    def log(self) -> str:
        """What is on standard error by now."""
        return self._outputs["stderr"].read_text()

    def until_logged(self, words: str, times: int = 1) -> None:
        """Wait until the log has these words."""
        turn = threading.Event()
        for _ in range(int(PATIENCE / 0.02)):
            if self.log().count(words) >= times:
                return
            assert self.process.poll() is None, self.log()
            turn.wait(0.02)
        raise AssertionError(f"{words!r} is not in:\n{self.log()}")

    def client(self, number: int) -> closing[http.client.HTTPSConnection]:
        """Connect from one of this machine's many addresses."""
        source = (f"127.0.0.{number}", 0)
        port = int(self.url.rpartition(":")[2])
        return closing(
            http.client.HTTPSConnection(
                HOST, port, timeout=PATIENCE, context=self._context, source_address=source
            )
        )

    @property
    def url(self) -> str:
        """Where it serves."""
        return "https" + self.log().partition("serving")[2].partition("https")[2].split()[0].strip('"},')

    def ask(
        self,
        client: http.client.HTTPSConnection,
        method: str,
        path: str,
        headers: Mapping[str, str],
        body: bytes | None = None,
    ) -> tuple[int, bytes]:
        """Ask, and give the status and the whole answer; of one that does not end, its beginning."""
        client.request(method, path, body, dict(headers))
        response = client.getresponse()
        endless = response.getheader("Content-Type", "").startswith("text/event-stream")
        content = response.read1(1 << 20) if endless else response.read()
        if endless:
            client.close()
        head = f"{response.status} {response.reason}\n{response.headers}".encode()
        return response.status, head + content

    def observe(self, *lines: bytes) -> None:
        """Write lines as the node's process does."""
        with socket.socket(socket.AF_UNIX) as sock:
            sock.connect(f"{self.files.home}/observer.sock")
            sock.sendall(b"".join(line + b"\n" for line in lines))

    def end(self) -> None:
        """End it, and take what it leaves."""
        self.emitted["/proc/PID/cmdline"] = Path(f"/proc/{self.process.pid}/cmdline").read_bytes()
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(PATIENCE) == 0, self.log()
        for name, path in self._outputs.items():
            self.emitted[name] = path.read_bytes()
        self.emitted["store"] = b"".join(path.read_bytes() for path in self.files.home.glob("store.db*"))
