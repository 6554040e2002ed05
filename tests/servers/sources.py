"""The sources of the application under test: each one ends, fails, waits or spins in its own way.

Every async source holds an `async with ledger.watch(…)`, whose exit awaits: a cleanup that is easily lost.
"""

from __future__ import annotations

import asyncio
import sqlite3
import threading
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

from starlette.exceptions import HTTPException

from tests.servers.ledger import Ledger

SECRET = "s3cret-connection-string"
"""Stands in the text of every exception raised here, and may never reach a client."""
CHUNKS = 3
"""Chunks of a source that ends or fails by itself."""
EXPORTED = 5_000
"""Rows of the export: many flushes, quick to make, and below the surrogates."""
BIG = b"x" * 65536

ledger = Ledger()


class Broken(Exception):
    """What a failing source raises; the application has a handler for it (409)."""


async def idle(tag: str, key: str = "0") -> AsyncIterator[Any]:
    """One chunk, then nothing for ever."""
    async with ledger.watch(tag, key) as record:
        record.chunks += 1
        yield "chunk 0"
        await asyncio.Event().wait()


async def sending(tag: str, key: str = "0") -> AsyncIterator[Any]:
    """A chunk every 20 ms, for ever."""
    async with ledger.watch(tag, key) as record:
        while True:
            record.chunks += 1
            yield f"chunk {record.chunks}"
            await asyncio.sleep(0.02)


async def big(tag: str, key: str = "0") -> AsyncIterator[bytes]:
    """64 KiB as fast as they are taken, for ever: blocks in `send` when the client does not read."""
    async with ledger.watch(tag, key) as record:
        while True:
            record.chunks += 1
            yield BIG


async def silent(tag: str, key: str = "0") -> AsyncIterator[Any]:
    """Nothing, for ever: the status line is still held back when the client leaves."""
    async with ledger.watch(tag, key):
        await asyncio.Event().wait()
        yield "never"


async def spin(tag: str, key: str = "0") -> AsyncIterator[Any]:
    """Yields for ever and never awaits."""
    async with ledger.watch(tag, key) as record:
        while True:
            record.chunks += 1
            yield "tick"


def spin_sync(tag: str, key: str = "0") -> Iterator[Any]:
    """The same as a sync generator, in a thread."""
    record = ledger.open(tag, key)
    ledger.claim(record)
    record.thread = threading.current_thread() is not threading.main_thread()
    try:
        while True:
            record.chunks += 1
            yield {"tick": record.chunks}
    except GeneratorExit:
        record.left = "GeneratorExit"
        raise
    finally:
        record.cleanup = record.done = time.monotonic_ns()


async def numbers(tag: str, key: str = "0") -> AsyncIterator[Any]:
    """A few chunks and a regular end."""
    async with ledger.watch(tag, key) as record:
        for number in range(CHUNKS):
            record.chunks += 1
            yield f"chunk {number}"


async def failing(tag: str, key: str = "0") -> AsyncIterator[Any]:
    """A few chunks, sent one by one, then an error with a secret in it."""
    async with ledger.watch(tag, key) as record:
        for number in range(CHUNKS):
            record.chunks += 1
            yield f"chunk {number}"
            await asyncio.sleep(0.01)
        raise Broken(SECRET)


async def early(what: str, tag: str, key: str = "0") -> AsyncIterator[Any]:
    """Raises before the first chunk: "teapot" is an HTTPException, "broken" has a handler, "bug" has none."""
    async with ledger.watch(tag, key):
        await asyncio.sleep(0.01)
        if what == "teapot":
            raise HTTPException(418, "short and stout", headers={"x-tea": "pot"})
        raise Broken(SECRET) if what == "broken" else ValueError(SECRET)
        yield


async def slow_to_leave(tag: str, key: str = "0") -> AsyncIterator[Any]:
    """One chunk, then nothing; its cleanup takes 0.3 s."""
    async with ledger.watch(tag, key, cleanup=0.3) as record:
        record.chunks += 1
        yield "chunk 0"
        await asyncio.Event().wait()


def unicode_rows(tag: str, key: str = "0", rounds: int = 1) -> Iterator[dict[str, Any]]:
    """Rows from a SQLite cursor, which must be used and closed in the thread that made it."""
    record = ledger.open(tag, key)
    ledger.claim(record)
    database = sqlite3.connect(":memory:")
    try:
        for _ in range(rounds):
            for point, letter in _alphabet(database):
                record.chunks += 1
                yield {"point": point, "letter": letter}
    except GeneratorExit:
        record.left = "GeneratorExit"
        raise
    finally:
        record.cleanup = time.monotonic_ns()
        database.close()
        record.done = time.monotonic_ns()


def _alphabet(database: sqlite3.Connection) -> sqlite3.Cursor:
    database.execute("CREATE TABLE IF NOT EXISTS letters (point INTEGER PRIMARY KEY, letter TEXT)")
    rows = ((point, chr(point)) for point in range(1, EXPORTED + 1))
    database.executemany("INSERT OR REPLACE INTO letters VALUES (?, ?)", rows)
    return database.execute("SELECT point, letter FROM letters ORDER BY point")
