"""`@streams.sse`, `@streams.ndjson` and `@streams.bytes`: what they make of a generator function."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator, Callable, Iterator
from functools import partial
from typing import Any

import pytest
from fastapi import FastAPI

from endwell import EventStream, Outcome, Policy, Streams, current_stream
from tests.ext.visits import Client, Endings, fetch

WAYS: dict[str, tuple[Callable[[Streams], Any], str, bytes]] = {
    "sse": (lambda streams: streams.sse, "text/event-stream", b"data: a\n\ndata: b\n\n"),
    "sse()": (lambda streams: streams.sse(), "text/event-stream", b"data: a\n\ndata: b\n\n"),
    "ndjson": (lambda streams: streams.ndjson, "application/x-ndjson", b'"a"\n"b"\n'),
    "ndjson()": (lambda streams: streams.ndjson(), "application/x-ndjson", b'"a"\n"b"\n'),
    "bytes": (lambda streams: streams.bytes, "application/octet-stream", b"ab"),
    "bytes()": (lambda streams: streams.bytes(), "application/octet-stream", b"ab"),
    "bytes(...)": (lambda streams: streams.bytes(media_type="text/csv"), "text/csv", b"ab"),
}


async def letters() -> AsyncIterator[str]:
    yield "a"
    yield "b"


def sync_letters() -> Iterator[str]:
    yield "a"
    yield "b"


@pytest.fixture
def streams() -> Streams:
    return Streams()


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("function", [letters, sync_letters])
async def test_a_generator_function_becomes_a_stream(
    streams: Streams, way: str, function: Callable[[], Any]
) -> None:
    decorator, media_type, body = WAYS[way]
    app = FastAPI()
    app.get("/")(decorator(streams)(function))
    client = await fetch(app)
    assert client.status == 200
    assert client.headers["content-type"].partition(";")[0] == media_type
    assert client.body == body


@pytest.mark.parametrize("way", WAYS)
async def test_no_cache_and_no_proxy_holds_it_back(streams: Streams, way: str) -> None:
    app = FastAPI()
    app.get("/")(WAYS[way][0](streams)(letters))
    headers = (await fetch(app)).headers
    assert headers["cache-control"] == "no-store, no-transform"
    assert headers["x-accel-buffering"] == "no"
    assert headers["content-encoding"] == "identity"
    assert "content-length" not in headers


@pytest.mark.parametrize("way", WAYS)
def test_the_function_keeps_what_it_is_known_by(streams: Streams, way: str) -> None:
    async def named(room: str, *, limit: int = 3) -> AsyncIterator[str]:
        """What it does."""
        yield f"{room}{limit}"

    endpoint = WAYS[way][0](streams)(named)
    assert endpoint.__name__ == "named"
    assert endpoint.__qualname__ == named.__qualname__
    assert endpoint.__module__ == __name__
    assert endpoint.__doc__ == "What it does."
    parameters = inspect.signature(endpoint).parameters
    assert list(parameters)[:2] == ["room", "limit"]
    assert parameters["room"].annotation is str
    assert parameters["limit"].default == 3


@pytest.mark.parametrize("way", WAYS)
def test_fastapi_cannot_look_through_the_decorator(streams: Streams, way: str) -> None:
    """It would take the generator for one of its own streams, and bypass the decorator."""
    endpoint = WAYS[way][0](streams)(letters)
    assert not hasattr(endpoint, "__wrapped__")
    assert inspect.unwrap(endpoint) is endpoint
    assert inspect.iscoroutinefunction(endpoint)


async def test_a_decorated_function_can_still_be_called(streams: Streams) -> None:
    @streams.sse
    async def echo(word: str, *, times: int = 1) -> AsyncIterator[str]:
        yield word * times

    response = await echo("a", times=2)
    assert isinstance(response, EventStream)
    assert (await fetch(response)).body == b"data: aa\n\n"


async def test_the_decorator_works_on_a_method(streams: Streams) -> None:
    class Rooms:
        prefix = "in "

        async def talk(self, room: str) -> AsyncIterator[str]:
            yield self.prefix + room

    app = FastAPI()
    app.get("/{room}")(streams.sse(Rooms().talk))
    assert (await fetch(app, "/7")).data == ["in 7"]


async def test_the_decorator_works_on_a_partial_function(streams: Streams) -> None:
    async def talk(room: str, times: int) -> AsyncIterator[str]:
        yield room * times

    app = FastAPI()
    app.get("/{room}")(streams.sse(partial(talk, times=2)))
    assert (await fetch(app, "/7")).data == ["77"]


# -- options -------------------------------------------------------------------------------------------------


async def test_status_and_headers_are_options(streams: Streams) -> None:
    app = FastAPI()

    @app.get("/")
    @streams.sse(status=201, headers={"X-Kind": "tokens", "Cache-Control": "private"})
    async def tokens() -> AsyncIterator[str]:
        yield "a"

    client = await fetch(app)
    assert client.status == 201
    assert client.headers["x-kind"] == "tokens"
    assert client.headers["cache-control"] == "private"
    assert client.headers["x-accel-buffering"] == "no"


async def test_the_status_of_the_route_is_the_responses(streams: Streams) -> None:
    app = FastAPI()

    @app.post("/", status_code=202)
    @streams.sse
    async def tokens() -> AsyncIterator[str]:
        yield "a"

    assert (await fetch(app, send={})).status == 202


async def test_an_endpoint_may_have_a_policy_of_its_own() -> None:
    streams, app = Streams(policy=Policy(between_chunks=20)), FastAPI()
    endings = Endings(streams)

    @app.get("/own")
    @streams.sse(policy=Policy(first_chunk=2))
    async def own() -> AsyncIterator[str]:
        await asyncio.sleep(3)
        yield "late"

    client = await fetch(app, "/own")
    assert client.status == 504
    assert (await endings.only()).duration == 2


async def test_the_applications_policy_is_the_default() -> None:
    streams, app = Streams(policy=Policy(first_chunk=3)), FastAPI()
    endings = Endings(streams)

    @app.get("/")
    @streams.sse
    async def slow() -> AsyncIterator[str]:
        await asyncio.sleep(4)
        yield "late"

    await fetch(app)
    ending = await endings.only()
    assert (ending.outcome, ending.duration) == (Outcome.TIMED_OUT, 3)


async def test_an_endpoint_may_have_an_on_end_of_its_own(streams: Streams) -> None:
    app, told = FastAPI(), Endings(Streams())
    endings = Endings(streams)

    @app.get("/with")
    @streams.sse(on_end=told.hear)
    async def with_callback() -> AsyncIterator[str]:
        yield current_stream().id

    @app.get("/without")
    @streams.sse
    async def without() -> AsyncIterator[str]:
        yield "a"

    client = await fetch(app, "/with")
    await fetch(app, "/without")
    assert (await told.only()).id == client.data[0]
    assert len(endings) == 2


@pytest.mark.parametrize(("heartbeat", "body"), [(True, b"\n\n\n1\n"), (False, b"1\n")])
async def test_ndjson_beats_only_when_asked(heartbeat: bool, body: bytes) -> None:
    """With the headers, and then whenever nothing was written for the interval."""
    streams, app = Streams(policy=Policy(heartbeat=10, hold=0)), FastAPI()

    @app.get("/")
    @streams.ndjson(heartbeat=heartbeat)
    async def slow() -> AsyncIterator[int]:
        await asyncio.sleep(25)
        yield 1

    assert (await fetch(app)).body == body


async def test_two_requests_have_a_source_each(streams: Streams) -> None:
    app = FastAPI()

    @app.get("/")
    @streams.sse
    async def held() -> AsyncIterator[str]:
        yield "a"
        await asyncio.sleep(1)
        yield "b"

    first, second = Client(app), Client(app)
    await first.finished()
    await second.finished()
    assert first.data == second.data == ["a", "b"]
