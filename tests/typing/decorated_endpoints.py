"""The decorators keep a function's parameters, so a wrong call is an error.

Nothing here runs. An ignored error that does not occur is an error too (`warn_unused_ignores`).
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Generator, Iterator
from contextlib import asynccontextmanager
from typing import Annotated, Any, assert_type

from fastapi import APIRouter, Depends, FastAPI
from pydantic import BaseModel
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from endwell import (
    Ending,
    EventStream,
    Policy,
    Snapshot,
    StopResult,
    Streams,
    cancel_on_disconnect,
    current_stream,
)
from endwell.ext import StreamResponse

streams = Streams(policy=Policy(heartbeat=10))
app = FastAPI(lifespan=streams.lifespan)
router = APIRouter(lifespan=streams.lifespan)


class Token(BaseModel):
    """What is streamed."""

    token: str


def who(name: str = "nobody") -> str:
    return name


# -- with and without parentheses ----------------------------------------------------------------------------


@app.get("/sse")
@streams.sse
async def sse(room: int, *, limit: int = 3) -> AsyncIterator[Token]:
    yield Token(token="a" * limit)


@router.get("/sse-called")
@streams.sse(policy=Policy(total=60), status=201, headers={"x-a": "b"})
async def sse_called(room: int, who: Annotated[str, Depends(who)]) -> AsyncGenerator[Token, None]:
    yield Token(token=who)


@app.get("/ndjson")
@streams.ndjson
def ndjson(room: int) -> Iterator[Token]:
    yield Token(token="a")


@app.get("/ndjson-called")
@streams.ndjson(heartbeat=True)
def ndjson_called(room: int) -> Generator[Token, None, None]:
    yield Token(token="a")


@app.get("/bytes")
@streams.bytes(media_type="text/csv")
async def csv(room: int) -> AsyncIterator[bytes]:
    yield b"a,b\n"


async def what_they_return() -> None:
    assert_type(await sse(7), StreamResponse)
    assert_type(await sse(room=7, limit=4), StreamResponse)
    assert_type(await sse_called(7, who="ann"), StreamResponse)
    assert_type(await ndjson(7), StreamResponse)
    assert_type(await ndjson_called(7), StreamResponse)
    assert_type(await csv(7), StreamResponse)
    response: Response = await sse(7)
    await response({"type": "http"}, what_they_return, what_they_return)  # type: ignore[arg-type]


async def what_they_refuse() -> None:
    await sse("7")  # type: ignore[arg-type]
    await sse()  # type: ignore[call-arg]
    await sse(7, 3)  # type: ignore[call-arg]
    await sse(7, limt=3)  # type: ignore[call-arg]
    await sse_called(7)  # type: ignore[call-arg]
    await ndjson("7")  # type: ignore[arg-type]
    await ndjson_called()  # type: ignore[call-arg]
    await csv(b"7")  # type: ignore[arg-type]
    async for _ in sse(7):  # type: ignore[attr-defined]
        pass


# -- what cannot be decorated --------------------------------------------------------------------------------


@streams.sse  # type: ignore[arg-type]
async def a_coroutine(room: int) -> int:
    return room


@streams.ndjson()  # type: ignore[arg-type]
def no_iterator(room: int) -> int:
    return room


def what_is_no_option() -> None:
    streams.sse(polcy=None)  # type: ignore[call-overload]
    streams.sse(status="200")  # type: ignore[call-overload]
    streams.sse(heartbeat=True)  # type: ignore[call-overload]
    # What one response owns, a hundred requests do not.
    streams.ndjson(owns=[])  # type: ignore[call-overload]
    streams.bytes(background=None)  # type: ignore[call-overload]


# -- plain handlers ------------------------------------------------------------------------------------------


@app.post("/plain")
@cancel_on_disconnect
async def plain(token: Token, *, n: int = 1) -> list[Token]:
    return [token] * n


async def what_plain_handlers_return() -> None:
    assert_type(await plain(Token(token="a")), list[Token])
    await plain("a")  # type: ignore[arg-type]
    await plain(Token(token="a"), 2)  # type: ignore[call-arg]


@cancel_on_disconnect  # type: ignore[arg-type]
def sync_handler() -> int:
    return 1


@cancel_on_disconnect  # type: ignore[arg-type]
async def generator_handler() -> AsyncIterator[int]:
    yield 1


# -- Starlette -----------------------------------------------------------------------------------------------


@streams.sse
async def starlette_endpoint(request: Request) -> AsyncIterator[str]:
    yield request.method


@cancel_on_disconnect
async def starlette_handler(request: Request) -> Response:
    return Response(request.method)


starlette = Starlette(
    routes=[
        Route("/sse", starlette_endpoint),
        Route("/plain", starlette_handler),
        Route("/app", EventStream([])),
    ],
    lifespan=streams.lifespan,
)


# -- the application -----------------------------------------------------------------------------------------


@asynccontextmanager
async def own_lifespan(app: Any) -> AsyncIterator[dict[str, int]]:
    yield {"n": 1}


@asynccontextmanager
async def own_stateless_lifespan(app: FastAPI) -> AsyncIterator[None]:
    yield


FastAPI(lifespan=streams.compose(own_lifespan))
FastAPI(lifespan=streams.compose(own_stateless_lifespan))
Starlette(lifespan=streams.compose(streams.lifespan))


@streams.on_end
def bill(ending: Ending) -> int:
    return ending.chunks


@streams.on_end
async def bill_later(ending: Ending) -> None: ...


@streams.on_end  # type: ignore[type-var]
def wrong_callback(ending: int) -> None: ...


async def what_callbacks_are(ending: Ending) -> None:
    assert_type(bill(ending), int)
    assert_type(await bill_later(ending), None)
    assert_type(bool(streams.stop("id", "reason")), bool)
    assert_type(await streams.stop("id", reason="reason", wait=1.0), StopResult)
    assert_type(streams.stop_all(lambda stream: stream.age > 1), int)
    assert_type(streams.get("id"), Snapshot | None)
    assert_type([each.id for each in streams.active()], list[str])
    assert_type(streams.policy, Policy)


async def what_a_source_sees() -> AsyncIterator[str]:
    stream = current_stream()
    assert_type(stream.id, str)
    assert_type(stream.owns(Token(token="a")), Token)
    assert_type(await stream.spawn(what_spawned_returns()), int)
    assert_type(stream.stop(), bool)
    assert_type(stream.sent.chunks, int)
    assert_type(bool(stream.gone), bool)
    assert_type(bool(stream.draining), bool)
    await stream.gone
    stream.on_end(bill)
    stream.on_end(bill_later)
    stream.id = "another"  # type: ignore[misc]
    yield stream.id


async def what_spawned_returns() -> int:
    return 1


def what_awaitable_handlers_are(handler: Callable[[int], Awaitable[str]]) -> None:
    assert_type(cancel_on_disconnect(handler), Callable[[int], Awaitable[str]])
