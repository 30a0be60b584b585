"""Prometheus' web configuration file: what is taken, what is refused, and that nothing secret is shown."""

from __future__ import annotations

import asyncio
import os
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

import bcrypt
import pytest
import trustme
from cryptography.hazmat.primitives import serialization

from raft_exporter import web_config
from raft_exporter.errors import ConfigError
from raft_exporter.server_tls import _SUITES, server_context
from raft_exporter.web_config import MAX_COST, WebSettings, load

HASH = bcrypt.hashpw(b"hush", bcrypt.gensalt(4)).decode()
Write = Callable[[str], Path]


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def folder(tmp_path: Path, authority: trustme.CA) -> Path:
    """A folder with cert.pem, key.pem, other.key and ca.pem."""
    issued = authority.issue_cert("127.0.0.1")
    issued.cert_chain_pems[0].write_to_path(tmp_path / "cert.pem")
    issued.private_key_pem.write_to_path(tmp_path / "key.pem")
    authority.issue_cert("127.0.0.1").private_key_pem.write_to_path(tmp_path / "other.key")
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    return tmp_path


@pytest.fixture
def write(folder: Path) -> Write:
    def text(text: str) -> Path:
        path = folder / "web.yml"
        path.write_text(text)
        return path

    return text


def tls(*lines: str, cert: str = "cert.pem", key: str = "key.pem") -> str:
    return "\n".join(
        ["tls_server_config:", f"  cert_file: {cert}", f"  key_file: {key}", *(f"  {line}" for line in lines)]
    )


def faults_of(path: Path) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load(path)
    prefix = f"{path}: "
    assert all(fault.startswith(prefix) and "\n" not in fault for fault in caught.value.faults)
    return [fault.removeprefix(prefix) for fault in caught.value.faults]


# what is taken


def test_an_empty_file_asks_for_nothing(write: Write) -> None:
    settings = load(write(""))
    assert (settings.context, settings.users, settings.headers) == (None, {}, {})
    assert not settings.requires_certificate
    assert settings.rate_limit.interval == 0


def test_everything_that_can_be_had_is_taken(write: Write, folder: Path) -> None:
    settings = load(
        write(
            tls(
                "client_ca_file: ca.pem",
                "client_auth_type: RequireAndVerifyClientCert",
                "client_allowed_sans: [prometheus.example, 'fd00:0::1']",
                "min_version: TLS13",
                "max_version: TLS13",
                "prefer_server_cipher_suites: false",
                "curve_preferences: [X25519]",
            )
            + f"""
http_server_config:
  http2: false
  headers:
    Content-Security-Policy: default-src 'self'
    X-Frame-Options: deny
    X-Content-Type-Options: nosniff
    X-XSS-Protection: ''
    Strict-Transport-Security: max-age=31536000
basic_auth_users:
  ann: {HASH}
rate_limit:
  interval: 1s
  burst: 20
"""
        )
    )
    assert settings.context is not None
    assert settings.context.verify_mode is ssl.CERT_REQUIRED
    assert settings.context.minimum_version is settings.context.maximum_version is ssl.TLSVersion.TLSv1_3
    assert not settings.context.options & ssl.OP_CIPHER_SERVER_PREFERENCE
    assert settings.requires_certificate
    assert settings.allowed_sans == frozenset({"prometheus.example", "fd00::1"})
    assert settings.users == {"ann": HASH.encode()}
    assert settings.headers == {
        "Content-Security-Policy": "default-src 'self'",
        "X-Frame-Options": "deny",
        "X-Content-Type-Options": "nosniff",
        "Strict-Transport-Security": "max-age=31536000",
    }
    assert (settings.rate_limit.interval, settings.rate_limit.burst) == (1.0, 20)
    assert set(settings.files) == {folder / name for name in ("web.yml", "cert.pem", "key.pem", "ca.pem")}


def test_certificates_and_key_may_stand_in_the_file_itself(write: Write, folder: Path) -> None:
    inline = {
        name: "\n".join(f"    {line}" for line in (folder / file).read_text().splitlines())
        for name, file in (("cert", "cert.pem"), ("key", "key.pem"), ("client_ca", "ca.pem"))
    }
    text = "".join(f"  {name}: |\n{lines}\n" for name, lines in inline.items())
    settings = load(
        write(f"tls_server_config:\n{text}  client_auth_type: VerifyClientCertIfGiven\n"),
    )
    assert settings.context is not None
    assert settings.context.verify_mode is ssl.CERT_OPTIONAL
    assert len(settings.context.get_ca_certs()) == 1
    assert not settings.requires_certificate
    assert settings.files == (folder / "web.yml",)


def test_suites_by_their_names_in_go_are_those_of_openssl(write: Write) -> None:
    for name, ours in _SUITES.items():
        context = load(write(tls(f"cipher_suites: [{name}]"))).context
        assert context is not None
        assert [each["name"] for each in context.get_ciphers() if each["protocol"] != "TLSv1.3"] == [ours]
    ordered = ("TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384", "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256")
    of_tls13 = "TLS_AES_128_GCM_SHA256, TLS_AES_256_GCM_SHA384, TLS_CHACHA20_POLY1305_SHA256"
    context = load(write(tls(f"cipher_suites: [{of_tls13}, {', '.join(ordered)}]"))).context
    assert context is not None
    found = [each["name"] for each in context.get_ciphers() if each["protocol"] != "TLSv1.3"]
    assert found == [_SUITES[each] for each in ordered]
    assert load(write(tls(f"cipher_suites: [{of_tls13}]", "min_version: TLS13"))).context is not None


@pytest.mark.parametrize("curve", ["CurveP256", "CurveP384", "CurveP521", "X25519"])
def test_every_curve_can_be_the_one(write: Write, curve: str) -> None:
    assert load(write(tls(f"curve_preferences: [{curve}]"))).context is not None


def test_an_interval_of_zero_is_no_limit(write: Write) -> None:
    assert load(write("rate_limit: {interval: 0, burst: 3}")).rate_limit.interval == 0
    assert load(write("rate_limit: {interval: 0s}")).rate_limit.interval == 0


async def handshake(settings: WebSettings, client: ssl.SSLContext) -> str | None:
    """Shake hands once; the version spoken, None where there is none."""
    assert settings.context is not None

    async def accept(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    server = await asyncio.start_server(accept, "127.0.0.1", 0, ssl=settings.context)
    async with server:
        port = server.sockets[0].getsockname()[1]
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=client)
        except (ssl.SSLError, ConnectionError):
            return None
        spoken: str = writer.get_extra_info("ssl_object").version()
        writer.close()
        return spoken


@pytest.mark.parametrize(
    ("versions", "offered", "spoken"),
    [
        (("TLS12", "TLS13"), ssl.TLSVersion.TLSv1_2, "TLSv1.2"),
        (("TLS12", "TLS13"), ssl.TLSVersion.TLSv1_3, "TLSv1.3"),
        (("TLS13", "TLS13"), ssl.TLSVersion.TLSv1_2, None),
        (("TLS12", "TLS12"), ssl.TLSVersion.TLSv1_3, "TLSv1.2"),
    ],
)
async def test_no_other_version_is_spoken_than_asked_for(
    write: Write,
    authority: trustme.CA,
    versions: tuple[str, str],
    offered: ssl.TLSVersion,
    spoken: str | None,
) -> None:
    settings = load(write(tls(f"min_version: {versions[0]}", f"max_version: {versions[1]}")))
    client = ssl.create_default_context()
    authority.configure_trust(client)
    client.maximum_version = offered
    assert await handshake(settings, client) == spoken


# what is refused


def locked(key: bytes) -> bytes:
    """The same key, with a passphrase."""
    found = serialization.load_pem_private_key(key, None)
    form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    return found.private_bytes(*form, serialization.BestAvailableEncryption(b"hush"))


@pytest.mark.parametrize(
    ("text", "faults"),
    [
        ("tls_server_confg: {}", ["tls_server_confg: expected a known key, got 'tls_server_confg' (did you"]),
        ("- a", ["expected a mapping of keys"]),
        ("basic_auth_users: {}\nbasic_auth_users: {}", ["basic_auth_users: expected each key once"]),
        ("http_server_config: {http2: true}", ["http_server_config.http2: expected false, or no such key"]),
        ("http_server_config: {http2: 1}", ["http_server_config.http2: expected true or false, got 1"]),
        (
            "http_server_config: {headers: {Server: me}}",
            ["http_server_config.headers.Server: expected a known key"],
        ),
        (
            "http_server_config: {headers: {X-Frame-Options: maybe}}",
            ["http_server_config.headers.X-Frame-Options: expected one of"],
        ),
        (
            'http_server_config: {headers: {X-XSS-Protection: "0\\r\\nSet-Cookie: a=b"}}',
            ["http_server_config.headers.X-XSS-Protection: expected a header's value"],
        ),
        ("rate_limit: {interval: 1s}", ["rate_limit.burst: expected at least 1"]),
        ("rate_limit: {interval: 5}", ["rate_limit.interval: expected a duration"]),
        ("rate_limit: {interval: 1s, burst: -1}", ["rate_limit.burst: expected a number from 0"]),
        (
            "tls_server_config: {cert_file: cert.pem}",
            ["tls_server_config.key_file: expected key_file or key"],
        ),
        (
            "tls_server_config: {key_file: key.pem}",
            ["tls_server_config.cert_file: expected cert_file or cert"],
        ),
        ("tls_server_config: {min_version: TLS13}", ["tls_server_config: expected cert_file and key_file"]),
        (
            tls("cert: x", "client_ca: x", "client_ca_file: none"),
            [
                "tls_server_config.cert: expected this or cert_file, not both",
                "tls_server_config.client_ca: expected this or client_ca_file, not both",
                "tls_server_config.client_ca_file: expected a file that can be read: {folder}/none: No",
                "tls_server_config.client_auth_type: expected a type that asks for certificates",
            ],
        ),
        (
            tls(cert="none", key="."),
            [
                "tls_server_config.cert_file: expected a file that can be read: {folder}/none: No such file",
                "tls_server_config.key_file: expected a file that can be read: {folder}: Is a directory",
            ],
        ),
        (
            tls(key="other.key"),
            ["tls_server_config.key_file: expected the key of the certificate, got that of another one"],
        ),
        (tls(cert="web.yml"), ["tls_server_config.cert_file: expected a certificate and its key as PEM"]),
        (tls(key="cert.pem"), ["tls_server_config.cert_file: expected a certificate and its key as PEM"]),
        (tls(key="locked.key"), ["tls_server_config.key_file: expected a key without a passphrase"]),
        (
            tls("client_ca_file: web.yml", "client_auth_type: RequireAndVerifyClientCert"),
            ["tls_server_config.client_ca_file: expected certificates as PEM"],
        ),
        (
            tls("client_auth_type: RequireAndVerifyClientCert"),
            ["tls_server_config.client_ca_file: expected client_ca_file or client_ca"],
        ),
        *(
            (
                tls(f"client_auth_type: {kind}"),
                [f"tls_server_config.client_auth_type: expected one of .*, got {kind}: a certificate"],
            )
            for kind in ("RequestClientCert", "RequireAnyClientCert", "RequireClientCert")
        ),
        (tls("client_auth_type: Yes"), ["tls_server_config.client_auth_type: expected one of NoClientCert"]),
        (
            tls(
                "client_ca_file: ca.pem",
                "client_auth_type: VerifyClientCertIfGiven",
                "client_allowed_sans: []",
            ),
            ["tls_server_config.client_allowed_sans: expected client_auth_type RequireAndVerifyClientCert"],
        ),
        *(
            (
                tls(f"{key}: {old}"),
                [f"tls_server_config.{key}: expected TLS12 or TLS13, got {old}: TLS before"],
            )
            for key in ("min_version", "max_version")
            for old in ("TLS10", "TLS11")
        ),
        (tls("min_version: TLS14"), ["tls_server_config.min_version: expected TLS12 or TLS13, got 'TLS14'"]),
        (
            tls("min_version: TLS13", "max_version: TLS12"),
            ["tls_server_config.max_version: expected at least min_version"],
        ),
        (
            tls("cipher_suites: [TLS_RSA_WITH_RC4_128_SHA, 5]"),
            [
                "tls_server_config.cipher_suites[0]: expected a secure cipher suite by its name in Go",
                "tls_server_config.cipher_suites[1]: expected a cipher suite by its name in Go",
            ],
        ),
        (
            tls("cipher_suites: [TLS_AES_128_GCM_SHA256]"),
            [
                "tls_server_config.cipher_suites: expected all three suites of TLS 1.3 or none",
                "tls_server_config.cipher_suites: expected a suite of TLS 1.2 too",
            ],
        ),
        (
            tls("curve_preferences: [X25519, CurveP256]"),
            ["tls_server_config.curve_preferences: expected one curve"],
        ),
        (tls("curve_preferences: [P1]"), ["tls_server_config.curve_preferences[0]: expected one of"]),
        ("basic_auth_users: ann", ["basic_auth_users: expected names"]),
        (f"basic_auth_users: {{'a:b': {HASH}}}", ["basic_auth_users.'a:b': expected a name without a colon"]),
        (
            f"basic_auth_users: {{ann: {HASH.replace('$04$', '$31$')}}}",
            [f"basic_auth_users.ann: expected a bcrypt hash of a cost from 4 to {MAX_COST}"],
        ),
        (f"basic_auth_users: {{ann: $2b$04${'z' * 53}}}", ["basic_auth_users.ann: expected a bcrypt hash"]),
    ],
)
def test_what_is_wrong_is_named_each_on_a_line(
    write: Write, folder: Path, text: str, faults: list[str]
) -> None:
    (folder / "locked.key").write_bytes(locked((folder / "key.pem").read_bytes()))
    found = faults_of(write(text))
    assert len(found) == len(faults), found
    for fault, expected in zip(found, faults, strict=True):
        head, star, tail = expected.replace("{folder}", str(folder)).partition(".*")
        assert fault.startswith(head), fault
        assert not star or tail in fault, fault


def test_a_file_that_cannot_be_read_is_a_fault(tmp_path: Path) -> None:
    assert faults_of(tmp_path / "none") == ["expected a file that can be read: No such file or directory"]
    path = tmp_path / "web.yml"
    path.write_bytes(b"\xff")
    assert faults_of(path) == ["expected UTF-8 of at most 1 MiB"]
    path.write_text("#" * 2_000_000)
    assert faults_of(path) == ["expected at most 1 MiB of YAML"]


# what is secret stays so

PLANTED = "hunter2hunter2hunter2"


@pytest.mark.parametrize(
    "text",
    [
        f"basic_auth_users: {{ann: {PLANTED}}}",
        f"basic_auth_users: {{ann: [{PLANTED}]}}",
        f"basic_auth_users: {{ann: *{PLANTED}}}",
        f"basic_auth_users: {{ann: &{PLANTED} a}}",
        f"basic_auth_users: {{ann: !{PLANTED} a}}",
        f"basic_auth_users: {PLANTED}",
        f"basic_auth_users: {{ann: {HASH.replace('$04$', '$31$')}}}",
        f"basic_auth_users: {{ann: {HASH}x}}",
        f"tls_server_config: {PLANTED}",
        f"tls_server_config: {{key: [{PLANTED}], cert_file: cert.pem}}",
        f"tls_server_config: {{key: {PLANTED}, cert_file: cert.pem}}",
        f"tls_server_config: {{key: !{PLANTED} a, cert_file: cert.pem}}",
        f"tls_server_config: {{key_file: '-----BEGIN PRIVATE KEY-----\n\n{PLANTED}', cert_file: cert.pem}}",
        PLANTED,
    ],
)
def test_no_fault_shows_what_may_be_secret(write: Write, text: str) -> None:
    faults = faults_of(write(text))
    assert faults
    assert PLANTED not in str(faults)
    assert HASH[7:] not in str(faults)


def test_settings_do_not_show_what_is_secret(write: Write, folder: Path) -> None:
    key = "\n".join(f"    {line}" for line in (folder / "key.pem").read_text().splitlines())
    settings = load(
        write(
            f"tls_server_config:\n  cert_file: cert.pem\n  key: |\n{key}\nbasic_auth_users: {{ann: {HASH}}}"
        )
    )
    assert HASH not in repr(settings)
    assert "PRIVATE" not in repr(settings)


# what changes


@pytest.mark.parametrize("name", ["web.yml", "cert.pem", "key.pem", "ca.pem"])
def test_a_file_that_is_written_replaced_or_gone_is_seen(write: Write, folder: Path, name: str) -> None:
    text = tls("client_ca_file: ca.pem", "client_auth_type: RequireAndVerifyClientCert")
    settings = load(write(text))
    assert not settings.changed()
    path = folder / name
    os.utime(path, ns=(1, path.stat().st_mtime_ns + 1))
    assert settings.changed()
    settings = load(folder / "web.yml")
    (folder / "new").write_bytes(path.read_bytes())
    os.utime(folder / "new", ns=(1, path.stat().st_mtime_ns))
    (folder / "new").rename(path)
    assert settings.changed()
    settings = load(folder / "web.yml")
    path.unlink()
    assert settings.changed()


def test_what_changes_while_it_is_read_is_seen_the_next_time(
    write: Write, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tls())

    def meanwhile(*args: Any) -> ssl.SSLContext:
        context = server_context(*args)
        os.utime(folder / "key.pem", ns=(1, 1))
        return context

    monkeypatch.setattr(web_config, "server_context", meanwhile)
    assert load(path).changed()
