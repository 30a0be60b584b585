"""The one tree of exceptions.

Each says, in one line, what was wrong, where, and what was expected. The command line prints
that line and no traceback.
"""

from __future__ import annotations

import os
import ssl
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, TypeAlias

Fault: TypeAlias = Literal["damaged", "foreign", "gone", "unavailable", "refused"]


class RaftExporterError(Exception):
    """Anything that raft-exporter itself reports as wrong."""


class ConfigError(RaftExporterError):
    """A configuration that can't be used.

    ``faults`` holds one line for each fault: file, key and what was expected.
    """

    def __init__(self, faults: Sequence[str]) -> None:
        self.faults: tuple[str, ...] = tuple(faults)
        super().__init__("; ".join(self.faults))


class WireError(RaftExporterError):
    """An answer that hashicorp/raft's RPC protocol does not allow; the connection is of no more use."""


class TlsError(WireError):
    """TLS that could not be had, or that broke: a certificate that is not trusted, the other end's alert."""


class StreamError(RaftExporterError):
    """A line of the observer stream that its contract does not allow.

    ``reason`` is a short fixed word, used as the label of a counter.
    """

    def __init__(self, reason: str, message: str) -> None:
        self.reason = reason
        super().__init__(message)


class ReportError(RaftExporterError):
    """A report of another sidecar that its contract does not allow.

    ``reason`` is a short fixed word, used as the label of a counter.
    """

    def __init__(self, reason: str, message: str) -> None:
        self.reason = reason
        super().__init__(message)


class NodeError(RaftExporterError):
    """The node's own API did not answer, or not as expected.

    ``reason`` is a short fixed word, used as the label of a counter; ``refused`` says that nobody listens.
    """

    def __init__(self, reason: str, message: str, *, refused: bool = False) -> None:
        self.reason = reason
        self.refused = refused
        super().__init__(message)


class StartError(RaftExporterError):
    """The sidecar could not start: a port in use, a socket that can't be made."""


class ClientError(RaftExporterError):
    """A running sidecar could not be asked, or answered with something else than expected."""


class StoreError(RaftExporterError):
    """A database, or a file of evidence, that can't be used.

    ``fault`` says what to do about it: a "damaged" or "foreign" file is set aside, one that is "gone" is made
    anew, an "unavailable" one may be fine the next time, and what it "refused" it never takes.
    """

    def __init__(self, fault: Fault, message: str, path: Path | None = None) -> None:
        self.fault = fault
        self.path = path
        super().__init__(message if path is None else f"{path}: {message}")


class DemoError(RaftExporterError):
    """The demo's cluster could not be built, started or reached."""


def system_reason(error: OSError) -> str:
    """What the system says of an error, in its own few words; asyncio and requests wrap it in more."""
    if isinstance(error, ssl.SSLError):  # its errno is OpenSSL's
        return (error.reason or str(error)).replace("_", " ").lower()
    if error.errno is not None and error.errno > 0:
        return os.strerror(error.errno)
    return error.strerror or str(error) or type(error).__name__
