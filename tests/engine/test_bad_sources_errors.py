"""Whatever a source raises, and wherever: one outcome, everything released, and no word of it on the wire."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest

from endwell import ByteStream, Cause, Ending, EventStream, NDJSONStream, Outcome, Policy, current_stream
from endwell.engine import Registry
from endwell.types import Source
from tests.engine.scene import QUIET, Diary, Visit, for_ever

SECRET = "postgresql://admin:hunter2@db.internal"
RESPONSES = pytest.mark.parametrize("response", [EventStream, NDJSONStream, ByteStream])


class Odd(BaseException):
    """A neighbour of KeyboardInterrupt's that nobody knows."""


class Unprintable(Exception):
    """An exception that cannot be shown."""

    def __str__(self) -> str:
        raise LookupError("cannot be shown")

    __repr__ = __str__


class Meddling(Exception):
    """An exception whose attributes raise."""

    @property
    def status_code(self) -> int:
        raise LookupError("asked for its status")


RAISED: list[Callable[[], BaseException]] = [
    Odd,
    Unprintable,
    RecursionError,
    MemoryError,
    lambda: ExceptionGroup("one", [asyncio.CancelledError.__new__(Exception)]),
    lambda: BaseExceptionGroup("cancelled", [asyncio.CancelledError()]),
    lambda: BaseExceptionGroup("exits", [GeneratorExit(), SystemExit(1)]),
    lambda: asyncio.InvalidStateError("not ours"),
    lambda: BrokenPipeError("of the source's own"),
    lambda: RuntimeError("of the source's own"),
    lambda: Exception(SECRET * 10_000),
    lambda: UnicodeDecodeError("utf-8", b"\xff", 0, 1, "no"),
]


def raising(error: BaseException, *, late: bool) -> AsyncIterator[str]:
    async def source() -> AsyncIterator[str]:
        if late:
            yield "word"
            await asyncio.sleep(1)
        raise error
        yield "never"

    return source()


def sync_raising(error: BaseException, *, late: bool) -> Iterator[str]:
    if late:
        yield "word"
    raise error


@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize("make", [raising, sync_raising])
@pytest.mark.parametrize("number", range(len(RAISED)))
async def test_any_exception_is_one_failure(number: int, make: Callable[..., Source], late: bool) -> None:
    diary = Diary()
    visit = Visit(make(RAISED[number](), late=late), owns=[lambda: diary("released")])
    ending = await visit.ending()
    assert (ending.outcome, ending.cause) == (Outcome.FAILED, Cause.SOURCE_RAISED)
    assert isinstance(ending.error, Exception)
    assert diary.words == ["released"]
    assert visit.complete is late
    if late:
        assert visit.told()["ref"] == ending.reference
        assert len(visit.body) < 1000


@pytest.mark.parametrize("number", range(len(RAISED)))
async def test_any_exception_in_the_cleanup_changes_no_outcome(number: int) -> None:
    error, diary = RAISED[number](), Diary()

    async def source() -> AsyncIterator[str]:
        try:
            yield "word"
            await for_ever()
        finally:
            raise error

    visit = Visit(source(), owns=[lambda: diary("released")])
    await visit.got(b"word")
    visit.leave()
    ending = await visit.ending()
    assert (ending.outcome, ending.overdue, diary.words) == (Outcome.CLIENT_GONE, False, ["released"])
    only_cancelled = isinstance(error, BaseExceptionGroup) and error.split(asyncio.CancelledError)[1] is None
    assert len(ending.cleanup_errors) == 1 or only_cancelled


@pytest.mark.parametrize("late", [False, True])
async def test_an_exception_that_meddles_with_its_reader_is_one_failure(late: bool) -> None:
    visit = Visit(raising(Meddling(), late=late))
    ending = await visit.ending()
    assert (ending.outcome, ending.cause) == (Outcome.FAILED, Cause.SOURCE_RAISED)


# -- sources that are in a state already ---------------------------------------------------------------------


async def test_a_generator_that_is_running_elsewhere_fails_its_stream_and_is_left_to_its_runner() -> None:
    diary = Diary()

    async def source() -> AsyncIterator[str]:
        try:
            await asyncio.sleep(1)
            yield "to the first"
        finally:
            diary("closed")

    generator = source()
    first: asyncio.Future[str] = asyncio.ensure_future(anext(generator))
    await asyncio.sleep(0.5)
    visit = Visit(generator)
    ending = await visit.ending()
    assert (ending.outcome, ending.cause) == (Outcome.FAILED, Cause.SOURCE_RAISED)
    assert isinstance(ending.error, RuntimeError)
    assert await first == "to the first"
    await generator.aclose()  # type: ignore[attr-defined]
    assert diary == [(1, "closed")]


async def test_a_generator_that_is_exhausted_is_an_empty_body() -> None:
    async def source() -> AsyncIterator[str]:
        return
        yield "never"

    generator = source()
    with pytest.raises(StopAsyncIteration):
        await anext(generator)
    visit = Visit(generator)
    assert (await visit.ending()).outcome is Outcome.COMPLETED
    assert visit.body == b""


async def test_a_generator_that_was_begun_by_somebody_else_gives_its_rest() -> None:
    async def source() -> AsyncIterator[str]:
        for word in ("one", "two", "three"):
            yield word

    generator = source()
    assert await anext(generator) == "one"
    visit = Visit(generator)
    ending = await visit.ending()
    assert (ending.outcome, ending.chunks) == (Outcome.COMPLETED, 2)


async def test_a_source_that_cancels_its_own_task_has_failed_or_was_stopped_but_hangs_nobody() -> None:
    diary = Diary()

    async def source() -> AsyncIterator[str]:
        try:
            yield "word"
            task = asyncio.current_task()
            assert task is not None
            task.cancel()
            await for_ever()
        finally:
            await asyncio.sleep(1)
            diary("cleaned")

    visit = Visit(source())
    ending = await visit.ending()
    assert ending.outcome in (Outcome.FAILED, Outcome.STOPPED)
    assert not ending.overdue
    assert diary.words == ["cleaned"]


# -- a secret ------------------------------------------------------------------------------------------------


async def _early() -> AsyncIterator[object]:
    raise LookupError(SECRET)
    yield "never"


async def _late() -> AsyncIterator[object]:
    yield b"word"
    await asyncio.sleep(1)
    raise LookupError(SECRET)


async def _in_cleanup() -> AsyncIterator[object]:
    try:
        yield b"word"
    finally:
        raise LookupError(SECRET)


async def _in_task() -> AsyncIterator[object]:
    async def fail() -> None:
        raise LookupError(SECRET)

    yield b"word"
    _ = current_stream().spawn(fail())
    await for_ever()


async def _as_exit() -> AsyncIterator[object]:
    yield b"word"
    raise SystemExit(SECRET)


async def _as_group() -> AsyncIterator[object]:
    yield b"word"
    raise ExceptionGroup(SECRET, [LookupError(SECRET)])


async def _as_cause() -> AsyncIterator[object]:
    yield b"word"
    raise TimeoutError from LookupError(SECRET)


async def _in_type() -> AsyncIterator[object]:
    yield b"word"
    yield type(SECRET, (), {})()


async def _after_the_hold() -> AsyncIterator[object]:
    await asyncio.sleep(9)
    raise LookupError(SECRET)
    yield "never"


def _in_thread() -> Iterator[object]:
    yield b"word"
    raise LookupError(SECRET)


SOURCES = (
    _early,
    _late,
    _in_cleanup,
    _in_task,
    _as_exit,
    _as_group,
    _as_cause,
    _in_type,
    _after_the_hold,
    _in_thread,
)


def labels(ending: Ending) -> str:
    """What of an ending goes into metrics and onto a dashboard."""
    shown = (
        "id",
        "route",
        "outcome",
        "cause",
        "reason",
        "reference",
        "started",
        "duration",
        "chunks",
        "bytes",
    )
    return " ".join(str(getattr(ending, name)) for name in shown)


@RESPONSES
@pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.__name__.strip("_"))
async def test_a_secret_in_an_exceptions_text_is_nowhere_but_in_the_log(
    source: Callable[[], Any], response: type[Any], caplog: pytest.LogCaptureFixture
) -> None:
    def as_text() -> Any:
        return source() if response is ByteStream else _decoded(source())

    registry = Registry(QUIET)
    policy = Policy(heartbeat=None, hold=5)
    visit = Visit(as_text(), response, policy=policy, state={"endwell": registry})
    seen = []
    while not visit.task.done():
        seen += [repr(snapshot) for snapshot in registry.active()]
        await asyncio.sleep(0.25)
    ending = await visit.ending()
    await registry.settle()
    assert ending.error is not None
    for text in (visit.body.decode(), str(visit.headers), str(visit.status), labels(ending), *seen):
        assert SECRET not in text
        assert "hunter2" not in text
    if source is not _in_type:
        assert "hunter2" in caplog.text


async def _decoded(source: Any) -> AsyncIterator[object]:
    """The same chunks for formats of text."""
    if hasattr(source, "__aiter__"):
        try:
            async for chunk in source:
                yield chunk.decode() if isinstance(chunk, bytes) else chunk
        finally:
            await source.aclose()
    else:
        for chunk in source:
            yield chunk.decode()
