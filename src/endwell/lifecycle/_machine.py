"""The life of one stream as a table.

Rules
-----
1. A stream is in exactly one `State`. `TRANSITIONS` says which `Step` may follow in which state, and where it
   leads; a step that is not in the table is an `IllegalStep`: a bug in the engine, never a fact of life.
2. The first `Cause` wins. It is recorded before the machine answers, so before anybody can be cancelled
   because of it; whatever comes later changes nothing.
3. One cause is provisional: a source that ended well is not `completed` before its last byte is taken. Until
   then (`FLUSHING`) the client can still leave.
4. A client that leaves decides the outcome, but under the policy's `on_leave` the source may go on without it
   (`UNATTENDED`), for a time. What ends the source then is no cause: the cause is that the client left.
5. Time belongs here. The machine never reads a clock: whoever owns one asks `look_again()`, waits, and feeds
   `Step.TICK`. A tick that is early changes nothing; one that is late acts on what is due by then. Two moves
   are made by time alone: held to open, when the status line was held long enough, and closing to ended, when
   the cleanup is overdue.
6. What happens a thousand times a second is not fed. The engine writes the stamps (`last_chunk_at`,
   `last_write_at`, `blocked_since`, …) and the machine reads them when it is next asked. A stamp can start a
   deadline, but none shorter than the shortest the policy has: looking again by then finds each in time. The
   deadlines of a source that goes on alone, and of a cleanup, start with an act: the engine looks again after
   it.
7. A process that goes away says for each stream when it is to be released, and by when all must be over. Both
   are stamps too: the stream's own timer paces the drain.
8. There are two last words: `REPORT`, and `ABANDON` for a cleanup that is overdue. Nothing follows either.

The machine decides; the engine acts. The answer to `feed` is the one `Act` to do now.
"""

from __future__ import annotations

import functools
import math
from typing import Final, TypeAlias

from endwell.errors import IllegalStep
from endwell.lifecycle._outcome import OUTCOMES, Cause, Outcome
from endwell.lifecycle._table import TRANSITIONS, Act, Farewell, State, Step
from endwell.settings import Finish, Grace, OnLeave, Policy

# Bound once: to look a member up in its class takes five times as long as a global, on 3.11.
_HELD: Final = State.HELD
_OPEN: Final = State.OPEN
_FLUSHING: Final = State.FLUSHING
_UNATTENDED: Final = State.UNATTENDED
_CLOSING: Final = State.CLOSING
_ENDED: Final = State.ENDED
_FIRST_CHUNK: Final = Step.FIRST_CHUNK
_FLUSHED: Final = Step.FLUSHED
_LEFT: Final = Step.LEFT
_END: Final = Step.END
_TICK: Final = Step.TICK
_CLEANUP_DONE: Final = Step.CLEANUP_DONE
_NOTHING: Final = Act.NOTHING
_COMMIT: Final = Act.COMMIT
_HEARTBEAT: Final = Act.HEARTBEAT
_CANCEL: Final = Act.CANCEL
_ABANDON: Final = Act.ABANDON

_FOLLOWING: Final = dict(TRANSITIONS)
"""The table itself, without the proxy that keeps others from writing to it."""

_NOT_FED: Final = (Outcome.COMPLETED, Outcome.REJECTED)
"""A source that ended is not complete before it is flushed, and what was never admitted has no life."""

_KINDS: Final[dict[Step | Cause, Step]] = {
    **{step: step for step in Step if step not in (Step.ASKED, Step.LEFT, Step.END)},
    **{cause: Step.END for cause, outcome in OUTCOMES.items() if outcome not in _NOT_FED},
    **{cause: Step.LEFT for cause, outcome in OUTCOMES.items() if outcome is Outcome.CLIENT_GONE},
    Cause.STOP: Step.ASKED,
    Cause.DRAIN: Step.ASKED,
}
"""What the table calls that which is fed."""

_UNSPEAKABLE: Final = frozenset(
    {
        None,
        Cause.DISCONNECT,
        Cause.SEND_FAILED,
        Cause.SEND_CRASHED,
        Cause.SEND_BLOCKED,
        Cause.SEND_SLOW,
    }
)
"""Causes after which nobody is there to be told, or no way to tell them."""

_Deadline: TypeAlias = tuple[float, Cause | Act | None]
_INFINITY: Final = math.inf
_NEVER: Final[_Deadline] = (_INFINITY, None)

LOOKS = 4
"""How often, at least, a client is looked at in the time in which it must take something."""


class Machine:
    """Decides what a stream does next. See the rules at the top of this file.

    Args:
        policy: The stream's durations.
        now: The time it starts, in seconds of whatever clock `feed` is given.
        total: What was drawn from the policy's `total`, if that is a range.
        has_heartbeat: Whether the stream's format has one; without, none falls due.
    """

    __slots__ = (
        "_heartbeat",
        "_looked_at",
        "_policy",
        "_shortest",
        "_span",
        "_taken",
        "_total",
        "behind_since",
        "blocked_since",
        "cause",
        "closing_since",
        "committed",
        "decided_at",
        "first_chunk_at",
        "last_chunk_at",
        "last_write_at",
        "on_leave",
        "outcome",
        "over_by",
        "paused",
        "progress_at",
        "release_at",
        "started_at",
        "state",
    )

    def __init__(
        self, policy: Policy, now: float, *, total: float | None = None, has_heartbeat: bool = True
    ) -> None:
        self._policy = policy
        self._total = policy.total if total is None and not isinstance(policy.total, tuple) else total
        self._heartbeat = policy.heartbeat if has_heartbeat else None
        self._shortest = _shortest(self._heartbeat, policy.between_chunks, policy.send, policy.min_rate)
        self.state: State = _HELD
        self.cause: Cause | None = None
        self.outcome: Outcome | None = None
        self.committed = False
        """The status line is out, or must go out: a real HTTP error is no longer possible."""
        self.started_at = now
        self.first_chunk_at: float | None = None
        self.decided_at: float | None = None
        """When the cause was recorded."""
        self.closing_since: float | None = None
        self.on_leave: OnLeave = policy.on_leave
        """What becomes of the source if the client leaves; the engine may have to make it "cancel"."""
        # Stamps, written by the engine without feeding (rule 6).
        self.last_chunk_at = now
        self.last_write_at = now
        self.blocked_since: float | None = None
        """A write waits for the client since then."""
        self.behind_since: float | None = None
        """There was always something to write since then."""
        self.paused = False
        """The source is not asked for chunks, because the client is behind."""
        # Of a process that goes away; see `leave_by`.
        self.release_at: float | None = None
        self.over_by: float | None = None
        # What is known of a client that is behind; see `saw`.
        self.progress_at = now
        self._taken = 0
        self._looked_at = -_INFINITY
        self._span: tuple[float, int] | None = None

    # -- what happens ------------------------------------------------------------------------------------

    def feed(self, step: Step | Cause, now: float) -> Act:
        """Take note of a step, and say what to do.

        Raises:
            IllegalStep: The table has no such step in this state. Nothing has changed.
        """
        kind = _KINDS.get(step)
        if kind is None:
            raise IllegalStep(f"{step.value!r} is not for the engine to feed")
        if kind is _LEFT and not self._goes_on():
            kind = _END
        following = _FOLLOWING[self.state].get(kind)
        if following is None:
            raise IllegalStep(f"{kind.value!r} cannot happen to a stream that is {self.state.value}")
        if kind is _TICK:
            return self._tick(now)
        if isinstance(step, Cause):
            return self._take(step, following, now)
        return self._advance(kind, following, now)

    def _goes_on(self) -> bool:
        return self.state is _UNATTENDED or (self.on_leave != "cancel" and self.running)

    def _take(self, cause: Cause, following: State, now: float) -> Act:
        """A cause: it decides, if it is the first."""
        if following is _CLOSING:
            return self._end(cause, now)
        if following is _UNATTENDED:
            return self._detach(cause, now)
        return _NOTHING

    def _advance(self, step: Step, following: State, now: float) -> Act:
        if step is _CLEANUP_DONE:
            ends = self.state is _CLOSING
            self.state = following
            return Act.REPORT if ends else _NOTHING
        if step is _FLUSHED:
            return self._end(Cause.SOURCE_ENDED, now)
        if step is _FIRST_CHUNK:
            self._first_chunk(now)
        elif self.state is _UNATTENDED:
            return self._close(now)
        self.state = following
        if following is not _FLUSHING:
            return _NOTHING
        self.committed = True
        return Act.FINISH

    def _first_chunk(self, now: float) -> None:
        if self.first_chunk_at is None:
            self.first_chunk_at = self.last_chunk_at = self.last_write_at = now
            self.committed = True

    def _detach(self, cause: Cause, now: float) -> Act:
        if self.outcome is not None:
            return _NOTHING
        self._decide(cause, now)
        self.state = _UNATTENDED
        return Act.DETACH

    def _end(self, cause: Cause, now: float) -> Act:
        if self.outcome is None:
            self._decide(cause, now)
        elif self.state is not _UNATTENDED:
            return _NOTHING
        return self._close(now)

    def _decide(self, cause: Cause, now: float) -> None:
        self.cause, self.outcome = cause, OUTCOMES[cause]
        self.decided_at = now

    def _close(self, now: float) -> Act:
        self.state = _CLOSING
        self.closing_since = now
        return _CANCEL

    def leave_by(self, release_at: float, over_by: float) -> None:
        """The process goes away: end the stream at `release_at` if it still runs, and be over at `over_by`.

        Said again, it can only become earlier.
        """
        self.release_at = release_at if self.release_at is None else min(self.release_at, release_at)
        self.over_by = over_by if self.over_by is None else min(self.over_by, over_by)

    # -- time --------------------------------------------------------------------------------------------

    def next_deadline(self) -> float | None:
        """When the next deadline that runs now passes; None if none runs."""
        when, what = self._earliest()
        return None if what is None else when

    def look_again(self, now: float) -> float | None:
        """When `Step.TICK` must be fed at the latest; None if never. See rule 6."""
        when, what = self._earliest()
        if self.closing_since is None and now + self._shortest < when:
            return now + self._shortest
        return None if what is None else when

    def saw(self, taken: int, now: float) -> None:
        """The client has taken `taken` bytes by now. The engine looks before a tick, while it is behind.

        Only so can a slow client be told from one that has stopped: the buffers in between hide both.
        """
        if self._was_looked_at() and taken > self._taken:
            self.progress_at = now
        self._taken, self._looked_at = taken, now
        if self._policy.min_rate is None or self.behind_since is None:
            self._span = None
        elif self._span is None or self._span[0] < self.behind_since or self._keeps_the_rate(taken):
            self._span = now, taken

    def _was_looked_at(self) -> bool:
        """Whether the last look was at the write that is blocked now: only then is more progress."""
        return self.blocked_since is not None and self._looked_at >= self.blocked_since

    def _keeps_the_rate(self, taken: int) -> bool:
        assert self._policy.min_rate is not None
        assert self._span is not None
        return taken - self._span[1] >= self._policy.min_rate[0]

    def _tick(self, now: float) -> Act:
        when, what = self._earliest()
        if what is None or not when <= now:
            return _NOTHING
        if isinstance(what, Cause):
            return self._end(what, now)
        if what is _COMMIT:
            self.committed = True
            self.state = _OPEN
        elif what is _ABANDON:
            self.state = _ENDED
        # Whatever the engine makes of it, a heartbeat is not due again at once.
        self.last_write_at = now
        return what

    def _earliest(self) -> _Deadline:
        """The deadline that passes first, of those that run now. Of two at once the first named here wins."""
        state = self.state
        if state is _CLOSING:
            assert self.closing_since is not None
            return self._no_later(self.closing_since + self._policy.cleanup), _ABANDON
        if state is _ENDED:
            return _NEVER
        first = _NEVER if self._total is None else (self.started_at + self._total, Cause.TOTAL)
        if state is _UNATTENDED:
            assert self.decided_at is not None
            assert isinstance(self.on_leave, Grace | Finish)  # as the policy says it, in whatever words
            first = _earlier(first, self.decided_at + self.on_leave.seconds, Cause.TOTAL)
        elif self.blocked_since is not None or self.behind_since is not None:
            first = self._of_the_client(first)
        if self.release_at is not None:
            first = self._of_the_drain(first, self.release_at)
        return first if state is _FLUSHING else self._of_the_source(first)

    def _no_later(self, when: float) -> float:
        return when if self.over_by is None else min(when, self.over_by)

    def _of_the_client(self, first: _Deadline) -> _Deadline:
        policy = self._policy
        if policy.send is not None and self.blocked_since is not None:
            when = max(self.blocked_since, self.progress_at) + policy.send
            first = _earlier(first, when, Cause.SEND_BLOCKED)
        if policy.min_rate is not None and self._span is not None and self.behind_since is not None:
            when = max(self.behind_since, self._span[0]) + policy.min_rate[1]
            first = _earlier(first, when, Cause.SEND_SLOW)
        return first

    def _of_the_drain(self, first: _Deadline, release_at: float) -> _Deadline:
        if self.state is not _FLUSHING:
            return _earlier(first, release_at, Cause.DRAIN)
        # It is ending well already. But its last bytes may take no longer than a cleanup.
        return _earlier(first, self._no_later(release_at + self._policy.cleanup), Cause.SEND_BLOCKED)

    def _of_the_source(self, first: _Deadline) -> _Deadline:
        policy = self._policy
        if self.first_chunk_at is None:
            if policy.first_chunk is not None:
                first = _earlier(first, self.started_at + policy.first_chunk, Cause.FIRST_CHUNK)
        elif policy.between_chunks is not None and not self.paused:
            first = _earlier(first, self.last_chunk_at + policy.between_chunks, Cause.BETWEEN_CHUNKS)
        if self.state is _OPEN:
            if self._heartbeat is not None and self.blocked_since is None:
                return _earlier(first, self.last_write_at + self._heartbeat, _HEARTBEAT)
        elif policy.hold is not None and self.state is _HELD:
            return _earlier(first, self.started_at + policy.hold, _COMMIT)
        return first

    # -- what it comes to --------------------------------------------------------------------------------

    @property
    def running(self) -> bool:
        """Whether chunks are still wanted from the source."""
        return self.outcome is None and self.state is not _FLUSHING

    @property
    def farewell(self) -> Farewell:
        """What the client can still be told, once the outcome stands."""
        if self.outcome is Outcome.COMPLETED:
            return Farewell.FINISH
        if self.cause in _UNSPEAKABLE:
            return Farewell.NOTHING
        return Farewell.FRAME if self.committed else Farewell.STATUS


def _earlier(first: _Deadline, when: float, what: Cause | Act) -> _Deadline:
    return (when, what) if when < first[0] else first


@functools.lru_cache(maxsize=64)
def _shortest(
    heartbeat: float | None,
    between_chunks: float | None,
    send: float | None,
    min_rate: tuple[int, float] | None,
) -> float:
    """The shortest duration that a stamp can start; for those of the client's part of one, see below.

    A constant of the policy: not worked out, nor kept, for each of its streams.
    """
    durations = [heartbeat, between_chunks]
    # A client is to be looked at several times before it is judged.
    if send is not None:
        durations.append(send / LOOKS)
    if min_rate is not None:
        durations.append(min_rate[1] / LOOKS)
    return min((duration for duration in durations if duration is not None), default=_INFINITY)
