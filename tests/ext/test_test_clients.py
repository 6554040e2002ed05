"""The clients that applications are tested with: httpx's ASGI transport, and Starlette's test client."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import httpx
import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from endwell import EventStream, Outcome, Policy, Streams, cancel_on_disconnect
from tests.ext.visits import Endings

BODIES = {"/sse": "data: 0\n\ndata: 1\n\n", "/sync": "0\n1\n", "/bare": "data: a\n\n", "/plain": "1"}


class Broken(Exception):
    """What a source raises."""


@pytest.fixture
def streams() -> Streams:
    return Streams(policy=Policy(drain=1, cleanup=0.9))


@pytest.fixture
def app(streams: Streams) -> FastAPI:
    app = FastAPI(lifespan=streams.lifespan)

    @app.get("/sse")
    @streams.sse
    async def sse() -> AsyncIterator[int]:
        for number in range(2):
            yield number

    @app.get("/sync")
    @streams.ndjson
    def sync() -> Iterator[int]:
        yield from range(2)

    @app.get("/bare")
    async def bare() -> EventStream:
        return EventStream(["a"])

    @app.get("/plain")
    @cancel_on_disconnect
    async def plain() -> int:
        return 1

    @app.get("/fails")
    @streams.sse
    async def fails() -> AsyncIterator[int]:
        yield 1
        raise Broken

    return app


@pytest.mark.parametrize("path", BODIES)
def test_starlettes_test_client_gets_the_whole_body(app: FastAPI, path: str) -> None:
    with TestClient(app) as client:
        response = client.get(path)
    assert (response.status_code, response.text) == (200, BODIES[path])


def test_starlettes_test_client_can_come_again(app: FastAPI) -> None:
    for _ in range(2):
        with TestClient(app) as client:
            assert client.get("/sse").text == BODIES["/sse"]


def test_starlettes_test_client_sees_the_error_or_the_error_event(app: FastAPI) -> None:
    with TestClient(app) as client, pytest.raises(Broken):
        client.get("/fails")
    with TestClient(app, raise_server_exceptions=False) as client:
        assert "event: error" in client.get("/fails").text


def test_what_ends_in_a_test_client_is_told(app: FastAPI, streams: Streams) -> None:
    endings = Endings(streams)
    with TestClient(app) as client:
        client.get("/sse")
        client.get("/bare")
    assert [ending.outcome for ending in endings] == [Outcome.COMPLETED] * 2


@pytest.mark.parametrize("path", BODIES)
async def test_httpx_gets_the_whole_body(app: FastAPI, path: str) -> None:
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        response = await client.get(path)
    assert (response.status_code, response.text) == (200, BODIES[path])
