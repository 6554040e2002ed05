"""The application that is shut down: a source for every situation, and a journal of what becomes of them."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import os
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

from fastapi import Depends, FastAPI, Request

from endwell import Ending, Limits, Policy, Streams, current_stream
from tests.shutdown.durations import AWAITED, CLEANUP, DRAIN, LINGER
from tests.shutdown.journal import Writer

logging.getLogger("endwell").setLevel(logging.INFO)
logging.getLogger("endwell").addHandler(logging.StreamHandler())
logging.getLogger("endwell").propagate = False  # daphne has a handler of its own: each line once

BLOCK = b"x" * 65536
LINE = "x" * 16384
PAUSE = 0.01

journal = Writer(os.environ.get("SHUTDOWN_JOURNAL", os.devnull))
keys: dict[str, str] = {}
drain = float(os.environ.get("SHUTDOWN_DRAIN", DRAIN))
streams = Streams(policy=Policy(drain=drain, cleanup=CLEANUP))


@contextlib.asynccontextmanager
async def lifespan(app: Any) -> AsyncIterator[None]:
    """The application's own: its shutdown code takes a moment too."""
    journal.note("", "startup")
    yield
    journal.note("", "closing")
    await asyncio.sleep(AWAITED)
    journal.note("", "closed")


app = FastAPI(lifespan=streams.compose(lifespan))


@streams.on_end
async def ended(ending: Ending) -> None:
    """Note how a stream ended; one whose source never started goes by its route."""
    overdue = ", overdue" if ending.overdue else ""
    journal.note(keys.pop(ending.id, ending.route), "ending", f"{ending.outcome}{overdue}")


def begun(key: str) -> None:
    """Note a source's start."""
    keys[current_stream().id] = key
    journal.note(key, "started")


@contextlib.asynccontextmanager
async def watched(key: str, cleanup: float = AWAITED) -> AsyncIterator[None]:
    """Note a source's start, and its `finally`, which awaits."""
    begun(key)
    try:
        yield
    finally:
        journal.note(key, "cleanup")
        await asyncio.sleep(cleanup)
        journal.note(key, "done")


async def for_ever() -> None:
    """Wait for what never comes."""
    await asyncio.Event().wait()


@app.get("/idle")
@streams.sse
async def idle(key: str) -> AsyncIterator[str]:
    """One chunk, then nothing."""
    async with watched(key):
        yield "hello"
        await for_ever()


@app.get("/sending")
@streams.sse
async def sending(key: str) -> AsyncIterator[str]:
    """A chunk every 20 ms."""
    async with watched(key):
        while True:
            yield "hello"
            await asyncio.sleep(0.02)


@app.get("/blocked")
@streams.bytes
async def blocked(key: str) -> AsyncIterator[bytes]:
    """More than a client takes that does not read."""
    async with watched(key):
        while True:
            journal.note(key, "chunk")
            yield BLOCK
            await asyncio.sleep(PAUSE)


class Room:
    """How much a server takes of a stream whose client never reads: the first stream finds out."""

    def __init__(self) -> None:
        self._turns = itertools.count()
        self._found: asyncio.Future[int] | None = None
        self._measuring: asyncio.Task[None] | None = None

    async def lines(self) -> int:
        """How many to send: the first as many as it can, each later one a little less than was taken."""
        turn = next(self._turns)
        if not turn:
            self._found = asyncio.get_running_loop().create_future()
            self._measuring = current_stream().spawn(self._measure(self._found))
            return 100_000
        assert self._found is not None
        return (await asyncio.shield(self._found)) // len(LINE) - turn

    async def _measure(self, found: asyncio.Future[int]) -> None:
        taken = 0
        while not taken or current_stream().sent.bytes > taken:
            taken = current_stream().sent.bytes
            await asyncio.sleep(0.25)
        found.set_result(taken)


room = Room()


@app.get("/behind")
@streams.sse
async def behind(key: str) -> AsyncIterator[str]:
    """As much as the buffers on the way just take, and then nothing."""
    async with watched(key):
        for _ in range(await room.lines()):
            journal.note(key, "chunk")
            yield LINE
            await asyncio.sleep(0.001)
        await for_ever()


@app.get("/raw")
@streams.bytes
async def raw(key: str) -> AsyncIterator[bytes]:
    """A body that cannot say how it ended."""
    async with watched(key):
        yield b"hello"
        await for_ever()


@app.get("/lingering")
@streams.sse
async def lingering(key: str) -> AsyncIterator[str]:
    """Its cleanup takes a while."""
    async with watched(key, LINGER):
        yield "hello"
        await for_ever()


@app.get("/hanging")
@streams.sse
async def hanging(key: str) -> AsyncIterator[str]:
    """Its cleanup never comes to an end."""
    async with watched(key, 100_000):
        yield "hello"
        await for_ever()


async def swallow() -> None:
    """Not to be cancelled."""
    while True:
        with contextlib.suppress(asyncio.CancelledError):
            await for_ever()


@app.get("/stuck")
@streams.sse
async def stuck(key: str) -> AsyncIterator[str]:
    """It cannot be cancelled."""
    begun(key)
    yield "hello"
    await swallow()


@app.get("/thread")
@streams.sse
def thread(key: str) -> Iterator[str]:
    """It blocks its thread."""
    begun(key)
    yield "hello"
    time.sleep(100_000)


@app.get("/goodbye")
@streams.sse
async def goodbye(key: str) -> AsyncIterator[str]:
    """It wants to be told, and takes its time."""
    async with watched(key):
        yield "hello"
        await current_stream().draining
        await asyncio.sleep(LINGER)
        yield "goodbye"


@app.get("/ignoring")
@streams.sse
async def ignoring(key: str) -> AsyncIterator[str]:
    """It wants to be told, and goes on all the same."""
    async with watched(key):
        yield "hello"
        await current_stream().draining
        await for_ever()


@app.get("/worst")
@streams.sse
async def worst(key: str) -> AsyncIterator[str]:
    """It wants to be told, goes on all the same, and cannot be cancelled then."""
    begun(key)
    yield "hello"
    await current_stream().draining
    await swallow()


@app.get("/held")
@streams.sse(policy=Policy(hold=None, drain=drain, cleanup=CLEANUP))
async def held(key: str) -> AsyncIterator[str]:
    """It has given nothing yet, so not even the status is out."""
    async with watched(key):
        await for_ever()
        yield "hello"


async def slow(key: str) -> None:
    """A dependency that is not ready yet when the signal comes."""
    journal.note(key, "asked")
    await asyncio.sleep(LINGER)


@app.get("/dependent", dependencies=[Depends(slow)])
@streams.sse
async def dependent(key: str) -> AsyncIterator[str]:
    """It is asked for before the signal and would start after it."""
    async with watched(key):
        yield "hello"
        await for_ever()


def asks(request: Request) -> str:
    """What a limit counts by; and a note that somebody is there."""
    key = request.query_params["key"]
    journal.note(key, "asked")
    return key


@app.get("/queued")
@streams.sse(limits=Limits(total=1, per_key=1, key=asks, queue=10, wait=60))
async def queued(key: str) -> AsyncIterator[str]:
    """There is room for one."""
    async with watched(key):
        yield "hello"
        await for_ever()
