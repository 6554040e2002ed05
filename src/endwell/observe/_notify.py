"""Telling an ending to the callbacks, each once, none able to harm the stream or its neighbours."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Iterable
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
        deadline: Seconds after which a callback is reported and no longer waited for.
    """

    def __init__(self, deadline: float) -> None:
        self._deadline = deadline
        self._tasks: set[asyncio.Task[None]] = set()
        self._threads: anyio.CapacityLimiter | None = None

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
        with anyio.move_on_after(self._deadline) as scope:
            try:
                await self._run(callback, ending)
            except Exception:  # noqa: BLE001 - a callback must not harm anybody
                logger.exception("on_end callback %s raised", _name(callback))
        if scope.cancelled_caught:
            logger.warning("on_end callback %s is overdue after %g s", _name(callback), self._deadline)

    async def _run(self, callback: Callback, ending: Ending) -> None:
        if inspect.iscoroutinefunction(callback):
            await callback(ending)
            return
        if self._threads is None:
            self._threads = anyio.CapacityLimiter(_THREADS)
        result = await anyio.to_thread.run_sync(
            callback, ending, limiter=self._threads, abandon_on_cancel=True
        )
        if inspect.isawaitable(result):
            await result


def _name(callback: Callback) -> str:
    return getattr(callback, "__qualname__", None) or repr(callback)
