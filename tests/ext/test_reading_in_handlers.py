"""A plain handler that is cancelled when its client leaves still reads its request's body, all of it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Annotated, Any

import pytest
from fastapi import Depends, FastAPI, Request

from endwell import CancelOnDisconnect, cancel_on_disconnect
from tests.ext.reading import PIECES, READERS, until_gone
from tests.ext.visits import Client, fetch

seen: list[Any] = []


@pytest.fixture(autouse=True)
def _nothing_seen_yet() -> None:
    seen.clear()


@pytest.fixture
def app() -> FastAPI:
    return FastAPI()


@pytest.fixture(params=["decorator", "middleware"])
def read_slowly(request: pytest.FixtureRequest, app: FastAPI) -> Callable[..., FastAPI]:
    """Serve a handler, under the decorator or behind the middleware."""
    if request.param == "middleware":
        app.add_middleware(CancelOnDisconnect, paths=["/"])

    def serve(handler: Callable[..., Any]) -> FastAPI:
        app.post("/")(cancel_on_disconnect(handler) if request.param == "decorator" else handler)
        return app

    return serve


@pytest.mark.parametrize("read", READERS)
@pytest.mark.parametrize("wait", [0, 1])
async def test_a_plain_handler_reads_the_whole_body(
    read_slowly: Callable[..., FastAPI], read: Callable[[Request], Any], wait: float
) -> None:
    async def echo(request: Request) -> str:
        await asyncio.sleep(wait)
        body: bytes = await read(request)
        return body.decode()

    client = await fetch(read_slowly(echo), method="POST", body=PIECES)
    assert client.json() == "one two three"


async def test_a_plain_handler_reads_a_large_upload_at_its_own_pace(
    read_slowly: Callable[..., FastAPI],
) -> None:
    async def store(request: Request) -> int:
        stored = 0
        async for piece in request.stream():
            await asyncio.sleep(0.01)
            stored += len(piece)
        return stored

    client = await fetch(read_slowly(store), method="POST", body=[b"x" * 65536] * 64)
    assert client.json() == 64 * 65536


async def test_a_plain_handler_reads_a_large_body_at_once(read_slowly: Callable[..., FastAPI]) -> None:
    async def store(request: Request) -> int:
        return len(await request.body())

    client = await fetch(read_slowly(store), method="POST", body=[b"x" * 65536] * 64)
    assert client.json() == 64 * 65536


async def test_a_large_body_that_no_handler_asked_for_hides_no_disconnect(
    app: FastAPI,
) -> None:
    @app.post("/")
    @cancel_on_disconnect
    async def ignore() -> None:
        try:
            await asyncio.sleep(1000)
        finally:
            seen.append(asyncio.get_running_loop().time())

    client = Client(app, method="POST", body=[b"x" * 65536] * 64)
    await asyncio.sleep(1)
    client.leave()
    await client.finished()
    assert seen == [1]


async def test_a_plain_handler_may_ask_whether_the_client_is_there(
    read_slowly: Callable[..., FastAPI],
) -> None:
    async def ask(request: Request) -> None:
        try:
            while True:
                seen.append(await request.is_disconnected())
                await asyncio.sleep(1)
        finally:
            seen.append(await request.is_disconnected())

    client = Client(read_slowly(ask), method="POST", sticky=False)
    await asyncio.sleep(1.5)
    client.leave()
    await client.finished()
    assert seen == [False, False, True]


async def test_a_disconnect_that_a_dependency_read_cancels_a_plain_handler(app: FastAPI) -> None:
    @app.get("/")
    @cancel_on_disconnect
    async def work(waited: Annotated[None, Depends(until_gone)]) -> None:
        await asyncio.sleep(50)
        seen.append("worked")

    client = Client(app, sticky=False)
    await asyncio.sleep(1)
    client.leave()
    await client.finished()
    assert seen == []
