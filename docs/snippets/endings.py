from collections.abc import AsyncIterator

from fastapi import FastAPI

from endwell import Ending, Streams

streams = Streams()
app = FastAPI(lifespan=streams.lifespan)
bill: dict[str, int] = {}


@streams.on_end
async def charge(ending: Ending) -> None:
    """Called once for each stream, whoever ended it."""
    bill[ending.id] = ending.chunks


@app.get("/words")
@streams.ndjson
async def words() -> AsyncIterator[str]:
    for word in ("well", "begun", "is", "half", "done"):
        yield word
