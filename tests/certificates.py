"""Certificates of a test's own authority, by the openssl command."""

from __future__ import annotations

import shutil
import ssl
import subprocess
from pathlib import Path

_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")


def openssl() -> str | None:
    """The command, where it is installed."""
    return shutil.which("openssl")


class Authority:
    """One CA, with its files in ``home``."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.certificate = home / "ca.pem"
        self._key = home / "ca.key"
        home.mkdir(exist_ok=True)
        usage = ("-addext", "keyUsage=critical,keyCertSign")
        _run("req", "-x509", *_KEY, "-subj", "/CN=ca", "-days", "2", *usage, *self._out(self._key, "ca.pem"))

    def issue(self, name: str, days: int = 1) -> Path:
        """Give one file with a key and a certificate for ``name``, as in ``IP:127.0.0.1`` or ``DNS:node``.

        It ends ``days`` from now: -1 is yesterday.
        """
        stem = name.replace(":", "-") + f"{days:+}"
        key, request, signed = (self.home / f"{stem}.{kind}" for kind in ("key", "csr", "crt"))
        names = ("-addext", f"subjectAltName={name}")
        _run("req", "-new", *_KEY, "-subj", "/CN=node", *names, *self._out(key, request.name))
        authority = ("-CA", str(self.certificate), "-CAkey", str(self._key))
        copy = ("-copy_extensions", "copy", "-days", str(days))
        _run("x509", "-req", "-in", str(request), *authority, *copy, "-out", str(signed))
        both = self.home / f"{stem}.pem"
        both.write_text(key.read_text() + signed.read_text())
        return both

    def serving(self, certificate: Path, *, asks: bool = False) -> ssl.SSLContext:
        """A server's side of TLS; ``asks`` for a client certificate of this authority."""
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(self.certificate))
        context.load_cert_chain(certificate)
        context.verify_mode = ssl.CERT_REQUIRED if asks else ssl.CERT_NONE
        return context

    def _out(self, key: Path, certificate: str) -> tuple[str, ...]:
        return ("-keyout", str(key), "-out", str(self.home / certificate))


def _run(*args: str) -> None:
    subprocess.run(["openssl", *args], check=True, capture_output=True)
