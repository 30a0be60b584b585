"""Sidecars of any version as processes, all by one clock that the test turns."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import sys
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final, TypeAlias, TypeVar

import aiohttp
from prometheus_client.parser import text_string_to_metric_families

from tests.unmeasured import unmeasured
from tests.upgrade import accelerated

ROOT: Final = Path(__file__).parents[2]

T = TypeVar("T")
Config: TypeAlias = Mapping[str, Any]
"""A configuration as it stands in the file; no type of ours, for it is read by another version."""
Streams: TypeAlias = tuple[asyncio.StreamReader, asyncio.StreamWriter]

H: Final = 60.0
"""HeartbeatTimeout, in seconds of the clock: of the sidecars' own limits none is near it."""

_STEP: Final = 1.0
"""Seconds of the clock; what goes from one process to another takes at most so long."""

_LOOK: Final = 5.0
"""Seconds of the clock from one look at the sidecars to the next."""

_PATIENCE: Final = 30.0
"""Real seconds that anything may take."""


class Clock:
    """The time of all sidecars that began with it; it stands still but while somebody waits by it."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.running: set[Sidecar] = set()

    async def step(self) -> None:
        """Let a second pass, and all that is to be done in it be done."""
        self.now += _STEP
        for sidecar in self.running:
            sidecar.tell_time()
        for sidecar in self.running:
            await sidecar.idle()

    async def run_to(self, end: float) -> None:
        """Let time pass until ``end``."""
        while self.now < end:
            await self.step()

    async def until(self, ask: Callable[[], Awaitable[T]], expected: T, within: float) -> None:
        """Let time pass until the answer is as ``expected``, for ``within`` seconds at most."""
        end = self.now + within
        while (answer := await ask()) != expected:
            assert self.now < end, f"expected within {within:g} s: {expected}, got {answer}"
            await self.run_to(self.now + _LOOK)


class Sidecar:
    """One sidecar that runs, in a process of its own; ``control`` is where it hears the clock."""

    def __init__(
        self, clock: Clock, process: Process, control: Streams, session: aiohttp.ClientSession, file: Path
    ) -> None:
        self._clock = clock
        self._process = process
        self._reader, self._writer = control
        self._session = session
        self._file = file

    def log(self) -> str:
        """All that it wrote."""
        return _log(self._file).read_text()

    def tell_time(self) -> None:
        """Send it the clock's time."""
        self._writer.write(accelerated.TIME.pack(self._clock.now))

    async def idle(self) -> None:
        """Wait until it has nothing to do at this time."""
        try:
            async with asyncio.timeout(_PATIENCE):
                assert await self._reader.readexactly(1) == accelerated.IDLE
        except (TimeoutError, asyncio.IncompleteReadError) as error:
            raise AssertionError(f"{self._file.stem} does not go on: {self.log()}") from error

    async def reload(self, config: Config) -> None:
        """Have it take up another configuration."""
        self._file.write_text(json.dumps(config))
        async with self._session.post("/-/reload"):
            pass

    async def get(self, path: str) -> Any:
        """Ask its API."""
        async with self._session.get(f"/api/v1/{path}") as response:
            return await response.json()

    async def states(self) -> dict[str, str]:
        """What it judges, by member: the state and why."""
        members = (await self.get("cluster"))["members"]
        return {each["id"]: f"{each['judged_state']}: {each['reason']}" for each in members}

    async def overrides(self) -> dict[str, tuple[str, ...]]:
        """The overrides that stand, by member: the state, who said so and why, and where."""
        standing = (await self.get("overrides"))["overrides"]
        return {
            each["peer"]: (each["state"], each["author"], each["reason"], each["node"]) for each in standing
        }

    async def override(self, peer: str, state: str, seconds: float, author: str) -> None:
        """Set an override; it has to be on the disk."""
        wanted = {"state": state, "for_seconds": seconds, "author": author, "reason": f"of {author}"}
        async with self._session.put(f"/api/v1/overrides/{peer}", json=wanted) as response:
            assert (await response.json())["stored"]

    async def clear(self, peer: str, author: str) -> None:
        """Clear one; that has to be on the disk."""
        async with self._session.delete(f"/api/v1/overrides/{peer}", params={"author": author}) as response:
            assert (await response.json())["stored"]

    async def events(self) -> list[dict[str, Any]]:
        """The journal, oldest first."""
        entries: list[dict[str, Any]] = (await self.get("events?limit=1000"))["entries"]
        return entries

    async def metric(self, sample: str, **labels: str) -> dict[tuple[str, ...], float]:
        """Scrape: the samples of that name and these labels that are not 0, by their other labels' values."""
        async with self._session.get("/metrics") as response:
            text = await response.text()
        return {
            tuple(value for name, value in sorted(each.labels.items()) if name not in labels): each.value
            for family in text_string_to_metric_families(text)
            for each in family.samples
            if each.name == sample and labels.items() <= each.labels.items() and each.value
        }

    async def rejected(self) -> dict[tuple[str, ...], float]:
        """How many reports it refused, by reason."""
        return await self.metric("raft_exporter_rejected_total", source="report")

    async def serves(self) -> bool:
        """Whether it serves by now."""
        try:
            async with self._session.get("/-/healthy") as response:
                return response.status == 200
        except aiohttp.ClientConnectionError:
            assert self._process.returncode is None, self.log()
            return False


@asynccontextmanager
async def running(clock: Clock, package: Path, config: Config, home: Path) -> AsyncIterator[Sidecar]:
    """A sidecar by that clock, once it serves; ``package`` is the directory that holds its version."""
    file = home / f"{config['node']['id']}.yml"
    file.write_text(json.dumps(config))
    async with _process(package, file) as (process, control):
        # A new connection each time: the sidecar may close one that waits, by its own clock.
        connector = aiohttp.TCPConnector(force_close=True)
        base = f"http://{config['web']['listen'][0]}"
        async with aiohttp.ClientSession(base, connector=connector, raise_for_status=True) as session:
            sidecar = Sidecar(clock, process, control, session, file)
            sidecar.tell_time()
            await sidecar.idle()
            async with asyncio.timeout(_PATIENCE):
                while not await sidecar.serves():
                    await asyncio.sleep(0.01)
            clock.running.add(sidecar)
            try:
                yield sidecar
            finally:
                clock.running.remove(sidecar)


@asynccontextmanager
async def _process(package: Path, file: Path) -> AsyncIterator[tuple[Process, Streams]]:
    """Have it run, and end it while the time stands still: what it waits for has to come."""
    ours, theirs = socket.socketpair()
    with theirs, _log(file).open("ab") as log:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, accelerated.__file__, str(package), str(theirs.fileno())),
            *("run", "--config", str(file)),
            env=unmeasured(),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            pass_fds=[theirs.fileno()],
        )
    reader, writer = await asyncio.open_unix_connection(sock=ours)
    try:
        yield process, (reader, writer)
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        async with asyncio.timeout(_PATIENCE):
            await process.wait()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()
    assert process.returncode == 0, _log(file).read_text()


def _log(file: Path) -> Path:
    return file.with_suffix(".log")
