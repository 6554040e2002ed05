from collections.abc import AsyncIterator

from fastapi import FastAPI

from endwell import Event, Policy, Streams, current_stream

streams = Streams(policy=Policy(soft_refusal=True, retry=(1_000, 5_000)))
app = FastAPI(lifespan=streams.lifespan)
STEPS = ("fetching", "reading", "writing")


@app.get("/progress")
@streams.sse(resume_token=True)
async def progress() -> AsyncIterator[Event]:
    """A browser that comes back after the end gets 204, and stops asking."""
    seen = int((current_stream().last_event_id or "-0").rpartition("-")[2])
    for step in STEPS[seen:]:
        yield Event(step, event="step")
