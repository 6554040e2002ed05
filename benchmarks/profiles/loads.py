"""The workloads, run for a time rather than for a number of events."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import TypeAlias

from benchmarks.client import Crowd, get
from benchmarks.harness.process import Served
from benchmarks.workloads import always_ready, at_a_pace, idle, leaving, leaving_at_once, neighbour, short

AT_ONCE = 5_000
"""Events, or streams, between two looks at the clock: half a second at most."""
LEAVERS = 200
"""Who leave one by one, between two such looks."""

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
def _tokens(server: Served) -> Iterator[Run]:
    with Crowd(server.port) as crowd:
        paths = [f"/stream?{number}" for number in range(at_a_pace.STREAMS)]
        readers = {stream: at_a_pace.Reader() for stream in crowd.open_started(paths)}
        get(server.port, "/begin")

        def run(seconds: float) -> int:
            before = sum(len(reader.due) for reader in readers.values())
            at_a_pace.read(crowd, readers, time.monotonic_ns() + round(seconds * 1e9))
            return sum(len(reader.due) for reader in readers.values()) - before

        yield run


@contextmanager
def _neighbours(server: Served) -> Iterator[Run]:
    def act() -> None:
        with Crowd(server.port) as crowd:
            pinger = neighbour.Pinger(crowd)
            pinger.run(crowd, 1)
            neighbour.during_stream(crowd, pinger)

    yield lambda seconds: _repeat(seconds, neighbour.EVENTS, act)


@contextmanager
def _leavers(server: Served) -> Iterator[Run]:
    def act() -> None:
        with Crowd(server.port) as crowd:
            leaving.depart(crowd, range(LEAVERS))

    yield lambda seconds: _repeat(seconds, LEAVERS, act)


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
    3: _tokens,
    4: _idle,
    5: _streams,
    7: _neighbours,
    8: _leavers,
    9: _waves,
}
UNITS = {
    1: "event",
    2: "event",
    3: "token",
    4: "heartbeat",
    5: "stream of 10 events",
    7: "event, with the answers given meanwhile",
    8: "stream opened and left",
    9: "stream opened and left",
}
