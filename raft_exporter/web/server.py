"""The HTTP server: the application on its listening addresses, with or without TLS, within limits.

Addresses and TLS may change while it serves (``change.Change``). What stays the same is not touched, and a
connection is served by the rules that it came under until it has had its answer.
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import socket
import ssl
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Any, Final, cast

from aiohttp import web

from raft_exporter.change import Change, Ready
from raft_exporter.errors import system_reason
from raft_exporter.logs import event
from raft_exporter.web.connections import Connections, most_open
from raft_exporter.web.listening import Listener, Place, bind, places
from raft_exporter.web.requests import Requests, refusal

_log = logging.getLogger(__name__)

_DRAIN: Final = 0.8
"""Seconds that requests may still take, and answers to be sent, when the server closes."""
_SWEEP: Final = 1.0
"""Seconds from one look at what is out of time to the next."""
_START: Final = 0.1
"""Seconds of them for handshakes that are under way."""
_TLS_TIMES: Final = {"ssl_handshake_timeout": 5.0, "ssl_shutdown_timeout": 2.0}
"""Seconds for a handshake, which is four messages and a signature, and for the other end to say goodbye."""

Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


class WebServer:
    """Serves ``app``: :meth:`prepare` and the change's ``commit``, as often as need be, then :meth:`close`.

    ``rejected`` is told, by a word of ``CONNECTION_REASONS``, of each connection that is refused or closed.
    To be made and used in one event loop; ``clock`` gives its time.
    """

    def __init__(
        self,
        app: web.Application,
        rejected: Callable[[str], None] = lambda _: None,
        clock: Callable[[], float] | None = None,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._rejected = rejected
        self._runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=_DRAIN)
        self._connections = Connections(rejected, clock or self._loop.time, most_open(tls=False))
        self._server: web.Server | None = None
        self._listeners: tuple[Listener, ...] = ()
        self._context: ssl.SSLContext | None = None
        self._starting: dict[asyncio.Task[None], Requests] = {}
        self._sweeping: asyncio.TimerHandle | None = None

    @property
    def urls(self) -> list[str]:
        """The base URLs served."""
        scheme = "http" if self._context is None else "https"
        return [_url(scheme, each.address) for each in self._listeners]

    async def prepare(self, listen: Sequence[str], context: ssl.SSLContext | None) -> Change:
        """Bind what is new of ``listen``; StartError when that can't be. Nobody is served by it yet.

        Without ``context`` there is no TLS. The change of a context is the change of the object.
        """
        if self._server is None:
            await self._runner.setup()
            self._server = cast("web.Server", self._runner.server)
            self._server.request_handler = _watched(self._server.request_handler)
        wanted = await places(listen)
        stays = {place: each for place in wanted if (each := self._listener(place)) is not None}
        leaves = [each for each in self._listeners if each not in stays.values()]
        new = {place: text for place, text in wanted.items() if place not in stays}
        opened = bind(new, [wanted[place] for place in stays], leaves, self._take)
        at = stays | {each.asked: each for each in opened}
        listeners = tuple(dict.fromkeys(at[place] for place in wanted if place in at))

        async def commit() -> None:
            self._take_up(listeners, opened, context)

        async def discard() -> None:
            self._drop(opened)

        return Ready(commit, discard)

    async def close(self) -> None:
        """Listen no more, let requests be answered for a moment, and end all connections."""
        for each in self._listeners:
            each.close()
        self._listeners = ()
        if self._sweeping is not None:
            self._sweeping.cancel()
        due = self._loop.time() + _DRAIN
        if self._starting:
            await asyncio.wait(self._starting, timeout=_START)
        for requests in self._starting.values():
            requests.abort()
        await self._runner.cleanup()
        with suppress(TimeoutError):
            async with asyncio.timeout_at(due):
                await self._connections.empty.wait()
        self._connections.abort()
        if self._starting:
            await asyncio.wait(self._starting)
        await asyncio.sleep(0)  # in this turn of the loop sockets are closed

    def sweep(self) -> None:
        """Close what is out of time; done each second."""
        self._connections.sweep()

    def _take_up(
        self, listeners: Sequence[Listener], opened: Sequence[Listener], context: ssl.SSLContext | None
    ) -> None:
        """Serve on ``listeners``, of which ``opened`` are new; who waits at the others is served."""
        for each in self._listeners:
            if each not in listeners:
                each.close(last=True)
        self._listeners, self._context = tuple(listeners), context
        self._connections.limit = most_open(tls=context is not None)
        ways = {(each, context) for each in listeners}
        self._connections.leave(lambda way: way in ways)
        for each in opened:
            each.serve()
        if self._sweeping is None:
            self._sweep_again()

    def _drop(self, opened: Sequence[Listener]) -> None:
        """Close listeners that were not taken up, and serve who came to them for one of ours."""
        ports = {(each.family, each.address[1]) for each in self._listeners}
        for each in opened:
            each.close(last=(each.family, each.address[1]) in ports)

    def _sweep_again(self) -> None:
        self._sweeping = self._loop.call_later(_SWEEP, self._sweep_again)
        self.sweep()

    def _listener(self, place: Place) -> Listener | None:
        """Give the one that stands at a place, be it by a port that it got."""
        for each in self._listeners:
            if place in {each.asked, (each.family, each.address)}:
                return each
        return None

    def _take(self, sock: socket.socket, address: Any, listener: Listener) -> None:
        server = cast("web.Server", self._server)
        requests = Requests(server, sock, self._connections)
        connection = self._connections.admit(_origin(address[0]), requests, (listener, self._context))
        if connection is None:
            sock.close()
            return
        requests.connection = connection
        task = self._loop.create_task(self._begin(requests, sock, self._context))
        self._starting[task] = requests
        task.add_done_callback(self._starting.pop)

    async def _begin(self, requests: Requests, sock: socket.socket, context: ssl.SSLContext | None) -> None:
        times = {} if context is None else _TLS_TIMES
        try:
            await self._loop.connect_accepted_socket(lambda: requests, sock, ssl=context, **times)
        except OSError as error:
            # The frames hold the connection's 300 KB, and themselves until a garbage collection.
            error.with_traceback(None)
            if self._connections.gone(requests.connection):
                self._rejected("handshake")
                event(_log, logging.DEBUG, "no TLS handshake", error=system_reason(error))


def _watched(handle: Handler) -> Handler:
    """Note when a request begins; refuse a target that only a proxy has a use for, as a URL or an authority.

    One request begins in a turn of the event loop: however many want ``/metrics`` at once, which costs
    milliseconds each, the judging and the probes are due again after one of them.
    """
    turn = asyncio.Lock()

    async def handler(request: web.BaseRequest) -> web.StreamResponse:
        cast("Requests", request.protocol).connection.handled()
        if not request.raw_path.startswith("/"):
            return refusal("expected the path of a URL, got something else")
        async with turn:
            await asyncio.sleep(0)
        return await handle(request)

    return handler


def _origin(host: str) -> str | None:
    """Give whom a connection is counted to; a host has a whole /64 of IPv6.

    Nobody for loopback: a proxy there stands for many, and who is on this machine can do worse.
    """
    ip = ipaddress.ip_address(host.partition("%")[0])
    if ip.is_loopback:
        return None
    return str(ip if ip.version == 4 else ipaddress.ip_network((ip, 64), strict=False))


def _url(scheme: str, address: tuple[Any, ...]) -> str:
    host, port = address[:2]
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"
