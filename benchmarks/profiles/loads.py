"""The workloads, run for a time rather than for a number of events."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import TypeAlias

from benchmarks.client import Crowd
from benchmarks.harness.process import Served
from benchmarks.workloads import always_ready, idle, leaving_at_once, short

AT_ONCE = 5_000
"""Events, or streams, between two looks at the clock: half a second at most."""

Run: TypeAlias = Callable[[float], int]
"""Puts the load on for so many seconds; returns how many events, heartbeats or streams that made."""


@contextmanager
def _events(server: Served) -> Iterator[Run]:
    yield lambda seconds: _repeat(seconds, AT_ONCE, lambda: always_ready.cost(server, AT_ONCE, 1))


@contextmanager
def _streams(server: Served) -> Iterator[Run]:
    count = AT_ONCE // 10
    yield lambda seconds: _repeat(seconds, count, lambda: short.cost(server, count))


@contextmanager
def _idle(server: Served) -> Iterator[Run]:
    with Crowd(server.port) as crowd:
        crowd.open_started([f"/stream?{number}" for number in range(idle.STREAMS)])
        idle.heartbeats(crowd, idle.HEARTBEAT)
        yield lambda seconds: idle.heartbeats(crowd, seconds)


@contextmanager
def _waves(server: Served) -> Iterator[Run]:
    numbers = range(leaving_at_once.STREAMS)
    yield lambda seconds: _repeat(seconds, len(numbers), lambda: leaving_at_once.wave(server, numbers))


def _repeat(seconds: float, units: int, act: Callable[[], object]) -> int:
    limit = time.monotonic() + seconds
    done = 0
    while time.monotonic() < limit:
        act()
        done += units
    return done


LOADS: Mapping[int, Callable[[Served], AbstractContextManager[Run]]] = {
    1: _events,
    2: _events,
    4: _idle,
    5: _streams,
    9: _waves,
}
UNITS = {1: "event", 2: "event", 4: "heartbeat", 5: "stream of 10 events", 9: "stream opened and left"}
