"""The one reader of `receive()`, and everybody who wants to know what it said.

Two readers of one `receive()` lose messages: hypercorn, daphne and gunicorn wake one of them only. So a pump
reads, always, from the start to the end of a response: an unread body would hide the client's FIN behind it.
What it reads is kept for whoever asks through the pump's own `receive`, within a bound; that the client is
gone is told to all, for ever.

Beyond the bound the pump has to choose. If somebody reads, or still may, it waits for them: dropping would
corrupt the body. If nobody has begun to read a body whose response is already streaming, it drops: waiting
would hide the client.

uvicorn's own `receive` is stepped by hand, from one future that it waits for to the next: it asks for no
task, and a task for each stream would cost as much as all that is kept here. Any other runs in a task.
"""

from __future__ import annotations

import asyncio
from contextvars import Context, copy_context
from typing import Any, Protocol

from endwell.asgi._uvicorn import needs_no_task
from endwell.engine import end
from endwell.observe import logger
from endwell.types import Message, Receive

MAX_UNREAD = 1024 * 1024
"""Bytes of body kept for a late reader."""

_NOTHING: Message = {"type": "http.request", "body": b"", "more_body": False}
"""The whole body of nearly every request: one for all of them."""
_RAISED = "receive() raised, so a leaving client is noticed by send() only"
_DISCONNECTS = frozenset({"http.disconnect", "websocket.disconnect"})


class Listener(Protocol):
    """Who wants to know that the client has left."""

    def client_gone(self) -> None:
        """It has. Called on the event loop, once."""


class Pump:
    """Reads `receive` until the client is gone.

    Args:
        receive: The server's `receive`, or a middleware's.
        keep_all: Somebody may read the body at any time: wait for them at the bound, drop nothing.

    Attributes:
        gone: The client has left.
        origin: The `receive` it reads.
    """

    __slots__ = (
        "_arrived",
        "_context",
        "_disconnect",
        "_dropped",
        "_has_reader",
        "_keep_all",
        "_listener",
        "_others",
        "_room",
        "_steps",
        "_task",
        "_unread",
        "_unread_bytes",
        "_unread_first",
        "_waiting",
        "gone",
        "origin",
    )

    def __init__(self, receive: Receive, *, keep_all: bool = False) -> None:
        self.origin = receive
        self._keep_all = keep_all
        self._has_reader = False
        self._listener: Listener | None = None
        self._others: tuple[Listener, ...] = ()  # seldom any
        self._unread_first: Message | None = None
        self._unread: list[Message] | None = None  # what comes after it: seldom any
        self._unread_bytes = 0
        self._dropped = False
        self._arrived: asyncio.Event | None = None
        self._room: asyncio.Future[None] | None = None
        self._disconnect: Message | None = None
        self.gone = False
        self._context: Context | None = None
        self._task: asyncio.Task[None] | None = None
        self._steps: Any = None
        self._waiting: Any = None

    # -- who wants to know -------------------------------------------------------------------------------

    def may_drop(self) -> None:
        """From now on nobody but a reader that has begun is waited for."""
        self._keep_all = False
        self._make_room()

    def listen(self, listener: Listener) -> None:
        """Tell `listener` once when the client leaves; at once if it has left."""
        if self.gone:
            listener.client_gone()
        elif self._listener is None:
            self._listener = listener
        else:
            self._others += (listener,)

    def leave(self) -> None:
        """The client is gone: tell everybody."""
        self.gone = True
        if self._arrived is not None:
            self._arrived.set()
        listener, self._listener = self._listener, None
        if listener is not None:
            listener.client_gone()
        if self._others:
            others, self._others = self._others, ()
            for other in others:
                other.client_gone()

    # -- reading -----------------------------------------------------------------------------------------

    @property
    def running(self) -> bool:
        """It reads right now: nobody else may."""
        return self._waiting is not None or (self._task is not None and not self._task.done())

    def start(self, loop: asyncio.AbstractEventLoop | None = None, context: Context | None = None) -> None:
        """Read until the client is gone, or until `stop`; nothing new if it reads already.

        Args:
            loop: The running one, where it is known.
            context: What listeners are told in, where that need not be a copy of this one.
        """
        if self.gone or self.running:
            return
        if needs_no_task(self.origin):
            # Not at once: what it needs no task for is not to be taken for the caller's task's affair.
            self._waiting = self
            self._context = copy_context() if context is None else context
            (loop or asyncio.get_running_loop()).call_soon(self, self, context=self._context)
        else:
            self._read_in_a_task()

    def stop(self) -> None:
        """Read no more, and tell nobody any more. What was not read is for the next one who does."""
        self._listener = None
        self._others = ()
        self._context = None  # the stream is in it
        waiting = self._waiting
        if waiting is not None:
            self._waiting = None
            if waiting is not self:
                waiting.remove_done_callback(self)
                if self._steps is not None:
                    self._steps.close()
                    self._steps = None
        if self._task is not None:
            self._task.cancel()
            self._task = None

    async def end(self) -> None:
        """`stop`, and wait until the server's `receive` is free for another reader."""
        task = self._task
        self.stop()
        if task is not None:
            await end(task)

    async def _run(self) -> None:
        """Read in a task."""
        goes_on = True
        while goes_on:
            try:
                message = await self.origin()
            except OSError:
                self.leave()
                return
            except RuntimeError as error:
                # A middleware that read the body itself may refuse to hand on anything else.
                logger.debug("receive() failed, so a leaving client is noticed by send() only: %s", error)
                return
            except Exception:  # noqa: BLE001 - a fault of whoever is in between is no reason to end a stream
                logger.warning(_RAISED, exc_info=True)
                return
            goes_on = self._take_in(message)
            while (room := self._wanting_room()) is not None:
                await room

    def _step(self) -> None:
        """Read by hand, until there is something to wait for."""
        steps, waiting = self._steps, None
        while waiting is None:
            try:
                if steps is None:
                    steps = self.origin()
                waiting = steps.send(None)
                waiting._asyncio_future_blocking = False  # noqa: SLF001 - as asyncio.Task does
            except StopIteration as over:
                self._steps = steps = None
                if not self._take_in(over.value):
                    return
                if self._unread_bytes > MAX_UNREAD:
                    waiting = self._wanting_room()
            except asyncio.CancelledError:
                return  # whoever cancels what it waits for means the one who waits
            except Exception:  # noqa: BLE001
                self._read_in_a_task()  # this uvicorn's needs one after all; and if not, it is told there
                return
        self._steps, self._waiting = steps, waiting
        waiting.add_done_callback(self, context=self._context)

    def __call__(self, waited: object) -> None:
        """What it waited for is done. It is its own callback: a method would be one more object each."""
        if waited is self._waiting:  # else it was stopped in the turn of the loop in which that was done
            self._waiting = None
            self._step()

    def _read_in_a_task(self) -> None:
        self._task = asyncio.create_task(self._run(), name="endwell pump")

    def _take_in(self, message: Message) -> bool:
        """Keep a message, or tell everybody what it says; whether there may be another one."""
        if message["type"] in _DISCONNECTS:
            self._disconnect = message
            self.leave()
            return False
        if not self._dropped:
            if self._unread_first is not None:
                self._unread = self._unread or []
                self._unread.append(message)
            elif message == _NOTHING:
                self._unread_first = _NOTHING
            else:
                self._unread_first = message
            self._unread_bytes += len(message.get("body", b""))
            if self._arrived is not None:
                self._arrived.set()
        return not self.gone

    def _wanting_room(self) -> asyncio.Future[None] | None:
        """What to wait for before more is read. Nothing, where there is room, or nobody to wait for."""
        if self._unread_bytes <= MAX_UNREAD:
            return None
        if self._keep_all or self._has_reader:
            self._room = asyncio.get_running_loop().create_future()
            return self._room
        self._unread_first = self._unread = None
        self._unread_bytes = 0
        self._dropped = True
        return None

    def _make_room(self) -> None:
        if self._room is not None and not self._room.done():
            self._room.set_result(None)

    # -- for everybody else ------------------------------------------------------------------------------

    async def receive(self) -> Message:
        """An ASGI `receive` for everybody else: what was read, or as often as asked, that the client is gone.

        Raises:
            RuntimeError: The body was dropped, because nobody had begun to read it when there was too much.
        """
        self._has_reader = True
        while True:
            if self.gone:
                return self._disconnect or {"type": "http.disconnect"}
            if self._dropped:
                raise RuntimeError(
                    "the request body was not read before the response began, and was dropped: "
                    f"more than {MAX_UNREAD} bytes; read it before streaming"
                )
            if self._unread_first is not None:
                return self._take(self._unread_first)
            if self._arrived is None:
                self._arrived = asyncio.Event()
            self._arrived.clear()
            await self._arrived.wait()

    def _take(self, message: Message) -> Message:
        self._unread_first = self._unread.pop(0) if self._unread else None
        self._unread_bytes -= len(message.get("body", b""))
        if self._unread_bytes <= MAX_UNREAD:
            self._make_room()
        return {**message}
