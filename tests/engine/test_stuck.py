"""Where a task hangs, through everything that can stand between it and the line that is to blame."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Generator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest

from endwell import ByteStream, Policy, current_stream
from endwell.engine._pool import ThreadPool
from endwell.engine._stuck import where
from endwell.engine._threads import ThreadedIterator
from tests.engine.scene import Visit, turns

PATIENCE = 5.0
"""Seconds of real time for what happens at once."""


async def culprit() -> None:
    """Where all of them hang."""
    await asyncio.get_running_loop().create_future()


async def nested() -> AsyncIterator[str]:
    await culprit()
    yield "never"


async def in_an_outer_generator() -> None:
    async def outer() -> AsyncIterator[str]:
        async for word in nested():
            yield word

    async for _ in outer():
        pass


async def in_the_cleanup_of_a_generator() -> None:
    async def cleaning() -> AsyncIterator[str]:
        try:
            yield "x"
        finally:
            await culprit()

    generator = cleaning()
    await anext(generator)
    await generator.aclose()  # type: ignore[attr-defined]


async def in_anext_with_a_default() -> None:
    await anext(nested(), "nothing")


async def in_a_context_manager() -> None:
    @asynccontextmanager
    async def managed() -> AsyncIterator[None]:
        await culprit()
        yield

    async with managed():
        pass


class Awaiting:
    """An object with an `__await__` of its own."""

    def __await__(self) -> Generator[Any, None, None]:
        return culprit().__await__()


class AwaitingByGenerator:
    """An object whose `__await__` is a generator."""

    def __await__(self) -> Generator[Any, None, None]:
        yield from culprit().__await__()


async def in_an_awaitable_object() -> None:
    await Awaiting()


async def in_an_awaitable_object_made_of_a_generator() -> None:
    await AwaitingByGenerator()


async def in_a_task() -> None:
    await asyncio.create_task(culprit())


async def in_one_of_several_tasks() -> None:
    await asyncio.wait([asyncio.create_task(asyncio.sleep(0)), asyncio.create_task(culprit())])


async def in_a_gathering() -> None:
    await asyncio.gather(asyncio.sleep(0), culprit())


async def in_a_task_group() -> None:
    async with asyncio.TaskGroup() as group:
        group.create_task(culprit())


async def under_a_timeout() -> None:
    async with asyncio.timeout(1000):
        await asyncio.wait_for(culprit(), 1000)


async def under_a_shielded_scope() -> None:
    with anyio.CancelScope(shield=True):
        await culprit()


CASES: list[Callable[[], Coroutine[Any, Any, None]]] = [
    culprit,
    in_an_outer_generator,
    in_the_cleanup_of_a_generator,
    in_anext_with_a_default,
    in_a_context_manager,
    in_an_awaitable_object,
    in_an_awaitable_object_made_of_a_generator,
    in_a_task,
    in_one_of_several_tasks,
    in_a_gathering,
    in_a_task_group,
    under_a_timeout,
    under_a_shielded_scope,
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
async def test_the_line_at_which_a_task_hangs_is_found(case: Callable[[], Coroutine[Any, Any, None]]) -> None:
    task = asyncio.create_task(case())
    await turns()
    found = where(task, None)
    await end(task)
    assert found.startswith("culprit (")
    assert "test_stuck.py:" in found
    assert ", in " not in found


async def end(*tasks: asyncio.Task[Any]) -> None:
    """Cancel tasks, and whatever they left running."""
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in {*tasks, *others}:
        task.cancel()
    await asyncio.gather(*tasks, *others, return_exceptions=True)


async def test_two_tasks_that_wait_for_each_other_are_no_endless_chain() -> None:
    tasks: list[asyncio.Task[None]] = []

    async def wait_for(number: int) -> None:
        await asyncio.wait([tasks[number]])

    tasks += [asyncio.create_task(wait_for(1)), asyncio.create_task(wait_for(0))]
    await turns()
    found = where(tasks[0], None)
    await end(*tasks)
    assert "wait_for (" in found


async def test_where_somebody_elses_code_hangs_is_said_after_the_applications_own_line() -> None:
    async def own() -> None:
        await anyio.Event().wait()

    task = asyncio.create_task(own())
    await turns()
    found = where(task, None)
    await end(task)
    own_line, _, theirs = found.partition(", in ")
    assert "own (" in own_line
    assert "test_stuck.py:" in own_line
    assert "Event.wait (" in theirs
    assert "anyio" in theirs


async def test_a_task_that_is_over_hangs_nowhere() -> None:
    task = asyncio.create_task(asyncio.sleep(0))
    await task
    assert where(task, None) == "an unknown place"


# -- in a stream ---------------------------------------------------------------------------------------------

SHORT = Policy(heartbeat=None, hold=None, send=None, cleanup=5)


async def stuck_at(caplog: pytest.LogCaptureFixture, visit: Visit) -> str:
    """The client leaves; where its stream's cleanup hangs at its deadline."""
    await visit.got(b"x")
    visit.leave()
    await visit.ending()
    await turns()
    (report,) = (record.message for record in caplog.records if "overdue" in record.message)
    return report.partition("stuck at ")[2]


async def test_a_source_that_hangs_in_a_generator_of_its_own_is_found_there(
    caplog: pytest.LogCaptureFixture,
) -> None:
    give_up = asyncio.Event()

    async def inner() -> AsyncIterator[str]:
        yield "x"
        while not give_up.is_set():
            try:
                await give_up.wait()
            except asyncio.CancelledError:
                pass

    async def outer() -> AsyncIterator[str]:
        async for word in inner():
            yield word

    assert ".inner (" in await stuck_at(caplog, Visit(outer(), policy=SHORT))
    give_up.set()
    await turns()


async def talk() -> AsyncIterator[str]:
    yield "x"
    await asyncio.sleep(1000)


async def stubborn(give_up: asyncio.Event) -> None:
    while not give_up.is_set():
        try:
            await give_up.wait()
        except asyncio.CancelledError:
            pass


async def test_a_spawned_task_that_hangs_is_found(caplog: pytest.LogCaptureFixture) -> None:
    give_up = asyncio.Event()

    async def source() -> AsyncIterator[str]:
        _ = current_stream().spawn(stubborn(give_up))
        yield "x"
        await asyncio.sleep(1000)

    assert "stubborn (" in await stuck_at(caplog, Visit(source(), policy=SHORT))
    give_up.set()
    await turns()


async def test_an_owned_task_that_hangs_is_found(caplog: pytest.LogCaptureFixture) -> None:
    give_up = asyncio.Event()
    task = asyncio.create_task(stubborn(give_up))
    assert "stubborn (" in await stuck_at(caplog, Visit(talk(), policy=SHORT, owns=[task]))
    give_up.set()
    await turns()


async def test_an_owned_generator_whose_close_hangs_is_found(caplog: pytest.LogCaptureFixture) -> None:
    async def held() -> AsyncIterator[str]:
        try:
            yield "x"
        finally:
            await culprit()

    generator = held()
    await anext(generator)
    assert "culprit (" in await stuck_at(caplog, Visit(talk(), policy=SHORT, owns=[generator]))


# -- in a thread ---------------------------------------------------------------------------------------------


class Sources:
    """Sync sources that hang until they are told to go on, each elsewhere."""

    def __init__(self) -> None:
        self.hanging, self.go_on = threading.Event(), threading.Event()

    def hang(self) -> None:
        self.hanging.set()
        self.go_on.wait(PATIENCE)

    def in_a_helper(self) -> Iterator[bytes]:
        yield b"x"
        self.hang()

    def in_a_nested_generator(self) -> Iterator[bytes]:
        yield from self.in_a_helper()

    def in_its_cleanup(self) -> Iterator[bytes]:
        try:
            while True:
                yield b"x" * 65_536
        finally:
            self.hang()


@pytest.mark.parametrize("name", ["in_a_helper", "in_a_nested_generator", "in_its_cleanup"])
async def test_the_line_at_which_a_thread_hangs_is_found(caplog: pytest.LogCaptureFixture, name: str) -> None:
    sources = Sources()
    found = await stuck_at(caplog, Visit(getattr(sources, name)(), ByteStream, policy=SHORT))
    sources.go_on.set()
    assert found.startswith("Sources.hang (")
    assert ", in " in found


async def test_a_source_that_waits_for_a_thread_hangs_where_it_is_stepped() -> None:
    pool, sources = ThreadPool(1), Sources()
    first = ThreadedIterator(sources.in_a_helper(), pool)
    await anext(first)
    second = ThreadedIterator(iter([b"x"]), pool)
    task = asyncio.create_task(_step(second))
    await turns()
    assert second.frame() is None
    assert where(task, second).startswith("_step (")
    await end(task)
    await second.aclose()
    sources.go_on.set()
    await first.aclose()


async def _step(source: ThreadedIterator) -> None:
    await anext(source)
