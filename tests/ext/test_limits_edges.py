"""Limits where they meet something else: bodies, dependencies, handlers of errors, WebSockets, resuming."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Annotated, Any

import pytest
from fastapi import Depends, FastAPI, Request
from starlette.applications import Starlette
from starlette.requests import Request as StarletteRequest
from starlette.responses import Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

from endwell import Cause, EventStream, Finish, Limits, Policy, SourceEnd, Streams
from endwell.types import ASGIApp
from tests.ext.guests import begun, inside, leave
from tests.ext.visits import Client, Endings, fetch, running

QUEUE = Limits(total=1, queue=1, wait=100)


async def talk() -> AsyncIterator[str]:
    yield "a"
    await asyncio.sleep(1000)


async def slow() -> None:
    """A dependency that takes its time."""
    await asyncio.sleep(5)


async def unlucky() -> None:
    raise LookupError("no such user")


async def short_or_long(request: Request) -> AsyncIterator[str]:
    yield "a"
    if "short" not in request.headers:
        await asyncio.sleep(1000)


def unattended(streams: Streams) -> int:
    """How many sources are counted as going on without their clients."""
    return streams._registry._unattended.running


# -- two gates -----------------------------------------------------------------------------------------------


async def test_who_waits_at_one_gate_may_be_asked_for_the_body_at_the_other() -> None:
    """The body has one reader at a time: who waits for the first gate reads it all."""
    streams = Streams(limits=QUEUE)
    app = FastAPI()

    async def key(request: StarletteRequest) -> bytes:
        return await request.body()

    app.post("/talk")(streams.sse(limits=Limits(per_key=5, key=key))(talk))
    first = await begun(app, method="POST", body=[b"ann"])
    second = Client(app, "/talk", method="POST", body=[b"b", b"ob"])
    await asyncio.sleep(1)
    first.leave()
    await second.got(b"data: a\n\n")
    await leave(first, second)
    assert inside(streams) == 0


async def test_who_leaves_while_a_key_is_looked_for_is_gone() -> None:
    streams = Streams(limits=QUEUE)
    endings = Endings(streams)
    app = FastAPI()

    async def key(request: StarletteRequest) -> str:
        await asyncio.sleep(5)
        return "ann"

    app.get("/talk")(streams.sse(limits=Limits(per_key=5, key=key))(talk))
    first = await begun(app)
    second = Client(app, "/talk")
    await asyncio.sleep(1)
    first.leave()
    await asyncio.sleep(1)
    second.leave()
    await asyncio.sleep(10)
    assert second.task.done()
    assert {ending.cause for ending in endings} == {Cause.DISCONNECT}
    await leave(first, second)
    assert inside(streams) == 0


# -- who leaves before the stream begins ---------------------------------------------------------------------


async def test_who_leaves_in_a_slow_dependency_after_the_queue_is_gone_when_the_stream_begins() -> None:
    """Some servers say so once only."""
    streams = Streams(limits=QUEUE)
    endings = Endings(streams)
    app = FastAPI()

    async def endpoint(_: Annotated[None, Depends(slow)]) -> AsyncIterator[str]:
        async for word in talk():
            yield word

    app.get("/talk")(streams.sse(endpoint))
    first = await begun(app)
    second = Client(app, "/talk", sticky=False)
    await asyncio.sleep(1)
    first.leave()
    await asyncio.sleep(1)
    second.leave()
    await asyncio.sleep(10)
    assert second.task.done()
    assert [ending.cause for ending in endings] == [Cause.DISCONNECT] * 2
    await leave(first, second)
    assert inside(streams) == 0


async def test_who_is_gone_before_the_stream_begins_is_counted_right_among_the_unattended() -> None:
    """Given back without having been taken, the places of the unattended would have no bound any more."""
    streams = Streams(limits=QUEUE, policy=Policy(on_leave=Finish(5)))
    app = FastAPI()

    async def endpoint(_: Annotated[None, Depends(slow)]) -> AsyncIterator[str]:
        async for word in talk():
            yield word

    app.get("/talk")(streams.sse(endpoint))
    for _ in range(2):
        first = await begun(app)
        second = Client(app, "/talk")
        await asyncio.sleep(1)
        first.leave()
        await asyncio.sleep(6)
        second.leave()
        await asyncio.sleep(20)
        assert (unattended(streams), inside(streams)) == (0, 0)
        await leave(first, second)


async def test_who_leaves_the_queue_is_no_failure_of_the_servers() -> None:
    """A 5xx would ring the alarms of whoever counts them."""
    streams = Streams(limits=QUEUE)
    app = FastAPI()
    app.get("/talk")(streams.sse(talk))
    statuses: list[int] = []

    @app.middleware("http")
    async def count(request: Request, call_next: Any) -> Any:
        response: Response = await call_next(request)
        statuses.append(response.status_code)
        return response

    first = await begun(app)
    second = Client(app, "/talk")
    await asyncio.sleep(1)
    await leave(second)
    assert statuses == [200, 499]
    await leave(first)


# -- who is let in once --------------------------------------------------------------------------------------


async def test_a_stream_that_answers_an_error_has_not_been_let_in_by_the_place_of_its_request() -> None:
    streams = Streams(limits=Limits(total=1))
    app = FastAPI(lifespan=streams.lifespan)

    @app.exception_handler(LookupError)
    async def explain(request: Request, error: LookupError) -> EventStream:
        return EventStream(talk())

    async def endpoint(_: Annotated[None, Depends(unlucky)]) -> AsyncIterator[str]:
        async for word in talk():
            yield word

    app.get("/talk")(streams.sse(endpoint))
    async with running(app) as state:
        first = await begun(app, state=state)
        assert inside(streams) == 1
        second = await fetch(app, "/talk", state=state)
        assert second.status == 503
        await leave(first)
    assert inside(streams) == 0


def _in_starlette(streams: Streams, source: Any) -> ASGIApp:
    return Starlette(routes=[Route("/talk", streams.sse(resume_token=True)(source))])


def _in_fastapi(streams: Streams, source: Any) -> ASGIApp:
    app = FastAPI()
    app.add_api_route("/talk", streams.sse(resume_token=True)(source), methods=["GET", "HEAD"])
    return app


@pytest.mark.parametrize("application", [_in_starlette, _in_fastapi])
async def test_who_needs_no_source_needs_no_place(application: Any) -> None:
    """A browser that has seen the end would come back for ever, if it were not told that there is no more."""
    streams = Streams(limits=Limits(total=1))
    endings = Endings(streams)
    app = application(streams, short_or_long)
    whole = await fetch(app, "/talk", headers=[(b"short", b"1")])
    last = whole.body.rpartition(b"id: ")[2].partition(b"\n")[0]
    assert last.endswith(b"-end")
    first = Client(app, "/talk")
    await first.got(b"data: a\n")
    back = [(b"last-event-id", last), (b"accept", b"text/event-stream")]
    assert (await fetch(app, "/talk", headers=back)).status == 204
    assert (await fetch(app, "/talk", method="HEAD")).status == 200
    assert (await fetch(app, "/talk")).status == 503
    await leave(first)
    assert [ending.cause for ending in endings if ending.source is SourceEnd.NEVER_STARTED] == [
        Cause.OVER_TOTAL
    ]


# -- odd endpoints -------------------------------------------------------------------------------------------


async def test_a_stream_that_denies_a_websocket_passes_the_gate() -> None:
    streams = Streams(limits=Limits(total=1, per_key=1))
    released: list[str] = []

    async def deny(socket: WebSocket) -> None:
        stream = EventStream(talk(), owns=[lambda: released.append("released")])
        await socket.send_denial_response(stream)

    app = Starlette(routes=[WebSocketRoute("/talk", deny)])
    denied: dict[str, Any] = {
        "type": "websocket",
        "subprotocols": [],
        "extensions": {"websocket.http.response": {}},
        "state": {"endwell": streams._registry},
    }
    first = await begun(app, **denied)
    refused = Client(app, "/talk", **denied)
    await refused.finished()
    assert (refused.status, released) == (429, ["released"])
    await leave(first)
    assert released == ["released"] * 2
    assert inside(streams) == 0


async def test_an_endpoint_whose_parameters_are_positional_may_have_limits() -> None:
    async def endpoint(request: StarletteRequest, /) -> AsyncIterator[str]:
        async for word in talk():
            yield word

    streams = Streams(limits=Limits(total=1))
    app = Starlette(routes=[Route("/talk", streams.sse(endpoint))])
    first = await begun(app)
    assert (await fetch(app, "/talk")).status == 503
    await leave(first)
