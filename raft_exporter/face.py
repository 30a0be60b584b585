"""The HTTP face of a sidecar: where it listens, by which certificate, and who is let in."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

from aiohttp import web

from raft_exporter import web_config
from raft_exporter.change import Change, Ready
from raft_exporter.config import Config
from raft_exporter.report_proof import Secrets
from raft_exporter.secret import Secret
from raft_exporter.web.access import Access, token_from
from raft_exporter.web.server import WebServer
from raft_exporter.web_config import WebSettings


class Face:
    """Serves ``app``, into which ``access`` lets who may come.

    ``token`` goes before that of the configuration, ``secrets`` gives those that the sidecars share, and
    ``rejected`` takes the reason of each refusal.
    """

    def __init__(
        self,
        app: web.Application,
        access: Access,
        token: Secret | None,
        secrets: Callable[[], Secrets | None],
        rejected: Callable[[str], None],
    ) -> None:
        self._access = access
        self._token = token
        self._secrets = secrets
        self._server = WebServer(app, rejected)
        self._path: str | None = None
        self._settings: WebSettings | None = None

    @property
    def urls(self) -> list[str]:
        """The base URLs that are served."""
        return self._server.urls

    async def prepare(self, config: Config) -> Change:
        """Get ready to serve as ``config`` says.

        ConfigError for the web configuration file, StartError for a token or an address that can't be had.
        """
        settings = await self._read(config.web.config_file)
        token = token_from(config.web.token_file, None if self._token is None else self._token.reveal())
        context = None if settings is None else settings.context
        serving = await self._server.prepare(config.web.listen, context)

        async def serve() -> None:
            self._path, self._settings = config.web.config_file, settings
            proved = config.reports.token_file is not None
            self._access.take(token, settings, (lambda: self._secrets() or ()) if proved else None)
            await serving.commit()

        return Ready(serve, serving.discard)

    async def changed(self) -> bool:
        """Whether a file of the web configuration is another than when it was read."""
        return self._settings is not None and await asyncio.to_thread(self._settings.changed)

    async def _read(self, path: str | None) -> WebSettings | None:
        if path is None:
            return None
        # Another TLS context would let go of all connections: what is the same stays the same.
        if path == self._path and not await self.changed():
            return self._settings
        return await asyncio.to_thread(web_config.load, Path(path))

    async def close(self) -> None:
        """Stop serving, once what is being answered is answered."""
        await self._server.close()
