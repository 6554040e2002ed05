"""`@cancel_on_disconnect` and the middleware: a plain handler is cancelled when its client leaves."""

from __future__ import annotations

import asyncio
import gc
import inspect
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import pytest
from fastapi import FastAPI, HTTPException, Request, Response
from pydantic import BaseModel
from starlette.applications import Starlette
from starlette.responses import JSONResponse, PlainTextResponse, StreamingResponse
from starlette.routing import Route

from endwell import CancelOnDisconnect, cancel_on_disconnect
from endwell.types import ASGIApp
from tests.ext.visits import Client, fetch

happened: list[Any] = []
Handler = Callable[[Request], Awaitable[Any]]


@pytest.fixture(autouse=True)
def _nothing_happened_yet() -> None:
    happened.clear()


@pytest.fixture(autouse=True)
def _log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "endwell")


async def through(request: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
    return await call_next(request)


def fastapi_decorated(handler: Handler) -> ASGIApp:
    app = FastAPI()
    app.post("/work/{n}")(cancel_on_disconnect(handler))
    return app


def starlette_decorated(handler: Handler) -> ASGIApp:
    return Starlette(routes=[Route("/work/{n}", cancel_on_disconnect(handler), methods=["POST"])])


def decorated_behind_middleware(handler: Handler) -> ASGIApp:
    app = FastAPI()
    app.post("/work/{n}")(cancel_on_disconnect(handler))
    app.middleware("http")(through)
    return app


def behind_the_middleware(handler: Handler) -> ASGIApp:
    app = FastAPI()
    app.post("/work/{n}")(handler)
    app.add_middleware(CancelOnDisconnect, paths=["/work/1"])
    return app


def behind_both_middlewares(handler: Handler) -> ASGIApp:
    app = FastAPI()
    app.post("/work/{n}")(handler)
    app.add_middleware(CancelOnDisconnect, match=lambda scope: scope["path"].startswith("/work"))
    app.middleware("http")(through)
    return app


WAYS = [
    fastapi_decorated,
    starlette_decorated,
    decorated_behind_middleware,
    behind_the_middleware,
    behind_both_middlewares,
]


@pytest.fixture(params=WAYS)
def served(request: pytest.FixtureRequest) -> Callable[[Handler], ASGIApp]:
    way: Callable[[Handler], ASGIApp] = request.param
    return way


async def work(request: Request) -> Response:
    try:
        happened.append("began")
        await asyncio.sleep(1000)
    finally:
        await asyncio.sleep(1)
        happened.append(asyncio.get_running_loop().time())
    return PlainTextResponse("done")


async def visit_and_leave(app: ASGIApp) -> BaseException | None:
    """Post something, leave after two seconds; what the application raised."""
    client = Client(app, "/work/1", send={})
    await asyncio.sleep(2)
    client.leave()
    error = await client.over()
    assert client.sends == []
    return error


# -- leaving -------------------------------------------------------------------------------------------------


async def test_the_work_is_cancelled_and_its_cleanup_awaited(served: Callable[[Handler], ASGIApp]) -> None:
    assert await visit_and_leave(served(work)) is None
    assert happened == ["began", 3]


async def test_it_is_one_line_in_the_log_without_a_traceback(
    served: Callable[[Handler], ASGIApp], caplog: pytest.LogCaptureFixture
) -> None:
    await visit_and_leave(served(work))
    (record,) = caplog.records
    assert (record.name, record.levelno, record.exc_info) == ("endwell", logging.INFO, None)
    assert record.getMessage().startswith("499 POST ")


async def test_it_is_cancelled_once(served: Callable[[Handler], ASGIApp]) -> None:
    async def slow_cleanup(request: Request) -> Response:
        try:
            await asyncio.sleep(1000)
        finally:
            for _ in range(3):
                await asyncio.sleep(1)
            happened.append("cleaned up")
        return Response()

    await visit_and_leave(served(slow_cleanup))
    assert happened == ["cleaned up"]


async def test_its_own_exception_wins(served: Callable[[Handler], ASGIApp]) -> None:
    async def fail(request: Request) -> Response:
        try:
            await asyncio.sleep(1000)
        finally:
            raise ValueError("its own")

    error = await visit_and_leave(served(fail))
    assert isinstance(error, ValueError)


async def test_a_handler_that_finishes_all_the_same_has_finished(
    served: Callable[[Handler], ASGIApp],
) -> None:
    """It swallowed the cancellation, and what it did counts: a payment that went through."""

    async def pay(request: Request) -> Response:
        try:
            await asyncio.sleep(1000)
        except asyncio.CancelledError:
            await asyncio.sleep(1)
        happened.append("paid")
        return PlainTextResponse("paid")

    assert await visit_and_leave(served(pay)) is None
    assert happened == ["paid"]


async def test_a_client_that_leaves_before_the_handler_begins(served: Callable[[Handler], ASGIApp]) -> None:
    client = Client(served(work), "/work/1", send={})
    client.leave()
    assert await client.over() is None
    assert happened in ([], ["began", 1])


# -- staying -------------------------------------------------------------------------------------------------


async def test_a_client_that_stays_is_served(
    served: Callable[[Handler], ASGIApp], caplog: pytest.LogCaptureFixture
) -> None:
    async def answer(request: Request) -> Response:
        await asyncio.sleep(1)
        return JSONResponse({"you": (await request.body()).decode()}, 201, {"x-a": "b"})

    client = await fetch(served(answer), "/work/1", send={"n": 1})
    assert (client.status, client.headers["x-a"]) == (201, "b")
    assert client.json() == {"you": '{"n": 1}'}
    assert caplog.records == []


async def test_an_http_error_is_an_http_error(served: Callable[[Handler], ASGIApp]) -> None:
    async def refuse(request: Request) -> Response:
        raise HTTPException(409, headers={"x-a": "b"})

    client = await fetch(served(refuse), "/work/1", send={})
    assert (client.status, client.headers["x-a"]) == (409, "b")


async def test_a_streaming_response_is_passed_on(served: Callable[[Handler], ASGIApp]) -> None:
    async def stream(request: Request) -> Response:
        return StreamingResponse(iter([b"a", b"b"]))

    assert (await fetch(served(stream), "/work/1", send={})).body == b"ab"


async def test_a_handler_that_cancels_itself_is_no_client_that_left(
    served: Callable[[Handler], ASGIApp], caplog: pytest.LogCaptureFixture
) -> None:
    async def give_up(request: Request) -> Response:
        raise asyncio.CancelledError

    error = await Client(served(give_up), "/work/1", send={}).over()
    assert error is not None
    assert "499" not in caplog.text


# -- cancelled from outside ----------------------------------------------------------------------------------


async def test_a_server_that_cancels_waits_for_the_cleanup(
    served: Callable[[Handler], ASGIApp], caplog: pytest.LogCaptureFixture
) -> None:
    client = Client(served(work), "/work/1", send={})
    await asyncio.sleep(2)
    client.task.cancel()
    assert isinstance(await client.over(), asyncio.CancelledError)
    assert happened == ["began", 3]
    assert "499" not in caplog.text


async def test_an_exception_of_the_cleanup_is_not_lost_when_the_server_cancels(
    served: Callable[[Handler], ASGIApp], caplog: pytest.LogCaptureFixture
) -> None:
    async def fail(request: Request) -> Response:
        try:
            await asyncio.sleep(1000)
        finally:
            raise ValueError("its own")

    client = Client(served(fail), "/work/1", send={})
    await asyncio.sleep(2)
    client.task.cancel()
    error = await client.over()
    # Raised or logged; and not by the garbage collector.
    gc.collect()
    assert isinstance(error, ValueError) or "its own" in caplog.text


# -- FastAPI's handlers --------------------------------------------------------------------------------------


class Vectors(BaseModel):
    """A response model."""

    vectors: list[float]


@dataclass
class Point:
    x: int


@pytest.mark.parametrize(
    ("returned", "body"),
    [
        (None, b"null"),
        ({"a": 1}, b'{"a":1}'),
        ([], b"[]"),
        (0, b"0"),
        ("", b'""'),
        (False, b"false"),
        (Vectors(vectors=[1.5]), b'{"vectors":[1.5]}'),
        (Point(1), b'{"x":1}'),
        (PlainTextResponse("plain"), b"plain"),
        (Response(status_code=204), b""),
    ],
)
async def test_whatever_it_returns_is_answered(returned: Any, body: bytes) -> None:
    async def answer() -> Any:
        return returned

    app = FastAPI()
    app.get("/")(cancel_on_disconnect(answer))
    assert (await fetch(app)).body == body


async def test_its_response_model_is_documented_and_applied() -> None:
    app = FastAPI()

    @app.get("/")
    @cancel_on_disconnect
    async def embed() -> Vectors:
        return {"vectors": [1], "extra": 1}  # type: ignore[return-value]

    assert (await fetch(app)).json() == {"vectors": [1.0]}
    content = app.openapi()["paths"]["/"]["get"]["responses"]["200"]["content"]
    assert content == {"application/json": {"schema": {"$ref": "#/components/schemas/Vectors"}}}


def test_it_keeps_what_the_function_is_known_by() -> None:
    async def embed(n: int, *, limit: int = 3) -> Vectors:
        """What it does."""
        return Vectors(vectors=[n, limit])

    endpoint: Any = cancel_on_disconnect(embed)
    assert (endpoint.__name__, endpoint.__doc__) == ("embed", "What it does.")
    assert endpoint.__qualname__ == embed.__qualname__
    assert not hasattr(endpoint, "__wrapped__")
    assert list(inspect.signature(endpoint).parameters)[:2] == ["n", "limit"]
    assert inspect.signature(endpoint).return_annotation is Vectors


async def test_called_by_hand_it_just_works() -> None:
    @cancel_on_disconnect
    async def add(a: int, *, b: int) -> int:
        return a + b

    assert await add(1, b=2) == 3


async def test_the_route_not_the_path_is_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    await visit_and_leave(fastapi_decorated(work))
    assert "499 POST /work/{n}: " in caplog.text


# -- the middleware ------------------------------------------------------------------------------------------


async def test_other_paths_are_left_alone() -> None:
    app = FastAPI()
    app.add_middleware(CancelOnDisconnect, paths=["/watched"])

    @app.get("/unwatched")
    async def unwatched() -> None:
        await asyncio.sleep(5)
        happened.append("finished")

    client = Client(app, "/unwatched")
    await asyncio.sleep(1)
    client.leave()
    await client.over()
    assert happened == ["finished"]


@pytest.mark.parametrize("kind", ["lifespan", "websocket"])
async def test_what_is_no_request_is_passed_on(kind: str) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        happened.append((scope["type"], receive, send))

    middleware = CancelOnDisconnect(app, match=lambda _: True)

    async def receive() -> Any: ...
    async def send(message: Any) -> None: ...

    await middleware({"type": kind}, receive, send)
    assert happened == [(kind, receive, send)]


async def test_a_forged_path_writes_no_line_of_its_own_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await asyncio.sleep(1000)

    client = Client(CancelOnDisconnect(app, match=lambda _: True), "/a%0d%0aERROR%20forged%1b[31m%00")
    await asyncio.sleep(1)
    client.leave()
    await client.over()
    (record,) = caplog.records
    assert record.getMessage().isprintable()
