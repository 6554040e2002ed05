"""Stepping a sync iterator in a thread of its own.

One thread runs the iterator from its first step to its close, so what belongs to a thread (a sqlite3 cursor)
stays in it, and nobody ever closes a running generator. It works ahead by a few chunks, within bounds, and
looks at a flag before every step. The thread is a daemon: a step that never returns cannot hold up the
interpreter's exit.
"""

from __future__ import annotations

import asyncio
import contextvars
import functools
import threading
from collections import deque
from collections.abc import Callable, Iterable
from types import FrameType
from typing import Any

from endwell.engine._closing import close
from endwell.engine._current import current
from endwell.engine._pool import Job, ThreadPool

_AHEAD_CHUNKS = 32
_AHEAD_BYTES = 256 * 1024
_LOOK_AT_LOOP = 5.0
"""Seconds after which a thread that waits for room looks whether its loop still exists."""


class ThreadedIterator:
    """A sync iterable as an async iterator with `aclose`. Make it, step it and close it in one task.

    Args:
        iterable: What to step.
        pool: Where its thread comes from, at the first step. Until there is one, that step waits.
        encode: Makes a frame of each chunk, in the thread and before the next one is asked for: a source may
            use one buffer, or one dict, for all of its chunks.
    """

    def __init__(
        self, iterable: Iterable[Any], pool: ThreadPool, encode: Callable[[Any], Any] | None = None
    ) -> None:
        self._encode = encode or _as_it_is
        self._iterable = iterable
        self._pool = pool
        self._loop = asyncio.get_running_loop()
        self._job: Job | None = None
        # What follows is shared with the thread.
        self._state = threading.Condition()
        self._ready: deque[Any] = deque()
        self._ready_bytes = 0
        self._errors: list[BaseException] = []
        self._opened = False
        self._stopping = False
        self._finished = False
        self._waiter: asyncio.Future[None] | None = None

    def __aiter__(self) -> ThreadedIterator:
        return self

    async def __anext__(self) -> Any:
        if self._job is None:
            self._job = self._enter()
        while not self._ready:
            if self._finished:
                self._raise_first()
                raise StopAsyncIteration
            await self._changed()
        with self._state:
            chunk = self._ready.popleft()
            self._ready_bytes -= _weight(chunk)
            self._state.notify()
        return chunk

    async def aclose(self) -> None:
        """Have the iterator closed in its thread, after the step it is in; waits for that.

        Cancelled while it waits, it lets the thread go.

        Raises:
            BaseException: What that step, or the close, raised.
        """
        if self._job is not None and not self._pool.withdraw(self._job):
            await self._stop(self._job)
        if not self._opened:
            # Nothing of it has run, so there is nothing that a thread would be needed for.
            self._finished = True
            self._close(self._iterable)
        if len(self._errors) > 1:
            errors, self._errors = self._errors, []
            raise BaseExceptionGroup("closing a source", errors)
        self._raise_first()

    @property
    def started(self) -> bool:
        """Whether anything of the iterable has run; one that waits for a thread has not started."""
        return self._opened

    def frame(self) -> FrameType | None:
        """What the thread is running."""
        return None if self._job is None else self._job.frame()

    # -- on the loop -------------------------------------------------------------------------------------

    def _enter(self) -> Job:
        # One context for all steps and the close.
        run = contextvars.copy_context().run
        what = getattr(self._iterable, "__qualname__", type(self._iterable).__qualname__)
        stream = current.get(None)
        label = f"sync source {what}" + (f" of stream {stream.id}" if stream is not None else "")
        job = Job(functools.partial(run, self._work), self._done, label)
        self._pool.run(job)
        return job

    async def _stop(self, job: Job) -> None:
        with self._state:
            self._stopping = True
            self._state.notify()
        try:
            while not self._finished:
                await self._changed()
        except asyncio.CancelledError:
            self._pool.let_go(job)
            raise

    async def _changed(self) -> None:
        with self._state:
            if (self._ready and not self._stopping) or self._finished:
                return
            waiter = self._waiter = self._loop.create_future()
        await waiter

    def _raise_first(self) -> None:
        if not self._errors:
            return
        error = self._errors.pop(0)
        try:
            if isinstance(error, (StopIteration, StopAsyncIteration)):
                # Raised in here it would look like the iterator's regular end.
                raise RuntimeError(f"the source raised {type(error).__name__}") from error  # noqa: TRY004
            raise error
        finally:
            del error  # its traceback refers to this frame

    # -- in the thread -----------------------------------------------------------------------------------

    def _work(self) -> None:
        with self._state:
            if self._stopping:
                return  # the client left before there was a thread: nothing of the source runs
            self._opened = True
        iterator: Any = None
        try:
            iterator = iter(self._iterable)
            for chunk in iterator:
                if not self._hand_over(self._encode(chunk)):
                    break
        except BaseException as error:  # noqa: BLE001 - every way a source can end is reported to the loop
            self._errors.append(error)
        if iterator is not self._iterable:
            self._close(iterator)
        self._close(self._iterable)

    def _close(self, thing: Any) -> None:
        try:
            close(thing)
        except BaseException as error:  # noqa: BLE001
            self._errors.append(error)

    def _done(self, refused: Exception | None) -> None:
        with self._state:
            if refused is not None:
                self._errors.append(refused)
            self._finished = True
            self._notify_loop()

    def _hand_over(self, chunk: Any) -> bool:
        """Give one chunk to the loop; wait while it is far behind. False: stop."""
        with self._state:
            if self._stopping:
                return False
            self._ready.append(chunk)
            self._ready_bytes += _weight(chunk)
            self._notify_loop()
            while not (self._stopping or self._has_room()):
                if not self._state.wait(_LOOK_AT_LOOP) and self._loop.is_closed():
                    return False
            return not self._stopping

    def _has_room(self) -> bool:
        return len(self._ready) < _AHEAD_CHUNKS and self._ready_bytes < _AHEAD_BYTES

    def _notify_loop(self) -> None:
        waiter, self._waiter = self._waiter, None
        if waiter is None:
            return
        try:
            self._loop.call_soon_threadsafe(_wake, waiter)
        except RuntimeError:
            pass  # the loop is closed: nobody waits any more


def _as_it_is(chunk: Any) -> Any:
    return chunk


def _wake(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)


def _weight(chunk: Any) -> int:
    return len(chunk) if isinstance(chunk, (bytes, bytearray, memoryview, str)) else 0
