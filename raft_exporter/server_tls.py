"""TLS as the web configuration file has it (``web_config``), made from Go's words with Python's ssl."""

from __future__ import annotations

import os
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Final, Literal

from msgspec import Meta, Struct

from raft_exporter import notation
from raft_exporter.errors import ConfigError, system_reason
from raft_exporter.notation import parse_file_path, shown
from raft_exporter.secret import Secret
from raft_exporter.strict_yaml import MAX_BYTES, Faults, Notation

_VERSIONS: Final = {"TLS12": ssl.TLSVersion.TLSv1_2, "TLS13": ssl.TLSVersion.TLSv1_3}
_CURVES: Final = {
    "CurveP256": "prime256v1",
    "CurveP384": "secp384r1",
    "CurveP521": "secp521r1",
    "X25519": "X25519",
}
_TLS13_SUITES: Final = frozenset(
    {"TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256"}
)
_SUITES: Final = {
    "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA": "ECDHE-ECDSA-AES128-SHA",
    "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA": "ECDHE-ECDSA-AES256-SHA",
    "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA": "ECDHE-RSA-AES128-SHA",
    "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA": "ECDHE-RSA-AES256-SHA",
    "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256": "ECDHE-ECDSA-AES128-GCM-SHA256",
    "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384": "ECDHE-ECDSA-AES256-GCM-SHA384",
    "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256": "ECDHE-RSA-AES128-GCM-SHA256",
    "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384": "ECDHE-RSA-AES256-GCM-SHA384",
    "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256": "ECDHE-RSA-CHACHA20-POLY1305",
    "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256": "ECDHE-ECDSA-CHACHA20-POLY1305",
}
"""The names that Go's crypto/tls has for its suites of TLS 1.2 (tls.CipherSuites), as OpenSSL has them."""

_VERIFYING: Final = {
    "NoClientCert": ssl.CERT_NONE,
    "VerifyClientCertIfGiven": ssl.CERT_OPTIONAL,
    "RequireAndVerifyClientCert": ssl.CERT_REQUIRED,
}
_UNVERIFYING: Final = {"RequestClientCert", "RequireAnyClientCert", "RequireClientCert"}


def _version(text: str) -> str:
    if text in {"TLS10", "TLS11"}:
        raise ConfigError([f"expected TLS12 or TLS13, got {text}: TLS before 1.2 is not spoken (RFC 8996)"])
    if text not in _VERSIONS:
        raise ConfigError([f"expected TLS12 or TLS13, got {shown(text)}"])
    return text


def _client_auth(text: str) -> str:
    if text in _UNVERIFYING:
        raise ConfigError(
            [
                f"expected one of {', '.join(_VERIFYING)}, got {text}: "
                "a certificate that is not verified can't be asked for here, and would prove nothing"
            ]
        )
    if text not in _VERIFYING:
        raise ConfigError([f"expected one of {', '.join(_VERIFYING)}, got {shown(text)}"])
    return text


def _suite(text: str) -> str:
    if text not in _SUITES and text not in _TLS13_SUITES:
        raise ConfigError([f"expected a secure cipher suite by its name in Go, got {shown(text)}"])
    return text


_FilePath = Annotated[str, Notation(notation.FILE_PATH, parse_file_path)]
_Text = Annotated[str, Notation("PEM as a text", str)]
_Key = Annotated[Secret, Notation("PEM as a text", lambda text: Secret(text) if text else None)]
_Version = Annotated[str, Notation("TLS12 or TLS13", _version)]
_San = Annotated[str, Notation("a name, address, e-mail or URI of a certificate", str)]


class TlsServerConfig(Struct, frozen=True):
    """The section ``tls_server_config``; a certificate or a key is given as a file or inline, not both."""

    cert: Annotated[_Text | None, Meta(description="The server's certificate, with its chain.")] = None
    cert_file: Annotated[_FilePath | None, Meta(description="The same, as a file.")] = None
    key: Annotated[_Key | None, Meta(description="Its key, without a passphrase.")] = None
    key_file: Annotated[_FilePath | None, Meta(description="The same, as a file.")] = None
    client_ca: Annotated[_Text | None, Meta(description="Who signs the clients' certificates.")] = None
    client_ca_file: Annotated[_FilePath | None, Meta(description="The same, as a file.")] = None
    client_auth_type: Annotated[
        str,
        Notation(f"one of {', '.join(_VERIFYING)}", _client_auth),
        Meta(description="Whether clients show a certificate: it is always verified."),
    ] = "NoClientCert"
    client_allowed_sans: Annotated[
        tuple[_San, ...] | None,
        Meta(description="One of these has to be a Subject Alternate Name of a client's certificate."),
    ] = None
    cipher_suites: Annotated[
        tuple[Annotated[str, Notation("a cipher suite by its name in Go", _suite)], ...],
        Meta(description="The suites for TLS 1.2, by their names in Go; OpenSSL's defaults without it."),
    ] = ()
    curve_preferences: Annotated[
        tuple[Literal["CurveP256", "CurveP384", "CurveP521", "X25519"], ...],
        Meta(description="The one curve for the key exchange."),
    ] = ()
    min_version: Annotated[_Version, Meta(description="The least version of TLS.")] = "TLS12"
    max_version: Annotated[_Version, Meta(description="The highest.")] = "TLS13"
    prefer_server_cipher_suites: Annotated[
        bool, Meta(description="Whether the order of cipher_suites counts, and not the client's.")
    ] = True

    @property
    def wanted(self) -> bool:
        """Whether it asks for TLS at all: the rest has no meaning without these."""
        files = (self.cert, self.cert_file, self.key, self.key_file, self.client_ca, self.client_ca_file)
        return any(files) or self.client_auth_type != "NoClientCert" or self.client_allowed_sans is not None

    @property
    def requires_certificate(self) -> bool:
        """Whether a client has to show a certificate."""
        return self.client_auth_type == "RequireAndVerifyClientCert"


def server_context(tls: TlsServerConfig, folder: Path, path: str, faults: Faults) -> ssl.SSLContext:
    """Make what connections are accepted with; of use only where no fault was noted.

    ``folder`` is what relative paths are relative to, ``path`` the key that ``tls`` stands under.
    """
    certificate = _pem(tls.cert, tls.cert_file, folder, f"{path}.cert", faults)
    inline = None if tls.key is None else tls.key.reveal()
    key = _pem(inline, tls.key_file, folder, f"{path}.key", faults)
    for name in ("cert", "key"):
        if not (getattr(tls, name) or getattr(tls, f"{name}_file")):
            faults.add(f"{path}.{name}_file", f"expected {name}_file or {name}, got nothing")
    authority = _pem(tls.client_ca, tls.client_ca_file, folder, f"{path}.client_ca", faults)
    _check_clients(tls, path, faults)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    _restrict(context, tls, path, faults)
    if certificate is not None and key is not None:
        _load_certificate(context, certificate, key, faults)
    if authority is not None:
        _load_authority(context, authority, faults)
    context.verify_mode = _VERIFYING[tls.client_auth_type]
    return context


class _Pem(Struct, frozen=True):
    """What was given, and under which key."""

    content: bytes
    path: str


def _pem(inline: str | None, file: str | None, folder: Path, path: str, faults: Faults) -> _Pem | None:
    """Give what is inline, or in the file; None for nothing, and where it can't be read."""
    if not file:
        return _Pem(inline.encode(), path) if inline else None
    if inline:
        faults.add(path, f"expected this or {path.rpartition('.')[2]}_file, not both")
    try:
        with (folder / file).open("rb") as opened:
            return _Pem(opened.read(MAX_BYTES), f"{path}_file")
    except OSError as error:
        reason = f"expected a file that can be read: {folder / file}: {system_reason(error)}"
        faults.add(f"{path}_file", reason)
        return None


def _check_clients(tls: TlsServerConfig, path: str, faults: Faults) -> None:
    authority = bool(tls.client_ca or tls.client_ca_file)
    if authority and tls.client_auth_type == "NoClientCert":
        faults.add(
            f"{path}.client_auth_type", "expected a type that asks for certificates beside a client CA"
        )
    if not authority and tls.client_auth_type != "NoClientCert":
        faults.add(
            f"{path}.client_ca_file", "expected client_ca_file or client_ca, as clients are to be verified"
        )
    if tls.client_allowed_sans is not None and not tls.requires_certificate:
        faults.add(
            f"{path}.client_allowed_sans", "expected client_auth_type RequireAndVerifyClientCert beside it"
        )


def _restrict(context: ssl.SSLContext, tls: TlsServerConfig, path: str, faults: Faults) -> None:
    """Set versions, suites and curve."""
    least, most = _VERSIONS[tls.min_version], _VERSIONS[tls.max_version]
    if least > most:
        faults.add(f"{path}.max_version", f"expected at least min_version ({tls.min_version})")
    context.minimum_version, context.maximum_version = least, most
    of_tls13 = _TLS13_SUITES.intersection(tls.cipher_suites)
    if of_tls13 and of_tls13 != _TLS13_SUITES:
        faults.add(
            f"{path}.cipher_suites",
            "expected all three suites of TLS 1.3 or none of them: they can't be chosen from",
        )
    of_tls12 = [_SUITES[each] for each in tls.cipher_suites if each in _SUITES]
    if of_tls12:
        context.set_ciphers(":".join(of_tls12))
    elif of_tls13 and tls.min_version == "TLS12":
        faults.add(f"{path}.cipher_suites", "expected a suite of TLS 1.2 too, or min_version TLS13")
    if not tls.prefer_server_cipher_suites:
        context.options &= ~ssl.OP_CIPHER_SERVER_PREFERENCE
    if len(tls.curve_preferences) > 1:
        faults.add(f"{path}.curve_preferences", "expected one curve: Python can set one only, in no order")
    elif tls.curve_preferences:
        context.set_ecdh_curve(_CURVES[tls.curve_preferences[0]])


def _load_certificate(context: ssl.SSLContext, certificate: _Pem, key: _Pem, faults: Faults) -> None:
    try:
        with _as_file(certificate.content) as certificate_path, _as_file(key.content) as key_path:
            # OpenSSL would ask for a passphrase on the terminal.
            context.load_cert_chain(certificate_path, key_path, password=_no_passphrase)
    except _PassphraseError:
        faults.add(key.path, "expected a key without a passphrase")
    except OSError as error:
        if getattr(error, "reason", None) == "KEY_VALUES_MISMATCH":
            faults.add(key.path, "expected the key of the certificate, got that of another one")
        else:
            faults.add(certificate.path, f"expected a certificate and its key as PEM: {_words(error)}")


def _load_authority(context: ssl.SSLContext, authority: _Pem, faults: Faults) -> None:
    try:
        with _as_file(authority.content) as path:
            context.load_verify_locations(path)
    except OSError as error:
        faults.add(authority.path, f"expected certificates as PEM: {_words(error)}")


class _PassphraseError(Exception):
    pass


def _no_passphrase() -> str:
    raise _PassphraseError


def _words(error: OSError) -> str:
    reason = getattr(error, "reason", None) or "not well-formed"
    return str(reason).replace("_", " ").lower()


@contextmanager
def _as_file(content: bytes) -> Iterator[str]:
    """Give what was read once as a file in memory: OpenSSL reads files alone, and all are of one moment."""
    number = os.memfd_create("tls", os.MFD_CLOEXEC)
    try:
        with os.fdopen(os.dup(number), "wb") as file:
            file.write(content)
        yield f"/proc/self/fd/{number}"
    finally:
        os.close(number)
