"""Work 9: a thousand clients leave at the same moment, as they do when a proxy in front of them dies."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from benchmarks.client import Crowd
from benchmarks.scene import Scene
from benchmarks.workloads.base import Metric, Target, Workload
from benchmarks.workloads.leaving import SETTLE, WARM, Book, departures

if TYPE_CHECKING:
    from collections.abc import Mapping

    from benchmarks.harness.process import Served

STREAMS = 1_000
WAVES = 4


def wave(server: Served, numbers: range) -> dict[int, int]:
    """Open streams with these numbers, and close them all; return when each was closed, in ns."""
    with Crowd(server.port) as crowd:
        streams = crowd.open_started([f"/stream?{number}" for number in numbers])
        closed: dict[int, int] = {}
        for number, stream in zip(numbers, streams, strict=True):
            closed[number] = time.monotonic_ns()
            crowd.close(stream)
    time.sleep(SETTLE)
    return closed


def measure(server: Served, scale: float) -> Mapping[str, float]:
    """Delays over the streams of all waves; server time from the first opening to the last end."""
    waves = max(1, round(WAVES * scale))
    wave(server, range(-WARM, 0))
    closed: dict[int, int] = {}
    with server.account() as spent:
        for number in range(waves):
            closed |= wave(server, range(STREAMS * number, STREAMS * (number + 1)))
    found = departures(server, closed)
    return {**found, "stream": spent.server / len(closed) * 1e6}


BOOK = Book()

WORKLOAD = Workload(
    number=9,
    title="1,000 clients leave at once",
    scene=Scene(streams={"/stream": BOOK.idle}, pages={"/book": BOOK.page}),
    metrics={
        "p50": Metric("FIN to `finally`, p50 ms"),
        "p99": Metric("FIN to `finally`, p99 ms", (Target(1.2),)),
        "stream": Metric("µs to open and close", (Target(1.3),)),
        "noticed": Metric("sources ended, %", (Target(100, None, at_least=True),), has_ratios=False),
        "finished": Metric(
            "awaited cleanups finished, %", (Target(100, None, at_least=True),), has_ratios=False
        ),
    },
    measure=measure,
)
