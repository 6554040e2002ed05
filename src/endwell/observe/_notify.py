"""Telling an ending to the callbacks, each once, none able to harm the stream or its neighbours."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from typing import TypeAlias

import anyio
import anyio.to_thread

from endwell.observe._ending import Ending
from endwell.observe._log import logger

Callback: TypeAlias = Callable[[Ending], Awaitable[object] | object]
"""Told of an ending. `async def` runs on the event loop, `def` in a worker thread, as FastAPI has it."""

_THREADS = 8


class Notifier:
    """Runs callbacks in tasks of its own, so that nobody waits for them.

    Args:
        deadline: Seconds a callback may run; then it is reported, cancelled once, and let go. The thread of
            one that hangs cannot be ended: it stays, and another takes its place.
    """

    def __init__(self, deadline: float) -> None:
        self._deadline = deadline
        self._tasks: set[asyncio.Task[None]] = set()
        self._let_go: set[asyncio.Task[None]] = set()  # only so that they are not collected while they end
        self._slots: anyio.CapacityLimiter | None = None

    def tell(self, callbacks: Iterable[Callback], ending: Ending) -> None:
        """Start telling `ending` to every callback; returns at once."""
        for callback in callbacks:
            task = asyncio.create_task(self._call(callback, ending), name=f"endwell on_end {ending.id}")
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def settle(self) -> None:
        """Wait until every callback has returned or is overdue."""
        while self._tasks:
            await asyncio.wait(self._tasks)

    async def _call(self, callback: Callback, ending: Ending) -> None:
        if inspect.iscoroutinefunction(callback):
            await self._bounded(_guarded(callback, lambda: callback(ending)), callback)
            return
        # The deadline begins when there is a thread for it: nobody is to go untold because others take long.
        if self._slots is None:
            self._slots = anyio.CapacityLimiter(_THREADS)
        async with self._slots:
            await self._bounded(_guarded(callback, lambda: _in_thread(callback, ending)), callback)

    async def _bounded(self, work: Coroutine[object, object, None], callback: Callback) -> None:
        task = asyncio.create_task(work)
        done, _ = await asyncio.wait({task}, timeout=self._deadline)
        if not done:
            logger.warning("on_end callback %s is overdue after %g s", _name(callback), self._deadline)
            task.cancel()
            self._let_go.add(task)
            task.add_done_callback(self._let_go.discard)


async def _guarded(callback: Callback, call: Callable[[], Awaitable[object]]) -> None:
    """Log whatever the call raises; SystemExit and its like would take the event loop down."""
    try:
        await call()
    except BaseException as error:
        task = asyncio.current_task()
        if isinstance(error, asyncio.CancelledError) and task is not None and task.cancelling():
            raise  # overdue, which is logged already
        logger.exception("on_end callback %s raised", _name(callback))


async def _in_thread(callback: Callback, ending: Ending) -> None:
    # A limiter each: the slots are counted above, where one that hangs gives its slot back at the deadline.
    result = await anyio.to_thread.run_sync(
        callback, ending, limiter=anyio.CapacityLimiter(1), abandon_on_cancel=True
    )
    if inspect.isawaitable(result):
        await result


def _name(callback: Callback) -> str:
    return getattr(callback, "__qualname__", None) or repr(callback)
