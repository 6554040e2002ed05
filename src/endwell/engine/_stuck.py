"""Naming the line at which a task hangs."""

from __future__ import annotations

import asyncio
from types import FrameType
from typing import Any

from endwell.engine._threads import ThreadedIterator

_INNER = ("cr_await", "ag_await", "gi_yieldfrom")
_FRAMES = ("cr_frame", "ag_frame", "gi_frame")


def where(task: asyncio.Task[Any], source: Any) -> str:
    """Say where `task`, which steps `source`, is waiting: `function (file:line)`.

    The source is looked into first: it is stepped by hand, so no chain of awaits leads from the task into a
    generator, and none into a thread.
    """
    frame = source.frame() if isinstance(source, ThreadedIterator) else _innermost(source)
    frame = frame or _innermost(task.get_coro())
    if frame is None:
        return "an unknown place"
    return f"{frame.f_code.co_qualname} ({frame.f_code.co_filename}:{frame.f_lineno})"


def _innermost(awaited: Any) -> FrameType | None:
    frame: FrameType | None = None
    while awaited is not None:
        frame = _attribute(awaited, _FRAMES) or frame
        awaited = _attribute(awaited, _INNER)
    return frame


def _attribute(thing: Any, names: tuple[str, ...]) -> Any:
    return next((found for name in names if (found := getattr(thing, name, None)) is not None), None)
