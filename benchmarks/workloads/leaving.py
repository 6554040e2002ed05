"""Work 8: from a client's FIN to its source's `finally`, and whether the cleanup in there gets to its end."""

from __future__ import annotations

import asyncio
import json
import statistics
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from benchmarks.client import Crowd, get
from benchmarks.event import Token, token
from benchmarks.harness.process import BenchmarkError, Served
from benchmarks.scene import Scene
from benchmarks.workloads.base import Metric, Target, Workload

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

STREAMS = 1_000
PACE = 0.002  # seconds between two departures
WARM = 50  # departures before those that count
SETTLE = 0.5  # seconds for the last cleanups


@dataclass(slots=True)
class Book:
    """What the server's sources write down: when each met its `finally`, and which came to its end."""

    left: dict[int, int] = field(default_factory=dict)
    finished: set[int] = field(default_factory=set)

    async def idle(self, number: int) -> AsyncIterator[Token]:
        """Yield one event, then wait to be ended; CLOCK_MONOTONIC is one clock for all processes."""
        try:
            yield token(number)
            await asyncio.get_running_loop().create_future()
        finally:
            self.left[number] = time.monotonic_ns()
            await asyncio.sleep(0.001)
            self.finished.add(number)

    def page(self) -> bytes:
        """Both lists, as JSON."""
        return json.dumps({"left": self.left, "finished": sorted(self.finished)}).encode()


BOOK = Book()


def depart(crowd: Crowd, numbers: range) -> dict[int, int]:
    """Open streams with these numbers, close them one after another; return when each was closed, in ns."""
    closed: dict[int, int] = {}
    streams = crowd.open_started([f"/stream?{number}" for number in numbers])
    for number, stream in zip(numbers, streams, strict=True):
        closed[number] = time.monotonic_ns()
        crowd.close(stream)
        time.sleep(PACE)
    return closed


def measure(server: Served, scale: float) -> Mapping[str, float]:
    """Delays over all streams, and the share of finished cleanups."""
    streams = int(STREAMS * scale)
    with Crowd(server.port) as crowd:
        depart(crowd, range(-WARM, 0))
        closed = depart(crowd, range(streams))
    time.sleep(SETTLE)
    return departures(server, closed)


def departures(server: Served, closed: Mapping[int, int]) -> Mapping[str, float]:
    """What the server's book says of the streams that were closed at these times, in ns."""
    book = json.loads(get(server.port, "/book"))
    left = {int(number): when for number, when in book["left"].items()}
    delays = [(left[number] - when) / 1e6 for number, when in closed.items() if number in left]
    if len(delays) <= 1:
        raise BenchmarkError(f"{len(delays)} of {len(closed)} sources learned that their client left")
    cuts = statistics.quantiles(delays, n=100, method="inclusive")
    return {
        "p50": cuts[49],
        "p99": cuts[98],
        "noticed": len(delays) / len(closed) * 100,
        "finished": len(closed.keys() & book["finished"]) / len(closed) * 100,
    }


WORKLOAD = Workload(
    number=8,
    title="clients leave one by one",
    scene=Scene(streams={"/stream": BOOK.idle}, pages={"/book": BOOK.page}),
    metrics={
        "p50": Metric("FIN to `finally`, p50 ms"),
        "p99": Metric("FIN to `finally`, p99 ms", (Target(1.2),)),
        "noticed": Metric("sources ended, %", (Target(100, None, at_least=True),), has_ratios=False),
        "finished": Metric(
            "awaited cleanups finished, %", (Target(100, None, at_least=True),), has_ratios=False
        ),
    },
    measure=measure,
)
