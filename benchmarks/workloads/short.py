"""Work 5: short streams, one after another on kept connections, where beginning and ending are the cost."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.client import Crowd, check
from benchmarks.scene import Scene
from benchmarks.workloads.always_ready import ready
from benchmarks.workloads.base import Metric, Target, Workload

if TYPE_CHECKING:
    from collections.abc import Mapping

    from benchmarks.harness.process import Served

STREAMS = 4_000
CONNECTIONS = 8
PATH = "/stream?10"


def cost(server: Served, streams: int) -> float:
    """Served time per stream of 10 events, in µs; each connection asks again when its stream has ended."""
    with server.account() as spent, Crowd(server.port) as crowd:
        for _ in range(CONNECTIONS):
            crowd.open(PATH)
        left = streams - CONNECTIONS
        while crowd.streams:
            for stream in crowd.ready(1):
                stream.take()
                if not stream.ended:
                    continue
                if left > 0:
                    left -= 1
                    stream.ask(PATH)
                else:
                    crowd.close(stream)
    return spent.server / streams * 1e6


def measure(server: Served, scale: float) -> Mapping[str, float]:
    """Streams of 10 ready events."""
    streams = int(STREAMS * scale)
    check(server.port, "/stream")
    cost(server, streams // 10)  # warm
    return {"stream": cost(server, streams)}


WORKLOAD = Workload(
    number=5,
    title="streams of 10 events",
    scene=Scene(streams={"/stream": ready}),
    mounts=("bare", "routed"),
    metrics={"stream": Metric("µs/stream", (Target(0.8), Target(0.5, "sse-starlette", "routed")))},
    measure=measure,
    variants=("endwell-decorated",),
    everywhere=True,
)
