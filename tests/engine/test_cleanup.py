"""The cleanup: once, to its end, whatever it raises; or reported at its deadline and let go."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable

import pytest

from endwell import ByteStream, Cause, EndwellError, Outcome, Policy, SourceCrashed, current_stream
from tests.engine.scene import FULL, QUIET, Diary, Visit, for_ever, now, talker, turns
from tests.peer import FOREVER

SHORT = Policy(heartbeat=None, hold=None, send=None, cleanup=5)


def stuck_at(caplog: pytest.LogCaptureFixture) -> str:
    """The one report of an overdue cleanup."""
    (report,) = (record for record in caplog.records if "overdue" in record.message)
    assert report.levelno == logging.WARNING
    return report.message


# -- what is stuck -------------------------------------------------------------------------------------------


async def test_a_source_that_swallows_its_cancellation_is_reported_with_its_line_and_let_go(
    caplog: pytest.LogCaptureFixture,
) -> None:
    diary = Diary()
    give_up = asyncio.Event()

    async def stubborn() -> AsyncIterator[str]:
        yield "x"
        while not give_up.is_set():
            try:
                await give_up.wait()
            except asyncio.CancelledError:
                diary("swallowed")

    visit = Visit(stubborn(), policy=SHORT)
    await asyncio.sleep(1)
    visit.leave()
    ending = await visit.ending()
    assert now() == 6
    assert (ending.outcome, ending.overdue, ending.cleanup) == (Outcome.CLIENT_GONE, True, 5)
    await turns()
    assert diary == [(1, "swallowed"), (6, "swallowed")]
    assert "after 5 s" in stuck_at(caplog)
    assert "stubborn (" in stuck_at(caplog)
    assert "test_cleanup.py:" in stuck_at(caplog)
    give_up.set()
    await turns()


async def test_a_connection_is_not_held_up_by_a_stuck_source() -> None:
    """The client has been told, and its response is complete, long before the cleanup is given up."""

    async def source() -> AsyncIterator[str]:
        yield "x"
        await asyncio.sleep(1)
        try:
            current_stream().stop()
            await for_ever()
        except asyncio.CancelledError:
            await asyncio.sleep(1000)

    visit = Visit(source(), policy=SHORT)
    ending = await visit.ending()
    assert visit.complete
    assert visit.sends[-1].at == 1
    assert (now(), ending.overdue) == (6, True)
    await turns()


async def test_the_second_cancellation_comes_at_the_deadline_and_lets_the_rest_be_released() -> None:
    diary = Diary()

    async def source() -> AsyncIterator[str]:
        try:
            yield "x"
            await for_ever()
        finally:
            try:
                await for_ever()
            except asyncio.CancelledError:
                diary("cancelled again")
                raise

    visit = Visit(source(), policy=SHORT, owns=[lambda: diary("first"), lambda: diary("second")])
    await visit.got(b"x")
    visit.leave()
    ending = await visit.ending()
    await turns()
    assert ending.overdue
    assert diary == [(5, "cancelled again"), (5, "second"), (5, "first")]


async def test_a_resource_whose_release_hangs_is_named_and_does_not_keep_the_others(
    caplog: pytest.LogCaptureFixture,
) -> None:
    diary = Diary()

    async def never_closes() -> None:
        await for_ever()

    visit = Visit(talker(diary), policy=SHORT, owns=[lambda: diary("released"), never_closes])
    await visit.got(b"hello")
    visit.leave()
    ending = await visit.ending()
    await turns()
    assert ending.overdue
    assert "never_closes (" in stuck_at(caplog) or "for_ever (" in stuck_at(caplog)
    assert diary == [(0, "cancelled"), (1, "cleaned"), (5, "released")]


async def test_a_stuck_iterator_object_is_reported_with_its_line(caplog: pytest.LogCaptureFixture) -> None:
    class Stubborn:
        released = asyncio.Event()

        def __aiter__(self) -> Stubborn:
            return self

        async def __anext__(self) -> str:
            while not self.released.is_set():
                try:
                    await self.released.wait()
                except asyncio.CancelledError:
                    pass
            raise StopAsyncIteration

    source = Stubborn()
    source.released = asyncio.Event()
    visit = Visit(source, policy=SHORT)
    await turns()
    visit.leave()
    await visit.ending()
    assert "Stubborn.__anext__ (" in stuck_at(caplog)
    source.released.set()
    await turns()


async def test_a_cleanup_that_is_over_is_not_overdue_because_the_client_does_not_take_the_farewell() -> None:
    async def source() -> AsyncIterator[str]:
        try:
            yield "x"
            await asyncio.sleep(1)
            raise LookupError
        finally:
            await asyncio.sleep(2)

    visit = Visit(source(), policy=SHORT, sends={3: FOREVER})
    ending = await visit.ending()
    assert (ending.outcome, ending.overdue) == (Outcome.FAILED, False)
    assert ending.cleanup <= 2
    assert now() <= 3 + SHORT.cleanup


async def test_a_cleanup_has_its_whole_time_after_a_slow_client_took_the_end() -> None:
    async def close() -> None:
        await asyncio.sleep(12)

    async def source() -> AsyncIterator[str]:
        yield "x"

    visit = Visit(source(), policy=Policy(heartbeat=None, cleanup=5), owns=[close], sends={2: 10})
    ending = await visit.ending()
    assert (ending.outcome, ending.duration, ending.overdue) == (Outcome.COMPLETED, 10, False)


# -- what yields ---------------------------------------------------------------------------------------------


async def test_a_source_that_swallows_its_cancellation_and_yields_on_is_closed() -> None:
    diary = Diary()

    async def source() -> AsyncIterator[str]:
        try:
            while True:
                try:
                    await asyncio.sleep(1)
                except asyncio.CancelledError:
                    diary("swallowed")
                yield "tick"
        finally:
            await asyncio.sleep(1)
            diary("cleaned")

    visit = Visit(source())
    await visit.got(b"tick", times=2)
    visit.leave()
    ending = await visit.ending()
    assert diary == [(2, "swallowed"), (3, "cleaned")]
    assert (ending.chunks, ending.overdue, ending.cleanup_errors) == (2, False, ())


@pytest.mark.parametrize("held_up", [False, True])
async def test_a_source_that_yields_in_its_finally_is_brought_to_its_end(held_up: bool) -> None:
    diary = Diary()

    async def source() -> AsyncIterator[bytes]:
        try:
            yield FULL
            if not held_up:
                await for_ever()
            yield FULL
            yield FULL
        finally:
            try:
                yield b"goodbye"
            finally:
                await asyncio.sleep(1)
                diary("cleaned")

    generator = source()
    visit = Visit(generator, ByteStream, sends={2: FOREVER} if held_up else {})
    await turns()
    visit.leave()
    ending = await visit.ending()
    assert ending.outcome is Outcome.CLIENT_GONE
    assert diary == [(1, "cleaned")]
    assert b"goodbye" not in visit.body
    assert visit.unheard == []


async def test_a_source_that_refuses_to_be_closed_neither_freezes_the_loop_nor_holds_up_the_response() -> (
    None
):
    refusing = True

    async def source() -> AsyncIterator[bytes]:
        while refusing:
            try:
                yield FULL
            except GeneratorExit:
                pass

    generator = source()
    visit = Visit(generator, ByteStream, policy=SHORT, sends={2: FOREVER})
    await turns()
    visit.leave()
    ending = await visit.ending()
    assert ending.overdue or ending.cleanup_errors
    assert now() <= SHORT.cleanup
    refusing = False
    assert [chunk async for chunk in generator] == []


# -- what raises ---------------------------------------------------------------------------------------------


async def test_what_a_cleanup_raises_changes_no_outcome_and_is_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def source() -> AsyncIterator[str]:
        try:
            yield "x"
            await for_ever()
        finally:
            raise LookupError("in the cleanup")

    visit = Visit(source())
    await visit.got(b"x")
    visit.leave()
    ending = await visit.ending()
    assert ending.outcome is Outcome.CLIENT_GONE
    assert [repr(error) for error in ending.cleanup_errors] == ["LookupError('in the cleanup')"]
    assert ending.error is None
    assert "in the cleanup" in caplog.text
    assert await visit.over() is None


async def test_what_a_source_raises_when_it_is_closed_at_its_yield_is_logged() -> None:
    async def source() -> AsyncIterator[bytes]:
        try:
            while True:
                yield FULL
        finally:
            raise LookupError

    visit = Visit(source(), ByteStream, sends={2: FOREVER})
    await turns()
    visit.leave()
    ending = await visit.ending()
    assert [type(error) for error in ending.cleanup_errors] == [LookupError]


def generator_that_raises(error: BaseException, *, after: int) -> AsyncIterator[str]:
    async def source() -> AsyncIterator[str]:
        for _ in range(after):
            yield "x"
        await asyncio.sleep(1)
        raise error

    return source()


CRASHES: list[Callable[[], BaseException]] = [
    GeneratorExit,
    SystemExit,
    KeyboardInterrupt,
    asyncio.CancelledError,
    lambda: BaseExceptionGroup("mixed", [KeyboardInterrupt(), ValueError()]),
]
ERRORS: list[Callable[[], BaseException]] = [
    StopAsyncIteration,
    StopIteration,
    TimeoutError,
    lambda: ExceptionGroup("two", [ValueError(), LookupError()]),
    lambda: OSError("the source's own, not the client's"),
]


@pytest.mark.parametrize("after", [0, 1])
@pytest.mark.parametrize("crash", CRASHES)
async def test_what_would_take_the_server_down_is_a_failure_of_the_source(
    crash: Callable[[], BaseException], after: int
) -> None:
    error = crash()
    visit = Visit(generator_that_raises(error, after=after))
    ending = await visit.ending()
    assert (ending.outcome, ending.cause, ending.duration) == (Outcome.FAILED, Cause.SOURCE_RAISED, 1)
    assert isinstance(ending.error, SourceCrashed)
    assert isinstance(ending.error, EndwellError)
    assert ending.error.__cause__ is error
    assert await visit.over() is ending.error


@pytest.mark.parametrize("after", [0, 1])
@pytest.mark.parametrize("raised", ERRORS)
async def test_whatever_else_a_source_raises_is_its_failure(
    raised: Callable[[], BaseException], after: int
) -> None:
    error = raised()
    visit = Visit(generator_that_raises(error, after=after))
    ending = await visit.ending()
    assert (ending.outcome, ending.cause) == (Outcome.FAILED, Cause.SOURCE_RAISED)
    assert error in (ending.error, ending.error.__cause__ if ending.error else None)
    assert visit.complete == bool(after)


async def test_an_iterator_object_whose_step_raises_stopiteration_fails() -> None:
    class Wrong:
        def __aiter__(self) -> Wrong:
            return self

        async def __anext__(self) -> str:
            raise StopIteration

    visit = Visit(Wrong())
    assert (await visit.ending()).outcome is Outcome.FAILED


async def test_an_iterator_object_with_a_step_that_cannot_be_awaited_fails() -> None:
    class Wrong:
        def __aiter__(self) -> Wrong:
            return self

        def __anext__(self) -> str:
            return "no awaitable"

    visit = Visit(Wrong())  # type: ignore[arg-type]
    ending = await visit.ending()
    assert isinstance(ending.error, (AttributeError, TypeError))


async def test_a_source_that_cannot_be_opened_fails_and_what_it_owns_is_released() -> None:
    diary = Diary()

    class Wrong:
        def __aiter__(self) -> AsyncIterator[str]:
            raise LookupError

    visit = Visit(Wrong(), owns=[lambda: diary("released")])
    ending = await visit.ending()
    assert isinstance(ending.error, LookupError)
    assert diary == [(0, "released")]


async def test_the_cleanup_runs_after_a_source_that_failed_too() -> None:
    diary = Diary()

    async def source() -> AsyncIterator[str]:
        try:
            yield "x"
            raise LookupError
        finally:
            await asyncio.sleep(1)
            diary("cleaned")

    visit = Visit(source(), policy=QUIET, owns=[lambda: diary("released")])
    ending = await visit.ending()
    assert diary == [(1, "cleaned"), (1, "released")]
    assert (ending.outcome, ending.duration, ending.cleanup) == (Outcome.FAILED, 1, 0)
