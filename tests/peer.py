"""A scripted ASGI peer: the server and the client at the other end of an application, in one object.

    peer = Peer(app, sends={3: FOREVER})      # the third send never returns: the client does not read
    await peer.got(b"hello")
    peer.leave()
    await peer.finished()

Where servers differ it does as uvicorn does: `send` to a client that has left returns at once and says
nothing; `receive` says `http.disconnect` when the client has left, and also when the response is complete, as
often as asked.

It knows the rules of ASGI. An application that breaks one gets a RuntimeError, as from a server, and because
it may swallow that, `over` and `finished` fail as well.
"""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple, TypeAlias

from endwell.types import ASGIApp, Message, Scope

FOREVER = math.inf
Obstacle: TypeAlias = float | BaseException | type[BaseException]
"""What a send meets: seconds for which it blocks, or an exception that it raises."""


_SCOPE: Scope = {
    "type": "http",
    "asgi": {"version": "3.0", "spec_version": "2.3"},
    "http_version": "1.1",
    "method": "GET",
    "scheme": "http",
    "path": "/",
    "raw_path": b"/",
    "query_string": b"",
    "root_path": "",
    "headers": (),
    "client": ("192.0.2.1", 40_000),
    "server": ("192.0.2.2", 80),
}


class Sent(NamedTuple):
    """One message that the server took, and when."""

    at: float
    message: Message

    @property
    def data(self) -> bytes:
        """The piece of the body in it."""
        return bytes(self.message.get("body", b""))


class Peer:
    """One request, made as soon as the object is there. Make it in a running event loop.

    Args:
        app: The application, called in a task of its own: `task`.
        body: The request's body, in the pieces in which the server hands it over.
        sends: Obstacles for the first, second, … send.
        latency: Seconds that every send takes; 0 is one turn of the event loop, None not even that.
        sticky: Whether `receive` says the disconnect again, or blocks for ever as hypercorn's does.
        hasty: Whether the disconnect that follows the end of the body comes while the last send is still
            awaited, as from hypercorn when it closes the connection.
        scope: What the ASGI scope has instead of or beside the defaults, such as `method="HEAD"`.

    Attributes:
        scope: The ASGI scope.
        task: The application's task.
        sends: What the server took, with times, while the client was there.
        unheard: What was sent after the client had left.
        status, headers: Of the response; None and empty until it starts.
        complete: The application has ended the body.
        was_cut: The application has truncated the body on purpose, with a message that no server takes.
        left: The client has left.
        stalled: Every send blocks from now on, until this is false again (`stall`, `resume`).
        violations: Rules that the application broke.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        body: Iterable[bytes] = (b"",),
        sends: Mapping[int, Obstacle] | None = None,
        latency: float | None = None,
        sticky: bool = True,
        hasty: bool = False,
        **scope: Any,
    ) -> None:
        self.scope: Scope = {**_SCOPE, "state": {}, **scope}
        self.sends: list[Sent] = []
        self.unheard: list[Message] = []
        self.status: int | None = None
        self.headers: dict[str, str] = {}
        self.complete = self.was_cut = self.left = self.stalled = False
        self.violations: list[str] = []
        self._body = bytearray()
        self._prefix = "websocket." if self.scope["type"] == "websocket" else ""
        self._obstacles = dict(sends or {})
        self._calls = 0
        self._latency = latency
        self._sticky, self._hasty = sticky, hasty
        self._closed = self._told = False
        self._unread: deque[Message] = deque()
        self._leaving: BaseException | None = None
        self._receiving = False
        self._waiters: list[asyncio.Future[None]] = []
        if self._prefix:
            self._unread.append({"type": "websocket.connect"})
        else:
            self.upload(*body, more=False)
        self.task: asyncio.Future[None] = asyncio.ensure_future(self._run(app))
        self.task.add_done_callback(lambda _: self._notify())

    # -- what the client sees ----------------------------------------------------------------------------

    @property
    def body(self) -> bytes:
        """All of the body that came."""
        return bytes(self._body)

    @property
    def pieces(self) -> list[bytes]:
        """The body as it was sent, piece by piece, without empty ones."""
        return [sent.data for sent in self.sends if sent.data]

    @property
    def frames(self) -> list[bytes]:
        """The body, frame by frame: events without comments, lines of JSON, else the pieces.

        The last one is what a client would still wait to see the end of, if there is such a rest.
        """
        media_type = self.headers.get("content-type", "").partition(";")[0]
        if media_type == "application/x-ndjson":
            return [line for line in self.body.split(b"\n") if line]
        if media_type != "text/event-stream":
            return self.pieces
        lines = b"".join(line for line in self._body.splitlines(keepends=True) if not line.startswith(b":"))
        return [frame for frame in lines.split(b"\n\n") if frame]

    async def got(self, data: bytes, times: int = 1) -> None:
        """Wait until `data` stands in the body, `times` times.

        Raises:
            AssertionError: The application ended without.
        """
        await self.until(lambda: self._body.count(data) >= times or self.task.done())
        assert self._body.count(data) >= times, f"no {data!r} in {self.body!r}"

    # -- what the client does ----------------------------------------------------------------------------

    def upload(self, *pieces: bytes, more: bool = False) -> None:
        """Send pieces of the request's body; with `more`, others follow."""
        for index, piece in enumerate(pieces, 1):
            self._unread.append(
                {"type": "http.request", "body": piece, "more_body": more or index < len(pieces)}
            )
        self._notify()

    def leave(self, error: BaseException | None = None) -> None:
        """Close the connection; with `error`, `receive` raises it rather than tell of the disconnect."""
        self.left = True
        self._leaving = error
        self._notify()

    def stall(self) -> None:
        """Stop reading: every send blocks."""
        self.stalled = True

    def resume(self) -> None:
        """Read on."""
        self.stalled = False
        self._notify()

    # -- how it ends -------------------------------------------------------------------------------------

    async def over(self) -> BaseException | None:
        """Wait until the application has returned; what it raised.

        Raises:
            AssertionError: It broke a rule of ASGI.
        """
        await asyncio.wait([self.task])
        assert not self.violations, self.violations
        return asyncio.CancelledError() if self.task.cancelled() else self.task.exception()

    async def finished(self) -> None:
        """Wait until the application has returned; raises what it raised, and AssertionError as `over`."""
        error = await self.over()
        if error is not None:
            raise error

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until something has happened here that makes `condition` true."""
        while not condition():
            waiter = asyncio.get_running_loop().create_future()
            self._waiters.append(waiter)
            try:
                await waiter
            finally:
                self._waiters.remove(waiter)

    def _notify(self) -> None:
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)

    # -- the server --------------------------------------------------------------------------------------

    async def _run(self, app: ASGIApp) -> None:
        await app(self.scope, self._receive, self._send)

    async def _receive(self) -> Message:
        if self._receiving:
            self._break_rule("two readers of receive(): some servers wake only one")
        self._receiving = True
        try:
            await self.until(lambda: bool(self._unread) or self._disconnected())
        finally:
            self._receiving = False
        if self._unread:
            return self._unread.popleft()
        self._told = True
        if self._leaving is not None:
            raise self._leaving
        return {"type": f"{self._prefix or 'http.'}disconnect"}

    def _disconnected(self) -> bool:
        return (self.left or self._closed) and (self._sticky or not self._told)

    async def _send(self, message: Message) -> None:
        self._check(message)
        self._calls += 1
        if self.left:
            self.unheard.append(message)
            return
        obstacle = self._obstacles.get(self._calls, 0)
        if not isinstance(obstacle, (int, float)):
            raise obstacle
        self._take(message)
        if self._hasty:
            self._close()
        await self._block(obstacle)
        self._close()

    def _close(self) -> None:
        if self.complete:
            self._closed = True
            self._notify()

    def _take(self, message: Message) -> None:
        sent = Sent(asyncio.get_running_loop().time(), message)
        self.sends.append(sent)
        self._body += sent.data
        self._notify()

    async def _block(self, seconds: float) -> None:
        if self._latency is not None:
            await asyncio.sleep(self._latency)
        if seconds:
            await self.until(lambda: False) if seconds == FOREVER else await asyncio.sleep(seconds)
        await self.until(lambda: not self.stalled)

    # -- the rules ---------------------------------------------------------------------------------------

    def _check(self, message: Message) -> None:
        kind = message["type"]
        if self.complete:
            self._break_rule(f"{kind} after the end of the body")
        if kind == f"{self._prefix}http.response.start":
            self._start(message)
        elif self.status is None:
            self._break_rule(f"{kind} before http.response.start")
        elif kind == f"{self._prefix}http.response.body":
            self._check_body(message)
        elif kind == "http.response.pathsend":
            self.was_cut = True
            raise RuntimeError("Unexpected ASGI message 'http.response.pathsend'")  # as a server says it
        else:
            self._break_rule(f"unknown message {kind}")

    def _start(self, message: Message) -> None:
        status, headers = message["status"], list(message.get("headers", ()))
        if self.status is not None:
            self._break_rule("a second http.response.start")
        if not isinstance(status, int) or not 100 <= status <= 599:
            self._break_rule(f"status {status!r}")
        if not all(isinstance(part, bytes) for header in headers for part in header):
            self._break_rule(f"headers must be pairs of bytes: {headers!r}")
        if any(name != name.lower() for name, _ in headers):
            self._break_rule(f"header names must be lower case: {headers!r}")
        self.status = status
        self.headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in headers}

    def _check_body(self, message: Message) -> None:
        if not isinstance(message.get("body", b""), bytes):
            self._break_rule(f"the body must be bytes, not {type(message['body']).__name__}")
        self.complete = not message.get("more_body", False)

    def _break_rule(self, what: str) -> None:
        self.violations.append(what)
        raise RuntimeError(what)
