"""What stands before hashicorp/raft's protocol on a Raft port (docs/hashicorp-raft.md)."""

from __future__ import annotations

import ssl
from typing import Final, Literal, TypeAlias, get_args

from msgspec import Struct

from raft_exporter.schema import TlsConfig
from raft_exporter.sources.tls import TlsLayer, tls_context

RaftPort: TypeAlias = Literal["plain", "consul", "nomad", "rqlite"]
"""Those behind which the protocol itself can be had; Vault's and OpenBao's opens to their members alone."""

RAFT_PORTS: Final[tuple[RaftPort, ...]] = get_args(RaftPort)

_PREFIX: Final[dict[RaftPort, bytes]] = {
    "plain": b"",
    "consul": b"\x01",
    "nomad": b"\x02",
    "rqlite": b"\x01",
}
"""Which of the port's protocols this is: sent once, before the first request, inside of TLS."""

_BEFORE_TLS: Final[dict[RaftPort, bytes]] = {"plain": b"", "consul": b"\x03", "nomad": b"\x04", "rqlite": b""}
"""That TLS follows: sent in plain."""


class Front(Struct, frozen=True):
    """What is sent first on a new connection: ``before``, then TLS where ``context`` is, then ``prefix``.

    The certificate has to be for ``server_name``, or for the host that was connected to.
    """

    before: bytes = b""
    prefix: bytes = b""
    context: ssl.SSLContext | None = None
    server_name: str | None = None

    @classmethod
    def of(cls, port: RaftPort, tls: TlsConfig | None) -> Front:
        """Give what stands on such a port; NodeError when a file of ``tls`` can't be used."""
        if tls is None:
            return cls(prefix=_PREFIX[port])
        return cls(
            before=_BEFORE_TLS[port],
            prefix=_PREFIX[port],
            context=tls_context(tls),
            server_name=tls.server_name,
        )

    def layer(self, host: str) -> TlsLayer | None:
        """Give the TLS of one new connection to ``host``, at its beginning; None where there is none."""
        if self.context is None:
            return None
        # A scope is of this machine: no certificate has it.
        layer = TlsLayer(self.context, self.server_name or host.partition("%")[0])
        layer.begin()
        return layer


PLAIN: Final = Front()
"""The protocol itself."""
