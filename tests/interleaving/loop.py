"""An event loop in virtual time that runs one handle when told to."""

from __future__ import annotations

import asyncio
import heapq
import sys
import threading
import weakref
from collections.abc import AsyncGenerator, Callable, Coroutine, Generator
from types import TracebackType
from typing import Any, Self


class SteppedLoop(asyncio.BaseEventLoop):
    """Runs by `step` and `pass_time`, never by itself; there are no sockets, and time stands still.

    Use it as a context manager, within which it is the running loop.

    Attributes:
        tasks: Every task that was ever made in it.
        complaints: What would have been logged by the loop, and what became of forgotten generators.
        ran: Handles run so far.
    """

    def __init__(self) -> None:
        super().__init__()
        self._now = 0.0
        self._left_in_turn = 0
        self._turn_begun = False
        self.tasks: list[asyncio.Task[Any]] = []
        self.complaints: list[str] = []
        self.ran = 0
        self._generators: list[weakref.ref[Any]] = []
        self._ready: Any
        self._thread_id: int | None = None
        self._scheduled: list[asyncio.TimerHandle]

    # -- what asyncio asks of it -------------------------------------------------------------------------

    def time(self) -> float:
        """The virtual time in seconds."""
        return self._now

    def create_task(
        self, coro: Coroutine[Any, Any, Any] | Generator[Any, Any, Any], **options: Any
    ) -> asyncio.Task[Any]:
        task = super().create_task(coro, **options)
        self.tasks.append(task)
        return task

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """Nothing may come here: what does is a complaint."""
        self.complaints.append(f"{context.get('message')}: {context.get('exception')!r}")

    def _write_to_self(self) -> None:
        """Nobody sleeps in a selector that would have to be woken."""

    # -- being the running loop --------------------------------------------------------------------------

    def __enter__(self) -> Self:
        self._hooks = sys.get_asyncgen_hooks()
        sys.set_asyncgen_hooks(firstiter=self._begun, finalizer=self._forgotten)
        self._thread_id = threading.get_ident()
        asyncio._set_running_loop(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        asyncio._set_running_loop(None)
        self._thread_id = None
        sys.set_asyncgen_hooks(*self._hooks)
        self.close()

    def _begun(self, generator: AsyncGenerator[Any, Any]) -> None:
        self._generators.append(weakref.ref(generator))

    def _forgotten(self, generator: AsyncGenerator[Any, Any]) -> None:
        self.complaints.append(f"left to the garbage collector: {generator!r}")

    def unfinished(self) -> list[str]:
        """Tasks that are not done, and async generators that were begun and are neither over nor closed."""
        generators = (reference() for reference in self._generators)
        return [
            *(repr(task) for task in self.tasks if not task.done()),
            *(repr(each) for each in generators if each is not None and each.ag_frame is not None),
        ]

    # -- running -----------------------------------------------------------------------------------------

    @property
    def between_turns(self) -> bool:
        """Whether a turn of the loop is over, or none has begun: only here are timers looked at."""
        return not self._turn_begun or self._left_in_turn == 0

    def peek(self) -> asyncio.Handle | None:
        """The handle that runs next; None if there is none."""
        ready = self._ready
        while True:
            if self._left_in_turn == 0:
                self._begin_turn()
                if not ready:
                    return None
            handle: asyncio.Handle = ready[0]
            if not handle._cancelled:
                return handle
            ready.popleft()
            self._left_in_turn -= 1

    def step(self) -> bool:
        """Run the next handle; False if there is none."""
        handle = self.peek()
        if handle is None:
            return False
        self._ready.popleft()
        self._left_in_turn -= 1
        self._turn_begun = True
        self.ran += 1
        handle._run()
        return True

    def _begin_turn(self) -> None:
        self._ready.extend(self._take_due())
        self._left_in_turn = len(self._ready)
        self._turn_begun = False

    def lag(self, seconds: float, fires: Callable[[asyncio.Handle], None]) -> None:
        """Let time pass in the middle of whatever is ready: the process was busy with something else.

        Timers that are due by then fire at once, before what is ready, as uvloop has it. (asyncio has it the
        other way round, which is what the same lag one turn later is.)

        Args:
            seconds: How much.
            fires: Told of each timer before it does.
        """
        assert self.between_turns
        self._now = round(self._now + seconds, 9)
        for timer in self._take_due():
            self.ran += 1
            fires(timer)
            timer._run()
        self._begin_turn()

    def pass_time(self, until: float | None = None) -> bool:
        """With nothing ready, go to the next timer; False if there is none, or none until then."""
        when = self._next_timer()
        if when is None or (until is not None and when > until):
            if until is not None:
                self._now = max(self._now, until)
            return False
        self._now = max(self._now, when)
        return True

    def _next_timer(self) -> float | None:
        timers = self._scheduled
        while timers and timers[0]._cancelled:
            heapq.heappop(timers)._scheduled = False  # type: ignore[attr-defined]
        return timers[0].when() if timers else None

    def _take_due(self) -> list[asyncio.TimerHandle]:
        due = []
        timers = self._scheduled
        while timers and (timers[0]._cancelled or timers[0].when() <= self._now + 1e-9):
            timer = heapq.heappop(timers)
            timer._scheduled = False  # type: ignore[attr-defined]
            if not timer._cancelled:
                due.append(timer)
        return due
