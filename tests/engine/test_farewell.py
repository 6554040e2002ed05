"""What a client is told: a failure never looks like success, and nothing follows the last word."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from endwell import (
    ByteStream,
    Cause,
    ChunkTypeError,
    EventStream,
    NDJSONStream,
    Outcome,
    Policy,
    StreamCut,
    current_stream,
)
from tests.engine.scene import QUIET, Diary, Visit, for_ever, now, talker
from tests.peer import FOREVER

FRAMED = pytest.mark.parametrize("response", [EventStream, NDJSONStream])


async def raising(*chunks: object, pause: float = 1) -> AsyncIterator[object]:
    for chunk in chunks:
        yield chunk
    await asyncio.sleep(pause)
    raise LookupError("a secret")


# -- failures ------------------------------------------------------------------------------------------------


@FRAMED
async def test_a_failure_is_told_in_one_terminal_frame_without_its_text(response: Callable[..., Any]) -> None:
    visit = Visit(raising("one", "two"), response)
    ending = await visit.ending()
    assert (ending.outcome, ending.cause, ending.chunks) == (Outcome.FAILED, Cause.SOURCE_RAISED, 2)
    assert visit.told() == {
        "code": "internal_error",
        "message": "The stream failed.",
        "ref": ending.reference,
    }
    assert len(visit.frames) == 3
    assert b"secret" not in visit.body
    assert ending.reference


async def test_a_failed_raw_body_is_cut() -> None:
    visit = Visit(raising(b"one", b"two"), ByteStream)
    ending = await visit.ending()
    assert (ending.outcome, visit.body) == (Outcome.FAILED, b"onetwo")
    assert visit.was_cut
    assert not visit.complete
    assert await visit.over() is ending.error


@FRAMED
async def test_what_the_source_raised_reaches_the_framework_when_the_client_has_been_told(
    response: Callable[..., Any],
) -> None:
    visit = Visit(raising("one"), response)
    await visit.ending()
    assert isinstance(await visit.over(), LookupError)


@pytest.mark.parametrize(
    ("response", "chunk"),
    [(ByteStream, 5), (ByteStream, None), (NDJSONStream, {1, object()}), (EventStream, object())],
)
async def test_a_chunk_of_a_wrong_type_fails_the_stream_naming_the_type(
    response: Callable[..., Any], chunk: object
) -> None:
    diary = Diary()

    async def source() -> AsyncIterator[object]:
        try:
            yield b"fine" if response is ByteStream else "fine"
            await asyncio.sleep(1)
            yield chunk
            diary("went on")
        finally:
            diary("cleaned")

    visit = Visit(source(), response)
    ending = await visit.ending()
    assert ending.outcome is Outcome.FAILED
    assert isinstance(ending.error, (ChunkTypeError, ValueError, TypeError))
    assert diary == [(1, "cleaned")]
    assert (ending.chunks, visit.complete) == (1, response is not ByteStream)


async def test_a_chunk_of_a_wrong_type_names_the_route(caplog: pytest.LogCaptureFixture) -> None:
    async def source() -> AsyncIterator[object]:
        yield 5

    visit = Visit(source(), ByteStream)
    ending = await visit.ending()
    assert "int" in str(ending.error)
    assert ending.error is not None
    assert "in the stream of" in ending.error.__notes__[0]


# -- stops ---------------------------------------------------------------------------------------------------


@FRAMED
async def test_a_source_that_stops_its_stream_is_told_of_in_a_frame(response: Callable[..., Any]) -> None:
    async def source() -> AsyncIterator[str]:
        yield "one"
        await asyncio.sleep(1)
        assert current_stream().stop("enough")
        assert not current_stream().stop("again")
        yield "two"
        yield "three"

    visit = Visit(source(), response)
    ending = await visit.ending()
    assert (ending.outcome, ending.cause, ending.reason) == (Outcome.STOPPED, Cause.STOP, "enough")
    assert visit.told()["code"] == "stopped"
    assert len(visit.frames) == 2
    assert await visit.over() is None


async def test_a_source_that_stops_its_stream_and_goes_on_working_is_cancelled_at_its_next_await() -> None:
    diary = Diary()

    async def source() -> AsyncIterator[str]:
        try:
            yield "one"
            current_stream().stop()
            diary("still here")
            await for_ever()
        except asyncio.CancelledError:
            diary("cancelled")
            raise
        finally:
            await asyncio.sleep(1)
            diary("cleaned")

    visit = Visit(source())
    await visit.ending()
    assert diary == [(0, "still here"), (0, "cancelled"), (1, "cleaned")]


async def test_a_source_that_stops_its_stream_at_its_yield_is_closed_there() -> None:
    diary = Diary()

    async def source() -> AsyncIterator[str]:
        try:
            current_stream().stop()
            yield "one"
        except GeneratorExit:
            diary("closed")
            raise
        finally:
            await asyncio.sleep(1)
            diary("cleaned")

    visit = Visit(source())
    ending = await visit.ending()
    assert diary == [(0, "closed"), (1, "cleaned")]
    assert (ending.chunks, ending.cleanup_errors) == (0, ())


async def test_a_stop_before_the_first_chunk_is_an_http_error() -> None:
    async def source() -> AsyncIterator[str]:
        await asyncio.sleep(1)
        current_stream().stop()
        yield "never"

    visit = Visit(source())
    ending = await visit.ending()
    assert (visit.status, visit.told()["ref"]) == (503, ending.reference)
    assert visit.headers["content-type"] == "application/json"
    assert int(visit.headers["content-length"]) == len(visit.body)
    assert await visit.over() is None


async def test_a_stopped_raw_body_is_cut() -> None:
    async def source() -> AsyncIterator[bytes]:
        yield b"one"
        await asyncio.sleep(1)
        current_stream().stop()
        yield b"two"

    visit = Visit(source(), ByteStream)
    ending = await visit.ending()
    assert (ending.outcome, visit.body, visit.was_cut) == (Outcome.STOPPED, b"one", True)
    assert not visit.complete
    assert isinstance(await visit.over(), StreamCut)


async def test_a_stop_from_outside_cancels_the_source_once_and_tells_the_client_at_once() -> None:
    diary = Diary()
    stops: list[Callable[[str], bool]] = []

    async def source() -> AsyncIterator[str]:
        stops.append(current_stream().stop)
        async for word in talker(diary, cleanup=3):
            yield word

    inner = source()
    visit = Visit(inner)
    await asyncio.sleep(5)
    assert stops[0]("user")
    assert not stops[0]("user")
    ending = await visit.ending()
    assert (ending.reason, ending.duration) == ("user", 5)
    assert visit.sends[-1].at == 5
    assert not stops[0]("much later")


async def test_what_was_ready_before_the_stop_still_goes_out_before_the_last_word() -> None:
    async def source() -> AsyncIterator[str]:
        yield "one"
        yield "two"
        current_stream().stop()
        await for_ever()

    visit = Visit(source())
    ending = await visit.ending()
    assert visit.frames[:2] == [b"data: one", b"data: two"]
    assert (ending.chunks, len(visit.frames)) == (2, 3)


async def test_a_stop_while_a_send_is_blocked_is_told_when_the_client_reads_on() -> None:
    stops: list[Callable[[], bool]] = []

    async def source() -> AsyncIterator[str]:
        stops.append(current_stream().stop)
        while True:
            yield "x" * 70_000

    visit = Visit(source(), sends={2: 8})
    await asyncio.sleep(5)
    assert stops[0]()
    ending = await visit.ending()
    assert (ending.outcome, ending.duration) == (Outcome.STOPPED, 5)
    assert visit.told()["code"] == "stopped"
    assert visit.sends[-1].at == 8


# -- once the source has ended by itself ---------------------------------------------------------------------


async def ending_while_a_send_is_blocked() -> AsyncIterator[bytes]:
    yield b"one"
    await asyncio.sleep(1)
    yield b"two"
    await asyncio.sleep(1)
    yield b"three"


async def test_a_raw_body_that_was_not_delivered_in_time_does_not_end_as_if_it_were_whole() -> None:
    policy = Policy(heartbeat=None, send=None, total=10)
    visit = Visit(ending_while_a_send_is_blocked(), ByteStream, policy=policy, sends={3: 20})
    ending = await visit.ending()
    assert (ending.outcome, ending.duration) == (Outcome.TIMED_OUT, 10)
    assert visit.was_cut
    assert not visit.complete
    assert isinstance(await visit.over(), StreamCut)


async def test_events_that_were_not_delivered_in_time_do_not_end_as_if_they_were_whole() -> None:
    async def source() -> AsyncIterator[str]:
        async for chunk in ending_while_a_send_is_blocked():
            yield chunk.decode()

    policy = Policy(heartbeat=None, send=None, total=10)
    visit = Visit(source(), policy=policy, sends={3: 20})
    ending = await visit.ending()
    assert (ending.outcome, ending.duration) == (Outcome.TIMED_OUT, 10)
    assert not visit.complete or visit.told()["code"] == "total_timeout"


async def test_a_total_that_passes_while_the_last_send_is_under_way_sends_nothing_more() -> None:
    async def source() -> AsyncIterator[bytes]:
        yield b"one"

    visit = Visit(source(), ByteStream, policy=Policy(heartbeat=None, send=None, total=10), sends={2: 20})
    ending = await visit.ending()
    assert (ending.outcome, ending.duration) == (Outcome.TIMED_OUT, 10)
    assert len(visit.sends) == 2
    assert now() <= 20


async def test_nothing_is_sent_after_the_terminal_frame_however_long_the_cleanup_takes() -> None:
    async def source() -> AsyncIterator[str]:
        try:
            yield "one"
            raise LookupError
        finally:
            await asyncio.sleep(3)

    async def close() -> None:
        await asyncio.sleep(9)

    visit = Visit(source(), policy=Policy(heartbeat=1), owns=[close])
    await visit.ending()
    assert visit.sends[-1].at == 3
    assert visit.sends[-1].message["more_body"] is False
    assert now() == 12


async def test_a_farewell_is_not_told_to_a_client_that_is_gone() -> None:
    visit = Visit(talker(Diary()), policy=Policy(send=2), sends={2: FOREVER})
    await visit.ending()
    assert len(visit.sends) == 2


@pytest.mark.parametrize("response", [EventStream, NDJSONStream, ByteStream])
async def test_frames_before_an_error_come_whole_and_in_order(response: Callable[..., Any]) -> None:
    async def source() -> AsyncIterator[str]:
        for number in range(5000):
            yield str(number)
        raise LookupError

    visit = Visit(source(), response, policy=QUIET, latency=0.01)
    ending = await visit.ending()
    assert ending.chunks == 5000
    assert visit.body.count(b"4999") == 1


# -- where the connection ends with the response -------------------------------------------------------------


@pytest.mark.parametrize("pause", [0, 1])
@pytest.mark.parametrize("peer", [{"http_version": "1.0"}, {"headers": [(b"connection", b"close")]}])
async def test_an_error_is_told_whole_before_the_server_closes_the_connection(
    peer: dict[str, Any], pause: float
) -> None:
    visit = Visit(raising("one", pause=pause), latency=0, hasty=True, **peer)
    ending = await visit.ending()
    assert visit.told()["ref"] == ending.reference
    assert visit.frames[0] == b"data: one"
    assert ending.outcome is Outcome.FAILED


async def test_a_last_frame_that_cannot_be_sent_before_the_close_is_not_followed_by_an_end() -> None:
    visit = Visit(raising("one"), http_version="1.0", sends={3: OSError})
    assert (await visit.ending()).outcome is Outcome.FAILED
    assert not visit.complete
