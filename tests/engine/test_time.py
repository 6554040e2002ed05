"""What happens when: the held status line, heartbeats, deadlines, each at its exact time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from endwell import ByteStream, Cause, EventStream, NDJSONStream, Outcome, Policy
from tests.engine.scene import FULL, QUIET, Diary, Visit, for_ever, now, talker
from tests.peer import FOREVER

PING = b": ping\n"


def times(visit: Visit, data: bytes) -> list[float]:
    """When a piece with `data` in it was sent."""
    return [sent.at for sent in visit.sends if data in sent.data]


async def after(seconds: float, *chunks: object) -> AsyncIterator[object]:
    await asyncio.sleep(seconds)
    for chunk in chunks:
        yield chunk


async def one_and_never_another() -> AsyncIterator[str]:
    yield "one"
    await for_ever()


# -- the held status line ------------------------------------------------------------------------------------


async def test_the_status_line_waits_for_the_first_chunk() -> None:
    visit = Visit(after(4, "x"), policy=Policy())
    ending = await visit.ending()
    assert [sent.at for sent in visit.sends] == [4, 4]
    assert ending.time_to_first_chunk == 4


async def test_the_status_line_waits_no_longer_than_the_hold_and_comes_with_a_heartbeat() -> None:
    visit = Visit(after(8, "x"), policy=Policy())
    await visit.ending()
    assert visit.sends[0].at == 5
    assert times(visit, PING) == [5]
    assert times(visit, b"x") == [8]


async def test_without_a_hold_the_status_line_goes_out_at_once() -> None:
    visit = Visit(after(3, "x"), policy=Policy(hold=0))
    await visit.ending()
    assert visit.sends[0].at == 0
    assert times(visit, PING) == [0]


async def test_a_hold_of_none_waits_as_long_as_the_source_does() -> None:
    visit = Visit(after(10_000, "x"), policy=Policy(hold=None))
    await visit.ending()
    assert [sent.at for sent in visit.sends] == [10_000, 10_000]


@pytest.mark.parametrize("response", [EventStream, NDJSONStream, ByteStream])
async def test_an_error_before_the_first_chunk_is_raised_with_nothing_sent(
    response: Callable[..., Any],
) -> None:
    async def source() -> AsyncIterator[str]:
        await asyncio.sleep(4)
        raise LookupError("no such thing")
        yield "never"

    visit = Visit(source(), response, policy=Policy())
    ending = await visit.ending()
    error = await visit.over()
    assert isinstance(error, LookupError)
    assert ending.error is error
    assert (ending.outcome, visit.sends, ending.duration) == (Outcome.FAILED, [], 4)


async def test_an_error_after_the_hold_is_told_in_the_stream() -> None:
    async def source() -> AsyncIterator[str]:
        await asyncio.sleep(6)
        raise LookupError("a secret")
        yield "never"

    visit = Visit(source(), policy=Policy())
    ending = await visit.ending()
    assert (visit.status, visit.told()["ref"]) == (200, ending.reference)
    assert b"secret" not in visit.body


async def test_an_early_error_is_not_kept_from_the_client_by_a_slow_cleanup() -> None:
    async def close() -> None:
        await asyncio.sleep(3)

    async def source() -> AsyncIterator[str]:
        raise LookupError
        yield "never"

    visit = Visit(source(), owns=[close])
    assert (await visit.ending()).cleanup == 3
    assert isinstance(await visit.over(), LookupError)


# -- heartbeats ----------------------------------------------------------------------------------------------


async def test_heartbeats_come_when_nothing_was_written_for_their_interval() -> None:
    visit = Visit(one_and_never_another(), policy=Policy())
    await asyncio.sleep(61)
    assert times(visit, PING) == [15, 30, 45, 60]
    visit.leave()
    ending = await visit.ending()
    assert (ending.heartbeats, ending.chunks) == (4, 1)
    assert ending.bytes == len(visit.body)


async def test_heartbeats_after_the_hold_count_from_the_status_line() -> None:
    visit = Visit(after(40, "x"), policy=Policy())
    await visit.ending()
    assert times(visit, PING) == [5, 20, 35]


async def test_a_chunk_puts_the_heartbeat_off() -> None:
    async def source() -> AsyncIterator[str]:
        for pause in (0, 14, 14.5, 20, 1):
            await asyncio.sleep(pause)
            yield "x"

    visit = Visit(source(), policy=Policy())
    await visit.ending()
    assert times(visit, PING) == [43.5]


async def test_there_is_no_heartbeat_while_a_send_is_blocked() -> None:
    async def source() -> AsyncIterator[str]:
        yield "one"
        await asyncio.sleep(1)
        yield "two"
        await asyncio.sleep(99)

    visit = Visit(source(), policy=Policy(send=None), sends={3: 50})
    await visit.ending()
    assert times(visit, PING) == [66, 81, 96]


async def test_a_heartbeat_that_is_blocked_is_the_only_one() -> None:
    visit = Visit(one_and_never_another(), policy=Policy(send=None), sends={3: 100})
    await asyncio.sleep(140)
    assert times(visit, PING) == [15, 130]
    visit.leave()
    await visit.ending()


async def test_a_heartbeat_never_stands_within_a_frame_or_after_the_last() -> None:
    async def source() -> AsyncIterator[str]:
        for number in range(30):
            await asyncio.sleep(number % 7)
            yield f"two\nlines {number}"

    visit = Visit(source(), policy=Policy(heartbeat=1.5), latency=0.5)
    ending = await visit.ending()
    assert ending.heartbeats > 20
    assert visit.frames == [b"data: two\ndata: lines %d" % number for number in range(30)]
    assert visit.body.endswith(b"data: lines 29\n\n")


async def test_a_heartbeat_of_json_lines_is_a_blank_line_if_asked_for() -> None:
    def with_heartbeat(source: AsyncIterator[object], **options: Any) -> NDJSONStream:
        return NDJSONStream(source, heartbeat=True, **options)

    visit = Visit(after(40, 1), with_heartbeat, policy=Policy())
    await visit.ending()
    assert visit.body == b"\n\n\n1\n"


@pytest.mark.timeout(20)
@pytest.mark.parametrize("response", [NDJSONStream, ByteStream])
async def test_a_format_without_a_heartbeat_is_silent_and_its_deadlines_hold(
    response: Callable[..., Any],
) -> None:
    visit = Visit(one_and_never_another(), response, policy=Policy(heartbeat=2, between_chunks=60))
    ending = await visit.ending()
    assert (ending.cause, ending.duration, ending.heartbeats) == (Cause.BETWEEN_CHUNKS, 60, 0)


# -- deadlines -----------------------------------------------------------------------------------------------


async def test_no_first_chunk_in_time_is_a_gateway_timeout() -> None:
    diary = Diary()

    async def source() -> AsyncIterator[str]:
        try:
            await for_ever()
            yield "never"
        finally:
            await asyncio.sleep(1)
            diary("cleaned")

    visit = Visit(source(), policy=Policy(first_chunk=3))
    ending = await visit.ending()
    assert (ending.outcome, ending.cause, ending.duration) == (Outcome.TIMED_OUT, Cause.FIRST_CHUNK, 3)
    assert (visit.status, visit.sends[0].at) == (504, 3)
    assert visit.told() == {
        "code": "first_chunk_timeout",
        "message": "Nothing came in time.",
        "ref": ending.reference,
    }
    assert diary == [(4, "cleaned")]
    assert await visit.over() is None


async def test_no_first_chunk_in_time_after_the_hold_is_told_in_the_stream() -> None:
    visit = Visit(after(99, "never"), policy=Policy(first_chunk=8))
    ending = await visit.ending()
    assert (ending.cause, ending.duration, visit.status) == (Cause.FIRST_CHUNK, 8, 200)
    assert visit.told()["code"] == "first_chunk_timeout"


async def test_a_first_chunk_in_time_is_in_time() -> None:
    visit = Visit(after(7.999, "x"), policy=Policy(first_chunk=8))
    assert (await visit.ending()).outcome is Outcome.COMPLETED


async def test_too_long_between_chunks_ends_the_stream() -> None:
    async def source() -> AsyncIterator[str]:
        for pause in (30, 9, 9.5, 11):
            await asyncio.sleep(pause)
            yield "x"

    visit = Visit(source(), policy=Policy(heartbeat=4, between_chunks=10))
    ending = await visit.ending()
    assert (ending.outcome, ending.cause) == (Outcome.TIMED_OUT, Cause.BETWEEN_CHUNKS)
    assert (ending.duration, ending.chunks) == (58.5, 3)
    assert visit.told()["code"] == "between_chunks_timeout"


async def test_time_in_which_the_client_holds_the_source_up_is_not_the_sources() -> None:
    async def source() -> AsyncIterator[bytes]:
        for _ in range(4):
            yield FULL
        await asyncio.sleep(9)
        yield b"end"

    visit = Visit(
        source(), ByteStream, policy=Policy(heartbeat=None, send=None, between_chunks=10), sends={2: 95}
    )
    assert (await visit.ending()).outcome is Outcome.COMPLETED


async def test_it_is_not_even_when_the_sources_own_timeout_fires_meanwhile() -> None:
    async def source() -> AsyncIterator[bytes]:
        try:
            async with asyncio.timeout(12):
                while True:
                    yield FULL
        except TimeoutError:
            await asyncio.sleep(4)
        yield b"end"

    policy = Policy(heartbeat=None, send=None, between_chunks=5)
    visit = Visit(source(), ByteStream, policy=policy, sends={2: 14})
    assert (await visit.ending()).outcome is Outcome.COMPLETED


async def test_a_client_that_does_not_read_is_given_up_at_the_send_deadline() -> None:
    diary = Diary()

    async def source() -> AsyncIterator[bytes]:
        try:
            await asyncio.sleep(1)
            while True:
                yield FULL
        finally:
            await asyncio.sleep(2)
            diary("cleaned")

    visit = Visit(source(), ByteStream, policy=Policy(), sends={2: FOREVER})
    ending = await visit.ending()
    assert (ending.outcome, ending.cause) == (Outcome.SLOW_CLIENT, Cause.SEND_BLOCKED)
    assert (ending.duration, ending.cleanup) == (31, 2)
    assert diary == [(33, "cleaned")]
    assert (ending.chunks, ending.bytes) == (0, 0)
    assert len(visit.sends) == 2


async def test_a_client_that_does_not_even_take_the_status_line_is_given_up() -> None:
    visit = Visit(one_and_never_another(), policy=Policy(send=4), sends={1: FOREVER})
    assert (await visit.ending()).cause is Cause.SEND_BLOCKED
    assert now() == 4


async def test_a_client_that_does_not_take_the_end_of_the_body_is_given_up() -> None:
    visit = Visit(after(1, "x"), policy=Policy(send=4), sends={2: FOREVER})
    ending = await visit.ending()
    assert (ending.outcome, ending.duration) == (Outcome.SLOW_CLIENT, 5)


async def test_a_slow_client_that_progresses_is_kept() -> None:
    async def source() -> AsyncIterator[bytes]:
        for _ in range(20):
            yield FULL

    visit = Visit(source(), ByteStream, policy=Policy(send=30), latency=29)
    assert (await visit.ending()).outcome is Outcome.COMPLETED
    assert now() > 20 * 29


@pytest.mark.parametrize("heartbeat", [None, 7])
async def test_a_stream_lasts_no_longer_than_its_total(heartbeat: float | None) -> None:
    async def source() -> AsyncIterator[int]:
        for number in range(10_000):
            yield number
            await asyncio.sleep(0.3)

    visit = Visit(source(), policy=Policy(heartbeat=heartbeat, total=100))
    ending = await visit.ending()
    assert (ending.outcome, ending.cause, ending.duration) == (Outcome.TIMED_OUT, Cause.TOTAL, 100)
    assert visit.told()["code"] == "total_timeout"
    assert visit.sends[-1].at == 100


async def test_a_total_before_the_first_chunk_is_a_gateway_timeout() -> None:
    visit = Visit(after(99, "never"), policy=Policy(total=2))
    await visit.ending()
    assert (visit.status, visit.sends[0].at) == (504, 2)


async def test_the_earliest_of_several_deadlines_counts() -> None:
    policy = Policy(first_chunk=9, total=8, hold=7, heartbeat=1, send=6)
    visit = Visit(after(99, "never"), policy=policy)
    ending = await visit.ending()
    assert (ending.cause, ending.duration) == (Cause.TOTAL, 8)


async def test_a_deadline_passes_while_the_source_does_not_let_the_loop_turn() -> None:
    """It is acted on late, but it is acted on: no chunk that was made after it is promised to anybody."""

    async def source() -> AsyncIterator[str]:
        yield "one"
        await asyncio.sleep(1)
        loop = asyncio.get_running_loop()
        loop.advance(50)  # type: ignore[attr-defined]
        yield "two"
        await for_ever()

    visit = Visit(source(), policy=Policy(heartbeat=None, total=10))
    ending = await visit.ending()
    assert (ending.cause, ending.duration) == (Cause.TOTAL, 51)


async def test_without_any_deadline_a_stream_may_last() -> None:
    diary = Diary()
    visit = Visit(talker(diary), policy=QUIET)
    await asyncio.sleep(1e7)
    visit.leave()
    assert (await visit.ending()).duration == 1e7
