"""What stands for the other members of a cluster of any size: their Raft ports and sidecars, on loopback.

One sidecar of ours is among them, as it is in a cluster of real nodes: it probes every one of them and
fetches its report, and each of them fetches its.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
from collections.abc import AsyncIterator
from functools import partial
from typing import Final

import aiohttp
import msgpack
from aiohttp import web

from raft_exporter.wire import PROBE

OWN: Final = "n1"
_HOST: Final = "127.0.0.1"
_REPORT: Final = "/api/v1/report"
_HEARTBEAT_TIMEOUT: Final = 1.0


class Members:
    """``size`` members: the own node, which has a Raft port alone, and the others, each with a sidecar.

    ``probes`` and ``reports`` count what was asked of them so far.
    """

    def __init__(self, size: int) -> None:
        self.ids = [f"n{number}" for number in range(1, size + 1)]
        self.raft: dict[str, str] = {}
        self.sidecars: dict[str, str] = {}
        self.probes = 0
        self.reports = 0
        self._writers: set[asyncio.StreamWriter] = set()

    @contextlib.asynccontextmanager
    async def serving(self) -> AsyncIterator[None]:
        """Have all ports open."""
        async with contextlib.AsyncExitStack() as stack:
            for each in self.ids:
                server = await asyncio.start_server(partial(self._answer, each), _HOST, 0)
                stack.push_async_callback(server.wait_closed)
                stack.callback(server.close)
                self.raft[each] = f"{_HOST}:{server.sockets[0].getsockname()[1]}"
                if each != OWN:
                    self.sidecars[each] = await self._serve_report(each, stack)
            stack.callback(self._hang_up)
            yield

    def config(self, listen: str, store: str) -> str:
        """Write the configuration of the sidecar beside the own node, as JSON, which is YAML."""
        others = [each for each in self.ids if each != OWN]
        return json.dumps(
            {
                "node": {"id": OWN, "raft": self.raft[OWN]},
                "web": {"listen": [listen]},
                "observer": {"listen": []},
                "peers": [{"id": each, "address": self.raft[each]} for each in others],
                "reports": {"sidecars": [{"id": each, "url": self.sidecars[each]} for each in others]},
                "store": {"path": store},
            }
        )

    async def ask_for_reports(self, url: str, session: aiohttp.ClientSession) -> None:
        """Fetch the own sidecar's report as all the others do, each twice in a HeartbeatTimeout, for ever."""
        others = len(self.ids) - 1
        while others:
            async with session.get(url + _REPORT) as answer:
                await answer.read()
            await asyncio.sleep(random.uniform(0.5, 1.5) * _HEARTBEAT_TIMEOUT / 2 / others)

    async def _answer(self, each: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        answer = {
            "Addr": self.raft[each].encode(),
            "ID": each.encode(),
            "LastLog": 12345,
            "NoRetryBackoff": False,
            "ProtocolVersion": 3,
            "Success": False,
            "Term": 2,
        }
        packed = msgpack.packb("", use_bin_type=False) + msgpack.packb(answer, use_bin_type=False)
        self._writers.add(writer)
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            while await reader.readexactly(len(PROBE)):
                self.probes += 1
                writer.write(packed)
        self._writers.discard(writer)
        writer.close()

    def _hang_up(self) -> None:
        for writer in list(self._writers):
            writer.close()

    async def _serve_report(self, each: str, stack: contextlib.AsyncExitStack) -> str:
        report = {
            "version": 1,
            "node": {"id": each, "address": self.raft[each], "role": "follower", "term": 2},
            "members": [
                {"id": member, "silence_seconds": 0.2, "heartbeat_seconds": None, "raft_seconds": 0.2}
                for member in self.ids
            ],
        }
        body = json.dumps(report).encode()

        async def answer(_: web.Request) -> web.Response:
            self.reports += 1
            return web.Response(body=body, content_type="application/json")

        app = web.Application()
        app.router.add_get(_REPORT, answer)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        stack.push_async_callback(runner.cleanup)
        await web.TCPSite(runner, _HOST, 0).start()
        host, port = runner.addresses[0][:2]
        return f"http://{host}:{port}"
