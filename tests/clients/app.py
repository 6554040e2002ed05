"""The application under test: the same stories in the format of every family of clients.

The story is named by the header `x-story` or the parameter `story`, and the ledger's tag likewise:

    whole      three words with ids, a reconnection time, and heartbeats between them
    fails      two words, with ids and a reconnection time, then the source raises
    tells      two words, then the source raises a `ClientError`
    refuses    a `ClientError` before the first word
    endless    words until the client leaves
    plain      three words, without ids of their own
    busy       nothing, the first time, as there is no room; then `plain`

After a hyphen it may be said how it is told, as in `fails-torn`:

    resumed    by `EventStream(resume_token=True)`
    bytes      as ready-made bytes, in the family's dialect
    torn       as ready-made bytes, without any
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import HTMLResponse, Response

from endwell import ByteStream, ClientError, EventStream, NDJSONStream, Policy, Streams, current_stream
from endwell.wire import SSE
from tests.clients.families import EVENT_STREAMS, NDJSON, WORDS, Chunk, Family
from tests.servers.ledger import Ledger

HEARTBEAT = 0.05
PAUSE = 0.13
"""Seconds between the words of a whole story: two heartbeats go out in it."""

streams = Streams(
    policy=Policy(heartbeat=HEARTBEAT, allow_fast_heartbeat=True, retry=(100, 100), soft_refusal=True)
)
ledger = Ledger()
streams.on_end(ledger.ended)
app = FastAPI(lifespan=streams.lifespan)


class Broken(Exception):
    """A source's own failure."""


async def whole(family: Family) -> AsyncIterator[Chunk]:
    """Three words, with ids and pauses."""
    chunks = (*family.opening, *(family.word(text) for text in WORDS), *family.closing)
    for number, chunk in enumerate(chunks):
        yield family.numbered(chunk, number)
        if number in (0, len(family.opening)):
            await asyncio.sleep(PAUSE)


async def plain(family: Family) -> AsyncIterator[Chunk]:
    """Three words."""
    for text in WORDS:
        yield family.word(text)
        await asyncio.sleep(PAUSE)


async def fails(family: Family) -> AsyncIterator[Chunk]:
    """Two words, and an exception that is nobody's business."""
    for chunk in _beginning(family):
        yield chunk
    raise Broken("the password is hunter2")


async def tells(family: Family) -> AsyncIterator[Chunk]:
    """Two words, and an exception for the client to read."""
    for chunk in _beginning(family):
        yield chunk
    raise ClientError("quota_exceeded", "No words are left.", status=429)


async def refuses(family: Family) -> AsyncIterator[Chunk]:
    """Nothing, but an exception for the client to read."""
    raise ClientError("quota_exceeded", "No words are left.", status=429)
    yield


async def busy(family: Family) -> AsyncIterator[Chunk]:
    """No room, for whoever asks first with its tag."""
    record = ledger.streams[current_stream().id]
    if next(found for found in ledger.records.values() if record in found)[0] is record:
        raise ClientError("busy", "Come back later.", status=503)
    async for chunk in plain(family):
        yield chunk


async def endless(family: Family) -> AsyncIterator[Chunk]:
    """One word after the other."""
    for chunk in family.opening:
        yield chunk
    while True:
        yield family.word("on ")
        await asyncio.sleep(0.01)


def _beginning(family: Family) -> Iterator[Chunk]:
    chunks = (*family.opening, *(family.word(text) for text in WORDS[:2]))
    return (family.numbered(chunk, number) for number, chunk in enumerate(chunks))


STORIES = {story.__name__: story for story in (whole, plain, fails, tells, refuses, busy, endless)}


async def watched(family: Family, story: str, tag: str) -> AsyncIterator[Chunk]:
    """A story whose end is written down under `tag`."""
    async with ledger.watch(tag, "0") as record:
        async for chunk in STORIES[story](family):
            record.chunks += 1
            yield chunk


async def ready_made(source: AsyncIterator[Chunk]) -> AsyncIterator[bytes]:
    """The source's events as bytes, as an upstream's would come."""
    async for chunk in source:
        yield SSE().encode(chunk)


def told(source: AsyncIterator[Chunk], family: Family, how: str) -> Response:
    """The response, in one of the ways of the table above."""
    if family is NDJSON:
        return NDJSONStream(source, dialect=family.dialect)
    if how == "bytes":
        return ByteStream(ready_made(source), media_type=SSE.media_type, dialect=family.dialect)
    if how == "torn":
        return ByteStream(ready_made(source), media_type=SSE.media_type)
    return EventStream(source, dialect=family.dialect, resume_token=how == "resumed")


def _add(family: Family) -> None:
    async def answer(request: Request) -> Response:
        story, _, how = _said(request, "story").partition("-")
        return told(watched(family, story, _said(request, "tag")), family, how)

    app.add_api_route(family.path, answer, methods=["GET", "POST"])


def _said(request: Request, name: str) -> str:
    return request.headers.get(f"x-{name}") or request.query_params.get(name, "")


for _family in (*EVENT_STREAMS, NDJSON):
    _add(_family)


@app.get("/ledger")
async def report(tag: str) -> dict[str, Any]:
    """What became of the streams of `tag`."""
    return ledger.report(tag)


@app.get("/active")
async def active() -> list[str]:
    """The ids of the live streams."""
    return [stream.id for stream in streams.active()]


@app.get("/page")
async def page() -> Response:
    """An empty page, for scripts to run in."""
    return HTMLResponse("<!doctype html><title>clients</title>")
