"""Lookups of names hold up nothing."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
import threading
from concurrent.futures import Future

import pytest

from raft_exporter.lookups import LookupThreads

HANGING = """
import asyncio, threading
from raft_exporter.lookups import LookupThreads

async def main():
    loop = asyncio.get_running_loop()
    loop.set_default_executor(LookupThreads())
    began = asyncio.Event()
    def hang():
        loop.call_soon_threadsafe(began.set)
        threading.Event().wait()

    hangs = loop.run_in_executor(None, hang)
    await began.wait()
    hangs.cancel()

asyncio.run(main())
"""


async def test_a_result_and_an_error_come_back() -> None:
    loop = asyncio.get_running_loop()
    executor = LookupThreads()
    assert await loop.run_in_executor(executor, divmod, 7, 2) == (3, 1)
    with pytest.raises(ZeroDivisionError):
        await loop.run_in_executor(executor, divmod, 7, 0)


def test_the_process_ends_while_a_lookup_hangs() -> None:
    result = subprocess.run([sys.executable, "-c", HANGING], capture_output=True, timeout=20, check=False)
    assert (result.returncode, result.stderr) == (0, b"")


def test_too_many_at_once_fail_and_there_is_room_again_afterwards() -> None:
    executor, go = LookupThreads(), threading.Event()
    waiting = [executor.submit(go.wait) for _ in range(64)]
    failed: Future[bool] = executor.submit(go.wait)
    with pytest.raises(socket.gaierror, match="64 names"):
        failed.result(5)
    go.set()
    assert all(future.result(5) for future in waiting)
    assert executor.submit(go.wait).result(5)
