"""One stream: the machine that decides, and everything that acts on its word.

Two tasks. The *request's task* calls `serve`: it sends, waits, and in the end reports. The *source's task*
runs
`_drive`: it alone touches the source, from the first step to the close, and whatever hits the request's
task, it is cancelled at most once before its cleanup and left to finish it. Time comes in through one
timer, re-armed lazily.
"""

from __future__ import annotations

import asyncio
import random
import secrets
from collections.abc import Coroutine
from datetime import UTC, datetime
from typing import Any, TypeVar

import anyio

from ..errors import SourceCrashed, SourceError
from ..lifecycle import Act, Cause, Farewell, Machine, Outcome, Step
from ..observe import Callback, Ending, logger
from ..settings import Policy
from ..wire import Format
from ._connection import Connection
from ._current import current
from ._farewell import message_for, status_for
from ._owned import Release, release, releaser
from ._pull import pull
from ._source import SourceHandle
from ._stuck import where
from ._writer import Writer

T = TypeVar("T")

# Tasks whose cleanup is overdue. The event loop refers to tasks weakly; without this they could be
# collected in the middle of what they still hold.
_let_go: set[asyncio.Task[None]] = set()


class Stream:
    """One source run with one id and exactly one ending.

    Args:
        source: The source, already taken over.
        format: How chunks become bytes.
        policy: Its durations.
        route: The route's template, for the ending.
        owns: Resources released with it, even if the source never starts.
    """

    def __init__(
        self,
        source: SourceHandle,
        *,
        format: Format,  # noqa: A002 - the field's own word
        policy: Policy,
        route: str = "",
        owns: tuple[Any, ...] = (),
    ) -> None:
        loop = asyncio.get_running_loop()
        self.id = secrets.token_urlsafe(12)
        self.route = route
        self.format = format
        self.policy = policy
        self.clock = loop.time
        self.machine = Machine(policy, self.clock())
        self.writer = Writer(self)
        self.decided = False
        """The outcome stands: no chunk counts any more. The machine's word, kept where the hot loop can see
        it."""
        self.gone_at: float | None = None
        self.callbacks: list[Callback] = []
        self.error: BaseException | None = None
        self.reference: str | None = None
        self.reason: str | None = None
        self.started = datetime.now(UTC)
        self._loop = loop
        self._source = source
        self._owned: list[Release] = [releaser(resource) for resource in owns]
        self._spawned: set[asyncio.Task[Any]] = set()
        self._task: asyncio.Task[None] | None = None
        self._pulling = False
        self._cancelled = False
        self._cleaned = False
        self._cleanup_errors: list[BaseException] = []
        self._waiters: list[asyncio.Future[None]] = []
        self._gone_waiters: list[asyncio.Future[None]] = []
        self._timer: asyncio.TimerHandle | None = None
        self._ended_at = 0.0

    # -- the request's task ------------------------------------------------------------------------------

    async def serve(self, connection: Connection) -> None:
        """Run the stream over `connection` until all is over; then `ending` tells how.

        Raises:
            CancelledError: The task was cancelled from outside; the cleanup has finished all the same, or is
                reported overdue.
        """
        self._task = self._loop.create_task(self._drive(), name=f"endwell source {self.id}")
        self._arm()
        cancelled: asyncio.CancelledError | None = None
        try:
            await self.writer.run(connection)
        except asyncio.CancelledError as error:
            cancelled = error
            await self._cancelled_from_outside(connection)
        await self._join()
        self._disarm()
        self.machine.feed(Step.CLEANUP_DONE, self.clock())
        self._ended_at = self.clock()
        if cancelled is not None:
            raise cancelled

    async def _cancelled_from_outside(self, connection: Connection) -> None:
        """Name the cause, then say goodbye if anybody is there."""
        with anyio.CancelScope(shield=True):
            # A middleware may cancel us *because* the client left, before we are told: let the message
            # arrive.
            for _ in range(3):
                await asyncio.sleep(0)
            self.end(Cause.DISCONNECT if self.gone_at is not None else Cause.SERVER_CANCELLED)
            try:
                await self.writer.run(connection)
            except asyncio.CancelledError:
                pass  # cancelled again: then without a goodbye

    async def _join(self) -> None:
        """Wait for the source's task, whatever hits this one, until its cleanup is over or overdue."""
        if self._cleaned:
            return
        with anyio.CancelScope(shield=True):
            while not (self._cleaned or self.machine.overdue):
                try:
                    await self._until(self._waiters)
                except asyncio.CancelledError:
                    self.end(Cause.SERVER_CANCELLED)

    def ending(self) -> Ending:
        """The record of the ending, once `serve` is over."""
        machine, writer = self.machine, self.writer
        assert machine.cause is not None
        assert machine.outcome is not None
        assert machine.closing_since is not None
        first = machine.first_chunk_at
        return Ending(
            id=self.id,
            route=self.route,
            outcome=machine.outcome,
            cause=machine.cause,
            reason=self.reason,
            started=self.started,
            duration=machine.closing_since - machine.started_at,
            time_to_first_chunk=None if first is None else first - machine.started_at,
            chunks=writer.chunks,
            bytes=writer.bytes,
            heartbeats=writer.heartbeats,
            error=self.error,
            reference=self.reference,
            cleanup=self._ended_at - machine.closing_since,
            overdue=machine.overdue,
            cleanup_errors=tuple(self._cleanup_errors),
        )

    # -- the source's task -------------------------------------------------------------------------------

    async def _drive(self) -> None:
        current.set(self)
        try:
            await self._pull()
        except BaseException as error:  # every way a source can end leads to one outcome
            if _torn_down(error):
                raise
            self._raised(error)
        else:
            if not self.decided:
                self._feed(Step.SOURCE_ENDED)
        await self._clean_up()

    async def _pull(self) -> None:
        if self.decided:
            return  # ended before it started: what it owns is released all the same
        self._pulling = True
        try:
            await pull(self._source.open(), self)
        except StopAsyncIteration:
            pass
        finally:
            self._pulling = False

    def _raised(self, error: BaseException) -> None:
        if not self.decided:
            self.end(Cause.SOURCE_RAISED, error=self._explain(error))
        elif not isinstance(error, asyncio.CancelledError):
            self._cleanup_errors.append(error)

    def _explain(self, error: BaseException) -> BaseException:
        if isinstance(error, SourceError):
            error.add_note(f"in the stream of {self.route or 'an unnamed route'}")
        if isinstance(error, Exception):
            return error
        crash = SourceCrashed(f"the source raised {type(error).__name__} on its own account")
        crash.__cause__ = error
        return crash

    async def _clean_up(self) -> None:
        """Release everything, each once, in reverse order, whatever the others do."""
        if self._cancelled:
            await self._absorb()
        await self._attempt(self._source.close)
        await self._attempt(self._end_spawned)
        while self._owned:
            await self._attempt(self._owned.pop())
        self._cleaned = True
        _wake(self._waiters)

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
            self._cleanup_errors.append(error)

    async def _end_spawned(self) -> None:
        if not self._spawned:
            return
        for task in self._spawned:
            task.cancel()
        await asyncio.wait(self._spawned)

    # -- what the source may ask for ----------------------------------------------------------------------

    def own(self, resource: Any) -> None:
        """Release `resource` with the stream."""
        self._owned.append(releaser(resource))

    def spawn(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Run `work` beside the source; it ends with the stream, and its failure is the stream's."""
        task = self._loop.create_task(work, name=f"endwell spawned {self.id}")
        self._spawned.add(task)
        task.add_done_callback(self._spawned_done)
        return task

    def _spawned_done(self, task: asyncio.Task[Any]) -> None:
        self._spawned.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._raised(error)

    async def gone(self) -> None:
        """Wait until the client has left."""
        while self.gone_at is None:
            await self._until(self._gone_waiters)

    async def _until(self, waiters: list[asyncio.Future[None]]) -> None:
        waiter = self._loop.create_future()
        waiters.append(waiter)
        try:
            await waiter
        finally:
            waiters.remove(waiter)

    # -- what the machine is told, and what it says ------------------------------------------------------

    def first_chunk(self) -> None:
        """The source gave its first chunk."""
        self._feed(Step.FIRST_CHUNK)

    def flushed(self) -> None:
        """The server took the last byte and the end of the body."""
        if not self.decided:
            self._feed(Step.FLUSHED)

    def client_gone(self) -> None:
        """The client has left: end the stream, and write nothing any more."""
        if self.writer.over:
            return  # some servers say so when the response is complete
        if self.gone_at is None:
            self.gone_at = self.clock()
            _wake(self._gone_waiters)
        self.end(Cause.DISCONNECT)
        self.writer.abandon()

    def stop(self, reason: str | None = None) -> bool:
        """End the stream because somebody asks. False if it was ending already."""
        if self.decided:
            return False
        self.reason = reason
        self.end(Cause.STOP)
        return True

    def end(self, cause: Cause, *, error: BaseException | None = None) -> None:
        """End the stream; only the first cause counts."""
        if not self.decided:
            self.error = error
        self._feed(cause)

    def _feed(self, step: Step | Cause) -> None:
        act = self.machine.feed(step, self.clock())
        if act is not Act.NOTHING:
            self._do(act)

    def _do(self, act: Act) -> None:
        match act:
            case Act.HEARTBEAT:
                self.writer.beat()
            case Act.COMMIT:
                self.writer.commit()
            case Act.FINISH:
                self.writer.finish(b"")
            case Act.CANCEL:
                self._close()
            case Act.ABANDON:
                self._abandon()
            case _:
                raise AssertionError(act)

    def _close(self) -> None:
        """The outcome stands: cancel the source, tell the client."""
        self.decided = True
        self._arm()
        self._cancel_source()
        farewell = self.machine.farewell
        if farewell is Farewell.NOTHING:
            self.writer.abandon()
        elif farewell is not Farewell.FINISH:
            self._say(farewell)

    def _cancel_source(self) -> None:
        if not self._pulling or self._cancelled or self._task is None:
            return
        if asyncio.current_task(self._loop) is self._task:
            # The source ends itself, through stop(): let it reach its next await or yield first.
            self._loop.call_soon(self._cancel_source)
            return
        self._cancelled = True
        self._task.cancel()

    def _say(self, farewell: Farewell) -> None:
        """Tell a client that is still there how it ended."""
        machine = self.machine
        assert machine.cause is not None
        assert machine.outcome is not None
        self.reference = secrets.token_hex(6)
        code, message = message_for(machine.outcome, machine.cause)
        if farewell is Farewell.STATUS:
            if self.error is None:
                self.writer.refuse(status_for(machine.outcome), code, message, self.reference)
            else:
                self.writer.abandon()  # the framework's own handlers answer for an exception
            return
        frame = self.format.error_frame(code, message, self.reference, retry=self._retry())
        if frame is None:
            self.writer.cut()
        else:
            self.writer.finish(frame)

    def _retry(self) -> int | None:
        """When to come back, in ms; drawn, so that a fleet's clients do not come back at once."""
        span = self.policy.retry
        if span is None or self.machine.outcome is not Outcome.DRAINED:
            return None
        return random.randint(*span)  # noqa: S311 - spreads load, hides nothing

    def _abandon(self) -> None:
        """The cleanup is overdue: cancel a second time, report where it hangs, go on without it."""
        self.writer.abandon()
        if not self._cleaned and self._task is not None:
            logger.warning(
                "cleanup of stream %s [%s] is overdue after %g s, stuck at %s",
                self.id,
                self.route or "-",
                self.policy.cleanup,
                where(self._task, self._source.iterator),
            )
            self._task.cancel()
            _let_go.add(self._task)
            self._task.add_done_callback(_let_go.discard)
        _wake(self._waiters)

    # -- time --------------------------------------------------------------------------------------------

    def _arm(self) -> None:
        self._disarm()
        when = self.machine.look_again(self.clock())
        if when is not None:
            self._timer = self._loop.call_at(when, self._tick)

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _tick(self) -> None:
        self._timer = None
        self._feed(Step.TICK)
        if self._timer is None:
            self._arm()


def _wake(waiters: list[asyncio.Future[None]]) -> None:
    for waiter in waiters:
        if not waiter.done():
            waiter.set_result(None)


def _torn_down(error: BaseException) -> bool:
    """Whether the interpreter is closing the coroutine itself: nothing may be awaited any more."""
    if not isinstance(error, GeneratorExit):
        return False
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return True
    return False
