"""Sends that the request's task does not make, as they are known not to wait.

That is on uvicorn, while the client keeps up. The source's task makes them, in the moment in which the source
begins to wait, instead of waking the request's task for it: that saves a third of what an event costs. See
`Writer.push`. And the timer makes a heartbeat.

A middleware may wait in its `send` for something of its own all the same. Then the source's task carries this
one send to its end, with the source waiting: it cannot be moved to another task, as it may hold timeouts of
this one. So that this happens to a stream but once, the request's task sends what follows.
"""

from __future__ import annotations

import asyncio
import functools
import types
from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, Any

from endwell.engine._steps import steppable, until_done

if TYPE_CHECKING:
    from endwell.engine._stream import Stream
    from endwell.engine._writer import Writer


class HeldUp:
    """A send that is stepped by hand and was suspended. While there is one, nobody else may send.

    Args:
        stream: Whose it is.
        steps: The send.
        waiting: What it waits for.
        data: What it sends.
        chunks: How many chunks are in that.
    """

    __slots__ = ("_abandoned", "_chunks", "_data", "_steps", "_stream", "_waiting")

    def __init__(self, stream: Stream, steps: Any, waiting: Any, data: bytes, chunks: int) -> None:
        self._stream = stream
        self._steps = steps
        self._waiting = waiting
        self._data = data
        self._chunks = chunks
        self._abandoned: asyncio.Future[None] | None = None

    def abandon(self) -> None:
        """Nothing can be sent any more: end it."""
        if self._abandoned is not None and not self._abandoned.done():
            self._abandoned.set_result(None)

    @types.coroutine
    def carry(self) -> Generator[Any, Any, asyncio.CancelledError | None]:
        """Carry it to its end, in the source's task; the source waits meanwhile.

        Returns:
            A cancellation that came meanwhile, for the source: the send is not to be torn by it.
        """
        stream, machine = self._stream, self._stream.machine
        machine.blocked_since = stream.clock()
        machine.paused = True  # the time that this takes is not the source's
        try:
            return (yield from self._carry())
        finally:
            machine.blocked_since, machine.paused = None, False
            machine.last_chunk_at = stream.clock()
            stream.writer.let_go()

    @types.coroutine
    def _carry(self) -> Generator[Any, Any, asyncio.CancelledError | None]:
        writer = self._stream.writer
        cancelled: asyncio.CancelledError | None = None
        torn = over = False
        while not over:
            hit = yield from self._await()
            if not torn and (writer.over or (hit and self._stream.work.overdue)):
                # Nothing can follow it, or it has taken so long that the cleanup is overdue: it ends as if
                # its task had been cancelled, and may clean up.
                torn = True
                writer.close()
                over = self._advance(functools.partial(self._steps.throw, asyncio.CancelledError()))
            elif hit is None or self._waiting is None or self._waiting.done():
                # anyio cancels in every turn: what the send waits for may be done all the same.
                over = self._advance(functools.partial(self._steps.send, None))
            cancelled = hit or cancelled
        return cancelled

    def _advance(self, step: Callable[[], Any]) -> bool:
        """Take one more step of the send; whether it is over, one way or the other."""
        try:
            self._waiting = step()
        except StopIteration:
            self._stream.writer.count(self._data, self._chunks, 0)
        except BaseException as error:  # noqa: BLE001 - a fault of whoever is in between ends the stream
            self._stream.writer.lost(error, self._chunks)
        else:
            return False
        self._stream.machine.last_write_at = self._stream.clock()
        return True

    @types.coroutine
    def _await(self) -> Generator[Any, Any, asyncio.CancelledError | None]:
        """Wait for what the send waits for, or until it is abandoned; return a cancellation that came."""
        self._abandoned = self._stream.loop.create_future()
        try:
            yield from until_done(self._waiting, self._abandoned)
        except asyncio.CancelledError as error:
            return error
        return None


def beat_now(writer: Writer, heartbeat: bytes) -> None:
    """Send a heartbeat, outside of any task; the connection must be ready, and prompt."""
    try:
        steps = steppable(writer.connection.begin(heartbeat))
        steps.send(None)
    except StopIteration:
        writer.count(heartbeat, 0, 1)
    except BaseException as error:  # noqa: BLE001 - as above
        writer.lost(error, 0)
    else:  # it is not what it seemed; nobody can say what the client has got of it
        steps.close()
        writer.lost(RuntimeError("send() waited, outside of a task"), 0)
