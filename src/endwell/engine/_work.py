"""The work of a stream: its source, what it owns, what it spawned, all in the source's task.

The task alone touches the source, from the first step to the close. It is cancelled once, and then left to
finish its cleanup, whatever hits the request's task. Once, because a second cancellation would hit an `await`
in the cleanup, and leave undone what the first was to have done: it comes at the cleanup's deadline only.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterable
from typing import TYPE_CHECKING, Any, TypeVar

from endwell.engine._current import current
from endwell.engine._latch import Latch
from endwell.engine._owned import Release, release, releaser
from endwell.engine._pull import pull
from endwell.engine._source import SourceHandle
from endwell.engine._stuck import where
from endwell.errors import SourceCrashed, SourceError
from endwell.lifecycle import Cause

if TYPE_CHECKING:
    from endwell.engine._stream import Stream

T = TypeVar("T")

# Tasks whose cleanup is overdue. The event loop refers to tasks weakly; without this they could be collected
# in the middle of what they still hold.
_let_go: set[asyncio.Task[None]] = set()


class Work:
    """Runs one source to its end and releases everything, each once, in the task that entered it.

    Attributes:
        over: Set when the cleanup is over.
        errors: What the cleanup raised.
    """

    __slots__ = (
        "_cancelled",
        "_owned",
        "_pulling",
        "_source",
        "_spawned",
        "_stream",
        "_task",
        "errors",
        "over",
    )

    def __init__(self, stream: Stream, source: SourceHandle, owns: Iterable[Any]) -> None:
        self._stream = stream
        self._source = source
        self._owned: list[Release] = [releaser(resource) for resource in owns]
        self._spawned: set[asyncio.Task[Any]] = set()
        self._task: asyncio.Task[None] | None = None
        self._pulling = False
        self._cancelled = False
        self.errors: list[BaseException] = []
        self.over = Latch()

    # -- asked from other tasks --------------------------------------------------------------------------

    def start(self) -> None:
        """Start the source's task, in a copy of the caller's context."""
        self._task = asyncio.create_task(self._run(), name=f"endwell source {self._stream.id}")

    def cancel(self) -> None:
        """Cancel the source, if it is still running; a cleanup is never disturbed."""
        if not self._pulling or self._cancelled or self._task is None:
            return
        if asyncio.current_task() is self._task:
            # The source ends itself, through stop(): let it reach its next await or yield first.
            asyncio.get_running_loop().call_soon(self.cancel)
            return
        self._cancelled = True
        self._task.cancel()

    def let_go(self) -> str:
        """Cancel a second time, without waiting for what comes of it; return where the task hangs."""
        assert self._task is not None
        stuck_at = where(self._task, self._source.iterator)
        self._task.cancel()
        _let_go.add(self._task)
        self._task.add_done_callback(_let_go.discard)
        return stuck_at

    def own(self, resource: Any) -> None:
        """Release `resource` with the stream."""
        self._owned.append(releaser(resource))

    def spawn(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Run `work` beside the source; it ends with the stream, and its failure is the stream's."""
        task = asyncio.create_task(work, name=f"endwell spawned {self._stream.id}")
        self._spawned.add(task)
        task.add_done_callback(self._spawned_done)
        return task

    # -- the source's task -------------------------------------------------------------------------------

    async def _run(self) -> None:
        current.set(self._stream)
        try:
            await self._pull()
        except BaseException as error:  # every way a source can end leads to one outcome
            if _torn_down(error):
                raise
            self._raised(error)
        else:
            self._stream.source_ended()
        await self._clean_up()

    async def _pull(self) -> None:
        if self._stream.decided:
            return  # ended before it started: what it owns is released all the same
        self._pulling = True
        try:
            await pull(self._source.open(), self._stream)
        except StopAsyncIteration:
            pass
        finally:
            self._pulling = False

    def _raised(self, error: BaseException) -> None:
        if not self._stream.decided:
            self._stream.end(Cause.SOURCE_RAISED, error=self._explain(error))
        elif not isinstance(error, asyncio.CancelledError):
            self.errors.append(error)

    def _explain(self, error: BaseException) -> BaseException:
        if isinstance(error, SourceError):
            error.add_note(f"in the stream of {self._stream.route or 'an unnamed route'}")
        if isinstance(error, Exception):
            return error
        crash = SourceCrashed(f"the source raised {type(error).__name__} on its own account")
        crash.__cause__ = error
        return crash

    # -- its cleanup -------------------------------------------------------------------------------------

    async def _clean_up(self) -> None:
        """Release everything in reverse order, whatever each of them does."""
        if self._cancelled:
            await self._absorb()
        await self._attempt(self._source.close)
        await self._attempt(self._end_spawned)
        while self._owned:
            await self._attempt(self._owned.pop())
        self.over.set()

    async def _absorb(self) -> None:
        """Take in a cancellation not delivered yet, so that it does not hit the cleanup's first await."""
        try:
            await asyncio.sleep(0)
        except asyncio.CancelledError:
            pass
        assert self._task is not None
        self._task.uncancel()

    async def _attempt(self, call: Release) -> None:
        try:
            await release(call)
        except BaseException as error:  # one failing release must not keep the others from theirs
            if _torn_down(error):
                raise
            self.errors.append(error)

    async def _end_spawned(self) -> None:
        spawned = list(self._spawned)
        for task in spawned:
            task.cancel()
        if spawned:
            await asyncio.wait(spawned)

    def _spawned_done(self, task: asyncio.Task[Any]) -> None:
        self._spawned.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._raised(error)


def _torn_down(error: BaseException) -> bool:
    """Whether the interpreter is closing the coroutine itself: nothing may be awaited any more."""
    if not isinstance(error, GeneratorExit):
        return False
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return True
    return False
