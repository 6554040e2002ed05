"""The life of one stream as a table.

Rules
-----
1. A stream is in exactly one `State`. `TRANSITIONS` says which `Step` may follow in which state, and where it
   leads; a step that is not in the table is an `IllegalStep`: a bug in the engine, never a fact of life.
2. The first `Cause` wins. It is recorded before the machine answers, so before anybody can be cancelled
   because of it; whatever comes later changes nothing.
3. One cause is provisional: a source that ended well is not `completed` before its last byte is taken. Until
   then (`FLUSHING`) the client can still leave.
4. Time belongs here. The machine never reads a clock: whoever owns one asks `look_again()`, waits, and feeds
   `Step.TICK`. A tick that is early changes nothing; one that is late acts on what is due by then. Two moves
   are made by time alone: held to open, when the status line was held long enough, and closing to ended, when
   the cleanup is overdue.
5. What happens a thousand times a second is not fed. The engine writes the stamps (`last_chunk_at`,
   `last_write_at`, `blocked_since`, …) and the machine reads them when it is next asked. A stamp can start a
   deadline, but none shorter than the shortest the policy has: looking again by then finds each in time. An
   end starts the cleanup's deadline, so the engine looks again after `Act.CANCEL`.
6. There are two last words: `REPORT`, and `ABANDON` for a cleanup that is overdue. Nothing follows either.

The machine decides; the engine acts. The answer to `feed` is the one `Act` to do now.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from enum import StrEnum
from types import MappingProxyType

from endwell.errors import IllegalStep
from endwell.lifecycle._outcome import OUTCOMES, Cause, Outcome
from endwell.settings import Policy


class State(StrEnum):
    """Where a stream is in its life."""

    HELD = "held"
    """Running; the status line is held back until the first chunk."""
    OPEN = "open"
    """Running; the status line is out."""
    FLUSHING = "flushing"
    """The source ended by itself; its last bytes are on their way."""
    CLOSING = "closing"
    """The outcome is decided; the source is being cleaned up and the client told."""
    ENDED = "ended"


class Step(StrEnum):
    """What the engine reports. `ASKED` and `END` are fed as the `Cause` they stand for."""

    FIRST_CHUNK = "first chunk"
    SOURCE_ENDED = "source ended"
    FLUSHED = "flushed"
    ASKED = "stop or drain"
    END = "any other cause"
    TICK = "tick"
    CLEANUP_DONE = "cleanup done"


class Act(StrEnum):
    """What the engine has to do now."""

    NOTHING = "nothing"
    COMMIT = "commit"
    """Send the status line, although there is no chunk yet."""
    HEARTBEAT = "heartbeat"
    FINISH = "finish"
    """Write what is left, then the end of the body."""
    CANCEL = "cancel"
    """The outcome stands: end the source, say the farewell."""
    ABANDON = "abandon"
    """The cleanup is overdue: report it and go on without."""
    REPORT = "report"
    """All is over: publish the ending."""


class Farewell(StrEnum):
    """What a client can still be told."""

    NOTHING = "nothing"
    """Nobody is there to be told."""
    FINISH = "finish"
    """The regular end of the body."""
    STATUS = "status"
    """A real HTTP error: the status line is not out yet."""
    FRAME = "frame"
    """A terminal frame, or a cut body where the format has none."""


_UNSPEAKABLE = (None, Cause.DISCONNECT, Cause.SEND_FAILED, Cause.SEND_CRASHED, Cause.SEND_BLOCKED)
"""Causes after which nobody is there to be told, or no way to tell them."""

_ASKED = (Cause.STOP, Cause.DRAIN)

_RUNNING: Mapping[Step, State] = {
    Step.SOURCE_ENDED: State.FLUSHING,
    Step.ASKED: State.CLOSING,
    Step.END: State.CLOSING,
}

TRANSITIONS: Mapping[State, Mapping[Step, State]] = MappingProxyType(
    {
        State.HELD: {**_RUNNING, Step.FIRST_CHUNK: State.OPEN, Step.TICK: State.HELD},
        State.OPEN: {**_RUNNING, Step.FIRST_CHUNK: State.OPEN, Step.TICK: State.OPEN},
        State.FLUSHING: {
            Step.FLUSHED: State.CLOSING,
            Step.ASKED: State.FLUSHING,  # it is ending well already: let it
            Step.END: State.CLOSING,
            Step.TICK: State.FLUSHING,
        },
        State.CLOSING: {
            Step.CLEANUP_DONE: State.ENDED,
            Step.SOURCE_ENDED: State.CLOSING,
            Step.ASKED: State.CLOSING,
            Step.END: State.CLOSING,
            Step.TICK: State.CLOSING,
        },
        State.ENDED: dict.fromkeys(
            (Step.SOURCE_ENDED, Step.ASKED, Step.END, Step.TICK, Step.CLEANUP_DONE), State.ENDED
        ),
    }
)
"""State -> step -> next state. The diagram in the docs is drawn from this. Deadlines that pass are fed as
TICK, and lead where the cause they stand for leads."""


def _kind(step: Step | Cause) -> Step:
    if isinstance(step, Cause):
        if step is not Cause.SOURCE_ENDED:
            return Step.ASKED if step in _ASKED else Step.END
    elif step not in (Step.ASKED, Step.END):
        return step
    # An outcome needs its cause, and a source that ended is not complete before it is flushed.
    raise IllegalStep(f"{step.value!r} is not for the engine to feed")


class Machine:
    """Decides what a stream does next. See the rules at the top of this file.

    Args:
        policy: The stream's durations.
        now: The time it starts, in seconds of whatever clock `feed` is given.
        has_heartbeat: Whether the stream's format has one; without, none falls due.
    """

    __slots__ = (
        "_heartbeat",
        "_policy",
        "_shortest",
        "blocked_since",
        "cause",
        "closing_since",
        "committed",
        "first_chunk_at",
        "last_chunk_at",
        "last_write_at",
        "outcome",
        "paused",
        "started_at",
        "state",
    )

    def __init__(self, policy: Policy, now: float, *, has_heartbeat: bool = True) -> None:
        self._policy = policy
        self._heartbeat = policy.heartbeat if has_heartbeat else None
        startable = (self._heartbeat, policy.between_chunks, policy.send)
        self._shortest = min((duration for duration in startable if duration is not None), default=None)
        self.state = State.HELD
        self.cause: Cause | None = None
        self.outcome: Outcome | None = None
        self.committed = False
        """The status line is out, or must go out: a real HTTP error is no longer possible."""
        self.started_at = now
        self.first_chunk_at: float | None = None
        self.closing_since: float | None = None
        # Stamps, written by the engine without feeding (rule 5).
        self.last_chunk_at = now
        self.last_write_at = now
        self.blocked_since: float | None = None
        self.paused = False
        """The source is not asked for chunks, because the client is behind."""

    # -- what happens ------------------------------------------------------------------------------------

    def feed(self, step: Step | Cause, now: float) -> Act:
        """Take note of a step, and say what to do.

        Raises:
            IllegalStep: The table has no such step in this state. Nothing has changed.
        """
        kind = _kind(step)
        following = TRANSITIONS[self.state].get(kind)
        if following is None:
            raise IllegalStep(f"{kind.value!r} cannot happen to a stream that is {self.state.value}")
        if kind is Step.TICK:
            return self._tick(now)
        if isinstance(step, Cause):
            return self._end(step, now) if following is State.CLOSING else Act.NOTHING
        return self._advance(kind, following, now)

    def _advance(self, step: Step, following: State, now: float) -> Act:
        if self.state is State.CLOSING and following is State.ENDED:
            self.state = following
            return Act.REPORT
        if step is Step.FLUSHED:
            return self._end(Cause.SOURCE_ENDED, now)
        if step is Step.FIRST_CHUNK and self.first_chunk_at is None:
            self.first_chunk_at = self.last_chunk_at = self.last_write_at = now
            self.committed = True
        finishes = following is State.FLUSHING
        if finishes:
            self.committed = True
        self.state = following
        return Act.FINISH if finishes else Act.NOTHING

    def _end(self, cause: Cause, now: float) -> Act:
        if self.outcome is not None:
            return Act.NOTHING
        self.cause, self.outcome = cause, OUTCOMES[cause]
        self.state = State.CLOSING
        self.closing_since = now
        return Act.CANCEL

    # -- time --------------------------------------------------------------------------------------------

    def next_deadline(self) -> float | None:
        """When the next deadline that runs now passes; None if none runs."""
        return min((when for when, _ in self._deadlines()), default=None)

    def look_again(self, now: float) -> float | None:
        """When `Step.TICK` must be fed at the latest; None if never. See rule 5."""
        when = self.next_deadline()
        if self.outcome is not None or self._shortest is None:
            return when
        return min(when, now + self._shortest) if when is not None else now + self._shortest

    def _tick(self, now: float) -> Act:
        due = [(when, what) for when, what in self._deadlines() if when <= now]
        if not due:
            return Act.NOTHING
        what = min(due, key=lambda deadline: deadline[0])[1]
        if isinstance(what, Cause):
            return self._end(what, now)
        if what is Act.COMMIT:
            self.committed = True
            self.state = State.OPEN
        elif what is Act.ABANDON:
            self.state = State.ENDED
        # Whatever the engine makes of it, a heartbeat is not due again at once.
        self.last_write_at = now
        return what

    def _deadlines(self) -> Iterator[tuple[float, Cause | Act]]:
        """Every deadline that runs now. Of two at the same time the first named here wins."""
        policy = self._policy
        if self.state is State.CLOSING:
            assert self.closing_since is not None
            yield self.closing_since + policy.cleanup, Act.ABANDON
            return
        if self.state is State.ENDED:
            return
        if policy.total is not None:
            yield self.started_at + policy.total, Cause.TOTAL
        if policy.send is not None and self.blocked_since is not None:
            yield self.blocked_since + policy.send, Cause.SEND_BLOCKED
        if self.state is not State.FLUSHING:
            yield from self._source_deadlines()

    def _source_deadlines(self) -> Iterator[tuple[float, Cause | Act]]:
        policy = self._policy
        if self.first_chunk_at is None:
            if policy.first_chunk is not None:
                yield self.started_at + policy.first_chunk, Cause.FIRST_CHUNK
        elif policy.between_chunks is not None and not self.paused:
            yield self.last_chunk_at + policy.between_chunks, Cause.BETWEEN_CHUNKS
        if self.state is State.HELD:
            if policy.hold is not None:
                yield self.started_at + policy.hold, Act.COMMIT
        elif self._heartbeat is not None and self.blocked_since is None:
            yield self.last_write_at + self._heartbeat, Act.HEARTBEAT

    # -- what it comes to --------------------------------------------------------------------------------

    @property
    def running(self) -> bool:
        """Whether chunks are still wanted from the source."""
        return self.outcome is None and self.state is not State.FLUSHING

    @property
    def farewell(self) -> Farewell:
        """What the client can still be told, once the outcome stands."""
        if self.outcome is Outcome.COMPLETED:
            return Farewell.FINISH
        if self.cause in _UNSPEAKABLE:
            return Farewell.NOTHING
        return Farewell.FRAME if self.committed else Farewell.STATUS
