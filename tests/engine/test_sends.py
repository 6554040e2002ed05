"""Whatever a send does, before it waits and after, and whoever is hit: one at a time, and one ending."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest

from endwell import Cause, Outcome
from endwell.engine import Refusal, SourceHandle, Stream
from endwell.types import Source
from endwell.wire import SSE, Format, Raw
from tests.engine.scene import FULL, QUIET, Diary, for_ever, now, turns

Act = Callable[[Stream], Awaitable[None] | None]
"""What a send does, besides being taken; what it returns is awaited."""

OPEN, FIRST, SECOND, END = range(4)
"""The sends of a scene's own source."""
NAMES = ("open", "first", "second", "end")


class Script:
    """A connection whose sends do as they are told, and which knows the rules.

    Args:
        acts: What the first, second, … send does.
        ends_connection: The server closes the connection with the end of the body.
    """

    ready = is_prompt = ended = False

    def __init__(self, acts: dict[int, Act] | None = None, *, ends_connection: bool = False) -> None:
        self.stream: Stream
        self.ends_connection = ends_connection
        self.calls: list[str] = []
        self.taken_data: list[tuple[bytes, bool]] = []
        self.is_aborted = False
        self._acts = acts or {}
        self._under_way = 0

    async def _send(self, name: str, data: bytes = b"", more: bool = True) -> None:
        assert not self._under_way, f"{name} beside {self.calls[-1]}"
        number = len(self.calls)
        self.calls.append(name)
        self._under_way += 1
        try:
            act = self._acts.get(number)
            if act is not None and (waiting := act(self.stream)) is not None:
                await waiting
        finally:
            self._under_way -= 1
        if name != "refuse":  # which is no part of the stream
            self.taken_data.append((data, more))

    def open(self) -> Awaitable[None]:
        return self._send("open")

    def write(self, data: bytes, *, more: bool) -> Awaitable[None]:
        return self._send("write" if more else "end", data, more)

    def refuse(self, refusal: Refusal) -> Awaitable[None]:
        return self._send("refuse", refusal.body, more=False)

    def cut(self) -> Awaitable[None]:
        return self._send("cut")

    def begin(self, data: bytes) -> Awaitable[None]:
        raise AssertionError

    def taken(self) -> int | None:
        return None

    def abort(self) -> None:
        self.is_aborted = True


class Scene:
    """A stream on such a connection."""

    def __init__(
        self,
        acts: dict[int, Act] | None = None,
        source: Source | None = None,
        *,
        format: Format | None = None,  # noqa: A002
        ends_connection: bool = False,
        **policy: Any,
    ) -> None:
        self.diary = Diary()
        self.connection = Script(acts, ends_connection=ends_connection)
        self.stream = self.connection.stream = Stream(
            SourceHandle(source or self._source()),
            format=format or SSE(),
            policy=replace(QUIET, **policy),
            owns=[lambda: self.diary("released")],
        )
        self.task = asyncio.create_task(self.stream.serve(self.connection))

    async def _source(self) -> AsyncIterator[str]:
        try:
            for word in ("one", "two"):
                yield word
                await asyncio.sleep(1)
        finally:
            await asyncio.sleep(1)
            self.diary("cleaned")

    async def over(self) -> BaseException | None:
        """Wait until all is over; what `serve` raised. All was released once, and what was taken counted."""
        await asyncio.wait([self.task])
        words = self.diary.words
        assert words.count("released") == 1
        assert words.count("cleaned") <= 1
        ending = self.stream.ending()
        assert ending.bytes == sum(len(data) for data, _ in self.connection.taken_data)
        return asyncio.CancelledError() if self.task.cancelled() else self.task.exception()


async def many(number: int) -> None:
    for _ in range(number):
        await asyncio.sleep(0)


# -- how often a send waits ----------------------------------------------------------------------------------


@pytest.mark.parametrize("nth", range(4), ids=NAMES)
@pytest.mark.parametrize("times", [0, 1, 2, 50])
async def test_a_send_may_wait_as_often_as_it_likes(nth: int, times: int) -> None:
    scene = Scene({nth: lambda _: many(times)})
    assert await scene.over() is None
    ending = scene.stream.ending()
    assert scene.connection.calls == ["open", "write", "write", "end"]
    assert (ending.outcome, ending.chunks, ending.discarded) == (Outcome.COMPLETED, 2, 0)
    assert scene.diary.words == ["cleaned", "released"]


def _raise(error: BaseException) -> Act:
    def at_once(_: Stream) -> None:
        raise error

    return at_once


def _raise_later(error: BaseException) -> Act:
    async def later(_: Stream) -> None:
        await many(3)
        raise error

    return later


@pytest.mark.parametrize("nth", range(4), ids=NAMES)
@pytest.mark.parametrize("when", [_raise, _raise_later], ids=["at once", "later"])
@pytest.mark.parametrize(
    ("error", "cause"),
    [(OSError(), Cause.SEND_FAILED), (LookupError(), Cause.SEND_CRASHED)],
    ids=["failed", "crashed"],
)
async def test_one_that_raises_is_the_last_and_its_chunk_is_lost(
    nth: int, when: Callable[[BaseException], Act], error: BaseException, cause: Cause
) -> None:
    scene = Scene({nth: when(error)})
    assert await scene.over() is None
    ending = scene.stream.ending()
    assert len(scene.connection.calls) == nth + 1
    assert ending.cause is cause
    assert (ending.chunks, ending.discarded) == [(0, 1), (0, 1), (1, 1), (2, 0)][nth]
    assert scene.diary.words == ["cleaned", "released"]


# -- what happens from within a send -------------------------------------------------------------------------


def _stop(stream: Stream) -> None:
    stream.stop()


def _drain(stream: Stream) -> None:
    stream.leave_by(now(), now() + 10)


def _then_wait(act: Act, times: int) -> Act:
    def both(stream: Stream) -> Awaitable[None]:
        act(stream)
        return many(times)

    return both


@pytest.mark.parametrize("nth", range(3), ids=NAMES[:3])
@pytest.mark.parametrize("times", [0, 1, 20])
@pytest.mark.parametrize(
    ("act", "outcome"), [(_stop, Outcome.STOPPED), (_drain, Outcome.DRAINED)], ids=["stop", "drain"]
)
async def test_an_end_that_is_asked_for_from_within_a_send_is_told_after_it(
    nth: int, times: int, act: Act, outcome: Outcome
) -> None:
    scene = Scene({nth: _then_wait(act, times)})
    assert await scene.over() is None
    ending = scene.stream.ending()
    assert ending.outcome is outcome
    data, more = scene.connection.taken_data[-1]
    assert b"event: error" in data
    assert not more
    assert scene.connection.calls[: nth + 1] == ["open", "write", "write"][: nth + 1]
    assert scene.diary.words == ["cleaned", "released"]
    assert not scene.connection.is_aborted


@pytest.mark.parametrize("nth", range(4), ids=NAMES)
async def test_a_client_that_leaves_from_within_a_send_gets_nothing_more(nth: int) -> None:
    scene = Scene({nth: lambda stream: stream.client_gone()})
    assert await scene.over() is None
    assert scene.stream.ending().outcome is (Outcome.CLIENT_GONE if nth < END else Outcome.COMPLETED)
    assert len(scene.connection.calls) == nth + 1
    assert scene.diary.words == ["cleaned", "released"]


@pytest.mark.parametrize("nth", range(3), ids=NAMES[:3])
async def test_a_send_that_waits_although_the_client_has_left_within_it_is_not_waited_for(nth: int) -> None:
    def leaves(stream: Stream) -> Awaitable[None]:
        stream.client_gone()
        return for_ever()

    scene = Scene({nth: leaves})
    await asyncio.wait([scene.task], timeout=100)
    assert scene.task.done()
    assert scene.stream.ending().outcome is Outcome.CLIENT_GONE
    assert scene.stream.ending().duration <= 1


async def test_a_stop_from_within_the_last_send_comes_too_late() -> None:
    scene = Scene({END: _stop})
    await scene.over()
    assert scene.stream.ending().outcome in {Outcome.COMPLETED, Outcome.STOPPED}
    assert scene.connection.calls == ["open", "write", "write", "end"]


# -- the request's task is hit -------------------------------------------------------------------------------


@pytest.mark.parametrize("nth", range(4), ids=NAMES)
@pytest.mark.parametrize("sees", [True, False], ids=["lets it through", "swallows it"])
async def test_a_cancellation_while_a_send_waits_ends_the_stream_and_is_raised(nth: int, sees: bool) -> None:
    async def waits() -> None:
        try:
            await for_ever()
        except asyncio.CancelledError:
            if sees:
                raise

    scene = Scene({nth: lambda _: waits()})
    await asyncio.sleep(10)
    assert len(scene.connection.calls) == nth + 1
    scene.task.cancel()
    error = await scene.over()
    assert scene.diary.words == ["cleaned", "released"]
    if sees:
        assert isinstance(error, asyncio.CancelledError)
        assert len(scene.connection.calls) == nth + 1
        assert scene.stream.ending().cause in {Cause.SERVER_CANCELLED, Cause.SOURCE_ENDED}


async def test_a_cancellation_while_nothing_is_sent_is_told_and_raised() -> None:
    scene = Scene()
    await asyncio.sleep(0.5)
    scene.task.cancel()
    assert isinstance(await scene.over(), asyncio.CancelledError)
    assert scene.stream.ending().cause is Cause.SERVER_CANCELLED
    assert scene.connection.calls == ["open", "write", "end"]
    assert scene.diary.words == ["cleaned", "released"]


@pytest.mark.parametrize("after", range(1, 9))
@pytest.mark.parametrize("times", [0, 1, 3])
async def test_a_cancellation_in_any_turn_ends_all_in_good_order(after: int, times: int) -> None:
    scene = Scene({nth: lambda _: many(times) for nth in range(4)})
    await turns(after)
    scene.task.cancel()
    error = await scene.over()
    ending = scene.stream.ending()
    assert isinstance(error, asyncio.CancelledError)
    assert ending.cause is Cause.SERVER_CANCELLED
    assert ending.chunks + ending.discarded <= 1


@pytest.mark.parametrize("times", [0, 2])
async def test_one_that_cancels_its_own_task_has_it_cancelled_at_its_next_wait(times: int) -> None:
    def cancels(_: Stream) -> Awaitable[None]:
        task = asyncio.current_task()
        assert task is scene.task
        task.cancel()
        return many(times)

    scene = Scene({FIRST: cancels})
    assert isinstance(await scene.over(), asyncio.CancelledError)
    ending = scene.stream.ending()
    assert (ending.cause, ending.chunks) == (Cause.SERVER_CANCELLED, 0 if times else 1)
    assert scene.diary.words == ["cleaned", "released"]


async def test_a_cancellation_that_meets_the_leaving_of_the_client_is_not_lost() -> None:
    scene = Scene({FIRST: lambda _: for_ever()})
    await asyncio.sleep(5)
    scene.stream.client_gone()
    scene.task.cancel()
    assert isinstance(await scene.over(), asyncio.CancelledError)
    assert scene.stream.ending().outcome is Outcome.CLIENT_GONE
    assert scene.diary.words == ["cleaned", "released"]


async def test_afterwards_the_task_is_as_little_cancelled_as_before() -> None:
    left: list[int] = []

    scene = Scene({FIRST: lambda _: for_ever()})
    scene.task.add_done_callback(lambda _: left.append(scene.task.cancelling()))
    await asyncio.sleep(5)
    scene.stream.client_gone()
    await scene.over()
    assert left == [0]
    assert not scene.task.cancelled()


# -- the end of the body -------------------------------------------------------------------------------------


@pytest.mark.parametrize("ends_connection", [False, True])
@pytest.mark.parametrize("waits", [0, 3])
async def test_where_the_connection_ends_with_the_body_no_content_is_in_the_last_send(
    ends_connection: bool, waits: int
) -> None:
    async def source() -> AsyncIterator[str]:
        yield "one"

    acts: dict[int, Act] = {nth: lambda _: many(waits) for nth in range(4)}
    scene = Scene(acts, source(), ends_connection=ends_connection)
    await scene.over()
    data = b"data: one\n\n"
    if ends_connection:
        assert scene.connection.taken_data[1:] == [(data, True), (b"", False)]
    else:
        assert b"".join(each for each, _ in scene.connection.taken_data) == data
        assert scene.connection.taken_data[-1][1] is False
    assert scene.stream.ending().chunks == 1


@pytest.mark.parametrize("ends_connection", [False, True])
async def test_the_farewell_too_is_apart_from_the_end_there(ends_connection: bool) -> None:
    scene = Scene(ends_connection=ends_connection)
    await asyncio.sleep(0.5)
    scene.stream.stop()
    await scene.over()
    *_, before, last = scene.connection.taken_data
    farewell, end = (before, last) if ends_connection else (last, (b"", False))
    assert farewell[0].startswith(b"event: error")
    assert end == (b"", False)


@pytest.mark.parametrize("ends_connection", [False, True])
@pytest.mark.parametrize("when", [_raise, _raise_later], ids=["at once", "later"])
async def test_there_a_last_send_that_fails_has_lost_nothing_but_the_end(
    ends_connection: bool, when: Callable[[BaseException], Act]
) -> None:
    async def source() -> AsyncIterator[str]:
        yield "one"
        await asyncio.sleep(1)

    scene = Scene({2: when(OSError())}, source(), ends_connection=ends_connection)
    await scene.over()
    ending = scene.stream.ending()
    assert (ending.cause, ending.chunks, ending.discarded) == (Cause.SEND_FAILED, 1, 0)


# -- an answer in the place of the stream --------------------------------------------------------------------


async def silent() -> AsyncIterator[str]:
    await for_ever()
    yield "never"


@pytest.mark.parametrize("act", [None, _raise(OSError()), _raise_later(OSError()), lambda _: many(5)])
async def test_a_refusal_is_all_that_is_sent_whatever_becomes_of_it(act: Act | None) -> None:
    scene = Scene({} if act is None else {0: act}, silent(), first_chunk=3)
    assert await scene.over() is None
    assert scene.connection.calls == ["refuse"]
    ending = scene.stream.ending()
    assert (ending.outcome, ending.cause, ending.duration) == (Outcome.TIMED_OUT, Cause.FIRST_CHUNK, 3)


async def test_a_refusal_that_is_never_taken_is_given_up_at_the_cleanups_deadline() -> None:
    scene = Scene({0: lambda _: for_ever()}, silent(), first_chunk=3, cleanup=5)
    assert await scene.over() is None
    assert scene.stream.ending().cause is Cause.FIRST_CHUNK
    assert now() == 8
    assert scene.connection.is_aborted


@pytest.mark.parametrize("when", [_raise, _raise_later], ids=["at once", "later"])
async def test_a_cut_that_fails_is_the_end_all_the_same(when: Callable[[BaseException], Act]) -> None:
    """As on every server: none knows the message, and it is refused."""

    async def source() -> AsyncIterator[bytes]:
        yield FULL
        await asyncio.sleep(1)
        raise LookupError

    scene = Scene({2: when(RuntimeError())}, source(), format=Raw("text/plain"))
    await scene.over()
    ending = scene.stream.ending()
    assert scene.connection.calls[:2] == ["open", "write"]
    assert len(scene.connection.calls) == 3
    assert ending.cause is Cause.SOURCE_RAISED


async def failing() -> AsyncIterator[bytes]:
    yield b"one"
    await asyncio.sleep(1)
    raise LookupError


@pytest.mark.parametrize("hit", [False, True], ids=["", "with its task hit"])
async def test_a_cut_that_is_never_taken_is_given_up_at_the_cleanups_deadline(hit: bool) -> None:
    """So it is behind a middleware that hands it to a reader that is gone."""
    scene = Scene({2: lambda _: for_ever()}, failing(), format=Raw("text/plain"), cleanup=5)
    await asyncio.sleep(3)
    if hit:
        scene.task.cancel()
    await scene.over()
    assert scene.connection.calls == ["open", "write", "cut"]
    assert scene.stream.ending().cause is Cause.SOURCE_RAISED
    assert now() == (3 if hit else 6)


async def test_a_client_that_leaves_while_a_cut_waits_puts_nothing_off() -> None:
    scene = Scene({2: lambda _: for_ever()}, failing(), format=Raw("text/plain"), cleanup=5)
    await asyncio.sleep(3)
    scene.stream.client_gone()
    await scene.over()
    assert scene.stream.ending().cause is Cause.SOURCE_RAISED
    assert now() <= 6
