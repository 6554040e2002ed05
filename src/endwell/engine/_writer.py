"""The one way out of a connection: frames are corked, and go out together.

The source's task appends; the request's task sends. So a blocked send never holds the source's own timeouts
up, and a source that has many chunks ready costs one send for all of them. Each `write` is one wake-up of the
request's task, no queue between.

Where the server is known to take bytes without waiting, whoever has something to send does so itself: the
source's task its chunks, the timer a heartbeat. One send at a time all the same, and each runs whole in one
place.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import TYPE_CHECKING, Any

from endwell.engine._connection import Connection
from endwell.engine._direct import HeldUp
from endwell.engine._owned import torn_down
from endwell.engine._steps import resume, steppable
from endwell.engine._tasks import crash
from endwell.engine._voice import Refusal
from endwell.lifecycle import Cause

if TYPE_CHECKING:
    from endwell.engine._stream import Stream

CORK = 64 * 1024
"""Bytes that go out together at most: what uvicorn's own buffer takes before it blocks."""


class Writer:
    """Collects the frames of one stream and sends them.

    Attributes:
        frames: What waits to be sent. The source's task appends, and adds to `size`.
        size: Bytes in `frames`.
        chunks: Chunks the server has taken.
        bytes: Bytes of body the server has taken.
        chunks_in_flight: Chunks in the send that is under way.
        heartbeats: Heartbeats the server has taken.
        discarded: Chunks that nobody will get.
        keeps_tail: See `Voice`.
        cork: Bytes that wait at most before the source has to make a turn.
        ending: The end of the body is with the server: nothing can be said any more.
        complete: The server has taken every byte of the body, and nothing but its end can follow.
        over: Nothing is sent any more: the body has ended, or cannot.
        was_cut: The body is to be cut, or has been.
    """

    __slots__ = (
        "_beats",
        "_finish",
        "_has_waited",
        "_held_up",
        "_idle",
        "_in_flight",
        "_interrupted",
        "_is_free",
        "_lingering",
        "_lingers",
        "_must_open",
        "_opened",
        "_refusal",
        "_room",
        "_runner",
        "_sending",
        "_stream",
        "_tail",
        "bytes",
        "chunks",
        "chunks_in_flight",
        "complete",
        "connection",
        "cork",
        "discarded",
        "ending",
        "frames",
        "heartbeats",
        "keeps_tail",
        "over",
        "size",
        "was_cut",
    )

    connection: Connection

    def __init__(self, stream: Stream) -> None:
        policy = stream.policy
        self._stream = stream
        self.frames: list[bytes] = []
        self.size = self._in_flight = self.chunks_in_flight = 0
        self.cork = min(CORK, (policy.max_buffer + 1) // 2)
        self.chunks = self.bytes = self.heartbeats = self.discarded = self._beats = 0
        self.keeps_tail = stream.voice.keeps_tail
        self._tail = b""
        self._finish: bytes | None = None
        self._refusal: Refusal | None = None
        self._opened = self._must_open = self.was_cut = False
        self.ending = self.complete = self.over = False
        self._runner: asyncio.Task[object] | None = None
        self._sending: asyncio.Task[object] | None = None
        self._interrupted = False
        self._idle: asyncio.Future[None] | None = None
        self._is_free = False
        self._held_up: HeldUp | None = None
        self._has_waited = False
        self._lingers = policy.linger is not None
        self._lingering: asyncio.TimerHandle | None = None
        self._room: asyncio.Future[None] | None = None

    # -- what the source's task and the timer ask --------------------------------------------------------

    def push(self) -> HeldUp | None:
        """Send what is corked: at once if that can be, else have the request's task do it.

        Returns:
            The send, if it was suspended after all. It must be carried to its end, in the same task.
        """
        if not (self._is_free and self.connection.ready):
            self._pass_on()
            return None
        frames = self.frames
        if len(frames) == 1 and not self.keeps_tail:
            data, chunks, self.size = frames.pop(), 1, 0
        else:
            data, chunks = self.take()
            if frames:
                self.flush()
        steps = self.connection.begin(data)
        if not hasattr(steps, "send"):
            steps = steppable(steps)
        try:
            waiting = steps.send(None)
        except StopIteration:
            self.bytes += len(data)
            self.chunks += chunks
        except BaseException as error:  # noqa: BLE001 - a fault of whoever is in between ends the stream
            self.lost(error, chunks)
        else:
            self._is_free, self._has_waited = False, True
            self._held_up = HeldUp(self._stream, steps, waiting, data, chunks)
            return self._held_up
        self._stream.machine.last_write_at = self._stream.loop.time()
        return None

    def _pass_on(self) -> None:
        if self.over:
            self.discard()
        elif self._lingers and self._opened:
            if self._lingering is None:
                assert self._stream.policy.linger is not None
                loop, linger = self._stream.loop, self._stream.policy.linger
                self._lingering = loop.call_later(linger, self._flush_what_lingered)
        else:
            self.flush()

    def _flush_what_lingered(self) -> None:
        self._lingering = None
        self.flush()

    def flush(self) -> None:
        """Have the request's task see what there is to do."""
        self._is_free = False
        idle = self._idle
        if idle is not None and not idle.done():
            idle.set_result(None)

    def let_go(self) -> None:
        """The send that was held up is over: others may send."""
        self._held_up = None
        self.flush()

    def lost(self, error: BaseException, chunks: int) -> None:
        """A send from another task than the request's raised: `chunks` are lost.

        Raises:
            GeneratorExit: The interpreter is closing all that there is.
        """
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
        if not self.frames and self._stream.format.heartbeat is not None:
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

    @property
    def buffered(self) -> int:
        """Bytes that the server has not taken."""
        return self.size + self._in_flight

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
        """A send waits for the client, or the server, now."""
        return self._sending is not None or self._held_up is not None

    def refuse(self, refusal: Refusal) -> None:
        """Send this instead of everything."""
        self._refusal = refusal
        self.flush()

    def abandon(self) -> None:
        """Send nothing any more, not even what is being sent."""
        if self.over:
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
        self._make_room()
        if self._stream.work.is_over:
            self.flush()

    def discard(self) -> None:
        """Nobody will get what waits."""
        self.discarded += len(self.frames)
        self.frames.clear()
        self.size = 0

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

    async def room(self) -> None:
        """Wait until the client has taken enough for the source to go on."""
        limit = self._stream.policy.max_buffer
        while self.buffered >= limit and not self.over:
            self._room = self._stream.loop.create_future()
            try:
                await self._room
            finally:
                self._room = None

    # -- in the request's task ---------------------------------------------------------------------------

    def begin(self, connection: Connection) -> None:
        """The task that runs is the one that sends."""
        self.connection = connection
        self._runner = asyncio.current_task()

    def next(self) -> Awaitable[object] | None:
        """What the request's task has to await next; None if all is over, the source's cleanup too."""
        if not self.over and self._held_up is None and (due := self._due()) is not None:
            return due
        if self.over and self._stream.work.is_over:
            return None
        self._stream.machine.behind_since = None
        self._idle = self._stream.loop.create_future()
        self._is_free = self._opened and not (self.over or self._has_waited or self._lingers)
        return self._idle

    def stand_back(self) -> None:
        """The request's task cannot send now."""
        self._runner = self._idle = None
        self._is_free = False

    def _due(self) -> Awaitable[object] | None:
        """The one thing that is next."""
        if self._refusal is not None:
            return self._refuse(self._refusal)
        if not self._opened:
            if self._must_open or self.frames or self._finish is not None or self.was_cut:
                self._opened = True
                return self._send(self.connection.open())
            return None
        if self.frames or self._beats:
            return self._write()
        if self._finish is not None:
            return self._end(self._finish)
        return self._cut() if self.was_cut else None

    async def _refuse(self, refusal: Refusal) -> None:
        await self._send(self.connection.refuse(refusal))
        self.complete = True
        self.close()

    async def _cut(self) -> None:
        self.complete = True
        self.close()
        await self._send(self.connection.cut())

    def _write(self) -> Awaitable[object]:
        """Send what waits; together with the end of the body, if that is next."""
        beats, finish = self._beats, self._finish
        data, chunks = self.take()
        if finish is not None and not self.frames and not self.connection.ends_connection:
            return self._end(data + finish, chunks, beats)
        return self._send(self.connection.write(data, more=True), data, chunks, beats)

    async def _end(self, data: bytes, chunks: int = 0, beats: int = 0) -> None:
        connection = self.connection
        if connection.ends_connection and data:
            # The server will close the connection and report a disconnect before the last send is over. So
            # that this cannot be taken for a client that leaves, no content is in that send.
            if not await self._send(connection.write(data, more=True), data, chunks, beats):
                return
            data, chunks, beats = b"", 0, 0
        self.ending = True
        self.complete = not data
        if await self._send(connection.write(data, more=False), data, chunks, beats):
            self.complete = True
            self.close()
            self._stream.flushed()

    def count(self, data: bytes, chunks: int, beats: int) -> None:
        """The server has taken them."""
        self.bytes += len(data)
        self.chunks += chunks
        self.heartbeats += beats

    def take(self) -> tuple[bytes, int]:
        """What goes out next, and how many chunks are in it."""
        frames = self.frames
        chunks = len(frames) if self.size <= self.cork else self._corkful()
        data = frames[0] if chunks == 1 else b"".join(frames[:chunks])
        del frames[:chunks]
        if self.keeps_tail:
            self._tail = (self._tail + data)[-4:]
        self.size -= len(data)
        if self._beats:
            # Never between the lines of a frame: frames are whole, and a heartbeat goes before them.
            data = (self._stream.format.heartbeat or b"") * self._beats + data
            self._beats = 0
        self._make_room()
        return data, chunks

    def tail(self) -> bytes:
        """The last four bytes of what was sent and what waits to be, if anybody wants them: `at_boundary`."""
        if not self.keeps_tail:
            return b""
        return b"".join([self._tail, *self.frames[-4:]])[-4:]

    def _corkful(self) -> int:
        size = 0
        for number, frame in enumerate(self.frames, 1):
            size += len(frame)
            if size >= self.cork:
                return number
        return len(self.frames)

    async def _send(
        self, sending: Awaitable[object], data: bytes = b"", chunks: int = 0, beats: int = 0
    ) -> bool:
        """Run one send to its end. False: nothing can be sent any more."""
        task = self._sending = self._runner
        assert task is not None
        cancelling = task.cancelling()
        self._in_flight, self.chunks_in_flight = len(data), chunks
        steps = steppable(sending)
        try:
            try:
                waiting = steps.send(None)
            except StopIteration:
                pass  # it had not to wait, as it hardly ever has
            else:
                await self._endure(steps, waiting)
        except asyncio.CancelledError:
            self.over = True  # who knows how much of it went out: nothing may follow
            self.discarded += chunks
            if not self._interrupted or task.cancelling() > cancelling + 1:
                raise
        except Exception as error:  # noqa: BLE001 - a fault of whoever is in between ends the stream, no more
            self.discarded += chunks
            self.failed(error)
        else:
            self.count(data, chunks, beats)
        finally:
            self._sending = None
            self._in_flight = self.chunks_in_flight = 0
            if self._interrupted:
                task.uncancel()
            self._stream.machine.last_write_at = self._stream.loop.time()
            self._make_room()
        return not self.over

    async def _endure(self, steps: Any, waiting: Any) -> None:
        """Wait with a send for the client, or the server."""
        machine = self._stream.machine
        machine.blocked_since = self._stream.loop.time()
        if machine.behind_since is None:
            machine.behind_since = machine.blocked_since
        try:
            await resume(steps, waiting)
        finally:
            machine.blocked_since = None

    def come_apart(self) -> None:
        """All is over: refer to the stream no more."""
        if self._lingering is not None:
            self._lingering.cancel()
        self.discard()
        del self._stream

    def _make_room(self) -> None:
        if self._room is not None and not self._room.done():
            self._room.set_result(None)
