"""Work 2: a source that waits for each event, as one that reads a model's answer does."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from benchmarks.client import check
from benchmarks.event import Token, token
from benchmarks.scene import Scene
from benchmarks.workloads.always_ready import cost
from benchmarks.workloads.base import Metric, Target, Workload

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from benchmarks.harness.process import Served

EVENTS = 60_000


async def suspending(count: int) -> AsyncIterator[Token]:
    """Yield `count` events, each after one turn of the loop."""
    loop = asyncio.get_running_loop()
    for index in range(count):
        arrived = loop.create_future()
        loop.call_soon(_arrive, arrived)
        await arrived
        yield token(index)


def _arrive(event: asyncio.Future[None]) -> None:
    if not event.done():
        event.set_result(None)


def measure(server: Served, scale: float) -> Mapping[str, float]:
    """One stream, alone."""
    events = int(EVENTS * scale)
    check(server.port, "/stream")
    cost(server, events // 10, 1)  # warm
    return {"one": cost(server, events, 1)}


WORKLOAD = Workload(
    number=2,
    title="source that suspends per event",
    scene=Scene(streams={"/stream": suspending}),
    metrics={"one": Metric("µs/event", (Target(0.75), Target(0.30, peer="endwell-linger")))},
    measure=measure,
    variants=("endwell-linger",),
    everywhere=True,
)
