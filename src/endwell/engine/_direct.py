"""Sending from the source's own task, where a send is known not to wait.

That is uvicorn, while the client keeps up. In the moment in which the source begins to wait, its task sends
what is corked, instead of waking the request's task for it: that saves a third of what an event costs.

A middleware may wait in its `send` for something of its own all the same. Then the source's task carries this
one send to its end, with the source waiting: it cannot be moved to another task, as it may hold timeouts of
this one. So that this happens to a stream but once, the request's task sends what follows.
"""

from __future__ import annotations

import asyncio
import functools
import types
from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, Any, NamedTuple

from endwell.engine._owned import torn_down
from endwell.engine._steps import steppable, until_done

if TYPE_CHECKING:
    from endwell.engine._stream import Stream
    from endwell.engine._writer import Writer


class HeldUp(NamedTuple):
    """A send that is stepped by hand and was suspended, what it stands for, and what it waits for."""

    steps: Any
    data: bytes
    chunks: int
    waiting: Any


class DirectSend:
    """The sends of one stream that its source's task makes.

    Args:
        writer: Where the frames wait, and what else sends.
        stream: Whose they are.
    """

    __slots__ = ("_abandoned", "_has_waited", "_stream", "_writer")

    def __init__(self, writer: Writer, stream: Stream) -> None:
        self._writer = writer
        self._stream = stream
        self._has_waited = False
        self._abandoned: asyncio.Future[None] | None = None

    @property
    def is_held_up(self) -> bool:
        """A send is suspended: nobody else may send."""
        return self._abandoned is not None

    def abandon(self) -> None:
        """Nothing can be sent any more: end the one that is held up."""
        if self._abandoned is not None and not self._abandoned.done():
            self._abandoned.set_result(None)

    def push(self) -> HeldUp | None:
        """Send what is corked at once if that can be, else have the request's task do it.

        Returns:
            The send, if it was suspended after all. It must be carried to its end, in the same task: `carry`.
        """
        writer = self._writer
        if writer.over:
            writer.discard()
            return None
        if self._has_waited or not writer.is_idle or not writer.connection.ready:
            writer.flush()
            return None
        if len(writer.frames) == 1 and not writer.keeps_tail:
            data, chunks, writer.size = writer.frames.pop(), 1, 0
        else:
            data, chunks = writer.take()
            if writer.frames:
                writer.flush()
        steps = steppable(writer.connection.begin(data))
        try:
            waiting = steps.send(None)
        except StopIteration:
            writer.bytes += len(data)
            writer.chunks += chunks
        except BaseException as error:  # noqa: BLE001 - a fault of whoever is in between ends the stream
            self._failed(error, chunks)
        else:
            return HeldUp(steps, data, chunks, waiting)
        self._stream.machine.last_write_at = self._stream.clock()
        return None

    def _failed(self, error: BaseException, chunks: int) -> None:
        if torn_down(error):
            raise error
        self._writer.failed(error)
        self._writer.discarded += chunks

    def _advance(self, held_up: HeldUp, step: Callable[[], Any]) -> HeldUp | None:
        """Take one more step of a send. None: it is over, one way or the other."""
        try:
            waiting = step()
        except StopIteration:
            self._writer.count(held_up.data, held_up.chunks, 0)
        except BaseException as error:  # noqa: BLE001 - as above
            self._failed(error, held_up.chunks)
        else:
            return held_up._replace(waiting=waiting)
        self._stream.machine.last_write_at = self._stream.clock()
        return None

    @types.coroutine
    def carry(self, held_up: HeldUp) -> Generator[Any, Any, asyncio.CancelledError | None]:
        """Carry a suspended send to its end, in the source's task; the source waits meanwhile.

        Returns:
            A cancellation that came meanwhile, for the source: the send is not to be torn by it.
        """
        machine, clock = self._stream.machine, self._stream.clock
        machine.blocked_since = clock()
        machine.paused = True  # the time that this takes is not the source's
        self._has_waited = True
        try:
            return (yield from self._carry(held_up))
        finally:
            self._abandoned = None
            machine.blocked_since, machine.paused = None, False
            machine.last_chunk_at = clock()
            self._writer.flush()

    @types.coroutine
    def _carry(self, held_up: HeldUp) -> Generator[Any, Any, asyncio.CancelledError | None]:
        writer = self._writer
        current: HeldUp | None = held_up
        cancelled: asyncio.CancelledError | None = None
        torn = False
        while current is not None:
            steps = current.steps
            hit = yield from self._await(current.waiting)
            if not torn and (writer.over or (hit and self._stream.work.overdue)):
                # Nothing can follow it, or it has taken so long that the cleanup is overdue: it ends as if
                # its task had been cancelled, and may clean up.
                torn = writer.over = True
                current = self._advance(current, functools.partial(steps.throw, asyncio.CancelledError()))
            elif hit is None or current.waiting is None or current.waiting.done():
                # anyio cancels in every turn: what the send waits for may be done all the same.
                current = self._advance(current, functools.partial(steps.send, None))
            cancelled = hit or cancelled
        return cancelled

    @types.coroutine
    def _await(self, waiting: Any) -> Generator[Any, Any, asyncio.CancelledError | None]:
        """Wait for what a send waits for, or until it is abandoned; return a cancellation that came."""
        self._abandoned = asyncio.get_running_loop().create_future()
        try:
            yield from until_done(waiting, self._abandoned)
        except asyncio.CancelledError as error:
            return error
        return None
