"""Stepping a sync iterator in a thread of its own.

One thread runs the iterator from its first step to its close, so what belongs to a thread (a sqlite3 cursor)
stays in it, and nobody ever closes a running generator. It works ahead by a few chunks, within bounds, and
looks at a flag before every step. The thread is a daemon: a step that never returns cannot hold up the
interpreter's exit.
"""

from __future__ import annotations

import asyncio
import contextvars
import sys
import threading
from collections import deque
from collections.abc import Iterable
from types import FrameType
from typing import Any

from endwell.engine._closing import close

_AHEAD_CHUNKS = 32
_AHEAD_BYTES = 256 * 1024


class ThreadedIterator:
    """A sync iterable as an async iterator with `aclose`. Make it, step it and close it in one task."""

    def __init__(self, iterable: Iterable[Any]) -> None:
        self._iterable = iterable
        self._loop = asyncio.get_running_loop()
        self._ready: deque[Any] = deque()
        self._ready_bytes = 0
        self._state = threading.Condition()
        self._stopping = False
        self._finished = False
        self._errors: list[BaseException] = []
        self._waiter: asyncio.Future[None] | None = None
        self._thread: threading.Thread | None = None
        self.iterator: Any = None

    def __aiter__(self) -> ThreadedIterator:
        return self

    async def __anext__(self) -> Any:
        if self._thread is None:
            self._start()
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

        Raises:
            BaseException: What that step, or the close, raised.
        """
        if self._thread is None:
            # Never stepped: nothing of it has run, so there is nothing that a thread would be needed for.
            self._finished = True
            close(self._iterable)
            return
        with self._state:
            self._stopping = True
            self._state.notify()
        while not self._finished:
            await self._changed()
        self._raise_first()

    def frame(self) -> FrameType | None:
        """What the thread is running."""
        ident = self._thread.ident if self._thread is not None else None
        return sys._current_frames().get(ident) if ident is not None else None  # noqa: SLF001

    # -- on the loop -------------------------------------------------------------------------------------

    def _start(self) -> None:
        context = contextvars.copy_context()
        self._thread = threading.Thread(
            target=context.run, args=(self._work,), name="endwell source", daemon=True
        )
        self._thread.start()

    async def _changed(self) -> None:
        with self._state:
            if (self._ready and not self._stopping) or self._finished:
                return
            self._waiter = self._loop.create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def _raise_first(self) -> None:
        if not self._errors:
            return
        error = self._errors.pop(0)
        if isinstance(error, (StopIteration, StopAsyncIteration)):
            # Raised in here it would look like the iterator's regular end.
            raise RuntimeError(f"the source raised {type(error).__name__}") from error  # noqa: TRY004
        raise error

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    # -- in the thread -----------------------------------------------------------------------------------

    def _work(self) -> None:
        iterator: Any = None
        try:
            iterator = self.iterator = iter(self._iterable)
            for chunk in iterator:
                if not self._hand_over(chunk):
                    break
        except BaseException as error:  # noqa: BLE001 - every way a source can end is reported to the loop
            self._errors.append(error)
        for closable in (iterator, self._iterable) if iterator is not self._iterable else (iterator,):
            try:
                close(closable)
            except BaseException as error:  # noqa: BLE001
                self._errors.append(error)
        with self._state:
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
            self._state.wait_for(lambda: self._stopping or self._has_room())
            return not self._stopping

    def _has_room(self) -> bool:
        return len(self._ready) < _AHEAD_CHUNKS and self._ready_bytes < _AHEAD_BYTES

    def _notify_loop(self) -> None:
        if self._waiter is None:
            return
        try:
            self._loop.call_soon_threadsafe(self._wake)
        except RuntimeError:
            pass  # the loop is closed: nobody waits any more


def _weight(chunk: Any) -> int:
    return len(chunk) if isinstance(chunk, (bytes, bytearray, memoryview, str)) else 0
