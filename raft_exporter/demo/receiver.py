"""The other end of Alertmanager's webhooks: who was told what, and when."""

from __future__ import annotations

import http.server
import socket
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Final, Self

import msgspec
from msgspec import Struct

_MAX_BODY: Final = 1 << 20


class Alert(Struct, frozen=True):
    """One alert of a notification."""

    status: str
    labels: dict[str, str]
    annotations: dict[str, str]

    @property
    def name(self) -> str:
        """Its ``alertname``."""
        return self.labels["alertname"]


class Notification(Struct, frozen=True, rename="camel"):
    """One call of a webhook (Alertmanager's ``webhook_config``, version 4).

    ``receiver`` is the name of the receiver in Alertmanager's configuration; ``at`` is Unix time in seconds.
    """

    receiver: str
    status: str
    group_key: str
    alerts: tuple[Alert, ...]
    at: float = 0.0


class Receiver:
    """A web server that takes notifications and keeps them, oldest first. As a context it serves."""

    def __init__(self, listen: Callable[[], socket.socket] | None = None) -> None:
        """``listen`` makes the socket; by default one on a free port of loopback."""
        self.notifications: list[Notification] = []
        sock = listen() if listen is not None else socket.create_server(("127.0.0.1", 0))
        host, port = sock.getsockname()[:2]
        self.url = f"http://{host}:{port}"
        self._server = _Server(self.notifications, sock)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05})

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, notifications: list[Notification], sock: socket.socket) -> None:
        super().__init__(sock.getsockname()[:2], _Handler, bind_and_activate=False)
        self.socket.close()
        self.socket = sock
        self.notifications = notifications


class _Handler(http.server.BaseHTTPRequestHandler):
    server: _Server
    timeout = 10

    def do_POST(self) -> None:
        """Take one notification; whatever is none is a bad request."""
        try:
            body = self.rfile.read(min(int(self.headers["Content-Length"]), _MAX_BODY))
            notification = msgspec.json.decode(body, type=Notification)
        except (msgspec.MsgspecError, TypeError, ValueError):
            self.send_error(400)
            return
        self.server.notifications.append(msgspec.structs.replace(notification, at=time.time()))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing: what came is kept."""
