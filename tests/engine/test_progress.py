"""A client that is slow but takes something is kept; one that takes nothing, or too little, is hung up on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import replace
from typing import Any

import pytest

from endwell import Cause, Outcome, Policy
from endwell.engine import Refusal, SourceHandle, Stream
from endwell.wire import Raw
from tests.engine.scene import QUIET, now


class Line:
    """A connection whose client takes bytes as a function of time says; a send waits until all are taken.

    Args:
        taken: How many bytes the client has acknowledged at a time.
        known: Whether that can be known.
    """

    ends_connection = ready = ended = False

    def __init__(self, taken: Callable[[float], int], *, known: bool = True) -> None:
        self._taken = taken
        self._known = known
        self._sent = 0
        self.looks = 0
        self.aborted_at: float | None = None

    def taken(self) -> int | None:
        self.looks += 1
        return self._taken(now()) if self._known else None

    def abort(self) -> None:
        self.aborted_at = now()

    async def open(self) -> None:
        pass

    async def write(self, data: bytes, *, more: bool) -> None:
        self._sent += len(data)
        while self._taken(now()) < self._sent:  # noqa: ASYNC110 - that is what a client is like
            await asyncio.sleep(1)

    async def cut(self) -> None:
        pass

    async def refuse(self, refusal: Refusal) -> None:
        raise AssertionError

    is_prompt = False

    def begin(self, data: bytes) -> Coroutine[Any, Any, None]:
        raise AssertionError


async def one_chunk() -> AsyncIterator[bytes]:
    yield b"x" * 100_000


async def serve(line: Line, policy: Policy) -> Stream:
    stream = Stream(SourceHandle(one_chunk()), format=Raw("text/plain"), policy=policy)
    await stream.serve(line)
    return stream


async def test_a_client_at_4_kbit_a_second_gets_everything() -> None:
    line = Line(lambda time: int(time * 512))
    stream = await serve(line, replace(QUIET, send=30.0))
    assert stream.machine.outcome is Outcome.COMPLETED
    assert now() > 190
    assert line.aborted_at is None


async def test_the_same_client_is_hung_up_on_where_its_progress_cannot_be_known() -> None:
    line = Line(lambda time: int(time * 512), known=False)
    stream = await serve(line, replace(QUIET, send=30.0))
    assert (stream.machine.cause, now(), line.aborted_at) == (Cause.SEND_BLOCKED, 30, 30)


async def test_one_that_takes_nothing_any_more_is_hung_up_on_at_the_exact_second() -> None:
    line = Line(lambda time: 0)
    stream = await serve(line, replace(QUIET, send=30.0))
    assert (stream.machine.cause, now(), line.aborted_at) == (Cause.SEND_BLOCKED, 30, 30)


async def test_one_that_stops_after_a_while_is_hung_up_on_within_the_time_and_a_look() -> None:
    line = Line(lambda time: int(min(time, 40) * 512))
    stream = await serve(line, replace(QUIET, send=30.0))
    assert stream.machine.cause is Cause.SEND_BLOCKED
    assert 70 <= now() <= 85


@pytest.mark.parametrize(("rate", "kept"), [(101, True), (99, False)])
async def test_a_rate_is_kept_or_not(rate: int, kept: bool) -> None:
    line = Line(lambda time: int(time * rate))
    stream = await serve(line, replace(QUIET, min_rate=(1000, 10.0)))
    if kept:
        assert stream.machine.outcome is Outcome.COMPLETED
    else:
        assert stream.machine.cause is Cause.SEND_SLOW
        assert line.aborted_at == now() <= 20


async def test_a_client_that_keeps_up_is_never_looked_at() -> None:
    line = Line(lambda time: 10**9)
    await serve(line, Policy(send=1, min_rate=(1, 1)))
    assert line.looks == 0


async def test_of_a_range_each_streams_total_is_drawn() -> None:
    ended = set()
    for _ in range(20):
        started = now()
        stream = await serve(Line(lambda time: 0), replace(QUIET, total=(10.0, 20.0)))
        assert stream.machine.cause is Cause.TOTAL
        ended.add(now() - started - QUIET.cleanup)
    assert len(ended) > 10
    assert all(10 <= duration <= 20 for duration in ended)
