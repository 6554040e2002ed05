"""The one reader of `receive()`, and everybody who wants to know what it said.

Two readers of one `receive()` lose messages: hypercorn, daphne and gunicorn wake one of them only. So a pump
reads, always, from the start to the end of a response: an unread body would hide the client's FIN behind it.
What it reads is kept for whoever asks through the pump's own `receive`, within a bound; that the client is
gone is told to all, for ever.

Beyond the bound the pump has to choose. If somebody reads, or still may, it waits for them: dropping would
corrupt the body. If nobody has begun to read a body whose response is already streaming, it drops: waiting
would hide the client.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from endwell.observe import logger
from endwell.types import Message, Receive

MAX_UNREAD = 1024 * 1024
"""Bytes of body kept for a late reader."""

_DISCONNECTS = frozenset({"http.disconnect", "websocket.disconnect"})


class Pump:
    """Reads `receive` until the client is gone.

    Args:
        receive: The server's `receive`, or a middleware's.
        keep_all: Somebody may read the body at any time: wait for them at the bound, drop nothing.

    Attributes:
        gone: The client has left.
        running: It reads right now.
        origin: The `receive` it reads.
    """

    __slots__ = (
        "_arrived",
        "_disconnect",
        "_dropped",
        "_has_reader",
        "_keep_all",
        "_listeners",
        "_taken",
        "_unread",
        "_unread_bytes",
        "gone",
        "origin",
        "running",
    )

    def __init__(self, receive: Receive, *, keep_all: bool = False) -> None:
        self.origin = receive
        self._keep_all = keep_all
        self._has_reader = False
        self._listeners: list[Callable[[], None]] = []
        self._unread: list[Message] | None = None  # seldom more than one; an empty deque takes 760 bytes
        self._unread_bytes = 0
        self._dropped = False
        self._arrived: asyncio.Event | None = None
        self._taken: asyncio.Event | None = None
        self._disconnect: Message = {"type": "http.disconnect"}
        self.gone = False
        self.running = False

    def may_drop(self) -> None:
        """From now on nobody but a reader that has begun is waited for."""
        self._keep_all = False
        if self._taken is not None:
            self._taken.set()

    def listen(self, listener: Callable[[], None]) -> None:
        """Call `listener` once when the client leaves; at once if it has left."""
        if self.gone:
            listener()
        else:
            self._listeners.append(listener)

    def leave(self) -> None:
        """The client is gone: tell everybody."""
        self.gone = True
        self._notify()
        listeners, self._listeners = self._listeners, []
        for listener in listeners:
            listener()

    def start(self) -> asyncio.Task[None]:
        """Read until the client is gone, in a task to cancel when the response is over."""
        self.running = True
        return asyncio.create_task(self.run(), name="endwell pump")

    async def run(self) -> None:
        """Read until the client is gone."""
        self.running = True
        try:
            while not self.gone:
                try:
                    message = await self.origin()
                except OSError:
                    break
                except RuntimeError as error:
                    # A middleware that read the body itself may refuse to hand on anything else.
                    logger.debug("receive() failed, so a leaving client is noticed by send() only: %s", error)
                    return
                except Exception:  # noqa: BLE001 - a fault of whoever is in between is no reason to end a stream
                    logger.warning(
                        "receive() raised, so a leaving client is noticed by send() only", exc_info=True
                    )
                    return
                if message["type"] in _DISCONNECTS:
                    self._disconnect = message
                    break
                await self._keep(message)
            self.leave()
        finally:
            self.running = False

    async def receive(self) -> Message:
        """An ASGI `receive` for everybody else: what was read, or as often as asked, that the client is gone.

        Raises:
            RuntimeError: The body was dropped, because nobody had begun to read it when there was too much.
        """
        self._has_reader = True
        while True:
            if self.gone:
                return self._disconnect
            if self._dropped:
                raise RuntimeError(
                    "the request body was not read before the response began, and was dropped: "
                    f"more than {MAX_UNREAD} bytes; read it before streaming"
                )
            if self._unread:
                return self._take(self._unread)
            if self._arrived is None:
                self._arrived = asyncio.Event()
            self._arrived.clear()
            await self._arrived.wait()

    def _take(self, unread: list[Message]) -> Message:
        message = unread.pop(0)
        self._unread_bytes -= len(message.get("body", b""))
        if self._taken is not None:
            self._taken.set()
        return message

    async def _keep(self, message: Message) -> None:
        if self._dropped:
            return
        if self._unread is None:
            self._unread = []
        self._unread.append(message)
        self._unread_bytes += len(message.get("body", b""))
        self._notify()
        while self._unread_bytes > MAX_UNREAD:
            if not (self._keep_all or self._has_reader):
                self._unread = None
                self._unread_bytes = 0
                self._dropped = True
                return
            self._taken = asyncio.Event()
            await self._taken.wait()

    def _notify(self) -> None:
        if self._arrived is not None:
            self._arrived.set()
