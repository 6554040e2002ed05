import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
from fastapi import FastAPI, Request

from endwell import NDJSONStream, Streams

DATABASE = os.environ["DATABASE_URL"]
streams = Streams()


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[dict[str, Any]]:
    async with asyncpg.create_pool(DATABASE, min_size=4, max_size=4) as pool:
        yield {"pool": pool}


app = FastAPI(lifespan=streams.compose(lifespan))  # the pool closes after the last stream has ended


async def rows(pool: Any, query: str) -> AsyncIterator[dict[str, Any]]:
    """Holds a connection while its rows flow, and not a moment longer."""
    async with pool.acquire(timeout=10) as connection, connection.transaction():
        async for row in connection.cursor(query):
            yield dict(row)


@app.get("/squares")
async def squares(request: Request) -> NDJSONStream:
    pool = request.state.pool
    return NDJSONStream(rows(pool, "SELECT n, n * n AS square FROM generate_series(1, 1000) AS n"))
