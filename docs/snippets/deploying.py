import asyncio
from collections.abc import AsyncIterator

from fastapi import FastAPI

from endwell import Deployment, Policy, Streams, current_stream

policy = Policy(drain=20, cleanup=15)
deployment = Deployment(grace_period=30, pre_stop=5)  # as kubernetes.yaml says
streams = Streams(policy=policy, deployment=deployment)
app = FastAPI(lifespan=streams.lifespan)
app.add_route("/ready", streams.readiness)


@app.get("/news")
@streams.sse
async def news() -> AsyncIterator[str]:
    """Ends by itself, at a place of its own choosing, when the process goes away."""
    draining = current_stream().draining
    number = 0
    while not draining:
        number += 1
        yield f"first half of {number}"
        await asyncio.sleep(1)
        yield f"second half of {number}"


def test_the_numbers_fit() -> None:
    assert deployment.problems(policy) == []
