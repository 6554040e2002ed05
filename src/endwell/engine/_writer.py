"""The one way out of a connection: frames are corked, and go out together.

The source's task appends; the request's task sends. So a blocked send never holds the source's own timeouts
up, and a source that has many chunks ready costs one send for all of them.

Where the server is known to take bytes without waiting, whoever has something to send does so itself: the
source's task its chunks, the timer a heartbeat. One send at a time all the same.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from types import CoroutineType
from typing import TYPE_CHECKING, Any

from endwell.engine._connection import Connection
from endwell.engine._cork import Cork
from endwell.engine._direct import HeldUp, beat_now
from endwell.engine._owned import torn_down
from endwell.engine._steps import resume, steppable
from endwell.engine._tasks import crash
from endwell.engine._voice import Refusal, keeps_tail
from endwell.lifecycle import Cause

if TYPE_CHECKING:
    from endwell.engine._stream import Stream


class Writer(Cork):
    """Collects the frames of one stream and sends them.

    Attributes:
        chunks: Chunks the server has taken.
        bytes: Bytes of body the server has taken.
        chunks_in_flight: Chunks in the send that is under way.
        heartbeats: Heartbeats the server has taken.
        lingering: What is there goes out when this timer says so, or with what goes out before.
        ending: The end of the body is with the server: nothing can be said any more.
        complete: The server has taken every byte of the body, and nothing but its end can follow.
        was_cut: The body is to be cut, or has been.
    """

    __slots__ = (
        "_beats",
        "_beats_in_flight",
        "_finish",
        "_has_waited",
        "_held_up",
        "_idle",
        "_interrupted",
        "_is_free",
        "_is_last",
        "_lingers",
        "_must_open",
        "_opened",
        "_refusal",
        "_runner",
        "_sending",
        "_stream",
        "bytes",
        "chunks",
        "chunks_in_flight",
        "complete",
        "connection",
        "ending",
        "heartbeats",
        "lingering",
        "was_cut",
    )

    connection: Connection

    def __init__(self, stream: Stream) -> None:
        super().__init__(stream.policy.max_buffer, keeps_tail=keeps_tail(stream.dialect, stream.format))
        self._stream = stream
        self.chunks = self.bytes = self.heartbeats = 0
        self._beats = self._beats_in_flight = self.chunks_in_flight = 0
        self._finish: bytes | None = None
        self._refusal: Refusal | None = None
        self._opened = self._must_open = self._is_last = False
        self.was_cut = self.ending = self.complete = False
        self._runner: asyncio.Task[object] | None = None
        self._sending: asyncio.Task[object] | None = None
        self._idle: asyncio.Future[None] | None = None
        self._is_free = self._has_waited = self._interrupted = False
        self._held_up: HeldUp | None = None
        self._lingers = stream.policy.linger is not None
        self.lingering: asyncio.TimerHandle | None = None

    # -- what the source's task and the timer ask --------------------------------------------------------

    def push(self) -> HeldUp | None:
        """Send what is corked: at once if that can be, else have the request's task do it.

        Returns:
            The send, if it was suspended after all. It must be carried to its end, in the same task.
        """
        connection = self.connection
        if not (self._is_free and connection.ready):
            self._pass_on()
            return None
        frames = self.frames
        if len(frames) == 1 and not self.keeps_tail:
            data, chunks, self.size = frames.pop(), 1, 0
        else:
            data, chunks = self.take()
            if frames:
                self.flush()
        try:
            steps: Any = connection.begin(data)
            if type(steps) is not CoroutineType:
                steps = steppable(steps)
            waiting = steps.send(None)
        except StopIteration:
            self.bytes += len(data)
            self.chunks += chunks
        except BaseException as error:  # noqa: BLE001 - a fault of whoever is in between ends the stream
            self.lost(error, chunks)
        else:
            self._is_free, self._has_waited = False, True
            self._held_up = HeldUp(self._stream, steps, waiting, data, chunks)
        self._stream.machine.last_write_at = self._stream.loop.time()
        return self._held_up

    def _pass_on(self) -> None:
        if self.over:
            self.discard()
        elif self._lingers and self._opened and self.size < self.cork:
            if self.lingering is None:
                assert self._stream.policy.linger is not None
                loop, linger = self._stream.loop, self._stream.policy.linger
                self.lingering = loop.call_later(linger, self._flush_what_lingered)
        else:
            self.flush()

    def _flush_what_lingered(self) -> None:
        self.lingering = None
        self.flush()

    def flush(self) -> None:
        """Have the request's task see what there is to do."""
        self._is_free = False
        idle = self._idle
        if idle is not None and not idle.done():
            idle.set_result(None)

    def let_go(self) -> None:
        """What was held up is over: others may send."""
        self._held_up = None
        self.flush()

    def lost(self, error: BaseException, chunks: int) -> None:
        """A send from another task than the request's raised: `chunks` are lost."""
        if torn_down(error):
            raise error
        self.failed(error)
        self.discarded += chunks

    def commit(self) -> None:
        """Send the status line now, and a heartbeat if the format has one: a slow source looks alive."""
        self._must_open = True
        self.beat()

    def beat(self) -> None:
        """Send a heartbeat, unless frames are on their way anyway."""
        heartbeat = self._stream.format.heartbeat
        if not self.frames and heartbeat is not None:
            if self._is_free and self.connection.ready and self.connection.is_prompt:
                beat_now(self, heartbeat)
                return
            self._beats += 1
        self.flush()

    def skip(self) -> None:
        """A chunk without bytes: there is nothing to send, but the status line, if it is the first."""
        if self.over:
            self.discarded += 1
            return
        self.chunks += 1
        self._must_open = True
        self.flush()

    def finish(self, last: bytes) -> None:
        """After what waits, send `last` and the end of the body. Nothing is appended after this."""
        self._finish = last
        self.flush()

    def cut(self) -> None:
        """After what waits, cut the body, even if its regular end was to come."""
        self._finish = None
        self.was_cut = True
        self.flush()

    @property
    def is_sending(self) -> bool:
        """A send waits for the client, or the server."""
        return self._sending is not None or self._held_up is not None

    @property
    def wants_out(self) -> bool:
        """Something may still be sent, or is being sent, as a cut is that nothing can follow."""
        return not self.over or (self.is_sending and not self._interrupted)

    def refuse(self, refusal: Refusal) -> None:
        """Send this instead of everything."""
        self._refusal = refusal
        self.flush()

    def abandon(self) -> None:
        """Send nothing any more, not even what is being sent."""
        if not self.wants_out:
            return
        self.close()
        if self._sending is not None:
            self._interrupted = True
            self._sending.cancel()
        if self._held_up is not None:
            self._held_up.abandon()

    def close(self) -> None:
        """Nothing can be sent any more. The request's task has to know only if it waits for nothing else."""
        self.over = True
        self._is_free = False
        self.discard()
        self.make_room()
        if self._stream.work.is_over:
            self.flush()

    def failed(self, error: BaseException) -> None:
        """What `send` raised, or what was raised in it to end it."""
        if self.over:
            return
        self.close()
        if isinstance(error, (OSError, RuntimeError)):
            self._stream.end(Cause.SEND_FAILED)
        else:
            cause = error if isinstance(error, Exception) else crash(error, "send")
            self._stream.end(Cause.SEND_CRASHED, error=cause)

    # -- in the request's task ---------------------------------------------------------------------------

    def begin(self, connection: Connection) -> None:
        """The task that runs is the one that sends."""
        self.connection, self._runner = connection, asyncio.current_task()

    def next(self) -> Awaitable[object] | None:
        """Send what can be sent at once, and return what the request's task has to await then.

        None if all is over, the source's cleanup too.
        """
        while not self.over and self._held_up is None and self._has_work():
            waiting = self._attempt()
            if waiting is not None:
                return waiting
        if self.over and self._stream.work.is_over:
            return None
        self._stream.machine.behind_since = None
        self._idle = self._stream.loop.create_future()
        self._is_free = self._opened and not (self.over or self._has_waited or self._lingers)
        return self._idle

    def stand_back(self) -> None:
        """The request's task does not send any more."""
        self._runner = self._idle = None
        self._is_free = False

    def _has_work(self) -> bool:
        has_end = self._finish is not None or self.was_cut or self._refusal is not None
        return bool(self.frames or self._beats or has_end or (self._must_open and not self._opened))

    def _due(self) -> Awaitable[object]:
        """The one send that is next, to be made at once."""
        connection = self.connection
        if self._refusal is not None:
            self._is_last = True
            return connection.refuse(self._refusal)
        if not self._opened:
            self._opened = True
            return connection.open()
        if self.frames or self._beats:
            return self._write(self._finish)
        return self._cut() if self._finish is None else self._end(b"", self._finish)

    def _cut(self) -> Awaitable[object]:
        self.complete = True
        self.close()
        return self.connection.cut()

    def _write(self, finish: bytes | None) -> Awaitable[object]:
        """Send what waits; together with the end of the body, if that is next."""
        data, self.chunks_in_flight = self.take()
        if self._beats:
            # Never between the lines of a frame: frames are whole, and a heartbeat goes before them.
            data = (self._stream.format.heartbeat or b"") * self._beats + data
            self._beats_in_flight, self._beats = self._beats, 0
        if finish is not None and not self.frames and not self.connection.ends_connection:
            return self._end(data, finish)
        self._in_flight = len(data)
        return self.connection.write(data, more=True)

    def _end(self, data: bytes, finish: bytes) -> Awaitable[object]:
        data += finish
        self._in_flight = len(data)
        if data and self.connection.ends_connection:
            # The server will close the connection and report a disconnect before the last send is over. So
            # that this cannot be taken for a client that leaves, no content is in that send.
            self._finish = b""
            return self.connection.write(data, more=True)
        self.ending = self._is_last = True
        self.complete = not data
        return self.connection.write(data, more=False)

    def _attempt(self) -> Awaitable[object] | None:
        """Make the next send as far as it goes without waiting; return what is left of it, to be awaited."""
        try:
            steps = steppable(self._due())
            waiting = steps.send(None)
        except StopIteration:
            self._taken()
        except asyncio.CancelledError:
            self._torn()
            raise
        except Exception as error:  # noqa: BLE001 - a fault of whoever is in between ends the stream, no more
            self.discarded += self.chunks_in_flight
            self.failed(error)
        else:
            return self._endure(steps, waiting)
        self._settled()
        self._conclude()
        return None

    async def _endure(self, steps: Any, waiting: Any) -> None:
        """Wait with a send for the client, or the server."""
        machine = self._stream.machine
        task = self._sending = self._runner
        assert task is not None
        cancelling = task.cancelling()
        if self.over and not self.was_cut:  # somebody has abandoned it from within its first step
            self._interrupted = True
            task.cancel()
        machine.blocked_since = self._stream.clock()
        if machine.behind_since is None:
            machine.behind_since = machine.blocked_since
        try:
            try:
                await resume(steps, waiting)
            finally:
                self._sending = machine.blocked_since = None
        except asyncio.CancelledError:
            self._torn()
            if not self._interrupted or task.cancelling() > cancelling + 1:
                raise
        except Exception as error:  # noqa: BLE001 - as above
            self.discarded += self.chunks_in_flight
            self.failed(error)
        else:
            self._taken()
        finally:
            if self._interrupted:
                task.uncancel()
            self._settled()
        self._conclude()

    def _taken(self) -> None:
        self.bytes += self._in_flight
        self.chunks += self.chunks_in_flight
        self.heartbeats += self._beats_in_flight

    def _torn(self) -> None:
        """A send was ended from outside: who knows how much of it went out, so nothing may follow."""
        self.discarded += self.chunks_in_flight
        self.close()

    def _settled(self) -> None:
        """A send is over, one way or the other."""
        self._in_flight = self.chunks_in_flight = self._beats_in_flight = 0
        self._stream.machine.last_write_at = self._stream.loop.time()
        self.make_room()

    def _conclude(self) -> None:
        """If nothing was to come after what was sent, all has been said."""
        if not self._is_last or self.over:
            return
        self.complete = True
        self.close()
        if self.ending:
            self._stream.flushed()

    def count(self, data: bytes, chunks: int, beats: int) -> None:
        """The server has taken them."""
        self.bytes += len(data)
        self.chunks += chunks
        self.heartbeats += beats

    def come_apart(self) -> None:
        """All is over: refer to the stream no more."""
        if self.lingering is not None:
            self.lingering.cancel()
        del self._stream
