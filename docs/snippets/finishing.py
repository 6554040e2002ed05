from collections.abc import AsyncIterator

from fastapi import FastAPI

from endwell import Ending, Finish, Policy, SourceEnd, Streams, current_stream

streams = Streams(unattended=20)
app = FastAPI(lifespan=streams.lifespan)
stories: dict[str, list[str]] = {}


@app.post("/story")
@app.get("/story")
@streams.ndjson(policy=Policy(on_leave=Finish(seconds=120)))
async def story() -> AsyncIterator[str]:
    """What is written is kept, so it is worth being finished when the reader has left."""
    kept = stories[current_stream().id] = []
    for word in ("once", "upon", "a", "time"):
        kept.append(word)
        yield word


@streams.on_end
async def keep(ending: Ending) -> None:
    if ending.source is not SourceEnd.FINISHED:
        stories.pop(ending.id, None)
