"""Stepping coroutines by hand."""

from __future__ import annotations

import asyncio
import types
from collections.abc import Awaitable, Generator
from types import CoroutineType
from typing import Any


def steppable(awaitable: Any) -> Any:
    """What has `send` and `throw`: a coroutine as it is, so that its frames can be seen from outside."""
    is_one = type(awaitable) is CoroutineType or hasattr(awaitable, "send")
    return awaitable if is_one else _awaiting(awaitable)


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


@types.coroutine
def resume(step: Any, waiting: Any, thrown: BaseException | None = None) -> Generator[Any, Any, Any]:
    """Go on with a coroutine that was stepped by hand and waits, to its end, in the task that runs.

    Args:
        step: The coroutine.
        waiting: What it yielded.
        thrown: It was cancelled meanwhile: it is told at once.
    """
    while True:
        if thrown is not None:
            error, thrown = thrown, None
            try:
                waiting = step.throw(error)
            except StopIteration as over:
                return over.value
            finally:
                del error  # its traceback refers to this frame
        try:
            yield waiting
        except BaseException as error:  # noqa: BLE001 - whatever comes is for the coroutine
            thrown = error
        else:
            return (yield from step)
