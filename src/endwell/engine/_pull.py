"""The source's task: step the source by hand, so that what is ready never waits and what waits is never lost.

`async for` hides whether a step suspended. Stepped by hand, a chunk that is ready costs a method call; and
the moment the source really waits is the moment to send what is corked. Everything the source waits for is
passed through to the event loop untouched, so cancel scopes, timeouts and context variables that the source
holds across a `yield` stay in one task (PEP 789).
"""

from __future__ import annotations

import asyncio
import sys
import types
from collections.abc import AsyncIterator, Callable, Generator
from time import monotonic
from types import AsyncGeneratorType
from typing import TYPE_CHECKING, Any

from endwell.engine._steps import resume, steppable

if TYPE_CHECKING:
    from endwell.engine._stream import Stream

SLICE = 0.001
"""Seconds that a source which is always ready may run before the event loop gets a turn. A turn costs about
2 µs, a chunk about 2 µs, so 1 ms makes the turns negligible and keeps other requests well under 10 ms."""

_FORGETFUL = sys.version_info < (3, 13)
"""Task groups of these Pythons may leave a cancellation behind; see `Work.look`."""


@types.coroutine
def pull(  # noqa: C901, PLR0912 - the hot loop: a call would cost as much as what it does
    source: AsyncIterator[Any], stream: Stream, encode: Callable[[Any], bytes]
) -> Generator[Any, Any, None]:
    """Step `source` and hand its chunks to the stream's writer, until it ends or the stream does.

    Returns when the stream's outcome stands. Raises what the source raises, StopAsyncIteration at its end.
    """
    writer, machine, work = stream.writer, stream.machine, stream.work
    frames, corked, loop = writer.frames, writer.cork, stream.loop
    is_first = True
    is_generator = isinstance(source, AsyncGeneratorType)  # whose steps can be stepped as they are
    task = work.task if _FORGETFUL else None
    step: Any = source.__anext__()
    turn_over = monotonic() + SLICE
    while True:
        if not is_generator:
            step = steppable(step)
        try:
            waiting = step.send(None)
        except StopIteration as ready:
            chunk = ready.value
        else:
            # The source begins to wait: the moment to send what is corked. Then wait with it.
            held_up = writer.push() if frames and not writer.lingering else None
            if held_up is None:
                try:
                    yield waiting
                except BaseException as error:  # noqa: BLE001 - whatever comes is for the source
                    chunk = yield from resume(step, waiting, error)
                else:
                    chunk = yield from step
            else:
                chunk = yield from resume(step, waiting, (yield from held_up.carry()))
            machine.last_chunk_at = loop.time()
            turn_over = monotonic() + SLICE
            if task is not None and not stream.decided:
                work.stale = task.cancelling()
        if stream.decided:
            writer.discarded += 1
            return  # the chunk came after the end: nobody is promised it
        frame = encode(chunk)
        if frame:
            frames.append(frame)
            writer.size += len(frame)
        else:
            writer.skip()
        if is_first:
            is_first = False
            stream.first_chunk()
        if writer.size >= corked or monotonic() >= turn_over:
            step = yield from _take_turn(source, stream)
            if step is None:
                return
            turn_over = monotonic() + SLICE
        else:
            step = source.__anext__()


@types.coroutine
def _take_turn(source: AsyncIterator[Any], stream: Stream) -> Generator[Any, Any, Any]:
    """Let the event loop turn, then return the source's next step; None if the stream is over."""
    try:
        yield from _breathe(stream)
    except asyncio.CancelledError as cancel:
        if stream.decided:
            return None
        # Not ours: a timeout or cancel scope of the source's own, held across its yield. It is for it.
        return _throw(source, cancel)
    return None if stream.decided else source.__anext__()


@types.coroutine
def _breathe(stream: Stream) -> Generator[Any, Any, None]:
    """Send what is corked, and let the event loop turn; longer, if the client is behind."""
    writer, machine = stream.writer, stream.machine
    machine.paused = True
    try:
        held_up = writer.push()
        cancelled = None if held_up is None else (yield from held_up.carry())
        if cancelled is not None:
            raise cancelled
        yield None
        yield from writer.room()
    finally:
        # The time that the client took is not the source's.
        machine.paused = False
        machine.last_chunk_at = stream.loop.time()


def _throw(source: AsyncIterator[Any], error: BaseException) -> Any:
    athrow = getattr(source, "athrow", None)
    if athrow is None:
        raise error
    return steppable(athrow(error))
