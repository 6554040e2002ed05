"""Dependencies with `yield` leave after the source's cleanup, background tasks run after the stream."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Annotated, Any

import pytest
from fastapi import BackgroundTasks, Depends, FastAPI, HTTPException, Response
from starlette.background import BackgroundTask

from endwell import EventStream, Streams
from tests.ext.visits import Client, fetch

happened: list[Any] = []
"""What happened, in order."""


@pytest.fixture(autouse=True)
def _nothing_happened_yet() -> None:
    happened.clear()


async def session() -> AsyncIterator[str]:
    happened.append("session opened")
    try:
        yield "session"
    except BaseException as error:
        happened.append(error)
        raise
    finally:
        await asyncio.sleep(1)
        happened.append("session closed")


def sync_session() -> Iterator[str]:
    try:
        yield "sync session"
    except BaseException as error:
        happened.append(error)
        raise
    finally:
        happened.append("sync session closed")


Session = Annotated[str, Depends(session)]
SyncSession = Annotated[str, Depends(sync_session)]


class Broken(Exception):
    """What a source raises."""


streams = Streams()
app = FastAPI()


@app.get("/{how}")
@streams.sse
async def talk(how: str, session: Session, background: BackgroundTasks) -> AsyncIterator[str]:
    background.add_task(_in_the_background, how)
    if how == "early":
        raise HTTPException(404)
    try:
        yield session
        if how == "fails":
            raise Broken
        if how == "waits":
            await asyncio.sleep(1000)
        if how == "stops":
            assert streams.stop(streams.active()[0].id)
            await asyncio.sleep(1000)
    finally:
        await asyncio.sleep(1)
        happened.append("source cleaned up")


async def _in_the_background(how: str) -> None:
    await asyncio.sleep(1)
    happened.append(f"background after {how}")


@app.get("/sync/{how}")
@streams.ndjson
def sync_talk(how: str, session: SyncSession) -> Iterator[str]:
    try:
        yield session
        if how == "fails":
            raise Broken
    finally:
        happened.append("source cleaned up")


async def test_a_session_is_closed_after_the_sources_cleanup() -> None:
    client = await fetch(app, "/ends")
    assert client.data == ["session"]
    assert happened == ["session opened", "source cleaned up", "background after ends", "session closed"]


async def test_a_session_is_closed_after_the_cleanup_when_the_client_leaves() -> None:
    client = Client(app, "/waits")
    await client.got(b"data: session\n\n")
    client.leave()
    await client.finished()
    assert happened == ["session opened", "source cleaned up", "background after waits", "session closed"]


async def test_a_session_is_closed_after_the_cleanup_when_the_stream_is_stopped() -> None:
    client = await fetch(app, "/stops")
    assert client.events == ["error"]
    assert happened == ["session opened", "source cleaned up", "background after stops", "session closed"]


async def test_a_session_sees_the_exception_of_its_source() -> None:
    """Itself, not a group around it: `except Broken` works, and rolls back."""
    client = Client(app, "/fails")
    error = await client.over()
    assert isinstance(error, Broken)
    assert client.events == ["error"]
    assert happened == ["session opened", "source cleaned up", error, "session closed"]


async def test_a_session_sees_an_early_http_error() -> None:
    client = await fetch(app, "/early")
    assert client.status == 404
    assert [type(each) for each in happened] == [str, HTTPException, str]
    assert happened[-1] == "session closed"


@pytest.mark.parametrize("how", ["ends", "fails"])
async def test_a_sync_session_is_closed_after_a_sync_source(how: str) -> None:
    client = Client(app, f"/sync/{how}")
    error = await client.over()
    seen = [] if error is None else [error]
    assert isinstance(error, Broken) is (how == "fails")
    assert happened == ["source cleaned up", *seen, "sync session closed"]


async def test_a_session_is_closed_when_the_server_cancels() -> None:
    client = Client(app, "/waits")
    await client.got(b"data: session\n\n")
    client.task.cancel()
    assert isinstance(await client.over(), asyncio.CancelledError)
    assert happened[1] == "source cleaned up"
    assert happened[-1] == "session closed"


async def test_a_session_is_not_closed_while_a_slow_cleanup_runs() -> None:
    client = Client(app, "/waits")
    await client.got(b"data: session\n\n")
    client.leave()
    await asyncio.sleep(0.9)
    assert happened == ["session opened"]
    await client.finished()


# -- what they set on the response ---------------------------------------------------------------------------


def sets(response: Response) -> None:
    response.headers["x-tenant"] = "acme"
    response.set_cookie("visited", "yes")
    response.status_code = 207


@pytest.mark.parametrize("own", [False, True])
async def test_what_a_dependency_sets_on_the_response_is_sent(own: bool) -> None:
    async def with_response(response: Response) -> AsyncIterator[str]:
        assert response.headers["x-tenant"] == "acme"
        yield "a"

    async def without() -> AsyncIterator[str]:
        yield "a"

    app = FastAPI()
    app.get("/", dependencies=[Depends(sets)])(streams.sse(with_response if own else without))
    client = await fetch(app)
    assert (client.status, client.headers["x-tenant"], client.data) == (207, "acme", ["a"])
    assert client.headers["set-cookie"].startswith("visited=yes")
    assert client.headers["content-type"].startswith("text/event-stream")


# -- background tasks ----------------------------------------------------------------------------------------


async def _background() -> None:
    happened.append("background")


@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_a_response_runs_its_background_task_when_all_is_sent(method: str) -> None:
    client = await fetch(EventStream(["a"], background=BackgroundTask(_background)), method=method)
    assert client.complete
    assert happened == ["background"]


async def test_a_background_task_does_not_run_after_a_failed_stream() -> None:
    """As with Starlette's own responses."""

    async def fail() -> AsyncIterator[str]:
        yield "a"
        raise Broken

    client = Client(EventStream(fail(), background=BackgroundTask(_background)))
    assert isinstance(await client.over(), Broken)
    assert happened == []
