"""The one reader of `receive()`, and everybody who wants to know what it said.

Two readers of one `receive()` lose messages: hypercorn, daphne and gunicorn wake one of them only. So a
pump reads, always, from the start to the end of a response: an unread body would hide the client's FIN
behind it. What it reads is kept for whoever asks through the pump's own `receive`, within bounds; that the
client is gone is told to all, for ever.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

from endwell.observe import logger
from endwell.types import Message, Receive

MAX_UNREAD = 1024 * 1024
"""Bytes of body kept for a late reader. Beyond, an unread body is dropped, and reading it then is an
error."""

_DISCONNECTS = {"http.disconnect": "http.disconnect", "websocket.disconnect": "websocket.disconnect"}


class Pump:
    """Reads `receive` until the client is gone.

    Attributes:
        gone: The client has left.
    """

    __slots__ = ("_changed", "_dropped", "_listeners", "_receive", "_unread", "_unread_bytes", "gone")

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._listeners: list[Callable[[], None]] = []
        self._unread: deque[Message] = deque()
        self._unread_bytes = 0
        self._dropped = False
        self._changed: asyncio.Event | None = None
        self.gone = False

    def listen(self, listener: Callable[[], None]) -> None:
        """Call `listener` once when the client leaves; at once if it has left."""
        if self.gone:
            listener()
        else:
            self._listeners.append(listener)

    async def run(self) -> None:
        """Read until the client is gone. Run it in one task, and cancel that when the response is over."""
        while not self.gone:
            try:
                message = await self._receive()
            except OSError:
                break
            except RuntimeError as error:
                # A middleware that read the body itself may refuse to hand on anything but the disconnect.
                logger.debug("receive() failed, so a leaving client is noticed by send() only: %s", error)
                return
            if message["type"] in _DISCONNECTS:
                break
            self._keep(message)
        self._leave()

    async def receive(self) -> Message:
        """An ASGI `receive` for everybody else: what was read, then the disconnect, as often as asked."""
        while True:
            if self._unread:
                message = self._unread.popleft()
                self._unread_bytes -= len(message.get("body", b""))
                return message
            if self._dropped:
                self._dropped = False
                raise RuntimeError(
                    "the request body was not read before the response began, and was dropped: "
                    f"more than {MAX_UNREAD} bytes; read it before streaming"
                )
            if self.gone:
                return {"type": "http.disconnect"}
            if self._changed is None:
                self._changed = asyncio.Event()
            self._changed.clear()
            await self._changed.wait()

    def _keep(self, message: Message) -> None:
        if self._dropped:
            return
        self._unread.append(message)
        self._unread_bytes += len(message.get("body", b""))
        if self._unread_bytes > MAX_UNREAD:
            self._unread.clear()
            self._unread_bytes = 0
            self._dropped = True
        self._notify()

    def _leave(self) -> None:
        self.gone = True
        self._notify()
        listeners, self._listeners = self._listeners, []
        for listener in listeners:
            listener()

    def _notify(self) -> None:
        if self._changed is not None:
            self._changed.set()
