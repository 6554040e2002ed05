"""The source's task: however the loop makes tasks, begun or not, all is released once and undisturbed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import replace
from typing import Any

import pytest

from endwell import Cause, Outcome, SourceEnd, current_stream
from endwell.engine import SourceHandle
from tests.engine.scene import QUIET, Diary, Visit, for_ever, now, talker, turns

variable: ContextVar[str] = ContextVar("variable")


# -- ways of making tasks ------------------------------------------------------------------------------------


def nobodys() -> None:
    """As asyncio does it."""


def old() -> None:
    """A factory from before there were contexts to hand over."""

    def factory(loop: asyncio.AbstractEventLoop, coro: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        return asyncio.Task(coro, loop=loop)

    asyncio.get_running_loop().set_task_factory(factory)  # type: ignore[arg-type]


def tracing() -> None:
    """A factory that puts a coroutine of its own around each, as tracers do."""

    def factory(loop: asyncio.AbstractEventLoop, coro: Any, **options: Any) -> asyncio.Task[Any]:
        return asyncio.Task(_traced(coro), loop=loop, **options)

    asyncio.get_running_loop().set_task_factory(factory)


def patching() -> None:
    """No factory, but a `create_task` of the loop's that is another one: tracers do that too."""
    loop = asyncio.get_running_loop()
    create = loop.create_task
    loop.create_task = lambda coro, **options: create(_traced(coro), **options)  # type: ignore[method-assign]


def eager() -> None:
    """Tasks that take their first step as they are made."""
    if not hasattr(asyncio, "eager_task_factory"):
        pytest.skip("Python 3.12 has it first")
    asyncio.get_running_loop().set_task_factory(getattr(asyncio, "eager_task_factory"))  # noqa: B009


async def _traced(coro: Coroutine[Any, Any, Any]) -> Any:
    return await coro


ways = pytest.mark.parametrize("way", [nobodys, old, tracing, patching, eager])
late = pytest.mark.parametrize("way", [nobodys, old, tracing, patching])
"""Those whose tasks can be cancelled before their first step."""


def cancel_sources() -> None:
    for task in asyncio.all_tasks():
        if task.get_name() == "endwell source":
            task.cancel()


@pytest.mark.timeout(20)
@ways
async def test_a_source_runs_in_the_requests_context_and_is_released(way: Callable[[], None]) -> None:
    seen: list[tuple[str, str]] = []

    async def source() -> AsyncIterator[str]:
        seen.append((variable.get(), current_stream().id))
        yield "one"
        await asyncio.sleep(1)
        seen.append((variable.get(), current_stream().id))

    async def release() -> None:
        await asyncio.sleep(1)
        seen.append((variable.get(), current_stream().id))

    way()
    variable.set("the request's")
    visit = Visit(source(), owns=[release])
    ending = await visit.ending()
    assert (ending.outcome, ending.source) == (Outcome.COMPLETED, SourceEnd.FINISHED)
    assert seen == [("the request's", ending.id)] * 3


@pytest.mark.timeout(20)
@ways
async def test_a_client_that_leaves_has_it_cancelled_once_and_cleaned_up(way: Callable[[], None]) -> None:
    way()
    diary = Diary()
    visit = Visit(talker(diary), owns=[lambda: diary("released")])
    await asyncio.sleep(5)
    visit.leave()
    ending = await visit.ending()
    assert (ending.outcome, ending.overdue) == (Outcome.CLIENT_GONE, False)
    assert diary == [(5, "cancelled"), (6, "cleaned"), (6, "released")]


@pytest.mark.timeout(20)
@late
@pytest.mark.parametrize("times", [1, 2])
async def test_one_that_is_cancelled_before_its_first_step_is_released(
    way: Callable[[], None], times: int
) -> None:
    way()
    diary = Diary()

    async def release() -> None:
        await asyncio.sleep(1)
        diary(f"released {current_stream().id}")

    visit = Visit(talker(diary), owns=[release])
    await asyncio.sleep(0)
    for _ in range(times):
        cancel_sources()
    ending = await visit.ending()
    assert (ending.cause, ending.source) == (Cause.SERVER_CANCELLED, SourceEnd.NEVER_STARTED)
    assert (ending.overdue, ending.cleanup_errors) == (False, ())
    assert diary == [(1, f"released {ending.id}")]


@pytest.mark.timeout(20)
@late
async def test_if_its_release_hangs_it_is_cancelled_at_the_cleanups_deadline(way: Callable[[], None]) -> None:
    way()
    diary = Diary()

    async def release() -> None:
        try:
            await for_ever()
        finally:
            diary("cancelled")

    visit = Visit(talker(diary), owns=[release], policy=replace(QUIET, cleanup=5))
    await asyncio.sleep(0)
    cancel_sources()
    ending = await visit.ending()
    assert ending.overdue
    await turns()
    assert diary == [(5, "cancelled")]


@pytest.mark.timeout(20)
@ways
async def test_one_whose_client_has_left_before_it_began_never_starts(way: Callable[[], None]) -> None:
    way()
    diary = Diary()
    visit = Visit(talker(diary), owns=[lambda: diary("released")])
    visit.leave()
    ending = await visit.ending()
    assert ending.outcome is Outcome.CLIENT_GONE
    assert diary.words[-1] == "released"
    assert diary.words.count("released") == 1


# -- closing -------------------------------------------------------------------------------------------------


class Closings:
    """An async iterator that is no generator, and knows how often it was closed."""

    def __init__(self, last: int) -> None:
        self._numbers = iter(range(last))
        self.closed = 0

    def __aiter__(self) -> AsyncIterator[int]:
        return self

    async def __anext__(self) -> int:
        for number in self._numbers:
            return number
        raise StopAsyncIteration

    async def aclose(self) -> None:
        self.closed += 1


async def numbers(last: int) -> AsyncIterator[int]:
    for number in range(last):
        yield number


async def test_a_generator_at_its_end_needs_no_close_and_every_other_does() -> None:
    generators = [numbers(2) for _ in range(3)]
    never, half, whole = map(SourceHandle, generators)
    await anext(half.open())
    assert [each async for each in whole.open()] == [0, 1]
    never.open()
    assert [handle.is_exhausted for handle in (never, half, whole)] == [False, False, True]
    for handle in (never, half, whole):
        await handle.close()
        assert handle.is_exhausted
    assert [generator.ag_frame for generator in generators] == [None] * 3  # type: ignore[attr-defined]


async def test_one_that_was_never_opened_is_not_taken_for_exhausted() -> None:
    generator = numbers(2)
    handle = SourceHandle(generator)
    assert not handle.is_exhausted
    await handle.close()
    assert generator.ag_frame is None  # type: ignore[attr-defined]


@pytest.mark.parametrize("last", [0, 3])
async def test_an_iterator_that_is_no_generator_is_closed_at_its_end_as_well(last: int) -> None:
    source = Closings(last)
    ending = await Visit(source).ending()
    assert (ending.outcome, ending.chunks, source.closed) == (Outcome.COMPLETED, last, 1)


async def test_what_makes_generators_is_closed_when_its_generator_is_exhausted() -> None:
    class Makes:
        closed = 0

        def __aiter__(self) -> AsyncIterator[int]:
            return numbers(3)

        async def aclose(self) -> None:
            self.closed += 1

    source = Makes()
    ending = await Visit(source).ending()
    assert (ending.outcome, source.closed) == (Outcome.COMPLETED, 1)


@pytest.mark.parametrize("how", ["raised", "left"])
async def test_a_half_consumed_generator_runs_its_cleanup_once(how: str) -> None:
    diary = Diary()

    async def source() -> AsyncIterator[str]:
        try:
            yield "one"
            await asyncio.sleep(1)
            if how == "raised":
                raise LookupError
            await for_ever()
        finally:
            await asyncio.sleep(1)
            diary("cleaned")

    visit = Visit(source())
    await asyncio.sleep(1)
    if how == "left":
        visit.leave()
    await visit.ending()
    assert diary == [(2, "cleaned")]


# -- a cancellation and an end in the same turn --------------------------------------------------------------


@contextmanager
def as_another_task() -> Iterator[None]:
    """What runs in the block is another task's step, as far as asyncio knows: as with nested eager tasks."""
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    assert task is not None
    asyncio.tasks._leave_task(loop, task)
    try:
        yield
    finally:
        asyncio.tasks._enter_task(loop, task)


class Resource:
    """One whose release takes two awaits, and would be torn by a cancellation."""

    def __init__(self, diary: Diary) -> None:
        self._diary = diary

    async def aclose(self) -> None:
        self._diary("closing")
        await asyncio.sleep(1)
        self._diary("closed")


@pytest.mark.parametrize("awaits", [False, True])
async def test_a_cancellation_in_the_step_in_which_the_source_ends_does_not_hit_the_cleanup(
    awaits: bool,
) -> None:
    """It is delivered at the next await, whosever that is: here it would be the first of the release."""
    diary = Diary()

    async def source() -> AsyncIterator[str]:
        stream = current_stream()
        yield "one"
        await asyncio.sleep(1)
        with as_another_task():
            stream.stop()
        if awaits:
            try:
                await for_ever()
            except asyncio.CancelledError:
                diary("cancelled")

    visit = Visit(source(), owns=[Resource(diary)])
    ending = await visit.ending()
    assert (ending.outcome, ending.overdue, ending.cleanup_errors) == (Outcome.STOPPED, False, ())
    assert diary == [*([(1, "cancelled")] if awaits else []), (1, "closing"), (2, "closed")]


@pytest.mark.skipif(not hasattr(asyncio, "eager_task_factory"), reason="Python 3.12 has it first")
async def test_so_it_is_with_a_task_that_stops_the_stream_in_its_eager_first_step() -> None:
    diary = Diary()

    async def source() -> AsyncIterator[str]:
        stream = current_stream()

        async def stop() -> None:
            stream.stop()

        yield "one"
        await asyncio.sleep(1)
        await asyncio.create_task(stop())

    eager()
    visit = Visit(source(), owns=[Resource(diary)])
    ending = await visit.ending()
    assert (ending.outcome, ending.overdue, ending.cleanup_errors) == (Outcome.STOPPED, False, ())
    assert diary == [(1, "closing"), (2, "closed")]


@pytest.mark.parametrize("order", ["end, stop", "stop, end"])
@pytest.mark.parametrize("swallows", [False, True])
async def test_a_stop_in_the_turn_in_which_the_source_would_have_ended_leaves_its_cleanup_alone(
    order: str, swallows: bool
) -> None:
    diary = Diary()
    last: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    stops: list[Callable[[], bool]] = []

    async def source() -> AsyncIterator[str]:
        stops.append(current_stream().stop)
        yield "one"
        try:
            await last
        except asyncio.CancelledError:
            if not swallows:
                raise

    visit = Visit(source(), owns=[Resource(diary)])
    await asyncio.sleep(1)
    for step in order.split(", "):
        if step == "stop":
            stops[0]()
        elif not last.done():
            last.set_result(None)
    ending = await visit.ending()
    assert (ending.outcome, ending.overdue) == (Outcome.STOPPED, False)
    assert diary == [(1, "closing"), (2, "closed")]


async def test_a_stop_that_comes_in_the_cleanup_of_a_source_that_ended_leaves_it_alone() -> None:
    diary = Diary()
    stops: list[Callable[[], bool]] = []

    async def source() -> AsyncIterator[str]:
        stops.append(current_stream().stop)
        yield "one"

    visit = Visit(source(), owns=[Resource(diary)], sends={2: 3})
    await asyncio.sleep(0.5)
    stops[0]()
    ending = await visit.ending()
    assert diary == [(0, "closing"), (1, "closed")]
    assert not ending.overdue
    assert now() == 3
