"""The application under test: long queries through the pools of the documentation's own programs.

`/{source}/{query}?key=…` streams a query; `/pools` and `/check` say how the pools are, and `/record/{key}`
what became of a source.
"""

from __future__ import annotations

import asyncio
import os
import runpy
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from pathlib import Path
from typing import Annotated, Any, TypeAlias

import httpx
import httpx2
from fastapi import Depends, FastAPI
from psycopg import AsyncConnection
from sqlalchemy import text
from starlette.responses import Response

from endwell import Ending, NDJSONStream, Policy, Streams, current_stream

Rows: TypeAlias = AsyncGenerator[Any, None]
SNIPPETS = Path(__file__).parents[2] / "docs" / "snippets"


def snippet(driver: str) -> Any:
    """One of the documentation's programs, with its connections under a name of their own."""
    os.environ["DATABASE_URL"] = os.environ[f"{driver.upper()}_URL"]
    return runpy.run_path(str(SNIPPETS / f"databases_{driver}.py"))


PROGRAMS = {driver: snippet(driver) for driver in ("psycopg", "pages", "sqlalchemy", "asyncpg")}
PSYCOPG, PAGES, SQLALCHEMY, ASYNCPG = PROGRAMS.values()
UPSTREAM = os.environ.get("UPSTREAM_URL", "")
QUERIES = {
    "silent": "SELECT 1 AS n, pg_sleep(600)::text",
    "flowing": "SELECT n, pg_sleep(0.001)::text AS slept FROM generate_series(1, 100000) AS n",
    "big": "SELECT n, repeat('x', 20000) AS text FROM generate_series(1, 100000) AS n",
    "short": "SELECT n FROM generate_series(1, 1000) AS n",
}
"""What is asked: nothing comes for long; rows come slowly; more than a client takes; a few rows."""

records: dict[str, dict[str, Any]] = {}
streams = Streams(policy=Policy(heartbeat=None, send=60, cleanup=float(os.environ.get("CLEANUP", "15"))))


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[dict[str, Any]]:
    """The lifespans of the documentation's programs, and a client whose connections are watched."""
    async with AsyncExitStack() as stack:
        for each in PROGRAMS.values():
            lifespan = each["app"].router.lifespan_context(each["app"])
            app.state.given = dict(await stack.enter_async_context(lifespan))
        for client in CLIENTS.values():
            await stack.enter_async_context(client)
        yield app.state.given


app = FastAPI(lifespan=streams.compose(lifespan))
for name, program in PROGRAMS.items():
    app.mount(f"/programs/{name}", program["app"])
CLIENTS: dict[str, Any] = {
    "httpx": httpx.AsyncClient(timeout=None),
    "httpx2": httpx2.AsyncClient(timeout=None),
}
"""Clients that all streams share."""


def asyncpg_pool() -> Any:
    """The pool that the documentation's program gives to its requests, as the last of the programs."""
    return app.state.given["pool"]


# -- sources -------------------------------------------------------------------------------------------------


async def plain(query: str) -> Rows:
    """psycopg without a server-side cursor: the whole result comes before the first row is seen."""
    async with PSYCOPG["pool"].connection() as connection, connection.cursor() as cursor:
        await cursor.execute(query)
        async for row in cursor:
            yield row


async def row_by_row(query: str) -> Rows:
    """psycopg's `stream()`: a generator within the source, so the source closes it."""
    async with (
        PSYCOPG["pool"].connection() as connection,
        connection.cursor() as cursor,
        aclosing(cursor.stream(query)) as found,
    ):
        async for row in found:
            yield row


def cursor(query: str) -> Rows:
    """asyncpg with a cursor in a transaction, as documented."""
    found: Rows = ASYNCPG["rows"](asyncpg_pool(), query)
    return found


async def fetched(query: str) -> Rows:
    """asyncpg without a cursor."""
    async with asyncpg_pool().acquire(timeout=10) as connection:
        for row in await connection.fetch(query):
            yield dict(row)


SOURCES: dict[str, Callable[[str], Rows]] = {
    "psycopg": PSYCOPG["rows"],
    "psycopg-plain": plain,
    "psycopg-stream": row_by_row,
    "sqlalchemy": SQLALCHEMY["rows"],
    "asyncpg": cursor,
    "asyncpg-fetch": fetched,
}


async def watched(key: str, source: Rows) -> Rows:
    """Hand on what `source` gives, and write down when it was over: after its own cleanup."""
    record = records[key] = {"rows": 0, "done": None, "outcome": None}
    current_stream().on_end(lambda ending: _ended(key, ending))
    try:
        async with aclosing(source) as rows:
            async for row in rows:
                record["rows"] += 1
                yield row
    finally:
        record["done"] = time.monotonic_ns()


async def _ended(key: str, ending: Ending) -> None:
    records[key] |= {
        "outcome": ending.outcome,
        "overdue": ending.overdue,
        "cleanup": ending.cleanup,
        "errors": [repr(error) for error in ending.cleanup_errors],
    }


@app.get("/rows/{source}/{query}")
async def rows(source: str, query: str, key: str) -> Response:
    """A query through one of the sources."""
    return NDJSONStream(watched(key, SOURCES[source](QUERIES[query])))


# -- a session that is held by a dependency ------------------------------------------------------------------


async def session() -> AsyncIterator[AsyncConnection[Any]]:
    """A dependency as applications have it."""
    async with PSYCOPG["pool"].connection() as connection:
        yield connection


Session = Annotated[AsyncConnection[Any], Depends(session)]


@app.get("/held/{query}")
@streams.ndjson
async def held(query: str, key: str, connection: Session) -> AsyncIterator[Any]:
    """The dependency's connection, for as long as the stream lasts."""
    async with aclosing(watched(key, _found(connection, query))) as found:
        async for row in found:
            yield row


async def _found(connection: AsyncConnection[Any], query: str) -> Rows:
    async with connection.cursor("held") as cursor:
        await cursor.execute(QUERIES[query])
        async for row in cursor:
            yield row


@app.get("/answer/held")
@streams.ndjson
async def answer_held(connection: Session) -> AsyncIterator[Any]:
    """A short query, then a long answer that needs no database."""
    async with connection.cursor() as cursor:
        await cursor.execute(QUERIES["short"])
        yield await cursor.fetchone()
    await asyncio.Event().wait()


@app.get("/answer/inside")
@streams.ndjson
async def answer_inside() -> AsyncIterator[Any]:
    """The same, with the connection taken where it is needed."""
    async with PSYCOPG["pool"].connection() as connection, connection.cursor() as cursor:
        await cursor.execute(QUERIES["short"])
        row = await cursor.fetchone()
    yield row
    await asyncio.Event().wait()


@app.get("/pages")
@streams.ndjson
async def pages(key: str) -> AsyncIterator[Any]:
    """The documentation's pages, again and again, with something to carry: the client cannot take it all."""
    async with aclosing(watched(key, _pages())) as found:
        async for row in found:
            yield row


async def _pages() -> Rows:
    while True:
        for row in await PAGES["page"](0):
            yield {**row, "text": "x" * 20_000}


# -- HTTP ----------------------------------------------------------------------------------------------------


@app.get("/relay/{client}/{kind}")
@streams.bytes(policy=Policy(heartbeat=None, hold=0))  # so that a client knows when the source has begun
async def relay(client: str, kind: str, key: str) -> AsyncIterator[bytes]:
    """What the upstream says, as it comes, through a shared client or one of the stream's own."""
    source = _relayed_alone(kind, key) if client == "own" else _relayed(CLIENTS[client], kind, key)
    async with aclosing(watched(key, source)) as found:
        async for piece in found:
            yield piece


async def _relayed(client: Any, kind: str, key: str) -> Rows:
    async with client.stream("GET", f"{UPSTREAM}/{kind}?key={key}") as response:
        async for piece in response.aiter_bytes():
            yield piece


async def _relayed_alone(kind: str, key: str) -> Rows:
    async with (
        httpx.AsyncClient(timeout=None, verify=False) as client,
        aclosing(_relayed(client, kind, key)) as found,
    ):
        async for piece in found:
            yield piece


# -- questions -----------------------------------------------------------------------------------------------


@app.get("/record/{key}")
async def record(key: str) -> dict[str, Any]:
    """What became of the source that `key` asked for; empty if it never started."""
    return records.get(key, {})


@app.get("/summary")
async def summary(prefix: str, *, only_open: bool = False) -> dict[str, Any]:
    """The records whose key begins with `prefix`, those still open, and the streams that are alive."""
    found = [each for key, each in records.items() if key.startswith(prefix)]
    still_open = [each for each in found if each["outcome"] is None]
    active = [f"{each.route} {each.state}" for each in streams.active()]
    return {"records": [] if only_open else found, "open": still_open, "active": active}


@app.get("/pools")
async def pools() -> dict[str, Any]:
    """How many connections each pool has, how many of them nobody uses, and who waits."""
    asyncpg = asyncpg_pool()
    return {
        "psycopg": PSYCOPG["pool"].get_stats(),
        "pages": PAGES["pool"].get_stats(),
        "asyncpg": {"pool_size": asyncpg.get_size(), "pool_available": asyncpg.get_idle_size()},
        "sqlalchemy": {"pool_size": 4, "pool_available": 4 - SQLALCHEMY["engine"].pool.checkedout()},
        **{name: [repr(each) for each in _connections(client)] for name, client in CLIENTS.items()},
    }


def _connections(client: Any) -> list[object]:
    found: list[object] = client._transport._pool.connections
    return found


@app.get("/check")
async def check() -> dict[str, list[Any]]:
    """Take every connection of both pools at once, and ask something on each."""
    async with AsyncExitStack() as stack:
        psycopg = [await stack.enter_async_context(PSYCOPG["pool"].connection(timeout=5)) for _ in range(4)]
        asyncpg = [await stack.enter_async_context(asyncpg_pool().acquire(timeout=5)) for _ in range(4)]
        sqlalchemy = [await stack.enter_async_context(SQLALCHEMY["engine"].connect()) for _ in range(4)]
        return {
            "sqlalchemy": [await each.scalar(text("SELECT 42")) for each in sqlalchemy],
            "psycopg": [(await (await each.execute("SELECT 42")).fetchone())[0] for each in psycopg],
            "asyncpg": [await each.fetchval("SELECT 42") for each in asyncpg],
        }


@app.get("/process")
async def process() -> dict[str, int]:
    """What the process holds."""
    return {"tasks": len(asyncio.all_tasks())}
