"""The cleanup runs to its end, and lets go of everything, whatever the source and its surroundings do."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from endwell import Cause, ClientError, NDJSONStream, Outcome, Policy, SourceEnd, current_stream
from endwell.engine import Registry, SourceHandle, Stream
from endwell.wire import Raw
from tests.engine.scene import QUIET, Diary, Visit, for_ever, now, talker, turns
from tests.engine.test_progress import Line
from tests.peer import Peer


class Bare(ClientError):
    """One that forgets its base's `__init__`."""

    def __init__(self, user: str) -> None:
        self.user = user


class Odd(ClientError):
    """One whose code is no text in the end."""

    def __init__(self) -> None:
        super().__init__("odd", "It is odd.")
        self.code = 5  # type: ignore[assignment]


def cancel_sources() -> None:
    for task in asyncio.all_tasks():
        if task.get_name() == "endwell source":
            task.cancel()


class Lost(ClientError):
    """One whose status cannot be had."""

    def __init__(self) -> None:
        pass

    @property
    def status(self) -> int:  # type: ignore[override]
        raise LookupError


@pytest.mark.parametrize("error", [Bare("bob"), Odd(), Lost()], ids=["bare", "odd", "lost"])
@pytest.mark.parametrize("late", [False, True])
async def test_an_error_that_cannot_be_told_costs_no_release(error: ClientError, late: bool) -> None:
    diary = Diary()

    async def source() -> AsyncIterator[str]:
        if late:
            yield "a"
        raise error

    client = Visit(source(), owns=[lambda: diary("released")])
    ending = await client.ending()
    assert diary == [(0, "released")]
    assert (ending.outcome, ending.overdue) == (Outcome.FAILED, False)


async def test_a_source_cancelled_before_its_first_step_again_and_again_is_released() -> None:
    diary = Diary()
    client = Visit(for_ever_from(diary), owns=[lambda: diary("released")])
    for turn in range(3):
        await asyncio.sleep(0)
        if turn in (0, 2):
            cancel_sources()
    ending = await client.ending()
    assert diary == [(0, "released")]
    assert (ending.cause, ending.source) == (Cause.SERVER_CANCELLED, SourceEnd.NEVER_STARTED)


async def for_ever_from(diary: Diary) -> AsyncIterator[str]:
    diary("started")
    await for_ever()
    yield "a"


async def test_what_a_source_owns_that_never_began_knows_its_stream() -> None:
    ids: list[str] = []
    client = Visit(for_ever_from(Diary()), owns=[lambda: ids.append(current_stream().id)])
    await asyncio.sleep(0)
    cancel_sources()
    ending = await client.ending()
    assert (ids, ending.cleanup_errors) == ([ending.id], ())


async def test_a_cleanup_that_asyncio_run_began_is_not_cancelled_again_by_a_look() -> None:
    diary = Diary()

    async def source() -> AsyncIterator[str]:
        try:
            yield "a"
            await for_ever()
        finally:
            await asyncio.sleep(3)
            diary("cleaned")

    client = Visit(source(), policy=Policy())  # looks at its client every 7.5 s
    await asyncio.sleep(11)
    cancel_sources()
    client.task.cancel()
    ending = await client.ending()
    assert diary == [(14, "cleaned")]
    assert ending.cause is Cause.SERVER_CANCELLED


async def fails() -> None:
    raise ValueError


@pytest.mark.parametrize("policy", [QUIET, Policy()], ids=["without looks", "with looks"])
async def test_a_failed_task_group_does_not_keep_a_source_from_being_cancelled(policy: Policy) -> None:
    diary = Diary()

    async def source() -> AsyncIterator[str]:
        try:  # on Python 3.11 and 3.12 it leaves a cancellation behind
            async with asyncio.TaskGroup() as group:
                group.create_task(fails())
        except* ValueError:
            pass
        try:
            yield "a"
            await for_ever()
        finally:
            await asyncio.sleep(2)
            diary("cleaned")

    client = Visit(source(), policy=policy)
    await asyncio.sleep(20)
    client.task.cancel()
    ending = await client.ending()
    assert diary == [(22, "cleaned")]
    assert not ending.overdue


async def test_an_overdue_source_is_not_asked_to_end_for_ever() -> None:
    async def source() -> AsyncIterator[str]:
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(fails())
        except* ValueError:
            pass
        yield "a"
        while now() < 60:
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.sleep(60 - now())

    client = Visit(source())
    await asyncio.sleep(1)
    client.task.cancel()
    assert (await client.ending()).overdue
    await turns()
    timers: list[asyncio.TimerHandle] = asyncio.get_running_loop()._scheduled  # type: ignore[attr-defined]
    assert [timer for timer in timers if "Work.cancel" in repr(timer) and not timer.cancelled()] == []
    await asyncio.sleep(60)  # it ends in the end


async def test_a_source_that_ran_to_its_end_is_not_overdue_because_of_what_it_owns() -> None:
    async def source() -> AsyncIterator[str]:
        yield "a"

    ending = await Visit(source(), owns=[for_ever]).ending()
    assert (ending.outcome, ending.overdue) == (Outcome.COMPLETED, True)
    assert ending.source is SourceEnd.FINISHED


@pytest.mark.skipif(not hasattr(asyncio, "eager_task_factory"), reason="Python 3.12 has it first")
async def test_an_eager_source_can_stop_itself_in_its_first_step() -> None:
    diary = Diary()

    async def source() -> AsyncIterator[str]:
        current_stream().stop("enough")
        try:
            await for_ever()
            yield "a"
        finally:
            await asyncio.sleep(1)
            diary("cleaned")

    asyncio.get_running_loop().set_task_factory(getattr(asyncio, "eager_task_factory"))  # noqa: B009 - see above
    ending = await Visit(source(), owns=[lambda: diary("released")]).ending()
    assert diary == [(1, "cleaned"), (1, "released")]
    assert (ending.outcome, ending.reason, ending.overdue) == (Outcome.STOPPED, "enough", False)


async def test_what_head_does_not_need_is_released_to_the_end() -> None:
    diary = Diary()

    async def release() -> None:
        await asyncio.sleep(1)
        diary("released")

    client = Visit(for_ever_from(diary), owns=[release], method="HEAD")
    await asyncio.sleep(0.5)
    client.task.cancel()
    assert isinstance(await client.over(), asyncio.CancelledError)
    assert diary == [(1, "released")]


class Direct(Line):
    """As uvicorn's line behind a middleware with an `await` of its own: `begin` waits for the client."""

    ready = True

    def begin(self, data: bytes) -> Any:
        return self.write(data, more=True)


async def test_a_slow_reader_is_kept_where_the_sources_task_sends() -> None:
    async def source() -> AsyncIterator[bytes]:
        yield b"a"
        await asyncio.sleep(1)
        yield b"x" * 30_000
        await asyncio.sleep(1)

    policy = Policy(heartbeat=None, hold=None, send=30)
    stream = Stream(SourceHandle(source()), format=Raw("text/plain"), policy=policy)
    await stream.serve(Direct(lambda at: 10 + int(at * 500)))
    assert stream.ending().outcome is Outcome.COMPLETED
    assert now() > 30


async def test_a_client_that_has_left_is_not_looked_at() -> None:
    async def source() -> AsyncIterator[bytes]:
        yield b"x" * 100
        await asyncio.sleep(100)

    policy = Policy(heartbeat=None, hold=None, send=10, on_leave="finish")
    stream = Stream(SourceHandle(source()), format=Raw("text/plain"), policy=policy)
    line = Line(lambda _: 0)
    asyncio.get_running_loop().call_later(3, stream.client_gone)
    await stream.serve(line)
    assert (line.aborted_at, line.looks) == (3, 1)


async def test_a_stream_that_ended_well_does_not_hold_a_drain_up() -> None:
    registry = Registry(QUIET)
    response = NDJSONStream(["a"], policy=QUIET)
    response.attach(registry, None)
    client = Peer(response)
    client.stall()
    await asyncio.sleep(1)
    registry.drain()
    await asyncio.wait([client.task], timeout=100)
    assert now() <= 1 + QUIET.drain
    assert client.task.done()


async def test_what_an_overdue_cleanup_comes_to_is_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "endwell")

    async def source() -> AsyncIterator[str]:
        try:
            yield "a"
            await for_ever()
        finally:
            try:
                await for_ever()
            finally:
                await asyncio.sleep(3)
                raise LookupError("late")

    client = Visit(source(), policy=replace(QUIET, cleanup=5))
    await client.got(b"a")
    client.leave()
    assert (await client.ending()).overdue
    await asyncio.sleep(4)
    assert "that was overdue is over" in caplog.text
    assert "LookupError: late" in caplog.text


@pytest.mark.parametrize("hangs", [False, True])
async def test_what_a_head_request_does_not_need_is_released_whatever_cancels_it(
    hangs: bool, caplog: pytest.LogCaptureFixture
) -> None:
    diary = Diary()

    async def slow() -> None:
        await asyncio.sleep(1)
        diary("slow")

    owns = [lambda: diary("first"), for_ever if hangs else slow]
    client = Visit(talker(diary), owns=owns, method="HEAD", policy=replace(QUIET, cleanup=5))
    await turns()
    client.task.cancel()
    assert isinstance(await client.over(), asyncio.CancelledError)
    assert diary.words == (["first"] if hangs else ["slow", "first"])
    assert now() == (5 if hangs else 1)
    assert ("overdue" in caplog.text) is hangs
