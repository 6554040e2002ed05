"""A source that says goodbye when the process goes away."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from fastapi import FastAPI

from endwell import Event, Streams, current_stream

streams = Streams()
app = FastAPI(lifespan=streams.lifespan)


@app.get("/feed")
@streams.sse
async def feed(most: int = 36_000) -> AsyncIterator[Event]:
    draining = current_stream().draining
    for number in range(most):
        if draining:
            yield Event(data={"next": number}, event="goodbye")
            return
        yield Event(data=number, event="tick")
        await asyncio.sleep(0.1)
