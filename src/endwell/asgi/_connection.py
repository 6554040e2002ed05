"""A response as ASGI messages."""

from __future__ import annotations

import contextlib
from collections.abc import Coroutine
from http import HTTPStatus
from typing import Any, TypeAlias

import anyio.to_thread

from endwell.asgi import _sockets
from endwell.asgi._client import ClientSocket
from endwell.asgi._pacing import Pacing
from endwell.asgi._uvicorn import CloseDelimited, flow_of, has_ended
from endwell.engine import Refusal
from endwell.types import Message, Receive, Scope, Send, is_http_1_0

Headers: TypeAlias = list[tuple[bytes, bytes]]

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
        receive: The server's `receive`, or a middleware's; only looked at, never called.
        send: The server's `send`, or a middleware's.
        status: The status to open with.
        headers: The headers to open with.
    """

    __slots__ = (
        "_body",
        "_close_delimited",
        "_flow",
        "_handed",
        "_headers",
        "_pacing",
        "_prefix",
        "_receive",
        "_send",
        "_status",
        "client",
        "ends_connection",
        "hung_up",
        "scope",
    )

    def __init__(self, scope: Scope, receive: Receive, send: Send, *, status: int, headers: Headers) -> None:
        self.scope = scope
        self._receive = receive
        self._send = send
        self._status = status
        self._headers = headers
        self._close_delimited: CloseDelimited | None = None
        self._prefix = "websocket." if scope["type"] == "websocket" else ""
        self._body = f"{self._prefix}http.response.body"
        self._flow = flow_of(receive)
        self._handed = 0
        self.client = ClientSocket(scope, receive)
        self._pacing = Pacing(self.client) if self._is_daphne() or self.client.shared else None
        self.ends_connection = is_http_1_0(scope) or (b"connection", b"close") in scope.get("headers", ())
        self.hung_up = False
        """The body was cut, or the connection ended, below the server: no exception need tell it."""

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
        return has_ended(self._receive)

    def begin(self, data: bytes) -> Coroutine[Any, Any, None]:
        """See `endwell.engine.Connection`."""
        # `ready` says that this is uvicorn, whose send, and that of every middleware, is a coroutine.
        return self._send({"type": self._body, "body": data, "more_body": True})  # type: ignore[return-value]

    @property
    def bears_no_exception(self) -> bool:
        """In mid-body an exception would stop daphne's own supervision of all its applications."""
        return self.hung_up and self._is_daphne()

    async def open(self) -> None:
        self._close_delimited = CloseDelimited.where_needed(self.scope, self._receive)
        await self._send(self._start(self._status, self._headers))

    async def write(self, data: bytes, *, more: bool) -> None:
        if self._close_delimited is not None and not more:
            self._close_delimited.last(data)
        if self.client.shared:
            while len(data) > PIECE:
                await self._hand_over(data[:PIECE], more=True)
                data = data[PIECE:]
        await self._hand_over(data, more=more)

    async def _hand_over(self, data: bytes, *, more: bool) -> None:
        await self._send({"type": self._body, "body": data, "more_body": more})
        if self._pacing is not None and more:
            await self._pacing.sent(len(data))
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
        self.hung_up = not self.client.shared or self.client.going_away()

    def _is_daphne(self) -> bool:
        # The one server that leaves spec_version out.
        return "spec_version" not in self.scope.get("asgi", {})

    def _start(self, status: int, headers: Headers) -> Message:
        return {"type": f"{self._prefix}http.response.start", "status": status, "headers": headers}
