"""An error before the first chunk is a real HTTP error, by the application's own handlers."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest
from fastapi import FastAPI, HTTPException, Request
from fastapi.exceptions import RequestValidationError
from starlette.applications import Starlette
from starlette.exceptions import HTTPException as StarletteHTTPException
from starlette.responses import JSONResponse
from starlette.routing import Route

from endwell import ChunkTypeError, Policy, Streams
from tests.ext.visits import Client, Endings, fetch


class Overloaded(Exception):
    """The model has no room."""


ERRORS: dict[str, Exception] = {
    "fastapi": HTTPException(418, detail={"tea": "pot"}, headers={"X-Tea": "green"}),
    "starlette": StarletteHTTPException(418, detail="teapot", headers={"X-Tea": "green"}),
    "overloaded": Overloaded("secret"),
    "value": ValueError("secret"),
    "unavailable": HTTPException(503, headers={"Retry-After": "9"}),
    "invalid": RequestValidationError([{"loc": ["body"], "msg": "no", "type": "no"}]),
}


async def overloaded(_: Request, error: Exception) -> JSONResponse:
    return JSONResponse({"error": "overloaded"}, 529, headers={"retry-after": "7"})


def application(
    decorate: Callable[[Streams], Any] = lambda streams: streams.sse, **options: Any
) -> tuple[FastAPI, Endings]:
    app, streams = FastAPI(), Streams(**options)
    app.add_exception_handler(Overloaded, overloaded)

    async def fail(what: str, late: bool = False, wait: float = 0) -> AsyncIterator[str]:
        await asyncio.sleep(wait)
        if late:
            yield "a"
        raise ERRORS[what]

    def sync_fail(what: str) -> Iterator[str]:
        if what:
            raise ERRORS[what]
        yield "a"

    app.get("/{what}")(decorate(streams)(fail))
    app.get("/sync/{what}")(decorate(streams)(sync_fail))
    return app, Endings(streams)


FORMATS: list[Callable[[Streams], Any]] = [
    lambda streams: streams.sse,
    lambda streams: streams.ndjson,
    lambda streams: streams.bytes(),
]


@pytest.mark.parametrize("decorate", FORMATS, ids=["sse", "ndjson", "bytes"])
@pytest.mark.parametrize("prefix", ["/", "/sync/"])
async def test_an_http_exception_keeps_its_status_headers_and_detail(
    decorate: Callable[[Streams], Any], prefix: str
) -> None:
    app, _ = application(decorate)
    client = await fetch(app, f"{prefix}fastapi")
    assert client.status == 418
    assert client.headers["x-tea"] == "green"
    assert client.headers["content-type"] == "application/json"
    assert "x-accel-buffering" not in client.headers
    assert client.json() == {"detail": {"tea": "pot"}}


async def test_starlettes_own_http_exception_is_as_good() -> None:
    app, _ = application()
    client = await fetch(app, "/starlette")
    assert (client.status, client.headers["x-tea"], client.json()) == (418, "green", {"detail": "teapot"})


async def test_a_custom_handler_answers_for_its_exception() -> None:
    app, _ = application()
    client = await fetch(app, "/overloaded")
    assert (client.status, client.headers["retry-after"]) == (529, "7")
    assert client.json() == {"error": "overloaded"}


async def test_a_validation_error_of_the_source_is_422() -> None:
    app, _ = application()
    assert (await fetch(app, "/invalid")).status == 422


async def test_any_other_exception_is_500_and_the_servers_to_log() -> None:
    app, endings = application()
    client = Client(app, "/value")
    assert await client.over() is ERRORS["value"]
    assert (client.status, client.body) == (500, b"Internal Server Error")
    ending = await endings.only()
    assert (ending.outcome, ending.error, ending.chunks) == ("failed", ERRORS["value"], 0)


async def test_a_handler_for_500_answers_for_any_exception() -> None:
    app, _ = application()
    app.add_exception_handler(500, overloaded)
    client = Client(app, "/value")
    assert await client.over() is ERRORS["value"]
    assert client.status == 529


async def test_a_debugging_application_shows_the_sources_traceback() -> None:
    streams = Streams()

    @streams.sse
    async def fail(request: Request) -> AsyncIterator[str]:
        if request.method:
            raise ValueError("what the developer wants to see")
        yield "a"

    client = Client(Starlette(debug=True, routes=[Route("/", fail)]))
    await client.over()
    assert client.status == 500
    assert b"what the developer wants to see" in client.body


async def test_a_wrong_first_chunk_is_an_http_error_too() -> None:
    app, streams = FastAPI(), Streams()

    @app.get("/")
    @streams.bytes()
    async def numbers() -> AsyncIterator[int]:
        yield 1

    client = Client(app)
    error = await client.over()
    assert isinstance(error, ChunkTypeError)
    assert "in the stream of /" in "".join(error.__notes__)
    assert client.status == 500


# -- when it is too late for that ----------------------------------------------------------------------------


@pytest.mark.parametrize("what", ["fastapi", "overloaded", "value"])
async def test_after_the_first_chunk_it_is_an_error_event(what: str) -> None:
    app, endings = application()
    client = Client(app, f"/{what}?late=1")
    error = await client.over()
    # To an exception that has a handler, Starlette puts one of its own: the response has begun.
    assert ERRORS[what] in (error, getattr(error, "__cause__", None))
    assert client.status == 200
    assert client.complete
    assert client.events == ["error"]
    assert b"secret" not in client.body
    assert (await endings.only()).error is ERRORS[what]


async def test_after_the_hold_it_is_an_error_event() -> None:
    app, _ = application(policy=Policy(hold=2))
    client = Client(app, "/fastapi?wait=3")
    await client.over()
    assert (client.status, client.events) == (200, ["error"])


async def test_within_the_hold_a_slow_error_is_still_an_http_error() -> None:
    app, _ = application(policy=Policy(hold=2))
    assert (await fetch(app, "/fastapi?wait=1.9")).status == 418


# -- in the log ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("target", "level"),
    [
        ("/fastapi", logging.INFO),
        ("/starlette", logging.INFO),
        ("/fastapi?late=1", logging.ERROR),
        ("/unavailable", logging.ERROR),
        ("/value", logging.ERROR),
    ],
)
async def test_an_early_4xx_is_no_error_in_the_log(
    caplog: pytest.LogCaptureFixture, target: str, level: int
) -> None:
    caplog.set_level(logging.INFO, "endwell")
    await Client(application()[0], target).over()
    records = [record for record in caplog.records if record.name == "endwell"]
    assert [record.levelno for record in records] == [level]
    assert records[0].getMessage().startswith("failed after ")
    assert (records[0].exc_info is not None) is (level == logging.ERROR)
