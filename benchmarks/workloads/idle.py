"""Work 4: thousands of open streams with nothing to say but their heartbeat."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from benchmarks.client import Crowd
from benchmarks.event import Token, token
from benchmarks.harness.process import BenchmarkError, Served
from benchmarks.scene import Scene
from benchmarks.workloads.base import Metric, Target, Workload

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

STREAMS = 5_000
HEARTBEAT = 2.0  # seconds


class Feed:
    """A feed with one event and then silence. A cancelled read loses nothing, as with a queue."""

    __slots__ = ("_number", "_said")

    def __init__(self, number: int) -> None:
        self._number = number
        self._said = False

    def __aiter__(self) -> AsyncIterator[Token]:
        return self

    async def __anext__(self) -> Token:
        if self._said:
            await asyncio.get_running_loop().create_future()
        self._said = True
        return token(self._number)


def heartbeats(crowd: Crowd, seconds: float) -> int:
    """Read for so long, and count the heartbeats of all streams."""
    beats = 0
    limit = time.monotonic() + seconds
    while (left := limit - time.monotonic()) > 0:
        beats += sum(stream.take().count(b": ping") for stream in crowd.ready(left))
    return beats


def measure(server: Served, scale: float) -> Mapping[str, float]:
    """Memory per open stream, once each has beaten, and server time per heartbeat."""
    streams = int(STREAMS * scale)
    with Crowd(server.port) as crowd:
        crowd.open_started(["/stream?0"] * 50)  # warm, and kept open: freed memory would be counted as gained
        empty = server.memory()
        crowd.open_started([f"/stream?{number}" for number in range(streams)])
        heartbeats(crowd, HEARTBEAT)
        with server.account() as spent:
            beats = heartbeats(crowd, HEARTBEAT)
        full = server.memory()
    if beats < streams / 2:  # one that cannot keep up is late, and one that is silent is wrong
        raise BenchmarkError(f"{beats} heartbeats from {streams} streams")
    return {"memory": (full - empty) / streams, "heartbeat": spent.server / beats * 1e6}


WORKLOAD = Workload(
    number=4,
    title="idle streams",
    scene=Scene(streams={"/stream": Feed}, heartbeat=HEARTBEAT),
    metrics={
        "memory": Metric("KiB each", (Target(16, None),)),
        "heartbeat": Metric("µs/heartbeat", (Target(0.6),)),
    },
    measure=measure,
)
