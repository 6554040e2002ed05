"""Closing an iterator for good.

A generator that yields in its cleanup answers `close` with a RuntimeError, and stays suspended there with
the rest of its cleanup undone. So it is closed again, until it is over, or has shown that it never will be.
"""

from __future__ import annotations

import asyncio
import inspect
from typing import Any

from endwell.engine._owned import release

_TRIES = 100


async def aclose(thing: Any) -> None:
    """Close by `aclose` or `close`, whichever there is; awaits what comes back.

    Raises:
        RuntimeError: The first time that a generator ignored its close, when all tries are over.
    """
    method = getattr(thing, "aclose", None) or getattr(thing, "close", None)
    if method is None:
        return
    ignored: RuntimeError | None = None
    for _ in range(_TRIES):
        try:
            await release(method)
            break
        except RuntimeError as error:
            if not _is_suspended(thing):
                raise
            ignored = ignored or error
            await asyncio.sleep(0)  # where the cleanup's deadline can end it
    if ignored is not None:
        raise ignored


def close(thing: Any) -> None:
    """`aclose`, for a sync iterator in its thread."""
    method = getattr(thing, "close", None)
    if method is None:
        return
    ignored: RuntimeError | None = None
    for _ in range(_TRIES):
        try:
            method()
            break
        except RuntimeError as error:
            if not _is_suspended(thing):
                raise
            ignored = ignored or error
    if ignored is not None:
        raise ignored


def _is_suspended(thing: Any) -> bool:
    if inspect.isasyncgen(thing):
        return thing.ag_frame is not None and not thing.ag_running
    return inspect.isgenerator(thing) and thing.gi_frame is not None and not thing.gi_running
