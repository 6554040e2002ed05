import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

from endwell import NDJSONStream, Streams

DATABASE = os.environ["DATABASE_URL"].replace("postgresql://", "postgresql+psycopg://")
engine = create_async_engine(DATABASE, pool_size=4, max_overflow=0)
streams = Streams()


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[None]:
    yield
    await engine.dispose()


app = FastAPI(lifespan=streams.compose(lifespan))  # the engine's pool closes after the last stream has ended


async def rows(query: str) -> AsyncIterator[dict[str, Any]]:
    """Holds a connection while its rows flow, and not a moment longer."""
    async with engine.connect() as connection, connection.stream(text(query)) as result:
        async for row in result.mappings():
            yield dict(row)


@app.get("/squares")
async def squares() -> NDJSONStream:
    return NDJSONStream(rows("SELECT n, n * n AS square FROM generate_series(1, 1000) AS n"))
