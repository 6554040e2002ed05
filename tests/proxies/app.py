"""The application behind the proxies: every source of `tests.servers`, with what differs in the query.

`/{format}/{source}?tag=…&key=…`, and optionally `heartbeat=` (seconds; 0 sends none), `hold=`, `send=`, and
`plain=1`, which takes endwell's own headers away: what most applications send. `/ledger?tag=…` tells what
became of the sources.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Annotated, Any

from fastapi import FastAPI, Query
from pydantic import BaseModel
from starlette.responses import Response

from endwell import ByteStream, EventStream, NDJSONStream, Policy, Streams
from tests.servers import sources
from tests.servers.sources import BIG, ledger

FLOOD = 24 * 2**20
"""Bytes of the flood: more than any proxy here takes unless it stores without bound, less than hurts."""
OWN = (b"x-accel-buffering", b"content-encoding", b"cache-control")
"""The headers that endwell adds for those who stand between."""

streams = Streams()
streams.on_end(ledger.ended)
app = FastAPI(lifespan=streams.lifespan)


class Asked(BaseModel):
    """The query of a stream."""

    tag: str
    key: str = "0"
    heartbeat: float = 15
    hold: float = 5
    send: float = 30
    plain: bool = False
    what: str | None = None

    def answer(self, stream: Callable[..., Response], source: str, **options: Any) -> Response:
        """A response of this kind."""
        policy = Policy(heartbeat=self.heartbeat or None, hold=self.hold, send=self.send)
        response = stream(_source(source, self), policy=policy, **options)
        if self.plain:
            response.raw_headers = [pair for pair in response.raw_headers if pair[0] not in OWN]
        return response


async def flood(tag: str, key: str = "0") -> AsyncIterator[bytes]:
    """`FLOOD` bytes as fast as they are taken, then nothing for ever."""
    async with ledger.watch(tag, key) as record:
        for _ in range(FLOOD // len(BIG)):
            yield BIG
            record.chunks += 1
        await asyncio.Event().wait()


def _source(name: str, asked: Asked) -> Any:
    if name == "flood":
        return flood(asked.tag, asked.key)
    if name == "early":
        return sources.early(asked.what or "bug", asked.tag, asked.key)
    return getattr(sources, name)(asked.tag, asked.key)


@app.get("/sse/{source}")
async def sse(source: str, asked: Annotated[Asked, Query()]) -> Response:
    """Server-sent events."""
    return asked.answer(EventStream, source)


@app.get("/ndjson/{source}")
async def ndjson(source: str, asked: Annotated[Asked, Query()]) -> Response:
    """A JSON document a line."""
    return asked.answer(NDJSONStream, source)


@app.get("/raw/{source}")
async def raw(source: str, asked: Annotated[Asked, Query()]) -> Response:
    """Bytes, which cannot say how they ended."""
    return asked.answer(ByteStream, source, media_type="text/csv")


@app.get("/nothing")
async def nothing() -> Response:
    """What stops an EventSource for good."""
    return Response(status_code=204)


@app.get("/ledger")
async def report(tag: str) -> dict[str, Any]:
    """What became of the sources."""
    return ledger.report(tag)


@app.post("/stop/{stream}")
async def stop(stream: str) -> bool:
    """The stop button."""
    return bool(streams.stop(stream))
