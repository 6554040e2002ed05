"""The work of a stream: its source, what it owns, what it spawned, all in the source's task.

The task alone touches the source, from the first step to the close. It is cancelled once, and then left to
finish its cleanup, whatever hits the request's task. Once, because a second cancellation would hit an `await`
in the cleanup, and leave undone what the first was to have done: it comes at the cleanup's deadline only.
"""

from __future__ import annotations

import asyncio
import types
from collections.abc import Awaitable, Coroutine, Generator, Iterable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from endwell.engine._current import current
from endwell.engine._latch import Latch
from endwell.engine._owned import Release, attempt, releaser, torn_down, waited_for
from endwell.engine._pull import pull
from endwell.engine._source import SourceHandle
from endwell.engine._stuck import where
from endwell.engine._tasks import contained, crash
from endwell.engine._threads import ThreadedIterator
from endwell.errors import ClientError, NoCurrentStream, SourceError
from endwell.lifecycle import Cause
from endwell.observe import SourceEnd, let_go, logger

if TYPE_CHECKING:
    from endwell.engine._stream import Stream

T = TypeVar("T")

_NAME = "endwell source"
_LATER = 0.005
"""Seconds after which to see again whether somebody else's cancellation has had its way."""
_PATIENCE = 1.0
"""Seconds for that: the scope's own tasks may have a cleanup."""


class Work:
    """Runs one source to its end and releases everything, each once, in the task that entered it.

    Attributes:
        is_over: The cleanup is over, or was given up.
        over_at: When that was.
        task: The source's.
        stale: Cancellations of its task that somebody else has left there; see `look`.
        overdue: The cleanup was given up.
    """

    __slots__ = (
        "_begun",
        "_cancelled",
        "_cleaning",
        "_errors",
        "_over",
        "_owned",
        "_pulling",
        "_source",
        "_source_end",
        "_spawned",
        "_stream",
        "_told",
        "is_over",
        "over_at",
        "overdue",
        "stale",
        "task",
    )

    def __init__(self, stream: Stream, source: SourceHandle, owns: Iterable[Release]) -> None:
        self._stream = stream
        self._source = source
        self._owned: list[Release] | None = [*owns] or None
        self._spawned: set[asyncio.Task[Any]] | None = None
        self.task: asyncio.Task[None] | None = None
        self._begun = self._pulling = False
        self.stale = 0
        self._cancelled = False
        self._cleaning = False
        self._errors: list[BaseException] | None = None
        self.is_over = False
        self._over: Latch | None = None
        self.over_at = 0.0
        self.overdue = False
        self._told = 0
        self._source_end = SourceEnd.NEVER_STARTED

    # -- asked from other tasks --------------------------------------------------------------------------

    def start(self) -> None:
        """Start the source's task, in the stream's context."""
        stream = self._stream
        stream.context.run(current.set, stream)
        work = self._run()
        if stream.loop.get_task_factory() is None:
            self.task = stream.loop.create_task(work, name=_NAME, context=stream.context)
        else:  # somebody's own, which may know of no contexts
            self.task = stream.context.run(stream.loop.create_task, work, name=_NAME)
        if not self._begun and self.task.get_coro() is work:
            # Before its first step asyncio would throw a cancellation into what was not begun: take it to
            # where that finds the way to the cleanup.
            work.send(None)
        else:  # tracers put a coroutine of their own around ours, which could not be awaited then
            self.task.add_done_callback(lambda _: self._release_if_it_never_began(work))

    def _release_if_it_never_began(self, work: Coroutine[Any, Any, None]) -> None:
        """What was cancelled before its first step, as asyncio.run may do, has released nothing."""
        if not (self._begun or self.is_over):
            work.close()
            self._stream.end(Cause.SERVER_CANCELLED)
            self.start()

    @property
    def over(self) -> Latch:
        """Set when the cleanup is over, or was given up."""
        if self._over is None:
            self._over = Latch(is_set=self.is_over)
        return self._over

    def cancel(self) -> None:
        """Cancel the source, if it is still running; a cleanup is never disturbed."""
        if not self._pulling or self._cancelled or self.task is None or self.is_over:
            return
        loop = self._stream.loop
        if asyncio.current_task(loop) is self.task:
            # The source ends itself, through stop(): let it reach its next await or yield first.
            loop.call_soon(self.cancel)
            return
        if self.task.cancelling() > self.stale and self._is_worth_waiting():
            loop.call_later(_LATER, self.cancel)
            return
        self._cancelled = True
        self.task.cancel()

    def look(self) -> None:
        """Take note of a cancellation that is there already, so that it is not taken for one of the end.

        The task groups of CPython 3.11 and 3.12 leave one behind for good if a task of theirs failed.
        """
        if self.task is not None and not self._stream.decided:
            self.stale = self.task.cancelling()

    def _is_worth_waiting(self) -> bool:
        """Whether a cancellation that is not ours should be let have its way first.

        It may be a scope of the source's own that is just ending, and will take it back: a task group that
        waits for its tasks would swallow ours (CPython 3.11 and 3.12). But those forget to take it back if
        a task failed, so the wait has an end. Or it is asyncio.run, which cancels the request's task as well
        as this one: then ours would hit the cleanup, and is not needed.
        """
        machine = self._stream.machine
        assert machine.closing_since is not None
        patience = self._stream.clock() < machine.closing_since + _PATIENCE
        return patience or machine.cause is Cause.SERVER_CANCELLED

    def let_go(self) -> str:
        """Give the cleanup up: cancel it a second time, wait for nothing; return where it hangs."""
        assert self.task is not None
        stuck_at = where(self.task, self._source.iterator)
        self.overdue = True
        self._told = len(self.errors)
        if self._source_end is SourceEnd.CANCELLED:
            self._source_end = SourceEnd.OVERDUE
        if self._begun:  # else it would never do so, and it has things to release
            self.task.cancel()
        let_go(self.task)
        self._finish()
        return stuck_at

    def come_apart(self) -> None:
        """All is over: refer to the stream no more."""
        self.task = None  # its context has the stream in it
        del self._stream

    def own(self, resource: Any) -> None:
        """Release `resource` with the stream."""
        self._refuse_if_over()
        if self._owned is None:
            self._owned = []
        self._owned.append(releaser(resource))

    def spawn(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Run `work` beside the source; it ends with the stream, and its failure is the stream's."""
        if not asyncio.iscoroutine(work):
            raise TypeError(f"spawn() takes a coroutine, got {work!r}; call the function")
        try:
            self._refuse_if_over()
            asyncio.get_running_loop()
        except (NoCurrentStream, RuntimeError) as error:
            work.close()
            if isinstance(error, NoCurrentStream):
                raise
            raise SourceError("spawn() needs the event loop: a sync source runs in a thread") from error
        task = asyncio.create_task(contained(work, "a spawned task"), name="endwell spawned")
        if self._spawned is None:
            self._spawned = set()
        self._spawned.add(task)
        task.add_done_callback(self._spawned_done)
        task.add_done_callback(lambda _: work.close())  # for one that is cancelled before it starts
        return task

    def _refuse_if_over(self) -> None:
        if self.is_over:
            raise NoCurrentStream("the stream is over")

    # -- the source's task -------------------------------------------------------------------------------

    async def _run(self) -> None:
        stream = self._stream
        self._begun = True
        try:
            try:
                await _first_step()
                if self.task is None:
                    self.task = asyncio.current_task()  # an eager task runs before `start` has it
                if not stream.decided:  # else it ended before it started
                    await self._pull()
                    self._ended_by_itself(self._source_end)
            except StopAsyncIteration:
                self._ended_by_itself(SourceEnd.FINISHED)
            except BaseException as error:
                if torn_down(error):
                    raise
                self._pulling = False
                self._raised(error)
        except Exception as error:  # noqa: BLE001 - a fault of our own: all is released all the same
            logger.exception("stream %s", stream.id)
            if stream.machine.outcome is None:
                stream.end(Cause.SOURCE_RAISED, error=error)
        await self._clean_up()

    def _ended_by_itself(self, how: SourceEnd) -> None:
        self._pulling = False
        self._source_end = how
        self._stream.source_ended()

    def _pull(self) -> Awaitable[None]:
        self._pulling = True
        self._source_end = SourceEnd.CANCELLED
        encode = self._stream.encoder()
        iterator = self._source.open(self._stream.pool, encode)
        is_encoded = isinstance(iterator, ThreadedIterator)
        return pull(iterator, self._stream, bytes if is_encoded else encode)

    def _raised(self, error: BaseException) -> None:
        if not self._stream.decided and self._is_cancelled_from_outside(error):
            self._stream.end(Cause.SERVER_CANCELLED)
        elif not self._stream.decided:
            self._source_end = SourceEnd.RAISED
            self._stream.end(Cause.SOURCE_RAISED, error=self._explain(error))
        elif not isinstance(error, asyncio.CancelledError):
            self._failed(error)

    def _is_cancelled_from_outside(self, error: BaseException) -> bool:
        """Whether somebody cancelled the task itself, as asyncio.run does with all of them at its end."""
        return (
            isinstance(error, asyncio.CancelledError) and self.task is not None and self.task.cancelling() > 0
        )

    def _explain(self, error: BaseException) -> BaseException:
        error = _alone(error)
        if isinstance(error, SourceError):
            error.add_note(f"in the stream of {self._stream.route or 'an unnamed route'}")
        return error if isinstance(error, Exception) else crash(error, "the source")

    # -- its cleanup -------------------------------------------------------------------------------------

    def source_end(self) -> SourceEnd:
        """What became of the source."""
        iterator = self._source.iterator
        if isinstance(iterator, ThreadedIterator) and not iterator.started:
            return SourceEnd.NEVER_STARTED  # it waited for a thread
        return self._source_end

    async def _clean_up(self) -> None:
        """Release everything in reverse order, whatever each of them does."""
        self._cleaning = True
        if self._cancelled:
            await self._absorb()
        if not self._source.is_exhausted:
            await attempt(self._source.close, self._failed)
        if self._spawned:
            await attempt(self._end_spawned, self._failed)
        while self._owned:
            await attempt(self._owned.pop(), self._failed)
        if self.overdue:
            self._came_back()
        self._finish()

    @property
    def errors(self) -> Sequence[BaseException]:
        """What the cleanup raised."""
        return self._errors or ()

    def _failed(self, error: BaseException) -> None:
        """The cleanup raised; it goes on."""
        if self._errors is None:
            self._errors = []
        self._errors.append(error)

    def _came_back(self) -> None:
        """The ending was published long ago: what the rest of the cleanup came to goes to the log."""
        logger.info("the cleanup of stream %s that was overdue is over", self._stream.id)
        for error in self.errors[self._told :]:
            logger.warning("the overdue cleanup of stream %s raised", self._stream.id, exc_info=error)

    def _finish(self) -> None:
        if self.is_over:
            return
        self.is_over = True
        self.over_at = self._stream.clock()
        if self._over is not None:
            self._over.set()
        self._stream.writer.flush()  # the request's task waits for this, if for nothing else

    async def _absorb(self) -> None:
        """Take in a cancellation not delivered yet, so that it does not hit the cleanup's first await."""
        assert self.task is not None
        if getattr(self.task, "_must_cancel", True):
            try:
                await asyncio.sleep(0)
            except asyncio.CancelledError:
                pass
        self.task.uncancel()

    async def _end_spawned(self) -> None:
        while self._spawned:  # one may spawn another in its own cleanup
            spawned = list(self._spawned)
            for task in spawned:
                task.cancel()
            await waited_for(spawned)

    def _spawned_done(self, task: asyncio.Task[Any]) -> None:
        assert self._spawned is not None
        self._spawned.discard(task)
        if task.cancelled() or (error := task.exception()) is None:
            return
        if self._cleaning:
            self._failed(error)
        else:
            self._raised(error)


@types.coroutine
def _first_step() -> Generator[None, None, None]:
    yield


def _alone(error: BaseException) -> BaseException:
    """What was meant for the client, out of the group that a task group has put around it."""
    inner = error
    while isinstance(inner, BaseExceptionGroup) and len(inner.exceptions) == 1:
        inner = inner.exceptions[0]
    return inner if isinstance(inner, ClientError) or "status_code" in inner.__dict__ else error
