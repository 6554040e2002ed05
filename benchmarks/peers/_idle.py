"""The heartbeat of those who write it into the application: a deadline on each read of a feed."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator

    from benchmarks.event import Token


async def with_heartbeat(feed: AsyncIterator[Token], seconds: float) -> AsyncGenerator[Token | None, None]:
    """Yield the feed's events, and None after each `seconds` of silence.

    Right only for a feed that survives a cancelled read, as a queue does and a generator does not.
    """
    while True:
        try:
            async with asyncio.timeout(seconds):
                event = await anext(feed)
        except TimeoutError:
            yield None
        except StopAsyncIteration:
            return
        else:
            yield event
