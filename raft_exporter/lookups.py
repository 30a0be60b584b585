"""Threads for looking up names, which nobody waits for at the end.

A name server that does not answer holds a thread of ``getaddrinfo`` for up to half a minute, and asyncio and
the interpreter wait for every thread of the usual executor before the process may end.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Final, ParamSpec, TypeVar

_P = ParamSpec("_P")
_T = TypeVar("_T")

_MOST: Final = 64
"""Lookups at once; one more fails as a name that is not found at present."""


class LookupThreads(ThreadPoolExecutor):
    """An executor with a daemon thread for each call; to be an event loop's default one."""

    def __init__(self) -> None:
        super().__init__(max_workers=1)
        self._free = threading.Semaphore(_MOST)

    def submit(self, call: Callable[_P, _T], /, *args: _P.args, **kwargs: _P.kwargs) -> Future[_T]:
        """Run ``call`` in a thread of its own."""
        future: Future[_T] = Future()
        if not self._free.acquire(blocking=False):
            future.set_exception(
                socket.gaierror(socket.EAI_AGAIN, f"{_MOST} names are being looked up already")
            )
            return future

        def work() -> None:
            try:
                result = call(*args, **kwargs)
            except BaseException as error:
                self._free.release()
                future.set_exception(error)
            else:
                self._free.release()
                future.set_result(result)

        threading.Thread(target=work, name="lookup", daemon=True).start()
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Wait for nobody."""
        super().shutdown(wait=False, cancel_futures=cancel_futures)
