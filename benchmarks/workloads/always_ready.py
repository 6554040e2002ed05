"""Work 1: a source that always has its next event ready, such as a replay or an export."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.client import Crowd, check
from benchmarks.event import Token, token
from benchmarks.scene import Scene
from benchmarks.workloads.base import Metric, Target, Workload

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from benchmarks.harness.process import Served

EVENTS = 60_000
EVENTS_OF_HUNDRED = 100_000  # whatever the share of the load: fewer would make the streams short ones


async def ready(count: int) -> AsyncIterator[Token]:
    """Yield `count` events and never suspend."""
    for index in range(count):
        yield token(index)


def cost(server: Served, events: int, streams: int) -> float:
    """Served time per event in µs, for `events` shared out to `streams` streams opened at once."""
    with server.account() as spent, Crowd(server.port) as crowd:
        for _ in range(streams):
            crowd.open(f"/stream?{events // streams}")
        crowd.finish()
    return spent.server / events * 1e6


def measure(server: Served, scale: float) -> Mapping[str, float]:
    """One stream, then 100 at once."""
    events = int(EVENTS * scale)
    check(server.port, "/stream")
    cost(server, events // 10, 1)  # warm
    return {
        "one": cost(server, events, 1),
        "hundred": cost(server, EVENTS_OF_HUNDRED, 100),
    }


WORKLOAD = Workload(
    number=1,
    title="always-ready source",
    scene=Scene(streams={"/stream": ready}),
    metrics={
        "one": Metric("µs/event, 1 stream", (Target(0.22),)),
        "hundred": Metric("µs/event, 100 streams", (Target(0.22),)),
    },
    measure=measure,
    everywhere=True,
)
