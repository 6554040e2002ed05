"""An HTTP server, in plain ASGI, that knows which of its clients have left.

`/steady` says something every 10 ms for ever, `/silent` never answers, `/head` answers with its headers only,
`/short` ends by itself. `/connections` says when each was opened and closed.
"""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any
from urllib.parse import parse_qs

from endwell.types import Receive, Scope, Send

connections: dict[str, dict[str, Any]] = {}


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """The ASGI callable."""
    if scope["type"] == "lifespan":
        for _ in range(2):
            await send({"type": (await receive())["type"] + ".complete"})
    elif scope["path"] == "/connections":
        await _start(send)
        await send({"type": "http.response.body", "body": json.dumps(connections).encode()})
    else:
        await _speak_until_gone(scope, receive, send)


async def _speak_until_gone(scope: Scope, receive: Receive, send: Send) -> None:
    key = parse_qs(scope["query_string"].decode())["key"][0]
    record = connections[key] = {"opened": time.monotonic_ns(), "closed": None}
    speaking = asyncio.create_task(_speak(scope["path"], send))
    try:
        while (await receive())["type"] != "http.disconnect":
            pass
    finally:
        record["closed"] = time.monotonic_ns()
        speaking.cancel()
        await asyncio.gather(speaking, return_exceptions=True)


async def _speak(path: str, send: Send) -> None:
    if path == "/silent":
        await asyncio.Event().wait()
    await _start(send)
    if path == "/head":
        await _say(send, b"")
        await asyncio.Event().wait()
    for _ in range(3) if path == "/short" else iter(int, 1):
        await _say(send, b"x" * 100)
        await asyncio.sleep(0.01)
    await send({"type": "http.response.body", "body": b""})


async def _start(send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})


async def _say(send: Send, what: bytes) -> None:
    await send({"type": "http.response.body", "body": what, "more_body": True})
