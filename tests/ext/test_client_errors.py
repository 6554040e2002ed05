"""A `ClientError` is said to the client as it is, and to nobody else as a crash."""

from __future__ import annotations

import json
import logging
from collections.abc import AsyncIterator
from typing import Any

import pytest
from fastapi import Depends, FastAPI
from starlette.applications import Starlette
from starlette.routing import Route

from endwell import ByteStream, ClientError, ConfigurationError, EventStream, Outcome, StreamCut, Streams
from tests.ext.visits import Client, Endings


def application(**options: Any) -> tuple[FastAPI, Endings, list[str]]:
    app, streams, seen = FastAPI(), Streams(**options), []

    async def session() -> AsyncIterator[str]:
        try:
            yield "session"
            seen.append("committed")
        except BaseException as error:
            seen.append(f"rolled back: {error!r}")
            raise

    @app.get("/sse")
    @streams.sse
    async def sse(late: bool = False, db: str = Depends(session)) -> AsyncIterator[str]:
        if late:
            yield "a"
        raise ClientError("quota_exceeded", "You have used it up.", status=429)

    return app, Endings(streams), seen


async def test_before_the_first_chunk_it_is_an_http_error() -> None:
    app, endings, _ = application()
    client = Client(app, "/sse")
    await client.finished()
    assert client.status == 429
    ref = client.json()["error"].pop("ref")
    assert client.json()["error"] | {"ref": ref} == {
        "code": "quota_exceeded",
        "message": "You have used it up.",
        "ref": ref,
    }
    ending = await endings.only()
    assert (ending.outcome, ending.reference) == (Outcome.FAILED, ref)


async def test_after_it_it_is_the_terminal_frame() -> None:
    app, endings, _ = application()
    client = Client(app, "/sse?late=1")
    await client.finished()
    assert (client.status, client.complete) == (200, True)
    assert client.events == ["error"]
    said = json.loads(client.data[-1])
    assert (said["code"], said["message"]) == ("quota_exceeded", "You have used it up.")
    assert (await endings.only()).outcome is Outcome.FAILED


@pytest.mark.parametrize("late", ["0", "1"])
async def test_the_log_has_a_line_and_no_traceback_and_the_server_sees_no_crash(
    late: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "endwell")
    app, _, _ = application()
    await Client(app, f"/sse?late={late}").finished()
    (record,) = caplog.records
    assert (record.levelno, record.exc_info) == (logging.INFO, None)


@pytest.mark.parametrize("late", ["0", "1"])
async def test_dependencies_leave_with_it_once(late: str) -> None:
    app, _, seen = application()
    await Client(app, f"/sse?late={late}").finished()
    assert seen == ["rolled back: ClientError('quota_exceeded', 'You have used it up.')"]


async def test_a_dependency_that_raises_something_else_is_heard() -> None:
    app, streams = FastAPI(), Streams()

    async def session() -> AsyncIterator[None]:
        try:
            yield
        finally:
            raise LookupError("rollback failed")

    @app.get("/")
    @streams.sse
    async def sse(db: None = Depends(session)) -> AsyncIterator[str]:
        yield "a"
        raise ClientError("no", "No.")

    with pytest.raises(LookupError, match="rollback failed"):
        await Client(app).finished()


async def test_starlette_knows_it_too() -> None:
    async def source() -> AsyncIterator[str]:
        yield "a"
        raise ClientError("no", "No.")

    async def endpoint(request: object) -> EventStream:
        return EventStream(source())

    client = Client(Starlette(routes=[Route("/", endpoint)]))
    await client.finished()
    assert json.loads(client.data[-1])["code"] == "no"


async def test_where_nothing_can_be_said_the_body_is_cut() -> None:
    async def source() -> AsyncIterator[bytes]:
        yield b"a"
        raise ClientError("no", "No.")

    client = Client(ByteStream(source()))
    await client.over()
    assert client.was_cut


async def test_of_any_other_exception_nothing_is_said() -> None:
    async def source() -> AsyncIterator[str]:
        yield "a"
        raise LookupError("secret")

    client = Client(EventStream(source()))
    with pytest.raises(LookupError):
        await client.finished()
    assert json.loads(client.data[-1])["code"] == "internal_error"
    assert b"secret" not in client.body


@pytest.mark.parametrize("status", [200, 399, 600, "429", 4.5])
def test_its_status_is_an_errors(status: Any) -> None:
    with pytest.raises(ConfigurationError, match=f"from 400 to 599, got {status!r}"):
        ClientError("a", "b", status=status)


@pytest.mark.parametrize("words", [(1, "b"), ("a", 2)])
def test_its_words_are_text(words: tuple[Any, Any]) -> None:
    with pytest.raises(TypeError, match="must be str"):
        ClientError(*words)


def test_a_cut_is_another_thing() -> None:
    assert not issubclass(ClientError, StreamCut)
