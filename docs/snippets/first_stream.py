import asyncio
from collections.abc import AsyncIterator

from fastapi import FastAPI

from endwell import Streams

streams = Streams()
app = FastAPI(lifespan=streams.lifespan)


@app.get("/count")
@streams.sse
async def count() -> AsyncIterator[dict[str, int]]:
    try:
        for number in range(10):
            yield {"number": number}
            await asyncio.sleep(1)
    finally:
        print("counting is over")
