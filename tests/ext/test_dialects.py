"""Which dialect a response speaks: its own, its application's, or its format's."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from fastapi import FastAPI

from endwell import (
    ByteStream,
    ConfigurationError,
    EventStream,
    NDJSONStream,
    Policy,
    Streams,
    Told,
    current_stream,
)
from endwell.wire import OpenAIChat
from tests.ext.visits import Client


class Shouting:
    """A dialect of one's own."""

    name = "shouting"
    media_type = "text/event-stream"
    done = b"data: GOODBYE\n\n"

    def frame(self, told: Told) -> bytes:
        return b"data: %b AFTER %d\n\n" % (told.code.upper().encode(), told.chunks)

    def body(self, told: Told) -> object:
        return {"SHOUTED": told.code.upper(), "STATUS": told.status}


class Speechless(Shouting):
    """It fails when it is needed."""

    def frame(self, told: Told) -> bytes:
        raise LookupError

    def body(self, told: Told) -> object:
        return object()


async def failing(late: bool = True) -> AsyncIterator[str]:
    if late:
        yield "a"
    raise LookupError


async def stopping(late: bool = True) -> AsyncIterator[str]:
    if late:
        yield "a"
    current_stream().stop()
    yield "b"


async def last_words(response: Any) -> Any:
    client = Client(response)
    await client.over()
    return json.loads(client.data[-1])


async def test_a_response_speaks_its_own() -> None:
    assert "message" in (await last_words(EventStream(failing(), dialect="openai-chat")))["error"]
    assert "errorText" in await last_words(EventStream(failing(), dialect="ai-sdk"))
    assert (await last_words(EventStream(failing())))["code"] == "internal_error"


async def test_an_application_speaks_one_wherever_it_fits() -> None:
    app, streams = FastAPI(), Streams(dialect="openai-chat")

    @app.get("/sse")
    @streams.sse
    async def sse() -> AsyncIterator[str]:
        async for chunk in failing():
            yield chunk

    @app.get("/own")
    @streams.sse(dialect="ag-ui")
    async def own() -> AsyncIterator[str]:
        async for chunk in failing():
            yield chunk

    @app.get("/ndjson")
    @streams.ndjson
    async def ndjson() -> AsyncIterator[str]:
        async for chunk in failing():
            yield chunk

    @app.get("/bytes")
    @streams.bytes(media_type="text/event-stream")
    async def ready_made() -> AsyncIterator[str]:
        async for chunk in failing():
            yield chunk

    said = {}
    for path in ("sse", "own", "ndjson", "bytes"):
        said[path] = Client(app, f"/{path}")
        await said[path].over()
    assert json.loads(said["sse"].data[-1])["error"]["type"] == "server_error"
    assert json.loads(said["own"].data[-1])["type"] == "RUN_ERROR"
    assert json.loads(said["ndjson"].frames[-1])["error"]["code"] == "internal_error"
    assert said["bytes"].was_cut


async def test_an_http_error_is_in_it_too() -> None:
    client = Client(EventStream(stopping(late=False), dialect="anthropic"))
    await client.finished()
    assert client.status == 503
    assert client.json()["type"] == "error"
    assert client.json()["error"]["type"] == "overloaded_error"


async def test_one_of_ones_own() -> None:
    client = Client(EventStream(stopping(), dialect=Shouting()))
    await client.finished()
    assert client.frames == [b"data: a", b"data: STOPPED AFTER 1"]
    client = Client(EventStream(stopping(late=False), dialect=Shouting()))
    await client.finished()
    assert client.json() == {"SHOUTED": "STOPPED", "STATUS": 503}


async def test_what_a_completed_stream_ends_with() -> None:
    for dialect, end in ((Shouting(), b"data: GOODBYE"), (OpenAIChat(done=True), b"data: [DONE]")):
        client = Client(EventStream(["a"], dialect=dialect))
        await client.finished()
        assert client.frames == [b"data: a", end]


async def test_one_that_fails_does_not_lose_the_end(caplog: pytest.LogCaptureFixture) -> None:
    client = Client(EventStream(stopping(), dialect=Speechless()))
    await client.over()
    assert client.was_cut
    client = Client(EventStream(stopping(late=False), dialect=Speechless()))
    await client.finished()
    assert client.json()["error"]["code"] == "stopped"
    assert "the body is cut" in caplog.text
    assert "the generic one speaks" in caplog.text


@pytest.mark.parametrize(
    ("pieces", "may_speak"),
    [
        (["data: a\n\n"], True),
        (["data: a\n\nda"], False),
        (["data: a\n", "\n"], True),
        (["data: a\n"], False),
    ],
)
async def test_ready_made_bytes_are_followed_by_a_frame_only_where_one_was_over(
    pieces: list[str], may_speak: bool
) -> None:
    async def source() -> AsyncIterator[str]:
        for piece in pieces:
            yield piece
        raise LookupError

    client = Client(ByteStream(source(), media_type="text/event-stream", dialect="openai-chat"))
    await client.over()
    assert client.was_cut is not may_speak
    assert (b'"error"' in client.body) is may_speak


async def test_a_deadline_is_named_in_it() -> None:
    async def silent() -> AsyncIterator[str]:
        yield "a"
        import asyncio

        await asyncio.sleep(100)

    policy = Policy(heartbeat=None, between_chunks=5)
    said = await last_words(EventStream(silent(), dialect="openai-responses", policy=policy))
    assert said["error"]["code"] == "between_chunks_timeout"
    assert said["sequence_number"] == 1


@pytest.mark.parametrize("make", [EventStream, lambda *args, **options: Streams(**options)])
def test_one_that_there_is_not_is_an_error_at_once(make: Any) -> None:
    with pytest.raises(ConfigurationError, match="did you mean 'openai-chat'"):
        make([], dialect="openai-chta")


def test_one_that_does_not_fit_is_an_error_at_once() -> None:
    with pytest.raises(ConfigurationError, match="is for text/event-stream, but the response is"):
        NDJSONStream([], dialect="openai-chat")
    streams = Streams()
    with pytest.raises(ConfigurationError, match="is for text/event-stream, but the response is"):
        streams.ndjson(dialect="anthropic")
