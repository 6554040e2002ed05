"""The one way out of a connection: frames are corked, and go out together.

The source's task appends; the request's task sends. So a blocked send never holds the source's own timeouts
up, and a source that has many chunks ready costs one send for all of them. Each `write` is one wake-up of the
request's task, no queue between.

Where the server is known to take bytes without waiting (uvicorn, while the client keeps up), the source's
task sends them itself, in the moment in which the source begins to wait: that saves the wake-up, a third of
what an event costs. One send at a time all the same, and each runs whole in one task.
"""

from __future__ import annotations

import asyncio
import types
from collections.abc import Coroutine, Generator
from typing import TYPE_CHECKING, Any, NamedTuple

from endwell.engine._connection import Connection
from endwell.lifecycle import Cause

if TYPE_CHECKING:
    from endwell.engine._stream import Stream

CORK = 64 * 1024
"""Bytes that wait at most before the source is no longer asked: what uvicorn's own buffer takes before it
blocks. A reader that does not read thus holds this much, as much again in the send under way, and one
chunk."""


class HeldUp(NamedTuple):
    """A send that was suspended, and what it stands for."""

    sending: Coroutine[Any, Any, None]
    waiting: Any
    data: bytes
    chunks: int


class Writer:
    """Collects the frames of one stream and sends them.

    Attributes:
        frames: What waits to be sent. The source's task appends, and adds to `size`.
        size: Bytes in `frames`.
        chunks: Chunks the server has taken.
        bytes: Bytes of body the server has taken.
        heartbeats: Heartbeats the server has taken.
        ending: The end of the body is with the server: nothing can be said any more.
        complete: The server has taken every byte of the body, and nothing but its end can follow.
        over: Nothing is sent any more: the body has ended, or cannot.
        was_cut: The body is to be cut, or has been.
    """

    __slots__ = (
        "_beats",
        "_carrying",
        "_finish",
        "_idle",
        "_interrupted",
        "_must_open",
        "_opened",
        "_refusal",
        "_room",
        "_sending",
        "_stream",
        "bytes",
        "chunks",
        "complete",
        "connection",
        "ending",
        "frames",
        "heartbeats",
        "over",
        "size",
        "was_cut",
    )

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self.frames: list[bytes] = []
        self.size = 0
        self.chunks = self.bytes = self.heartbeats = 0
        self._beats = 0
        self._carrying = False
        self._opened = self._must_open = False
        self._finish: bytes | None = None
        self.was_cut = False
        self._refusal: tuple[int, str, str, str] | None = None
        self.ending = self.complete = self.over = False
        self._sending: asyncio.Task[object] | None = None
        self._interrupted = False
        self._idle: asyncio.Future[None] | None = None
        self._room: asyncio.Future[None] | None = None

    # -- what the source's task and the timer ask --------------------------------------------------------

    def flush(self) -> None:
        """Have the request's task send what is there."""
        idle = self._idle
        if idle is not None and not idle.done():
            idle.set_result(None)

    def commit(self) -> None:
        """Send the status line now, and a heartbeat if the format has one: a slow source looks alive."""
        self._must_open = True
        self.beat()

    def beat(self) -> None:
        """Send a heartbeat, unless frames are on their way anyway."""
        if not self.frames and self._stream.format.heartbeat is not None:
            self._beats += 1
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

    def refuse(self, status: int, code: str, message: str, reference: str) -> None:
        """Send an HTTP error instead of everything."""
        self._refusal = (status, code, message, reference)
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

    def push(self) -> HeldUp | None:
        """Send what is there at once if that can be, else have the request's task do it.

        Called in the source's task.

        Returns:
            The send, if it was suspended after all: a middleware waits for something of its own. It must be
            carried to its end, in the same task; see `carry`.
        """
        if self._idle is None or not self._opened or self._beats or self.over or not self.connection.ready:
            self.flush()
            return None
        chunks = len(self.frames)
        data = self._take()
        return self._advance(self.connection.begin(data), data, chunks)

    def _advance(self, sending: Coroutine[Any, Any, None], data: bytes, chunks: int) -> HeldUp | None:
        stream = self._stream
        try:
            waiting = sending.send(None)
        except StopIteration:
            self._count(data, chunks, 0)
        except (OSError, RuntimeError):
            self._give_up(Cause.SEND_FAILED)
        except Exception as error:  # noqa: BLE001 - as in _send
            self._give_up(Cause.SEND_CRASHED, error)
        else:
            return HeldUp(sending, waiting, data, chunks)
        stream.machine.last_write_at = stream.clock()
        return None

    def _give_up(self, cause: Cause, error: Exception | None = None) -> None:
        """Nothing can be sent any more; the request's task need not wait for it."""
        self.over = True
        self.flush()
        self._stream.end(cause, error=error)

    @types.coroutine
    def carry(self, held_up: HeldUp) -> Generator[Any, Any, asyncio.CancelledError | None]:
        """Carry a suspended send to its end, in the source's task; the source waits meanwhile.

        Returns:
            A cancellation that came meanwhile, for the source: the send is not to be torn by it.
        """
        machine = self._stream.machine
        machine.blocked_since = self._stream.clock()
        self._carrying = True
        cancelled: asyncio.CancelledError | None = None
        current: HeldUp | None = held_up
        try:
            while current is not None:
                try:
                    yield from _until_done(current.waiting)
                except asyncio.CancelledError as error:
                    cancelled = error
                    if self.over:
                        current.sending.close()
                        break
                else:
                    current = self._advance(current.sending, current.data, current.chunks)
        finally:
            self._carrying = False
            machine.blocked_since = None
            self.flush()
        return cancelled

    async def room(self) -> None:
        """Wait until the client has taken enough for the source to go on."""
        while self.size >= CORK and not self.over:
            self._room = asyncio.get_running_loop().create_future()
            try:
                await self._room
            finally:
                self._room = None

    # -- in the request's task ---------------------------------------------------------------------------

    async def run(self, connection: Connection) -> None:
        """Send until the body has ended, or nothing can be sent any more."""
        self.connection = connection
        try:
            while not self.over:
                if self._carrying or not await self._step(connection):
                    await self._wait()
        finally:
            self._make_room()

    async def _step(self, connection: Connection) -> bool:
        """Do the one thing that is next; False if there is none."""
        if self._refusal is not None:
            await self._send(connection.refuse(*self._refusal))
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
        chunks, beats, finish = len(self.frames), self._beats, self._finish
        data = self._take()
        if finish is not None and not connection.ends_connection:
            await self._end(connection, data + finish, chunks, beats)
        elif await self._send(connection.write(data, more=True)):
            self._count(data, chunks, beats)

    async def _end(self, connection: Connection, data: bytes, chunks: int = 0, beats: int = 0) -> None:
        if connection.ends_connection and data:
            # The server will close the connection and report a disconnect before the last send is over. So
            # that this cannot be taken for a client that leaves, no content is in that send.
            if not await self._send(connection.write(data, more=True)):
                return
            self._count(data, chunks, beats)
            data, chunks, beats = b"", 0, 0
        self.ending = True
        self.complete = not data
        if await self._send(connection.write(data, more=False)):
            self._count(data, chunks, beats)
            self.complete = self.over = True
            self._stream.flushed()

    def _count(self, data: bytes, chunks: int, beats: int) -> None:
        self.bytes += len(data)
        self.chunks += chunks
        self.heartbeats += beats

    def _take(self) -> bytes:
        frames = self.frames
        if self._beats:
            # Never between the lines of a frame: frames are whole, and a heartbeat goes before them.
            frames.insert(0, (self._stream.format.heartbeat or b"") * self._beats)
            self._beats = 0
        data = frames[0] if len(frames) == 1 else b"".join(frames)
        frames.clear()
        self.size = 0
        self._make_room()
        return data

    async def _send(self, sending: Coroutine[object, object, None]) -> bool:
        """Run one send to its end. False: nothing can be sent any more."""
        stream, machine = self._stream, self._stream.machine
        task = self._sending = asyncio.current_task()
        assert task is not None
        cancelling = task.cancelling()
        machine.blocked_since = stream.clock()
        try:
            await sending
        except (OSError, RuntimeError):
            self._give_up(Cause.SEND_FAILED)
        except asyncio.CancelledError:
            self.over = True  # who knows how much of it went out: nothing may follow
            if not self._interrupted or task.cancelling() > cancelling + 1:
                raise
        except Exception as error:  # noqa: BLE001 - a fault of whoever is in between ends the stream, no more
            self._give_up(Cause.SEND_CRASHED, error)
        finally:
            self._sending = None
            if self._interrupted:
                task.uncancel()
            machine.blocked_since = None
            machine.last_write_at = stream.clock()
        return not self.over

    async def _wait(self) -> None:
        self._idle = asyncio.get_running_loop().create_future()
        try:
            await self._idle
        finally:
            self._idle = None

    def _make_room(self) -> None:
        if self._room is not None and not self._room.done():
            self._room.set_result(None)


@types.coroutine
def _until_done(waiting: Any) -> Generator[Any, Any, None]:
    """Wait for what a suspended coroutine waits for, so that cancelling the task does not cancel that."""
    if waiting is None:  # a bare turn of the loop
        yield None
        return
    waiting._asyncio_future_blocking = False  # noqa: SLF001 - as asyncio.Task does with what it is handed
    done: asyncio.Future[None] = waiting.get_loop().create_future()

    def wake(_: object) -> None:
        if not done.done():
            done.set_result(None)

    waiting.add_done_callback(wake)
    yield from done
