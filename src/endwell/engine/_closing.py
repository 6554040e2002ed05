"""Closing an iterator for good.

A generator that yields in its cleanup answers `close` with a RuntimeError, and stays suspended there with
the rest of its cleanup undone. So it is stepped on, what it yields discarded, until it is over or has shown
that it never will be.
"""

from __future__ import annotations

import asyncio
import inspect
from typing import Any

from endwell.engine._owned import release

_STEPS = 100


async def aclose(thing: Any) -> None:
    """Close by `aclose` or `close`, whichever there is; awaits what comes back.

    Raises:
        RuntimeError: A generator ignored its close.
    """
    method = getattr(thing, "aclose", None) or getattr(thing, "close", None)
    if method is None:
        return
    try:
        await release(method)
    except RuntimeError:
        if inspect.isasyncgen(thing) and thing.ag_frame is not None:
            await _step_out(thing)
        raise


async def _step_out(generator: Any) -> None:
    for _ in range(_STEPS):
        try:
            await anext(generator)
        except StopAsyncIteration:
            return
        await asyncio.sleep(0)  # where the cleanup's deadline can end it


def close(thing: Any) -> None:
    """`aclose`, for a sync iterator in its thread."""
    method = getattr(thing, "close", None)
    if method is None:
        return
    try:
        method()
    except RuntimeError:
        if inspect.isgenerator(thing):
            for _ in zip(range(_STEPS), thing, strict=False):
                pass
        raise
