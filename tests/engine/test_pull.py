"""The source's task: one task, one context, from the first step to the close."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from contextvars import ContextVar
from typing import Any

import anyio
import pytest

from endwell import ByteStream, Cause, EventStream, Outcome
from endwell.types import Message, Receive, Scope, Send
from tests.engine.scene import FULL, Diary, Visit, for_ever, now
from tests.peer import FOREVER, Peer

WHO: ContextVar[str] = ContextVar("who", default="nobody")


# -- one task, one context -----------------------------------------------------------------------------------


async def test_the_source_is_stepped_closed_and_its_resources_released_in_one_task() -> None:
    tasks: list[asyncio.Task[object] | None] = []

    async def source() -> AsyncIterator[str]:
        try:
            for _ in range(3):
                tasks.append(asyncio.current_task())
                yield "x"
                await asyncio.sleep(1)
        finally:
            tasks.append(asyncio.current_task())

    visit = Visit(source(), owns=[lambda: tasks.append(asyncio.current_task())])
    await visit.ending()
    assert len(tasks) == 5
    assert len(set(tasks)) == 1
    assert tasks[0] is not visit.task


async def test_every_send_is_called_in_the_requests_own_task() -> None:
    senders: list[object] = []

    async def source() -> AsyncIterator[str]:
        yield "x"
        await asyncio.sleep(1)
        yield "y"
        raise LookupError

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        async def watched(message: Message) -> None:
            senders.append(asyncio.current_task())
            await send(message)

        await EventStream(source())(scope, receive, watched)

    peer = Peer(app)
    await peer.over()
    assert set(senders) == {peer.task}


async def test_a_context_variable_is_seen_by_the_next_step_and_the_cleanup_and_not_outside() -> None:
    seen = []

    async def source() -> AsyncIterator[str]:
        try:
            seen.append(WHO.get())
            WHO.set("source")
            yield "x"
            await asyncio.sleep(1)
            seen.append(WHO.get())
            await for_ever()
        finally:
            await asyncio.sleep(1)
            seen.append(WHO.get())

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        WHO.set("request")
        await EventStream(source(), owns=[lambda: seen.append(WHO.get())])(scope, receive, send)
        seen.append(WHO.get())

    peer = Peer(app)
    await asyncio.sleep(2)
    peer.leave()
    await peer.finished()
    assert seen == ["request", "source", "source", "source", "request"]
    assert WHO.get() == "nobody"


# -- what the source holds across a yield --------------------------------------------------------------------


async def test_a_timeout_held_across_yields_ends_the_wait_that_it_was_for() -> None:
    async def source() -> AsyncIterator[str]:
        try:
            async with asyncio.timeout(5):
                yield "before"
                await for_ever()
        except TimeoutError:
            yield f"late at {now():g}"

    visit = Visit(source())
    ending = await visit.ending()
    assert ending.outcome is Outcome.COMPLETED
    assert visit.frames == [b"data: before", b"data: late at 5"]


async def test_a_timeout_that_the_source_does_not_catch_is_its_failure() -> None:
    async def source() -> AsyncIterator[str]:
        async with asyncio.timeout(5):
            yield "before"
            await for_ever()

    visit = Visit(source())
    ending = await visit.ending()
    assert (ending.outcome, ending.cause, ending.duration) == ("failed", "source_raised", 5)
    assert isinstance(ending.error, TimeoutError)


async def test_a_timeout_fires_while_the_source_is_held_up_at_its_yield() -> None:
    diary = Diary()

    async def source() -> AsyncIterator[bytes]:
        try:
            async with asyncio.timeout(5):
                while True:
                    yield FULL
        except TimeoutError:
            diary("timed out")
        yield b"end"

    visit = Visit(source(), ByteStream, sends={2: 60})
    ending = await visit.ending()
    assert diary == [(5, "timed out")]
    assert ending.outcome is Outcome.COMPLETED
    assert visit.body.endswith(b"end")
    assert ending.duration == 60


async def test_a_timeout_fires_while_a_send_is_blocked_and_the_source_waits_for_something_else() -> None:
    async def source() -> AsyncIterator[str]:
        yield "first"
        try:
            async with asyncio.timeout(5):
                yield "second"
                await for_ever()
        except TimeoutError:
            yield f"at {now():g}"

    visit = Visit(source(), sends={2: 60})
    assert (await visit.ending()).outcome is Outcome.COMPLETED
    assert visit.frames[-1] == b"data: at 5"
    assert visit.sends[-1].at == 60


async def test_a_cancel_scope_fires_while_the_source_is_held_up_at_its_yield() -> None:
    diary = Diary()

    async def source() -> AsyncIterator[bytes]:
        with anyio.move_on_after(5) as scope:
            while True:
                yield FULL
        assert scope.cancelled_caught
        diary("moved on")
        await asyncio.sleep(1)
        yield b"end"

    visit = Visit(source(), ByteStream, sends={2: 60})
    ending = await visit.ending()
    assert diary == [(5, "moved on")]
    assert ending.outcome is Outcome.COMPLETED
    assert visit.body.endswith(b"end")


@pytest.mark.parametrize("held_up", [False, True])
async def test_a_task_group_held_across_yields_fails_the_source_with_its_child(held_up: bool) -> None:
    async def child() -> None:
        await asyncio.sleep(5)
        raise LookupError

    async def source() -> AsyncIterator[bytes]:
        async with anyio.create_task_group() as group:
            group.start_soon(child)
            yield FULL
            if not held_up:
                await for_ever()
            yield FULL
            yield FULL

    visit = Visit(source(), ByteStream, sends={2: 60} if held_up else {})
    ending = await visit.ending()
    assert (ending.outcome, ending.duration) == (Outcome.FAILED, 5)
    assert isinstance(ending.error, ExceptionGroup)
    assert isinstance(ending.error.exceptions[0], LookupError)


@asynccontextmanager
async def of_anyio(work: Callable[[], Coroutine[Any, Any, None]]) -> AsyncIterator[None]:
    async with anyio.create_task_group() as group:
        group.start_soon(work)
        yield


@asynccontextmanager
async def of_asyncio(work: Callable[[], Coroutine[Any, Any, None]]) -> AsyncIterator[None]:
    async with asyncio.TaskGroup() as group:
        child = group.create_task(work())
        yield
    assert child.done()


@pytest.mark.parametrize("a_group", [of_anyio, of_asyncio])
@pytest.mark.parametrize("held_up", [False, True])
async def test_a_client_that_leaves_a_source_with_a_task_group_is_no_error(
    a_group: Callable[[Callable[[], Coroutine[Any, Any, None]]], AbstractAsyncContextManager[None]],
    held_up: bool,
) -> None:
    diary = Diary()

    async def child() -> None:
        try:
            await for_ever()
        finally:
            diary("child ended")

    async def source() -> AsyncIterator[bytes]:
        async with a_group(child):
            yield FULL
            if not held_up:
                await for_ever()
            yield FULL
            yield FULL

    visit = Visit(source(), ByteStream, sends={2: FOREVER} if held_up else {})
    await asyncio.sleep(1)
    visit.leave()
    ending = await visit.ending()
    assert ending.outcome is Outcome.CLIENT_GONE
    assert ending.cleanup_errors == ()
    assert diary == [(1, "child ended")]


async def test_a_cancellation_from_elsewhere_ends_an_iterator_object_that_cannot_be_told_of_it() -> None:
    """It has no `athrow`."""

    class Endless:
        def __aiter__(self) -> Endless:
            return self

        async def __anext__(self) -> bytes:
            task = asyncio.current_task()
            assert task is not None
            if not task.cancelling():
                asyncio.get_running_loop().call_later(5, task.cancel)
            return FULL

    visit = Visit(Endless(), ByteStream, sends={2: 60})
    ending = await visit.ending()
    assert (ending.outcome, ending.cause) == (Outcome.STOPPED, Cause.SERVER_CANCELLED)
    assert ending.duration == 5


async def test_a_source_can_end_when_its_own_timeout_fires_at_its_yield() -> None:
    async def source() -> AsyncIterator[bytes]:
        with anyio.move_on_after(5):
            while True:
                yield FULL

    visit = Visit(source(), ByteStream, sends={2: 60})
    assert (await visit.ending()).outcome is Outcome.COMPLETED


async def test_the_sources_timeout_and_the_leaving_of_the_client_at_one_moment_are_one_ending() -> None:
    diary = Diary()

    async def source() -> AsyncIterator[str]:
        try:
            async with asyncio.timeout(5):
                yield "x"
                await for_ever()
        finally:
            diary("leaving")

    visit = Visit(source())
    await visit.got(b"x")
    asyncio.get_running_loop().call_at(5, visit.leave)
    ending = await visit.ending()
    assert ending.duration == 5
    assert diary == [(5, "leaving")]


# -- steps ---------------------------------------------------------------------------------------------------


async def test_chunks_that_come_after_the_end_are_discarded() -> None:
    async def source() -> AsyncIterator[str]:
        yield "x"
        try:
            await for_ever()
        except asyncio.CancelledError:
            yield "too late"

    visit = Visit(source())
    await visit.got(b"x")
    visit.leave()
    ending = await visit.ending()
    assert (ending.outcome, ending.cause, ending.chunks) == (Outcome.CLIENT_GONE, Cause.DISCONNECT, 1)
    assert visit.unheard == []


async def test_an_awaitable_that_is_no_coroutine_can_be_a_step() -> None:
    class Countdown:
        """An iterator whose steps are futures, without a frame of their own."""

        def __init__(self) -> None:
            self.left = 3

        def __aiter__(self) -> Countdown:
            return self

        def __anext__(self) -> asyncio.Future[str]:
            future: asyncio.Future[str] = asyncio.get_running_loop().create_future()
            self.left -= 1
            if self.left < 0:
                future.set_exception(StopAsyncIteration())
            else:
                asyncio.get_running_loop().call_later(1, future.set_result, str(self.left))
            return future

    visit = Visit(Countdown())
    assert (await visit.ending()).duration == 3
    assert visit.frames == [b"data: 2", b"data: 1", b"data: 0"]
