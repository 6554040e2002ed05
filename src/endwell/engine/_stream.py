"""One stream: the machine that decides, and those who act on its word.

Two tasks. The *request's task* calls `serve`: it sends, waits, and in the end reports. The *source's task*
does the `Work`. Neither waits for the other where it need not: what is ready goes through a list, and what
ends the stream goes through the machine. Time comes in through one look at a time, arranged lazily.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterable, Sequence
from contextvars import copy_context
from time import time
from typing import Any

from endwell.engine._asker import Asker
from endwell.engine._connection import Connection
from endwell.engine._goodbye import hang_up, say_goodbye
from endwell.engine._ids import new_id
from endwell.engine._interruption import see_through
from endwell.engine._latch import Latch
from endwell.engine._owned import Release, torn_down
from endwell.engine._pool import ThreadPool
from endwell.engine._record import ending_of
from endwell.engine._source import SourceHandle
from endwell.engine._stopping import check_reason
from endwell.engine._tasks import running_loop
from endwell.engine._unattended import Unattended
from endwell.engine._voice import Voice
from endwell.engine._wheel import Timed
from endwell.engine._work import Work
from endwell.engine._writer import Writer
from endwell.lifecycle import OUTCOMES, Act, Cause, Machine, Outcome, State, Step
from endwell.observe import Callback, Ending, logger
from endwell.settings import Policy
from endwell.wire import Dialect, Format

_NOTHING, _CANCEL = Act.NOTHING, Act.CANCEL  # CPython 3.11 takes five times as long to find an enum's member
_NOBODY = Asker()
_NEVER = Latch()
"""For a stream that is nobody's: nobody says that its process goes away."""


class Stream(Timed):
    """One source run with one id and exactly one ending.

    Args:
        source: The source, already taken over.
        format: How chunks become bytes.
        policy: Its durations.
        route: The route's template, for the ending.
        owns: What releases its resources, even if the source never starts.
        dialect: How the client is told of an end that is none; the format's own by default.
        resumable: Number the events, and mark the end; for SSE only.
        asker: What is known of who asked.
        owner: Who may stop it, besides the application.
        key: What a limit counts it by.

    Attributes:
        decided: The outcome stands, so no chunk counts any more: the machine's word, for the hot loop to see.
        context: Its source's, and its timer's: a copy of the request's.
        is_gone: The client has left.
        going: Set when the process goes away: the application's.
        says_goodbye: Its source has asked about that, so it is trusted to end by itself.
        knows: Its source has learnt it.
        began: When it began, in seconds since 1970.
        callbacks: Told of the ending.
        reason: Why it was stopped, in the words of whoever asked.
        error: What the source or `send` raised, if that is the cause.
        pool: Where a sync source's thread comes from; None for the event loop's own.
        reference: By it the client's words and the log's are matched; None while nothing was said.
    """

    __slots__ = (
        "_gone",
        "_is_resumable",
        "_is_unattended",
        "_unattended",
        "_voice",
        "asker",
        "began",
        "callbacks",
        "context",
        "decided",
        "dialect",
        "error",
        "format",
        "going",
        "id",
        "is_gone",
        "key",
        "knows",
        "machine",
        "owner",
        "policy",
        "pool",
        "reason",
        "reference",
        "route",
        "says_goodbye",
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
        dialect: Dialect | None = None,
        resumable: bool = False,
        asker: Asker | None = None,
        owner: object = None,
        key: object = None,
    ) -> None:
        super().__init__(asyncio.get_running_loop())
        self.context = copy_context()
        self.id = new_id()
        self.route = route
        self.owner = owner
        self.key = key
        self.format = format
        self.policy = policy
        self.asker = asker or _NOBODY
        self.dialect = dialect
        self._is_resumable = resumable
        self._voice: Voice | None = None
        self._unattended: Unattended | None = None
        self._is_unattended = False
        self.pool: ThreadPool | None = None
        total = random.uniform(*policy.total) if isinstance(policy.total, tuple) else policy.total  # noqa: S311
        self.machine = Machine(policy, self.clock(), total=total, has_heartbeat=format.heartbeat is not None)
        self.writer = Writer(self)
        self.work = Work(self, source, owns)
        self.decided = False
        self.is_gone = False
        self._gone: Latch | None = None
        self.going = _NEVER
        self.says_goodbye = self.knows = False
        self.callbacks: Sequence[Callback] = ()
        self.error: BaseException | None = None
        self.reference: str | None = None
        self.reason: str | None = None
        self.began = time()

    @property
    def voice(self) -> Voice:
        """How it speaks to its client; made when it first has something to say besides chunks."""
        if self._voice is None:
            how = (self.id, self.format, self.policy, self.dialect)
            self._voice = Voice(*how, resumable=self._is_resumable, asker=self.asker)
        return self._voice

    def encoder(self) -> Callable[[Any], bytes]:
        """What makes one chunk one frame."""
        return self.voice.encode if self._is_resumable else self.format.encode

    # -- the request's task ------------------------------------------------------------------------------

    async def serve(self, connection: Connection) -> None:
        """Run the stream over `connection` until all is over; then `ending` tells how.

        Raises:
            CancelledError: The task was cancelled from outside. The cleanup has finished all the same, or is
                reported overdue.
        """
        writer = self.writer
        writer.begin(connection)
        self.work.start()
        self._arm()
        hit: BaseException | None = None
        try:
            # In a method of its own this wait would take 200 bytes more of each idle stream.
            while (due := writer.next()) is not None:
                await due
        except BaseException as error:
            writer.stand_back()
            if torn_down(error):
                raise
            hit = error
            hit = await see_through(self, error, connection) or hit
        writer.stand_back()
        self.look_no_more()
        self._give_it_back()
        if self.machine.outcome is None:  # whatever has gone wrong, no stream is without an ending
            self.end(Cause.SEND_CRASHED)
        self.machine.feed(Step.CLEANUP_DONE, self.clock())
        self._come_apart()
        if hit is not None:
            try:
                raise hit
            finally:
                del hit  # its traceback refers to this frame

    def _come_apart(self) -> None:
        """Leave no cycle of references: the garbage collector would hold the loop up to find it."""
        if not self.work.overdue:
            self.work.come_apart()
            self.writer.come_apart()
            del self.context

    def ending(self) -> Ending:
        """The record of the ending, once `serve` is over."""
        return ending_of(self)

    # -- what happens ------------------------------------------------------------------------------------

    def first_chunk(self) -> None:
        """The source gave its first chunk."""
        self._feed(Step.FIRST_CHUNK)

    def source_ended(self) -> None:
        """The source ended by itself; or because the process goes away, if it knows that."""
        if self.knows and self.machine.running:
            self.end(Cause.DRAIN)
        elif not self.decided:
            self._feed(Step.SOURCE_ENDED)

    def flushed(self) -> None:
        """The server took the last byte and the end of the body."""
        if not self.decided:
            self._feed(Step.FLUSHED)

    def client_gone(self) -> None:
        """The client has left: end the stream, and write nothing any more."""
        if self.writer.complete or (self.writer.ending and self.writer.connection.ended):
            self.flushed()  # some servers say so when the response is complete; and nothing is lost any more
            return
        self.end(Cause.DISCONNECT)
        hang_up(self)  # also if another cause was first: nobody hears its farewell

    @property
    def gone(self) -> Latch:
        """Set when the client has left."""
        if self._gone is None:
            self._gone = Latch(is_set=self.is_gone)
        return self._gone

    def stop(self, reason: str | None = None) -> bool:
        """End the stream because somebody asks. False if it was ending already."""
        if not self.stoppable:
            return False
        self.reason = reason
        self.end(Cause.STOP)
        return True

    def stop_from_anywhere(self, reason: str | None = None) -> bool:
        """`stop`, from any thread.

        Raises:
            TypeError: `reason` is no text.
        """
        check_reason(reason)
        if running_loop() is self.loop:
            return self.stop(reason)
        was_running = self.stoppable
        self.loop.call_soon_threadsafe(self.stop, reason)
        return was_running

    @property
    def stoppable(self) -> bool:
        """Whether the source still runs, for a client or without one."""
        return self.machine.running or self.machine.state is State.UNATTENDED

    def end(self, cause: Cause, *, error: BaseException | None = None) -> None:
        """End the stream; only the first cause counts."""
        if not self.decided:
            self.error = error
        if OUTCOMES[cause] is Outcome.CLIENT_GONE:
            self._take_a_place()
            self.is_gone = True
            if self._gone is not None:
                self._gone.set()
        self._feed(cause)

    def leave_by(self, release_at: float, over_by: float) -> None:
        """The process goes away: end at `release_at` if the source does not, and be over at `over_by`."""
        self.machine.leave_by(release_at, over_by)
        if release_at <= self.clock():
            self.end(Cause.DRAIN)
        if not (self.work.is_over and self.writer.over):
            self._arm()

    # -- a source without its client ---------------------------------------------------------------------

    def join(self, unattended: Unattended, pool: ThreadPool | None, going: Latch) -> None:
        """Be one of an application's streams, before it starts.

        Args:
            unattended: Where a source counts that goes on when its client has left.
            pool: Where a sync source's thread comes from.
            going: Set when the process goes away.
        """
        self._unattended = unattended
        self.pool = pool
        self.going = going

    def _take_a_place(self) -> None:
        machine = self.machine
        if machine.on_leave == "cancel" or not machine.running:
            return
        self._is_unattended = self._unattended is None or self._unattended.admit(self.id)
        if not self._is_unattended:
            machine.on_leave = "cancel"

    def _give_it_back(self) -> None:
        """All is over: the source does not count any more."""
        if self._is_unattended and self._unattended is not None:
            self._unattended.over()

    # -- what the machine says to it ---------------------------------------------------------------------

    def _feed(self, step: Step | Cause) -> None:
        self._act(self.machine.feed(step, self.clock()))

    def _act(self, act: Act) -> None:
        if act is _NOTHING:
            return
        if act is _CANCEL:
            self._close()
            return
        match act:
            case Act.HEARTBEAT:
                self.writer.beat()
            case Act.COMMIT:
                self.writer.commit()
            case Act.FINISH:
                self.writer.finish(self._finale())
            case Act.DETACH:
                hang_up(self)
                self._arm()
            case Act.ABANDON:
                self._abandon()

    def _finale(self) -> bytes:
        dialect = self.dialect or self.format.dialect
        says_nothing = not self._is_resumable and (dialect is None or not dialect.done)
        return b"" if says_nothing else self.voice.finale(self.writer.tail())

    def _close(self) -> None:
        """The outcome stands: cancel the source, tell the client."""
        self.decided = True
        if not (self.work.is_over and self.writer.over):
            self._arm()
        self.work.cancel()
        say_goodbye(self)

    def _abandon(self) -> None:
        """The cleanup is overdue: report where it hangs, and go on without it."""
        if self.writer.wants_out:
            self.writer.abandon()
            self.writer.connection.abort()  # it did not take its farewell in all this time
        if self.work.is_over:
            return  # it was the farewell that the client did not take
        logger.warning(
            "cleanup of stream %s [%s] is overdue after %.3g s, stuck at %s",
            self.id,
            self.route or "-",
            self.clock() - (self.machine.closing_since or 0.0),
            self.work.let_go(),
        )

    # -- time --------------------------------------------------------------------------------------------

    def clock(self) -> float:
        """The loop's time."""
        return self.loop.time()

    def _arm(self) -> None:
        now = self.loop.time()
        when = self.machine.look_again(now)
        if when is not None:
            self.look_by(when, now, exactly=self.decided)

    def tick(self, now: float) -> None:
        """It is time to look."""
        self.has_come()
        self._look(now)
        self.work.look()
        act = self.machine.feed(Step.TICK, now)
        if act is not _NOTHING:
            self.context.run(self._act, act)
        self._arm()

    def _look(self, now: float) -> None:
        """See what a client that is behind has taken meanwhile."""
        machine = self.machine
        is_behind = machine.behind_since is not None or machine.blocked_since is not None
        if not is_behind or self.writer.over:
            return
        taken = self.writer.connection.taken()
        if taken is not None:
            machine.saw(taken, now)
