"""Waiting for what must come: by event, never by the clock."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


async def until(ask: Callable[[], object], within: float = 10.0) -> None:
    """Let the event loop run until ``ask`` is truthy; TimeoutError after ``within`` seconds."""
    async with asyncio.timeout(within):
        while not ask():
            await asyncio.sleep(0.001)
