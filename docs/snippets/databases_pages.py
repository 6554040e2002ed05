import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI
from psycopg.rows import dict_row
from psycopg_pool import AsyncConnectionPool

from endwell import Streams

PAGE = """
    SELECT n, n * n AS square FROM generate_series(1, 1000) AS n
    WHERE n > %s ORDER BY n LIMIT 100
"""
pool = AsyncConnectionPool(os.environ["DATABASE_URL"], min_size=4, max_size=4, open=False)
streams = Streams()


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[None]:
    async with pool:
        yield


app = FastAPI(lifespan=streams.compose(lifespan))


async def page(after: int) -> list[dict[str, Any]]:
    async with pool.connection() as connection, connection.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(PAGE, [after])
        return await cursor.fetchall()


@app.get("/squares")
@streams.ndjson
async def squares() -> AsyncIterator[dict[str, Any]]:
    last = 0
    while found := await page(last):
        for row in found:
            yield row  # however long the client takes, nobody waits for a connection
        last = found[-1]["n"]
