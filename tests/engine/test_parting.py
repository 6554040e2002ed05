"""Clients of streams that are over, whose last bytes are still with the server."""

from __future__ import annotations

import asyncio

from endwell.engine import Registry
from endwell.lifecycle import LAST
from tests.engine.scene import QUIET, now


class Connection:
    """What a registry knows of one."""

    def __init__(self, *, closed: bool = False) -> None:
        self.closed = closed
        self.asked = 0
        self.cut_offs: list[float] = []

    def is_closed(self) -> bool:
        self.asked += 1
        return self.closed

    def cut_off_at(self, when: float) -> None:
        self.cut_offs.append(when)


async def test_one_that_parts_before_a_drain_is_cut_off_at_its_end() -> None:
    registry = Registry(QUIET)
    connection = Connection()
    registry.see_off(connection)
    assert connection.cut_offs == []
    await asyncio.sleep(3)
    registry.drain()
    assert connection.cut_offs == [3 + QUIET.drain - LAST]


async def test_one_that_parts_in_a_drain_is_cut_off_at_its_end_or_earlier_if_somebody_insists() -> None:
    registry = Registry(QUIET)
    registry.drain()
    connection = Connection()
    await asyncio.sleep(1)
    registry.see_off(connection)
    registry.hurry()
    assert connection.cut_offs == [QUIET.drain - LAST, 1 + LAST]


async def test_closed_ones_are_forgotten_and_nobody_is_looked_at_often() -> None:
    registry = Registry(QUIET)
    connections = [Connection(closed=number % 100 != 0) for number in range(10_000)]
    for connection in connections:
        registry.see_off(connection)
    assert sum(connection.asked for connection in connections) < 40_000
    registry.drain()
    told = [connection for connection in connections if connection.cut_offs]
    assert {connection for connection in connections if not connection.closed} <= {*told}
    assert len(told) < 500
    assert now() == 0


async def test_whoever_insists_late_does_not_make_it_later() -> None:
    registry = Registry(QUIET)
    registry.drain()
    await asyncio.sleep(QUIET.drain - 0.1)
    connection = Connection()
    registry.see_off(connection)
    registry.hurry()
    assert connection.cut_offs[-1] == QUIET.drain
    await registry.drained()
