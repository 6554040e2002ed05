"""A server of the OpenAI chat-completions streaming protocol, in plain ASGI, that knows when it was left.

`model` chooses the behaviour: "short" says three tokens and ends, "steady" never stops, "silent" never
answers, "fails" breaks off with the protocol's own error event after two tokens. `user` tags the connection.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any
from urllib.parse import parse_qs

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

TOKEN_EVERY = 0.01
"""Seconds between two tokens of "steady"."""

connections: dict[str, list[dict[str, Any]]] = {}


async def app(scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
    """The ASGI callable."""
    if scope["type"] == "lifespan":
        await _lifespan(receive, send)
    elif scope["path"] == "/v1/chat/completions":
        await _completions(receive, send)
    else:
        user = parse_qs(scope["query_string"].decode())["user"][0]
        await _respond(send, json.dumps(connections.get(user, [])).encode())


async def _lifespan(receive: Receive, send: Send) -> None:
    for _ in range(2):
        message = await receive()
        await send({"type": message["type"] + ".complete"})


async def _respond(send: Send, body: bytes) -> None:
    await send(
        {"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"application/json")]}
    )
    await send({"type": "http.response.body", "body": body})


async def _completions(receive: Receive, send: Send) -> None:
    request = await _read_json(receive)
    record: dict[str, Any] = {"opened": time.monotonic_ns(), "closed": None, "tokens": 0}
    connections.setdefault(request["user"], []).append(record)
    speaking = asyncio.create_task(_speak(request["model"], record, send))
    leaving = asyncio.create_task(_until_gone(receive, record))
    await asyncio.wait({speaking, leaving}, return_when=asyncio.FIRST_COMPLETED)
    for task in (speaking, leaving):
        task.cancel()
    await asyncio.gather(speaking, leaving, return_exceptions=True)


async def _read_json(receive: Receive) -> dict[str, Any]:
    body, more = b"", True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    parsed: dict[str, Any] = json.loads(body)
    return parsed


async def _until_gone(receive: Receive, record: dict[str, Any]) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    record["closed"] = time.monotonic_ns()


async def _speak(model: str, record: dict[str, Any], send: Send) -> None:
    if model == "silent":
        await asyncio.Event().wait()
    await send(
        {"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/event-stream")]}
    )
    limit = {"short": 3, "fails": 2}.get(model)
    while limit is None or record["tokens"] < limit:
        await _event(send, _chunk(f"word{record['tokens']} "))
        record["tokens"] += 1
        await asyncio.sleep(TOKEN_EVERY)
    if model == "fails":
        await _event(
            send, {"error": {"message": "overloaded", "type": "server_error", "param": None, "code": "503"}}
        )
    await send({"type": "http.response.body", "body": b"data: [DONE]\n\n"})


async def _event(send: Send, payload: dict[str, Any]) -> None:
    data = b"data: " + json.dumps(payload).encode() + b"\n\n"
    await send({"type": "http.response.body", "body": data, "more_body": True})


def _chunk(text: str) -> dict[str, Any]:
    choice = {"index": 0, "delta": {"content": text}, "finish_reason": None}
    return {"id": "c", "object": "chat.completion.chunk", "created": 0, "model": "m", "choices": [choice]}
