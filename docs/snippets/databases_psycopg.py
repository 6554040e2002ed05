import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI
from psycopg.rows import dict_row
from psycopg_pool import AsyncConnectionPool

from endwell import NDJSONStream, Streams

pool = AsyncConnectionPool(os.environ["DATABASE_URL"], min_size=4, max_size=4, open=False)
streams = Streams()


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[None]:
    async with pool:
        yield


app = FastAPI(lifespan=streams.compose(lifespan))  # the pool closes after the last stream has ended


async def rows(query: str) -> AsyncIterator[dict[str, Any]]:
    """Holds a connection while its rows flow, and not a moment longer."""
    async with (
        pool.connection() as connection,
        connection.cursor("rows", row_factory=dict_row) as cursor,  # a name: rows stay in the server
    ):
        await cursor.execute(query)
        async for row in cursor:
            yield row


@app.get("/squares")
async def squares() -> NDJSONStream:
    return NDJSONStream(rows("SELECT n, n * n AS square FROM generate_series(1, 1000) AS n"))
