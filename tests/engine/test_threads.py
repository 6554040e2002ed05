"""Sync sources: stepped and closed in a thread of their own, and nobody waits for one that is stuck."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from typing import Any

import pytest

from endwell import (
    ByteStream,
    Cause,
    Outcome,
    Policy,
    SourceCrashed,
    SourceError,
    current_stream,
)
from tests.engine.scene import FULL, Diary, Visit, now, turns
from tests.peer import FOREVER

WHO: ContextVar[str] = ContextVar("who", default="nobody")
PATIENCE = 5.0
"""Seconds of real time for what happens at once."""


async def test_a_sync_source_runs_in_one_thread_that_is_not_the_loops() -> None:
    threads = []

    def source() -> Iterator[bytes]:
        try:
            for _ in range(3):
                threads.append(threading.current_thread())
                yield b"x"
        finally:
            threads.append(threading.current_thread())

    visit = Visit(source(), ByteStream)
    ending = await visit.ending()
    assert (ending.outcome, visit.body) == (Outcome.COMPLETED, b"xxx")
    assert len(threads) == 4
    assert len(set(threads)) == 1
    assert threads[0] is not threading.current_thread()
    assert threads[0].name.startswith("endwell")


async def test_a_sync_source_has_the_context_of_its_stream() -> None:
    seen = []

    def source() -> Iterator[bytes]:
        seen.append(WHO.get())
        WHO.set("source")
        yield b"x"
        seen.extend([WHO.get(), current_stream().id])

    WHO.set("request")
    ending = await Visit(source(), ByteStream).ending()
    assert seen == ["request", "source", ending.id]
    assert WHO.get() == "request"


@pytest.mark.parametrize("held_up", [False, True])
async def test_a_sync_source_is_closed_in_its_thread_when_the_client_leaves(held_up: bool) -> None:
    closed_in = []

    def source() -> Iterator[bytes]:
        thread = threading.current_thread()
        try:
            while True:
                yield FULL
        finally:
            closed_in.append(threading.current_thread() is thread)

    visit = Visit(source(), ByteStream, sends={2: FOREVER} if held_up else {})
    await visit.got(b"x")
    visit.leave()
    ending = await visit.ending()
    assert ending.outcome is Outcome.CLIENT_GONE
    assert closed_in == [True]
    assert (ending.cleanup_errors, ending.overdue) == ((), False)


async def test_a_step_that_is_under_way_when_the_client_leaves_is_finished_before_the_close() -> None:
    diary = Diary()
    stepping, go_on = threading.Event(), threading.Event()

    def source() -> Iterator[bytes]:
        try:
            yield b"x"
            stepping.set()
            go_on.wait(PATIENCE)
            diary("step done")
            yield b"y"
            diary("never")
        finally:
            diary("closed")

    visit = Visit(source(), ByteStream)
    await visit.got(b"x")
    await asyncio.to_thread(stepping.wait, PATIENCE)
    visit.leave()
    await turns()
    assert not visit.task.done()
    go_on.set()
    await visit.ending()
    assert diary.words == ["step done", "closed"]


async def test_a_source_that_is_stuck_in_its_thread_holds_the_response_up_no_longer_than_the_cleanup_may_take(
    caplog: pytest.LogCaptureFixture,
) -> None:
    go_on = threading.Event()
    diary = Diary()

    def stuck_source() -> Iterator[bytes]:
        yield b"x"
        go_on.wait(PATIENCE)

    policy = Policy(heartbeat=None, cleanup=7)
    visit = Visit(stuck_source(), ByteStream, policy=policy, owns=[lambda: diary("released")])
    await visit.got(b"x")
    visit.leave()
    ending = await visit.ending()
    await turns()
    assert (ending.overdue, ending.cleanup, now()) == (True, 7, 7)
    assert diary.words == ["released"]
    assert "stuck_source (" in caplog.text
    go_on.set()


@pytest.mark.real_time
async def test_it_does_not_in_real_time_either() -> None:
    unit = 0.2
    go_on = threading.Event()

    def source() -> Iterator[bytes]:
        yield b"x"
        go_on.wait(100 * unit)

    visit = Visit(source(), ByteStream, policy=Policy(heartbeat=None, cleanup=unit))
    await visit.got(b"x")
    visit.leave()
    ending = await visit.ending()
    assert ending.overdue
    assert ending.cleanup < 50 * unit
    go_on.set()
    await asyncio.sleep(0)


async def test_a_stop_from_a_sync_source_ends_the_stream() -> None:
    def source() -> Iterator[bytes]:
        for number in range(1000):
            if number == 3:
                current_stream().stop("enough")
            yield b"x"
            time.sleep(0.002)

    ending = await Visit(source(), ByteStream).ending()
    assert (ending.outcome, ending.cause, ending.reason) == (Outcome.STOPPED, Cause.STOP, "enough")


@pytest.mark.real_time
async def test_a_stop_from_any_thread_wakes_an_idle_loop() -> None:
    """A stop button whose endpoint is `def`: it runs in a worker thread."""
    stops: list[Callable[[str], bool]] = []

    async def source() -> Any:
        stops.append(current_stream().stop)
        yield "x"
        await asyncio.sleep(60)

    visit = Visit(source())
    await visit.got(b"x")
    assert await asyncio.to_thread(stops[0], "user")
    async with asyncio.timeout(PATIENCE):
        ending = await visit.ending()
    assert ending.reason == "user"
    assert not await asyncio.to_thread(stops[0], "again")


async def test_a_sync_source_can_own_and_ask_but_not_spawn() -> None:
    diary = Diary()

    async def work() -> None:
        diary("never")

    def source() -> Iterator[str]:
        stream = current_stream()
        stream.owns(lambda: diary("released"))
        assert not stream.gone
        assert stream.sent == (0, 0)
        with pytest.raises(SourceError, match="needs the event loop"):
            _ = stream.spawn(work())
        yield "x"

    assert (await Visit(source()).ending()).outcome is Outcome.COMPLETED
    assert diary.words == ["released"]


# -- failures ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("after", [0, 1])
@pytest.mark.parametrize(
    "error",
    [
        LookupError(),
        StopAsyncIteration(),
        SystemExit(),
        KeyboardInterrupt(),
        GeneratorExit(),
        asyncio.CancelledError(),
        ExceptionGroup("two", [ValueError(), LookupError()]),
        BaseExceptionGroup("mixed", [KeyboardInterrupt(), ValueError()]),
    ],
    ids=repr,
)
async def test_whatever_a_sync_source_raises_is_its_failure(error: BaseException, after: int) -> None:
    def source() -> Iterator[str]:
        for _ in range(after):
            yield "x"
        raise error

    visit = Visit(source())
    ending = await visit.ending()
    assert (ending.outcome, ending.cause) == (Outcome.FAILED, Cause.SOURCE_RAISED)
    assert error in (ending.error, ending.error.__cause__ if ending.error else None)
    assert isinstance(ending.error, Exception)
    assert isinstance(ending.error, SourceCrashed) == (not isinstance(error, Exception))


async def test_a_sync_iterable_that_cannot_be_opened_fails() -> None:
    class Wrong:
        def __iter__(self) -> Iterator[str]:
            raise LookupError

    assert isinstance((await Visit(Wrong()).ending()).error, LookupError)


async def test_what_a_sync_source_raises_when_it_is_closed_is_a_cleanup_error() -> None:
    def source() -> Iterator[bytes]:
        try:
            while True:
                yield FULL
        finally:
            raise LookupError

    visit = Visit(source(), ByteStream)
    await visit.got(b"x")
    visit.leave()
    ending = await visit.ending()
    assert ending.outcome is Outcome.CLIENT_GONE
    assert [type(error) for error in ending.cleanup_errors] == [LookupError]


async def test_what_the_step_under_way_raises_after_the_client_left_is_a_cleanup_error() -> None:
    stepping, go_on = threading.Event(), threading.Event()

    def source() -> Iterator[bytes]:
        yield b"x"
        stepping.set()
        go_on.wait(PATIENCE)
        raise LookupError

    visit = Visit(source(), ByteStream)
    await visit.got(b"x")
    await asyncio.to_thread(stepping.wait, PATIENCE)
    visit.leave()
    await turns()
    go_on.set()
    ending = await visit.ending()
    assert ending.outcome is Outcome.CLIENT_GONE
    assert [type(error) for error in ending.cleanup_errors] == [LookupError]


async def test_a_sync_source_that_yields_in_its_finally_is_brought_to_its_end() -> None:
    diary = Diary()

    def source() -> Iterator[bytes]:
        try:
            while True:
                yield FULL
        finally:
            try:
                yield b"goodbye"
            finally:
                diary("cleaned")

    visit = Visit(source(), ByteStream)
    await visit.got(b"x")
    visit.leave()
    assert (await visit.ending()).outcome is Outcome.CLIENT_GONE
    assert diary.words == ["cleaned"]
    assert b"goodbye" not in visit.body


async def test_a_sync_source_that_refuses_to_be_closed_holds_nobody_up() -> None:
    refusing = True

    def source() -> Iterator[bytes]:
        while refusing:
            try:
                yield FULL
            except GeneratorExit:
                pass

    generator = source()
    visit = Visit(generator, ByteStream, policy=Policy(heartbeat=None, cleanup=5))
    await visit.got(b"x")
    visit.leave()
    ending = await visit.ending()
    assert ending.overdue or ending.cleanup_errors
    refusing = False
    generator.close()  # type: ignore[attr-defined]
