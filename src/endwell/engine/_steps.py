"""Stepping coroutines by hand."""

from __future__ import annotations

import asyncio
import types
from collections.abc import Awaitable, Generator
from typing import Any


def steppable(awaitable: Any) -> Any:
    """What has `send` and `throw`: a coroutine as it is, so that its frames can be seen from outside."""
    return awaitable if hasattr(awaitable, "send") else _awaiting(awaitable)


async def _awaiting(awaitable: Awaitable[Any]) -> Any:
    return await awaitable


@types.coroutine
def until_done(waiting: Any, done: asyncio.Future[None]) -> Generator[Any, Any, None]:
    """Wait for what a suspended coroutine waits for, so that cancelling the task does not cancel that.

    Args:
        waiting: What the coroutine yielded.
        done: Set when that is done; set by somebody else, it ends the wait earlier.
    """
    if waiting is None:  # a bare turn of the loop
        yield None
        return
    waiting._asyncio_future_blocking = False  # noqa: SLF001 - as asyncio.Task does with what it is handed

    def wake(_: object) -> None:
        if not done.done():
            done.set_result(None)

    waiting.add_done_callback(wake)
    yield from done
