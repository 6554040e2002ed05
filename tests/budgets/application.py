"""The application whose streams are counted."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from endwell import EventStream, Policy, Streams
from endwell.types import ASGIApp, Message, Receive, Scope, Send
from tests.budgets.clock import CLOCK

BEAT = 2.0
"""Seconds between heartbeats, as in the benchmarks."""
STREAMS = Streams(policy=Policy(heartbeat=BEAT))

_EVENT_TAKES = 2e-6
"""Seconds: about 500 events in a time slice, as in the benchmarks."""


def token(index: int) -> dict[str, object]:
    """The benchmarks' event."""
    return {
        "id": "chatcmpl-8f14e45fceea167a5",
        "index": 100_000 + index,
        "token": " on",
        "finish_reason": None,
    }


async def ready(count: int) -> AsyncIterator[dict[str, object]]:
    """Events that are always there."""
    for index in range(count):
        CLOCK.advance(_EVENT_TAKES)
        yield token(index)


async def suspending(count: int) -> AsyncIterator[dict[str, object]]:
    """Events that are waited for, each one turn of the loop."""
    loop = asyncio.get_running_loop()
    for index in range(count):
        arrived = loop.create_future()
        loop.call_soon(arrived.set_result, None)
        await arrived
        yield token(index)


async def idle(_: int) -> AsyncIterator[dict[str, object]]:
    """One event, and then silence."""
    yield token(0)
    await asyncio.get_running_loop().create_future()


_SOURCES: dict[str, Callable[[int], AsyncIterator[dict[str, object]]]] = {
    "/ready": ready,
    "/suspending": suspending,
    "/idle": idle,
}


async def _endpoint(request: Request) -> Response:
    return _answer(request.path_params["source"], request.url.query)


@STREAMS.sse
async def _decorated(request: Request) -> AsyncIterator[dict[str, object]]:
    async for event in _SOURCES[request.path_params["source"]](int(request.url.query)):
        yield event


def _answer(source: str, query: bytes | str) -> EventStream:
    return EventStream(_SOURCES[source](int(query)))


_ROUTED: ASGIApp = Starlette(
    routes=[Route("/routed{source:path}", _endpoint), Route("/decorated{source:path}", _decorated)]
)


async def _behind(scope: Scope, receive: Receive, send: Send) -> None:
    """Behind a middleware that looks at what is sent."""

    async def looking(message: Message) -> None:
        await send(message)

    await _answer(scope["path"].removeprefix("/behind"), scope["query_string"])(scope, receive, looking)


async def application(scope: Scope, receive: Receive, send: Send) -> None:
    """Serve the sources: bare, behind a middleware below `/behind`, and in Starlette.

    There as a response below `/routed`, and decorated.
    """
    app = _behind if scope["path"].startswith("/behind") else _ROUTED
    if scope["path"] in _SOURCES:
        app = _answer(scope["path"], scope["query_string"])
    await app(scope, receive, send)
