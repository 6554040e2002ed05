"""A second process that speaks OpenAI's chat-completions streaming protocol, and bears witness.

It is plain ASGI and knows nothing of endwell: what `/observed/{request id}` tells of a connection is this
process's own observation. Its words are `demo.prose`. Run as `python -m demo.upstream --fd N`, N being a
listening socket it inherits; it ends when its standard input closes, so that it never outlives the demo,
however the demo ends.

    POST /v1/chat/completions   with "stream": true; the request id is the header X-Request-Id
    GET  /v1/models
    GET  /observed/{id}         how that request's connection ended; waits half a second for it to end
"""

from __future__ import annotations

import argparse
import asyncio
import json
import socket
import sys
import threading
import time
import uuid
from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Literal, TypeAlias

import uvicorn

from demo.prose import tokens

Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]

MODEL = "reference-manual-1"
FIRST_TOKEN = 0.6
"""Seconds of thought before the first token."""
PACE = 0.05
"""Seconds between tokens: 20 a second, a common speed of a hosted model."""
PATIENCE = 0.5
"""Seconds that a question about a connection waits for it to end."""
REMEMBERED = 1_000
"""How many requests the witness remembers."""


@dataclass
class Sighting:
    """What this process saw of one request's connection."""

    seen: Literal["open", "closed", "finished"] = "open"
    at: float | None = None
    chunks: int = 0
    over: asyncio.Event = field(default_factory=asyncio.Event)

    def end(self, seen: Literal["closed", "finished"]) -> None:
        """The connection ended, by its caller (`closed`) or because the answer was complete (`finished`)."""
        self.seen, self.at = seen, time.time()
        self.over.set()

    def told(self) -> dict[str, object]:
        """The sighting as JSON; `at` is in seconds since 1970."""
        return {"seen": self.seen, "at": self.at, "chunks": self.chunks}


class Upstream:
    """The ASGI application. `first_token` and `pace` are in seconds."""

    def __init__(self, *, first_token: float = FIRST_TOKEN, pace: float = PACE) -> None:
        self.first_token = first_token
        self.pace = pace
        self.sightings: dict[str, Sighting] = {}

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer one request."""
        match scope["type"], scope.get("method"), scope.get("path", "").strip("/").split("/"):
            case "http", "POST", ["v1", "chat", "completions"]:
                await self._complete(scope, receive, send)
            case "http", "GET", ["v1", "models"]:
                await answer(send, 200, {"object": "list", "data": [model_card()]})
            case "http", "GET", ["observed", request_id]:
                await self._observed(request_id, send)
            case "http", _, _:
                await answer(send, 404, problem("There is no such path."))
            case kind, _, _:
                raise NotImplementedError(kind)  # "lifespan": uvicorn goes on without it

    async def _observed(self, request_id: str, send: Send) -> None:
        if (sighting := self.sightings.get(request_id)) is None:
            await answer(send, 404, problem("No request of that id came here."))
            return
        with suppress(TimeoutError):
            await asyncio.wait_for(sighting.over.wait(), timeout=PATIENCE)
        await answer(send, 200, sighting.told())

    async def _complete(self, scope: Message, receive: Receive, send: Send) -> None:
        try:
            request = json.loads(await body_of(receive))
            question = str(request["messages"][-1]["content"])
        except (ValueError, LookupError, TypeError):
            await answer(send, 400, problem("The body is no chat-completions request."))
            return
        if request.get("stream") is not True:
            await answer(send, 400, problem("This model only streams.", param="stream"))
            return
        limit = request.get("max_completion_tokens") or request.get("max_tokens")
        await self._stream(tokens(question), limit, self._witness(scope), receive, send)

    async def _stream(
        self, words: Iterator[str], limit: int | None, sighting: Sighting, receive: Receive, send: Send
    ) -> None:
        await send(head(200, b"text/event-stream; charset=utf-8"))
        left = asyncio.create_task(disconnect(receive))
        due = time.monotonic() + self.first_token
        for chunk in completion(words, limit):
            await asyncio.wait({left}, timeout=max(0.0, due - time.monotonic()))
            if left.done():
                sighting.end("closed")
                return
            await send(part(b"data: " + json.dumps(chunk).encode() + b"\n\n"))
            sighting.chunks += 1
            due += self.pace
        left.cancel()
        await send(part(b"data: [DONE]\n\n", more=False))
        sighting.end("finished")

    def _witness(self, scope: Message) -> Sighting:
        request_id = dict(scope["headers"]).get(b"x-request-id", uuid.uuid4().hex.encode()).decode("latin-1")
        sighting = self.sightings[request_id] = Sighting()
        for oldest in list(islice(self.sightings, max(0, len(self.sightings) - REMEMBERED))):
            del self.sightings[oldest]
        return sighting


def completion(words: Iterator[str], limit: int | None) -> Iterator[dict[str, object]]:
    """The chunks of one streamed completion, in the shapes of OpenAI's API: role, contents, finish reason."""
    shared = {
        "id": f"chatcmpl-{uuid.uuid4().hex}",
        "object": "chat.completion.chunk",
        "created": int(time.time()),
        "model": MODEL,
    }

    def chunk(delta: dict[str, str], finish_reason: str | None = None) -> dict[str, object]:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
        return {**shared, "choices": [choice]}

    yield chunk({"role": "assistant", "content": next(words, "")})
    for word in islice(words, None if limit is None else max(0, limit - 1)):
        yield chunk({"content": word})
    yield chunk({}, "stop" if next(words, None) is None else "length")


def model_card() -> dict[str, object]:
    """The model's entry in `/v1/models`."""
    return {"id": MODEL, "object": "model", "created": 0, "owned_by": "python"}


def problem(message: str, *, param: str | None = None) -> dict[str, object]:
    """An error in the one shape that every OpenAI client reports."""
    return {"error": {"message": message, "type": "invalid_request_error", "param": param, "code": None}}


async def body_of(receive: Receive) -> bytes:
    """The whole request body."""
    body, more = b"", True
    while more:
        message = await receive()
        body, more = body + message.get("body", b""), message.get("more_body", False)
    return body


async def disconnect(receive: Receive) -> None:
    """Return when the connection has closed. The only reader of `receive` once the body is read."""
    while (await receive())["type"] != "http.disconnect":
        pass


async def answer(send: Send, status: int, content: dict[str, object]) -> None:
    """A whole JSON response."""
    await send(head(status, b"application/json"))
    await send(part(json.dumps(content).encode(), more=False))


def head(status: int, media_type: bytes) -> Message:
    """The start of a response."""
    return {"type": "http.response.start", "status": status, "headers": [(b"content-type", media_type)]}


def part(body: bytes, *, more: bool = True) -> Message:
    """A part of a response's body."""
    return {"type": "http.response.body", "body": body, "more_body": more}


def main() -> None:
    """Serve on the inherited socket until standard input closes."""
    parser = argparse.ArgumentParser(prog="python -m demo.upstream")
    parser.add_argument("--fd", type=int, required=True, help="descriptor of a listening socket")
    listener = socket.socket(fileno=parser.parse_args().fd)
    config = uvicorn.Config(Upstream(), log_level="warning", lifespan="off", timeout_graceful_shutdown=1)
    server = uvicorn.Server(config)
    threading.Thread(target=_end_with_stdin, args=(server,), daemon=True).start()
    server.run(sockets=[listener])


def _end_with_stdin(server: uvicorn.Server) -> None:
    sys.stdin.read()
    server.should_exit = True


if __name__ == "__main__":
    main()
