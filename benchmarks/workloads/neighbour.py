"""Work 7: how long another request waits while one stream has everything ready."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from benchmarks.client import Crowd, Stream, check
from benchmarks.harness.process import Served
from benchmarks.scene import Scene
from benchmarks.workloads.always_ready import ready
from benchmarks.workloads.base import Metric, Target, Workload

if TYPE_CHECKING:
    from collections.abc import Mapping

EVENTS = 20_000
PINGS = 500
PONG = b'"pong"'


class Pinger:
    """One request after another on one connection, each timed."""

    def __init__(self, crowd: Crowd) -> None:
        self.waits: list[float] = []
        self._asked = time.perf_counter()
        self.stream: Stream = crowd.open("/ping")

    def take(self) -> None:
        """Read; when the answer is whole, note its time and ask again."""
        if self.stream.take().endswith(PONG):
            self.waits.append(time.perf_counter() - self._asked)
            self._asked = time.perf_counter()
            self.stream.ask("/ping")

    def run(self, crowd: Crowd, count: int) -> None:
        """Ask until `count` more answers are in."""
        goal = len(self.waits) + count
        while len(self.waits) < goal:
            for _ in crowd.ready(1):
                self.take()


def during_stream(crowd: Crowd, pinger: Pinger) -> None:
    """Ask before, while and just after a stream runs."""
    stream = crowd.open(f"/stream?{EVENTS}")
    while not stream.ended:
        for each in crowd.ready(1):
            if each is stream:
                stream.take()
            else:
                pinger.take()
    crowd.close(stream)
    pinger.run(crowd, 3)


def measure(server: Served, scale: float) -> Mapping[str, float]:
    """The worst wait, and the stream's cost without that of the answers given meanwhile."""
    check(server.port, "/stream")
    with Crowd(server.port) as crowd:
        pinger = Pinger(crowd)
        pinger.run(crowd, 50)  # warm
        with server.account() as alone:
            pinger.run(crowd, PINGS)
        pinger.waits.clear()
        with server.account() as beside:
            during_stream(crowd, pinger)
    answers = len(pinger.waits)
    spent = beside.server - alone.server / PINGS * answers
    return {
        "worst": max(pinger.waits) * 1e3,
        "answers": float(answers),
        "event": spent / EVENTS * 1e6,
    }


WORKLOAD = Workload(
    number=7,
    title="another request beside ready events",
    scene=Scene(streams={"/stream": ready}, pages={"/ping": lambda: PONG}),
    metrics={
        "worst": Metric("its worst wait, ms", (Target(10, None),)),
        "answers": Metric("answers given meanwhile", has_ratios=False),
        "event": Metric("µs/event, answers deducted", (Target(0.22),)),
    },
    measure=measure,
)
