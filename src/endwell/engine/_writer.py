"""The one way out of a connection: frames are corked, and go out together.

The source's task appends; the request's task sends. So a blocked send never holds the source's own timeouts
up, and a source that has many chunks ready costs one send for all of them. Each `write` is one wake-up of the
request's task, no queue between.

Where the server is known to take bytes without waiting, the source's task sends them itself: see `_direct`.
One send at a time all the same, and each runs whole in one task.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import TYPE_CHECKING

from endwell.engine._connection import Connection
from endwell.engine._direct import DirectSend
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
        direct: Sends from the source's task.
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
        "_idle",
        "_in_flight",
        "_interrupted",
        "_lingering",
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
        "direct",
        "discarded",
        "ending",
        "frames",
        "heartbeats",
        "keeps_tail",
        "over",
        "size",
        "was_cut",
    )

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self.frames: list[bytes] = []
        self.size = 0
        self._in_flight = self.chunks_in_flight = 0
        self.cork = min(CORK, (stream.policy.max_buffer + 1) // 2)
        self.chunks = self.bytes = self.heartbeats = self.discarded = 0
        self._beats = 0
        self.direct = DirectSend(self, stream)
        self.keeps_tail = stream.voice.keeps_tail
        self._tail = b""
        self._opened = self._must_open = False
        self._finish: bytes | None = None
        self.was_cut = False
        self._refusal: Refusal | None = None
        self.ending = self.complete = self.over = False
        self._runner: asyncio.Task[object] | None = None
        self._sending: asyncio.Task[object] | None = None
        self._interrupted = False
        self._idle: asyncio.Future[None] | None = None
        self._lingering: asyncio.TimerHandle | None = None
        self._room: asyncio.Future[None] | None = None

    # -- what the source's task and the timer ask --------------------------------------------------------

    def flush(self) -> None:
        """Have the request's task send what is there."""
        idle = self._idle
        if idle is not None and not idle.done():
            idle.set_result(None)

    def flush_later(self) -> None:
        """Have it sent when the policy's `linger` is over; the first chunk at once."""
        if not self._opened:
            self.flush()
        elif self._lingering is None:
            assert self._stream.policy.linger is not None
            loop, linger = self._stream.loop, self._stream.policy.linger
            self._lingering = loop.call_later(linger, self._flush_what_lingered)

    def _flush_what_lingered(self) -> None:
        self._lingering = None
        self.flush()

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
        return self._sending is not None or self.direct.is_held_up

    def refuse(self, refusal: Refusal) -> None:
        """Send this instead of everything."""
        self._refusal = refusal
        self.flush()

    def abandon(self) -> None:
        """Send nothing any more, not even what is being sent."""
        if self.over:
            return
        self.over = True
        self.flush()
        if self._sending is not None:
            self._interrupted = True
            self._sending.cancel()
        self.direct.abandon()

    @property
    def is_idle(self) -> bool:
        """The request's task has nothing to send, and a piece of the body is what comes next."""
        return self._idle is not None and self._opened and not self._beats

    def discard(self) -> None:
        """Nobody will get what waits."""
        self.discarded += len(self.frames)
        self.frames.clear()
        self.size = 0

    def failed(self, error: BaseException) -> None:
        """What `send` raised, or what was raised in it to end it."""
        if self.over:
            return
        if isinstance(error, (OSError, RuntimeError)):
            self._give_up(Cause.SEND_FAILED)
        else:
            self._give_up(Cause.SEND_CRASHED, error if isinstance(error, Exception) else crash(error, "send"))

    def _give_up(self, cause: Cause, error: Exception | None = None) -> None:
        """Nothing can be sent any more; the request's task need not wait for it."""
        self.over = True
        self.flush()
        self._stream.end(cause, error=error)

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

    async def run(self, connection: Connection) -> None:
        """Send until the body has ended, or nothing can be sent any more."""
        self.connection = connection
        self._runner = asyncio.current_task()
        try:
            while not self.over:
                if self.direct.is_held_up or not await self._step(connection):
                    # In a method of its own this wait would take 200 bytes more of each idle stream.
                    self._stream.machine.behind_since = None
                    self._idle = self._stream.loop.create_future()
                    try:
                        await self._idle
                    finally:
                        self._idle = None
        finally:
            self._runner = None
            self._make_room()
            if self.over:
                self.discard()

    async def _step(self, connection: Connection) -> bool:
        """Do the one thing that is next; False if there is none."""
        if self._refusal is not None:
            await self._send(connection.refuse(self._refusal))
            self.complete = self.over = True
        elif not self._opened and (
            self._must_open or self.frames or self._finish is not None or self.was_cut
        ):
            self._opened = True
            await self._send(connection.open())
        elif self.frames or self._beats:
            await self._write(connection)
        elif self._finish is not None:
            await self._end(connection, self._finish)
        elif self.was_cut:
            self.complete = self.over = True
            await self._send(connection.cut())
        else:
            return False
        return True

    async def _write(self, connection: Connection) -> None:
        """Send what waits; together with the end of the body, if that is next."""
        beats, finish = self._beats, self._finish
        data, chunks = self.take()
        if finish is not None and not self.frames and not connection.ends_connection:
            await self._end(connection, data + finish, chunks, beats)
        else:
            await self._send(connection.write(data, more=True), data, chunks, beats)

    async def _end(self, connection: Connection, data: bytes, chunks: int = 0, beats: int = 0) -> None:
        if connection.ends_connection and data:
            # The server will close the connection and report a disconnect before the last send is over. So
            # that this cannot be taken for a client that leaves, no content is in that send.
            if not await self._send(connection.write(data, more=True), data, chunks, beats):
                return
            data, chunks, beats = b"", 0, 0
        self.ending = True
        self.complete = not data
        if await self._send(connection.write(data, more=False), data, chunks, beats):
            self.complete = self.over = True
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
        stream, machine = self._stream, self._stream.machine
        task = self._sending = self._runner
        assert task is not None
        cancelling = task.cancelling()
        machine.blocked_since = stream.clock()
        if machine.behind_since is None:
            machine.behind_since = machine.blocked_since
        self._in_flight, self.chunks_in_flight = len(data), chunks
        try:
            await sending
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
            machine.blocked_since = None
            machine.last_write_at = stream.clock()
            self._make_room()
        return not self.over

    def come_apart(self) -> None:
        """All is over: refer to the stream no more."""
        if self._lingering is not None:
            self._lingering.cancel()
        del self._stream, self.direct

    def _make_room(self) -> None:
        if self._room is not None and not self._room.done():
            self._room.set_result(None)
