"""A send from the source's task that waits after all: what comes meanwhile is not lost."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest

from endwell import Cause, EventStream, Outcome, SourceCrashed, current_stream
from endwell.types import ASGIApp, Message, Receive, Scope, Send
from tests.engine.scene import QUIET, Diary, Visit
from tests.engine.test_direct import Cycle, Flow

stops: list[Callable[[], bool]] = []
Sending = Callable[[Send, Message], Awaitable[None]]


def behind(middleware: Sending, nth: int = 3) -> Callable[..., ASGIApp]:
    """A response under uvicorn, behind a middleware that does what it does with the nth message."""

    def make(source: Any, **options: Any) -> ASGIApp:
        app = EventStream(source, **options)
        count = 0

        async def serve(scope: Scope, receive: Receive, send: Send) -> None:
            def wrapped(message: Message) -> Awaitable[None]:
                nonlocal count
                count += 1
                return middleware(send, message) if count == nth else send(message)

            await app(scope, Cycle(receive, Flow()).receive, wrapped)

        return serve

    return make


async def count(diary: Diary, last: int = 4) -> AsyncIterator[str]:
    stops.append(current_stream().stop)
    try:
        for number in range(1, last + 1):
            yield str(number)
            await asyncio.sleep(1)
    except asyncio.CancelledError:
        diary("cancelled")
        raise
    finally:
        await asyncio.sleep(1)
        diary("cleaned")


class Gate:
    """A middleware that holds a message up for ever, or for some seconds."""

    def __init__(self, seconds: float | None = None) -> None:
        self._seconds = seconds
        self.left: list[str] = []

    async def __call__(self, send: Send, message: Message) -> None:
        try:
            if self._seconds is None:
                await asyncio.get_running_loop().create_future()
            else:
                await asyncio.sleep(self._seconds)
        except asyncio.CancelledError:
            self.left.append("cancelled")
            await asyncio.sleep(0.5)
            self.left.append("cleaned")
            raise
        await send(message)


async def test_a_stop_takes_effect_when_the_send_is_over_and_the_client_is_told() -> None:
    diary = Diary()
    visit = Visit(count(diary), behind(Gate(5)))
    await asyncio.sleep(2)
    stops[-1]()
    ending = await visit.ending()
    assert (ending.outcome, ending.duration, ending.overdue) == (Outcome.STOPPED, 2, False)
    assert diary == [(6, "cancelled"), (7, "cleaned")]
    assert visit.told()["code"] == "stopped"


async def test_a_client_that_leaves_ends_it_at_once() -> None:
    diary, gate = Diary(), Gate()
    visit = Visit(count(diary), behind(gate))
    await asyncio.sleep(2)
    visit.leave()
    ending = await visit.ending()
    assert (ending.outcome, ending.duration, ending.chunks, ending.discarded) == (
        Outcome.CLIENT_GONE,
        2,
        1,
        1,
    )
    assert gate.left == ["cancelled", "cleaned"]
    assert diary == [(2.5, "cancelled"), (3.5, "cleaned")]


async def test_a_client_that_leaves_after_a_stop_ends_it_at_once_too() -> None:
    diary, gate = Diary(), Gate()
    visit = Visit(count(diary), behind(gate))
    await asyncio.sleep(2)
    stops[-1]()
    await asyncio.sleep(1)
    visit.leave()
    ending = await visit.ending()
    assert (ending.outcome, ending.duration, ending.overdue) == (Outcome.STOPPED, 2, False)
    assert diary == [(3.5, "cancelled"), (4.5, "cleaned")]


async def test_one_that_never_ends_is_ended_at_the_cleanups_deadline() -> None:
    diary, gate = Diary(), Gate()
    visit = Visit(count(diary), behind(gate), policy=replace(QUIET, cleanup=4))
    await asyncio.sleep(2)
    stops[-1]()
    ending = await visit.ending()
    assert (ending.outcome, ending.cleanup, ending.overdue) == (Outcome.STOPPED, 4, True)
    await asyncio.sleep(5)
    assert gate.left == ["cancelled", "cleaned"]


async def test_its_time_is_not_the_sources() -> None:
    visit = Visit(count(Diary()), behind(Gate(50)), policy=replace(QUIET, between_chunks=3))
    assert (await visit.ending()).outcome is Outcome.COMPLETED


async def test_a_send_may_be_any_awaitable() -> None:
    def later(send: Send, message: Message) -> Awaitable[None]:
        return asyncio.ensure_future(send(message))

    visit = Visit(count(Diary()), behind(later))
    ending = await visit.ending()
    assert (ending.outcome, ending.chunks) == (Outcome.COMPLETED, 4)


@pytest.mark.parametrize("kind", [asyncio.CancelledError, KeyboardInterrupt, SystemExit, GeneratorExit])
@pytest.mark.parametrize("nth", [3, 4])
async def test_whatever_a_send_raises_ends_the_stream_and_no_more(
    kind: type[BaseException], nth: int
) -> None:
    diary = Diary()

    async def crash(send: Send, message: Message) -> None:
        if nth == 4:
            await asyncio.sleep(0)
        raise kind

    visit = Visit(count(diary), behind(crash))
    ending = await visit.ending()
    assert (ending.outcome, ending.cause) == (Outcome.FAILED, Cause.SEND_CRASHED)
    assert isinstance(ending.error, SourceCrashed)
    assert diary == [(1, "cancelled"), (2, "cleaned")]


async def test_afterwards_the_requests_task_sends() -> None:
    tasks = []

    async def noting(send: Send, message: Message) -> None:
        tasks.append(asyncio.current_task())
        await send(message)

    def app(source: Any, **options: Any) -> ASGIApp:
        inner = behind(Gate(0.1))(source, **options)

        async def serve(scope: Scope, receive: Receive, send: Send) -> None:
            await inner(scope, receive, lambda message: noting(send, message))

        return serve

    visit = Visit(count(Diary(), 6), app)
    await visit.ending()
    assert tasks[2] is not visit.task
    assert set(tasks[3:]) == {visit.task}
