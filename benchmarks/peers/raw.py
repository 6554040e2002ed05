"""raw: what a careful person writes without a library. One watcher task, one send per event, `json.dumps`."""

from __future__ import annotations

import asyncio
import json
from contextlib import aclosing
from typing import TYPE_CHECKING, cast

from benchmarks.peers._idle import with_heartbeat
from benchmarks.peers._mounts import mounted

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator

    from starlette.types import ASGIApp, Receive, Scope, Send

    from benchmarks.event import Token

START = {
    "type": "http.response.start",
    "status": 200,
    "headers": [
        (b"content-type", b"text/event-stream; charset=utf-8"),
        (b"cache-control", b"no-store"),
        (b"x-accel-buffering", b"no"),
    ],
}
PING = b": ping\n"


def respond(source: AsyncIterator[Token], heartbeat: float | None) -> ASGIApp:
    """Send `source` as server-sent events; stop it when the client leaves."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        streaming = cast("asyncio.Task[None]", asyncio.current_task())
        gone = False

        async def watch() -> None:
            nonlocal gone
            while (await receive())["type"] != "http.disconnect":
                pass
            gone = True
            streaming.cancel()

        watcher = asyncio.create_task(watch())
        try:
            await _stream(source, heartbeat, send)
        except asyncio.CancelledError:
            if not gone:
                raise
        finally:
            watcher.cancel()

    return app


async def _stream(source: AsyncIterator[Token], heartbeat: float | None, send: Send) -> None:
    events = source if heartbeat is None else with_heartbeat(source, heartbeat)
    await send(START)
    async with aclosing(cast("AsyncGenerator[Token | None, None]", events)):
        async for event in events:
            body = PING if event is None else b"data: " + json.dumps(event).encode() + b"\n\n"
            await send({"type": "http.response.body", "body": body, "more_body": True})
    await send({"type": "http.response.body", "body": b""})


application = mounted(respond)
