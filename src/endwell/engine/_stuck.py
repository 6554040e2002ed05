"""Finding the line at which a task hangs.

What a task waits for hangs together: a coroutine knows what it awaits, and so does an async generator. The
chain breaks where an object written in C stands between two of them, where a thread does the work, and where
a task waits for others. Those gaps are bridged here, each in its own way.
"""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Iterator
from types import FrameType
from typing import Any

from endwell.engine._frames import ASYNCIO, ENDWELL, calling, is_plumbing, name
from endwell.engine._threads import ThreadedIterator

_INNER = ("cr_await", "ag_await", "gi_yieldfrom")
_FRAMES = ("cr_frame", "ag_frame", "gi_frame")
_GO_BETWEENS = (
    "async_generator_asend",
    "async_generator_athrow",
    "anext_awaitable",
    "coroutine_wrapper",
    "FutureIter",
)
"""Types of C, without an attribute for what they stand for; the garbage collector knows it."""
_DEEPEST = 1000
"""Links of a chain: tasks may wait for each other in a circle."""


def where(task: asyncio.Task[Any], source: Any) -> str:
    """Say where `task`, which steps `source`, is waiting: `function (file:line)`.

    That is the innermost frame of the application's own code, and where that is in somebody else's.
    """
    frames = list(_waiting(task))
    if all(is_plumbing(frame) for frame in frames):
        frames += _waiting(source)
    return name(frames)


def _waiting(awaited: Any) -> Iterator[FrameType]:
    """The frames of what `awaited` waits for, from the outside in."""
    for _ in range(_DEEPEST):
        if awaited is None:
            return
        frame = _attribute(awaited, _FRAMES)
        if frame is not None:
            yield frame
        thread = _thread(frame)
        if thread is not None:
            yield from calling(thread.frame())
            return
        awaited = _beside(frame) or _attribute(awaited, _INNER) or _behind(awaited)


def _behind(awaited: Any) -> Any:
    """What a task, a gathering, or an object of C passes on the wait to."""
    if isinstance(awaited, asyncio.Task):
        return awaited.get_coro()
    if isinstance(awaited, asyncio.Future):
        return _unfinished(getattr(awaited, "_children", ()))
    if type(awaited).__name__ in _GO_BETWEENS:
        referents = gc.get_referents(awaited)
        return next((each for each in referents if hasattr(each, "__await__") or _has_frame(each)), None)
    return None


def _beside(frame: FrameType | None) -> Any:
    """What a frame waits for but does not await: the engine steps by hand, asyncio waits for many."""
    if frame is None:
        return None
    file, local = frame.f_code.co_filename, frame.f_locals
    if file.startswith(ENDWELL):
        return local.get("step")
    if file.startswith(ASYNCIO):
        # wait(), a TaskGroup, and Python 3.11's wait_for().
        group = getattr(local.get("self"), "_tasks", None)
        return _unfinished(local.get("fs") or group or (local.get("fut"),))
    return None


def _thread(frame: FrameType | None) -> ThreadedIterator | None:
    """The thread that a frame of the engine's waits for."""
    if frame is None or not frame.f_code.co_filename.startswith(ENDWELL):
        return None
    waiting = frame.f_locals.get("self")
    return waiting if isinstance(waiting, ThreadedIterator) else None


def _unfinished(futures: Any) -> Any:
    if not isinstance(futures, (set, list, tuple)):
        return None  # to look into a generator would take from it
    return next((each for each in futures if isinstance(each, asyncio.Task) and not each.done()), None)


def _has_frame(thing: Any) -> bool:
    return _attribute(thing, _FRAMES) is not None


def _attribute(thing: Any, names: tuple[str, ...]) -> Any:
    return next((found for name in names if (found := getattr(thing, name, None)) is not None), None)
