import json
from collections.abc import AsyncIterator

from fastapi import FastAPI

from endwell import ClientError, Streams, Told

streams = Streams(dialect="openai-chat")
app = FastAPI(lifespan=streams.lifespan)


class House:
    """How our own client wants to hear of a failure."""

    name = "house"
    media_type = "text/event-stream"
    done = b""

    def frame(self, told: Told) -> bytes:
        return b"event: sorry\ndata: %b\n\n" % json.dumps({"why": told.code}).encode()

    def body(self, told: Told) -> object:
        return {"sorry": told.message}


@app.get("/words")
@streams.sse(dialect=House())
async def words() -> AsyncIterator[str]:
    yield "one"
    raise ClientError("quota_exceeded", "No words are left.", status=429)
