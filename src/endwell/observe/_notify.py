"""Telling an ending to the callbacks, each once, none able to harm the stream or its neighbours."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import inspect
import threading
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from typing import Any, TypeAlias

import anyio

from endwell.observe._ending import Ending
from endwell.observe._let_go import let_go
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
        self._running: set[asyncio.Task[None]] = set()
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

    def give_up(self) -> None:
        """The process goes away: whatever still runs is not waited for."""
        for task in [*self._running]:
            let_go(task)

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
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        done, _ = await asyncio.wait({task}, timeout=self._deadline)
        if not done:
            logger.warning("on_end callback %s is overdue after %g s", _name(callback), self._deadline)
            task.cancel()
            let_go(task)


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
    """Call it in a thread that the interpreter's end does not wait for: it may hang there for ever."""
    loop = asyncio.get_running_loop()
    returned: asyncio.Future[object] = loop.create_future()

    def tell(act: Callable[[Any], None], what: object) -> None:
        if not returned.done():
            act(what)

    def run() -> None:
        try:
            outcome: tuple[Callable[[Any], None], object] = returned.set_result, callback(ending)
        except BaseException as error:  # noqa: BLE001 - raised where the callback is awaited
            outcome = returned.set_exception, _bearable(error)
        with contextlib.suppress(RuntimeError):  # the loop is closed
            loop.call_soon_threadsafe(tell, *outcome)

    context = contextvars.copy_context()
    threading.Thread(target=context.run, args=(run,), name="endwell on_end", daemon=True).start()
    result = await returned
    if inspect.isawaitable(result):
        await result


def _bearable(error: BaseException) -> Exception:
    """The error as one that a future takes (not StopIteration), and the loop bears (not SystemExit)."""
    if isinstance(error, Exception) and not isinstance(error, StopIteration):
        return error
    crash = RuntimeError(f"{type(error).__name__} was raised")
    crash.__cause__ = error
    return crash


def _name(callback: Callback) -> str:
    return getattr(callback, "__qualname__", None) or repr(callback)
