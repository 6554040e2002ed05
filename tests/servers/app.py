"""The application under test: the same FastAPI application three times, bare and behind middlewares.

`/…` is it as it is, `/base/…` behind BaseHTTPMiddleware, `/gzip/…` behind GZipMiddleware, with one `Streams`.
Sources are mounted as `/{format}/{source}?tag=…&key=…`; what became of them is at `/ledger?tag=…`.
`/asgi/{source}` is a raw stream without any framework.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from typing import Any
from urllib.parse import parse_qsl

from fastapi import FastAPI, HTTPException, Request
from fastapi.responses import JSONResponse
from openai import AsyncOpenAI
from openai.types.chat import ChatCompletionUserMessageParam
from pydantic import BaseModel
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from endwell import ByteStream, CancelOnDisconnect, EventStream, NDJSONStream, Streams, cancel_on_disconnect
from tests.servers import sources
from tests.servers.sources import Broken, ledger

logging.getLogger("endwell").setLevel(logging.INFO)
logging.getLogger("endwell").addHandler(logging.StreamHandler())

streams = Streams()
streams.on_end(ledger.ended)

upstream = AsyncOpenAI(
    base_url=os.environ.get("UPSTREAM_URL", "http://127.0.0.1:9/v1"), api_key="none", max_retries=0
)


class Chat(BaseModel):
    """A chat request: which upstream behaviour, and the ledger's tag and key."""

    model: str
    tag: str
    key: str = "0"


class Completion(BaseModel):
    """What the openai client asks of a server: the part that is used here."""

    model: str
    user: str


class Work(BaseModel):
    """A plain request's body: `seconds` of work."""

    tag: str
    key: str = "0"
    seconds: float = 60


class PassThrough(BaseHTTPMiddleware):
    """The middleware everybody writes: it does nothing, and still stands between."""

    async def dispatch(
        self, request: Request, call_next: Callable[[Request], Awaitable[Response]]
    ) -> Response:
        """Hand the request on."""
        return await call_next(request)


def create(*middleware: Middleware) -> FastAPI:
    """The application, behind `middleware`."""
    # Its place is the innermost one, where a disconnect has come through everything else.
    only_here = Middleware(CancelOnDisconnect, paths=("/rank",))
    made = FastAPI(lifespan=streams.lifespan, middleware=[*middleware, only_here])
    made.add_exception_handler(Broken, _answer_409)
    for add in (_add_formats, _add_responses, _add_stories, _add_questions):
        add(made)
    return made


async def _answer_409(request: Request, exc: Exception) -> Response:
    return JSONResponse({"problem": type(exc).__name__}, status_code=409)


def _add_formats(made: FastAPI) -> None:
    any_chunk = (
        sources.idle,
        sources.sending,
        sources.silent,
        sources.numbers,
        sources.failing,
        sources.early,
    )
    only_text = (sources.spin, sources.slow_to_leave)
    for source in (*any_chunk, *only_text):
        made.api_route(f"/sse/{source.__name__}", methods=["GET", "HEAD"])(streams.sse(source))
    for source in any_chunk:
        made.get(f"/ndjson/{source.__name__}")(streams.ndjson(source))
    for source in (*any_chunk, sources.big):
        made.get(f"/raw/{source.__name__}")(streams.bytes(media_type="text/csv")(source))
    for rows in (sources.spin_sync, sources.unicode_rows):
        made.get(f"/ndjson/{rows.__name__}")(streams.ndjson(rows))


def _add_responses(made: FastAPI) -> None:
    """The same as response objects, without a decorator."""

    @made.get("/response/sse/{source}")
    async def sse(source: str, tag: str, key: str = "0") -> Response:
        return EventStream(getattr(sources, source)(tag, key), on_end=ledger.told)

    @made.get("/response/ndjson/{source}")
    async def ndjson(source: str, tag: str, key: str = "0") -> Response:
        return NDJSONStream(getattr(sources, source)(tag, key), on_end=ledger.told)

    @made.get("/response/raw/{source}")
    async def raw(source: str, tag: str, key: str = "0") -> Response:
        return ByteStream(getattr(sources, source)(tag, key), media_type="text/csv", on_end=ledger.told)


def _add_stories(made: FastAPI) -> None:
    @made.post("/chat")
    @streams.sse
    async def chat(body: Chat) -> AsyncIterator[dict[str, str]]:
        prompt = ChatCompletionUserMessageParam(role="user", content="Tell me a story.")
        async with ledger.watch(body.tag, body.key) as record:
            ask = upstream.chat.completions.create(
                model=body.model, messages=[prompt], stream=True, user=body.tag
            )
            async with await ask as answer:
                async for chunk in answer:
                    record.chunks += 1
                    yield {"token": chunk.choices[0].delta.content or ""}

    @made.post("/v1/chat/completions")
    @streams.bytes(media_type="text/event-stream")
    async def completions(body: Completion) -> AsyncIterator[str]:
        async with ledger.watch(body.user, "0"):
            if body.model == "refuses":
                raise HTTPException(429, {"error": {"message": "not now", "code": "busy"}})
            for number in range(sources.CHUNKS):
                choice = {"index": 0, "delta": {"content": str(number)}}
                yield f"data: {json.dumps({'id': 'c', 'choices': [choice]})}\n\n"
                await asyncio.sleep(0.01)
            raise Broken(sources.SECRET)

    @made.post("/embed")
    @cancel_on_disconnect
    async def embed(body: Work) -> dict[str, float]:
        return await _work(body)

    @made.post("/rank")
    async def rank(body: Work) -> dict[str, float]:
        return await _work(body)


async def _work(body: Work) -> dict[str, float]:
    async with ledger.plain(body.tag, body.key):
        await asyncio.sleep(body.seconds)
    return {"worked": body.seconds}


def _add_questions(made: FastAPI) -> None:
    """What the tests ask."""

    @made.get("/ledger")
    async def report(tag: str) -> dict[str, Any]:
        return ledger.report(tag)

    @made.get("/active")
    async def active() -> list[str]:
        return [stream.id for stream in streams.active()]

    @made.post("/stop/{stream}")
    async def stop(stream: str) -> bool:
        return bool(streams.stop(stream, reason="user"))


class ByPrefix:
    """Dispatch on the path's first segment; a prefix that is not there means the bare application."""

    def __init__(self, bare: ASGIApp, **behind: ASGIApp) -> None:
        self._bare, self._behind = bare, behind

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hand on, with the prefix taken off the path."""
        prefix, _, rest = scope.get("path", "/").lstrip("/").partition("/")
        if prefix in self._behind:
            scope = _without_prefix(scope, "/" + rest)
        await self._behind.get(prefix, self._bare)(scope, receive, send)


def _without_prefix(scope: Scope, path: str) -> MutableMapping[str, Any]:
    return {**scope, "path": path, "raw_path": path.encode()}


async def plain_asgi(scope: Scope, receive: Receive, send: Send) -> None:
    """The responses as bare ASGI callables."""
    query = dict(parse_qsl(scope["query_string"].decode()))
    source = getattr(sources, scope["path"].lstrip("/"))
    response = ByteStream(source(**query), media_type="text/csv", on_end=ledger.told)
    await response(scope, receive, send)


app = ByPrefix(
    create(),
    asgi=plain_asgi,
    base=create(Middleware(PassThrough)),
    gzip=create(Middleware(GZipMiddleware, minimum_size=1)),
)
