import asyncio
from collections.abc import AsyncIterator

from fastapi import FastAPI, HTTPException, Request

from endwell import ClientAddress, Limits, Policy, Streams

BY_ADDRESS = ClientAddress(trusted=["10.0.0.0/8"])  # where the proxies are, and nobody else

streams = Streams(
    limits=Limits(total=500, per_key=5, key=BY_ADDRESS),
    policy=Policy(soft_refusal=True),
)
app = FastAPI(lifespan=streams.lifespan)


def account(request: Request) -> str:
    """Whom the model's time is billed to: whatever your sessions or tokens say."""
    if name := request.headers.get("x-account"):
        return name
    raise HTTPException(401)


@app.get("/countdown")
@streams.sse
async def countdown() -> AsyncIterator[int]:
    for number in range(10, 0, -1):
        yield number
        await asyncio.sleep(0.01)


@app.post("/story")
@streams.ndjson(limits=Limits(total=20, queue=40, wait=10, per_key=2, key=account))
async def story() -> AsyncIterator[str]:
    """What it runs on does twenty at a time; forty more may wait for ten seconds, two of an account."""
    for word in ("once", "upon", "a", "time"):
        yield word
