"""Where a send is known not to wait, the timer sends heartbeats itself; what comes of one that does wait."""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import AsyncIterator, Awaitable, Callable, Generator
from dataclasses import replace
from typing import Any

import pytest

from endwell import Cause, Outcome, Policy, SourceEnd
from endwell.engine import SourceHandle, Stream
from endwell.wire import SSE
from tests.engine.scene import QUIET, Diary, for_ever, now, turns
from tests.engine.test_progress import Line

PING = b": ping\n"
EVERY = 8.0
"""Seconds between heartbeats: a whole number of the wheel's grains."""
BEATING = replace(QUIET, heartbeat=EVERY)

Sending = Callable[[bytes], Awaitable[None]]


class Bare:
    """An awaitable that waits for one turn of the loop, and is no coroutine."""

    def __await__(self) -> Generator[None, None, None]:
        yield


class Prompt(Line):
    """A connection whose sends need no task, or so it seems.

    Args:
        beat: What a heartbeat meets.
    """

    ready = is_prompt = True

    def __init__(self, beat: Sending | None = None) -> None:
        super().__init__(lambda _: 1_000_000)
        self._beat = beat
        self.sent: list[tuple[float, bytes, bool]] = []

    async def write(self, data: bytes, *, more: bool) -> None:
        self.sent.append((now(), data, asyncio.current_task() is not None))

    def begin(self, data: bytes) -> Any:
        if data == PING and self._beat is not None:
            return self._beat(data)
        return self.write(data, more=True)

    @property
    def beats(self) -> list[float]:
        return [at for at, data, _ in self.sent if data == PING]


class Scene:
    """A stream on such a connection; its source says one word and waits."""

    def __init__(self, beat: Sending | None = None, *, policy: Policy = BEATING) -> None:
        self.diary = Diary()
        self.connection = Prompt(beat)
        self.stream = Stream(SourceHandle(self._source()), format=SSE(), policy=policy)
        self.task = asyncio.create_task(self.stream.serve(self.connection))

    async def _source(self) -> AsyncIterator[str]:
        try:
            yield "one"
            await for_ever()
        finally:
            await asyncio.sleep(1)
            self.diary("cleaned")

    async def end(self) -> None:
        self.stream.client_gone()
        await self.task


async def test_heartbeats_are_sent_outside_of_any_task_and_each_puts_the_next_off() -> None:
    scene = Scene()
    await asyncio.sleep(4.5 * EVERY)
    assert scene.connection.beats == [EVERY * number for number in range(1, 5)]
    assert not any(is_in_task for _, data, is_in_task in scene.connection.sent if data == PING)
    await scene.end()
    assert (scene.stream.ending().heartbeats, scene.stream.ending().bytes) == (4, 4 * len(PING) + 11)


async def test_the_first_comes_with_the_status_line_from_the_requests_task() -> None:
    stream = Stream(SourceHandle(_silent()), format=SSE(), policy=replace(BEATING, hold=0.25))
    connection = Prompt()
    task = asyncio.create_task(stream.serve(connection))
    await asyncio.sleep(1.5 * EVERY)
    assert connection.sent == [(0.25, PING, True), (0.25 + EVERY, PING, False)]
    stream.client_gone()
    await task


async def _silent() -> AsyncIterator[str]:
    await for_ever()
    yield "never"


async def test_one_that_waits_after_all_is_closed_and_ends_the_stream_at_once() -> None:
    closed: list[str] = []

    async def waits() -> None:
        try:
            await for_ever()
        finally:
            closed.append("closed")

    def kept(data: bytes) -> Awaitable[None]:
        sends.append(waits())
        return sends[-1]

    sends: list[Awaitable[None]] = []  # so that it is not closed by being forgotten
    scene = Scene(kept)
    await scene.task
    ending = scene.stream.ending()
    assert (ending.outcome, ending.cause, ending.error) == (Outcome.CLIENT_GONE, Cause.SEND_FAILED, None)
    assert (ending.duration, ending.heartbeats, ending.chunks) == (EVERY, 0, 1)
    assert closed == ["closed"]
    assert scene.diary == [(EVERY + 1, "cleaned")]
    assert scene.connection.beats == []


async def test_what_it_waited_for_may_be_done_later_and_nobody_is_there() -> None:
    futures: list[asyncio.Future[None]] = []

    async def waits(data: bytes) -> None:
        futures.append(asyncio.get_running_loop().create_future())
        await futures[0]

    scene = Scene(waits)
    await scene.task
    futures[0].set_result(None)
    await turns()
    future = weakref.ref(futures.pop())
    assert future() is None


@pytest.mark.parametrize("kind", ["a turn", "a bare awaitable", "a task"])
async def test_so_is_any_other_that_waits(kind: str) -> None:
    def waits(data: bytes) -> Awaitable[None]:
        if kind == "a turn":
            return asyncio.sleep(0)
        return Bare() if kind == "a bare awaitable" else asyncio.ensure_future(asyncio.sleep(0.1))

    scene = Scene(waits)
    await scene.task
    assert scene.stream.ending().cause is Cause.SEND_FAILED
    await asyncio.sleep(1)


async def test_one_that_needs_a_task_after_all_ends_the_stream() -> None:
    async def timed(data: bytes) -> None:
        async with asyncio.timeout(5):
            await scene.connection.write(data, more=True)

    scene = Scene(timed)
    await scene.task
    assert scene.stream.ending().cause is Cause.SEND_FAILED  # a RuntimeError: it was used outside of a task


async def test_a_stop_from_within_it_is_told_after_it() -> None:
    async def stops(data: bytes) -> None:
        await scene.connection.write(data, more=True)
        scene.stream.stop("enough")

    scene = Scene(stops)
    await scene.task
    ending = scene.stream.ending()
    assert (ending.outcome, ending.reason, ending.heartbeats) == (Outcome.STOPPED, "enough", 1)
    assert [data[:12] for _, data, _ in scene.connection.sent] == [b"data: one\n\n", PING, b"event: error"]
    assert scene.diary == [(EVERY + 1, "cleaned")]


async def test_a_client_that_leaves_from_within_it_gets_nothing_more() -> None:
    async def leaves(data: bytes) -> None:
        scene.stream.client_gone()

    scene = Scene(leaves)
    await scene.task
    ending = scene.stream.ending()
    assert (ending.outcome, ending.source) == (Outcome.CLIENT_GONE, SourceEnd.CANCELLED)
    assert len(scene.connection.sent) == 1
    assert scene.diary == [(EVERY + 1, "cleaned")]


async def test_there_is_none_once_the_end_is_decided() -> None:
    scene = Scene(policy=replace(BEATING, cleanup=5))
    await asyncio.sleep(1.5 * EVERY)
    scene.stream.stop()
    await scene.task
    assert scene.connection.beats == [EVERY]


async def test_where_it_is_not_prompt_the_requests_task_sends_it() -> None:
    scene = Scene()
    scene.connection.is_prompt = False
    await asyncio.sleep(2.5 * EVERY)
    assert [is_in_task for _, data, is_in_task in scene.connection.sent if data == PING] == [True] * 2
    await scene.end()
