"""TLS on a connection that is there already: what it is made with, and its bytes in and out."""

from __future__ import annotations

import contextlib
import ssl
from typing import Final

from raft_exporter.errors import NodeError, TlsError, system_reason
from raft_exporter.schema import TlsConfig

_PIECE: Final = 64 * 1024


def tls_context(tls: TlsConfig) -> ssl.SSLContext:
    """Make what TLS connections are made with; NodeError when a file of it can't be used."""
    try:
        context = ssl.create_default_context(cafile=tls.ca_file)
        if tls.cert_file is not None:
            context.load_cert_chain(tls.cert_file, tls.key_file)
    except (OSError, ssl.SSLError) as error:
        raise NodeError("tls", f"TLS files: {system_reason(error)}") from error
    if not tls.verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


class TlsLayer:
    """TLS over one connection that stays the caller's: it takes the bytes that come and gives those to send.

    So a handshake has no timeout of its own, and the socket can be asked at any time what its host says.
    """

    def __init__(self, context: ssl.SSLContext, server_name: str | None) -> None:
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname=server_name)
        self.established = False
        """Whether the handshake is through: only then is anything sent inside."""
        self.ended = False
        """Whether the other end has said that nothing more comes."""

    def begin(self) -> None:
        """Begin the handshake."""
        with contextlib.suppress(ssl.SSLWantReadError):
            self._tls.do_handshake()

    def received(self, data: bytes) -> bytes:
        """Take the next bytes that came, and give what was inside of them; TlsError when TLS ends by them."""
        self._incoming.write(data)
        inside = bytearray()
        try:
            if not self.established:
                self._tls.do_handshake()
                self.established = True
            while piece := self._tls.read(_PIECE):
                inside += piece
            self.ended = True
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLError as error:
            raise TlsError(_why(error)) from error
        return bytes(inside)

    def send(self, data: bytes) -> None:
        """Send inside, once the handshake is through; TlsError when it can't be."""
        try:
            self._tls.write(data)
        except ssl.SSLError as error:
            raise TlsError(_why(error)) from error

    def end(self) -> None:
        """Tell the other end that nothing more comes."""
        if self.established:
            with contextlib.suppress(ssl.SSLError):
                self._tls.unwrap()

    def outgoing(self) -> bytes:
        """Give what is to be sent since the last time, also after an error: the alert that says why."""
        return self._outgoing.read()


def _why(error: ssl.SSLError) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"the certificate is not trusted: {error.verify_message}"
    return f"TLS: {system_reason(error)}"
