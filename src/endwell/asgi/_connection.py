"""A response as ASGI messages."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Iterable, Sequence
from http import HTTPStatus
from typing import TypeAlias

import anyio.to_thread

from endwell.asgi import _sockets
from endwell.asgi._client import is_shared
from endwell.asgi._follower import Follower
from endwell.asgi._hidden import Watch, watch_of
from endwell.asgi._pacing import Pacing
from endwell.asgi._pump import Pump
from endwell.asgi._uvicorn import CloseDelimited, flow_of, has_ended, is_own_send, leaves_open
from endwell.engine import Alone, Refusal, Registry
from endwell.types import Message, Scope, Send, is_http_1_0

Headers: TypeAlias = list[tuple[bytes, bytes]]

_START = "http.response.start"
_BODY = "http.response.body"
_WEBSOCKET = "websocket."
"""What the denial of a handshake has before both."""

PIECE = 16 * 1024
"""Bytes that go out together over HTTP/2: its usual frame, into which servers split them anyway. What the
server takes is the only progress to be seen there, so this over `Policy.send` is the slowest reader that is
kept: by default 4.4 kbit/s."""


def refusal_headers(refusal: Refusal) -> Headers:
    """The headers of an HTTP error in the place of a stream."""
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", b"%d" % len(refusal.body)),
        (b"cache-control", b"no-store"),
    ]
    if refusal.retry_after is not None:
        headers.append((b"retry-after", b"%d" % refusal.retry_after))
    return headers


class HTTPConnection:
    """One open response, HTTP or the denial of a WebSocket handshake.

    Args:
        scope: The request.
        pump: Reads the request; its origin is only looked at here.
        send: The server's `send`, or a middleware's.
        home: Where the stream belongs.
        status: The status to open with.
        headers: The headers to open with.
        deadline: The stream's send deadline.
    """

    __slots__ = (
        "_body",
        "_client",
        "_close_delimited",
        "_deadline",
        "_flow",
        "_handed",
        "_headers",
        "_home",
        "_is_prompt",
        "_pacing",
        "_pump",
        "_send",
        "_status",
        "_watch",
        "ends_connection",
        "hung_up",
        "scope",
    )

    def __init__(
        self,
        scope: Scope,
        pump: Pump,
        send: Send,
        home: Registry | Alone,
        *,
        status: int,
        headers: Sequence[tuple[bytes, bytes]],
        deadline: float | None,
    ) -> None:
        self.scope = scope
        self._pump = pump
        self._send = send
        self._home = home
        self._status = status
        self._headers = headers
        self._deadline = deadline
        self._close_delimited: CloseDelimited | None = None
        self._body = _WEBSOCKET + _BODY if scope["type"] == "websocket" else _BODY
        self._flow = flow_of(pump.origin)
        self._handed = 0
        self._is_prompt: bool | None = None
        self._client: Follower | None = None
        self._watch: Watch | None = None
        # uvicorn, which alone has a flow, has HTTP/1 alone, and backpressure.
        is_paced = self._flow is None and (self._is_daphne() or is_shared(scope))
        self._pacing = Pacing(self.client) if is_paced else None
        self.ends_connection = is_http_1_0(scope) or (b"connection", b"close") in scope.get("headers", ())
        self.hung_up = False
        """The body was cut, or the connection ended, below the server: no exception need tell it."""

    @property
    def client(self) -> Follower:
        """The client's socket, from when anybody wants it: short streams live without."""
        if self._client is None:
            home = self._home
            self._client = Follower(
                *(self.scope, self._pump.origin, self._pump),
                home=home,
                vanished=home.vanished,
                send=self._deadline,
            )
        return self._client

    # -- while the stream runs ---------------------------------------------------------------------------

    def attend(self, loop: asyncio.AbstractEventLoop) -> None:
        """The stream begins: have its client watched, if it lasts."""
        self._watch = watch_of(loop)
        if self._watch is not None:
            self._watch.join(self)

    def part(self) -> bool:
        """The stream is over; whether the server may have something left that the client has not taken."""
        watch, self._watch = self._watch, None
        if watch is not None:
            watch.part(self)
        if self._client is not None:
            self._client.stop()
        left = leaves_open(self._pump.origin)
        if left is None:
            self.client.settle()
            left = self.client.has_unsent
        return left

    # -- what is sent ------------------------------------------------------------------------------------

    def say(self, name: bytes, value: bytes) -> None:
        """Add a header to those it opens with."""
        self._headers = [*self._headers, (name, value)]

    @property
    def ready(self) -> bool:
        """See `endwell.engine.Connection`."""
        flow = self._flow
        return flow is not None and not flow.write_paused

    @property
    def ended(self) -> bool:
        """See `endwell.engine.Connection`."""
        return has_ended(self._pump.origin)

    @property
    def is_prompt(self) -> bool:
        """See `endwell.engine.Connection`."""
        if self._is_prompt is None:
            self._is_prompt = is_own_send(self._send)
        return self._is_prompt

    def begin(self, data: bytes) -> Awaitable[None]:
        """See `endwell.engine.Connection`."""
        return self._send({"type": self._body, "body": data, "more_body": True})

    @property
    def bears_no_exception(self) -> bool:
        """In mid-body an exception would stop daphne's own supervision of all its applications."""
        return self.hung_up and self._is_daphne()

    def open(self) -> Awaitable[None]:
        """See `endwell.engine.Connection`."""
        self._close_delimited = CloseDelimited.where_needed(self.scope, self._pump.origin)
        headers, self._headers = self._headers, ()
        return self._send(self._start(self._status, headers))

    def write(self, data: bytes, *, more: bool) -> Awaitable[None]:
        """See `endwell.engine.Connection`."""
        if self._close_delimited is not None and not more:
            self._close_delimited.last(data)
        if self._pacing is None:  # then it is not shared either
            return self._send({"type": self._body, "body": data, "more_body": more})
        return self._write_in_pieces(data, self._pacing, more=more)

    async def _write_in_pieces(self, data: bytes, pacing: Pacing, *, more: bool) -> None:
        size = PIECE if self.client.shared else len(data)
        while len(data) > size:
            await self._hand_over(data[:size], pacing, more=True)
            data = data[size:]
        await self._hand_over(data, pacing, more=more)

    async def _hand_over(self, data: bytes, pacing: Pacing, *, more: bool) -> None:
        await self._send({"type": self._body, "body": data, "more_body": more})
        if more:
            await pacing.sent(len(data))
        self._handed += len(data)

    async def refuse(self, refusal: Refusal) -> None:
        if refusal.soft:
            await self.open()
        else:
            await self._send(self._start(refusal.status, refusal_headers(refusal)))
        await self.write(refusal.body, more=False)

    async def say_headers(self) -> None:
        """Answer HEAD: what GET would begin with."""
        await self.open()
        await self.write(b"", more=False)

    async def say_nothing(self) -> None:
        """204: there is nothing to come back for. It is what stops an `EventSource`."""
        await self._send(self._start(HTTPStatus.NO_CONTENT, [(b"cache-control", b"no-store")]))
        await self.write(b"", more=False)

    async def cut(self) -> None:
        """Truncate the body, visibly, whatever stands between.

        To raise is not enough: BaseHTTPMiddleware ends the body of an application that raised as if it were
        whole. A `pathsend` message passes through every middleware, none ends the body for it, and the
        servers that do not know it raise. The empty path makes sure that none that does finds a file.
        """
        if is_http_1_0(self.scope):
            # Without chunks the end of the connection is the end of the body; only a reset tells a cut.
            await anyio.to_thread.run_sync(_sockets.reset_on_close, self.scope)
        if self.client.hang_up():
            self.hung_up = True
            return
        if self._is_daphne():
            self.hung_up = await anyio.to_thread.run_sync(_sockets.hang_up, self.scope)
            return
        with contextlib.suppress(Exception):
            await self._send({"type": "http.response.pathsend", "path": ""})

    def taken(self) -> int | None:
        """See `endwell.engine.Connection`. Over HTTP/2 what the server has taken, for want of better."""
        return self._handed if self.client.shared else self.client.taken()

    def abort(self) -> None:
        """See `endwell.engine.Connection`."""
        self.client.abort()
        self.hung_up = not self.client.shared or self.client.is_going

    def _is_daphne(self) -> bool:
        # The one server that leaves spec_version out.
        return "spec_version" not in self.scope.get("asgi", {})

    def _start(self, status: int, headers: Iterable[tuple[bytes, bytes]]) -> Message:
        # A list of its own: middlewares add to it.
        prefix = _WEBSOCKET if self._body is not _BODY else ""
        return {"type": f"{prefix}{_START}", "status": status, "headers": [*headers]}
