"""The application under test: one stream that never ends by itself, and what the process holds."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from collections.abc import AsyncIterator

from fastapi import FastAPI

from endwell import Ending, Streams

streams = Streams()
app = FastAPI(lifespan=streams.lifespan)
sources: Counter[str] = Counter()
outcomes: Counter[str] = Counter()


@streams.on_end
async def count(ending: Ending) -> None:
    """Count the endings by outcome."""
    outcomes[ending.outcome] += 1


@app.get("/idle")
@streams.sse
async def idle() -> AsyncIterator[str]:
    """One event, then nothing for ever; its cleanup awaits."""
    sources["begun"] += 1
    try:
        yield "hello"
        await asyncio.Event().wait()
    finally:
        await asyncio.sleep(0.001)
        sources["finished"] += 1


@app.get("/process")
async def process() -> dict[str, object]:
    """What the process holds, and how many streams it has seen."""
    return {
        "tasks": len(asyncio.all_tasks()),
        "threads": threading.active_count(),
        "active": len(streams.active()),
        "sources": sources,
        "outcomes": outcomes,
    }
