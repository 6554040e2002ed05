"""The server at the other end: the scripted peer, blocking, failing and going on when told to.

Its flavours:

plain
    Any ASGI server. A send that cannot go on blocks after the message was taken, and nothing wakes it when
    the client leaves.
late
    The same, and every send takes a turn of the event loop.
direct
    uvicorn: its flow control can be seen, so the source's task sends. A send blocks before the message is
    taken, and returns when the client leaves.
middle
    The same behind a middleware that waits for a turn before each send.
after
    The same behind one that waits, for something of its own, after each.
"""

from __future__ import annotations

import asyncio
from typing import Any

from endwell.types import ASGIApp, Message, Receive
from tests.peer import Peer, Sent

_ANY = ("plain", "late")


class Flow:
    """uvicorn's flow control, as far as it is looked at."""

    write_paused = False


class Cycle:
    """Poses as uvicorn's own: its `receive` is bound to something that has a `flow`.

    Attributes:
        response_complete: The end of the body was taken.
    """

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self.flow = Flow()
        self.response_complete = False

    async def receive(self) -> Message:
        return await self._receive()


Cycle.__module__ = Cycle.receive.__module__ = "uvicorn.protocols.http"


class Server(Peer):
    """One request, and what its server and its client do.

    Attributes:
        taken: The messages that went out.
        calls: The sends that were begun.
        was_torn: A send was cancelled, or failed.
        whole: The end of the body went out.
        began_at: When the application was called; None if it never was.
        said_gone: `receive` has said that the client is gone.
    """

    def __init__(self, app: ASGIApp, flavour: str, **scope: Any) -> None:
        self.flavour = flavour
        self.taken: list[Message] = []
        self.calls = 0
        self.said_gone = False
        self.began_at: float | None = None
        self._is_any = flavour in _ANY
        self._cycle = Cycle(self._say)
        self.was_torn = self.whole = False
        self._error: Exception | None = None
        self._ended = self._sending = False
        super().__init__(app, **scope)

    # -- what happens to it ------------------------------------------------------------------------------

    def block(self) -> None:
        """The client reads no more."""
        if not self.left:
            self.stalled = self._cycle.flow.write_paused = True

    def go_on(self) -> None:
        """The client reads again."""
        self._cycle.flow.write_paused = False
        self.resume()

    def fail(self, error: Exception) -> None:
        """From now on `send` raises, and there is no other word of it."""
        self._error = self._error or error
        self._notify()

    def go(self) -> None:
        """The client closes the connection."""
        if not self._is_any:
            self.go_on()
        self.leave()

    # -- the server --------------------------------------------------------------------------------------

    async def _run(self, app: ASGIApp) -> None:
        self.began_at = asyncio.get_running_loop().time()
        try:
            await app(self.scope, self._say if self._is_any else self._cycle.receive, self._outermost)
        finally:
            self._ended = True

    async def _say(self) -> Message:
        message = await self._receive()
        if message["type"] == "http.disconnect" and self.left:
            self.said_gone = True
        return message

    async def _outermost(self, message: Message) -> None:
        """A middleware, if there is one, and the server's send; and what may not be done with them."""
        self.calls += 1
        for forbidden, what in (
            (self.was_torn, "a send was abandoned or failed before"),
            (self.said_gone, "the client is known to be gone"),
            (self._ended, "the application is over"),
            (self._sending, "another send is under way"),
        ):
            if forbidden:
                self.violations.append(f"{message['type']} although {what}")
        self._sending = True
        try:
            await self._through(message)
        except RuntimeError:
            raise  # the peer's own: a rule was broken, or the body cut
        except BaseException:
            self.was_torn = True
            raise
        finally:
            self._sending = False

    async def _through(self, message: Message) -> None:
        if self.flavour == "middle":
            await asyncio.sleep(0)
        await self._send(message)
        if self.flavour == "after":
            await _something()

    async def _send(self, message: Message) -> None:
        self._check(message)
        if self.flavour == "late":
            await asyncio.sleep(0)
        if not self._is_any:
            await self._unblocked()
        if self._error is not None:
            raise self._error
        if self.left:
            self.unheard.append(message)
            return
        self.taken.append(message)
        self.whole = self._cycle.response_complete = self.complete
        self.sends.append(Sent(asyncio.get_running_loop().time(), message))
        self._body += message.get("body", b"")
        if self._is_any:
            await self._unblocked()
            if self._error is not None:
                raise self._error
        self._close()

    async def _unblocked(self) -> None:
        await self.until(lambda: self._error is not None or not self.stalled)


async def _something() -> None:
    """What a middleware may wait for: futures that are done a turn later, twice."""
    loop = asyncio.get_running_loop()
    for _ in range(2):
        waiter = loop.create_future()
        loop.call_soon(_set, waiter)
        await waiter


def _set(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)
