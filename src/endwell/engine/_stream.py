"""One stream: the machine that decides, and those who act on its word.

Two tasks. The *request's task* calls `serve`: it sends, waits, and in the end reports. The *source's task*
does the `Work`. Neither waits for the other where it need not: what is ready goes through a list, and what
ends the stream goes through the machine. Time comes in through one timer, re-armed lazily.
"""

from __future__ import annotations

import asyncio
import random
import secrets
from collections.abc import Iterable
from datetime import UTC, datetime

from endwell.engine._connection import Connection
from endwell.engine._farewell import farewell_for
from endwell.engine._latch import Latch
from endwell.engine._owned import Release, torn_down
from endwell.engine._source import SourceHandle
from endwell.engine._tasks import wait_out
from endwell.engine._work import Work
from endwell.engine._writer import Writer
from endwell.lifecycle import OUTCOMES, Act, Cause, Farewell, Machine, Outcome, Step
from endwell.observe import Callback, Ending, logger
from endwell.settings import Policy
from endwell.wire import Format


class Stream:
    """One source run with one id and exactly one ending.

    Args:
        source: The source, already taken over.
        format: How chunks become bytes.
        policy: Its durations.
        route: The route's template, for the ending.
        owns: What releases its resources, even if the source never starts.

    Attributes:
        decided: The outcome stands, so no chunk counts any more: the machine's word, for the hot loop to see.
        gone: Set when the client has left.
        callbacks: Told of the ending.
        error: What the source or `send` raised, if that is the cause.
    """

    __slots__ = (
        "_due",
        "_loop",
        "_reason",
        "_reference",
        "_started",
        "_timer",
        "callbacks",
        "clock",
        "decided",
        "error",
        "format",
        "gone",
        "id",
        "machine",
        "policy",
        "route",
        "work",
        "writer",
    )

    def __init__(
        self,
        source: SourceHandle,
        *,
        format: Format,  # noqa: A002 - the field's own word
        policy: Policy,
        route: str = "",
        owns: Iterable[Release] = (),
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self.clock = self._loop.time
        self.id = secrets.token_hex(12)
        self.route = route
        self.format = format
        self.policy = policy
        self.machine = Machine(policy, self.clock(), has_heartbeat=format.heartbeat is not None)
        self.writer = Writer(self)
        self.work = Work(self, source, owns)
        self.decided = False
        self.gone = Latch()
        self.callbacks: list[Callback] = []
        self.error: BaseException | None = None
        self._reference: str | None = None
        self._reason: str | None = None
        self._started = datetime.now(UTC)
        self._timer: asyncio.Handle | None = None  # uvloop gives a plain one for what is due at once
        self._due = 0.0

    # -- the request's task ------------------------------------------------------------------------------

    async def serve(self, connection: Connection) -> None:
        """Run the stream over `connection` until all is over; then `ending` tells how.

        Raises:
            CancelledError: The task was cancelled from outside. The cleanup has finished all the same, or is
                reported overdue.
        """
        self.work.start()
        self._arm()
        hit: BaseException | None = None
        try:
            await self.writer.run(connection)
        except BaseException as error:
            if torn_down(error):
                raise
            hit = error
            await wait_out(asyncio.create_task(self._interrupted(error, connection)))
        hit = await wait_out(self.work.over) or hit
        self._disarm()
        self.machine.feed(Step.CLEANUP_DONE, self.clock())
        if hit is not None:
            raise hit

    async def _interrupted(self, error: BaseException, connection: Connection) -> None:
        """The request's task was cancelled: name the cause, then say goodbye if anybody is there."""
        if not isinstance(error, asyncio.CancelledError):
            self.end(Cause.SEND_CRASHED, error=error)
            return
        # A middleware may cancel us *because* the client left, before we are told: let the message come.
        for _ in range(3):
            await asyncio.sleep(0)
        self.end(Cause.DISCONNECT if self.gone else Cause.SERVER_CANCELLED)
        await self.writer.run(connection)

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
            reason=self._reason,
            started=self._started,
            duration=machine.closing_since - machine.started_at,
            time_to_first_chunk=None if first is None else first - machine.started_at,
            chunks=writer.chunks,
            bytes=writer.bytes,
            heartbeats=writer.heartbeats,
            error=self.error,
            reference=self._reference,
            cleanup=max(0.0, self.work.over_at - machine.closing_since),
            overdue=self.work.overdue,
            cleanup_errors=tuple(self.work.errors),
        )

    # -- what happens ------------------------------------------------------------------------------------

    def first_chunk(self) -> None:
        """The source gave its first chunk."""
        self._feed(Step.FIRST_CHUNK)

    def source_ended(self) -> None:
        """The source ended by itself."""
        if not self.decided:
            self._feed(Step.SOURCE_ENDED)

    def flushed(self) -> None:
        """The server took the last byte and the end of the body."""
        if not self.decided:
            self._feed(Step.FLUSHED)

    def client_gone(self) -> None:
        """The client has left: end the stream, and write nothing any more."""
        if self.writer.complete:
            self.flushed()  # some servers say so when the response is complete; and nothing is lost any more
            return
        self.end(Cause.DISCONNECT)
        self.writer.abandon()

    def stop(self, reason: str | None = None) -> bool:
        """End the stream because somebody asks. False if it was ending already."""
        if not self.machine.running:
            return False
        self._reason = reason
        self.end(Cause.STOP)
        return True

    def stop_from_anywhere(self, reason: str | None = None) -> bool:
        """`stop`, from any thread."""
        try:
            if asyncio.get_running_loop() is self._loop:
                return self.stop(reason)
        except RuntimeError:
            pass  # a thread without a loop
        was_running = self.machine.running
        self._loop.call_soon_threadsafe(self.stop, reason)
        return was_running

    def end(self, cause: Cause, *, error: BaseException | None = None) -> None:
        """End the stream; only the first cause counts."""
        if not self.decided:
            self.error = error
        if OUTCOMES[cause] is Outcome.CLIENT_GONE:
            self.gone.set()
        self._feed(cause)

    # -- what the machine says to it ---------------------------------------------------------------------

    def _feed(self, step: Step | Cause) -> None:
        self._act(self.machine.feed(step, self.clock()))

    def _act(self, act: Act) -> None:
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

    def _close(self) -> None:
        """The outcome stands: cancel the source, tell the client."""
        self.decided = True
        if not (self.work.over.done() and self.writer.over):
            self._arm()
        self.work.cancel()
        match self.machine.farewell:
            case Farewell.NOTHING:
                self.writer.abandon()
            case Farewell.STATUS:
                self._refuse()
            case Farewell.FRAME:
                self._say()

    def _refuse(self) -> None:
        """Nothing is out yet: answer with an HTTP error; to an exception, the framework's own handlers do."""
        reference = self._refer()
        if self.error is None:
            self.writer.refuse(*farewell_for(self.machine.cause), reference)
        else:
            self.writer.abandon()

    def _say(self) -> None:
        """Tell a client in mid-stream how it ended, or cut the body where the format cannot say it."""
        if self.writer.ending:
            return  # the regular end is with the server already
        words = farewell_for(self.machine.cause)
        frame = self.format.error_frame(words.code, words.message, self._refer(), retry=self._retry())
        if frame is None:
            self.writer.cut()
        else:
            self.writer.finish(frame)

    def _refer(self) -> str:
        """Make the reference by which the client's words and the log's are matched."""
        self._reference = secrets.token_hex(6)
        return self._reference

    def _retry(self) -> int | None:
        """When to come back, in ms; drawn, so that a fleet's clients do not come back at once."""
        span = self.policy.retry
        if span is None or self.machine.outcome is not Outcome.DRAINED:
            return None
        return random.randint(*span)  # noqa: S311 - spreads load, hides nothing

    def _abandon(self) -> None:
        """The cleanup is overdue: report where it hangs, and go on without it."""
        self.writer.abandon()
        if self.work.over.done():
            return  # it was the farewell that the client did not take
        logger.warning(
            "cleanup of stream %s [%s] is overdue after %g s, stuck at %s",
            self.id,
            self.route or "-",
            self.policy.cleanup,
            self.work.let_go(),
        )

    # -- time --------------------------------------------------------------------------------------------

    def _arm(self) -> None:
        """Look again in time. A timer that fires earlier will do: it looks, and sets the next."""
        when = self.machine.look_again(self.clock())
        if when is None or (self._timer is not None and self._due <= when):
            return
        self._disarm()
        self._due = when
        self._timer = self._loop.call_at(when, self._tick)

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _tick(self) -> None:
        self._timer = None
        # A timer may fire earlier than asked, by the clock's resolution: it stands for the time it was set
        # for.
        self._act(self.machine.feed(Step.TICK, max(self.clock(), self._due)))
        self._arm()
