"""`receive()` has one reader, the pump; the request of the endpoint asks it too, and loses nothing.

The peers of these tests tell of the disconnect once, as hypercorn and daphne do, and complain of a second
reader.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Annotated, Any

import pytest
from fastapi import Depends, FastAPI, Request
from starlette.requests import ClientDisconnect

from endwell import CancelOnDisconnect, EventStream, Streams, cancel_on_disconnect
from tests.ext.reading import PIECES, QUIET, READERS, until_gone
from tests.ext.visits import Client, Endings, fetch

seen: list[Any] = []


@pytest.fixture(autouse=True)
def _nothing_seen_yet() -> None:
    seen.clear()


@pytest.fixture
def streams() -> Streams:
    return Streams(policy=QUIET)


@pytest.fixture
def app() -> FastAPI:
    return FastAPI()


# -- is_disconnected() ---------------------------------------------------------------------------------------


async def test_is_disconnected_tells_the_truth_inside_a_source(streams: Streams, app: FastAPI) -> None:
    @app.get("/")
    @streams.sse
    async def poll(request: Request) -> AsyncIterator[str]:
        try:
            for _ in range(3):
                yield str(await request.is_disconnected())
                await asyncio.sleep(1)
            await asyncio.sleep(1000)
        finally:
            seen.append(await request.is_disconnected())

    client = Client(app, sticky=False)
    await client.got(b"data: False\n\n", times=3)
    client.leave()
    await client.finished()
    assert seen == [True]


async def test_is_disconnected_is_true_for_a_source_that_carries_on(streams: Streams, app: FastAPI) -> None:
    """One that swallows its cancellation asks for ever, and is answered for ever."""

    @app.get("/")
    @streams.sse
    async def poll(request: Request) -> AsyncIterator[str]:
        yield "a"
        try:
            await asyncio.sleep(1000)
        except asyncio.CancelledError:
            for _ in range(3):
                await asyncio.sleep(1)
                seen.append(await request.is_disconnected())

    client = Client(app, sticky=False)
    await client.got(b"data: a\n\n")
    client.leave()
    await client.finished()
    assert seen == [True, True, True]


async def test_is_disconnected_in_a_task_beside_the_source(streams: Streams, app: FastAPI) -> None:
    async def watch(request: Request) -> None:
        while not await request.is_disconnected():  # noqa: ASYNC110
            await asyncio.sleep(0.1)
        seen.append("gone")

    @app.get("/")
    @streams.sse
    async def poll(request: Request) -> AsyncIterator[str]:
        watcher = asyncio.create_task(watch(request))
        try:
            yield "a"
            await asyncio.sleep(1000)
        finally:
            await watcher

    client = Client(app, sticky=False)
    await client.got(b"data: a\n\n")
    client.leave()
    await client.finished()
    assert seen == ["gone"]


async def test_a_returned_response_shares_its_reader_when_given_the_request(app: FastAPI) -> None:
    """Polling `is_disconnected()` is what everybody does who returns a StreamingResponse today."""

    @app.get("/")
    async def poll(request: Request) -> EventStream:
        async def source() -> AsyncIterator[str]:
            try:
                while not await request.is_disconnected():
                    yield "a"
                    await asyncio.sleep(1)
            finally:
                seen.append("cleaned up")

        return EventStream(source(), request=request, policy=QUIET)

    client = Client(app, sticky=False)
    await client.got(b"data: a\n\n", times=3)
    client.leave()
    await client.finished()
    assert seen == ["cleaned up"]


async def test_a_disconnect_that_a_dependency_read_is_known(streams: Streams, app: FastAPI) -> None:
    endings = Endings(streams)

    @app.get("/")
    @streams.sse
    async def start(waited: Annotated[None, Depends(until_gone)]) -> AsyncIterator[str]:
        seen.append("started")
        await asyncio.sleep(50)
        yield "a"

    client = Client(app, sticky=False)
    await asyncio.sleep(1)
    client.leave()
    await client.finished()
    assert (await endings.only()).outcome == "client_gone"
    assert seen == []


# -- the body ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("read", READERS)
@pytest.mark.parametrize("wait", [0, 1])
async def test_a_source_reads_the_whole_body(
    streams: Streams, app: FastAPI, read: Callable[[Request], Any], wait: float
) -> None:
    @app.post("/")
    @streams.sse
    async def echo(request: Request) -> AsyncIterator[str]:
        yield "begin"
        await asyncio.sleep(wait)
        yield (await read(request)).decode()

    client = await fetch(app, method="POST", body=PIECES)
    assert client.data == ["begin", "one two three"]


async def test_a_source_answers_an_upload_while_it_comes(streams: Streams, app: FastAPI) -> None:
    @app.post("/")
    @streams.ndjson
    async def echo(request: Request) -> AsyncIterator[str]:
        async for piece in request.stream():
            if piece:
                yield piece.decode()

    client = Client(app, method="POST", body=[])
    for piece in PIECES:
        client.upload(piece, more=True)
        await client.got(b'"%b"\n' % piece)
    client.upload(b"")
    await client.finished()
    assert len(client.frames) == 3


async def test_a_client_that_leaves_in_mid_upload_is_told_to_the_reader(
    streams: Streams, app: FastAPI
) -> None:
    @app.post("/")
    @streams.sse
    async def read(request: Request) -> AsyncIterator[str]:
        yield "begin"
        try:
            await request.body()
        except asyncio.CancelledError:
            seen.append("cancelled")
            with pytest.raises(ClientDisconnect):
                await request.body()
            raise

    client = Client(app, method="POST", body=[])
    client.upload(b"one", more=True)
    await client.got(b"data: begin\n\n")
    client.leave()
    await client.finished()
    assert seen == ["cancelled"]


async def test_an_unread_body_hides_no_disconnect(streams: Streams, app: FastAPI) -> None:
    """BAD-INPUTS 16."""
    endings = Endings(streams)

    @app.post("/")
    @streams.sse
    async def ignore() -> AsyncIterator[str]:
        yield "a"
        await asyncio.sleep(1000)

    client = Client(app, method="POST", body=[b"x" * 65536] * 64)
    await client.got(b"data: a\n\n")
    client.leave()
    await client.finished()
    assert (await endings.only()).outcome == "client_gone"


async def test_a_late_reader_of_a_huge_body_gets_an_error_and_no_part_of_it(
    streams: Streams, app: FastAPI
) -> None:
    @app.post("/")
    @streams.sse
    async def late(request: Request) -> AsyncIterator[str]:
        yield "a"
        await asyncio.sleep(1)
        with pytest.raises(RuntimeError, match="before streaming"):
            await request.body()
        yield "b"

    assert (await fetch(app, method="POST", body=[b"x" * 65536] * 64)).data == ["a", "b"]


@pytest.mark.parametrize("read", READERS)
async def test_a_returned_response_reads_the_whole_body(app: FastAPI, read: Callable[[Request], Any]) -> None:
    @app.post("/")
    async def echo(request: Request) -> EventStream:
        async def source() -> AsyncIterator[str]:
            yield "begin"
            yield (await read(request)).decode()

        return EventStream(source(), request=request, policy=QUIET)

    assert (await fetch(app, method="POST", body=PIECES)).data == ["begin", "one two three"]


async def test_a_handler_that_returns_a_stream_hands_the_reader_on(app: FastAPI) -> None:
    @app.post("/")
    @cancel_on_disconnect
    async def prepare(request: Request) -> EventStream:
        await asyncio.sleep(1)

        async def source() -> AsyncIterator[str]:
            try:
                yield (await request.body()).decode()
                await asyncio.sleep(1000)
            finally:
                seen.append("cleaned up")

        return EventStream(source(), request=request, policy=QUIET)

    client = Client(app, method="POST", body=PIECES, sticky=False)
    await client.got(b"data: one two three\n\n")
    client.leave()
    await client.finished()
    assert seen == ["cleaned up"]


@pytest.mark.parametrize("kind", ["decorated", "decorated with request", "returned", "returned with request"])
async def test_a_stream_behind_the_middleware_has_one_reader(
    streams: Streams, app: FastAPI, kind: str
) -> None:
    app.add_middleware(CancelOnDisconnect, paths=["/"])
    endings = Endings(streams)

    async def source(request: Request | None = None) -> AsyncIterator[str]:
        try:
            yield "begin" if request is None else (await request.body()).decode()
            await asyncio.sleep(1000)
        finally:
            await asyncio.sleep(1)
            seen.append("cleaned up")

    async def decorated() -> AsyncIterator[str]:
        async for chunk in source():
            yield chunk

    async def with_request(request: Request) -> AsyncIterator[str]:
        async for chunk in source(request):
            yield chunk

    async def returned() -> EventStream:
        return EventStream(source(), policy=QUIET, on_end=endings.hear)

    async def returned_with_request(request: Request) -> EventStream:
        return EventStream(source(request), request=request, policy=QUIET, on_end=endings.hear)

    endpoints: dict[str, Callable[..., Any]] = {
        "decorated": streams.sse(decorated),
        "decorated with request": streams.sse(with_request),
        "returned": returned,
        "returned with request": returned_with_request,
    }
    app.post("/")(endpoints[kind])
    client = Client(app, method="POST", body=PIECES, sticky=False)
    await client.got(b"data: one two three\n\n" if "request" in kind else b"data: begin\n\n")
    client.leave()
    await client.over()
    assert seen == ["cleaned up"]
    assert (await endings.only()).outcome == "client_gone"
