"""By what the other sidecars know this one, and this one them: the cluster's secret, TLS, both or neither."""

from __future__ import annotations

import ssl

from msgspec import Struct

from raft_exporter.errors import RaftExporterError, StartError
from raft_exporter.from_files import FromFiles
from raft_exporter.report_proof import Secrets, secrets_from
from raft_exporter.schema import ReportsConfig, TlsConfig
from raft_exporter.sources.tls import tls_context


class ReportTrust(Struct, frozen=True):
    """What reports are asked for with. Two are equal when they are the same, files that change included."""

    token_file: str | None = None
    secrets: FromFiles[Secrets] | None = None
    tls: TlsConfig = TlsConfig()
    context: FromFiles[ssl.SSLContext] | None = None
    """None: TLS, if any, trusts what the system trusts, and shows no certificate."""

    @classmethod
    def of(cls, reports: ReportsConfig, before: ReportTrust) -> ReportTrust:
        """Read the files of ``reports``, but for what is as ``before``; StartError names the key."""
        key = "reports.token_file"
        try:
            secrets = before.secrets if reports.token_file == before.token_file else None
            if secrets is not None:
                secrets.refresh()
            elif reports.token_file is not None:
                secrets = secrets_from(reports.token_file)
            key = "reports.tls"
            tls, context = reports.tls, before.context if reports.tls == before.tls else None
            if context is not None:
                context.refresh()
            elif tls != TlsConfig():
                context = FromFiles(key, tls.files, lambda: tls_context(tls))
        except RaftExporterError as error:
            raise StartError(f"{key}: {error}") from error
        return cls(reports.token_file, secrets, tls, context)

    def at(self, url: str) -> ReportTrust:
        """What of it counts at a URL: without https there is no TLS."""
        return self if url.startswith("https:") else ReportTrust(self.token_file, self.secrets)

    def demands_proof_at(self, url: str) -> bool:
        """Whether who answers at a URL has to prove who it is."""
        return self.secrets is not None or (url.startswith("https:") and self.tls.verify)
