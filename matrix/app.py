"""The application: sources that wait, that send, and that block, with deadlines short enough to wait for."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI

from endwell import Ending, Policy, Streams, current_stream
from matrix.journal import Writer
from matrix.limits import CLEANUP, LIMITS

BLOCK = b"x" * 65536
PAUSE = 0.01
"""Seconds between two blocks: 6 MB/s block any client that does not read, and do not fill the memory of a
server without backpressure."""

journal = Writer(os.environ.get("MATRIX_JOURNAL", os.devnull))
keys: dict[str, str] = {}


streams = Streams(
    policy=Policy(heartbeat=None, send=LIMITS.send, min_rate=LIMITS.min_rate), vanished=LIMITS.vanished
)
app = FastAPI(lifespan=streams.lifespan)


@streams.on_end
async def ended(ending: Ending) -> None:
    """Note how a stream ended."""
    key = keys.pop(ending.id, None)
    if key is not None:
        journal.note(key, "ending", f"{ending.outcome}: {ending.cause}")


@asynccontextmanager
async def watched(key: str) -> AsyncIterator[None]:
    """Note a source's start, and its `finally`, which awaits."""
    keys[current_stream().id] = key
    journal.note(key, "started")
    left = ""
    try:
        yield
    except BaseException as error:
        left = type(error).__name__
        raise
    finally:
        journal.note(key, "cleanup", left)
        await asyncio.sleep(CLEANUP)
        journal.note(key, "done")


@app.api_route("/idle", methods=["GET", "POST"])
@streams.sse
async def idle(key: str) -> AsyncIterator[str]:
    """One chunk, then nothing."""
    async with watched(key):
        journal.note(key, "chunk")
        yield "chunk"
        await asyncio.Event().wait()


@app.get("/sending")
@streams.sse
async def sending(key: str) -> AsyncIterator[str]:
    """A chunk every 20 ms."""
    async with watched(key):
        while True:
            journal.note(key, "chunk")
            yield "chunk"
            await asyncio.sleep(0.02)


async def _blocks(key: str) -> AsyncIterator[bytes]:
    async with watched(key):
        while True:
            journal.note(key, "chunk")
            yield BLOCK
            await asyncio.sleep(PAUSE)


@app.get("/blocks")
@streams.bytes(media_type="application/octet-stream")
async def blocks(key: str) -> AsyncIterator[bytes]:
    """More than a slow client takes."""
    async for block in _blocks(key):
        yield block


@app.get("/patient")
@streams.bytes(media_type="application/octet-stream", policy=Policy(heartbeat=None, send=LIMITS.patient))
async def patient(key: str) -> AsyncIterator[bytes]:
    """The same, with a longer send deadline."""
    async for block in _blocks(key):
        yield block


@app.get("/floored")
@streams.bytes(
    media_type="application/octet-stream",
    policy=Policy(heartbeat=None, send=LIMITS.patient, min_rate=LIMITS.floor),
)
async def floored(key: str) -> AsyncIterator[bytes]:
    """The same, with a rate floor that a slow client stays below."""
    async for block in _blocks(key):
        yield block
