"""Naming the line at which a task hangs."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any

from endwell.engine._threads import ThreadedIterator

_INNER = ("cr_await", "ag_await", "gi_yieldfrom")
_FRAMES = ("cr_frame", "ag_frame", "gi_frame")
_ENGINE = str(Path(__file__).parent)
_NOT_THE_USERS = (str(Path(asyncio.__file__).parent), _ENGINE)


def where(task: asyncio.Task[Any], source: Any) -> str:
    """Say where `task`, which steps `source`, is waiting: `function (file:line)`.

    That is the innermost frame of somebody's own code: that it ends in a wait of asyncio's is no news.
    """
    frames = list(_frames(task, source))
    own = [frame for frame in frames if not frame.f_code.co_filename.startswith(_NOT_THE_USERS)]
    if not frames:
        return "an unknown place"
    frame = (own or frames)[-1]
    return f"{frame.f_code.co_qualname} ({frame.f_code.co_filename}:{frame.f_lineno})"


def _frames(task: asyncio.Task[Any], source: Any) -> Iterator[FrameType]:
    """The frames from the outside in. No chain of awaits leads from the task into a generator or a thread."""
    yield from _awaiting(task.get_coro())
    if isinstance(source, ThreadedIterator):
        yield from _calling(source.frame())
        yield from _awaiting(source.iterator)
    else:
        yield from _awaiting(source)


def _awaiting(awaited: Any) -> Iterator[FrameType]:
    while awaited is not None:
        frame = _attribute(awaited, _FRAMES)
        if frame is not None:
            yield frame
        awaited = _attribute(awaited, _INNER) or _stepped_by_hand(frame)


def _stepped_by_hand(frame: FrameType | None) -> Any:
    """What the engine's own frame waits with: a local there, not what it awaits."""
    is_ours = frame is not None and frame.f_code.co_filename.startswith(_ENGINE)
    return frame.f_locals.get("step") if frame is not None and is_ours else None


def _calling(frame: FrameType | None) -> Iterator[FrameType]:
    stack = []
    while frame is not None:
        stack.append(frame)
        frame = frame.f_back
    yield from reversed(stack)


def _attribute(thing: Any, names: tuple[str, ...]) -> Any:
    return next((found for name in names if (found := getattr(thing, name, None)) is not None), None)
