"""Waiting for tasks without being part of their fate."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Any, TypeVar

import anyio

from endwell.errors import SourceCrashed

T = TypeVar("T")

_AGAIN = 0.005
"""Seconds after which a cancellation that had no effect is made again."""


async def wait_out(future: asyncio.Future[Any]) -> asyncio.CancelledError | None:
    """Wait until `future` is done, however often the waiting task is cancelled meanwhile.

    Returns:
        The last such cancellation, for the caller to raise when all is in order.
    """
    if future.done():
        return None
    hit: asyncio.CancelledError | None = None
    # anyio cancels every await of a cancelled scope again, and would keep the loop busy with it.
    with anyio.CancelScope(shield=True):
        while not future.done():
            try:
                await asyncio.wait([future])
            except asyncio.CancelledError as error:
                hit = error
    try:
        return hit
    finally:
        del hit  # its traceback refers to this frame


async def end(task: asyncio.Task[Any]) -> None:
    """Cancel one of the library's own tasks and wait until it is over, however often the waiter is cancelled.

    Once may not do: a scope that the task is just leaving may swallow it (anyio's task groups before 4.15,
    which Starlette's BaseHTTPMiddleware has in each of its `receive()`).
    """
    while not task.done():
        task.cancel()
        with anyio.CancelScope(shield=True):
            try:
                await asyncio.wait([task], timeout=_AGAIN)
            except asyncio.CancelledError:
                pass


async def contained(work: Awaitable[T], what: str) -> T:
    """Run `work` so that no SystemExit or KeyboardInterrupt leaves its task, and takes the event loop down.

    Raises:
        SourceCrashed: In the place of what is no `Exception`, which is its cause.
    """
    try:
        return await work
    except (Exception, asyncio.CancelledError, GeneratorExit):
        raise
    except BaseException as error:
        raise crash(error, what) from error


def crash(error: BaseException, what: str) -> SourceCrashed:
    """Say that `what` raised something that must not leave its task."""
    crashed = SourceCrashed(f"{what} raised {type(error).__name__} on its own account")
    crashed.__cause__ = error
    return crashed


def running_loop() -> asyncio.AbstractEventLoop | None:
    """The loop that runs in this thread, if one does."""
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None
