"""The FastAPI application: three real streams, the panel's feed of their endings, and the page.

POST /chat              tokens of a language model, through the `openai` client, as server-sent events
GET  /export.ndjson     every Unicode character, from a SQLite cursor
GET  /feed              this machine's processor and memory, once a second
GET  /observe           for the panel: live streams, and each ending as it happens
POST /streams/{id}/stop the operator's stop button
POST /left/{visit}      the browser says at what moment it left
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, closing
from functools import partial
from pathlib import Path
from typing import Annotated, Any, TypedDict

from fastapi import Depends, FastAPI, HTTPException, Query, Request
from fastapi.responses import FileResponse
from fastapi.staticfiles import StaticFiles
from openai import OpenAIError
from pydantic import BaseModel, Field

from demo.characters import connect, count, database
from demo.ledger import Ledger
from demo.machine import Machine, Reading
from demo.model import Model, language_model
from endwell import Ending, Event, Policy, Streams, current_stream

HERE = Path(__file__).parent
OBSERVE = "/observe"
GLANCE = 0.2
"""Seconds between two looks at what the panel should know."""

streams = Streams(policy=Policy(cleanup=0.8, drain=1.0, send=10))
ledger = Ledger()


class State(TypedDict):
    """What the application holds from start to shutdown."""

    model: Model
    characters: Path


@asynccontextmanager
async def resources(_: FastAPI) -> AsyncIterator[State]:
    """The model and the database. They outlive every stream: shutdown runs after the last one's cleanup."""
    async with language_model() as model:
        yield {"model": model, "characters": database()}


app = FastAPI(title="endwell: the demo", lifespan=streams.compose(resources))
app.mount("/static", StaticFiles(directory=HERE / "static"), name="static")

Visit = Annotated[str, Query(max_length=64, description="the page's own name for this request")]


def the_model(request: Request) -> Model:
    """The model that answers."""
    return request.state.model  # type: ignore[no-any-return]


def the_characters(request: Request) -> Path:
    """The database's path."""
    return request.state.characters  # type: ignore[no-any-return]


class Question(BaseModel):
    """What the reader asks."""

    text: str = Field(min_length=1, max_length=2_000)


class Token(BaseModel):
    """One piece of the answer."""

    token: str


@app.post("/chat")
@streams.sse
async def chat(
    question: Question, model: Annotated[Model, Depends(the_model)], visit: Visit = ""
) -> AsyncIterator[Token]:
    """The model's answer. Leaving it closes the connection to the model."""
    stream = current_stream()
    stream.on_end(partial(ask_what_was_seen, model))
    async with AsyncExitStack() as upstream:
        with ledger.working(stream.id, visit):
            try:
                answer = await upstream.enter_async_context(await model.ask(question.text, stream.id))
            except OpenAIError as error:
                raise HTTPException(502, "The model does not answer.") from error
            async for chunk in answer:
                if chunk.choices and (token := chunk.choices[0].delta.content):
                    yield Token(token=token)


@app.get("/export.ndjson")
@streams.ndjson
def export(
    characters: Annotated[Path, Depends(the_characters)], visit: Visit = ""
) -> Iterator[dict[str, Any]]:
    """Every Unicode character. Who stops reading stops the cursor, and is cut off after 10 s."""
    with closing(connect(characters)) as connection, ledger.working(current_stream().id, visit):
        for row in connection.execute("SELECT * FROM characters ORDER BY code_point"):
            yield dict(row)


@app.get("/feed")
@streams.sse
async def feed(visit: Visit = "") -> AsyncIterator[Reading]:
    """This machine's processor and memory, once a second."""
    machine = Machine()
    with ledger.working(current_stream().id, visit):
        while True:
            yield machine.read()
            await asyncio.sleep(1)


@app.get(OBSERVE)
@streams.sse
async def observe() -> AsyncIterator[Event]:
    """What the server knows. This stream itself is left out."""
    version, shown = 0, None
    while True:
        version, endings = ledger.since(version)
        for ending in endings:
            yield Event(ending, event="ending")
        if (live := live_streams()) != shown:
            shown = live
            yield Event(live, event="live")
        await asyncio.sleep(GLANCE)


@app.post("/streams/{stream_id}/stop", status_code=204)
async def stop(stream_id: str) -> None:
    """End a stream from the server's side."""
    if not streams.stop(stream_id, reason="the stop button"):
        raise HTTPException(404, "No such stream is live.")


class Left(BaseModel):
    """When the reader left."""

    at: float = Field(gt=0, description="milliseconds since 1970, by the browser's clock")


@app.post("/left/{visit}", status_code=204)
async def left(visit: str, moment: Left) -> None:
    """The browser says when it left."""
    ledger.left(visit, moment.at / 1000)


@app.get("/characters")
def how_many(characters: Annotated[Path, Depends(the_characters)]) -> dict[str, int]:
    """How many rows the export has."""
    with closing(connect(characters)) as connection:
        return {"count": count(connection)}


@app.get("/")
async def page() -> FileResponse:
    """The page."""
    return FileResponse(HERE / "page.html")


@streams.on_end
async def enter(ending: Ending) -> None:
    """Enter each ending in the ledger. On the event loop, where everybody else reads it."""
    if ending.route != OBSERVE:
        ledger.ended(ending)


async def ask_what_was_seen(model: Model, ending: Ending) -> None:
    """A chat is over: ask the model what it saw of its own connection."""
    if (sighting := await model.sighting(ending.id)) is not None:
        ledger.upstream_saw(ending.id, sighting.seen, sighting.at)


def live_streams() -> list[dict[str, Any]]:
    """The live streams as the panel shows them."""
    return [
        {
            "id": stream.id,
            "visit": ledger.visit_of(stream.id),
            "route": stream.route,
            "state": stream.state,
            "seconds": round(stream.age, 1),
            "chunks": stream.chunks,
            "bytes": stream.bytes,
        }
        for stream in streams.active()
        if stream.route != OBSERVE
    ]
